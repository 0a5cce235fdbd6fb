#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long the writer lock is held: runs tests/bench/hold and prints its table.

Exit 1 where a target is missed. make bench-hold calls it.
"""
import argparse
import pathlib
import subprocess
import sys

from measure import machine, put_table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    parser.add_argument("scene", nargs="?", help="only one: single, batches, pins, maintain, email, page")
    args = parser.parse_args()
    program = [str(pathlib.Path(args.build) / "tests/bench/hold"), "--full"]
    lines = []
    with subprocess.Popen(program + ([args.scene] if args.scene else []), stdout=subprocess.PIPE,
                          text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append("| " + " | ".join(cell.strip() for cell in line.strip("|\n").split("|"))
                         + " |")
    if process.returncode not in (0, 1):
        raise SystemExit("the program failed")
    if args.write:
        put_table(args.write, "hold", [f"On {machine()}.", "", *lines])
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
