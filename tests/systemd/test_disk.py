# SPDX-License-Identifier: MIT
"""The service's table on disk, under the systemd that tests/systemd/run boots."""
import contextlib
import os
import pathlib
import pwd
import shutil
import sqlite3

import pytest

from test_service import (  # noqa: F401 (service is a fixture of each test)
    STATE, UNIT, configure, create, dropin, journal, main_pid, names, run, service, show, systemctl,
    upgrade, users, wait_for)

FILE = STATE / "rosterd.db"
BACKUPS = pathlib.Path("/var/backups/rosterd")
BACKUP_DROPIN = pathlib.Path("/etc/systemd/system/rosterd-backup.timer.d/test.conf")


def owner_and_mode(path):
    status = os.stat(path)
    return pwd.getpwuid(status.st_uid).pw_name, oct(status.st_mode & 0o7777)


def empty_dev_shm():
    """Leaves in /dev/shm what a reboot does."""
    for path in pathlib.Path("/dev/shm").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    run("systemd-tmpfiles", "--create", "rosterd.conf")


def stop_and_empty_dev_shm():
    systemctl("stop", UNIT)
    empty_dev_shm()


def kill_everything():
    """Kills all processes of the service at once, and waits until systemd has noticed."""
    systemctl("kill", "-s", "KILL", "--kill-who=all", UNIT)
    wait_for(lambda: show("ActiveState") == "failed", 20, "the service has failed")
    assert not pathlib.Path(f"/sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").exists()
    systemctl("reset-failed", UNIT)


@pytest.fixture
def backups():
    """The directory of the backups, which does not exist before the first one."""
    yield BACKUPS
    systemctl("stop", "rosterd-backup.timer", "rosterd-backup.service", status=None)
    systemctl("reset-failed", "rosterd-backup.service", status=None)
    shutil.rmtree(BACKUPS, ignore_errors=True)
    if BACKUP_DROPIN.exists():
        BACKUP_DROPIN.unlink()
        systemctl("daemon-reload")


def backup_files():
    return sorted(BACKUPS.iterdir()) if BACKUPS.exists() else []


# ---- where the files are ----

def test_users_are_in_a_directory_that_only_the_service_can_read():
    systemctl("start", UNIT)
    create("ada")
    environment = pathlib.Path(f"/proc/{main_pid()}/environ").read_bytes().split(b"\0")
    assert b"STATE_DIRECTORY=/var/lib/rosterd" in environment
    assert owner_and_mode(STATE) == ("rosterd", "0o700")
    assert owner_and_mode(FILE) == ("rosterd", "0o600")
    for path in STATE.iterdir():
        assert owner_and_mode(path) == ("rosterd", "0o600"), path
    # the user's home, where a program that a person starts would put them, does not exist
    assert not pathlib.Path("/.local").exists()


def test_file_can_be_elsewhere_where_the_unit_permits_it():
    elsewhere = pathlib.Path("/var/elsewhere")
    elsewhere.mkdir(mode=0o700)
    shutil.chown(elsewhere, "rosterd", "rosterd")
    try:
        systemctl("start", UNIT)
        create("ada")
        systemctl("stop", UNIT)
        for path in STATE.glob("rosterd.db*"):
            run("mv", str(path), str(elsewhere))  # keeps the owner
        configure(f"data-file = {elsewhere}/rosterd.db\n")
        # without the drop-in the file is read-only for the service
        systemctl("start", UNIT, status=1)
        assert "data-file /var/elsewhere/rosterd.db: cannot open its .lock file: Read-only file system" in journal()
        systemctl("stop", UNIT)
        systemctl("reset-failed", UNIT, status=None)
        dropin(f"[Service]\nReadWritePaths={elsewhere}\n")
        empty_dev_shm()
        systemctl("start", UNIT)
        assert names() == ["ada"]
        create("bob")
        assert not FILE.exists()
    finally:
        systemctl("stop", UNIT)
        shutil.rmtree(elsewhere)


def test_server_of_a_unit_without_a_state_directory_loses_nothing_in_an_upgrade_and_a_restart():
    """As after the installation of this version over one that had no table on disk: the running
    server's file systems are those of its unit, so its upgrade cannot write to /var/lib/rosterd."""
    dropin("[Service]\nStateDirectory=\n")
    configure("data-file = none\n")
    systemctl("start", UNIT)
    create("ada")
    dropin("")
    configure("")
    before = main_pid()
    systemctl("kill", "-s", "USR2", "--kill-who=main", UNIT)
    wait_for(lambda: "upgrade: " in journal(), 20, "the outcome of the upgrade")
    create("bob")
    assert not FILE.exists()
    systemctl("restart", UNIT)
    assert main_pid() != before
    assert names() == ["ada", "bob"] and FILE.exists()
    stop_and_empty_dev_shm()
    systemctl("start", UNIT)
    assert names() == ["ada", "bob"]


# ---- deaths ----

def test_kill_of_everything_and_an_empty_dev_shm_lose_nothing():
    dropin("[Service]\nRestart=no\n")
    systemctl("start", UNIT)
    made = [create(f"user{i}") for i in range(50)]
    assert len({user.id for user in made}) == 50
    for _ in range(2):
        kill_everything()
        empty_dev_shm()
        systemctl("start", UNIT)
        assert users() == made
        made.append(create(f"user{len(made)}"))
    assert users() == made


def test_kill_of_everything_alone_loses_nothing():
    dropin("[Service]\nRestart=no\n")
    systemctl("start", UNIT)
    made = [create(f"user{i}") for i in range(50)]
    kill_everything()
    systemctl("start", UNIT)
    assert users() == made


def test_upgrade_goes_on_with_the_file():
    systemctl("start", UNIT)
    create("ada")
    upgrade()
    create("bob")
    stop_and_empty_dev_shm()
    systemctl("start", UNIT)
    assert names() == ["ada", "bob"]


def test_segment_reset_loads_the_users_again_and_moving_the_file_begins_empty():
    systemctl("start", UNIT)
    create("ada")
    systemctl("stop", UNIT)
    dropin("[Service]\nExecStart=\nExecStart=/usr/sbin/rosterd --config /etc/rosterd/rosterd.conf "
           "--segment-reset\n")
    systemctl("start", UNIT)
    assert names() == ["ada"]
    systemctl("stop", UNIT)
    aside = STATE / "aside"
    aside.mkdir()
    for path in STATE.glob("rosterd.db*"):
        path.rename(aside / path.name)
    systemctl("start", UNIT)
    assert names() == []
    assert (aside / "rosterd.db").exists()


# ---- backups ----

@pytest.mark.parametrize("reboot", [False, True])
@pytest.mark.parametrize("as_root", [False, True])
def test_backup_is_made_checked_and_restored(backups, reboot, as_root):
    systemctl("start", UNIT)
    made = [create(f"user{i}") for i in range(20)]
    systemctl("start", "rosterd-backup.service")
    file, = backup_files()
    assert owner_and_mode(backups) == ("rosterd", "0o700")
    assert owner_and_mode(file) == ("rosterd", "0o600")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        assert database.execute("SELECT count(*) FROM users").fetchone() == (20,)
    create("late")
    systemctl("stop", UNIT)
    where = []
    if reboot:
        empty_dev_shm()
        where = ["--data-file", str(FILE)]
    by_whom = [] if as_root else ["runuser", "-u", "rosterd", "--"]
    run(*by_whom, "shm-inspect", "restore", *where, str(file))
    systemctl("start", UNIT)
    assert users() == made
    assert owner_and_mode(FILE) == ("rosterd", "0o600")
    create("after")
    stop_and_empty_dev_shm()
    systemctl("start", UNIT)
    assert names() == [user.username for user in made] + ["after"]


def test_oldest_backups_are_removed(backups):
    systemctl("start", UNIT)
    create("ada")
    backups.mkdir(mode=0o700)
    for day in range(1, 9):
        (backups / f"rosterd-2026010{day}T000000Z.db").touch()
    shutil.chown(backups, "rosterd", "rosterd")
    systemctl("start", "rosterd-backup.service")
    left = [file.name for file in backup_files()]
    assert len(left) == 7 and left[0] == "rosterd-20260103T000000Z.db"
    assert not left[-1].startswith("rosterd-202601")


def test_failed_backup_is_a_failed_unit_and_leaves_the_old_ones(backups):
    backups.mkdir(mode=0o700)
    (backups / "rosterd-20260101T000000Z.db").touch()
    systemctl("start", "rosterd-backup.service", status=1)  # there are no users
    assert [file.name for file in backup_files()] == ["rosterd-20260101T000000Z.db"]
    assert systemctl("is-failed", "rosterd-backup.service", status=None).stdout == "failed\n"


def test_timer_makes_backups(backups):
    systemctl("start", UNIT)
    create("ada")
    assert systemctl("is-enabled", "rosterd-backup.timer", status=None).stdout == "disabled\n"
    BACKUP_DROPIN.parent.mkdir(parents=True, exist_ok=True)
    BACKUP_DROPIN.write_text("[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\n"
                             "AccuracySec=1ms\n")
    systemctl("daemon-reload")
    systemctl("start", "rosterd-backup.timer")
    wait_for(lambda: len([file for file in backup_files() if file.suffix == ".db"]) >= 2, 20,
             "two backups of the timer")
