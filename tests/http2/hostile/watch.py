# SPDX-License-Identifier: MIT
"""Watches the server during an attack: the memory of its process tree, the latency of an honest
client, whether a process dies, and whether the server uses no CPU time afterwards.

HOSTILE_LATENCY=1 bounds the honest client's latency to what people notice, for a machine that does
nothing else (make hostile). Otherwise the bounds are so wide that only a stalled server fails."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from harness import SANITIZED, cpu_seconds, resident, wait_for

MIB = 1 << 20
LATENCY = os.environ.get("HOSTILE_LATENCY")
ATTACK_SECONDS = 1.0 if LATENCY else 0.3
KEPT_MS, FRESH_MS = (50, 100) if LATENCY else (2000, 4000)
if SANITIZED:
    KEPT_MS, FRESH_MS = 5 * KEPT_MS, 5 * FRESH_MS
LOOK_SECONDS = 0.005


def tree(rosterd):
    return [rosterd.process.pid, *rosterd.worker_pids()]


def held(rosterd):
    """Private memory of master and workers, in bytes."""
    total = 0
    for pid in tree(rosterd):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, AttributeError):
            total += resident(pid)
    return total


class Peak:
    """Measures the most memory that the server holds inside a `with` block."""

    def __init__(self, rosterd):
        self.rosterd, self.before = rosterd, held(rosterd)
        self.most = self.before
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(LOOK_SECONDS):
            self.look()

    def look(self):
        self.most = max(self.most, held(self.rosterd))

    @property
    def grown(self):
        return (self.most - self.before) / MIB

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.look()


TOKEN = "a-token-of-the-hostile-tests"


def token_file(directory):
    """@return options for a server whose calls need TOKEN; beside() uses it"""
    path = directory / "tokens"
    path.write_text(f"{TOKEN} beside\n")
    path.chmod(0o600)
    return ["--auth-token-file", str(path)]


@contextlib.contextmanager
def beside(rosterd):
    """Runs beside.py in a process of its own. @return its report, filled when the block ends"""
    address = next((each for each in rosterd.listen if each.startswith("unix:")), rosterd.target())
    token = [TOKEN] if "--auth-token-file" in rosterd.options else []
    process = subprocess.Popen([sys.executable, str(pathlib.Path(__file__).parent / "beside.py"),
                                address, *token], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        report = {}
        yield report
        report.update(json.loads(process.communicate("\n", timeout=60)[0]))
    finally:
        process.kill()
        process.wait()


def is_quiet(rosterd):
    before = [cpu_seconds(pid) for pid in tree(rosterd)]
    time.sleep(0.3)
    after = [cpu_seconds(pid) for pid in tree(rosterd)]
    return sum(after) - sum(before) <= 0.02


@contextlib.contextmanager
def watched(rosterd, quiet, mib, name):
    """Runs an attack and checks what this module watches.
    @param quiet the report of a client while there was no attack, for comparison
    @param mib the most that the private memory of the process tree may grow by
    @return a function that measures the memory once more, in addition to every LOOK_SECONDS"""
    pids = tree(rosterd)
    with Peak(rosterd) as peak:
        with beside(rosterd) as report:
            yield peak.look
            peak.look()
            time.sleep(0.2)
    assert not report["errors"] and report["calls"] > 0, report
    assert tree(rosterd) == pids, rosterd.log()
    bound = mib if not SANITIZED else 4 * mib + 64
    assert peak.grown < bound, f"{peak.grown:.1f} MiB"
    # no loop continues to work for connections that the attacker has left
    wait_for(lambda: is_quiet(rosterd), 20, "no CPU time used")
    print(f"\n{name}: {peak.grown:.2f} of {mib} MiB, p99 {report['kept_p99']:.2f} ms kept, "
          f"{report['fresh_p99'] or 0:.2f} ms fresh (quiet: {quiet['kept_p99']:.2f}, "
          f"{quiet['fresh_p99']:.2f})")
    assert report["kept_p99"] < KEPT_MS and (report["fresh_p99"] or 0) < FRESH_MS, report
