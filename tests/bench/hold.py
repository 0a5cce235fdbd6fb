#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs tests/bench/hold several times and prints its table: how long the writer lock is held.

Each row is from the run in which it was lowest. On a virtual machine, time that the host gives
to other guests in the middle of a hold counts as CPU time of the guest's thread: milliseconds
between two instructions, without a page fault. Such time only adds to the store's own, and it
comes and goes. Exit 1 if a target is missed. make bench-hold calls this program.
"""
import argparse
import pathlib
import subprocess
import sys

from measure import machine, put_table

HEAD = ["microseconds of CPU in one hold", "holds", "p50", "p99", "p99.9", "max", "at most", ""]


def run(program):
    """Runs the program once and prints its rows as they come. Returns the rows: text, five numbers,
    target."""
    rows = []
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            cells = [cell.strip() for cell in line.strip("|\n").split("|")]
            if len(cells) == len(HEAD) and cells[1].isdigit():
                rows.append((cells[0], [float(cell) for cell in cells[1:6]], cells[6]))
    if process.returncode not in (0, 1):
        raise SystemExit("the program failed")
    return rows


def least(runs):
    """Returns the cells of the table, and whether all targets were reached."""
    table, good = [], True
    for same in zip(*runs):
        figure, most = same[0][2].split()
        column = HEAD.index(figure) - 1
        what, numbers, target = min(same, key=lambda row: row[1][column])
        reached = numbers[column] <= float(most)
        good = good and reached
        table.append([what, f"{numbers[0]:.0f}", *(f"{number:.1f}" for number in numbers[1:]),
                      target, "reached" if reached else "missed"])
    return table, good


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("scene", nargs="?", help="only one: single, batches, pins, maintain, email, page")
    args = parser.parse_args()
    program = [str(pathlib.Path(args.build) / "tests/bench/hold"), "--full"]
    program += [args.scene] if args.scene else []
    table, good = least([run(program) for _ in range(args.runs)])
    lines = ["| " + " | ".join(HEAD) + " |", "| --- " * len(HEAD) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    print(f"\nThe least of {args.runs} runs:", *lines, sep="\n")
    if args.write:
        put_table(args.write, "hold", [f"The least of {args.runs} runs on {machine()}.", "", *lines])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
