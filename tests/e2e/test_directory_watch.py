# SPDX-License-Identifier: MIT
"""Directory.WatchUsers: a client that follows it has the users of the table, whatever ends its stream."""
import contextlib
import os
import random
import signal
import statistics
import threading
import time
import uuid

import grpc
import pytest

from harness import fill, requests, resident, wait_for, writer
from schema import message, method
from test_directory import NAME, Code, Directory, make, refused
from wire import WINDOW_UPDATE, Wire, message as frame

TYPE = message(NAME + "WatchUsersResponse").Type
MANY = 100_000  # more changes than the store keeps


def users_of(directory):
    """Returns all users by name."""
    users, token = {}, ""
    while True:
        page = directory.ListUsers(page_size=1000, page_token=token)
        users.update((user.name, user) for user in page.users)
        token = page.next_page_token
        if not token:
            return users


class Replica:
    """A client that keeps the users in a dict, and connects again with its last token."""

    def __init__(self, rosterd):
        self.rosterd = rosterd
        self.users, self.token = {}, ""
        self.changes = self.resumes = 0
        # Since it was last quiet, it has resumed by a token as long as that of a watch far behind, which may
        # not have room for all that the watch knew.
        self.broken = False
        self.failure = self.call = None
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.ended:
                self.follow()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def follow(self):
        channel = self.rosterd.channel()
        try:
            grpc.channel_ready_future(channel).result(10)
            self.call = watch(Directory(channel), resume_token=self.token, send_initial=True)
            for event in self.call:
                self.take(event)
        except grpc.FutureTimeoutError:
            assert self.ended
        except grpc.RpcError as error:
            assert error.code() in (Code.UNAVAILABLE, Code.CANCELLED), error
            self.resumes += 1
            self.broken |= len(self.token) >= 40 + 32 * 4
            if not self.token:  # the listing begins again
                self.users = {}
        finally:
            channel.close()

    def take(self, event):
        user, known = event.user, self.users.get(event.user.name)
        self.token = event.resume_token
        if event.type == TYPE.CREATED:
            assert known is None, event
            self.users[user.name] = user
        elif event.type == TYPE.UPDATED:
            assert known is not None and (known.etag != user.etag or self.broken), event
            self.users[user.name] = user
        elif event.type == TYPE.DELETED:
            assert known is not None or self.broken, event
            assert user == make("User", name=user.name), event
            self.users.pop(user.name, None)
        else:
            self.broken = False
            assert event.resume_token and not event.HasField("user")
        self.changes += event.type <= TYPE.DELETED

    def is_at(self, token):
        if self.failure:
            raise self.failure
        return self.token == token

    def close(self):
        self.ended = True
        if self.call:
            self.call.cancel()
        self.thread.join(20)


def watch(directory, **fields):
    return getattr(directory, "WatchUsers")(**fields)


@pytest.fixture(name="watched")
def watched_fixture(start):
    return start("--unique", "username,email", "--workers", "2", "--watch-bookmark", "100ms")


@pytest.fixture(name="replicas")
def replicas_fixture():
    """Returns a function that makes replicas of a server; they end after the test."""
    made = []

    def maker(rosterd, count):
        made.extend(Replica(rosterd) for _ in range(count))
        return made
    yield maker
    for replica in made:
        replica.close()


@pytest.fixture(name="directory")
def directory_fixture(watched):
    return Directory(watched.channel())


def changed(event):
    """The next event that is no bookmark, without its token."""
    return TYPE.Name(event.type), event.user.name


def changes(call):
    return (event for event in call if event.type != TYPE.BOOKMARK)


# ---- what is told ----

def test_users_first_and_then_the_changes(directory):
    ann, bob = directory.create("ann", roles=["admin"]), directory.create("bob")
    events = changes(watch(directory, send_initial=True))
    first = [next(events) for _ in range(3)]
    assert [event.type for event in first] == [TYPE.CREATED, TYPE.CREATED, TYPE.INITIAL_DONE]
    assert [event.user for event in first[:2]] == [ann, bob]
    assert [bool(event.resume_token) for event in first] == [False, False, True]
    updated = directory.update(name=ann.name, email="ann@a.org")
    event = next(events)
    assert (event.type, event.user) == (TYPE.UPDATED, updated)
    directory.DeleteUser(name=bob.name)
    event = next(events)
    assert (event.type, event.user) == (TYPE.DELETED, make("User", name=bob.name))
    eve = directory.create("eve", labels={"team": "blue"})
    event = next(events)
    assert (event.type, event.user) == (TYPE.CREATED, eve)


def test_resume_tells_no_change_again(directory):
    """A user is changed before the watch comes to the creation: CREATED is told with the newest state. The
    client leaves just then."""
    late = 0
    for n in range(500):
        call, name = watch(directory), f"users/{uuid.uuid4()}"
        assert next(call).type == TYPE.BOOKMARK
        user = {"name": name, "username": f"ann{n}", "disabled": True}
        created = method(directory.channel, f"{NAME}Directory/CreateUser").future(
            make("CreateUserRequest", user=make("User", username=f"ann{n}"), user_id=name[6:]))
        updated = method(directory.channel, f"{NAME}Directory/UpdateUser").future(
            make("UpdateUserRequest", user=make("User", **user)))
        created.result(20)
        if updated.exception(20):  # it came first
            continue
        event = next(call)
        assert (event.type, event.user.name) == (TYPE.CREATED, name)
        call.cancel()
        bob = directory.create(f"bob{n}")
        again = changes(watch(directory, resume_token=event.resume_token))
        if event.user.disabled:
            late += 1
        else:
            assert changed(next(again)) == ("UPDATED", name)
        assert changed(next(again)) == ("CREATED", bob.name)
        if late == 3:
            return
    raise AssertionError(f"only {late} of 500 came late")


def test_watch_from_now_says_at_once_where_it_is(directory):
    directory.create("ann")
    call = watch(directory)
    first = next(call)
    assert first.type == TYPE.BOOKMARK and first.resume_token
    bob = directory.create("bob")
    assert changed(next(changes(call))) == ("CREATED", bob.name)
    again = changes(watch(directory, resume_token=first.resume_token, send_initial=True))
    assert changed(next(again)) == ("CREATED", bob.name)


def test_mask_names_the_fields(directory):
    events = watch(directory, read_mask={"paths": ["username"]})
    assert next(events).type == TYPE.BOOKMARK
    ann = directory.create("ann", email="ann@a.org")
    events = changes(events)
    assert next(events).user == make("User", username="ann")
    directory.update(name=ann.name, email="ann@b.org")  # a change of another field is told, too
    assert next(events).user == make("User", username="ann")
    directory.DeleteUser(name=ann.name)
    assert next(events).user == make("User", name=ann.name)
    refused(lambda: next(watch(directory, read_mask={"paths": ["password"]})),
            Code.INVALID_ARGUMENT, "password", "read_mask")


def test_silence_brings_bookmarks(directory):
    call = watch(directory)
    tokens = {next(call).resume_token for _ in range(3)}
    assert len(tokens) == 1
    ann = directory.create("ann")
    event = next(changes(call))
    assert changed(event) == ("CREATED", ann.name)
    assert event.resume_token not in tokens
    assert next(call).resume_token == event.resume_token


@pytest.mark.slow
def test_without_an_option_silence_brings_a_bookmark_each_ten_seconds(start):
    call = watch(Directory(start().channel()))
    first = next(call)
    began = time.monotonic()
    assert next(call) == first
    assert 9.5 <= time.monotonic() - began < 12


def test_batch_is_told_and_resumed_inside(watched, directory):
    begin = next(watch(directory)).resume_token
    fill(watched, requests(600), 600)
    events = changes(watch(directory, resume_token=begin))
    told = [next(events) for _ in range(600)]
    assert {event.type for event in told} == {TYPE.CREATED}
    assert {event.user.name for event in told} == users_of(directory).keys()
    for place in (0, 100, 254, 255, 256, 598):
        rest = changes(watch(directory, resume_token=told[place].resume_token))
        for event in told[place + 1:]:
            assert next(rest) == event


def test_listing_that_its_client_does_not_read_ends_the_watch(start):
    """Before its first token: the client begins anew."""
    rosterd = start("--snapshot-max-age", "1s")
    fill(rosterd, requests(20_000), 20_000)
    request = make("WatchUsersRequest", send_initial=True)
    with Wire(rosterd.connect(), credit=False) as wire:  # the windows stay as they are, and are full soon
        number = wire.open(f"/{NAME}Directory/WatchUsers")
        wire.data(number, frame(request))
        time.sleep(2.5)
        wire.credit = True
        for stream in (0, number):
            wire.send_frame(WINDOW_UPDATE, 0, stream, (1 << 20).to_bytes(4, "big"))
        ended = wire.wait(number, 30)
    assert ended.grpc_status == Code.ABORTED.value[0]
    assert "older than snapshot-max-age" in ended.trailers["grpc-message"]
    kind = message(NAME + "WatchUsersResponse")
    told = [kind.FromString(text) for text in ended.messages()]
    assert 0 < len(told) < 20_000 and all(event.type == TYPE.CREATED and not event.resume_token for event in told)
    again = watch(Directory(rosterd.channel()), send_initial=True)
    assert next(again).type == TYPE.CREATED


# ---- tokens ----

def test_token_that_is_none_is_refused(directory, start):
    other = next(watch(Directory(start().channel()))).resume_token
    mine = next(watch(directory)).resume_token
    for token, why in (("x", "not a resume_token"), (mine[:-1], "not a"), (mine.lower(), "not a"),
                       (other, "another table"),
                       (directory.ListUsers(page_size=1).next_page_token or "A" * 40, "not a")):
        refused(lambda t=token: next(watch(directory, resume_token=t)), Code.INVALID_ARGUMENT, why,
                "resume_token")


def test_token_goes_on_after_a_restart(start):
    rosterd = start("--watch-bookmark", "100ms")
    directory = Directory(rosterd.channel())
    ann = directory.create("ann")
    token = next(watch(directory)).resume_token
    directory.update(name=ann.name, email="ann@a.org")
    rosterd.stop(signal.SIGTERM)
    rosterd.start()
    directory = Directory(rosterd.channel())
    bob = directory.create("bob")
    events = changes(watch(directory, resume_token=token))
    assert [changed(next(events)) for _ in range(2)] == [("UPDATED", ann.name), ("CREATED", bob.name)]


def test_token_goes_on_after_a_reboot(start, tmp_path):
    rosterd = start("--data-file", str(tmp_path / "users.db"))
    directory = Directory(rosterd.channel())
    events = watch(directory)
    assert next(events).type == TYPE.BOOKMARK
    ann, cid, dan = (directory.create(name) for name in ("ann", "cid", "dan"))
    told = changes(events)
    token = [next(told) for _ in range(3)][-1].resume_token
    # what the client has not been told of when the machine stops
    eve, fay = directory.create("eve"), directory.create("fay")
    directory.DeleteUser(name=cid.name)
    directory.update(name=ann.name, disabled=True)
    directory.DeleteUser(name=fay.name)
    directory.update(name=eve.name, disabled=True)
    rosterd.kill_all()
    for path in rosterd.shm_files():
        os.unlink(path)
    rosterd.start()
    directory = Directory(rosterd.channel())
    bob = directory.create("bob")
    directory.update(name=dan.name, disabled=True)
    told = changes(watch(directory, resume_token=token))
    assert [changed(next(told)) for _ in range(5)] == [
        ("DELETED", cid.name), ("UPDATED", ann.name), ("CREATED", eve.name), ("CREATED", bob.name),
        ("UPDATED", dan.name)]


def test_change_is_told_when_it_is_on_disk(start, tmp_path):
    rosterd = start("--data-file", str(tmp_path / "users.db"))
    directory = Directory(rosterd.channel())
    events = watch(directory)
    assert next(events).type == TYPE.BOOKMARK
    journal = rosterd.journal_pid()
    os.kill(journal, signal.SIGSTOP)
    try:
        call = threading.Thread(target=directory.create, args=("ann",))
        call.start()
        wait_for(lambda: rosterd.inspect("status")["version"] == 1, 10, "the commit")
        told = []
        reader = threading.Thread(target=lambda: told.append(next(changes(events))))
        reader.start()
        reader.join(0.3)
        assert not told
    finally:
        os.kill(journal, signal.SIGCONT)
    reader.join(10)
    call.join(10)
    assert [event.user.username for event in told] == ["ann"]


def test_change_of_another_process_is_told_soon(start):
    rosterd = start("--workers", "1")
    fill(rosterd, requests(1), 1)
    events = watch(Directory(rosterd.channel()))
    assert next(events).type == TYPE.BOOKMARK
    waits = []
    for _ in range(10):
        time.sleep(0.05)  # the watch rests for more than one look
        writer(rosterd, "update", 0, 1, 1)
        done = time.monotonic()
        assert next(events).type == TYPE.UPDATED
        waits.append(time.monotonic() - done)
    assert statistics.median(waits) < 0.1, waits


# ---- limits ----

def test_slow_client_costs_little_and_is_told_to_list_anew(watched):
    fill(watched, requests(1000), 1000)
    directory = Directory(watched.channel(("grpc.http2.bdp_probe", 0)))  # its window stays 64 KiB
    call = watch(directory)
    token = next(call).resume_token
    pids = watched.worker_pids()
    before = sum(map(resident, pids))
    writer(watched, "update", 0, 1000, MANY, rate=MANY)  # a client that reads would keep up
    watched.wait_stats("rosterd_watches_lost_total", 1)
    assert sum(map(resident, pids)) - before < 8 << 20
    refused(lambda: list(call), Code.OUT_OF_RANGE, "list anew")
    refused(lambda: next(watch(directory, resume_token=token)), Code.OUT_OF_RANGE, "too old")
    watched.wait_stats("rosterd_watches_open", 0)


def test_changes_wait_in_the_store_until_the_client_reads(watched):
    directory = Directory(watched.channel(("grpc.http2.bdp_probe", 0)))
    token = next(watch(directory)).resume_token
    fill(watched, requests(10_000), 10_000)
    pids = watched.worker_pids()
    before = sum(map(resident, pids))
    calls = [watch(directory, resume_token=token) for _ in range(10)]
    for call in calls:
        assert next(call).type == TYPE.CREATED
    assert sum(map(resident, pids)) - before < 8 << 20  # and not 20 MB of messages
    for number in range(1, 10_000):
        assert next(calls[0]).user.username == f"user{number:07}"


def test_watches_are_bounded_and_counted(start):
    rosterd = start("--workers", "1", "--max-watches", "2")
    directory = Directory(rosterd.channel())
    calls = [watch(directory) for _ in range(2)]
    for call in calls:
        next(call)
    refused(lambda: next(watch(directory)), Code.RESOURCE_EXHAUSTED, "max-watches")
    rosterd.wait_stats("rosterd_watches_open", 2)
    directory.create("ann")
    for call in calls:
        next(call)
    rosterd.wait_stats("rosterd_watch_events_total", 2)
    calls[0].cancel()
    rosterd.wait_stats("rosterd_watches_open", 1)
    assert next(watch(directory)).type == TYPE.BOOKMARK


def test_watches_of_one_connection_count_as_its_memory(start):
    rosterd = start("--workers", "1", "--max-connection-memory", "1M", "--max-message-size", "64K")
    directory = Directory(rosterd.channel())
    calls = []  # a call that nobody refers to is cancelled

    def more(count):
        for _ in range(count):
            calls.append(watch(directory))
            assert next(calls[-1]).type == TYPE.BOOKMARK
    more(30)
    refused(lambda: more(40), Code.RESOURCE_EXHAUSTED, "max-connection-memory")
    other = watch(Directory(rosterd.channel()))
    assert next(other).type == TYPE.BOOKMARK


def test_reload_ends_watches_with_a_token_that_goes_on(watched, directory):
    call = watch(directory)
    token = next(call).resume_token
    watched.process.send_signal(signal.SIGHUP)
    refused(lambda: list(call), Code.UNAVAILABLE, "resume_token")
    ann = Directory(watched.channel()).create("ann")
    again = watch(Directory(watched.channel()), resume_token=token)
    assert changed(next(changes(again))) == ("CREATED", ann.name)


# ---- replicas ----

class Load:
    """Threads that create, update, rename and delete users until they are stopped."""

    def __init__(self, rosterd, threads):
        self.rosterd, self.stop = rosterd, threading.Event()
        self.done = 0
        self.threads = [threading.Thread(target=self.run, args=(seed,)) for seed in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, seed):
        dice = random.Random(seed)
        names = []
        while not self.stop.is_set():
            channel = self.rosterd.channel()
            with contextlib.suppress(grpc.RpcError):
                while not self.stop.is_set():
                    self.change(Directory(channel), dice, names)
                    self.done += 1
            channel.close()

    @staticmethod
    def change(directory, dice, names):
        def word():
            return f"u{dice.randrange(10**9)}"
        what = dice.randrange(10)
        if what < 4 or not names:
            names.append(directory.create(word()).name)
            return
        name = dice.choice(names)
        if what < 6:
            directory.update(name=name, username=word())
        elif what < 8:
            directory.update(name=name, labels={"n": word()})
        else:
            names.remove(name)
            directory.DeleteUser(name=name, allow_missing=True)

    def go_on(self, calls):
        before = self.done
        wait_for(lambda: self.done > before + calls, 20, "load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def equal_when_quiet(replicas, rosterd):
    """Nothing changes any more: all replicas come to the same place, and have the table's users."""
    directory = Directory(rosterd.channel())
    token, users = next(watch(directory)).resume_token, users_of(directory)
    for replica in replicas:
        wait_for(lambda r=replica: r.is_at(token), 20, "the table's place")
        assert replica.users == users


@pytest.mark.parametrize("data_file", [False, True])
def test_replicas_equal_the_table_at_each_quiet_point(start, replicas, tmp_path, data_file):
    options = ["--data-file", str(tmp_path / "users.db")] if data_file else []
    rosterd = start("--unique", "username,email", "--watch-bookmark", "100ms", *options, workers=4)
    for i in range(50):
        Directory(rosterd.channel()).create(f"first{i}")
    clients = replicas(rosterd, 6)
    done = 0
    for _ in range(3):
        with Load(rosterd, 4) as load:
            for pid in rosterd.worker_pids()[:2]:
                load.go_on(50)
                os.kill(pid, signal.SIGKILL)
            load.go_on(50)
        done += load.done
        equal_when_quiet(clients, rosterd)
    assert done > 400 and sum(replica.resumes for replica in clients) > 6
    assert all(replica.changes > 100 for replica in clients)


def test_replica_goes_on_over_restarts_and_reloads(start, replicas):
    rosterd = start("--watch-bookmark", "100ms")
    clients = replicas(rosterd, 1)
    equal_when_quiet(clients, rosterd)
    for turn in range(3):
        for i in range(20):
            Directory(rosterd.channel()).create(f"u{turn}-{i}")
        if turn % 2 == 0:
            rosterd.process.send_signal(signal.SIGHUP)
            rosterd.wait_stats("rosterd_reloads_total", turn // 2 + 1)
        else:
            rosterd.kill_all()
            rosterd.start()
        Directory(rosterd.channel()).create(f"u{turn}")
        equal_when_quiet(clients, rosterd)
    assert clients[0].resumes >= 3
