# SPDX-License-Identifier: MIT
"""What the README and the manual pages show is true."""
import pathlib
import re
import subprocess
import sys

import pytest

from harness import PROTO, ROSTERD, SHM_INSPECT

ROOT = pathlib.Path(PROTO).parent


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def options_of(program):
    help_text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    return set(re.findall(r"--([a-z][a-z-]+)", help_text))


def test_example_client_prints_what_the_readme_shows(start):
    server = start()
    done = subprocess.run([sys.executable, ROOT / "docs/examples/client.py", server.target()],
                          capture_output=True, text=True, check=True, timeout=60)
    shown = "".join(f"    {line}\n" for line in done.stdout.splitlines())
    assert done.stdout.count("\n") == 8
    assert f"\n\n{shown}\n" in read("README.md")


def test_readme_shows_options_of_the_server_and_their_defaults():
    help_text = subprocess.run([ROSTERD, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    rows = re.findall(r"^\| `--([a-z-]+)(?: [A-Z]+)?` \| (.*?) \|", read("README.md"), re.M)
    assert len(rows) > 10 and {name for name, _ in rows} < options_of(ROSTERD)
    assert f"prints all {len(options_of(ROSTERD))}" in read("README.md")
    for name, default in rows:
        shown = re.search(rf"^  --{name} .*\(default (.*)\)$", help_text, re.M)
        if shown:
            assert default.replace("`", "") == shown.group(1)


def manual_options(page):
    return {name.replace("\\-", "-")
            for name in re.findall(r"\\-\\-([a-z]+(?:\\-[a-z]+)*)", page)}


def built(page):
    """It is made of the table of options."""
    return (pathlib.Path(ROSTERD).parents[2] / page).read_text(encoding="utf-8")


def test_manual_pages_name_the_very_options_of_the_programs():
    assert manual_options(built("docs/rosterd.8")) - {"option"} == options_of(ROSTERD)
    assert manual_options(read("docs/shm-inspect.1")) == options_of(SHM_INSPECT)


def test_manual_of_the_file_names_every_key():
    keys = {name.replace("\\-", "-")
            for name in re.findall(r"^\.BI ([a-z\\-]+) \" = ", built("docs/rosterd.conf.5"), re.M)}
    dumped = subprocess.run([ROSTERD, "--dump-config"], capture_output=True, text=True, check=True,
                            timeout=20).stdout
    assert keys == set(re.findall(r"^(?:# )?([a-z-]+) ", dumped, re.M))


@pytest.mark.parametrize("page", ["docs/rosterd.8", "docs/rosterd.conf.5", "docs/shm-inspect.1"])
def test_manual_pages_are_well_formed(page):
    text = built(page) if (pathlib.Path(ROSTERD).parents[2] / page).exists() else read(page)
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=text,
                          capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
