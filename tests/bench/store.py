#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs tests/bench/store/bench_store and prints its figures as an aligned table.

Exit 1 if a target is missed. scripts/bench builds what this program needs and calls it.
"""
import argparse
import pathlib
import subprocess
import sys

from measure import machine, put_table


def aligned(row):
    what, ours, other, ratio, target, verdict = row
    against = f"{ratio:>6}  target {target:5}" if target else ""
    return f"{what:62} {ours:>10} {other:>10} {against:21} {verdict}".rstrip()


def run(build, options):
    """Prints the rows as they come. Returns them, and whether all targets were reached."""
    program = pathlib.Path(build) / "tests/bench/store/bench_store"
    rows = []
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            rows.append(line.rstrip("\n").split("\t"))
            print(aligned(rows[-1]), flush=True)
    if process.returncode != 0 and not any(row[-1] == "MISSED" for row in rows):
        raise SystemExit("the store's benchmark failed")
    return rows, process.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="smaller tables, fewer rounds")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    options = ["--rounds", str(args.rounds)]
    if args.quick:
        options = ["--small", "400000", "--large", "2000000", "--rounds", "3"]
    rows, good = run(args.build, options)
    if args.write:
        lines = [f"Medians of {args.rounds} rounds on {machine()}.", "",
                 "| figure | store | against | ratio | target | |",
                 "| --- | --- | --- | --- | --- | --- |"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        put_table(args.write, "store", lines)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
