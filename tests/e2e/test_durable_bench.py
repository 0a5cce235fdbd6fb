# SPDX-License-Identifier: MIT
"""The benchmark of the table on disk still runs: each part once, with few calls, without judging figures."""
import pathlib
import re
import subprocess

import pytest

from harness import OUT, ROSTERD, SANITIZED

MAIN = pathlib.Path(__file__).resolve().parents[1] / "bench" / "durable" / "main.py"
BUILD = pathlib.Path(ROSTERD).resolve().parents[2]
ROWS = {"one": 6, "many": 3, "rate": 4, "batch": 1, "reads": 7, "slow": 7, "start": 5}


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.skipif(not (BUILD / "tests/bench/client").exists(), reason="built without libnghttp2")
@pytest.mark.parametrize("part", ROWS)
def test_each_part_of_the_benchmark_fills_its_rows(part, tmp_path):
    if part == "slow" and SANITIZED:
        return  # the sanitizer's library and the one that delays would both have to come first
    page = tmp_path / "page.md"
    page.write_text("<!-- durable -->\n<!-- /durable -->\n")
    done = subprocess.run(
        ["/usr/bin/python3", MAIN, "--build", BUILD, "--dir", OUT, "--smoke", "--part", part,
         "--write", page], capture_output=True, text=True, timeout=190)
    assert done.returncode == 0, done
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) == ROWS[part], page.read_text()
    for row in rows:
        _, ours, against, ratio, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        assert re.match(r"[\d,.]*[1-9]", ours), row
        assert against in ("", "not installed") or re.match(r"[\d,.]*[1-9]", against), row
        assert (ratio == "") == (against in ("", "not installed")), row
    assert not list(OUT.glob("durable-*"))
