# SPDX-License-Identifier: MIT
"""What HACKING.md, SECURITY.md and the README tell a contributor exists."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ["TREE_BUILD"])
PAGES = ["HACKING.md", "SECURITY.md", "README.md"]
TOPS = "docs|examples|proto|scripts|shm|src|tests|debian"


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page):
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", read(page), re.M)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", read(page)):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        assert not path or (ROOT / path).exists(), link
        if anchor:
            assert anchor in anchors(path or page), link


@pytest.mark.parametrize("page", PAGES)
def test_paths_that_a_page_names_exist(page):
    named = {path for path in re.findall(rf"`((?:{TOPS})/[\w/.-]+)`", read(page))
             if not re.search(r"NAME|AREA|TARGET|/out/", path)}
    assert {path for path in named
            if not (ROOT / path).exists() and not (ROOT / f"{path}.c").exists()} == set()


def test_targets_and_options_that_hacking_names_exist():
    listed = subprocess.run(["make", "help"], cwd=BUILD, capture_output=True, text=True,
                            check=True).stdout
    targets = {line.split()[0] for line in listed.splitlines()} | {"CFLAGS"}
    for target in re.findall(r"`make (?:-s )?([a-z][\w.-]*)", read("HACKING.md")):
        assert target in targets, target
    configured = subprocess.run([ROOT / "configure", "--help"], capture_output=True, text=True,
                                check=True).stdout
    for option in re.findall(r"^\| `(--[a-z-]+)", read("HACKING.md"), re.M):
        assert option in configured, option


def test_functions_that_hacking_names_exist():
    code = "\n".join(path.read_text(encoding="utf-8") for top in ("shm", "src")
                     for path in (ROOT / top).rglob("*.[chd]*") if path.is_file())
    named = set(re.findall(r"`([a-z]\w+_\w+)\(\)`", read("HACKING.md"))) - {"module_verb_noun"}
    assert {name for name in named if not re.search(rf"\b{name}\(", code)} == set()


def test_commands_of_gdb_that_hacking_names_exist():
    script = read("scripts/gdb/rosterd_gdb.py")
    for command in re.findall(r"^    \(gdb\) (rosterd \w+)", read("HACKING.md"), re.M):
        assert f'"{command}"' in script, command


def test_readme_names_each_method_beside_its_scope():
    rows = dict(re.findall(r"^\| `(read|write|password|admin)` \| (.*) \|$", read("README.md"), re.M))
    shown = {(scope, method) for scope, row in rows.items()
             for method in re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", row)}
    contract = re.findall(r'^    \{".*", "(\w+)", SCOPE_(READ|WRITE|PASSWORD|ADMIN)\},$',
                          read("tests/service/test_scope.c"), re.M)
    assert shown == {(scope.lower(), method) for method, scope in contract}


def test_scripts_name_their_parts_in_the_help():
    shown = subprocess.run([ROOT / "scripts/test", "--help"], capture_output=True, text=True,
                           check=True).stdout
    for part in ("lint", "plain", "systemd", "sanitized", "distcheck", "package", "quick"):
        assert part in shown
    assert not shown.startswith("#") and "set -uo" not in shown


def test_scripts_that_start_a_server_say_where_its_users_are():
    """Otherwise they would write to the state directory of the person who runs them. Tests that start a
    server by the harness get none, or a directory of their own."""
    starters = [path for path in (ROOT / "tests").rglob("*.py")
                if re.search(r"src/server/rosterd\"", path.read_text(encoding="utf-8"))]
    names = {path.name for path in starters}
    assert {"measure.py", "tls.py", "test_gdb.py"} <= names
    for path in starters:
        text = path.read_text(encoding="utf-8")
        assert text.count('"--listen"') <= len(re.findall(r"\"--data-file\b", text)), path
    assert "export STATE_DIRECTORY=" in read("tests/e2e/run")


def test_figures_of_the_readme_are_measured():
    """Each is in a table that a script has written."""
    shown = read("README.md").split("Three figures,")[1].split("\nStatus:")[0]
    figures = re.findall(r"\d+[.,/][\d.,/]*\d", shown)
    measured = read("docs/performance.md")
    assert len(figures) == 7
    for figure in figures:
        assert re.search(rf"\| {re.escape(figure)}(?:/s| us| s| bytes)? \|", measured), figure


def test_a_stop_has_time_for_running_calls_and_for_the_journal():
    """Both at their longest: drain-timeout's default, and STOP_MS of the journal's owner."""
    options = (ROOT / "src/server/config/options.def").read_text(encoding="utf-8")
    drain = int(re.search(r'"drain-timeout".*?\.value = "(\d+)s"', options, re.S).group(1))
    owner = (ROOT / "src/server/master/journal_owner.c").read_text(encoding="utf-8")
    journal = int(re.search(r"STOP_MS = (\d+)000 ", owner).group(1))
    for path, setting in (("scripts/systemd/rosterd.service.in", r"^TimeoutStopSec=(\d+)$"),
                          ("examples/deploy/kubernetes.yaml", r"terminationGracePeriodSeconds: (\d+)$"),
                          ("docs/operations.md", r"--stop-timeout=(\d+)`")):
        given = re.search(setting, (ROOT / path).read_text(encoding="utf-8"), re.M).group(1)
        assert int(given) >= drain + journal + 10, path
