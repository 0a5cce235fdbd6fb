# SPDX-License-Identifier: MIT
"""What the README and the manual pages show is true."""
import pathlib
import re
import subprocess
import sys

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


def test_readme_lists_the_servers_options_and_their_defaults():
    help_text = subprocess.run([ROSTERD, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    rows = re.findall(r"^\| `--([a-z-]+)(?: [A-Z]+)?` \| (.*?) \|", read("README.md"), re.M)
    assert {name for name, _ in rows} == options_of(ROSTERD) - {"help", "version"}
    for name, default in rows:
        shown = re.search(rf"^  --{name} .*\(default (.*)\)$", help_text, re.M)
        if shown:
            assert default.replace("`", "") == shown.group(1)


def manual_options(page):
    return set(re.findall(r"\\-\\-([a-z]+(?:\\-[a-z]+)*)", read(page)))


def test_manual_pages_name_the_very_options_of_the_programs():
    server = {name.replace("\\-", "-") for name in manual_options("docs/rosterd.8")}
    assert server - {"option"} == options_of(ROSTERD)
    tool = {name.replace("\\-", "-") for name in manual_options("docs/shm-inspect.1")}
    assert tool == options_of(SHM_INSPECT)
