# SPDX-License-Identifier: MIT
"""The makefile's targets for people who work on rosterd."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ["TREE_BUILD"])
STANDARD = {"all", "check", "install", "dist", "distcheck", "clean"}


def make(*arguments, status=0):
    done = subprocess.run(["make", "--no-print-directory", *arguments], cwd=BUILD, text=True,
                          capture_output=True, timeout=100)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def phony():
    """The targets that the fragments declare .PHONY, but for the parts of clean and install."""
    for path in [ROOT / "Makefile.am", *ROOT.glob("*/**/*.inc")]:
        if path.relative_to(ROOT).parts[0].startswith("build"):
            continue
        for line in re.findall(r"^\.PHONY: (.*)$", path.read_text(encoding="utf-8"), re.M):
            yield from (name for name in line.split() if not re.match("clean-|install-|uninstall-", name))


def test_help_names_every_target_and_nothing_else():
    named = [line.split()[0] for line in make("help").splitlines()]
    assert sorted(named) == sorted({*phony(), *STANDARD} - {"print-tests"})
    for line in make("help").splitlines():
        assert re.match(r"\S+ {2,}\S", line) and len(line) <= 100, line


def test_every_target_of_help_exists():
    targets = [line.split()[0] for line in make("help").splitlines()]
    done = subprocess.run(["make", "-q", "-k", "no-such-target", *targets], cwd=BUILD,
                          capture_output=True, text=True)
    assert re.findall(r"No rule to make target '(.*?)'", done.stderr) == ["no-such-target"]


def test_package_without_its_tools_names_all_of_them_and_what_installs_them():
    done = subprocess.run([shutil.which("make"), "deb"], cwd=BUILD, text=True, capture_output=True, timeout=60,
                          env={"PATH": "/none"})
    assert done.returncode != 0
    assert ("deb: missing: dpkg-buildpackage dpkg-checkbuilddeps dh lintian: scripts/setup --package "
            "installs it") in done.stderr


def words(text):
    """The words of a list, without comments, versions and commas."""
    return set(re.sub(r"#.*|\([^)]*\)|,", " ", text).split())


def test_build_needs_the_same_packages_by_setup_and_by_the_debian_package():
    setup = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    control = (ROOT / "debian/control").read_text(encoding="utf-8")
    installed = words(re.search(r"^run_packages=\((.*?)^\)", setup, re.M | re.S).group(1))
    wanted = words(re.search(r"^Build-Depends:(.*?)^\S", control, re.M | re.S).group(1))
    # Debian's own: build-essential is not written down, and debhelper runs autoreconf
    assert installed - wanted == {"autoconf", "automake", "gcc", "libc6-dev", "make"}
    assert wanted - installed == {"debhelper-compat", "dh-sequence-installsysusers"}


def test_check_one_runs_the_test_that_it_is_given():
    assert "test(s) run" in make("check-one", "TEST=tests/user/test_uuid") + subprocess.run(
        ["tests/user/test_uuid"], cwd=BUILD, capture_output=True, text=True).stderr
    assert "usage: make check-one TEST=" in subprocess.run(
        ["make", "check-one"], cwd=BUILD, capture_output=True, text=True).stderr


def test_compilation_database_has_every_file_of_the_product(tmp_path):
    database = tmp_path / "compile_commands.json"
    subprocess.run([ROOT / "scripts/compile-commands", BUILD, database], check=True, timeout=60)
    entries = {entry["file"]: entry for entry in json.loads(database.read_text())}
    for top in ("shm", "src"):
        for path in (ROOT / top).rglob("*.c"):
            assert str(path.resolve()) in entries, path
    entry = entries[str((ROOT / "src/user/uuid.c").resolve())]
    assert entry["arguments"][entry["arguments"].index("-include") + 1] == "config.h"
    checked = subprocess.run([arg for arg in entry["arguments"] if not arg.startswith("-M")
                              and not arg.endswith((".Tpo", ".o")) and arg not in ("-c", "-o")]
                             + ["-fsyntax-only"], cwd=entry["directory"], capture_output=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("script", ["check-one", "compile-commands", "coverage", "release", "run", "tidy",
                                    "setup", "test", "bench", "cross-arm64", "fresh-root"])
def test_scripts_can_be_run(script):
    path = ROOT / "scripts" / script
    assert os.access(path, os.X_OK)
    if "bash" in path.read_text(encoding="utf-8").partition("\n")[0]:
        subprocess.run(["bash", "-n", path], check=True)


def test_ci_runs_the_whole_suite():
    if not (ROOT / ".git").exists():
        return  # a tarball has no CI, and a skipped test would count as failed
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert re.search(r"^ +run: \.ci/run$", workflow, re.M)
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("exec scripts/test")
    assert os.access(ROOT / ".ci/run", os.X_OK)


def limited(path, *command, seconds):
    """Returns the status and the output, which goes into a file: the process beside it has it open, too."""
    with path.open("w+", encoding="utf-8") as out:
        done = subprocess.run([ROOT / "tests/limited", *command], stdout=out, stderr=out, timeout=90,
                              env=os.environ | {"TEST_SECONDS": str(seconds)}, check=False)
    return done.returncode, path.read_text(encoding="utf-8")


def test_test_program_that_hangs_is_shown_and_ended(tmp_path):
    status, said = limited(tmp_path / "log", "/bin/sleep", "80", seconds=1)
    assert status == -signal.SIGKILL
    assert "/bin/sleep has not ended within 1 s (TEST_SECONDS). It stands here:" in said
    assert "nanosleep" in said


def test_test_program_that_ends_in_time_is_left_alone(tmp_path):
    command = ("/bin/sh", "-c", "sleep 0.3; echo said; wait; exit 7")
    assert limited(tmp_path / "log", *command, seconds=60) == (7, "said\n")
