# SPDX-License-Identifier: MIT
"""How connections are distributed over workers, and what a stopped worker costs."""
import collections
import contextlib
import os
import re
import signal
import time

import pytest

from harness import wait_for
from wire import Wire


def connections_of(rosterd):
    """{pid: sockets of the worker}; compare it with the counts of workers without connections."""
    counts = collections.Counter()
    for pid in rosterd.worker_pids():
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                counts[pid] += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return counts


def spread(rosterd, count):
    """Opens `count` connections; @return how many of them each worker took, sorted"""
    before = connections_of(rosterd)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(Wire(rosterd.connect())).wait_ready()
        after = connections_of(rosterd)
        return sorted(after[pid] - before[pid] for pid in rosterd.worker_pids())


def test_eight_connections_on_four_workers_are_spread_evenly(start):
    rosterd = start(workers=4)
    empty = connections_of(rosterd)
    for _ in range(20):
        assert spread(rosterd, 8) == [2, 2, 2, 2]
        wait_for(lambda: connections_of(rosterd) == empty, 10, "all closed")


def test_eight_simultaneous_connections_are_spread_evenly(start):
    rosterd = start(workers=4)
    before = connections_of(rosterd)
    for _ in range(20):
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(Wire(rosterd.connect())) for _ in range(8)]
            for connection in waiting:
                connection.wait_ready()
            after = connections_of(rosterd)
            assert [after[pid] - before[pid] for pid in rosterd.worker_pids()] == [2, 2, 2, 2]
        wait_for(lambda: connections_of(rosterd) == before, 10, "all gone")


def test_a_thousand_connections_spread_within_a_tenth(start):
    rosterd = start(workers=4)
    counts = spread(rosterd, 1000)
    assert sum(counts) == 1000
    assert counts[0] >= 225 and counts[-1] <= 275, counts


def test_stopped_worker_delays_one_connection_only(start):
    rosterd = start(workers=4)
    stopped = rosterd.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    waits = []
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                began = time.monotonic()
                stack.enter_context(Wire(rosterd.connect())).wait_ready()
                waits.append(time.monotonic() - began)
    finally:
        os.kill(stopped, signal.SIGCONT)
    # Only the first connection waits for the stopped worker, and not until it goes on. On a busy machine
    # some others wait for a CPU.
    assert max(waits) < 2, waits
    assert sorted(waits)[30] < 0.04, waits


def test_respawned_worker_takes_new_connections_until_it_has_as_many(start):
    rosterd = start(workers=2)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Wire(rosterd.connect())).wait_ready()
        os.kill(rosterd.worker_pids()[0], signal.SIGKILL)
        wait_for(lambda: rosterd.log().count(" accepts") == 3, 10, "its successor")
        assert spread(rosterd, 4) == [0, 4]


@pytest.mark.slow
def test_worker_without_progress_is_killed_and_replaced(start):
    rosterd = start("--worker-timeout", "5s", workers=2)
    time.sleep(7)  # an idle worker makes progress, too: its loop turns each second
    assert "no progress" not in rosterd.log()
    before = rosterd.worker_pids()
    os.kill(before[0], signal.SIGSTOP)
    rosterd.wait_log(rf"worker \d \(pid {before[0]}\) has made no progress for \d+ ms: it is killed", 15)
    rosterd.wait_log(rf"\(pid {before[0]}\) killed by signal 9")
    wait_for(lambda: len(set(rosterd.worker_pids()) - {before[0]}) == 2, 10, "its successor")
    assert before[1] in rosterd.worker_pids()


def test_limits_are_set_and_reported(start):
    rosterd = start("--worker-cpu-affinity", "auto", "--worker-oom-score-adjust", "150")
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        own = int(file.read())
    for pid in rosterd.worker_pids():
        assert len(os.sched_getaffinity(pid)) == 1
        with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
            assert int(file.read()) == min(1000, own + 150)
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            assert re.search(r"^Max core file size +0 ", file.read(), re.M)
    rosterd.wait_log(r"limits: \d+ descriptors per process, core-dumps off, worker-cpu-affinity auto, "
                     r"oom_score_adj -?\d+, plus 150 in workers")
