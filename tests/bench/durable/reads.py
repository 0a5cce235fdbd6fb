# SPDX-License-Identifier: MIT
"""Whether reads notice the disk: GetUser beside durable creates at a fixed rate.

The worker that reads and the client that reads share one CPU. All other processes share another one:
the journal, the other worker, the master and the client that creates. So what is measured is what the disk
does to a worker, and not who gets a CPU. The clients start calls when they are due, whether or not
earlier ones have been answered, and latency counts from then. Both clients come before all others
on their CPU (SCHED_FIFO, if this user may have it): a client that creates and waits for the journal
to leave the CPU would send several calls at once, and so give the durable server another load than
the one in memory.

Two control rows read from a server in memory that nobody writes to, while another server with a data file
gets the creates, on the CPU where they go otherwise: what a neighbour that writes to the disk costs on
this machine, whoever it is. What the ratio leaves above 1 is the table's own. (Where two CPUs are
threads of one core, as virtual ones may be, a call takes longer as soon as anything at all keeps the
other one busy.) Two more rows have all processes of the server on one CPU, and both clients on the other.

Each figure is the median of many short runs, and the servers take turns every two seconds: where a
machine's host takes its CPUs away now and then, most runs are without that, and where it is slower for
some seconds, it is so for both. The ratio is the median of those of each
turn. Meanwhile no CPU sleeps
(/dev/cpu_dma_latency, if this user may write to it): how long a host takes to wake a virtual CPU is
no matter of the server's.

CPU time is that of a worker that only reads. It gets a hundred calls at a time, all in one packet,
at a fixed rate: where calls come one by one, it depends on the client how many of them a worker
finds when it wakes, and so how much each costs.
"""
import contextlib
import subprocess
import time
from statistics import median

from measure import CLIENT_CPU, SERVER_CPU, before_others, cpu_ns, no_sleep
from parties import ON_CLIENT_CPU, ON_SERVER_CPU, Failure, Rosterd, paired_ratio

CREATES, GETS = 10_000, 4_000  # a second
BURSTS, BURST = 2_000, 100  # for CPU time: bursts a second, and the GetUsers that each has
CPU_RUNS, CPU_GETS = 4, 50_000  # of CPU time, and the GetUsers in each
SLOW_MS = 300
LATE_SECONDS = 3  # a client that ends later than this has not kept its rate
RUNS, RUN_SECONDS, START_SECONDS = 4, 0.25, 0.1  # of p99, and how long a client takes to start


def idle_worker(server):
    """Returns the pid of the worker that does not have the connection that creates."""
    workers = server.workers()
    before = {pid: cpu_ns(pid) for pid in workers}
    time.sleep(0.3)
    used = {pid: cpu_ns(pid) - before[pid] for pid in workers}
    idle, *others = sorted(workers, key=used.get)
    server.bench.expect(all(used[pid] > 3 * used[idle] for pid in others),
                        f"{server.name}: both workers are busy before anything is read")
    return idle


def give_own_cpu(server):
    """Leaves one CPU to the worker that will read. Returns its pid."""
    workers = server.workers()
    reader = workers[0] if len(workers) == 1 else idle_worker(server)
    server.pin(CLIENT_CPU)
    server.pin(SERVER_CPU, reader)
    return reader


def share_one_cpu(server):
    server.pin(SERVER_CPU)


@contextlib.contextmanager
def creating(bench, server, seconds):
    """Runs creates at a fixed rate. The caller reads meanwhile, for at most so many seconds."""
    rate = bench.rate(CREATES)
    argv = ON_CLIENT_CPU + before_others() + server.calls_argv(
        "create", "-n", int(rate * seconds), "-r", rate, "-m", 100_000)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True) as client:
        end = time.monotonic() + seconds
        try:
            yield
            bench.expect(client.poll() is None or client.returncode != 0,
                         f"{server.name}: the creates ended before the reads")
            if client.wait(60 + seconds) != 0:
                raise Failure(f"{server.name}: creates failed: {client.stderr.read()}")
            bench.expect(time.monotonic() < end + LATE_SECONDS,
                         f"{server.name}: creates fell behind {rate} a second")
        finally:
            if client.poll() is None:
                client.kill()


def p99s_us(bench, server, place, on_cpu, written=None):
    """Returns the p99 of each run. @param written the server that gets the creates, if it is another"""
    rate, runs = bench.rate(GETS), 1 if bench.smoke else RUNS
    with creating(bench, written or server, runs * (RUN_SECONDS + START_SECONDS) + 0.8):
        place(server)
        return [server.calls("get", server.user_id, "-n", int(rate * RUN_SECONDS), "-r", rate, "-m",
                             100_000, before=on_cpu + before_others())["p99_us"] for _ in range(runs)]


def p99s_apart_us(bench, server):
    return p99s_us(bench, server, give_own_cpu, ON_SERVER_CPU)


def p99s_on_one_cpu_us(bench, server):
    return p99s_us(bench, server, share_one_cpu, ON_CLIENT_CPU)


def cpus_us(bench, server, written=None):
    """Returns the CPU time of a call in each run. @param written as in p99s_us()"""
    gets, rate = bench.scale(CPU_GETS), bench.rate(BURSTS * BURST)
    runs, used = 1 if bench.smoke else CPU_RUNS, []
    with creating(bench, written or server, runs * (gets / rate + START_SECONDS) + 1):
        reader = give_own_cpu(server)
        for _ in range(runs):
            before = cpu_ns(reader)
            server.calls("get", server.user_id, "-n", gets, "-r", rate, "-b", BURST, "-m", 100_000,
                         before=ON_CLIENT_CPU + before_others())
            used.append((cpu_ns(reader) - before) / 1000 / gets)
    bench.expect(min(used) > 0.1, f"{server.name}: the worker that writes has read, too")
    return used


def compare(bench, what, slow_ms):
    def server(name, workers, durable):
        # a slow disk has thousands of calls of the one connection wait
        return Rosterd(bench, name, "--max-concurrent-streams", "100000", "--max-connection-memory",
                       "256M", workers=workers, slow=slow_ms > 0, pinned=False, durable=durable)
    apart = server("apart", 2, True), server("apart-memory", 2, False)
    together = server("together", 1, True), server("together-memory", 1, False)
    written = server("neighbour", 1, True)  # for the control rows, and who reads beside it:
    control = apart[0], server("quiet-memory", 1, False)

    def beside(measure):
        return lambda bench, one: measure(bench, one, written=None if one.durable else written)

    def p99s_beside_us(bench, one, written):
        return p99s_us(bench, one, give_own_cpu, ON_SERVER_CPU, written)

    figures = [  # title, function, servers, times in each round, the largest ratio
        ("GetUser, CPU a call, {}", cpus_us, apart, 20, 1.05),
        ("GetUser, p99, {}, on another worker", p99s_apart_us, apart, 12, 1.10),
        ("GetUser, p99, {}, on the worker that creates", p99s_apart_us, together, 20, 1.10),
        ("GetUser, CPU a call, {}, against memory only that another server's creates run beside",
         beside(cpus_us), control, 8, None),
        ("GetUser, p99, likewise", beside(p99s_beside_us), control, 4, None),
        ("GetUser, p99, {}, on another worker, all of the server on one CPU",
         p99s_on_one_cpu_us, apart, 1, None),
        ("GetUser, p99, {}, on the worker that creates, likewise", p99s_on_one_cpu_us, together, 1, None)]
    seen = {title: ([], []) for title, *_ in figures}
    everyone = (*apart, *together, written, control[1])
    with bench.running(*everyone), no_sleep():
        written.pin(CLIENT_CPU)
        for one in everyone:
            one.fill(bench.scale(100_000))
            one.user_id = one.client("list", 1)["first_id"]
            if slow_ms > 0:
                one.slow.write_text(str(slow_ms))
        for one in (apart[0], together[0], written):
            if one.client("create")["p50_us"] < slow_ms * 1000:
                raise Failure(f"{one.name}: a create took less than an fdatasync, {slow_ms} ms")
        for _ in range(bench.runs):
            for title, measure, servers, times, _ in figures:
                for turn in range(1 if bench.smoke else times):
                    for one, values in list(zip(servers, seen[title]))[::1 if turn % 2 else -1]:
                        values.append(median(measure(bench, one)))
        for one in everyone:
            if slow_ms > 0:
                one.slow.unlink()
    for title, _, _, _, most in figures:
        mine, other = map(median, seen[title])
        ratio = paired_ratio(*seen[title])
        bench.row(title.format(what), f"{mine:.2f} us", f"{other:.2f} us", f"{ratio:.2f}", most,
                  most is None or ratio <= most)


def beside_creates(bench):
    compare(bench, f"while {CREATES:,} creates a second run", 0)


def beside_a_slow_disk(bench):
    compare(bench, f"while they run and each fdatasync takes {SLOW_MS} ms", SLOW_MS)
