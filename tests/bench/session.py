#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Our http2 layer compared with nghttp2's session: instructions and CPU time per call, and memory.

    tests/bench/session.py [--build FOLDER] [--runs N]

The same requests (200 bytes, echoed, with a trailer) go to both. Instructions are counted by
callgrind and are the same in every run. CPU time is the median of interleaved runs, with the lowest
and the highest. docs/architecture.md quotes the table.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import tempfile

PARTIES = ("ours", "nghttp2")
CASES = (("same", 100), ("same", 1), ("changing", 100), ("changing", 1))
CONNECTIONS = 1000


def run(program, *args):
    return subprocess.run([program, *map(str, args)], check=True, capture_output=True,
                          text=True).stdout.split()


def instructions(program, party, blocks, depth, calls=4000):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             f"--callgrind-out-file={folder}/out", program, party, "calls", blocks, str(depth),
             str(calls)], check=True, capture_output=True, text=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1)) / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=".")
    parser.add_argument("--runs", type=int, default=11)
    args = parser.parse_args()
    program = str(pathlib.Path(args.build) / "tests/bench/session")

    print(f"{'header blocks':<14}{'at a time':>10}  {'':<18}{'ours':>16}{'nghttp2':>16}{'ratio':>7}")
    for blocks, depth in CASES:
        counts = [instructions(program, party, blocks, depth) for party in PARTIES]
        print(f"{blocks:<14}{depth:>10}  {'instructions':<18}{counts[0]:>16.0f}{counts[1]:>16.0f}"
              f"{counts[1] / counts[0]:>7.2f}")
    for blocks, depth in CASES:
        times = {party: [] for party in PARTIES}
        for _ in range(args.runs):
            for party in PARTIES:
                times[party] += map(int, run(program, party, "calls", blocks, depth, 40000))
        shown = [f"{statistics.median(t):.0f} ({min(t)}-{max(t)})" for t in times.values()]
        ratio = statistics.median(times["nghttp2"]) / statistics.median(times["ours"])
        print(f"{blocks:<14}{depth:>10}  {'CPU ns':<18}{shown[0]:>16}{shown[1]:>16}{ratio:>7.2f}")
    memory = [tuple(map(int, run(program, party, "idle", CONNECTIONS))) for party in PARTIES]
    for when, (ours, theirs) in zip(("after handshake", "after a call"), zip(*memory)):
        print(f"{'idle, bytes':<26}{when:<18}{ours:>16}{theirs:>16}{theirs / ours:>7.2f}")


if __name__ == "__main__":
    main()
