# SPDX-License-Identifier: MIT
"""rosterd.directory.v1.Directory: users are found, listed, changed and deleted, with grpcio."""
import concurrent.futures
import json
import os
import re
import threading
import time
import uuid

import grpc
import pytest

import user_service_pb2 as pb
from harness import expect, fill, requests, wait_for
from schema import FILES, message, method

NAME = "rosterd.directory.v1."
Code = grpc.StatusCode


def make(kind, /, **fields):
    return message(NAME + kind)(**fields)


class Directory:
    """The calls of a channel, by keyword arguments."""

    def __init__(self, channel):
        self.channel = channel

    def __getattr__(self, call):
        invoke = method(self.channel, f"{NAME}Directory/{call}")
        return lambda **fields: invoke(make(f"{call}Request", **fields), timeout=20)

    def create(self, username, user_id="", **fields):
        return self.CreateUser(user=make("User", username=username, **fields), user_id=user_id)

    def update(self, mask=None, allow_missing=False, **fields):
        request = {"user": make("User", **fields), "allow_missing": allow_missing}
        if mask is not None:
            request["update_mask"] = {"paths": mask}
        return self.UpdateUser(**request)


@pytest.fixture(name="both")
def both_fixture(start):
    return start("--unique", "username,email", "--workers", "2")


@pytest.fixture(name="directory")
def directory_fixture(both):
    return Directory(both.channel())


def refused(call, code, text, field=None):
    """The call fails with this code and text. @param field named in the details"""
    error = expect(call, code)
    assert re.search(text, error.details()), error.details()
    if field is not None:
        status = message("google.rpc.Status").FromString(
            dict(error.trailing_metadata())["grpc-status-details-bin"])
        bad = message("google.rpc.BadRequest").FromString(status.details[0].value)
        assert bad.field_violations[0].field == field
    return error


# ---- CreateUser, GetUser ----

def test_created_user_is_returned_and_found(directory):
    before = time.time()
    user = directory.create("ann", email="ann@a.org", roles=["admin", "user"], disabled=True,
                            labels={"team": "blue", "example.org/cost-center": "4711"})
    assert re.fullmatch(r"users/[0-9a-f-]{36}", user.name)
    assert (user.username, user.email, list(user.roles)) == ("ann", "ann@a.org", ["admin", "user"])
    assert user.disabled and not user.has_password
    assert dict(user.labels) == {"team": "blue", "example.org/cost-center": "4711"}
    assert re.fullmatch(r'"[0-9a-f]+"', user.etag)
    assert abs(user.create_time.seconds - before) < 10
    assert user.update_time == user.create_time
    assert directory.GetUser(name=user.name) == user
    assert directory.LookupUser(username="ann") == user
    assert directory.LookupUser(email="ann@A.ORG") == user


def test_id_of_the_request_is_taken_once(directory):
    mine = str(uuid.uuid4())
    assert directory.create("ann", user_id=mine).name == f"users/{mine}"
    refused(lambda: directory.create("bob", user_id=mine), Code.ALREADY_EXISTS, mine, "user_id")
    refused(lambda: directory.create("bob", user_id="bob"), Code.INVALID_ARGUMENT, "not a UUID",
            "user_id")


def test_user_of_one_service_is_the_others(both, directory):
    user = directory.create("ann", email="ann@a.org", roles=["admin"], labels={"team": "blue"})
    plain = both.stub().GetUser(pb.GetUserRequest(id=user.name[6:]))
    assert (plain.username, plain.email, list(plain.roles)) == ("ann", "ann@a.org", ["admin"])
    assert plain.created_at == user.create_time.seconds
    assert len(plain.SerializeToString()) == len(pb.User(
        id=plain.id, username="ann", email="ann@a.org", roles=["admin"],
        created_at=plain.created_at).SerializeToString())  # and nothing else
    created = both.stub().CreateUser(pb.CreateUserRequest(username="bob", password="x"))
    assert directory.GetUser(name=f"users/{created.id}").username == "bob"


@pytest.mark.parametrize("name", ["", "users/", "ann", "users/4711", "groups/" + str(uuid.uuid4()),
                                  "users/" + str(uuid.uuid4()).replace("-", "_"), "\0"])
def test_name_that_is_none_is_refused(directory, name):
    refused(lambda: directory.GetUser(name=name), Code.INVALID_ARGUMENT, "users/", "name")
    refused(lambda: directory.DeleteUser(name=name), Code.INVALID_ARGUMENT, "users/", "name")
    refused(lambda: directory.update(name=name, username="x"), Code.INVALID_ARGUMENT, "users/",
            "user.name")


@pytest.mark.parametrize("fields, field", [
    ({"username": ""}, "username"),
    ({"username": "a" * 256}, "username"),
    ({"username": "ann", "email": "no address"}, "email"),
    ({"username": "ann", "roles": ["a,b"]}, "roles"),
    ({"username": "ann", "roles": [f"r{i}" for i in range(33)]}, "roles"),
    ({"username": "ann", "labels": {"": "x"}}, "labels"),
    ({"username": "ann", "labels": {"-a": "x"}}, "labels"),
    ({"username": "ann", "labels": {"a": "x\n"}}, "labels"),
    ({"username": "ann", "labels": {f"k{i}": "" for i in range(33)}}, "labels"),
    ({"username": "ann", "labels": {"k": "x" * 1024}}, "labels"),
])
def test_user_that_cannot_be_is_refused_and_named(directory, fields, field):
    refused(lambda: directory.CreateUser(user=make("User", **fields)), Code.INVALID_ARGUMENT, field,
            f"user.{field}")
    ann = directory.create("zoe")
    fields.pop("username", None) if fields.get("username") == "ann" else None
    if fields.get("username") != "":
        refused(lambda: directory.update(name=ann.name, **fields), Code.INVALID_ARGUMENT, field,
                f"user.{field}")
        assert directory.GetUser(name=ann.name) == ann


def test_taken_username_or_email_already_exists(directory):
    ann = directory.create("ann", email="ann@a.org")
    bob = directory.create("bob")
    refused(lambda: directory.create("ann"), Code.ALREADY_EXISTS, "username 'ann' is taken", "user.username")
    refused(lambda: directory.update(name=bob.name, email="ann@a.org"), Code.ALREADY_EXISTS,
            "email 'ann@a.org' is taken", "user.email")
    assert directory.GetUser(name=bob.name) == bob
    assert directory.GetUser(name=ann.name) == ann


def test_full_table_says_so(start):
    """And the worker lives on: it answers each call on the same connection."""
    directory = Directory(start("--max-users", "1000", "--workers", "1").channel())
    for i in range(1000):
        directory.create(f"user{i}")
    missing = f"users/{uuid.uuid4()}"
    for call in (lambda: directory.create("ann"), lambda: directory.create("ann", user_id=str(uuid.uuid4())),
                 lambda: directory.CreateUser(user=make("User", username="ann"), request_id=str(uuid.uuid4())),
                 lambda: directory.update(allow_missing=True, name=missing, username="ann")):
        refused(call, Code.RESOURCE_EXHAUSTED, r"^the table is full \(max-users 1000\)$")


# ---- LookupUser ----

def test_lookup_of_nobody_and_of_nothing(directory):
    refused(lambda: directory.LookupUser(username="nobody"), Code.NOT_FOUND, "username 'nobody'")
    refused(lambda: directory.LookupUser(email="x" * 5000), Code.NOT_FOUND, "email 'xxx")
    refused(lambda: directory.LookupUser(email=""), Code.INVALID_ARGUMENT, "email is empty", "email")
    refused(lambda: directory.LookupUser(username=""), Code.INVALID_ARGUMENT, "is empty", "username")
    refused(lambda: directory.LookupUser(username="a\n\x1b[31m\x7f\x9bM\xa9"), Code.NOT_FOUND,
            "'a\\?\\?\\[31m\\?\\?M\xa9'")  # a message cannot steer the terminal that shows it
    refused(lambda: directory.LookupUser(), Code.INVALID_ARGUMENT, "username or email", "key")


def test_lookup_needs_the_index(start):
    directory = Directory(start("--unique", "username").channel())
    directory.create("ann", email="ann@a.org")
    assert directory.LookupUser(username="ann").email == "ann@a.org"
    refused(lambda: directory.LookupUser(email="ann@a.org"), Code.FAILED_PRECONDITION, "unique")


# ---- masks ----

def test_read_mask_chooses_fields(directory):
    ann = directory.create("ann", email="ann@a.org", labels={"a": "b"})
    mask = {"paths": ["username", "etag"]}
    expected = make("User", username="ann", etag=ann.etag)
    assert directory.GetUser(name=ann.name, read_mask=mask) == expected
    assert directory.LookupUser(username="ann", read_mask=mask) == expected
    assert list(directory.BatchGetUsers(names=[ann.name], read_mask=mask).users) == [expected]
    assert list(directory.ListUsers(read_mask=mask).users) == [expected]
    assert directory.GetUser(name=ann.name, read_mask={"paths": ["*"]}) == ann
    for path in ("Username", "password", "labels.a", "", "user\0name"):
        refused(lambda p=path: directory.GetUser(name=ann.name, read_mask={"paths": ["email", p]}),
                Code.INVALID_ARGUMENT, "no field", "read_mask")


# ---- UpdateUser ----

def test_update_without_a_mask_changes_what_is_set(directory):
    ann = directory.create("ann", email="ann@a.org", roles=["user"], labels={"a": "b"})
    new = directory.update(name=ann.name, email="ann@b.org", roles=["admin"])
    assert (new.username, new.email, list(new.roles)) == ("ann", "ann@b.org", ["admin"])
    assert dict(new.labels) == {"a": "b"}
    assert new.etag != ann.etag
    assert new.create_time == ann.create_time
    assert new.update_time.ToNanoseconds() > ann.update_time.ToNanoseconds()
    assert directory.GetUser(name=ann.name) == new
    assert directory.LookupUser(email="ann@b.org") == new
    refused(lambda: directory.LookupUser(email="ann@a.org"), Code.NOT_FOUND, "ann@a.org")
    assert directory.create("bob", email="ann@a.org").email == "ann@a.org"  # it is free at once


def test_update_with_a_mask_changes_and_clears_what_it_names(directory):
    ann = directory.create("ann", email="ann@a.org", roles=["user"], disabled=True, labels={"a": "b"})
    new = directory.update(["email", "labels"], name=ann.name, labels={"c": "d"}, username="ignored")
    assert (new.username, new.email, dict(new.labels)) == ("ann", "", {"c": "d"})
    assert new.disabled and list(new.roles) == ["user"]
    new = directory.update(["*"], name=ann.name, username="anna")
    assert (new.username, list(new.roles), dict(new.labels), new.disabled) == ("anna", [], {}, False)
    for path in ("etag", "name", "has_password", "create_time", "update_time"):
        refused(lambda p=path: directory.update([p], name=ann.name), Code.INVALID_ARGUMENT,
                "cannot be changed", "update_mask")
    refused(lambda: directory.update(["nothing"], name=ann.name), Code.INVALID_ARGUMENT, "no field",
            "update_mask")
    refused(directory.UpdateUser, Code.INVALID_ARGUMENT, "user is not set", "user")


def test_etag_makes_an_update_conditional(directory):
    ann = directory.create("ann")
    new = directory.update(name=ann.name, etag=ann.etag, disabled=True)
    for change in ({"roles": ["x"]}, {"username": "anna"}):
        refused(lambda c=change: directory.update(name=ann.name, etag=ann.etag, **c), Code.ABORTED, "etag")
    refused(lambda: directory.DeleteUser(name=ann.name, etag=ann.etag), Code.ABORTED, "etag")
    assert directory.GetUser(name=ann.name) == new
    for etag in ("x", '"', '""', '"0"', '"01"', '"ffffffffffffffffff"', new.etag.upper() + "x",
                 new.etag.strip('"')):
        refused(lambda e=etag: directory.update(name=ann.name, etag=e, disabled=True),
                Code.INVALID_ARGUMENT, "not an etag", "user.etag")
    directory.DeleteUser(name=ann.name, etag=new.etag)


def test_missing_user_is_not_found_or_made(directory):
    name = f"users/{uuid.uuid4()}"
    refused(lambda: directory.update(name=name, username="ann"), Code.NOT_FOUND, name)
    ann = directory.update(name=name, username="ann", allow_missing=True)
    assert ann.name == name and ann == directory.GetUser(name=name)
    assert directory.update(name=name, disabled=True, allow_missing=True).disabled
    refused(lambda: directory.update(name=f"users/{uuid.uuid4()}", disabled=True, allow_missing=True),
            Code.INVALID_ARGUMENT, "username", "user.username")


# What clients have been generated from: it may get more, and never others.
CONTRACT = {
    "User": "1 name, 2 username, 3 email, 4 roles*, 5 disabled, 6 labels*, 7 etag, 8 has_password, "
            "9 create_time, 10 update_time",
    "GetUserRequest": "1 name, 2 read_mask",
    "LookupUserRequest": "1 username, 2 email, 3 read_mask",
    "BatchGetUsersRequest": "1 names*, 2 allow_missing, 3 read_mask",
    "BatchGetUsersResponse": "1 users*",
    "ListUsersRequest": "1 page_size, 2 page_token, 3 filter, 4 read_mask",
    "ListUsersResponse": "1 users*, 2 next_page_token, 3 total_size",
    "CreateUserRequest": "1 user, 2 user_id, 3 request_id, 4 password, 5 password_hash",
    "UpdateUserRequest": "1 user, 2 update_mask, 3 allow_missing, 4 request_id",
    "DeleteUserRequest": "1 name, 2 etag, 3 allow_missing",
    "WatchUsersRequest": "1 resume_token, 2 send_initial, 3 read_mask",
    "WatchUsersResponse": "1 type, 2 user, 3 resume_token",
    "ImportUsersRequest": "1 create",
    "ImportUsersResponse": "1 index, 2 user, 3 error",
    "SetPasswordRequest": "1 name, 2 etag, 3 password, 4 password_hash",
    "VerifyPasswordRequest": "1 name, 2 username, 3 email, 4 password",
}
ONEOFS = {"LookupUserRequest": {"key": ["username", "email"]},
          "CreateUserRequest": {"credential": ["password", "password_hash"]},
          "SetPasswordRequest": {"credential": ["password", "password_hash"]},
          "VerifyPasswordRequest": {"key": ["name", "username", "email"]}}
EVENTS = ["TYPE_UNSPECIFIED", "CREATED", "UPDATED", "DELETED", "BOOKMARK", "INITIAL_DONE"]


def test_numbers_of_the_fields_are_those_of_the_contract():
    file = message(NAME + "User").DESCRIPTOR.file
    found = {name: ", ".join(f"{field.number} {field.name}" + "*" * (field.label == field.LABEL_REPEATED)
                             for field in sorted(kind.fields, key=lambda field: field.number))
             for name, kind in file.message_types_by_name.items()}
    assert found == CONTRACT
    assert {name: {oneof.name: [field.name for field in oneof.fields] for oneof in kind.oneofs}
            for name, kind in file.message_types_by_name.items() if kind.oneofs} == ONEOFS
    types = file.message_types_by_name["WatchUsersResponse"].enum_types_by_name["Type"]
    assert [value.name for value in types.values] == EVENTS
    assert [value.number for value in types.values] == list(range(6))


def test_update_that_may_create_checks_all_fields_whoever_exists(directory):
    ann = directory.create("ann")
    for name in (ann.name, f"users/{uuid.uuid4()}"):
        for username in (300 * "a", 5000 * "a"):
            refused(lambda name=name, username=username: directory.update(
                ["email"], name=name, username=username, email="ann@a.org", allow_missing=True),
                    Code.INVALID_ARGUMENT, "username is longer", "user.username")
    assert directory.update(["email"], name=ann.name, email="ann@a.org", allow_missing=True).username == "ann"


def test_text_of_a_taken_name_cannot_steer_a_terminal(directory):
    directory.create("\x1b[31mred")
    refused(lambda: directory.create("\x1b[31mred"), Code.ALREADY_EXISTS, r"username '\?\[31mred' is taken",
            "user.username")


@pytest.mark.slow
def test_page_shows_one_moment_though_its_scan_takes_many_turns(both, directory):
    """One writer counts up in the oldest user and then in the newest one. So at each moment the oldest
    one's number is the newest one's, or the next. A scan that went on in a newer table than it began in
    would find a newer number at its end."""
    oldest = directory.create("oldest", labels={"at": "end", "n": "0"})
    fill(both, requests(100_000), 100_000)
    newest = directory.create("newest", labels={"at": "end", "n": "0"})
    stop = threading.Event()

    def count():
        mine, number = Directory(both.channel()), 0
        while not stop.is_set():
            number += 1
            for name in (oldest.name, newest.name):
                mine.update(["labels"], name=name, labels={"at": "end", "n": str(number)})
        return number
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writer = pool.submit(count)
        try:
            seen = []
            for _ in range(60):
                users = directory.ListUsers(filter='labels.at = "end"', page_size=10).users
                first, last = (int(user.labels["n"]) for user in users)
                assert first - 1 <= last <= first, (first, last)
                seen.append(first)
        finally:
            stop.set()
    assert writer.result() > 20 and len(set(seen)) > 10


def test_conditional_update_does_not_bring_a_deleted_user_back(directory):
    ann = directory.create("ann")
    directory.DeleteUser(name=ann.name)
    refused(lambda: directory.update(name=ann.name, etag=ann.etag, username="ann", allow_missing=True),
            Code.ABORTED, "etag")
    refused(lambda: directory.GetUser(name=ann.name), Code.NOT_FOUND, ann.name)


@pytest.mark.slow
def test_update_that_may_create_never_finds_nobody(both, directory):
    """While another client deletes the user again and again."""
    name = f"users/{uuid.uuid4()}"
    stop = False

    def delete():
        mine = Directory(both.channel())
        while not stop:
            mine.DeleteUser(name=name, allow_missing=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        deleters = [pool.submit(delete) for _ in range(2)]
        try:
            for _ in range(1500):
                directory.update(["username"], name=name, username="ann", allow_missing=True)
        finally:
            stop = True
        for deleter in deleters:
            deleter.result()


def test_field_outside_of_the_mask_costs_nothing(directory):
    ann = directory.create("ann")
    new = directory.update(["email"], name=ann.name, email="a@b.org", username="x" * 3_900_000)
    assert (new.username, new.email) == ("ann", "a@b.org")
    refused(lambda: directory.update(["username"], name=ann.name, username="x" * 3_900_000),
            Code.INVALID_ARGUMENT, "username is longer", "user.username")


def test_concurrent_updates_of_different_fields_lose_nothing(both, directory):
    ann = directory.create("ann")

    def write(n):
        mine = Directory(both.channel())
        for i in range(30):
            if n % 2 == 0:
                mine.update(["labels"], name=ann.name, labels={"n": str(i)})
            else:
                mine.update(["roles"], name=ann.name, roles=[f"r{i}"])

    def count(n):
        mine = Directory(both.channel())
        done = 0
        while done < 20:
            user = mine.GetUser(name=ann.name)
            try:
                mine.update(name=ann.name, etag=user.etag,
                            email=f"{int(user.email.partition('@')[0] or 0) + 1}@count.org")
                done += 1
            except grpc.RpcError as error:
                assert error.code() == Code.ABORTED
        return n
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: job[0](job[1]), [(write, 0), (write, 1), (count, 2), (count, 3)]))
    user = directory.GetUser(name=ann.name)
    assert (user.username, user.email) == ("ann", "40@count.org")
    assert dict(user.labels) == {"n": "29"} and list(user.roles) == ["r29"]
    assert both.inspect("verify")["faults"] == 0


# ---- DeleteUser ----

def test_deleted_user_is_gone(both, directory):
    ann = directory.create("ann")
    assert directory.DeleteUser(name=ann.name).ByteSize() == 0
    refused(lambda: directory.GetUser(name=ann.name), Code.NOT_FOUND, ann.name)
    refused(lambda: directory.LookupUser(username="ann"), Code.NOT_FOUND, "ann")
    refused(lambda: directory.DeleteUser(name=ann.name), Code.NOT_FOUND, ann.name)
    directory.DeleteUser(name=ann.name, allow_missing=True)
    assert expect(lambda: both.stub().GetUser(pb.GetUserRequest(id=ann.name[6:])), Code.NOT_FOUND)
    assert directory.create("ann", user_id=ann.name[6:]).name == ann.name


# ---- BatchGetUsers ----

def test_batch_answers_in_the_order_asked(directory):
    users = [directory.create(f"u{i}") for i in range(5)]
    missing = f"users/{uuid.uuid4()}"
    names = [users[i].name for i in (3, 0, 3, 4)]
    assert list(directory.BatchGetUsers(names=names).users) == [users[i] for i in (3, 0, 3, 4)]
    refused(lambda: directory.BatchGetUsers(names=[*names, missing]), Code.NOT_FOUND, missing)
    assert list(directory.BatchGetUsers(names=[names[0], missing, names[1]],
                                        allow_missing=True).users) == [users[3], users[0]]
    refused(lambda: directory.BatchGetUsers(names=[names[0], "x"], allow_missing=True),
            Code.INVALID_ARGUMENT, "'x'", "names[1]")
    assert list(directory.BatchGetUsers().users) == []
    assert len(directory.BatchGetUsers(names=names[:1] * 1000).users) == 1000
    refused(lambda: directory.BatchGetUsers(names=names[:1] * 1001), Code.INVALID_ARGUMENT, "1000",
            "names")


def large(directory, username):
    return directory.create(username, roles=[f"{n:064}" for n in range(32)], labels={"k": "x" * 1000})


def test_batch_of_large_users_takes_several_turns(both, directory):
    users = [large(directory, f"u{i}") for i in range(20)]
    cut = 'rosterd_limits_hit_total{limit="turn"}'
    before = both.inspect("stats").get(cut, 0)
    asked = users * 50
    names = [user.name for user in asked]
    assert list(directory.BatchGetUsers(names=names).users) == asked
    wait_for(lambda: both.inspect("stats").get(cut, 0) >= before + 2, 10, "turns that were cut")
    missing = f"users/{uuid.uuid4()}"
    refused(lambda: directory.BatchGetUsers(names=[*names[1:], missing]), Code.NOT_FOUND, missing)
    assert len(directory.BatchGetUsers(names=[*names[1:], missing],
                                       allow_missing=True).users) == 999
    for at in (0, 15, 16, 500, 999):
        refused(lambda i=at: directory.BatchGetUsers(names=[*names[:i], "x", *names[i + 1:]]),
                Code.INVALID_ARGUMENT, "'x'", f"names[{at}]")


# ---- ListUsers ----

def pages(directory, **fields):
    """Yields the pages of a listing."""
    token = ""
    while True:
        page = directory.ListUsers(page_token=token, **fields)
        yield page
        token = page.next_page_token
        if not token:
            return


def test_pages_have_all_users_oldest_first(directory):
    users = [directory.create(f"u{i:03}") for i in range(120)]
    for size in (1, 7, 50, 120, 1000, 2**31 - 1):
        seen = list(pages(directory, page_size=size))
        assert [user for page in seen for user in page.users] == users
        assert {page.total_size for page in seen} == {120}
        assert max(len(page.users) for page in seen) == min(size, 120)
    assert len(directory.ListUsers().users) == 50
    refused(lambda: directory.ListUsers(page_size=-1), Code.INVALID_ARGUMENT, "negative", "page_size")
    token = directory.ListUsers(page_size=2, filter="disabled = false").next_page_token
    for fields in ({"page_token": "x"}, {"page_token": token}, # a token of another filter would skip users
                   {"page_token": token, "filter": "disabled"},
                   {"page_token": directory.ListUsers(page_size=2).next_page_token, "filter": "disabled"}):
        refused(lambda f=fields: directory.ListUsers(**f), Code.INVALID_ARGUMENT,
                "next_page_token of this server for this filter", "page_token")
    assert len(directory.ListUsers(page_token=token, filter="disabled = false", page_size=1000).users) == 118


@pytest.mark.slow
def test_page_of_large_users_ends_early(directory):
    for i in range(400):
        large(directory, f"u{i}")
    sizes = [len(page.users) for page in pages(directory, page_size=1000)]
    assert len(sizes) == 2 and sum(sizes) == 400
    assert 300 < sizes[0] < 340  # a mebibyte


@pytest.mark.slow
def test_listings_at_once_share_a_connections_memory(start):
    """Pages end early where the connection holds too much. A page that finds no room at all is refused,
    and can be asked for again."""
    directory = Directory(start("--max-connection-memory", "8M").channel())
    users = [directory.create(f"u{i:03}", roles=[f"{n:064}" for n in range(30)]) for i in range(400)]

    def read_all(_):
        names, token = [], ""
        while True:
            try:
                page = directory.ListUsers(page_token=token, page_size=1000)
            except grpc.RpcError as error:
                # UNAVAILABLE: the stream was refused before the call began
                assert error.code() in (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE), error
                time.sleep(0.01)
                continue
            names += [user.username for user in page.users]
            token = page.next_page_token
            if not token:
                return names
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        seen = list(pool.map(read_all, range(16)))
    assert all(names == [user.username for user in users] for names in seen)


def test_renamed_user_keeps_its_place_in_pages(directory):
    users = [directory.create(f"u{i}") for i in range(6)]
    first = directory.ListUsers(page_size=3)
    directory.update(name=users[2].name, username="zoe")
    directory.update(name=users[4].name, username="yan")
    second = directory.ListUsers(page_size=3, page_token=first.next_page_token)
    assert [user.username for user in second.users] == ["u3", "yan", "u5"]
    assert not second.next_page_token


def test_filter_finds_users_in_pages(directory):
    for i in range(300):
        directory.create(f"u{i:03}", email=f"u{i}@{'a' if i % 3 else 'b'}.org", disabled=i % 10 == 0,
                         roles=["admin"] if i % 7 == 0 else ["user"], labels={"n": str(i % 5)})

    def names(text, **fields):
        seen = list(pages(directory, filter=text, **fields))
        assert {page.total_size for page in seen} == {0}
        return [int(user.username[1:]) for page in seen for user in page.users]
    assert names('username = "u00*"') == list(range(10))
    assert names('roles:"admin" AND disabled', page_size=2) == [i for i in range(300) if i % 70 == 0]
    assert names('labels.n = "3" AND NOT disabled', page_size=1000) == [
        i for i in range(300) if i % 5 == 3 and i % 10]
    assert names('username = "u123"') == [123]
    assert names('email = "u123@b.org" AND disabled') == []
    assert names('email = "u123@b.org" OR username = "u005"') == [5, 123]
    assert names('create_time < "2001-01-01T00:00:00Z"') == []


@pytest.mark.parametrize("text", ["username", "username = ", "nothing = \"x\"", "(disabled", "disabled)",
                                  "create_time > \"now\"", "x" * 5000, "username = \"a*b\""])
def test_filter_that_is_none_is_refused(directory, text):
    refused(lambda: directory.ListUsers(filter=text), Code.INVALID_ARGUMENT, "filter:", "filter")


@pytest.mark.slow
def test_scan_of_many_users_lets_others_through(start):
    rosterd = start("--workers", "1", "--max-users", "400000")
    stub, directory = rosterd.stub(), Directory(rosterd.channel())
    requests = (pb.CreateUserRequest(username=f"u{i}", password="x") for i in range(200000))
    assert stub.BatchCreateUsers(requests, timeout=120).created == 200000
    one = directory.ListUsers(page_size=1).users[0].name
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        scans = [pool.submit(lambda: directory.ListUsers(filter='username = "none*" OR roles:"none"'))
                 for _ in range(40)]
        answered = 0
        while not all(scan.done() for scan in scans):
            assert directory.GetUser(name=one).name == one
            answered += 1
        assert all(len(scan.result().users) == 0 for scan in scans)
    assert answered > 40  # a scan takes many turns, and calls are answered between them, not only between scans


# ---- shm-inspect ----

def test_tool_keeps_what_it_does_not_know(both, directory, tmp_path):
    """set-roles, and load of a dump without labels, leave disabled and labels as they are."""
    ann = directory.create("ann", email="ann@a.org", disabled=True, labels={"team": "blue"})
    bob = directory.create("bob", labels={"team": "red"})
    both.inspect("set-roles", ann.name[6:], "admin")
    user = directory.GetUser(name=ann.name)
    assert (list(user.roles), user.disabled, dict(user.labels)) == (["admin"], True, {"team": "blue"})
    lines = tmp_path / "users.jsonl"
    lines.write_text("".join(
        json.dumps({"id": user.name[6:], "username": name, "email": "", "created_at": 1, "roles": []})
        + "\n" for user, name in ((ann, "ann"), (bob, "rob"))))
    both.inspect("load", str(lines))
    user = directory.GetUser(name=ann.name)
    assert (user.email, list(user.roles), user.disabled) == ("", [], True)
    assert dict(user.labels) == {"team": "blue"}
    assert dict(directory.LookupUser(username="rob").labels) == {"team": "red"}


def test_tool_and_service_change_the_same_users(both, directory, tmp_path):
    """find, update, disable and enable, and what Directory says of it."""
    ann = directory.create("ann", email="ann@a.org", labels={"team": "blue", "x": "1"})
    bob = directory.create("bob", disabled=True)
    found = both.inspect("find", "username:ann")
    assert (found["id"], found["etag"], found["labels"]) == (ann.name[6:], ann.etag, {"team": "blue", "x": "1"})
    assert both.inspect("find", "--filter", "disabled")["username"] == "bob"
    changed = both.inspect("update", "email:ann@A.ORG", "--username", "eve", "--label", "team=red",
                           "--remove-label", "x", "--if-etag", ann.etag)
    user = directory.LookupUser(username="eve")
    assert (user.name, user.etag, dict(user.labels)) == (ann.name, changed["etag"], {"team": "red"})
    assert user.update_time.ToNanoseconds() > ann.update_time.ToNanoseconds()
    assert changed["update_time"] == user.update_time.ToJsonString()
    both.inspect("update", ann.name[6:], "--enable", "--if-etag", ann.etag, status=1)
    both.inspect("disable", "username:eve")
    both.inspect("enable", bob.name[6:])
    assert directory.GetUser(name=ann.name).disabled and not directory.GetUser(name=bob.name).disabled
    refused(lambda: directory.update(["roles"], name=ann.name, roles=["x"], etag=changed["etag"]), Code.ABORTED, "etag")


def test_dump_with_secrets_brings_everything_back(both, directory, tmp_path):
    secret = "$2b$10$" + "a" * 22 + "b" * 30 + "u"
    ann = directory.create("ann", disabled=True, labels={"team": "blue"})
    line = {"id": ann.name[6:], "username": "ann", "email": "", "created_at": ann.create_time.seconds, "roles": []}
    path, plain = tmp_path / "users.jsonl", tmp_path / "plain.jsonl"
    path.write_text(json.dumps({**line, "password_hash": secret}) + "\n")
    assert both.inspect("load", str(path))["updated"] == 1
    before = directory.GetUser(name=ann.name)
    assert before.has_password and before.disabled and dict(before.labels) == {"team": "blue"}
    both.inspect("dump", "--output", str(plain))
    both.inspect("dump", "--with-secrets", "--output", str(path))
    assert secret not in plain.read_text() and secret in path.read_text()
    both.inspect("delete", ann.name[6:])
    assert both.inspect("load", str(plain))["without_password"] == 1
    assert not directory.GetUser(name=ann.name).has_password
    assert both.inspect("load", str(path))["without_password"] == 0
    after = directory.GetUser(name=ann.name)
    after.etag = before.etag
    assert after == before


def test_load_swaps_unique_names(both, directory, tmp_path):
    users = {name: directory.create(name, email=f"{name}@a.org") for name in ("ann", "bob", "cid")}
    turned = {"ann": "bob", "bob": "cid", "cid": "ann"}
    path = tmp_path / "users.jsonl"
    path.write_text("".join(
        json.dumps({"id": users[old].name[6:], "username": new, "email": f"{new}@a.org", "created_at": 1, "roles": []})
        + "\n" for old, new in turned.items()))
    assert both.inspect("load", str(path))["updated"] == 3
    for old, new in turned.items():
        assert directory.LookupUser(username=new).name == users[old].name
        assert directory.LookupUser(email=f"{new}@a.org").name == users[old].name
    assert both.inspect("verify")["faults"] == 0


# ---- the disk ----

def test_changes_survive_a_reboot(start, tmp_path):
    rosterd = start("--unique", "username,email", "--data-file", str(tmp_path / "users.db"))
    directory = Directory(rosterd.channel())
    ann = directory.create("ann", email="ann@a.org", labels={"team": "blue"}, disabled=True)
    bob = directory.create("bob", roles=["x"])
    new = directory.update(name=ann.name, username="anna", email="anna@a.org")
    directory.DeleteUser(name=bob.name)
    rosterd.kill_all()
    for path in rosterd.shm_files():
        os.unlink(path)
    rosterd.start()
    directory = Directory(rosterd.channel())
    assert directory.GetUser(name=ann.name) == new
    assert directory.LookupUser(email="anna@a.org") == new
    refused(lambda: directory.LookupUser(username="ann"), Code.NOT_FOUND, "ann")
    refused(lambda: directory.GetUser(name=bob.name), Code.NOT_FOUND, bob.name)
    assert list(directory.ListUsers().users) == [new]
    refused(lambda: directory.update(name=ann.name, etag=ann.etag, disabled=True), Code.ABORTED, "etag")
    directory.update(name=ann.name, etag=new.etag, disabled=True)


def test_reads_say_that_they_have_no_side_effects():
    """A client may send them again, and a proxy may cache them."""
    calls = [call for file in FILES.file if file.package == NAME[:-1]
             for service in file.service for call in service.method]
    reads = {call.name for call in calls
             if call.options.idempotency_level == call.options.NO_SIDE_EFFECTS}
    assert reads == {"GetUser", "LookupUser", "BatchGetUsers", "ListUsers", "WatchUsers"}
