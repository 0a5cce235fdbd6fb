# SPDX-License-Identifier: MIT
"""The users on disk: what has been acknowledged survives kills and reboots; a start that does not fit the
file is refused in one line that says what to do."""
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
from harness import ROSTERD, children, expect, fill, free_port, gone, read_all, requests, wait_for
from test_reload import upgrade
from wire import Wire, message


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

def test_log_says_where_the_users_of_a_start_come_from(durable, tmp_path):
    config = tmp_path / "rosterd.conf"
    config.write_text("")
    rosterd = durable("--config", str(config))
    name = f"segment {rosterd.segment}:"
    assert f"{name} new, without users" in rosterd.log()
    wait_published(rosterd, create(rosterd, 12))
    upgrade(rosterd)
    assert f"{name} taken over with 12 users" in rosterd.log()
    rosterd.kill_all()
    rosterd.start()
    assert f"{name} found with 12 users" in rosterd.log()
    reboot(rosterd)
    rosterd.start()
    assert f"{name} made from the data file, with 12 users" in rosterd.log()


def load_slowly(rosterd):
    """Starts a server after a reboot, and stops its process again and again while it loads its users.
    Returns its log."""
    reboot(rosterd)
    skip = len(rosterd.log())
    rosterd.spawn()
    while not re.search(" %|Server started", rosterd.log()[skip:]):
        rosterd.process.send_signal(signal.SIGSTOP)
        time.sleep(1.1)
        rosterd.process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        assert rosterd.process.poll() is None, rosterd.log()[skip:]
    wait_for(lambda: "Server started" in rosterd.log()[skip:], 60, "the start")
    return rosterd.log()[skip:]


@pytest.mark.timeout(200)
def test_log_shows_how_far_a_long_load_is(durable):
    rosterd = durable()
    fill(rosterd, list(requests(1)) * 150_000, 150_000)
    for _ in range(3):  # a busy machine may load all before the process can be stopped
        percents = re.findall(rf"loading segment {rosterd.segment}: (\d+) %", load_slowly(rosterd))
        if percents:
            break
    assert percents and all(0 < int(percent) <= 100 for percent in percents)
    assert rosterd.inspect("status")["users"] == 150_000


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


def test_value_that_two_users_share_is_named_where_it_must_be_unique(durable):
    rosterd = durable()
    ids = create(rosterd, 3) + create(rosterd, 1)
    wait_published(rosterd, ids)
    reboot(rosterd)
    rosterd.options += ("--unique", "username")
    line = refused(rosterd)
    assert f'user {ids[3]} (row 4) has the username "user0000000" of an earlier one' in line, line


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


def test_term_of_all_processes_is_no_error(durable, tmp_path):
    """As a stop by the process group; and of the helpers alone, which are started again."""
    rosterd = durable("--password-processes", "1")
    (hasher,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
    journal = rosterd.journal_pid()
    for pid in (journal, hasher):
        os.kill(pid, signal.SIGTERM)
    rosterd.wait_log(rf"notice .*journal \(pid {journal}\) ended")
    rosterd.wait_log(rf"notice .*password process 0 \(pid {hasher}\) ended")
    create(rosterd, 5)
    os.killpg(rosterd.process.pid, signal.SIGTERM)
    assert rosterd.process.wait(20) == 0
    assert len(rows(tmp_path / "users.db")) == 5
    assert not re.search(r" (warning|error) \[", rosterd.log()), rosterd.log()


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
    with open(f"/dev/shm{rosterd.segment}", "r+b") as segment:
        segment.seek(8)  # of another layout, as after an update of the program
        segment.write(b"another.")
    assert "starts with the users of the data file" in refused(rosterd)
    rosterd.options += ["--segment-reset"]
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_reset_segment_comes_back_where_the_file_is_refused(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    rosterd.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "users.db")) as data, data:
        data.execute("UPDATE users SET body = x'00' WHERE seq = 7")
    before = sorted(rosterd.shm_files())
    rosterd.options += ["--segment-reset"]
    assert "seq 7 is damaged" in refused(rosterd)
    assert sorted(rosterd.shm_files()) == before
    (tmp_path / "users.db").rename(tmp_path / "damaged.db")
    rosterd.options.remove("--segment-reset")
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


@pytest.mark.parametrize("file", ["there", "missing"])
def test_reset_is_undone_where_the_start_fails_after_the_load(durable, tmp_path, file):
    """The port is another's: that is noticed last of all."""
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    rosterd.stop()
    if file == "missing":
        (tmp_path / "users.db").rename(tmp_path / "elsewhere.db")
    before = sorted(rosterd.shm_files())
    rosterd.options += ["--segment-reset"]
    with socket.create_server(("127.0.0.1", rosterd.port)):
        assert "in use" in refused(rosterd)
    assert [path for path in sorted(rosterd.shm_files()) if ".stats" not in path] == \
        [path for path in before if ".stats" not in path]
    assert (tmp_path / "users.db").exists() == (file == "there")
    rosterd.options.remove("--segment-reset")
    rosterd.start()
    assert "found with 10 users" in rosterd.log()
    assert [user.id for user in everybody(rosterd)] == ids


def write_during_a_start(rosterd):
    """Ends a start at the first answer of a worker that is ready before all others are.
    Returns the ids of the users whose creation was acknowledged."""
    rosterd.spawn()
    ids = []
    while not ids:
        assert rosterd.process.poll() is None, rosterd.log()
        with contextlib.suppress(OSError, AssertionError, IndexError), Wire(rosterd.connect()) as wire:
            reply = wire.call("CreateUser", message(pb.CreateUserRequest(username="early")))
            ids = [pb.User.FromString(reply.messages()[0]).id]
    rosterd.process.send_signal(signal.SIGTERM)
    rosterd.process.wait(60)
    return ids


@pytest.mark.parametrize("begin", ["new", "file moved away"])
def test_start_that_ends_before_all_workers_are_ready_loses_no_user(durable, tmp_path, begin):
    rosterd = durable(workers=2)
    for _ in range(10):  # until a start is that slow
        before = create(rosterd, 5) if begin != "new" else []
        wait_published(rosterd, before)
        rosterd.stop()
        for path in tmp_path.glob("users.db*"):
            path.unlink()
        for path in rosterd.shm_files() if begin == "new" else []:
            os.unlink(path)
        rosterd.workers = 64
        ids = before + write_during_a_start(rosterd)
        for path in rosterd.shm_files():  # a reboot
            os.unlink(path)
        rosterd.workers = 2
        rosterd.start()
        assert [user.id for user in everybody(rosterd)] == ids
        if "are kept although the start has failed, because clients have written to them" in rosterd.log():
            return
        rosterd.stop()
        for path in [*rosterd.shm_files(), *tmp_path.glob("users.db*")]:
            os.unlink(path)
        rosterd.start()
    pytest.fail("each start was ready before a client was answered")


def test_journal_that_keeps_dying_is_started_less_and_less_often(durable):
    rosterd = durable()
    said = "the journal keeps dying soon after its start: it is started again in"
    while said not in rosterd.log():
        with contextlib.suppress(ProcessLookupError):
            os.kill(rosterd.journal_pid(), signal.SIGKILL)
    ids = create(rosterd, 3)
    wait_published(rosterd, ids)


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


def test_copy_that_another_server_went_on_with_is_refused(durable, start, tmp_path):
    rosterd = durable()
    create(rosterd, 10)
    rosterd.stop()
    shutil.copy(tmp_path / "users.db", tmp_path / "copy.db")
    other = start("--data-file", str(tmp_path / "copy.db"))
    theirs = create(other, 5, "theirs")
    other.stop()
    rosterd.start()
    ids = [*create(rosterd, 8, "ours")]
    rosterd.stop()
    options, rosterd.options = rosterd.options, other.options
    line = refused(rosterd)  # their commits 11 to 15 are not ours
    assert "have parted" in line and "--segment-reset" in line
    assert len(rows(tmp_path / "copy.db")) == 15
    rosterd.options = options
    rosterd.start()
    assert set(ids) < {user.id for user in everybody(rosterd)}
    other.start()
    assert set(theirs) < {user.id for user in everybody(other)}


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
    line = refused(other)
    assert f"another rosterd uses it (pid {rosterd.process.pid}): stop that one first" in line


@pytest.mark.parametrize("name", ["link.db", "users.db"])
def test_file_in_use_is_refused_by_another_name_and_without_its_lock(durable, start, tmp_path, name):
    rosterd = durable()
    ids = create(rosterd, 10)
    if name == "link.db":
        os.link(tmp_path / "users.db", tmp_path / name)
    else:
        (tmp_path / "users.db.lock").unlink()
    assert "another rosterd writes it" in refused(start("--data-file", str(tmp_path / name), start=False))
    ids += create(rosterd, 10, "more")
    reboot(rosterd)
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_other_name_of_a_file_without_its_log_is_refused(durable, start, tmp_path):
    """The log's users would be missing, and overwrite what is written there later."""
    rosterd = durable()
    ids = create(rosterd, 10)
    reboot(rosterd)
    os.link(tmp_path / "users.db", tmp_path / "link.db")
    assert (tmp_path / "users.db-wal").stat().st_size
    line = refused(start("--data-file", str(tmp_path / "link.db"), start=False))
    assert "2 names (hard links)" in line and "NAME-wal" in line
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids
    rosterd.stop()
    assert "hard links" in refused(rosterd)  # neither has a log: it may have been moved
    (tmp_path / "link.db").unlink()
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_restore_that_was_cut_off_is_finished_by_the_start(durable, tmp_path):
    """The old file has two names then, and no log: that is no other name to start with."""
    rosterd = durable()
    ids = create(rosterd, 10)
    rosterd.inspect("backup", str(tmp_path / "backup.db"))
    create(rosterd, 5, "later")
    rosterd.stop()
    for path in rosterd.shm_files():
        os.unlink(path)
    os.link(tmp_path / "users.db", tmp_path / "users.db.20261128T120000Z")
    (tmp_path / "backup.db").rename(tmp_path / "users.db.new")
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids
    assert len(rows(tmp_path / "users.db.20261128T120000Z")) == 15


def test_file_that_others_may_read_is_told(durable, tmp_path):
    rosterd = durable()
    create(rosterd)
    rosterd.stop()
    assert "chmod" not in rosterd.log()
    (tmp_path / "users.db").chmod(0o644)
    rosterd.start()
    rosterd.wait_log(r"warning .*users\.db: others may use it \(mode 644\)")


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


def test_file_that_was_moved_without_its_log_is_missed(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 20)
    wait_published(rosterd, ids)
    reboot(rosterd)
    (tmp_path / "users.db").rename(tmp_path / "moved")
    line = refused(rosterd)
    assert "it is missing, but its write-ahead log" in line and "bring the file back" in line, line
    (tmp_path / "moved").rename(tmp_path / "users.db")
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


@pytest.mark.parametrize("path", ["new/dir/users.db", "users.db"])
def test_failed_start_leaves_neither_file_nor_directory(start, tmp_path, path):
    rosterd = start("--data-file", str(tmp_path / path), start=False)
    rosterd.listen = [start().target()]  # which is taken
    refused(rosterd)
    assert not list(tmp_path.iterdir())
    assert not rosterd.shm_files()


def test_failed_start_leaves_the_file_that_was_there(durable, start, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 3)
    rosterd.stop()
    for path in rosterd.shm_files():
        os.unlink(path)
    listen, rosterd.listen = rosterd.listen, [start().target()]
    refused(rosterd)
    rosterd.listen = listen
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


def test_default_file_is_in_the_state_directory(start, tmp_path):
    rosterd = start(start=False)
    env = dict(os.environ, STATE_DIRECTORY=str(tmp_path / "state"))
    done = subprocess.run([ROSTERD, "--dump-config", "--segment", rosterd.segment], env=env,
                          capture_output=True, text=True, check=False)
    name = rosterd.segment[1:]
    assert f"data-file = {tmp_path}/state/{name}.db" in done.stdout, done


@pytest.mark.parametrize("path, text", [
    ("/etc", "it is no regular file"), ("/etc/hostname/x/users.db", "Not a directory")])
def test_check_config_looks_at_the_data_file(path, text):
    done = subprocess.run([ROSTERD, "--check-config", "--data-file", path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and f"data-file: {path}: {text}" in done.stderr, done


def test_check_config_makes_no_directory(tmp_path):
    path = tmp_path / "new" / "dir" / "users.db"
    done = subprocess.run([ROSTERD, "--check-config", "--data-file", str(path)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not (tmp_path / "new").exists(), done


# ---- reload, upgrade, stop ----

def test_stop_writes_what_a_dead_journal_has_not(durable, tmp_path):
    rosterd = durable("--durability", "none")
    while not re.search(r"it is started again in \d{4,} ms", rosterd.log()):
        pid = rosterd.journal_pid()
        with contextlib.suppress(ProcessLookupError):  # it has just died of the kill before
            os.kill(pid, signal.SIGKILL)
        rosterd.wait_log(rf"journal \(pid {pid}\) killed")  # and what comes next
    ids = create(rosterd, 20)  # seen at once, and written by nobody
    rosterd.stop()
    assert len(rows(tmp_path / "users.db")) == len(ids)


def test_upgrade_hands_the_file_over(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    wait_published(rosterd, ids)
    upgrade(rosterd)
    ids += create(rosterd, 10, "later")
    wait_published(rosterd, ids)
    wait_for(lambda: len(rows(tmp_path / "users.db")) == 20)


def test_failed_upgrade_leaves_the_lock_the_old_programs(durable, start, tmp_path):
    config, lock = tmp_path / "rosterd.conf", tmp_path / "users.db.lock"
    rosterd = durable("--config", str(config), start=False)
    config.write_text("")
    rosterd.start()
    config.write_text(f"metrics-listen = {start().target()}\n")  # which is taken
    rosterd.process.send_signal(signal.SIGUSR2)
    rosterd.wait_log("this one continues to serve")
    assert int(lock.read_text()) == rosterd.process.pid
    config.write_text("")
    upgrade(rosterd)
    assert int(lock.read_text()) == rosterd.process.pid
    wait_published(rosterd, create(rosterd))


def test_reload_keeps_the_journal_and_the_file(durable, tmp_path):
    rosterd = durable("--config", str(tmp_path / "rosterd.conf"), start=False)
    (tmp_path / "rosterd.conf").write_text("durability = sync\n")
    rosterd.start()
    journal = rosterd.journal_pid()
    (tmp_path / "rosterd.conf").write_text("durability = interval 50ms\n")
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("only a restart changes durability")
    wait_published(rosterd, create(rosterd, 20))
    assert rosterd.journal_pid() == journal


def test_reload_moves_the_log_of_the_journal(durable, tmp_path):
    config, log = tmp_path / "rosterd.conf", tmp_path / "second.log"
    rosterd = durable("--config", str(config), start=False)
    config.write_text("")
    rosterd.start()
    journal = rosterd.journal_pid()
    config.write_text(f"log-file = {log}\n")
    rosterd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: gone(journal), 10, "another journal has its place")
    create(rosterd, 10)
    (tmp_path / "users.db").unlink()
    with contextlib.suppress(grpc.RpcError):  # whether it is on disk is unknown for a moment
        create(rosterd, 1, "later")
    wait_for(lambda: "was moved, removed or cut off while in use" in log.read_text(), 10, "its line")
    assert "was moved, removed or cut off while in use" not in rosterd.log()
    assert "journal (pid" not in log.read_text()  # it has not died


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT])
def test_stop_writes_what_there_is(durable, tmp_path, how):
    rosterd = durable("--worker-timeout", "1d")
    os.kill(rosterd.journal_pid(), signal.SIGSTOP)
    journal = rosterd.journal_pid()
    calls = [rosterd.stub().CreateUser.future(request) for request in requests(50)]
    wait_for(lambda: rosterd.inspect("status")["version"] == 50, 10, "the commits")
    rosterd.process.send_signal(how)
    rosterd.wait_log("the server stops")
    os.kill(journal, signal.SIGCONT)
    assert rosterd.process.wait(20) == 0
    if how == signal.SIGQUIT:
        assert all(call.result(1).id for call in calls)
    assert len(rows(tmp_path / "users.db")) == 50


def test_upgrades_and_kills_under_load_lose_nothing(durable):
    rosterd = durable()
    created, stop = [], threading.Event()

    def load(number):
        n = 0
        while not stop.is_set():
            with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(
                    rosterd.target(), [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = pb_grpc.UserServiceStub(channel)
                while not stop.is_set():
                    name = f"load{number}-{n}"
                    n += 1
                    created.append(stub.CreateUser(pb.CreateUserRequest(username=name),
                                                   timeout=10).id)
    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            seen = len(created)
            upgrade(rosterd)
            os.kill(rosterd.journal_pid(), signal.SIGKILL)
            wait_for(lambda n=seen: len(created) > n + 50, 30, "the load goes on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    rosterd.kill_all()
    for path in rosterd.shm_files():
        os.unlink(path)
    rosterd.start()
    assert set(created) <= {user.id for user in everybody(rosterd)}


# ---- without waiting ----

@pytest.mark.parametrize("durability", ["interval:50ms", "none"])
def test_lesser_durability_keeps_the_file_in_step(durable, tmp_path, durability):
    rosterd = durable("--durability", durability)
    ids = create(rosterd, 100)
    assert [user.id for user in everybody(rosterd)] == ids
    wait_for(lambda: len(rows(tmp_path / "users.db")) == 100)
    wait_for(lambda: rosterd.inspect("status")["journal"]["commits_behind"] == 0)
    reboot(rosterd)
    rosterd.start()
    assert [user.id for user in everybody(rosterd)] == ids


@pytest.mark.parametrize("value", ["often", "interval", "interval:0", "interval:2h", "sync:1s"])
def test_durability_that_makes_no_sense_is_refused(start, value):
    rosterd = start("--durability", value, start=False)
    line = refused(rosterd)
    assert line.startswith("rosterd: durability: ") and "interval:TIME" in line


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


@contextlib.contextmanager
def filled(disk, left=0):
    """The file system has no room meanwhile, but for so many bytes."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        with contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass
        ballast.truncate(ballast.tell() - left)
    try:
        yield
    finally:
        (disk / "ballast").unlink()


def test_full_disk_is_tried_again_until_it_has_room(start, small_disk):
    rosterd = start("--data-file", str(small_disk / "users.db"))
    ids = create(rosterd, 10)
    rosterd.stop()
    rosterd.start()  # with a new log: an old one is longer than what is in it
    with filled(small_disk):
        late = [rosterd.stub().CreateUser.future(request, timeout=60)
                for request in requests(500, "late")]
        rosterd.wait_log("full.*tried again each second")
        assert [user.id for user in everybody(rosterd)] == ids
        assert rosterd.inspect("status")["journal"]["state"] == "full"
    rosterd.wait_log("written again")
    assert len({call.result(10).id for call in late}) == 500
    wait_for(lambda: len(rows(small_disk / "users.db")) == 510)


def test_server_starts_on_a_disk_that_gets_full_and_serves_readers(start, small_disk):
    rosterd = start("--data-file", str(small_disk / "users.db"))
    ids = create(rosterd, 10)
    rosterd.stop()
    options, rosterd.options = rosterd.options, ["--data-file", "none"]
    rosterd.start()
    fill(rosterd, requests(3000, "more"), 3000)
    rosterd.stop()
    rosterd.options = options
    with filled(small_disk, left=100_000):
        rosterd.start()
        rosterd.wait_log("full.*tried again each second")
        assert rosterd.stub().GetUser(pb.GetUserRequest(id=ids[0])).id == ids[0]
        late = rosterd.stub().CreateUser.future(pb.CreateUserRequest(username="late"), timeout=60)
    assert late.result(20).username == "late"
    wait_for(lambda: len(rows(small_disk / "users.db")) == 3011)


def test_transaction_of_a_shell_delays_writes_and_no_reader(durable, tmp_path):
    rosterd = durable()
    ids = create(rosterd, 10)
    with contextlib.closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        late = rosterd.stub().CreateUser.future(pb.CreateUserRequest(username="late"), timeout=60)
        rosterd.wait_log("writes wait for it", 20)
        assert [user.id for user in everybody(rosterd)] == ids and not late.done()
        shell.execute("ROLLBACK")
    assert late.result(10).username == "late"


def test_reading_shell_delays_nobody(durable, tmp_path):
    rosterd = durable()
    create(rosterd, 10)
    with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/users.db?mode=ro", uri=True,
                                            isolation_level=None)) as shell:
        shell.execute("BEGIN")
        assert shell.execute("SELECT count(*) FROM users").fetchone() == (10,)
        create(rosterd, 100, "more")
        assert shell.execute("SELECT count(*) FROM users").fetchone() == (10,)
        shell.execute("ROLLBACK")
        assert shell.execute("SELECT count(*) FROM users").fetchone() == (110,)


def get(rosterd, page):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", rosterd.web, timeout=10)) as web:
        web.request("GET", page)
        response = web.getresponse()
        return response.status, response.read().decode()


def test_failed_file_makes_the_server_read_only_and_everybody_says_so(durable, start, tmp_path):
    """The file is replaced by another table's: that must not be overwritten, so nothing is written."""
    other = start("--data-file", str(tmp_path / "other.db"))
    create(other, 3)
    other.stop()
    port = free_port()
    rosterd = durable("--metrics-listen", f"127.0.0.1:{port}")
    rosterd.web = port
    ids = create(rosterd, 10)
    assert get(rosterd, "/readyz") == (200, "ready\n")
    (tmp_path / "users.db").rename(tmp_path / "mine.db")
    (tmp_path / "users.db-wal").rename(tmp_path / "mine.db-wal")
    (tmp_path / "users.db-shm").unlink()
    shutil.copy(tmp_path / "other.db", tmp_path / "users.db")
    os.kill(rosterd.journal_pid(), signal.SIGKILL)
    rosterd.wait_log("another table's users; until the server starts again nothing is written")
    status, text = get(rosterd, "/readyz")
    assert status == 503 and "the data file has failed" in text
    assert get(rosterd, "/healthz")[0] == 200
    assert "\nrosterd_journal_state 4\n" in get(rosterd, "/metrics")[1]
    expect(lambda: create(rosterd), grpc.StatusCode.UNAVAILABLE)
    assert [user.id for user in everybody(rosterd)] == ids
    assert len(rows(tmp_path / "users.db")) == 3
    rosterd.stop()
    (tmp_path / "mine.db").rename(tmp_path / "users.db")
    (tmp_path / "mine.db-wal").rename(tmp_path / "users.db-wal")
    rosterd.start()
    assert get(rosterd, "/readyz") == (200, "ready\n")
    ids += create(rosterd, 3, "more")
    wait_published(rosterd, ids)


def test_journal_that_cannot_start_is_shown(durable, tmp_path):
    """A file that cannot be locked: here a directory has its lock's name."""
    port = free_port()
    rosterd = durable("--metrics-listen", f"127.0.0.1:{port}")
    rosterd.web = port
    ids = create(rosterd, 10)
    (tmp_path / "users.db.lock").rename(tmp_path / "kept.lock")
    (tmp_path / "users.db.lock").mkdir()
    os.kill(rosterd.journal_pid(), signal.SIGKILL)
    rosterd.wait_log("error .*journal: .*users.db")
    wait_for(lambda: "\nrosterd_journal_state 5\n" in get(rosterd, "/metrics")[1], 10, "the state")
    status, text = get(rosterd, "/readyz")
    assert status == 503 and "cannot start" in text
    error = expect(lambda: rosterd.stub().CreateUser(next(iter(requests(1, "late"))), timeout=1),
                   grpc.StatusCode.DEADLINE_EXCEEDED)
    assert rosterd.inspect("status")["journal"]["state"] == "stopped", error
    assert [user.id for user in everybody(rosterd)] == ids
    (tmp_path / "users.db.lock").rmdir()
    (tmp_path / "kept.lock").rename(tmp_path / "users.db.lock")
    wait_for(lambda: get(rosterd, "/readyz") == (200, "ready\n"), 30, "the journal")
    assert "\nrosterd_journal_state 1\n" in get(rosterd, "/metrics")[1]
    wait_for(lambda: len(everybody(rosterd)) == 11, 10, "the user of meanwhile")


def test_journal_that_dies_again_and_again_is_shown(durable):
    port = free_port()
    rosterd = durable("--metrics-listen", f"127.0.0.1:{port}")
    rosterd.web = port

    def killed_and_shown():
        pid = rosterd.journal_pid()
        os.kill(pid, signal.SIGKILL)
        rosterd.wait_log(rf"journal \(pid {pid}\) killed")
        return "\nrosterd_journal_state 5\n" in get(rosterd, "/metrics")[1]
    wait_for(killed_and_shown, 20, "the state")
    assert len(re.findall("journal .* killed", rosterd.log())) >= 3
    wait_for(lambda: "\nrosterd_journal_state 1\n" in get(rosterd, "/metrics")[1], 10, "the next journal")


def test_metrics_show_the_journal(durable):
    port = free_port()
    rosterd = durable("--metrics-listen", f"127.0.0.1:{port}")
    rosterd.web = port
    create(rosterd, 10)

    def samples():
        return dict(line.rsplit(" ", 1) for line in get(rosterd, "/metrics")[1].splitlines()
                    if not line.startswith("#"))
    wait_for(lambda: samples()["rosterd_journal_version"] == "10")
    wait_for(lambda: int(samples()["rosterd_journal_commit_seconds_count"]) >= 1)
    found = samples()
    assert found["rosterd_journal_state"] == "1" and found["rosterd_journal_lag_commits"] == "0"
    assert int(found["rosterd_journal_bytes_total"]) > 1000
    assert int(found["rosterd_journal_fsync_seconds_count"]) >= 1
    assert float(found["rosterd_journal_fsync_seconds_sum"]) > 0
    assert found['rosterd_journal_failures_total{kind="io"}'] == "0"
    os.kill(rosterd.journal_pid(), signal.SIGSTOP)
    call = rosterd.stub().CreateUser.future(pb.CreateUserRequest(username="late"))
    wait_for(lambda: samples()["rosterd_journal_lag_commits"] == "1")
    wait_for(lambda: int(samples()["rosterd_journal_lag_seconds"]) >= 1)
    os.kill(rosterd.journal_pid(), signal.SIGCONT)
    assert call.result(10).username == "late"
    wait_for(lambda: samples()["rosterd_journal_lag_seconds"] == "0")
