# SPDX-License-Identifier: MIT
"""request_id of CreateUser and UpdateUser: a request is done once, by whichever worker and whatever happens
meanwhile, and a repeat gets the first answer."""
import concurrent.futures
import os
import random
import signal
import subprocess
import uuid

import grpc
import pytest

from harness import SHM_INSPECT, wait_for
from test_directory import Directory, make, refused
from test_durable import reboot

Code = grpc.StatusCode


@pytest.fixture(name="rosterd", params=["memory", "durable"])
def rosterd_fixture(start, tmp_path, request):
    options = [] if request.param == "memory" else ["--data-file", str(tmp_path / "users.db")]
    return start("--unique", "username,email", *options, workers=4)


@pytest.fixture(name="directory")
def directory_fixture(rosterd):
    return Directory(rosterd.channel())


def new_id():
    return str(uuid.uuid4())


def create(directory, request_id, username, **fields):
    user_id = fields.pop("user_id", "")
    return directory.CreateUser(user=make("User", username=username, **fields), user_id=user_id,
                                request_id=request_id)


def update(directory, request_id, mask=(), allow_missing=False, **fields):
    return directory.UpdateUser(user=make("User", **fields), update_mask={"paths": list(mask)},
                                allow_missing=allow_missing, request_id=request_id)


def count(directory):
    return directory.ListUsers(page_size=1).total_size


def test_repeat_creates_nothing_and_gets_the_first_answer(directory):
    request = new_id()
    first = create(directory, request, "ann", email="ann@a.org", roles=["a", "b"], disabled=True,
                   labels={"team": "blue", "unit": "x", "zone": "7"})
    again = create(directory, request, "ann", email="ann@a.org", roles=["a", "b"], disabled=True,
                   labels={"zone": "7", "unit": "x", "team": "blue"})
    assert again == first
    assert count(directory) == 1
    assert create(directory, new_id(), "bob").name != first.name
    assert count(directory) == 2


def test_repeat_is_answered_as_at_first_when_the_user_has_changed(directory):
    request = new_id()
    first = create(directory, request, "ann", email="ann@a.org", labels={"team": "blue"})
    changed = directory.update(name=first.name, username="eve", labels={"team": "red"})
    assert changed.username == "eve"
    assert create(directory, request, "ann", email="ann@a.org", labels={"team": "blue"}) == first
    directory.DeleteUser(name=first.name)
    assert create(directory, request, "ann", email="ann@a.org", labels={"team": "blue"}) == first
    assert count(directory) == 0


def test_request_id_with_other_contents_is_refused(directory):
    request, mine = new_id(), new_id()
    first = create(directory, request, "ann", labels={"team": "blue"}, user_id=mine)
    others = [dict(username="bob", labels={"team": "blue"}, user_id=mine),
              dict(username="ann", labels={"team": "red"}, user_id=mine),
              dict(username="ann", labels={"teamb": "lue"}, user_id=mine),
              dict(username="ann", labels={"team": "blue"}),
              dict(username="ann", labels={"team": "blue"}, user_id=new_id()),
              dict(username="ann", labels={"team": "blue"}, user_id=mine, roles=["a"]),
              dict(username="ann", labels={"team": "blue"}, user_id=mine, disabled=True),
              dict(username="ann", labels={"team": "blue"}, user_id=mine, email="a@b.c")]
    for other in others:
        refused(lambda other=other: create(directory, request, **other), Code.INVALID_ARGUMENT,
                "request_id was the id of a request with other contents", "request_id")
    refused(lambda: update(directory, request, name=first.name, username="ann"),
            Code.INVALID_ARGUMENT, "other contents", "request_id")
    assert count(directory) == 1


def test_request_id_must_be_a_uuid(directory):
    for text in ("x", "123e4567-e89b-12d3-a456-42661417400", "123e4567-e89b-12d3-a456-4266141740000"):
        refused(lambda text=text: create(directory, text, "ann"), Code.INVALID_ARGUMENT,
                "request_id is not a UUID", "request_id")
        refused(lambda text=text: update(directory, text, name=f"users/{new_id()}", username="ann"),
                Code.INVALID_ARGUMENT, "request_id is not a UUID", "request_id")


def test_refused_request_may_be_repeated_and_is_done_then(directory):
    directory.create("ann")
    request = new_id()
    refused(lambda: create(directory, request, "ann"), Code.ALREADY_EXISTS, "taken")
    bob = directory.create("bob")
    stale = new_id()
    refused(lambda: update(directory, stale, name=bob.name, etag='"fff"', username="eve"), Code.ABORTED, "etag")
    ann = directory.LookupUser(username="ann")
    directory.DeleteUser(name=ann.name)
    assert create(directory, request, "ann").name != ann.name


def test_update_is_done_once(directory):
    ann = directory.create("ann", roles=["a"])
    request = new_id()
    first = update(directory, request, name=ann.name, etag=ann.etag, email="ann@a.org")
    assert first.email == "ann@a.org"
    # Its etag is stale since, by this very request.
    assert update(directory, request, name=ann.name, etag=ann.etag, email="ann@a.org") == first
    for field, value in (("mask", ["email", "roles"]), ("allow_missing", True)):
        refused(lambda field=field, value=value: update(
            directory, request, name=ann.name, etag=ann.etag, email="ann@a.org", **{field: value}),
            Code.INVALID_ARGUMENT, "other contents", "request_id")
    now = directory.update(name=ann.name, roles=["b"])
    assert update(directory, request, name=ann.name, etag=ann.etag, email="ann@a.org") == now
    directory.DeleteUser(name=ann.name)
    refused(lambda: update(directory, request, name=ann.name, etag=ann.etag, email="ann@a.org"),
            Code.NOT_FOUND, "not found")


def test_fields_that_the_mask_leaves_out_are_no_contents(directory):
    ann = directory.create("ann")
    request = new_id()
    first = update(directory, request, ["email"], name=ann.name, username="ann", email="ann@a.org")
    assert update(directory, request, ["email"], name=ann.name, username="eve", email="ann@a.org",
                  roles=["a"], labels={"a": "b"}, disabled=True) == first
    refused(lambda: update(directory, request, ["email"], name=ann.name, email="eve@a.org"),
            Code.INVALID_ARGUMENT, "other contents", "request_id")


def test_update_that_creates_is_done_once(directory):
    request, name = new_id(), f"users/{new_id()}"
    first = update(directory, request, name=name, username="ann", allow_missing=True)
    assert update(directory, request, name=name, username="ann", allow_missing=True) == first
    directory.DeleteUser(name=name)
    refused(lambda: update(directory, request, name=name, username="ann", allow_missing=True),
            Code.NOT_FOUND, "not found")
    assert count(directory) == 0


def repeat_at_once(rosterd, times, requests):
    """Sends each request on several connections at once. Returns the answers of each."""
    directories = [Directory(rosterd.channel()) for _ in range(times)]
    with concurrent.futures.ThreadPoolExecutor(times) as pool:
        return [list(pool.map(lambda d, r=request: create(d, r, f"user-{r}"), directories))
                for request in requests]


def test_of_repeats_at_the_same_time_one_creates(rosterd, directory):
    requests = [new_id() for _ in range(30)]
    for answers in repeat_at_once(rosterd, 8, requests):
        assert all(answer == answers[0] for answer in answers)
    assert count(directory) == 30
    assert rosterd.inspect("status")["requests"] == 30
    assert "requests        30 remembered, of at most 65535" in subprocess.run(
        [SHM_INSPECT, "--segment", rosterd.segment, "status"], capture_output=True, text=True, check=True,
        timeout=20).stdout


def test_repeats_survive_killed_workers(rosterd):
    """A client repeats each call until it is answered, while workers are killed."""
    random.seed(7)
    requests = [new_id() for _ in range(60)]
    names = {}

    def ask(request):
        for _ in range(50):
            try:
                return create(Directory(rosterd.channel()), request, f"user-{request}").name
            except grpc.RpcError as error:
                if error.code() not in (Code.UNAVAILABLE, Code.INTERNAL, Code.CANCELLED, Code.UNKNOWN):
                    raise
        raise AssertionError("no answer")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = {request: pool.submit(ask, request) for request in requests}
        for _ in range(3):
            pid = random.choice(rosterd.worker_pids())
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: len(set(rosterd.worker_pids()) - {pid}) == 4, 20, "a successor")
        names = {request: future.result() for request, future in futures.items()}
    directory = Directory(rosterd.channel())
    for request, name in names.items():
        assert create(directory, request, f"user-{request}").name == name
    assert count(directory) == len(requests)


def test_restart_and_reboot_forget_no_request(start, tmp_path):
    rosterd = start("--data-file", str(tmp_path / "users.db"), "--unique", "username", workers=4)
    requests = [new_id() for _ in range(20)]
    first = [create(Directory(rosterd.channel()), request, f"user-{request}") for request in requests]
    changed = Directory(rosterd.channel()).update(name=first[3].name, disabled=True)
    updates = new_id()
    updated = update(Directory(rosterd.channel()), updates, name=first[4].name, roles=["x"])
    for way in ("stop", "kill", "reboot"):
        if way == "stop":
            assert rosterd.stop() == 0
        elif way == "kill":
            rosterd.kill_all()
        else:
            reboot(rosterd)
        rosterd.start()
        directory = Directory(rosterd.channel())
        for request, answer in zip(requests, first):
            assert create(directory, request, f"user-{request}") == answer
        assert update(directory, updates, name=first[4].name, roles=["x"]) == updated
        assert directory.GetUser(name=first[3].name) == changed
        assert count(directory) == 20
        refused(lambda: create(directory, requests[0], "other"), Code.INVALID_ARGUMENT, "other contents")
    assert rosterd.inspect("verify")["faults"] == 0
