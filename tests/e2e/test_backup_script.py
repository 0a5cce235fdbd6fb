# SPDX-License-Identifier: MIT
"""scripts/systemd/rosterd-backup: names, rotation and failures, with a shm-inspect that only writes a
file. tests/systemd/test_disk.py runs it with the real one."""
import fcntl
import os
import pathlib
import re
import subprocess

import pytest

from harness import PROTO

SCRIPT = pathlib.Path(PROTO).parent / "scripts/systemd/rosterd-backup"
NAME = re.compile(r"rosterd-\d{8}T\d{6}Z\.db")


@pytest.fixture
def programs(tmp_path):
    """A directory for PATH with a shm-inspect, which writes down how it was called. It gives the file its
    name at the end."""
    directory = tmp_path / "bin"
    directory.mkdir()

    def make(then=":"):
        program = directory / "shm-inspect"
        program.write_text(f'''#!/bin/sh
echo "$@" >>{tmp_path}/calls
for file; do :; done
echo copy >"$file.tmp"
{then}
mv "$file.tmp" "$file"
''')
        program.chmod(0o755)
        return directory
    return make


@pytest.fixture
def backups(tmp_path):
    directory = tmp_path / "back ups"
    directory.mkdir()
    return directory


def backup(programs, *arguments, status=0):
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}")
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment,
                          timeout=30)
    assert done.returncode == status, done
    return done.stderr


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_backup_is_named_after_its_time(programs, backups, tmp_path):
    backup(programs(), backups)
    made, = names(backups)
    assert NAME.fullmatch(made)
    assert (tmp_path / "calls").read_text() == f"backup {backups}/{made}\n"
    assert (backups / made).read_text() == "copy\n"


def test_segment_is_passed_on(programs, backups, tmp_path):
    backup(programs(), "--segment", "/other", "--keep", "3", backups)
    assert (tmp_path / "calls").read_text().startswith("--segment /other backup /")


def test_oldest_are_removed_and_other_files_stay(programs, backups):
    for year in range(2001, 2006):
        (backups / f"rosterd-{year}0101T000000Z.db").touch()
    (backups / "rosterd-before-the-move.db").touch()
    backup(programs(), "--keep", "3", backups)
    left = names(backups)
    assert left[0] == "rosterd-20040101T000000Z.db" and left[1] == "rosterd-20050101T000000Z.db"
    assert NAME.fullmatch(left[2]) and left[3] == "rosterd-before-the-move.db" and len(left) == 4


def test_new_backup_stays_where_the_clock_was_set_back(programs, backups):
    for day in range(1, 4):
        (backups / f"rosterd-2999010{day}T000000Z.db").touch()
    backup(programs(), "--keep", "2", backups)
    left = names(backups)
    assert len(left) == 2 and not left[0].startswith("rosterd-2999")


def test_failed_backup_leaves_nothing_and_removes_nothing(programs, backups):
    old = [f"rosterd-{year}0101T000000Z.db" for year in range(2001, 2006)]
    for name in old:
        (backups / name).touch()
    backup(programs('rm "$file.tmp"; exit 1'), "--keep", "1", backups, status=1)
    assert names(backups) == old


def test_rest_of_a_backup_that_was_killed_is_removed(programs, backups):
    backup(programs('kill -9 $PPID; exit 1'), backups, status=-9)
    rest, = names(backups)
    assert rest.endswith(".db.tmp")
    (backups / "rosterd-20010101T000000Z.db.tmp").touch()
    backup(programs(), backups)
    made, = names(backups)
    assert NAME.fullmatch(made)


def test_second_one_at_a_time_is_refused(programs, backups):
    lock = os.open(backups, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert "another backup is being made there" in backup(programs(), backups, status=1)
    finally:
        os.close(lock)
    assert not names(backups)


@pytest.mark.parametrize("arguments, said", [
    ([], "usage: rosterd-backup"), (["a", "b"], "usage: rosterd-backup"),
    (["--keep", "0", "."], "--keep: '0'"), (["--keep", "many", "."], "--keep: 'many'"),
    (["/nonexistent"], "nonexistent")])
def test_bad_arguments_are_refused(programs, arguments, said):
    assert said in backup(programs(), *arguments, status=1)
