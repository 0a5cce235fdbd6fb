# SPDX-License-Identifier: MIT
"""ImportUsers: one answer for each request, in order, whatever becomes of it."""
import itertools
import os
import queue
import signal
import time
import uuid

import grpc
import pytest

import user_service_pb2 as pb
from harness import expect, resident, wait_for
from schema import message, method
from test_directory import NAME, Directory, make
from test_directory_passwords import CHEAP, HASHES, PASSWORD, SLOW
from test_durable import reboot

Code = grpc.StatusCode
HASH = HASHES["PBKDF2 of Django"]


def request(username, *, user_id="", request_id="", password=None, password_hash=None, **fields):
    credential = {key: value for key, value in (("password", password), ("password_hash", password_hash))
                  if value is not None}
    return make("ImportUsersRequest", create={
        "user": {"username": username, **fields}, "user_id": user_id, "request_id": request_id,
        **credential})


def imported(channel, requests, timeout=60):
    """Begins an import; iterates over its answers."""
    return method(channel, f"{NAME}Directory/ImportUsers")(iter(requests), timeout=timeout)


def in_order(answers):
    """Checks the indexes of the answers. Returns the users, None for each error."""
    answers = list(answers)
    assert [answer.index for answer in answers] == list(range(len(answers)))
    assert all(answer.HasField("user") != answer.HasField("error") for answer in answers)
    return [answer.user if answer.HasField("user") else None for answer in answers]


def error_of(answer):
    """Returns the code, the text, and the field that the details name."""
    field = None
    if answer.error.details:
        assert answer.error.details[0].type_url == "type.googleapis.com/google.rpc.BadRequest"
        bad = message("google.rpc.BadRequest").FromString(answer.error.details[0].value)
        violation, = bad.field_violations
        assert violation.description == answer.error.message
        field = violation.field
    return next(code for code in Code if code.value[0] == answer.error.code), answer.error.message, field


class Stream:
    """An import that a test feeds request by request."""

    def __init__(self, channel, timeout=60):
        self.requests = queue.Queue()
        self.answers = imported(channel, iter(self.requests.get, None), timeout)

    def send(self, *requests):
        for one in requests:
            self.requests.put(one)

    def end(self):
        self.requests.put(None)


@pytest.fixture(name="server")
def server_fixture(start):
    return start(*CHEAP, "--workers", "2")


@pytest.fixture(name="channel")
def channel_fixture(server):
    return server.channel()


def total(channel):
    return Directory(channel).ListUsers(page_size=1).total_size


# ---- answers ----

def test_ten_thousand_users_with_errors_between(channel):
    def requests():
        for i in range(10_000):
            yield request("" if i % 1000 == 500 else f"user{i}", email=f"user{i}@a.org",
                          labels={"n": str(i)})
    answers = list(imported(channel, requests()))
    users = in_order(answers)
    assert [i for i, user in enumerate(users) if user is None] == list(range(500, 10_000, 1000))
    assert error_of(answers[500]) == (Code.INVALID_ARGUMENT, "username is required", "create.user.username")
    assert all(user.username == f"user{i}" and user.labels["n"] == str(i)
               for i, user in enumerate(users) if user is not None)
    directory = Directory(channel)
    assert total(channel) == 9990
    for i in (0, 499, 501, 9999):
        assert directory.GetUser(name=users[i].name) == users[i]


def test_each_error_names_its_field(channel):
    taken = Directory(channel).create("ann", email="ann@a.org")
    known = taken.name.removeprefix("users/")
    many = {f"k{i}": "v" for i in range(33)}
    cases = [
        (make("ImportUsersRequest"), Code.INVALID_ARGUMENT, "create.user.username"),
        (request("a" * 256), Code.INVALID_ARGUMENT, "create.user.username"),
        (request("b", email="nowhere"), Code.INVALID_ARGUMENT, "create.user.email"),
        (request("b", roles=["x", "x"]), Code.INVALID_ARGUMENT, "create.user.roles"),
        (request("b", roles=["x"] * 33), Code.INVALID_ARGUMENT, "create.user.roles"),
        (request("b", labels=many), Code.INVALID_ARGUMENT, "create.user.labels"),
        (request("b", request_id="7"), Code.INVALID_ARGUMENT, "create.request_id"),
        (request("b", user_id="7"), Code.INVALID_ARGUMENT, "create.user_id"),
        (request("b", password=""), Code.INVALID_ARGUMENT, "create.password"),
        (request("b", password="x" * 1025), Code.INVALID_ARGUMENT, "create.password"),
        (request("b", password_hash="$1$abc$def"), Code.INVALID_ARGUMENT, "create.password_hash"),
        (request("ann"), Code.ALREADY_EXISTS, "create.user.username"),
        (request("b", email="ann@A.org"), Code.ALREADY_EXISTS, "create.user.email"),
        (request("b", user_id=known), Code.ALREADY_EXISTS, "create.user_id"),
    ]
    answers = list(imported(channel, [one for one, *_ in cases] + [request("z")]))
    assert [error_of(answer)[::2] for answer in answers[:-1]] == [tuple(rest) for _, *rest in cases]
    assert in_order(answers)[-1].username == "z"
    assert error_of(answers[11])[1] == "username 'ann' is taken"
    assert error_of(answers[13])[1] == f"user_id: {taken.name} exists"
    # the same texts as of CreateUser
    directory = Directory(channel)
    for i, (one, code, _) in enumerate(cases[1:], 1):
        create = {field.name: value for field, value in one.create.ListFields()}
        if "password" not in create and "password_hash" not in create:
            assert expect(lambda c=create: directory.CreateUser(**c), code).details() == error_of(answers[i])[1]


def test_of_two_requests_for_one_name_the_first_gets_it(channel):
    """Also if the first one's password has to be hashed, and if they are of one batch."""
    given = "3f1c8f5e-6f0b-4d8f-9d39-0a3f6f1c2b4d"
    answers = list(imported(channel, [
        request("ann"), request("ann"), request("bob", password=PASSWORD), request("bob"),
        request("bob", password_hash=HASH[1]), request("cid", user_id=given),
        request("dan", user_id=given), request("dan", email="x@a.org"), request("eve", email="x@A.org")]))
    assert [answer.HasField("user") for answer in answers] == [True, False, True, False, False, True, False,
                                                               True, False]
    assert {error_of(answer)[0] for answer in answers if answer.HasField("error")} == {Code.ALREADY_EXISTS}
    assert Directory(channel).VerifyPassword(username="bob", password=PASSWORD).name == answers[2].user.name


def test_many_taken_names_are_told_one_by_one(channel):
    in_order(imported(channel, [request(f"user{i}") for i in range(0, 3000, 2)]))
    users = in_order(imported(channel, [request(f"user{i}") for i in range(3000)]))
    assert [user is None for user in users] == [i % 2 == 0 for i in range(3000)]
    assert total(channel) == 3000


def test_passwords_and_hashes_keep_their_order(channel):
    def requests():
        for i in range(300):
            yield request(f"user{i}", **[{}, {"password": f"{PASSWORD} {i}"}, {"password_hash": HASH[1]},
                                         {"password_hash": ""}][i % 4], disabled=False, labels={"n": str(i)})
    answers = list(imported(channel, requests()))
    users = in_order(answers)
    assert [user.has_password for user in users] == [i % 4 in (1, 2) for i in range(300)]
    directory = Directory(channel)
    assert [user.username for user in directory.ListUsers(page_size=1000).users] == [
        f"user{i}" for i in range(300)]
    assert directory.VerifyPassword(username="user297", password=f"{PASSWORD} 297") == users[297]
    assert directory.VerifyPassword(username="user298", password=HASH[0]).name == users[298].name
    told = b"".join(answer.SerializeToString() for answer in answers)
    assert b"argon2" not in told and b"pbkdf2" not in told and PASSWORD.encode() not in told


def test_user_without_room_for_a_hash_is_refused(channel):
    def full(name, hashed):
        return request(name * 255, password_hash=hashed, email=name * 248 + "@a.org",
                       roles=[f"{i:02}" + "r" * 62 for i in range(32)],
                       labels={f"k{i:02}": "v" * 29 for i in range(32)})
    long = "$argon2id$v=19$m=1024,t=1,p=1$" + "c2FsdHNhbHRzYWx0" * 5 + "$" + "aGFzaGhhc2hoYXNo" * 5
    answers = list(imported(channel, [full("u", long), full("v", HASH[1])]))
    assert [user is None for user in in_order(answers)] == [True, False]
    assert error_of(answers[0])[::2] == (Code.INVALID_ARGUMENT, "create.user.roles")


def test_passwords_where_none_can_be_hashed_are_refused_alone(start):
    channel = start("--password-processes", "0").channel()
    answers = list(imported(channel, [request("ann", password=PASSWORD), request("bob"),
                                      request("cid", password_hash=HASH[1])]))
    assert error_of(answers[0]) == (Code.FAILED_PRECONDITION, "the server works on no passwords: its option "
                                    "password-processes is 0", None)
    assert [user is not None for user in in_order(answers)] == [False, True, True]


def test_full_table_refuses_what_does_not_fit(start):
    channel = start("--max-users", "1000").channel()
    answers = list(imported(channel, [request(f"user{i}") for i in range(1010)]))
    assert [user is not None for user in in_order(answers)] == [i < 1000 for i in range(1010)]
    assert error_of(answers[1009]) == (Code.RESOURCE_EXHAUSTED, "the table is full (max-users 1000)", None)


def test_import_with_request_ids_is_sent_again_as_a_whole(channel):
    """Each answer is the first one, also where the user has changed since, and within one batch."""
    requests = [request(f"user{i}", request_id=str(uuid.uuid4()), email=f"user{i}@a.org",
                        **[{}, {"password": PASSWORD}, {"password_hash": HASH[1]}][i % 3]) for i in range(60)]
    first = list(imported(channel, requests[:40]))
    directory = Directory(channel)
    directory.update(["email"], name=first[7].user.name)
    directory.DeleteUser(name=first[8].user.name)
    again = list(imported(channel, requests))
    assert again[:40] == first
    assert all(user is not None for user in in_order(again)) and total(channel) == 59
    assert list(imported(channel, [requests[0], requests[0]]))[1].user == first[0].user
    other, = imported(channel, [request("other", request_id=requests[0].create.request_id)])
    assert error_of(other) == (
        Code.INVALID_ARGUMENT, "request_id was the id of a request with other contents, or of another method",
        "create.request_id")
    create = requests[1].create
    assert directory.CreateUser(user=create.user, request_id=create.request_id,
                                password=create.password) == first[1].user


def test_repeat_has_the_time_of_creation_though_the_password_took_long(start):
    """The last user is written a second and more after its request came."""
    channel = start(*SLOW[:-1], "40", "--workers", "1").channel()
    requests = [request(f"user{i}", request_id=str(uuid.uuid4()), password=PASSWORD) for i in range(4)]
    began = time.time()
    first = list(imported(channel, requests))
    assert time.time() - began > 2
    directory = Directory(channel)
    for answer in first:
        directory.DeleteUser(name=answer.user.name)
    assert list(imported(channel, requests)) == first


def test_two_requests_of_one_stream_with_one_id_create_one_user(channel):
    for credential in ({}, {"password": PASSWORD}):
        one = request("ann" + "a" * len(credential), request_id=str(uuid.uuid4()), **credential)
        users = in_order(imported(channel, [one, one, one]))
        assert users[0] is not None and users[0] == users[1] == users[2]


# ---- the stream ----

def test_client_that_waits_for_each_answer_gets_it_at_once(channel):
    stream = Stream(channel)
    began = time.monotonic()
    for i in range(200):
        stream.send(request(f"user{i}", **({"password": PASSWORD} if i % 50 == 0 else {})))
        assert next(stream.answers).index == i
    assert time.monotonic() - began < 10
    stream.end()
    assert list(stream.answers) == [] and stream.answers.code() == Code.OK


def test_empty_import_ends_well(channel):
    assert list(imported(channel, [])) == []


def test_full_queue_makes_the_import_wait(start):
    channel = start("--password-processes", "1", "--password-memory", "1M", "--password-passes", "20",
                    "--password-queue", "2", "--workers", "1").channel()
    users = in_order(imported(channel, [request(f"user{i}", password=PASSWORD) for i in range(40)]))
    assert all(user is not None and user.has_password for user in users)


def test_imports_of_passwords_leave_room_for_logins(start):
    """Many imports took each place of the queue that came free: no login found one."""
    rosterd = start("--password-processes", "1", "--password-memory", "1M", "--password-passes", "20",
                    "--password-queue", "32", "--workers", "1", "--unique", "username")
    directory = Directory(rosterd.channel())
    directory.CreateUser(user={"username": "ann"}, password=PASSWORD)
    streams = [Stream(rosterd.channel()) for _ in range(8)]
    for k, stream in enumerate(streams):
        stream.send(*(request(f"user{k}-{i}", password=PASSWORD) for i in range(500)))
    for stream in streams:
        assert next(stream.answers).user.has_password
    for _ in range(10):
        assert directory.VerifyPassword(username="ann", password=PASSWORD).username == "ann"
    for stream in streams:
        assert stream.answers.is_active()  # it still has passwords to hash
        stream.answers.cancel()


def test_call_beside_an_import_of_passwords_is_answered(start):
    rosterd = start(*SLOW, "--workers", "1")
    stream = Stream(rosterd.channel())
    stream.send(*(request(f"user{i}", password=PASSWORD) for i in range(100)))
    assert Directory(rosterd.channel()).create("ann").username == "ann"
    stream.answers.cancel()
    assert Directory(rosterd.channel()).create("bob").username == "bob"


def test_half_close_behind_a_password_waits_for_it(channel):
    users = in_order(imported(channel, [request("ann", password=PASSWORD)]))
    assert users[0].has_password


def test_cancelled_import_keeps_what_it_was_told(start):
    """What was answered is there; the client goes on from there."""
    rosterd = start(*CHEAP, "--workers", "1")
    channel = rosterd.channel()
    stream = Stream(channel)
    stream.send(*(request(f"user{i}") for i in range(2000)))
    told = [next(stream.answers).user.name for _ in range(700)]
    stream.answers.cancel()
    directory = Directory(channel)
    for name in told[::50] + told[-1:]:
        assert directory.GetUser(name=name).name == name
    rest = list(imported(channel, [request(f"user{i}") for i in range(700, 3000)]))
    assert all(answer.HasField("user") or error_of(answer)[0] == Code.ALREADY_EXISTS for answer in rest)
    assert total(channel) == 3000


def test_cancelled_import_drops_passwords_that_wait(start):
    rosterd = start(*SLOW, "--workers", "1")
    channel = rosterd.channel()
    stream = Stream(channel)
    stream.send(request("first"), *(request(f"user{i}", password=PASSWORD) for i in range(20)))
    assert next(stream.answers).user.username == "first"
    stream.answers.cancel()
    assert Directory(channel).create("user3").username == "user3"


def test_deadline_ends_an_import(start):
    channel = start(*SLOW, "--workers", "1").channel()
    answers = imported(channel, [request("ann"), request("bob", password=PASSWORD)], timeout=1)
    assert next(answers).user.username == "ann"
    expect(lambda: next(answers), Code.DEADLINE_EXCEEDED)


def test_reader_that_stops_holds_the_import_back(start):
    """The answers wait with the server up to a bound, and the requests with the client."""
    rosterd = start("--workers", "1")
    pid, = rosterd.worker_pids()
    sent = itertools.count()
    fields = {"email": "e" * 200 + "@example.org", "labels": {f"k{i}": "v" * 30 for i in range(20)}}

    def requests():
        for i in range(20_000):
            next(sent)
            yield request(f"user{i}", **fields)
    channel = rosterd.channel(("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0))
    answers = imported(channel, requests(), timeout=120)
    before = resident(pid)
    assert next(answers).index == 0
    count = lambda: Directory(rosterd.channel()).ListUsers(page_size=1).total_size
    seen = [0]

    def still():
        seen.append(count())
        time.sleep(0.1)
        return seen[-1] > 1 and seen[-1] == seen[-2]
    wait_for(still, 20, "the import is held back")
    assert seen[-1] < 10_000
    assert resident(pid) - before < 32 << 20
    assert [answer.index for answer in answers] == list(range(1, 20_000))
    assert count() == 20_000


def test_killed_worker_breaks_the_import_off_and_it_goes_on(start):
    rosterd = start("--unique", "username", "--workers", "1")
    stream = Stream(rosterd.channel())
    stream.send(*(request(f"user{i}") for i in range(1000)))
    told = 0
    for _ in range(300):
        told = next(stream.answers).index + 1
    os.kill(rosterd.worker_pids()[0], signal.SIGKILL)
    error = None
    try:
        for answer in stream.answers:
            told = answer.index + 1
        stream.end()
    except grpc.RpcError as broken:
        error = broken
    assert error is not None and error.code() in (Code.UNAVAILABLE, Code.CANCELLED)
    channel = rosterd.channel()
    again = list(imported(channel, [request(f"user{i}") for i in range(told, 1000)]))
    assert all(answer.HasField("user") or error_of(answer)[0] == Code.ALREADY_EXISTS for answer in again)
    assert total(channel) == 1000
    assert rosterd.inspect("verify")["faults"] == 0


def test_answered_users_are_on_disk(start, tmp_path):
    rosterd = start("--data-file", str(tmp_path / "users.db"), "--unique", "username", "--workers", "1")
    stream = Stream(rosterd.channel())
    stream.send(*(request(f"user{i}") for i in range(5000)))
    told = [next(stream.answers).user for _ in range(2000)]
    reboot(rosterd)
    rosterd.start()
    directory = Directory(rosterd.channel())
    for user in told[::100] + told[-1:]:
        assert directory.GetUser(name=user.name) == user
    users = list(imported(rosterd.channel(), [request(f"user{i}") for i in range(2000, 5000)]))
    assert all(answer.HasField("user") or error_of(answer)[0] == Code.ALREADY_EXISTS for answer in users)
    assert total(rosterd.channel()) == 5000


def test_users_of_a_batch_have_nothing_of_an_import_before(start):
    """In one worker both calls list their users in the same place."""
    rosterd = start(workers=1)
    answers = list(imported(rosterd.channel(), [
        request(f"u{i}", password_hash=HASH[1], disabled=True, labels={"team": "blue"},
                request_id=str(uuid.uuid4())) for i in range(300)]))
    assert all(answer.HasField("user") for answer in answers)
    assert rosterd.stub().BatchCreateUsers(
        iter([pb.CreateUserRequest(username=f"b{i}") for i in range(300)])).created == 300
    directory = Directory(rosterd.channel())
    users = [user for user in directory.ListUsers(page_size=1000).users if user.username[0] == "b"]
    assert len(users) == 300
    for user in users:
        assert not user.has_password and not user.disabled and not user.labels
        assert user.update_time == user.create_time
        new = directory.update(["labels"], name=user.name, labels={"a": "b"})
        assert dict(new.labels) == {"a": "b"} and not new.has_password
