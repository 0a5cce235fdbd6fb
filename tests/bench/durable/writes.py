# SPDX-License-Identifier: MIT
"""What a durable write costs: one at a time, a hundred in flight, in a batch."""
import os
from statistics import median

from measure import cpu_ns
from parties import Postgres, Redis, Rosterd, bare_append, paired_ratio

BATCH = 100_000
RATE, RATE_SECONDS = 10_000, 2


def one_at_a_time(bench):
    """The journal's writes are counted first; the bare append then writes as many bytes. No program
    is pinned."""
    calls = bench.scale(2000)
    ours = Rosterd(bench, "one", pinned=False)
    memory = Rosterd(bench, "one-memory", durable=False, pinned=False)
    with bench.running(ours, memory):
        ours.client("create", "-n", 2 * calls)  # from here on the log is written over old bytes
        before = ours.bytes_written()
        first = ours.client("create", "-n", calls)
        journal = round((ours.bytes_written() - before) / calls)
        user = round(first["bytes"] / calls) - 5  # without the length prefix
        seen = {key: [] for key in ("ours", "memory", "journal", "user", "over")}
        for _ in range(bench.runs):
            seen["ours"].append(ours.client("create", "-n", calls))
            seen["journal"].append(bare_append(bench, journal, calls))
            seen["user"].append(bare_append(bench, user, calls))
            seen["over"].append(bare_append(bench, journal, calls, over=True))
            seen["memory"].append(memory.client("create", "-n", calls))

    def figure(key, percentile):
        return median(run[percentile] for run in seen[key])

    def row(what, key, percentile, most=None):
        mine, other = figure("ours", percentile), figure(key, percentile)
        bench.row(what, f"{mine:.0f} us", f"{other:.0f} us", f"{mine / other:.2f}", most,
                  most is None or mine / other <= most)
    row(f"CreateUser one at a time, p50, against an append and fdatasync of {journal} bytes, as "
        "many as the journal writes", "journal", "p50_us", 1.5)
    row("the same, p99", "journal", "p99_us")
    row(f"p50, against an append and fdatasync of {user} bytes, the user itself", "user", "p50_us",
        1.5)
    row("the same, p99", "user", "p99_us")
    row(f"p50, against writing {journal} bytes over old ones and fdatasync", "over", "p50_us")
    row("p50, against a server in memory only", "memory", "p50_us")


def hundred_in_flight(bench):
    """No program is pinned: PostgreSQL uses every CPU. Each client has a server of its own, so that
    all tables but PostgreSQL's grow alike."""
    calls = bench.scale(200_000)
    ours = Rosterd(bench, "many", pinned=False, workers=bench.cpus)
    by_h2load = Rosterd(bench, "many-h2load", pinned=False, workers=bench.cpus)
    peers = {}
    if Redis.program:
        peers["redis"] = Redis(bench)
    if Postgres.folder_of_programs():
        peers["postgres"] = Postgres(bench)
    seen = {key: {} for key in ("ours", "h2load", *peers)}  # by turn
    with bench.running(ours, by_h2load, *peers.values()):
        ours.fill(1)
        by_h2load.fill(1)
        key, body = 16, bench.body_bytes
        loads = {
            "ours": lambda: ours.creates_per_second(calls, 1, 100),
            "redis": lambda: peers["redis"].sets_per_second(calls, 1, 100, key, body),
            "h2load": lambda: by_h2load.creates_per_second_by_h2load(calls, 1, 100),
            "postgres": lambda: peers["postgres"].inserts_per_second(bench.load_seconds, 32, body)}
        for turn in range(1 if bench.smoke else 5 * bench.runs):
            for name in list(loads)[::1 if turn % 2 == 0 else -1]:
                if name in seen and (name in ("ours", "redis") or turn % 3 == 0):
                    os.sync()  # what another one has left for the disk to do
                    seen[name][turn] = loads[name]()
    mine = median(seen["ours"].values())

    def row(what, key, least):
        if not seen.get(key):
            bench.row(what, f"{mine:,.0f}/s", "not installed", "", least, True)
            return
        other = median(seen[key].values())
        ratio = paired_ratio([seen["ours"][turn] for turn in seen[key]], seen[key].values())
        bench.row(what, f"{mine:,.0f}/s", f"{other:,.0f}/s", f"{ratio:.2f}", least,
                  least is None or ratio >= least, at_least=True)
    row("CreateUsers a second, 100 in flight, against Redis, appendfsync always, 100 pipelined "
        "SETs", "redis", 1)
    version = peers["postgres"].version if "postgres" in peers else "15"
    row(f"against PostgreSQL {version}, synchronous_commit on, 32 connections", "postgres", 5)
    row("against another rosterd, with h2load as the client", "h2load", None)


def at_a_rate(bench):
    """Clients that do not wait for their answers. No program is pinned."""
    rate = bench.rate(RATE)
    calls = bench.scale(rate * RATE_SECONDS)
    options = ("--max-concurrent-streams", "100000", "--max-connection-memory", "256M")
    ours = Rosterd(bench, "rate", *options, pinned=False)
    memory = Rosterd(bench, "rate-memory", *options, durable=False, pinned=False)
    seen, syncs = {ours: [], memory: []}, []
    with bench.running(ours, memory):
        for server in seen:
            server.fill(1000)
        for turn in range(1 if bench.smoke else 4 * bench.runs):
            for server in list(seen)[::1 if turn % 2 else -1]:
                before = cpu_ns(server.process.pid), server.syncs() if server.durable else 0
                done = server.calls("create", "-n", calls, "-r", rate, "-m", 50_000)
                used = (cpu_ns(server.process.pid) - before[0]) / 1e9 / done["seconds"]
                seen[server].append((done["p50_us"], done["p99_us"], used))
                if server.durable:
                    syncs.append((server.syncs() - before[1]) / done["seconds"])
    (p50, p99, used), (*others, other_used) = (map(median, zip(*seen[server])) for server in seen)
    for what, mine, other in (("CreateUser, {:,} a second, p50", p50, others[0]),
                              ("the same, p99", p99, others[1])):
        bench.row(what.format(rate), f"{mine:.0f} us", f"{other:.0f} us", f"{mine / other:.1f}",
                  None, True)
    bench.row("the same, CPUs that the server uses, journal included", f"{used:.2f}",
              f"{other_used:.2f}", f"{used / other_used:.1f}", None, True)
    bench.row("the same, syncs a second", f"{median(syncs):,.0f}", "", "", None, True)


def batches(bench):
    ours, memory = Rosterd(bench, "batch"), Rosterd(bench, "batch-memory", durable=False)
    users = bench.scale(BATCH)
    seen = {ours: [], memory: []}
    with bench.running(ours, memory):
        for _ in range(bench.runs):
            for server, values in seen.items():
                before = server.settled_cpu_ns()
                server.client("batch", users)
                values.append((server.settled_cpu_ns() - before) / 1000 / users)
    mine, other = median(seen[ours]), median(seen[memory])
    bench.row(f"BatchCreateUsers of {users:,}, server CPU a user, journal included, against a "
              "server in memory only", f"{mine:.2f} us", f"{other:.2f} us", f"{mine / other:.1f}",
              "6 us", mine <= 6)
