#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the table on disk: what durability costs writes, reads, the start and the disk.

Every program has a folder of its own in one folder on one disk, and runs are interleaved. CPU time
is that of the server's whole process tree. Peers that are not installed are left out; scripts/setup
--durable installs them. Exit 1 if a target is missed. scripts/bench --durable calls this program.
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import reads  # noqa: E402
import starts  # noqa: E402
import writes  # noqa: E402
from measure import CPUS, machine, put_table  # noqa: E402
from parties import Failure  # noqa: E402

PARTS = {"one": writes.one_at_a_time, "many": writes.hundred_in_flight,
         "rate": writes.at_a_rate, "batch": writes.batches,
         "reads": reads.beside_creates, "slow": reads.beside_a_slow_disk, "start": starts.small}
LARGE = {"large": starts.large}
HEAD = ["| figure | rosterd | against | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]


def file_system(folder):
    """Returns the type of the file system that the folder is on."""
    best = ("", "")
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        point, kind = line.split()[4], line.partition(" - ")[2].split()[0]
        if os.path.commonpath([point, folder.resolve()]) == point and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


class Bench:
    body_bytes = 52  # of a user: a name, an e-mail address, the time, a role

    def __init__(self, args):
        self.build, self.smoke = pathlib.Path(args.build).resolve(), args.smoke
        self.runs = 1 if args.smoke else args.runs
        self.divisor = 200 if args.smoke else 20 if args.quick else 1
        self.load_seconds = 4 if self.divisor == 1 else 1
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="durable-", dir=args.dir or args.build))
        self.folder.chmod(0o755)  # PostgreSQL may run as another user
        self.folder = self.folder.resolve()
        self.cpus, self.max_users = len(CPUS), 16_000_000
        self.rows, self.failed = [], False

    def scale(self, calls):
        return max(1, calls // self.divisor)

    def rate(self, calls):
        """How many calls a second a client makes."""
        return calls // 10 if self.smoke else calls

    def expect(self, condition, what):
        """A condition without which a figure means nothing. A busy machine may not meet it, so a
        smoke test does not ask."""
        if not condition and not self.smoke:
            raise Failure(what)

    @contextlib.contextmanager
    def running(self, *programs):
        """Starts the programs; in the end stops and removes them."""
        try:
            for program in programs:
                program.start()
            yield
        finally:
            for program in programs:
                program.remove()

    def row(self, what, ours, other, ratio, target, good, at_least=False):
        target = "" if target is None else f"at least {target}" if at_least else f"{target}"
        judged = target and other != "not installed" and not self.smoke
        verdict = "" if not judged else "reached" if good else "missed"
        self.failed |= verdict == "missed"
        self.rows.append((what, ours, other, ratio, target, verdict))
        print(f"{what}\n{'':20} {ours:>14} {other:>14} {ratio:>8}  "
              f"{'target ' + target if target else '':18} {verdict.upper()}".rstrip(), flush=True)

    def part(self, name, measure):
        try:
            measure(self)
        except Failure as failure:
            self.failed = True
            print(f"{name}: no figures: {failure}", flush=True)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def caption(bench, kind):
    return (f"Medians of {bench.runs} interleaved runs on {machine()}; {kind}, "
            f"one disk for all.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--dir", help="a folder on the disk to measure (default: the build folder)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer calls and users")
    parser.add_argument("--smoke", action="store_true",
                        help="a short round for the suite: every part once, no figure fails")
    parser.add_argument("--large", action="store_true", help="only the start with 10 M users")
    parser.add_argument("--part", action="append", choices=[*PARTS, *LARGE],
                        help="only this part; may be repeated")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    parts = {**PARTS, **LARGE}
    chosen = args.part or list(LARGE if args.large else PARTS)
    bench = Bench(args)
    try:
        kind = file_system(bench.folder)
        if kind in ("tmpfs", "ramfs", "overlay") and not args.smoke:
            raise SystemExit(f"{bench.folder} is on {kind}: name a folder on a disk by --dir")
        if os.getloadavg()[0] > 1 and not args.smoke:
            print(f"the machine is busy (load {os.getloadavg()[0]:.1f}): do not trust what follows",
                  file=sys.stderr)
        for name in chosen:
            bench.part(name, parts[name])
    finally:
        bench.close()
    if args.write:
        put_table(args.write, "durable-large" if args.large else "durable", [
            caption(bench, kind), "", *HEAD, *("| " + " | ".join(row) + " |" for row in bench.rows)])
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
