# SPDX-License-Identifier: MIT
"""shm-inspect backup and restore on whole servers: the users of a backup are those that had been acknowledged
when it began; after a restore they are the users; a kill leaves the old table or the restored one."""
import contextlib
import glob
import os
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import SHM_INSPECT, fill, read_all, requests, wait_for
from test_durable import create, everybody, reboot, small_disk  # noqa: F401


@pytest.fixture
def durable(start, tmp_path):
    """Returns a function that starts a server with a data file, tmp_path/users.db. Segments that a restore has
    moved aside are removed."""
    started = []

    def starter(*options, **settings):
        started.append(start("--data-file", str(tmp_path / "users.db"), *options, **settings))
        return started[-1]
    yield starter
    for rosterd in started:
        for path in glob.glob(f"/dev/shm{rosterd.segment}.2*Z*"):
            os.unlink(path)


def tool(rosterd, *arguments):
    return [SHM_INSPECT, "--segment", rosterd.segment, *map(str, arguments)]


def ids_of(path):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as data:
        assert data.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ids = [row[0] for row in data.execute("SELECT id FROM users ORDER BY seq")]
        assert data.execute("SELECT count FROM meta").fetchone() == (len(ids),)
    return ids


def raw(ids):
    return [bytes.fromhex(id.replace("-", "")) for id in ids]


def ids(rosterd):
    return [user.id for user in everybody(rosterd)]


class Load:
    """Creates users, one after the other, in a thread of its own, until it is told to end."""
    def __init__(self, rosterd):
        self.acknowledged, self.ending, self.stub = [], False, rosterd.stub()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        for request in requests(10 ** 6, "load"):
            if self.ending:
                return
            self.acknowledged.append(self.stub.CreateUser(request).id)

    def end(self):
        self.ending = True
        self.thread.join()


def test_backup_under_load_has_whoever_was_acknowledged(durable, tmp_path):
    rosterd = durable()
    fill(rosterd, requests(30000, "first"), 30000)
    load = Load(rosterd)
    try:
        for turn in range(3):
            wait_for(lambda: len(load.acknowledged) > 50 * turn, what="some load")
            before = raw(load.acknowledged)
            summary = rosterd.inspect("backup", str(tmp_path / f"backup{turn}"))
            after = len(load.acknowledged)
            copied = ids_of(tmp_path / f"backup{turn}")
            assert summary["users"] == len(copied)
            assert copied[30000:30000 + len(before)] == before
            assert len(copied) <= 30000 + after + 1 # the last may be on disk and not acknowledged yet
    finally:
        load.end()
    assert ids_of(tmp_path / "backup0")[30000:] == raw(load.acknowledged)[:len(ids_of(tmp_path / "backup0")) - 30000]


def test_restored_users_are_those_of_the_backup(durable, tmp_path):
    rosterd = durable()
    fill(rosterd, requests(1000, "kept"), 1000)
    kept = ids(rosterd)
    _, token = read_all(rosterd.stub(), 400)
    rosterd.inspect("backup", str(tmp_path / "backup"))
    fill(rosterd, requests(500, "lost"), 500)
    rosterd.inspect("delete", kept[3])
    before = rosterd.inspect("status")["version"]

    refused = rosterd.inspect("restore", str(tmp_path / "backup"), status=1)
    assert refused.stderr.endswith(": a server uses it: stop the server first\n")
    assert rosterd.stop() == 0
    summary = rosterd.inspect("restore", str(tmp_path / "backup"))
    assert summary["users"] == 1000 and summary["version"] > before
    assert len(ids_of(summary["old_data_file"])) == 1499

    rosterd.start()
    assert ids(rosterd) == kept
    assert rosterd.inspect("verify")["faults"] == 0
    rest, _ = read_all(rosterd.stub(), 1000, page_token=token)
    assert [user.id for user in rest] == kept[400:]
    create(rosterd)
    rows = [user for user in everybody(rosterd)]
    assert len(rows) == 1001
    assert rosterd.inspect("get", rows[-1].id)["seq"] == 1501 # no number is given twice


def test_follower_of_the_lost_future_starts_over(durable, tmp_path):
    rosterd = durable()
    create(rosterd, 5)
    rosterd.inspect("backup", str(tmp_path / "backup"))
    create(rosterd, 5, "lost")
    seen = rosterd.inspect("status")["version"]
    assert rosterd.stop() == 0
    rosterd.inspect("restore", str(tmp_path / "backup"))
    rosterd.start()
    with subprocess.Popen(tool(rosterd, "tail", "--from", seen), stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline().split("\t") for _ in range(6)]
        process.terminate()
    assert [line[1].strip() for line in lines] == ["resync"] + 5 * ["resync-user"]


def test_follower_goes_on_after_a_reboot(durable):
    """It gets of each user the last change, and the deletes."""
    rosterd = durable()
    ids = create(rosterd, 6)
    seen = rosterd.inspect("status")["version"]
    rosterd.inspect("set-roles", ids[1], "admin")
    rosterd.inspect("delete", ids[3])
    new = create(rosterd, 2, "new")
    gone, = create(rosterd, 1, "gone")
    rosterd.inspect("delete", gone)
    rosterd.inspect("set-roles", new[0], "user,admin")
    reboot(rosterd)
    rosterd.start()
    with subprocess.Popen(tool(rosterd, "tail", "--from", seen), stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline().split("\t")[1:3] for _ in range(5)]
        process.terminate()
    assert lines == [["updated", ids[1]], ["deleted", ids[3]], ["updated", new[1]], ["deleted", gone],
                     ["updated", new[0]]]


def test_kept_segment_and_restored_file_do_not_meet(durable, tmp_path):
    """As after a restore that was killed before it moved the segment aside."""
    rosterd = durable()
    create(rosterd, 5)
    rosterd.inspect("backup", str(tmp_path / "backup"))
    create(rosterd, 5, "more")
    assert rosterd.stop() == 0
    summary = rosterd.inspect("restore", str(tmp_path / "backup"))
    os.rename(f"/dev/shm{summary['old_segment']}", f"/dev/shm{rosterd.segment}")
    done = subprocess.run(rosterd.command(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "it has another table's users than segment" in done.stderr
    assert len(rosterd.inspect("restore", str(tmp_path / "backup"))["old_segment"]) > 0
    rosterd.start()
    assert len(ids(rosterd)) == 5


def test_backup_of_the_old_table_comes_back(durable, tmp_path):
    """Restore, then restore what the first restore has kept."""
    rosterd = durable()
    create(rosterd, 5)
    rosterd.inspect("backup", str(tmp_path / "backup"))
    create(rosterd, 5, "more")
    whole = ids(rosterd)
    rosterd.kill_all() # its last commits are in the write-ahead log
    kept = rosterd.inspect("restore", str(tmp_path / "backup"))["old_data_file"]
    rosterd.inspect("--data-file", str(tmp_path / "users.db"), "restore", kept)
    rosterd.start()
    assert ids(rosterd) == whole


def start_or_reset(rosterd):
    """A restore that was killed between file and segment leaves two that a start refuses together."""
    try:
        rosterd.start()
    except AssertionError:
        assert "it has another table's users than segment" in rosterd.log()
        rosterd.options.append("--segment-reset")
        rosterd.start()
        rosterd.options.remove("--segment-reset")


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_killed_command_leaves_a_whole_table(durable, tmp_path, command):
    """At moments that are spread over the time that the command takes."""
    rosterd = durable()
    fill(rosterd, requests(5000, "kept"), 5000)
    rosterd.inspect("backup", str(tmp_path / "first"))
    create(rosterd, 3, "more")
    if command == "restore":
        assert rosterd.stop() == 0
    took, results = 0.3, set()
    for turn in range(7):
        target = tmp_path / ("first" if command == "restore" else f"backup{turn}")
        begin = time.monotonic()
        process = subprocess.Popen(tool(rosterd, "--data-file", tmp_path / "users.db", command, target),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(took * turn / 5)
            took = max(0.02, time.monotonic() - begin)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if command == "backup":
            if target.exists():
                assert len(ids_of(target)) == 5003
            continue
        start_or_reset(rosterd)
        results.add(len(ids(rosterd)))
        assert results <= {5000, 5003}
        assert rosterd.inspect("verify")["faults"] == 0
        assert rosterd.stop() == 0
    if command == "backup":
        assert len(ids(rosterd)) == 5003


def test_full_disk_leaves_nothing_of_a_backup(durable, tmp_path, small_disk):  # noqa: F811
    """The backup goes to another file system, of 4 MB. The server does not notice."""
    rosterd = durable()
    create(rosterd, 5)
    assert rosterd.inspect("backup", str(small_disk / "fits"))["users"] == 5
    fill(rosterd, requests(60000, "more"), 60000)
    refused = rosterd.inspect("backup", str(small_disk / "large"), status=1)
    assert refused.stderr == f"shm-inspect: {small_disk}/large: cannot copy into it: the disk is full\n"
    assert os.listdir(small_disk) == ["fits"]
    create(rosterd, 5, "again")
    assert rosterd.inspect("backup", str(tmp_path / "large"))["users"] == 60010


def test_progress_is_shown_on_a_terminal(durable, tmp_path):
    rosterd = durable()
    fill(rosterd, requests(100000, "kept"), 100000)
    master, slave = os.openpty()
    done = subprocess.run(tool(rosterd, "backup", tmp_path / "backup"), stdout=subprocess.PIPE, stderr=slave,
                          timeout=60, check=True)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "\rbackup [" in shown and "pages" in shown and "\rcheck" in shown
    assert done.stdout.startswith(b"100000 users as of version ")
