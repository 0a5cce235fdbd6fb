# SPDX-License-Identifier: MIT
"""Whether reads notice the disk: GetUser beside durable creates at a fixed rate.

Latency is measured at a fixed rate, too: the clients start calls when they are due, whether or not
earlier ones are answered, and latency counts from then. So a server that stalls is seen to stall. At such
a rate a worker may find one call or several when it wakes, which changes its CPU time for a call. So CPU
time is measured with a hundred calls under way all the time, and in a worker that only reads.
"""
import contextlib
import subprocess
import time
from statistics import median

from measure import cpu_ns
from parties import Failure, Rosterd

CREATES, GETS = 10_000, 20_000  # a second
SLOW_MS = 300
LATE_SECONDS = 3  # a client that ends later than this has not kept its rate


def idle_worker(server):
    """Returns the pid of the worker that does not have the connection that creates."""
    workers = server.workers()
    before = {pid: cpu_ns(pid) for pid in workers}
    time.sleep(0.3)
    used = {pid: cpu_ns(pid) - before[pid] for pid in workers}
    idle, busy = sorted(workers, key=used.get)
    server.bench.expect(used[busy] > 3 * used[idle],
                        f"{server.name}: both workers are busy before anything is read")
    return idle


@contextlib.contextmanager
def creating(bench, server, seconds):
    """Runs creates at a fixed rate. The caller reads meanwhile, for at most so many seconds."""
    rate = bench.rate(CREATES)
    argv = server.client_argv("create", "-n", rate * seconds, "-r", rate, "-m", 100_000)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True) as client:
        end = time.monotonic() + seconds
        try:
            yield
            bench.expect(client.poll() is None,
                         f"{server.name}: the creates ended before the reads")
            if client.wait(60 + seconds) != 0:
                raise Failure(f"{server.name}: creates failed: {client.stderr.read()}")
            bench.expect(time.monotonic() < end + LATE_SECONDS,
                         f"{server.name}: creates fell behind {rate} a second")
        finally:
            if client.poll() is None:
                client.kill()


def p99_us(bench, server):
    gets = bench.rate(GETS) * bench.load_seconds
    with creating(bench, server, bench.load_seconds + 1):
        time.sleep(0.3)
        return server.client("get", server.user_id, "-n", gets, "-r", bench.rate(GETS), "-m",
                             1000)["p99_us"]


def cpu_us(bench, server):
    gets = bench.scale(200_000)
    with creating(bench, server, bench.load_seconds):
        reader = idle_worker(server)
        before = cpu_ns(reader)
        server.client("get", server.user_id, "-n", gets, "-m", 100)
        used = (cpu_ns(reader) - before) / 1000 / gets
    bench.expect(used > 0.1, f"{server.name}: the worker that writes has read, too")
    return used


def compare(bench, what, slow_ms):
    def pair(name, workers):
        options = {"workers": workers, "slow": slow_ms > 0}
        streams = ("--max-concurrent-streams", "100000")
        return (Rosterd(bench, name, *streams, **options),
                Rosterd(bench, f"{name}-memory", *streams, durable=False, **options))
    apart, together = pair("apart", 2), pair("together", 1)
    figures = [  # title, function, servers, the largest ratio
        ("GetUser, CPU a call, {}", cpu_us, apart, 1.05),
        ("GetUser, p99, {}, on another worker", p99_us, apart, 1.10),
        ("GetUser, p99, {}, on the worker that creates", p99_us, together, 1.10)]
    seen = {title: ([], []) for title, *_ in figures}
    with bench.running(*apart, *together):
        for server in (*apart, *together):
            server.fill(bench.scale(100_000))
            server.user_id = server.client("list", 1)["first_id"]
            if slow_ms > 0:
                server.slow.write_text(str(slow_ms))
        for server in (apart[0], together[0]):
            if server.client("create")["p50_us"] < slow_ms * 1000:
                raise Failure(f"{server.name}: a create took less than an fdatasync, {slow_ms} ms")
        for _ in range(bench.runs):
            for title, measure, servers, _ in figures:
                for server, values in zip(servers, seen[title]):
                    values.append(measure(bench, server))
        for server in (*apart, *together):
            if slow_ms > 0:
                server.slow.unlink()
    for title, _, _, most in figures:
        mine, other = map(median, seen[title])
        bench.row(title.format(what), f"{mine:.2f} us", f"{other:.2f} us", f"{mine / other:.2f}",
                  most, mine / other <= most)


def beside_creates(bench):
    compare(bench, f"while {CREATES:,} creates a second run", 0)


def beside_a_slow_disk(bench):
    compare(bench, f"while they run and each fdatasync takes {SLOW_MS} ms", SLOW_MS)
