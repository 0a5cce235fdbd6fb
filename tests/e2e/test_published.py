# SPDX-License-Identifier: MIT
"""What a client is told is on disk: a write is answered, and shown to readers, when the journal has written
it. A stopped journal is a disk that does not answer."""
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import SHM_INSPECT, command_name, expect, failure, read_all, requests, wait_for
from test_durable import durable, small_disk  # noqa: F401  (fixtures)
from test_reload import Load, reload, upgrade

CODE = grpc.StatusCode
WHILE = 0.4  # seconds in which a call that does not wait would be answered


@contextlib.contextmanager
def stopped(rosterd):
    """The journal is stopped meanwhile. The server must not replace it: see patient()."""
    pid = rosterd.journal_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def patient(durable):  # noqa: F811
    return lambda *options, **settings: durable("--worker-timeout", "1d", *options, **settings)


def create(stub, name, **settings):
    return stub.CreateUser.future(pb.CreateUserRequest(username=name), **settings)


def assert_waiting(*calls):
    deadline = time.monotonic() + WHILE
    while time.monotonic() < deadline:
        assert not any(call.done() for call in calls)
        time.sleep(0.02)


def names(rosterd):
    return [user.username for user in read_all(rosterd.stub(), 1000)[0]]


def wait_written(rosterd, commits):
    """Waits until there are commits that are not on disk."""
    wait_for(lambda: rosterd.inspect("status")["journal"]["commits_behind"] >= commits, 10, "the commits")


# ---- waiting ----

def test_creation_is_answered_and_shown_when_it_is_on_disk(patient):
    rosterd = patient()
    stub = rosterd.stub()
    first = create(stub, "first").result(10)
    with stopped(rosterd):
        late = create(stub, "late")
        wait_written(rosterd, 1)
        assert_waiting(late)
        assert names(rosterd) == ["first"]
        assert stub.GetUser(pb.GetUserRequest(id=first.id), timeout=5) == first
        status = rosterd.inspect("status")
        assert status["users"] == 1
        assert status["version"] == status["published"] + 1
        assert rosterd.inspect("get", "--username", "late", status=1)
    assert late.result(10).username == "late"
    assert names(rosterd) == ["first", "late"]
    assert stub.GetUser(pb.GetUserRequest(id=late.result().id), timeout=5) == late.result()


def test_refusal_waits_for_the_user_that_it_rests_on(patient):
    rosterd = patient("--unique", "username")
    stub = rosterd.stub()
    create(stub, "old").result(10)
    with stopped(rosterd):
        first = create(stub, "ann")
        wait_written(rosterd, 1)
        second = create(stub, "ann")
        batch = stub.BatchCreateUsers.future(iter([pb.CreateUserRequest(username="ann")]))
        assert_waiting(first, second, batch)
        expect(lambda: create(stub, "old").result(5), CODE.ALREADY_EXISTS)  # that one is on disk
    assert first.result(10).username == "ann"
    expect(lambda: second.result(10), CODE.ALREADY_EXISTS, "username 'ann' is taken")
    assert batch.result(10).created == 0
    assert names(rosterd) == ["old", "ann"]


def test_batch_is_answered_when_its_last_user_is_on_disk(patient):
    rosterd = patient()
    stub = rosterd.stub()
    with stopped(rosterd):
        call = stub.BatchCreateUsers.future(requests(1000))
        wait_written(rosterd, 4)
        assert_waiting(call)
        assert names(rosterd) == []
    assert call.result(10).created == 1000
    assert len(names(rosterd)) == 1000


def test_batch_beyond_the_backlog_waits_for_the_journal(patient):
    rosterd = patient()
    stub = rosterd.stub()
    with stopped(rosterd):
        call = stub.BatchCreateUsers.future(requests(20000))
        wait_for(lambda: rosterd.inspect("status")["journal"]["changes_behind"] > 8192 - 256, 10)
        time.sleep(1.5)  # longer than a call waits for the writer lock
        assert not call.done()
        assert rosterd.inspect("status")["journal"]["changes_behind"] <= 8192
        late = create(stub, "late")
        assert_waiting(late)
    assert call.result(30).created == 20000
    assert late.result(10).username == "late"


def test_calls_of_all_workers_are_answered(patient):
    rosterd = patient(workers=3)
    stubs = [rosterd.stub() for _ in range(12)]
    with stopped(rosterd):
        calls = [create(stub, f"user{i}-{k}") for i, stub in enumerate(stubs) for k in range(20)]
        wait_written(rosterd, len(calls))
        assert_waiting(*calls)
    ids = {call.result(10).id for call in calls}
    assert ids == {user.id for user in read_all(rosterd.stub(), 1000)[0]}


def test_thousands_of_calls_of_one_client_wait_for_the_disk(patient):
    """grpcio sends about two WINDOW_UPDATEs for each call: 4,700 before the first answer here."""
    rosterd = patient("--max-concurrent-streams", "2500", workers=1)
    stub = rosterd.stub()
    with stopped(rosterd):
        calls = [create(stub, f"user{i}") for i in range(2500)]
        wait_written(rosterd, len(calls))
    assert len({call.result(10).id for call in calls}) == len(calls)


def lower_decile(rosterd):
    """The latency of CreateUser, in seconds."""
    stub = rosterd.stub()
    seconds = []
    for request in requests(100):
        began = time.monotonic()
        stub.CreateUser(request, timeout=10)
        seconds.append(time.monotonic() - began)
    return sorted(seconds)[10]


def test_journal_wakes_the_worker(start):
    """A worker that is not woken looks at what is published every five milliseconds only."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as fast:
        rosterd = start("--data-file", f"{fast}/users.db", "--worker-timeout", "1d", workers=1)
        assert lower_decile(rosterd) < 0.004
        reload(rosterd)
        assert lower_decile(rosterd) < 0.004
        pid, = wait_for(lambda: len(rosterd.worker_pids()) == 1 and rosterd.worker_pids(), 20, "one worker")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(rosterd.worker_pids()) == 1 and rosterd.worker_pids() != [pid], 20, "the next worker")
        assert lower_decile(rosterd) < 0.004
        with stopped(rosterd) as journal:
            os.kill(journal, signal.SIGKILL)
        wait_for(lambda: rosterd.journal_pid() != journal, 20, "the next journal")
        assert lower_decile(rosterd) < 0.004
        assert rosterd.stop() == 0


def test_reload_lets_calls_wait(patient):
    rosterd = patient("--drain-timeout", "1m")
    with stopped(rosterd):
        call = create(rosterd.stub(), "late")
        wait_written(rosterd, 1)
        reload(rosterd)
        new = create(rosterd.stub(), "new")
        assert_waiting(call, new)
    assert call.result(10).username == "late"
    assert new.result(10).username == "new"


def test_interval_and_no_durability_wait_for_nothing(patient):
    for durability in ("interval:1h", "none"):
        rosterd = patient("--durability", durability)
        with stopped(rosterd):
            assert create(rosterd.stub(), durability).result(5).username == durability
            assert durability in names(rosterd)
        rosterd.stop()


# ---- calls that end before ----

def test_deadline_ends_the_wait_and_the_user_appears_later(patient):
    rosterd = patient()
    stub = rosterd.stub()
    with stopped(rosterd):
        expect(lambda: create(stub, "late", timeout=0.5).result(), CODE.DEADLINE_EXCEEDED)
        assert names(rosterd) == []
    wait_for(lambda: names(rosterd) == ["late"], 10, "the user appears")


def test_disk_that_hangs_does_not_cost_clients_their_connection(patient):
    """A client resets each call whose deadline has passed, and the server closes connections that reset very
    many: it ends these calls itself, shortly before."""
    rosterd = patient()
    stub = rosterd.stub()
    first = create(stub, "first").result(10)
    with stopped(rosterd):
        for wave in range(3):
            calls = [create(stub, f"{wave}-{i}", timeout=3) for i in range(900)]
            assert {call.code() for call in calls} == {CODE.DEADLINE_EXCEEDED}
            assert stub.GetUser(pb.GetUserRequest(id=first.id), timeout=5) == first
        assert sum("too slow" in call.details() for call in calls) > 450
        rosterd.wait_stats("rosterd_connections_accepted_total", 1)
    wait_for(lambda: len(read_all(rosterd.stub(), 10000)[0]) == 2701, 10, "the users appear")


def test_cancelled_call_leaves_the_others(patient):
    rosterd = patient()
    stub = rosterd.stub()
    with stopped(rosterd):
        calls = [create(stub, f"user{i}") for i in range(3)]
        wait_written(rosterd, 3)
        calls[0].cancel()
        rosterd.wait_stats("rosterd_streams_open", 2)
        assert_waiting(*calls[1:])
    assert [call.result(10).username for call in calls[1:]] == ["user1", "user2"]
    assert len(names(rosterd)) == 3


@pytest.mark.parametrize("memory, holds", [("1M", False), ("16M", True)])
def test_calls_that_wait_count_in_the_memory_of_their_connection(patient, memory, holds):
    rosterd = patient("--max-message-size", "64K", "--max-connection-memory", memory)
    stub = rosterd.stub()
    with stopped(rosterd):
        calls = [create(stub, f"{i:0250}") for i in range(1000)]
        wait_for(lambda: any(call.done() for call in calls) or
                 rosterd.inspect("status")["journal"]["commits_behind"] == 1000, 20, "their end")
        failed = next((call.exception() for call in calls if call.done()), None)
        assert (failed is None) == holds, failed
    assert sum(not call.exception(20) for call in calls) == 1000 or not holds


# ---- the end of a process ----

def test_killed_journal_leaves_the_calls_to_the_next(patient):
    rosterd = patient()
    stub = rosterd.stub()
    with stopped(rosterd) as pid:
        calls = [create(stub, f"user{i}") for i in range(50)]
        wait_written(rosterd, 50)
        os.kill(pid, signal.SIGKILL)
    assert len({call.result(20).id for call in calls}) == 50
    assert len(names(rosterd)) == 50


def test_drain_lets_calls_wait(patient):
    rosterd = patient("--drain-timeout", "1m")
    call = None
    with stopped(rosterd):
        call = create(rosterd.stub(), "late")
        wait_written(rosterd, 1)
        rosterd.process.send_signal(signal.SIGQUIT)
        assert_waiting(call)
    assert call.result(10).username == "late"
    assert rosterd.process.wait(20) == 0


def test_drain_timeout_ends_the_wait(patient):
    rosterd = patient("--drain-timeout", "500ms")
    with stopped(rosterd):
        call = create(rosterd.stub(), "late")
        wait_written(rosterd, 1)
        rosterd.process.send_signal(signal.SIGQUIT)
        expect(lambda: call.result(10), CODE.UNAVAILABLE, "shutting down")
    assert rosterd.process.wait(20) == 0
    rosterd.start()
    assert names(rosterd) == ["late"]  # told last, the journal wrote it


def test_term_cuts_the_wait(patient):
    rosterd = patient()
    with stopped(rosterd):
        call = create(rosterd.stub(), "late")
        wait_written(rosterd, 1)
        rosterd.process.send_signal(signal.SIGTERM)
        assert failure(lambda: call.result(10)).code() == CODE.UNAVAILABLE
    assert rosterd.process.wait(20) == 0


def test_upgrades_lose_no_call_that_waits(durable):  # noqa: F811
    """The new program's journal does not know the old one's workers."""
    rosterd = durable()
    with Load(rosterd) as load:
        for _ in range(3):
            load.more()
            upgrade(rosterd)
        load.more()
    assert not load.failures
    assert {user.id for user in read_all(rosterd.stub(), 10**6)[0]} == set(load.created)
    rosterd.stop()


# ---- a full disk ----

def test_full_disk_is_told_and_the_users_appear_later(start, small_disk):  # noqa: F811
    rosterd = start("--data-file", str(small_disk / "users.db"))
    stub = rosterd.stub()
    first = create(stub, "first").result(10)
    rosterd.stop()
    rosterd.start()  # with a new log: an old one is longer than what is in it
    stub = rosterd.stub()
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while ballast.write(b"x" * 4096):
            pass
    calls = [create(stub, f"early{i}") for i in range(40)]  # some find room in the log
    wait_for(lambda: rosterd.inspect("status")["journal"]["state"] == "full", 20, "the disk is full")
    began = time.monotonic()
    soon = create(stub, "soon", timeout=2)
    late = create(stub, "late")
    expect(soon.result, CODE.RESOURCE_EXHAUSTED, "the disk of the data file is full; the change may be made later")
    assert 1 < time.monotonic() - began < 2.1
    expect(late.result, CODE.RESOURCE_EXHAUSTED, "the disk of the data file is full; the change may be made later")
    assert 4 < time.monotonic() - began < 8
    assert stub.GetUser(pb.GetUserRequest(id=first.id), timeout=5) == first
    known = {call.result().username for call in calls if not call.exception(10)}
    assert {"first", *known} == set(names(rosterd))
    last = create(stub, "last")
    (small_disk / "ballast").unlink()
    assert last.result(10).username == "last"
    assert {"soon", "late"} <= set(names(rosterd))


# ---- shm-inspect ----

def test_tool_tells_what_is_on_disk(patient):
    rosterd = patient()
    user = create(rosterd.stub(), "first").result(10)
    with stopped(rosterd):
        with subprocess.Popen([SHM_INSPECT, "--segment", rosterd.segment, "delete", user.id],
                              stdout=subprocess.PIPE, text=True) as tool:
            threading.Timer(WHILE, lambda: os.kill(rosterd.journal_pid(), signal.SIGCONT)).start()
            wait_written(rosterd, 1)
            assert tool.poll() is None
            assert names(rosterd) == ["first"]
            assert tool.communicate(timeout=20)[0] == f"{user.id} is deleted\n"
    assert names(rosterd) == []


def test_workers_shows_the_journal(patient):
    rosterd = patient()

    def line():
        done = subprocess.run([SHM_INSPECT, "--segment", rosterd.segment, "workers"], capture_output=True,
                              text=True, check=True)
        return next((line.split() for line in done.stdout.splitlines() if " journal " in line), None)
    pid = int(wait_for(line, 10, "the journal's line")[3])
    assert pid == rosterd.journal_pid()
    assert command_name(pid) == "rosterd-journal"
