# SPDX-License-Identifier: MIT
"""--unique: which users CreateUser and BatchCreateUsers refuse; no name or e-mail is ever given
twice."""
import collections
import concurrent.futures
import signal
import subprocess
import threading

import grpc
import pytest

import user_service_pb2 as pb
from harness import SANITIZED, SHM_INSPECT, expect, failure, read_all, wait_for

TAKEN = grpc.StatusCode.ALREADY_EXISTS


def user(username, email=""):
    return pb.CreateUserRequest(username=username, email=email, password="correct horse")


@pytest.fixture
def both(start):
    return start("--unique", "username,email")


def assert_taken(stub, request, text):
    assert expect(lambda: stub.CreateUser(request), TAKEN).details() == text


# ---- CreateUser ----

def test_taken_username_or_email_is_refused_and_named(both):
    stub = both.stub()
    stub.CreateUser(user("ann", "ann@example.org"))
    assert_taken(stub, user("ann", "other@example.org"), "username 'ann' is taken")
    assert_taken(stub, user("other", "ann@example.org"), "email 'ann@example.org' is taken")
    assert_taken(stub, user("ann", "ann@example.org"), "username 'ann' is taken")
    stub.CreateUser(user("Ann", "Ann@example.org"))  # user names and local parts are case-sensitive
    assert len(read_all(stub, 10)[0]) == 2


def test_case_of_an_emails_domain_does_not_count(both):
    stub = both.stub()
    created = stub.CreateUser(user("ann", "Ann@Example.ORG"))
    assert created.email == "Ann@Example.ORG"  # stored as given
    assert_taken(stub, user("bob", "Ann@eXAMPLE.org"), "email 'Ann@eXAMPLE.org' is taken")
    stub.CreateUser(user("bob", "ann@example.org"))


def test_any_number_of_users_may_have_no_email(both):
    stub = both.stub()
    for name in "abc":
        stub.CreateUser(user(name))
    assert len(read_all(stub, 10)[0]) == 3


@pytest.mark.parametrize("name", ["x" * 128, "ü" * 64, "a b%'\n\x7f\U0001f600"])
def test_name_of_up_to_128_bytes_is_quoted_in_full(both, name):
    stub = both.stub()
    stub.CreateUser(user(name))
    assert_taken(stub, user(name), f"username '{name}' is taken")


@pytest.mark.parametrize("name", ["x" * 129, "ü" * 65, "x" + "€" * 84, "\U0001f600" * 63])
def test_longer_name_is_cut_between_characters(both, name):
    stub = both.stub()
    stub.CreateUser(user(name))
    details = failure(lambda: stub.CreateUser(user(name))).details()
    head, tail = "username '", "...' is taken"
    assert details.startswith(head) and details.endswith(tail)
    shown = details[len(head):-len(tail)]
    assert name.startswith(shown)
    assert 125 <= len(shown.encode()) <= 128


@pytest.mark.parametrize("unique, free", [("username", user("b", "a@a")), ("email", user("a"))])
def test_a_single_key_may_be_unique(start, unique, free):
    stub = start("--unique", unique).stub()
    stub.CreateUser(user("a", "a@a"))
    stub.CreateUser(free)
    expect(lambda: stub.CreateUser(user("a", "a@a")), TAKEN, unique)


def test_name_of_a_deleted_user_is_free(both):
    stub = both.stub()
    ann = stub.CreateUser(user("ann", "ann@a"))
    subprocess.run([SHM_INSPECT, "--segment", both.segment, "delete", ann.id], check=True,
                   timeout=60)
    again = stub.CreateUser(user("ann", "ann@a"))
    assert again.id != ann.id
    assert_taken(stub, user("ann"), "username 'ann' is taken")
    expect(lambda: stub.GetUser(pb.GetUserRequest(id=ann.id)), grpc.StatusCode.NOT_FOUND)


def test_refused_user_costs_no_memory(both):
    stub = both.stub()
    stub.CreateUser(user("ann", "ann@a"))
    before = both.inspect("status")
    for _ in range(200):
        expect(lambda: stub.CreateUser(user("ann", "ann@a")), TAKEN)
    stub.BatchCreateUsers(user("ann") for _ in range(200))
    after = both.inspect("status")
    for fact in ("users", "version", "bytes_used", "bytes_free"):
        assert before[fact] == after[fact], fact


# ---- BatchCreateUsers ----

def test_batch_reports_taken_users_and_creates_the_others(both):
    stub = both.stub()
    stub.CreateUser(user("b", "b@a"))
    result = stub.BatchCreateUsers(iter([
        user("a"), user("b"), user(""), user("c", "c@a"), user("c"), user("d", "C@a"),
        user("e", "c@A"), user("f", "b@A"), user("a", "a@a"), user("g")]))
    assert result.created == 4
    assert list(result.errors) == [
        "1: username 'b' is taken", "2: username is required", "4: username 'c' is taken",
        "6: email 'c@A' is taken", "7: email 'b@A' is taken", "8: username 'a' is taken"]
    assert [u.username for u in read_all(stub, 100)[0]] == ["b", "a", "c", "d", "g"]


def test_first_of_equal_users_in_a_long_batch_wins(both):
    stub = both.stub()
    names = [f"n{i * 7919 % 1300}" for i in range(2600)]  # each name twice, far apart
    requests = [user(name, f"{name}-{i}@a") for i, name in enumerate(names)]
    result = stub.BatchCreateUsers(iter(requests), timeout=60)
    assert result.created == 1300
    assert result.errors[-1] == "and 300 more"
    seconds = [i for i, name in enumerate(names) if name in names[:i]]
    assert list(result.errors[:1000]) == [f"{i}: username '{names[i]}' is taken"
                                          for i in seconds[:1000]]
    assert [u.email for u in read_all(stub, 2000)[0]] == [
        request.email for i, request in enumerate(requests) if names[i] not in names[:i]]


def test_batch_of_taken_users_alone_creates_none(both):
    stub = both.stub()
    users = [user(f"n{i}") for i in range(600)]
    assert stub.BatchCreateUsers(iter(users), timeout=60).created == 600
    result = stub.BatchCreateUsers(iter(users), timeout=60)
    assert result.created == 0
    assert list(result.errors) == [f"{i}: username 'n{i}' is taken" for i in range(600)]


# ---- many clients want the same names ----

def test_each_name_goes_to_one_of_many_clients(start):
    rosterd = start("--unique", "username,email", workers=2)
    clients, names = 6, 120 if SANITIZED else 400
    ready = threading.Barrier(clients)
    winners = collections.defaultdict(list)

    def one_by_one(stub, number):
        for i in range(names):
            try:
                created = stub.CreateUser(user(f"n{i}", f"n{i}@a"), timeout=30)
                winners[f"n{i}"].append((number, created.id))
            except grpc.RpcError as error:
                assert error.code() == TAKEN, error
                assert error.details() == f"username 'n{i}' is taken"

    def in_batches(stub, number):
        for start_at in range(0, names, 40):
            part = range(start_at, start_at + 40)
            result = stub.BatchCreateUsers((user(f"n{i}", f"n{i}@a") for i in part), timeout=30)
            taken = {int(line.partition(":")[0]) for line in result.errors}
            assert result.created == len(part) - len(taken)
            for position, i in enumerate(part):
                if position not in taken:
                    winners[f"n{i}"].append((number, None))

    def client(number):
        stub = rosterd.stub()  # own connection, so that both workers get some
        ready.wait()
        (one_by_one if number % 2 == 0 else in_batches)(stub, number)

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client, number) for number in range(clients)]:
            done.result()
    assert len(winners) == names
    assert all(len(won) == 1 for won in winners.values())
    users = read_all(rosterd.stub(), names + 1)[0]
    assert sorted(u.username for u in users) == sorted(winners)
    for created in users:
        _, id = winners[created.username][0]
        assert id in (None, created.id)
    rosterd.inspect("verify")


# ---- the next server ----

def test_names_stay_taken_for_the_next_server(both):
    both.stub().CreateUser(user("ann", "ann@a"))
    assert both.stop() == 0
    both.start()
    stub = both.stub()
    assert_taken(stub, user("ann"), "username 'ann' is taken")
    assert_taken(stub, user("bob", "ann@A"), "email 'ann@A' is taken")


def test_names_stay_taken_after_a_kill_under_load(both):
    stub = both.stub()
    created, stop = [], threading.Event()

    def load():
        i = 0
        while not stop.is_set():
            try:
                stub.CreateUser(user(f"n{i}", f"n{i}@a"), timeout=10)
            except grpc.RpcError:
                return
            created.append(i)
            i += 1

    loader = threading.Thread(target=load)
    loader.start()
    wait_for(lambda: len(created) >= 100, 30, "100 users")
    both.kill_all()
    stop.set()
    loader.join()
    both.start()
    both.inspect("verify")
    result = both.stub().BatchCreateUsers((user(f"n{i}") for i in created), timeout=60)
    assert result.created == 0
    both.stub().CreateUser(user("somebody else", "else@a"))


def test_worker_killed_under_load_leaves_names_unique(start):
    rosterd = start("--unique", "username", workers=2)
    stub, names = rosterd.stub(), 300
    for i in range(names):
        if i % 50 == 25:
            victim = rosterd.worker_pids()[0]
            subprocess.run(["kill", f"-{int(signal.SIGKILL)}", str(victim)], check=True)
        for _ in range(3):  # a lost connection may hide a success: then it is taken
            try:
                stub.CreateUser(user(f"n{i}"), timeout=10, wait_for_ready=True)
                break
            except grpc.RpcError as error:
                assert error.code() in (TAKEN, grpc.StatusCode.UNAVAILABLE), error
    users = [u.username for u in read_all(stub, 2 * names)[0]]
    assert sorted(users) == sorted(f"n{i}" for i in range(names))
    rosterd.inspect("verify")
