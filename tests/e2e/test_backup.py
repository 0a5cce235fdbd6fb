# SPDX-License-Identifier: MIT
"""shm-inspect's commands that write, used while a server runs: dump, load, delete, set-roles."""
import json
import signal
import subprocess
import threading
import time
import uuid

import grpc

import user_service_pb2 as pb
from harness import OUT, SHM_INSPECT, expect, fill, read_all, requests, wait_for
from wire import Wire, message

NOT_FOUND = grpc.StatusCode.NOT_FOUND


def record(number, **changes):
    user = {"id": str(uuid.UUID(int=number << 64 | 0x4000 << 64 | 1 << 63 | number)),
            "username": f"loaded{number}", "email": f"l{number}@example.org",
            "created_at": 1600000000 + number, "roles": ["user", f"team-{number % 5}"]}
    user.update(changes)
    return user


def as_message(user):
    return pb.User(**user)


def write_lines(name, users):
    path = OUT / name
    path.write_text("".join(json.dumps(user) + "\n" for user in users))
    return str(path)


def dump(rosterd):
    """Returns the users of a dump. Asserts that the dump is complete."""
    done = subprocess.run([SHM_INSPECT, "--segment", rosterd.segment, "dump"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["rosterd_dump"] == 2 and lines[-1]["rosterd_dump_end"] == 2
    assert lines[0]["users"] == lines[-1]["users"] == len(lines) - 2
    return lines[1:-1]


def listed(stub):
    return list(read_all(stub, 2**31 - 1)[0])


def test_loaded_users_are_served_while_clients_create(start):
    rosterd = start(workers=2)
    stub = rosterd.stub()
    users = [record(i) for i in range(20000)]
    path = write_lines("load.jsonl", users)
    stop, created, failed = threading.Event(), [], []

    def create():
        try:
            mine = rosterd.stub()
            while not stop.is_set():
                created.append(mine.CreateUser(pb.CreateUserRequest(username="beside"),
                                               timeout=20))
        except grpc.RpcError as error:
            failed.append(error)

    clients = [threading.Thread(target=create) for _ in range(2)]
    for client in clients:
        client.start()
    counts = rosterd.inspect("load", path)
    again = rosterd.inspect("load", path)
    stop.set()
    for client in clients:
        client.join()
    assert not failed, failed
    assert counts == {"inserted": 20000, "updated": 0, "unchanged": 0, "refused": 0,
                      "without_password": 0, "last_line": 20000}
    assert again["unchanged"] == 20000
    for user in users[::997]:
        assert stub.GetUser(pb.GetUserRequest(id=user["id"])) == as_message(user)
    everybody = listed(stub)
    loaded = [user for user in everybody if user.username != "beside"]
    assert loaded == [as_message(user) for user in users]
    assert {user.id for user in everybody} - {user.id for user in loaded} == \
        {user.id for user in created}
    assert created
    assert rosterd.inspect("verify")["faults"] == 0


def test_a_dump_restores_the_users_of_a_server_that_lost_its_segment(start):
    rosterd = start(workers=2)
    stub = rosterd.stub()
    fill(rosterd, requests(3000), 3000)
    before = listed(stub)
    path = str(OUT / "backup.jsonl")
    assert rosterd.inspect("dump", "--output", path)["users"] == 3000
    assert rosterd.stop() == 0
    rosterd.inspect("unlink")
    rosterd.start()
    stub = rosterd.stub()
    assert listed(stub) == []
    assert rosterd.inspect("load", path)["inserted"] == 3000
    assert listed(stub) == before


def test_users_loaded_into_a_dead_servers_segment_are_served_by_the_next(start):
    rosterd = start(workers=1)
    rosterd.kill_all()
    users = [record(i) for i in range(1000)]
    assert rosterd.inspect("load", write_lines("dead.jsonl", users))["inserted"] == 1000
    rosterd.inspect("set-roles", users[0]["id"], "first")
    rosterd.inspect("delete", users[1]["id"])
    rosterd.start()
    stub = rosterd.stub()
    expected = [dict(users[0], roles=["first"]), *users[2:]]
    assert listed(stub) == [as_message(user) for user in expected]


def test_the_largest_user_is_loaded_and_served(start):
    rosterd = start(workers=1)
    stub = rosterd.stub()
    user = record(7, username="n" * 255, email="e" * 241 + "@" + "d" * 12,
                  created_at=-2**63, roles=[chr(65 + i) + "r" * 63 for i in range(32)])
    assert rosterd.inspect("load", write_lines("large.jsonl", [user]))["inserted"] == 1
    assert stub.GetUser(pb.GetUserRequest(id=user["id"])) == as_message(user)
    assert listed(stub) == [as_message(user)]


def test_changes_are_served_at_once_and_a_paused_listing_keeps_its_snapshot(start):
    rosterd = start(workers=2)
    stub = rosterd.stub()
    users = [record(i) for i in range(5000)]
    rosterd.inspect("load", write_lines("paused.jsonl", users))

    # A listing that its flow-control window stops after the first users.
    held = Wire(rosterd.connect(), credit=False).wait_ready()
    listing = held.open("ListUsers")
    held.data(listing, message(pb.ListUsersRequest(page_size=5000)))
    held.until(lambda: listing in held.streams and held.streams[listing].data)

    last, gone, new = users[-1], users[-2], record(6000)
    done = rosterd.inspect("set-roles", last["id"], "auditor,admin")
    assert done == {"id": last["id"], "roles": ["auditor", "admin"], "old_roles": last["roles"]}
    assert rosterd.inspect("delete", gone["id"]) == {"deleted": [gone["id"]]}
    changed = dict(users[-3], email="new@example.org")
    counts = rosterd.inspect("load", write_lines("changes.jsonl", [changed, new]))
    assert (counts["inserted"], counts["updated"]) == (1, 1)

    for _ in range(4):  # each call may reach a different worker
        fresh = rosterd.stub()
        assert list(fresh.GetUser(pb.GetUserRequest(id=last["id"])).roles) == ["auditor", "admin"]
        expect(lambda s=fresh: s.GetUser(pb.GetUserRequest(id=gone["id"])), NOT_FOUND)
        assert fresh.GetUser(pb.GetUserRequest(id=changed["id"])).email == "new@example.org"
    now = [*users[:-3], changed, dict(last, roles=["auditor", "admin"]), new]
    assert listed(stub) == [as_message(user) for user in now]

    held.credit = True
    held.window(0, 1 << 24)
    held.window(listing, 1 << 24)
    old = [pb.User.FromString(body) for body in held.wait(listing).messages()]
    held.close()
    assert old == [as_message(user) for user in users]


def test_dumps_during_creations_are_complete_and_grow(start):
    rosterd = start(workers=2)
    stop = threading.Event()

    def create():
        mine = rosterd.stub()
        while not stop.is_set():
            assert mine.BatchCreateUsers(requests(200)).created == 200

    client = threading.Thread(target=create)
    client.start()
    dumps = []
    try:
        wait_for(lambda: rosterd.inspect("status")["users"], 20, "a first user")
        end = time.monotonic() + 20
        while len(dumps) < 5 or (len(dumps[-1]) == len(dumps[0]) and time.monotonic() < end):
            dumps.append(dump(rosterd))
    finally:
        stop.set()
        client.join()
    for earlier, later in zip(dumps, dumps[1:]):
        assert later[:len(earlier)] == earlier  # each starts with the previous one
    assert len(dumps[-1]) > len(dumps[0])


def test_a_load_that_was_killed_can_be_continued(start):
    rosterd = start(workers=2)
    users = [record(i) for i in range(30000)]
    path = write_lines("killed.jsonl", users)
    for _ in range(5):
        load = subprocess.Popen([SHM_INSPECT, "--segment", rosterd.segment, "load", path],
                                stdout=subprocess.DEVNULL)
        before = rosterd.inspect("status")["users"]
        while load.poll() is None and rosterd.inspect("status")["users"] < before + 256:
            time.sleep(0.001)
        load.send_signal(signal.SIGKILL)
        load.wait(20)
        assert rosterd.stub().CreateUser(pb.CreateUserRequest(username="between")).id
    rosterd.inspect("load", path)
    assert rosterd.inspect("verify")["faults"] == 0
    loaded = [user for user in listed(rosterd.stub()) if user.username != "between"]
    assert loaded == [as_message(user) for user in users]


def test_a_load_respects_unique_names_and_a_delete_frees_them(start):
    rosterd = start("--unique", "username,email", workers=2)
    stub = rosterd.stub()
    taken = stub.CreateUser(pb.CreateUserRequest(username="ada", email="ada@example.org"))
    path = write_lines("unique.jsonl", [record(1), record(2, username="ada")])
    done = rosterd.inspect("load", path, status=1)
    assert done["inserted"] == 0 and done["refused"] == 1
    rosterd.inspect("delete", taken.id)
    assert rosterd.inspect("load", path)["inserted"] == 2
    expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="ada")),
           grpc.StatusCode.ALREADY_EXISTS)
