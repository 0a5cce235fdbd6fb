# SPDX-License-Identifier: MIT
"""The users on disk: what has been acknowledged survives kills and reboots; a start that does not fit the
file is refused in one line that says what to do."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess

import pytest

import user_service_pb2 as pb
from harness import ROSTERD, Rosterd, children, fill, gone, read_all, requests, wait_for
from test_reload import upgrade


@pytest.fixture
def durable(start, tmp_path):
    """Returns a function that starts a server with a data file, tmp_path/users.db."""
    def starter(*options, **settings):
        return start("--data-file", str(tmp_path / "users.db"), *options, **settings)
    return starter


def create(rosterd, count=1, prefix="user"):
    stub = rosterd.stub()
    return [stub.CreateUser(request).id for request in requests(count, prefix)]


def everybody(rosterd):
    users, token = [], ""
    while True:
        page, token = read_all(rosterd.stub(), 1000, page_token=token)
        users += page
        if not token:
            return users


def wait_published(rosterd, ids):
    wait_for(lambda: [user.id for user in everybody(rosterd)] == ids, 10, "the users are published")


def reboot(rosterd):
    """Kills everything and empties /dev/shm, as a power cut does."""
    rosterd.kill_all()
    for path in rosterd.shm_files():
        os.unlink(path)


def refused(rosterd):
    """Starts the server, which must refuse. Returns the one line that says why."""
    done = subprocess.run(rosterd.command(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("rosterd: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def rows(path):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as data:
        return data.execute("SELECT seq, version FROM users ORDER BY seq").fetchall()


# ---- reboots and kills ----

def test_users_survive_a_reboot(durable):
    rosterd = durable()
    ids = create(rosterd, 300)
    wait_published(rosterd, ids)
    reboot(rosterd)
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids
    assert rosterd.inspect("verify")["faults"] == 0


def test_users_survive_kills_of_everything_at_once_while_they_are_created(durable):
    rosterd = durable()
    for turn in range(3):
        before = len(everybody(rosterd))
        ids = create(rosterd, 100, f"turn{turn}-")
        wait_for(lambda: len(everybody(rosterd)) == before + len(ids))
        rosterd.kill_all()
        rosterd.start()
        assert len(everybody(rosterd)) == before + len(ids)


def test_page_token_survives_a_reboot(durable):
    rosterd = durable()
    ids = create(rosterd, 100)
    wait_published(rosterd, ids)
    first, token = read_all(rosterd.stub(), 30)
    reboot(rosterd)
    rosterd.start()
    rest, _ = read_all(rosterd.stub(), 100, page_token=token)
    assert [user.id for user in (*first, *rest)] == ids


def test_numbers_and_versions_go_on_after_a_reboot(durable, tmp_path):
    rosterd = durable()
    wait_published(rosterd, create(rosterd, 10))
    rosterd.inspect("delete", everybody(rosterd)[-1].id)
    before = rosterd.inspect("status")["version"]
    wait_for(lambda: len(rows(tmp_path / "users.db")) == 9)
    reboot(rosterd)
    rosterd.start()
    assert rosterd.inspect("status")["version"] == before
    create(rosterd)
    wait_for(lambda: rows(tmp_path / "users.db")[-1] == (11, before + 1), what="the next number")


def test_killed_journal_loses_nothing(durable, tmp_path):
    rosterd = durable()
    for turn in range(5):
        os.kill(rosterd.journal_pid(), signal.SIGKILL)
        create(rosterd, 20, f"turn{turn}-")
    wait_for(lambda: len(rows(tmp_path / "users.db")) == 100, what="the journal has caught up")
    assert re.search(r"journal \(pid \d+\) killed by signal 9", rosterd.log())
    assert len(everybody(rosterd)) == 100


def test_stopped_server_leaves_everything_in_one_file(durable, tmp_path):
    rosterd = durable()
    fill(rosterd, requests(5000), 5000)
    assert rosterd.stop() == 0
    assert not (tmp_path / "users.db-wal").exists()
    assert len(rows(tmp_path / "users.db")) == 5000


def test_journal_ends_with_a_killed_master(durable):
    rosterd = durable()
    processes = children(rosterd.process.pid)
    os.kill(rosterd.process.pid, signal.SIGKILL)
    rosterd.process.wait(10)
    for pid in processes:
        wait_for(lambda p=pid: gone(p), 10, "everything has ended")


def test_journal_that_hangs_is_replaced(durable):
    rosterd = durable("--worker-timeout", "5s")
    pid = rosterd.journal_pid()
    os.kill(pid, signal.SIGSTOP)
    ids = create(rosterd, 3)
    wait_for(lambda: gone(pid), 30, "the journal is killed")
    wait_published(rosterd, ids)
    assert "has made no progress" in rosterd.log()


# ---- starts ----

def test_kept_segment_brings_the_file_up_to_date(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    rosterd.stop()
    options, rosterd.options = rosterd.options, ["--data-file", "none"]
    rosterd.start()
    ids += create(rosterd, 10, "later")
    rosterd.inspect("delete", ids.pop(0))
    rosterd.stop()
    assert len(rows(tmp_path / "users.db")) == 10
    rosterd.options = options
    rosterd.start()
    assert len(rows(tmp_path / "users.db")) == 19  # before it serves
    reboot(rosterd)
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_file_that_the_feed_has_left_behind_is_compared(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    rosterd.stop()
    options, rosterd.options = rosterd.options, ["--data-file", "none"]
    rosterd.start()
    fill(rosterd, requests(20000, "later"), 20000)  # more than the ring has
    for id in ids[:5]:
        rosterd.inspect("delete", id)
    rosterd.stop()
    rosterd.options = options
    rosterd.start()
    assert "compared with the segment" in rosterd.log()
    assert len(rows(tmp_path / "users.db")) == 20005
    reboot(rosterd)
    rosterd.start()
    assert len(everybody(rosterd)) == 20005


def test_kept_segment_without_a_file_gets_one(durable, tmp_path):
    rosterd = durable()
    rosterd.stop()
    (tmp_path / "users.db").unlink()
    options, rosterd.options = rosterd.options, ["--data-file", "none"]
    rosterd.start()
    create(rosterd, 10)
    rosterd.stop()
    rosterd.options = options
    rosterd.start()
    assert len(rows(tmp_path / "users.db")) == 10


def test_reset_segment_is_loaded_from_the_file(durable):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    rosterd.stop()
    rosterd.options += ["--segment-reset"]
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_other_tables_file_is_refused(durable, start, tmp_path):
    other = durable()
    create(other)
    other.stop()
    rosterd = start()
    create(rosterd)
    rosterd.stop()
    rosterd.options = other.options
    line = refused(rosterd)
    assert "another table's users" in line and "--segment-reset" in line
    rosterd.options = []
    rosterd.start()
    assert len(everybody(rosterd)) == 1


def test_file_ahead_of_the_segment_is_refused(durable, tmp_path):
    rosterd = durable()
    wait_published(rosterd, create(rosterd, 10))
    rosterd.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "users.db")) as data, data:
        data.execute("UPDATE meta SET version = version + 5")
    line = refused(rosterd)
    assert "ahead" in line and "--segment-reset" in line


def test_file_in_use_is_refused(durable, start, tmp_path):
    rosterd = durable()
    other = start(*rosterd.options, start=False)
    assert f"another rosterd uses it (pid {rosterd.process.pid})" in refused(other)


@pytest.mark.parametrize("damage, text", [
    ("UPDATE users SET body = x'00' WHERE seq = 7", "7"),
    ("DELETE FROM users WHERE seq = 7", "10"),
    ("PRAGMA user_version = 99", "99"),
    ("PRAGMA application_id = 99", "rosterd"),
])
def test_damaged_or_foreign_file_is_refused_and_left_alone(durable, tmp_path, damage, text):
    rosterd = durable()
    wait_published(rosterd, create(rosterd, 10))
    rosterd.stop()
    for path in rosterd.shm_files():
        os.unlink(path)
    with contextlib.closing(sqlite3.connect(tmp_path / "users.db")) as data, data:
        data.execute(damage)
    before = (tmp_path / "users.db").read_bytes()
    line = refused(rosterd)
    assert f"data-file {tmp_path}/users.db" in line and text in line, line
    assert (tmp_path / "users.db").read_bytes() == before
    assert not rosterd.shm_files()


def test_failed_start_leaves_neither_file_nor_directory(start, tmp_path):
    rosterd = start(start=False)
    with rosterd_on_port(start) as taken:
        rosterd.listen = [taken.target()]
        rosterd.options = ["--data-file", str(tmp_path / "new" / "dir" / "users.db")]
        refused(rosterd)
    assert not (tmp_path / "new").exists()


@contextlib.contextmanager
def rosterd_on_port(start):
    yield start()


def test_default_file_is_in_the_state_directory(start, tmp_path):
    rosterd = start(start=False)
    env = dict(os.environ, STATE_DIRECTORY=str(tmp_path / "state"))
    done = subprocess.run([ROSTERD, "--dump-config", "--segment", rosterd.segment], env=env,
                          capture_output=True, text=True, check=False)
    name = rosterd.segment[1:]
    assert f"data-file = {tmp_path}/state/{name}.db" in done.stdout, done


# ---- reload, upgrade, stop ----

def test_upgrade_hands_the_file_over(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    upgrade(rosterd)
    ids += create(rosterd, 10, "later")
    wait_published(rosterd, ids)
    wait_for(lambda: len(rows(tmp_path / "users.db")) == 20)


# ---- a disk that is full ----

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False)
    if done.returncode != 0:
        pytest.skip("only root can mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_is_tried_again_until_it_has_room(start, small_disk):
    rosterd = start("--data-file", str(small_disk / "users.db"))
    create(rosterd, 10)
    wait_for(lambda: len(rows(small_disk / "users.db")) == 10)
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while ballast.write(b"x" * 4096):
            pass
    with contextlib.suppress(Exception):
        fill(rosterd, requests(2000, "more"), 2000)
    rosterd.wait_log("full.*tried again each second")
    assert len(everybody(rosterd)) <= 2010
    (small_disk / "ballast").unlink()
    rosterd.wait_log("written again")
    wait_for(lambda: len(rows(small_disk / "users.db")) >= 2010)
