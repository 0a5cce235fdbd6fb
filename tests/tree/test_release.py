# SPDX-License-Identifier: MIT
"""A release: one version, one date, and what scripts/release refuses."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ["TREE_BUILD"])
VERSION, DATE = re.search(r"^([0-9.]+) \(([0-9-]+)\)$", (ROOT / "NEWS").read_text(encoding="utf-8"),
                          re.M).groups()
FILES = ["configure.ac", "NEWS", "debian/changelog", "scripts/release"]


def release(tree, *arguments, status=0):
    done = subprocess.run([tree / "scripts/release", *arguments], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path):
    """A copy of the files that a release looks at."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_news_configure_and_changelog_agree():
    assert "agree" in release(ROOT, "--check")


def test_programs_tell_the_version_of_the_release():
    version = release(ROOT, "--check").split()[1]
    for program in ("src/server/rosterd", "src/inspect/shm-inspect"):
        told = subprocess.run([BUILD / program, "--version"], capture_output=True, text=True,
                              check=True, timeout=20).stdout
        assert version in told.split("\n")[0]


@pytest.mark.parametrize("name, old, new, reason", [
    ("NEWS", f"({DATE})", "(unreleased)", f'expected "{VERSION} (YYYY-MM-DD)"'),
    ("NEWS", f"{VERSION} (", "99.0 (", "NEWS begins with 99.0"),
    ("NEWS", DATE, DATE[:5] + "13-01", "not a date"),
    ("NEWS", DATE, "2001-01-01", "NEWS 2001-01-01"),
    ("debian/changelog", f"({VERSION})", "(99.0)", "debian/changelog begins with 99.0"),
    ("configure.ac", f"[{VERSION}]", "[99.0]", "configure.ac says 99.0")])
def test_release_refuses_files_that_disagree(tree, name, old, new, reason):
    replace(tree / name, old, new)
    assert reason in release(tree, "--check", status=1)


def test_release_refuses_changes_that_are_not_committed(tree):
    subprocess.run(["git", "init", "-q", tree], check=True)
    assert "not committed" in release(tree, status=1)


def test_release_refuses_a_tag_that_exists(tree):
    def git(*arguments):
        subprocess.run(["git", "-C", tree, "-c", "user.name=a", "-c", "user.email=a@example.org",
                        *arguments], check=True, capture_output=True)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    git("tag", f"v{VERSION}")
    assert f"the tag v{VERSION} exists" in release(tree, status=1)
