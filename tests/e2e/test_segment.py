# SPDX-License-Identifier: MIT
"""The segment across starts: refused, moved aside, taken over, enlarged."""
import contextlib
import hashlib
import os
import pathlib
import re
import threading

import grpc
import pytest

import user_service_pb2 as pb
from harness import Rosterd, fill, read_all, requests, wait_for

ARENA_AT = 10 << 20


def path_of(rosterd):
    return pathlib.Path("/dev/shm" + rosterd.segment)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def refused(rosterd, *options):
    """Starts the server, which must fail; @return its message"""
    rosterd.options = list(options)
    skip = len(rosterd.log())
    rosterd.spawn()
    assert rosterd.process.wait(30) == 1, rosterd.log()
    lines = rosterd.log()[skip:].splitlines()
    return next(line for line in lines if line.startswith("rosterd: "))


def restart(rosterd, *options):
    rosterd.options = list(options)
    rosterd.start()


@pytest.fixture
def filled(start):
    """A stopped server whose segment has 2,000 users."""
    rosterd = start()
    fill(rosterd, requests(2000), 2000)
    assert rosterd.stop() == 0
    return rosterd


def test_corrupt_segment_is_refused_named_and_left_unchanged(filled):
    path = path_of(filled)
    whole = path.read_bytes()
    at = whole.index(b"user0001234@example.org")
    flip(path, at)
    before = digest(path)
    line = refused(filled)
    assert re.search(r"corrupt: user \d+: a body's checksum is wrong \(1 faults\)", line), line
    assert "--segment-reset" in line
    assert digest(path) == before
    flip(path, at)
    restart(filled)
    assert len(read_all(filled.stub(), 3000)[0]) == 2000


def test_segment_of_another_layout_is_refused_and_left_as_it_was(filled):
    path = path_of(filled)
    flip(path, 8)
    before = digest(path)
    line = refused(filled)
    assert "another layout" in line and "--segment-reset" in line
    assert digest(path) == before


def test_reset_moves_the_segment_aside_and_starts_empty(filled):
    path = path_of(filled)
    before = digest(path)
    flip(path, 12)  # a damaged segment can be moved aside, too
    restart(filled, "--segment-reset")
    assert read_all(filled.stub(), 10)[0] == []
    moved = re.search(r"segment (\S+): moved aside to (\S+)", filled.log())
    assert moved.group(1) == filled.segment
    aside = pathlib.Path("/dev/shm" + moved.group(2))
    assert re.fullmatch(re.escape(filled.segment) + r"\.\d{8}T\d{6}Z", moved.group(2))
    assert pathlib.Path(f"{aside}.stats").exists()
    flip(aside, 12)
    assert digest(aside) == before
    with Rosterd(segment=moved.group(2)) as other:
        assert len(read_all(other.stub(), 3000)[0]) == 2000


def test_reset_under_a_live_server_is_refused(start):
    rosterd = start()
    fill(rosterd, requests(10), 10)
    other = Rosterd(segment=rosterd.segment, start=False)
    assert (f"a live server owns it (process {rosterd.process.pid}); segment = /NAME gives" in
            refused(other, "--segment-reset"))
    assert len(read_all(rosterd.stub(), 100)[0]) == 10


def test_reset_without_a_segment_just_starts(start):
    rosterd = start("--segment-reset")
    assert "there is none to move aside" in rosterd.log()
    assert rosterd.stop() == 0


def test_killing_all_processes_under_load_loses_no_acknowledged_user(start):
    rosterd = start(workers=2)
    acknowledged, over = [], threading.Event()

    def create(number):
        stub = rosterd.stub()
        for i, request in enumerate(requests(100000, f"t{number}-")):
            with contextlib.suppress(grpc.RpcError):
                reply = stub.CreateUser(request, timeout=5, wait_for_ready=True)
                acknowledged.append(reply.id)
            if over.is_set() or i == 99999:
                return

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            have = len(acknowledged)
            wait_for(lambda n=have: len(acknowledged) > n + 300, 30, "users created")
            rosterd.kill_all()
            counts = rosterd.inspect("verify")
            assert counts["faults"] == 0
            known = acknowledged[:]
            rosterd.start()
            found = {user.id for user in read_all(rosterd.stub(), 1000000)[0]}
            assert set(known) <= found
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert rosterd.stop() == 0
    found = rosterd.inspect("verify")
    arena = os.stat(path_of(rosterd)).st_size - ARENA_AT
    assert found["faults"] == 0
    assert found["bytes_used"] + found["bytes_free"] + found["bytes_tables"] == arena


def test_larger_max_users_and_other_unique_keys_apply_at_the_next_start(filled):
    restart(filled, "--max-users", "3000000", "--unique", "username,email")
    stub = filled.stub()
    users = {user.username: user for user in read_all(stub, 3000)[0]}
    assert len(users) == 2000
    assert stub.GetUser(pb.GetUserRequest(id=users["user0000007"].id)).username == "user0000007"
    with pytest.raises(grpc.RpcError) as error:
        stub.CreateUser(next(requests(1)))
    assert error.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert filled.inspect("verify")["faults"] == 0
    assert filled.stop() == 0
    restart(filled, "--unique", "none")
    filled.stub().CreateUser(next(requests(1)))
    assert filled.inspect("verify")["faults"] == 0
    assert filled.stop() == 0
    line = refused(filled, "--unique", "username")
    assert "unique: username cannot become unique" in line and "'user0000000'" in line
    restart(filled)
    assert len(read_all(filled.stub(), 3000)[0]) == 2001
