#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the test cases that `make check` ran in a build tree.

    tests/tally.py BUILD

Reads automake's .trs file of each test program; the .log of a cmocka program, which names its cases;
and the *.junit.xml files that pytest and h2spec write. Without a .trs file the *.junit.xml files are
counted by themselves. Prints each failed case with its reason, then `N passed, N failed`. A program
that crashed and a test that was skipped count as failed, because the suite has to run as a whole.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

RAN = re.compile(r"^\[ +OK +\] (.+)$", re.M)
FAILED = re.compile(r"^\[  FAILED  \] (?!\d+ test\(s\))(.+)$", re.M)
SKIPPED = re.compile(r"^\[  SKIPPED \] (?!\d+ test\(s\))(.+)$", re.M)
STARTED = re.compile(r"^\[ RUN +\] (.+)$", re.M)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failures = []

    def cmocka(self, program, log, result):
        passed = RAN.findall(log)
        self.passed += len(passed)
        # The summary of cmocka names failed tests a second time.
        bad = list(dict.fromkeys(FAILED.findall(log)))
        self.failures += [(f"{program}: {name}", excerpt(log, name)) for name in bad]
        self.failures += [(f"{program}: {name}", "skipped")
                          for name in dict.fromkeys(SKIPPED.findall(log))]
        if result != "PASS" and not bad:
            started = STARTED.findall(log)
            where = f" in {started[-1]}" if started else ""
            self.failures.append((f"{program} ended with {result}{where}", log[-3000:]))

    def junit(self, path):
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
        if not cases:
            self.failures.append((str(path), "no test case ran"))
        for case in cases:
            bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
            if not bad:
                self.passed += 1
                continue
            name = f"{case.get('classname') or case.get('package')}: {case.get('name')}"
            text = "\n".join(f"{child.get('message') or ''}\n{child.text or ''}" for child in bad)
            self.failures.append((name, f"{bad[0].tag}: {text.strip()[-3000:]}"))


def excerpt(log, name):
    start = log.find(f"[ RUN      ] {name}")
    end = log.find("[ RUN ", start + 1)
    return log[start:end if end > 0 else None][:3000]


def main(build):
    tally = Tally()
    programs = sorted(build.rglob("*.trs"))
    reports = sorted(build.rglob("*.junit.xml"))
    for trs in programs:
        program = trs.with_suffix("").relative_to(build)
        result = re.search(r"^:test-result: (\w+)", trs.read_text(), re.M)
        result = result.group(1) if result else "no result"
        log = trs.with_suffix(".log").read_text(errors="replace")
        own = [path for path in reports if path.name.startswith(program.name + "-")]
        if STARTED.search(log):
            tally.cmocka(program, log, result)
        elif own:
            before = len(tally.failures)
            for path in own:
                tally.junit(path)
            if result != "PASS" and len(tally.failures) == before:
                tally.failures.append((f"{program} ended with {result}", log[-3000:]))
        elif result == "PASS":
            tally.passed += 1
        else:
            tally.failures.append((f"{program} ended with {result}", log[-3000:]))
    if not programs:  # only reports
        for path in reports:
            tally.junit(path)
        if not reports:
            tally.failures.append((str(build), "no test program ran"))
    for name, why in tally.failures:
        print(f"FAILED {name}")
        print("\n".join("    " + line for line in why.splitlines()))
    print(f"{tally.passed} passed, {len(tally.failures)} failed")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
