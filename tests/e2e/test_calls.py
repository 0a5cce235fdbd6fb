# SPDX-License-Identifier: MIT
"""The five calls as a client sees them: replies, validation, status texts."""
import re
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import SANITIZED, expect, failure, read_all, requests, wait_for

INVALID = grpc.StatusCode.INVALID_ARGUMENT
INTERNAL = grpc.StatusCode.INTERNAL
SERVICE = "/userservice.UserService/"
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def create(stub, username="ann", email="ann@example.org", password="secret"):
    return stub.CreateUser(pb.CreateUserRequest(username=username, email=email, password=password))


# ---- CreateUser and GetUser ----

def test_created_user_is_returned_with_all_fields(stub):
    before = int(time.time())
    user = create(stub)
    assert re.fullmatch(UUID4, user.id)
    assert (user.username, user.email, list(user.roles)) == ("ann", "ann@example.org", ["user"])
    assert before <= user.created_at <= time.time()


def test_created_user_is_found_on_every_connection(server, stub):
    user = create(stub, "bob")
    for _ in range(8):  # any worker may serve the call
        assert server.stub().GetUser(pb.GetUserRequest(id=user.id)) == user


def test_ids_differ(stub):
    assert len({create(stub).id for _ in range(200)}) == 200


def test_same_name_twice_is_two_users(stub):
    assert create(stub, "twin").id != create(stub, "twin").id


def test_email_and_password_are_optional(stub):
    user = stub.CreateUser(pb.CreateUserRequest(username="bare"))
    assert user.email == ""
    assert stub.GetUser(pb.GetUserRequest(id=user.id)) == user


@pytest.mark.parametrize("id", [UNKNOWN, "", "x", "é" * 3, "a b%\n\x7f", UNKNOWN.upper(),
                                UNKNOWN + "0", "{" + UNKNOWN + "}"])
def test_unknown_id_is_not_found_by_name(stub, id):
    error = failure(lambda: stub.GetUser(pb.GetUserRequest(id=id)))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert error.details() == f"User {id} not found"


def test_consecutive_errors_do_not_end_the_connection(start):
    """grpcio sends a WINDOW_UPDATE with each call, even if the reply has no body."""
    rosterd = start(workers=1)
    stub = rosterd.stub()
    for _ in range(600 if SANITIZED else 6000):
        expect(lambda: stub.GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)
    stats = rosterd.inspect("stats")
    assert stats["rosterd_connections_accepted_total"] == 1


def test_id_of_128_bytes_is_quoted_in_full(stub):
    error = failure(lambda: stub.GetUser(pb.GetUserRequest(id="x" * 128)))
    assert error.details() == f"User {'x' * 128} not found"


@pytest.mark.parametrize("id", ["x" * 129, "é" * 65, "x" + "€" * 500, "\U0001f600" * 40,
                                "y" * 100000])
def test_longer_id_is_cut_between_characters(stub, id):
    error = failure(lambda: stub.GetUser(pb.GetUserRequest(id=id)))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    shown = re.fullmatch(r"User (.*)\.\.\. not found", error.details(), re.S).group(1)
    assert id.startswith(shown)
    assert 121 <= len(shown.encode()) <= 128


@pytest.mark.parametrize("username", ["u", "ü" * 127, "x" * 255, "two words", "\U0001f600"])
def test_valid_usernames(stub, username):
    user = create(stub, username)
    assert stub.GetUser(pb.GetUserRequest(id=user.id)).username == username


@pytest.mark.parametrize("email", ["a@b", "a@" + "b" * 252, "ü@ü"])
def test_valid_emails(stub, email):
    assert create(stub, email=email).email == email


@pytest.mark.parametrize("field, value", [
    ("username", ""), ("username", "x" * 256), ("username", "ü" * 128), ("username", "a\0b"),
    ("email", "no-at"), ("email", "@b"), ("email", "a@"), ("email", "a@b@c"), ("email", "@"),
    ("email", "a@" + "b" * 253), ("email", "a\0@b"), ("email", "a@b\0"),
    ("password", "x" * 1025)])
def test_bad_field_is_named(stub, field, value):
    request = pb.CreateUserRequest(username="ann", email="a@b", password="p")
    setattr(request, field, value)
    expect(lambda: stub.CreateUser(request), INVALID, field)


def test_password_of_1024_bytes_is_accepted(stub):
    assert create(stub, password="x" * 1024).id


@pytest.mark.parametrize("method, bytes_, field", [
    ("GetUser", b"\x0a\x02\xc3\x28", "id"),
    ("GetUser", b"\x0a\x03\xed\xa0\x80", "id"),        # a surrogate
    ("GetUser", b"\x0a\x02\xc0\x80", "id"),            # overlong
    ("GetUser", b"\x0a\x04\xf4\x90\x80\x80", "id"),    # past U+10FFFF
    ("GetUser", b"\x0a\x01\xc3", "id"),                # cut off
    ("CreateUser", b"\x0a\x02\xff\xfe", "username"),
    ("CreateUser", b"\x0a\x01a\x12\x02\x80b", "email"),
    ("CreateUser", b"\x0a\x01a\x1a\x02\x80b", "password")])
def test_string_that_is_not_utf8_is_an_error_naming_the_field(server, method, bytes_, field):
    call = server.channel().unary_unary(SERVICE + method)
    expect(lambda: call(bytes_), INTERNAL, field)


@pytest.mark.parametrize("method", ["GetUser", "CreateUser"])
@pytest.mark.parametrize("bytes_", [b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x08", b"\x07",
                                    b"\x0a\xff\xff\xff\xff\x0fx"])
def test_bytes_that_do_not_parse_are_an_error(server, method, bytes_):
    call = server.channel().unary_unary(SERVICE + method)
    expect(lambda: call(bytes_), INTERNAL)


def test_unknown_fields_are_skipped(server, stub):
    user = create(stub)
    raw = pb.GetUserRequest(id=user.id).SerializeToString() + b"\xfa\x01\x03abc\x80\x7d\x05"
    reply = server.channel().unary_unary(SERVICE + "GetUser")(raw)
    assert pb.User.FromString(reply) == user


@pytest.mark.parametrize("path", ["/userservice.UserService/Nope", "/nope.Nope/GetUser", "/",
                                  "/userservice.UserService/", "/userservice.UserService/getuser",
                                  "/grpc.health.v1.Health/Nope"])
def test_unknown_method_is_unimplemented(server, path):
    call = server.channel().unary_unary(path)
    expect(lambda: call(b""), grpc.StatusCode.UNIMPLEMENTED)


def test_request_metadata_of_any_kind_is_accepted(stub):
    user, call = stub.CreateUser.with_call(
        pb.CreateUserRequest(username="meta"),
        metadata=[("x-text", "plain"), ("x-text", "twice"), ("x-raw-bin", bytes(range(256))),
                  ("x-empty", ""), ("x-empty-bin", b"")])
    assert user.username == "meta"
    assert call.code() == grpc.StatusCode.OK


def test_unary_without_deadline_and_with_one(stub):
    user = create(stub)
    assert stub.GetUser(pb.GetUserRequest(id=user.id), timeout=5) == user


# ---- BatchCreateUsers ----

def test_empty_batch(stub):
    result = stub.BatchCreateUsers(iter([]))
    assert (result.created, list(result.errors)) == (0, [])


def test_batch_counts_valid_users_and_names_invalid_ones_by_position(server, stub):
    good = list(requests(5, "batch"))
    bad = [pb.CreateUserRequest(username=""), pb.CreateUserRequest(username="x", email="nope"),
           pb.CreateUserRequest(username="x", password="p" * 1025)]
    mixed = [good[0], bad[0], good[1], good[2], bad[1], bad[2], good[3], good[4]]
    result = stub.BatchCreateUsers(iter(mixed))
    assert result.created == 5
    assert len(result.errors) == 3
    for line, position, field in zip(result.errors, (1, 4, 5), ("username", "email", "password")):
        assert re.search(rf"\b{position}\b", line) and field in line, line


def test_batch_reports_1000_invalid_users_and_counts_the_rest(stub):
    result = stub.BatchCreateUsers(pb.CreateUserRequest() for _ in range(1234))
    assert result.created == 0
    assert len(result.errors) == 1001
    assert re.search(r"\b999\b", result.errors[999])
    assert result.errors[1000] == "and 234 more"


def test_batch_of_exactly_1000_invalid_users_has_no_summary_line(stub):
    result = stub.BatchCreateUsers(pb.CreateUserRequest() for _ in range(1000))
    assert len(result.errors) == 1000
    assert "more" not in result.errors[-1]


def test_batch_of_10000_messages(start):
    with start() as rosterd:
        stub = rosterd.stub()
        result = stub.BatchCreateUsers(requests(10000), timeout=100)
        assert (result.created, list(result.errors)) == (10000, [])
        users, token = read_all(stub, 10001)
        assert [user.username for user in users] == [f"user{i:07}" for i in range(10000)]
        assert token == ""
        assert len({user.id for user in users}) == 10000


def test_batch_with_a_string_that_is_not_utf8_ends_with_an_error(server):
    call = server.channel().stream_unary(SERVICE + "BatchCreateUsers")
    expect(lambda: call(iter([b"\x0a\x01a", b"\x0a\x01\xff"])), INTERNAL, "username")


def test_batch_cancelled_midway_keeps_what_was_created(start):
    with start() as rosterd:
        stub = rosterd.stub()
        gate = []

        def half():
            yield from requests(1000, "half")
            while not gate:
                time.sleep(0.01)
        call = stub.BatchCreateUsers.future(half())
        end = time.monotonic() + 20
        # The batch commits 256 users at a time, and the rest at its end.
        wait_for(lambda: len(read_all(stub, 2000)[0]) >= 768, 20, "commits of the batch")
        time.sleep(1)
        call.cancel()
        gate.append(1)
        users = []
        while len(users) < 1000 and time.monotonic() < end:
            users, _ = read_all(stub, 2000)
        assert [user.username for user in users] == [f"half{i:07}" for i in range(1000)]
        rosterd.wait_log(r"\b1000\b")


def test_batch_past_its_deadline_keeps_what_was_created(start):
    with start() as rosterd:
        stub = rosterd.stub()
        gate = []

        def half():
            yield from requests(300, "late")
            while not gate:
                time.sleep(0.01)
        error = failure(lambda: stub.BatchCreateUsers(half(), timeout=2))
        gate.append(1)
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        users, _ = read_all(stub, 2000)
        assert len(users) == 300


# ---- limits ----

def test_table_full_is_a_clear_error(start):
    with start("--max-users", "10") as rosterd:
        stub = rosterd.stub()
        for request in requests(10):
            stub.CreateUser(request)
        expect(lambda: create(stub), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert len(read_all(stub, 100)[0]) == 10
        result = stub.BatchCreateUsers(requests(3))
        assert result.created == 0 and len(result.errors) == 3


def test_message_over_4_mib_is_refused(stub):
    error = failure(lambda: stub.GetUser(pb.GetUserRequest(id="x" * (4 << 20))))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
