# SPDX-License-Identifier: MIT
"""Passwords of the directory: set, verified, replaced, bounded, and never told."""
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import grpc
import pytest

import user_service_pb2 as pb
from harness import expect, free_port, wait_for
from schema import message, method
from test_directory import Code, Directory, make, refused
from test_reload import reload

CHEAP = ("--unique", "username,email", "--password-processes", "1", "--password-memory", "1M",
         "--password-passes", "1")
SLOW = ("--unique", "username,email", "--password-processes", "1", "--password-memory", "64M",
        "--password-passes", "1000")  # a hash takes many seconds
PASSWORD, WRONG = "correct horse", "battery staple"
# each kind, made with the tools that usually make it
HASHES = {
    "bcrypt": ("U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    "bcrypt of PHP": ("U*U*", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    "SHA-512": ("Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/"
                "O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
    "SHA-256": ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    "yescrypt": ("openwall", "$y$j9T$AAt9R641xPvCI9nXw1HHW/$cuQRBMN3N/f8IcmVN.4YrZ1bHMOiLOoz9/XQMKV/v0A"),
    "Argon2i": ("hunter2", "$argon2i$v=19$m=1024,t=3,p=4$9S+9MrKzuG/4jvbEkGKChQ$"
                "FozzAs4NQ9KZ0CaRb35DWgyQwuFHdr5zNp66lqNs+ag"),
    "PBKDF2 of passlib": ("hunter2", "$pbkdf2-sha256$1000$//vvIHNhbHQ$"
                          "sXACFwr9SJVPD8/r8IzkEy.i.8yWoQRONCr2sgoFLq8"),
    "PBKDF2 of Django": ("hunter2", "pbkdf2_sha256$1000$dJ4ngo$Py5+ZkfxNc5EylR8roYxuS352oZPUb66hCCT0qS11yc="),
}
OURS = ("hunter2", "$argon2id$v=19$m=19456,t=2,p=1$9S+9MrKzuG/4jvbEkGKChQ$"
        "xMIei85wOanGptO8sh1K1FN3SxuZETgyfFwE7QMQc9o")


@pytest.fixture(name="both")
def both_fixture(start):
    return start(*CHEAP, "--password-tries", "0", "--password-tries-per-address", "0", "--workers", "2")


@pytest.fixture(name="directory")
def directory_fixture(both):
    return Directory(both.channel())


def create(directory, username="ann", **credential):
    return directory.CreateUser(user=make("User", username=username, email=f"{username}@a.org"),
                                **(credential or {"password": PASSWORD}))


def wrong(call):
    return refused(call, Code.UNAUTHENTICATED, "^the user or the password is wrong$")


def pending(directory, count=1, **fields):
    """Begins so many calls of VerifyPassword, which wait. Returns their futures."""
    pool = concurrent.futures.ThreadPoolExecutor(count)
    return [pool.submit(lambda: directory.VerifyPassword(**fields)) for _ in range(count)]


# ---- set and verify ----

def test_user_created_with_a_password_is_verified_by_every_key(directory):
    user = create(directory)
    assert user.has_password
    for key in ({"name": user.name}, {"username": "ann"}, {"email": "ann@A.ORG"}):
        assert directory.VerifyPassword(password=PASSWORD, **key) == user
        wrong(lambda k=key: directory.VerifyPassword(password=WRONG, **k))
    assert directory.GetUser(name=user.name) == user
    for reply in (directory.GetUser(name=user.name), directory.ListUsers().users[0]):
        assert b"argon2" not in reply.SerializeToString()


def test_every_worker_knows_a_password_at_once(both):
    directories = [Directory(both.channel()) for _ in range(6)]
    user = create(directories[0])
    for i in range(12):
        directories[i % 6].SetPassword(name=user.name, password=f"word {i}")
        assert directories[(i + 1) % 6].VerifyPassword(name=user.name, password=f"word {i}")
        wrong(lambda n=i: directories[(n + 2) % 6].VerifyPassword(name=user.name, password=f"word {n - 1}"))


def test_all_reasons_to_refuse_look_the_same(directory):
    user = create(directory)
    create(directory, "bob", password_hash="")
    blocked = create(directory, "eve")
    directory.update(["disabled"], name=blocked.name, disabled=True)
    gone = create(directory, "zoe")
    directory.DeleteUser(name=gone.name)
    attempts = [{"name": user.name, "password": WRONG}, {"username": "ann", "password": PASSWORD + "x"},
                {"username": "bob", "password": PASSWORD}, {"username": "eve", "password": PASSWORD},
                {"name": blocked.name, "password": PASSWORD}, {"name": gone.name, "password": PASSWORD},
                {"name": f"users/{uuid.uuid4()}", "password": PASSWORD},
                {"username": "nobody", "password": PASSWORD}, {"email": "no@body.org", "password": PASSWORD},
                {"username": "a" * 5000, "password": PASSWORD}, {"username": "", "password": PASSWORD},
                {"email": "no address", "password": PASSWORD}]
    errors = [wrong(lambda f=fields: directory.VerifyPassword(**f)) for fields in attempts]
    seen = {(error.code(), error.details(), tuple(error.initial_metadata()),
             tuple(error.trailing_metadata())) for error in errors}
    assert len(seen) == 1, seen


def test_nobody_costs_less_than_another(start):
    rosterd = start("--unique", "username,email", "--password-processes", "1", "--password-tries", "0",
                    "--password-tries-per-address", "0")
    directory = Directory(rosterd.channel())
    create(directory)
    create(directory, "old", password_hash=HASHES["SHA-256"][1])
    create(directory, "cheap", password_hash=HASHES["PBKDF2 of Django"][1])
    blocked = create(directory, "blocked", password_hash=HASHES["SHA-256"][1])
    directory.update(["disabled"], name=blocked.name, disabled=True)
    create(directory, "bare", password_hash="")

    # Rounds ask for each user in turn: a machine that is slow for a moment is slow for all of them.
    costs = {}
    for _ in range(12):
        for username in ("ann", "nobody", "bare", "blocked", "cheap", "old"):
            began = time.perf_counter()
            wrong(lambda u=username: directory.VerifyPassword(username=u, password=WRONG))
            costs.setdefault(username, []).append(time.perf_counter() - began)
    usual = min(costs["ann"])
    ratios = {username: min(times) / usual for username, times in costs.items()}
    assert all(0.5 < ratio < 2 for ratio in ratios.values()), ratios


def test_nobody_costs_as_much_as_users_with_imported_hashes(start):
    """Another user's hash is worked on for a key that nobody has."""
    rosterd = start(*CHEAP, "--password-processes", "1", "--password-tries", "0", "--password-tries-per-address", "0")
    directory = Directory(rosterd.channel())
    slow = HASHES["bcrypt"][1].replace("$05$", "$10$")  # of no known password
    for n in range(8):
        create(directory, f"user{n}", password_hash=slow)
    (hasher,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
    costs = {}
    for _ in range(8):
        for username in ("user3", "nobody"):
            before = cpu_ticks(hasher)
            wrong(lambda u=username: directory.VerifyPassword(username=u, password=WRONG))
            costs[username] = costs.get(username, 0) + cpu_ticks(hasher) - before
    assert costs["user3"] >= 20 and 0.5 < costs["nobody"] / costs["user3"] < 2, costs


def test_password_of_another_user_opens_nothing(directory):
    password, text = HASHES["bcrypt"]
    users = [create(directory, f"user{n}", password_hash=text) for n in range(4)]
    bare = create(directory, "bare", password_hash="")
    for n in range(8):
        wrong(lambda k=n: directory.VerifyPassword(username=f"nobody{k}", password=password))
    wrong(lambda: directory.VerifyPassword(name=bare.name, password=password))
    for user in users:  # nothing is replaced either
        assert directory.GetUser(name=user.name) == user


def test_set_password_replaces_and_removes(directory):
    user = create(directory, password_hash="")
    assert not user.has_password
    first = directory.SetPassword(name=user.name, password=PASSWORD)
    assert first.has_password and first.etag != user.etag
    assert first.update_time.ToNanoseconds() > user.update_time.ToNanoseconds()
    assert (first.username, first.email, first.create_time) == (user.username, user.email, user.create_time)
    second = directory.SetPassword(name=user.name, password=WRONG)
    assert second.etag != first.etag
    wrong(lambda: directory.VerifyPassword(username="ann", password=PASSWORD))
    assert directory.VerifyPassword(username="ann", password=WRONG) == second
    third = directory.SetPassword(name=user.name, password_hash="")
    assert not third.has_password
    wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))


def test_password_survives_other_changes(directory):
    user = create(directory)
    user = directory.update(["username", "labels"], name=user.name, username="anne", labels={"a": "b"})
    assert user.has_password
    assert directory.VerifyPassword(username="anne", password=PASSWORD) == user
    wrong(lambda: directory.VerifyPassword(username="ann", password=PASSWORD))


def test_password_survives_a_restart(start, tmp_path):
    options = (*CHEAP, "--data-file", str(tmp_path / "table.db"))
    rosterd = start(*options)
    user = create(Directory(rosterd.channel()))
    assert rosterd.stop() == 0
    for path in rosterd.shm_files():
        os.unlink(path)
    again = start(*options, segment=rosterd.segment)
    assert Directory(again.channel()).VerifyPassword(username="ann", password=PASSWORD) == user


def test_set_password_is_conditional_on_the_etag(directory):
    user = create(directory)
    newer = directory.SetPassword(name=user.name, etag=user.etag, password="new")
    refused(lambda: directory.SetPassword(name=user.name, etag=user.etag, password="lost"),
            Code.ABORTED, "etag")
    refused(lambda: directory.SetPassword(name=user.name, etag=user.etag, password_hash=""),
            Code.ABORTED, "etag")
    refused(lambda: directory.SetPassword(name=user.name, etag="x", password="new"),
            Code.INVALID_ARGUMENT, "etag", "etag")
    assert directory.VerifyPassword(name=user.name, password="new") == newer


def test_set_password_of_nobody_is_not_found(directory):
    name = f"users/{uuid.uuid4()}"
    for credential in ({"password": PASSWORD}, {"password_hash": OURS[1]}):
        refused(lambda c=credential: directory.SetPassword(name=name, **c), Code.NOT_FOUND, name)
    refused(lambda: directory.SetPassword(name="ann", password=PASSWORD), Code.INVALID_ARGUMENT, "users/",
            "name")


# ---- what is refused ----

@pytest.mark.parametrize("fields, field", [
    ({"password": ""}, "password"),
    ({"password": "x" * 1025}, "password"),
    ({"password_hash": "$1$salt$qJH7.N4xYta3aEG/dfqo/0"}, "password_hash"),
    ({"password_hash": "secret-in-plain"}, "password_hash"),
    ({"password_hash": "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}, "password_hash"),
    ({"password_hash": OURS[1] + "\0"}, "password_hash"),
    ({"password_hash": OURS[1] + "\n"}, "password_hash"),
    ({"password_hash": "$6$" + "x" * 600}, "password_hash"),
    # a user's record has visible ASCII characters only
    ({"password_hash": HASHES["PBKDF2 of Django"][1].replace("dJ4ngo", "dJ4 go")}, "password_hash: the hash"),
    ({"password_hash": HASHES["PBKDF2 of Django"][1].replace("dJ4ngo", "dJ\u00e4go")}, "password_hash: the hash"),
])
def test_credential_that_cannot_be_is_refused_and_not_shown(directory, fields, field):
    user = create(directory, "bob", password_hash="")
    for call in (lambda: create(directory, **fields),
                 lambda: directory.SetPassword(name=user.name, **fields)):
        error = refused(call, Code.INVALID_ARGUMENT, f"^{field}", field.split(":")[0])
        secret = next(iter(fields.values()))
        assert not secret or secret[:12] not in str(error.details()) + str(error.trailing_metadata())
    assert directory.GetUser(name=user.name) == user


def test_longest_password_is_verified(directory):
    create(directory, password="x" * 1024)
    assert directory.VerifyPassword(username="ann", password="x" * 1024)
    wrong(lambda: directory.VerifyPassword(username="ann", password="x" * 1023))
    refused(lambda: directory.VerifyPassword(username="ann", password="x" * 1025), Code.INVALID_ARGUMENT,
            "1024", "password")
    refused(lambda: directory.VerifyPassword(username="ann", password=""), Code.INVALID_ARGUMENT, "empty",
            "password")


def test_request_without_key_or_credential_is_refused(directory):
    user = create(directory)
    refused(lambda: directory.SetPassword(name=user.name), Code.INVALID_ARGUMENT, "^credential is not set",
            "credential")
    refused(lambda: directory.VerifyPassword(password=PASSWORD), Code.INVALID_ARGUMENT, "^key is not set", "key")
    refused(lambda: directory.VerifyPassword(name="ann", password=PASSWORD), Code.INVALID_ARGUMENT, "users/",
            "name")


def test_user_that_cannot_be_is_refused_before_its_password_is_hashed(directory):
    refused(lambda: directory.CreateUser(user=make("User", username=""), password=PASSWORD),
            Code.INVALID_ARGUMENT, "username", "user.username")
    create(directory)
    refused(lambda: create(directory), Code.ALREADY_EXISTS, "ann", "user.username")


def test_user_without_room_for_a_hash_keeps_what_it_has(directory):
    full = directory.create("u" * 255, email="e" * 248 + "@a.org",
                            roles=[f"{i:02}" + "r" * 62 for i in range(32)],
                            labels={f"k{i:02}": "v" * 29 for i in range(32)})
    long = "$argon2id$v=19$m=1024,t=1,p=1$" + "c2FsdHNhbHRzYWx0" * 5 + "$" + "aGFzaGhhc2hoYXNo" * 5
    refused(lambda: directory.SetPassword(name=full.name, password_hash=long), Code.INVALID_ARGUMENT,
            "^password_hash: the user has no room", "password_hash")
    assert directory.GetUser(name=full.name) == full
    assert directory.SetPassword(name=full.name, password=PASSWORD).has_password  # this one has room


def test_without_an_index_there_is_no_such_key(start):
    directory = Directory(start(*CHEAP[2:]).channel())
    user = create(directory)
    refused(lambda: directory.VerifyPassword(username="ann", password=PASSWORD), Code.FAILED_PRECONDITION,
            "unique")
    assert directory.VerifyPassword(name=user.name, password=PASSWORD) == user


def test_without_processes_calls_with_passwords_name_the_option(start):
    rosterd = start("--unique", "username", "--password-processes", "0", "--store-passwords", "on")
    directory = Directory(rosterd.channel())
    user = create(directory, password_hash=OURS[1])
    for call in (lambda: create(directory, "bob"),
                 lambda: directory.SetPassword(name=user.name, password=PASSWORD),
                 lambda: directory.VerifyPassword(name=user.name, password=PASSWORD),
                 lambda: rosterd.stub().CreateUser(pb.CreateUserRequest(username="x", password=PASSWORD))):
        refused(call, Code.FAILED_PRECONDITION, "password-processes")
    assert rosterd.stub().CreateUser(pb.CreateUserRequest(username="x")).id


# ---- hashes of other systems ----

@pytest.mark.parametrize("kind", HASHES)
def test_imported_hash_is_verified_and_replaced_at_the_first_login(directory, kind):
    password, text = HASHES[kind]
    user = create(directory, password_hash=text)
    assert user.has_password
    wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))
    assert directory.GetUser(name=user.name) == user
    assert directory.VerifyPassword(username="ann", password=password) == user  # as it was then
    after = directory.GetUser(name=user.name)
    assert after.etag != user.etag and after.update_time == user.update_time
    wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))
    assert directory.VerifyPassword(username="ann", password=password) == after
    assert directory.GetUser(name=user.name) == after  # once


def test_hash_of_the_cost_that_is_set_is_kept(start):
    directory = Directory(start("--unique", "username,email", "--password-processes", "1").channel())
    user = create(directory, password_hash=OURS[1])
    assert directory.VerifyPassword(username="ann", password=OURS[0]) == user
    assert directory.GetUser(name=user.name) == user


# greater costs than what an imported hash may have: by its memory, and by its passes
@pytest.mark.parametrize("memory, passes", [("256M", 1), ("2M", 600)])
def test_hash_of_any_cost_that_can_be_set_is_verified(start, tmp_path, memory, passes):
    config = tmp_path / "rosterd.conf"

    def write(size, times):
        config.write_text(f"password-memory = {size}\npassword-passes = {times}\n")
    write(memory, passes)
    rosterd = start("--unique", "username,email", "--password-processes", "1", "--config", str(config))
    directory = Directory(rosterd.channel())
    user = create(directory)
    assert directory.VerifyPassword(username="ann", password=PASSWORD) == user
    wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))
    write("1M", 1)
    reload(rosterd)
    directory = Directory(rosterd.channel())
    assert directory.VerifyPassword(username="ann", password=PASSWORD) == user


def test_many_logins_at_once_all_succeed_while_the_hash_is_replaced(directory):
    password, text = HASHES["SHA-256"]
    user = create(directory, password_hash=text)
    calls = pending(directory, 32, username="ann", password=password)
    assert {call.result().name for call in calls} == {user.name}
    assert int(directory.GetUser(name=user.name).etag[1:-1], 16) == int(user.etag[1:-1], 16) + 1


# ---- while a password waits ----

@pytest.fixture(name="stopped")
def stopped_fixture(start):
    """A server whose process for passwords is stopped: calls wait until resume()."""
    rosterd = start(*CHEAP, "--password-queue", "4", "--password-tries", "0", workers=1)
    wait_for(rosterd.password_pids, 10, "the process for passwords")
    directory = Directory(rosterd.channel())
    rosterd.user = create(directory, password_hash=HASHES["bcrypt"][1])
    (pid,) = rosterd.password_pids()

    def stop():
        os.kill(pid, signal.SIGSTOP)

    def queued(count):
        rosterd.wait_stats("rosterd_password_requests", count)
    rosterd.halt, rosterd.resume, rosterd.queued = stop, lambda: os.kill(pid, signal.SIGCONT), queued
    yield rosterd
    if pid in rosterd.password_pids():
        rosterd.resume()


def test_password_set_meanwhile_wins(stopped):
    directory = Directory(stopped.channel())
    stopped.halt()
    login = pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(1)
    user = directory.SetPassword(name=stopped.user.name, password_hash=OURS[1])
    stopped.resume()
    wrong(login[0].result)
    assert directory.GetUser(name=user.name) == user  # no replaced hash has undone it
    assert directory.VerifyPassword(username="ann", password=OURS[0])


def test_right_password_of_a_new_hash_is_accepted(stopped):
    """The hash that was verified is replaced meanwhile: by the hash of the same password."""
    directory = Directory(stopped.channel())
    stopped.halt()
    login = pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(1)
    directory.SetPassword(name=stopped.user.name,
                          password_hash=HASHES["bcrypt"][1].replace("$2b$", "$2a$"))
    stopped.resume()
    assert login[0].result().name == stopped.user.name


@pytest.mark.parametrize("how", ["disabled", "deleted", "renamed", "removed"])
def test_user_who_may_not_log_in_any_more_is_refused(stopped, how):
    directory = Directory(stopped.channel())
    stopped.halt()
    login = pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(1)
    name = stopped.user.name
    if how == "disabled":
        directory.update(["disabled"], name=name, disabled=True)
    elif how == "deleted":
        directory.DeleteUser(name=name)
    elif how == "renamed":
        directory.update(["username"], name=name, username="anne")
    else:
        directory.SetPassword(name=name, password_hash="")
    stopped.resume()
    wrong(login[0].result)


def test_set_password_of_a_user_deleted_meanwhile_is_not_found(stopped):
    directory = Directory(stopped.channel())
    stopped.halt()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        late = pool.submit(lambda: directory.SetPassword(name=stopped.user.name, password=PASSWORD))
        stale = pool.submit(lambda: directory.SetPassword(name=stopped.user.name, etag=stopped.user.etag,
                                                          password=PASSWORD))
        stopped.queued(2)
        directory.DeleteUser(name=stopped.user.name)
        stopped.resume()
        refused(late.result, Code.NOT_FOUND, stopped.user.name)
        refused(stale.result, Code.ABORTED, "etag")


def test_full_queue_refuses_and_one_who_gives_up_leaves_it(stopped):
    directory = Directory(stopped.channel())
    stopped.halt()
    logins = pending(directory, 3, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(3)
    caller = stopped.channel().unary_unary(
        "/rosterd.directory.v1.Directory/VerifyPassword",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=lambda data: data)
    fourth = caller.future(make("VerifyPasswordRequest", username="ann", password=WRONG))
    stopped.queued(4)
    for call in (lambda: directory.VerifyPassword(username="ann", password=PASSWORD),
                 lambda: directory.SetPassword(name=stopped.user.name, password=PASSWORD),
                 lambda: create(directory, "bob")):
        refused(call, Code.RESOURCE_EXHAUSTED, "password-queue")
    fourth.cancel()
    stopped.queued(3)
    logins += pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(4)
    stopped.resume()
    assert {login.result().name for login in logins} == {stopped.user.name}
    stopped.queued(0)


def test_other_calls_are_served_while_passwords_wait(stopped):
    directory = Directory(stopped.channel())
    stopped.halt()
    login = pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(1)
    for _ in range(100):
        assert directory.GetUser(name=stopped.user.name) == stopped.user
    assert not login[0].done()
    stopped.resume()
    assert login[0].result()


def test_stop_waits_for_a_password(stopped):
    directory = Directory(stopped.channel())
    stopped.halt()
    login = pending(directory, username="ann", password=HASHES["bcrypt"][0])
    stopped.queued(1)
    stopped.process.send_signal(signal.SIGQUIT)
    stopped.wait_log("drain|stop")
    stopped.resume()
    assert login[0].result().name == stopped.user.name
    assert stopped.process.wait(20) == 0


def test_deadline_ends_the_wait(stopped):
    stopped.halt()
    call = stopped.channel().unary_unary(
        "/rosterd.directory.v1.Directory/VerifyPassword",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=lambda data: data)
    expect(lambda: call(make("VerifyPasswordRequest", username="ann", password=WRONG), timeout=0.3),
           Code.DEADLINE_EXCEEDED)
    stopped.resume()
    stopped.queued(0)


def test_dead_process_ends_its_call_and_gives_the_try_back(start):
    rosterd = start(*SLOW, "--password-tries", "1", workers=1)
    (pid,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
    directory = Directory(rosterd.channel())
    create(directory, password_hash=HASHES["bcrypt"][1])
    for _ in range(2):
        login = pending(directory, username="nobody", password=WRONG)
        rosterd.wait_stats("rosterd_password_requests", 1)
        (pid,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
        wait_for(lambda p=pid: cpu_ticks(p) > 5, 10, "work")
        os.kill(pid, signal.SIGKILL)
        refused(login[0].result, Code.UNAVAILABLE, "died")


@pytest.fixture(name="busy_cpu")
def busy_cpu_fixture():
    """A CPU that another program uses up as soon as start_program() is called."""
    cpu = max(os.sched_getaffinity(0))
    programs = []

    def start_program():
        programs.append(subprocess.Popen(["taskset", "-c", str(cpu), sys.executable, "-c",
                                          "while True: pass"]))
        return programs[-1]
    yield cpu, start_program
    for program in programs:
        program.kill()
        program.wait()


def test_hashing_gives_way_to_others_until_it_gets_no_cpu(start, busy_cpu):
    cpu, start_program = busy_cpu
    rosterd = start("--unique", "username", "--password-processes", "1", "--password-passes", "6",
                    "--password-tries", "0", "--password-tries-per-address", "0", workers=1)
    (pid,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
    gives_way = os.SCHED_IDLE if os.geteuid() == 0 else os.SCHED_BATCH
    wait_for(lambda: os.sched_getscheduler(pid) == gives_way, 10, "the policy")
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.nice(0) + 10, 19)
    os.sched_setaffinity(pid, {cpu})
    directory = Directory(rosterd.channel())
    program = start_program()
    wait_for(lambda: cpu_ticks(program.pid) > 10, 10, "a busy CPU")

    def policy_after_a_login():
        wrong(pending(directory, username="nobody", password=WRONG)[0].result)
        return os.sched_getscheduler(pid)
    wait_for(lambda: policy_after_a_login() == os.SCHED_BATCH, 60, "a part of the CPU")
    program.kill()
    program.wait()
    wait_for(lambda: policy_after_a_login() == gives_way, 60, "the policy of before")


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[11])


# ---- tries ----

def retry_delay(error):
    status = message("google.rpc.Status").FromString(
        dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert status.details[0].type_url == "type.googleapis.com/google.rpc.RetryInfo"
    return message("google.rpc.RetryInfo").FromString(status.details[0].value).retry_delay


def test_wrong_passwords_of_a_user_are_bounded_in_all_workers(start):
    rosterd = start(*CHEAP, "--password-tries", "3", "--password-tries-window", "1h", workers=2)
    directories = [Directory(rosterd.channel()) for _ in range(4)]
    create(directories[0])
    create(directories[0], "bob")
    for i in range(20):  # right ones do not count
        assert directories[i % 4].VerifyPassword(username="ann", password=PASSWORD)
    texts = set()
    for username in ("ann", "nobody"):
        for i in range(3):
            wrong(lambda n=i, u=username: directories[n].VerifyPassword(username=u, password=WRONG))
        for word in (WRONG, PASSWORD):
            error = refused(lambda w=word, u=username: directories[3].VerifyPassword(username=u, password=w),
                            Code.RESOURCE_EXHAUSTED, "too many wrong passwords for this user: try again in")
            assert 1000 < retry_delay(error).ToTimedelta().total_seconds() <= 1200
            texts.add(re.sub(r"\d+ s", "N s", error.details()))
    assert len(texts) == 1
    assert directories[0].VerifyPassword(username="bob", password=PASSWORD)
    assert directories[0].VerifyPassword(email="ann@a.org", password=PASSWORD)  # counts by itself


def test_right_passwords_at_the_same_time_are_all_accepted(start):
    """More than the tries of the user and of the address."""
    rosterd = start(*CHEAP, "--password-tries", "2", "--password-tries-per-address", "3", workers=2)
    directories = [Directory(rosterd.channel()) for _ in range(4)]
    create(directories[0])
    verify = [method(directory.channel, "rosterd.directory.v1.Directory/VerifyPassword")
              for directory in directories]
    right = make("VerifyPasswordRequest", username="ann", password=PASSWORD)
    calls = [verify[i % 4].future(right, timeout=60) for i in range(60)]
    assert all(call.result().username == "ann" for call in calls)
    bad = make("VerifyPasswordRequest", username="ann", password=WRONG)
    codes = [call.exception().code() for call in [verify[i % 4].future(bad, timeout=60) for i in range(60)]]
    # A bound may be passed by the number of workers.
    assert 2 <= codes.count(Code.UNAUTHENTICATED) <= 4
    assert codes.count(Code.UNAUTHENTICATED) + codes.count(Code.RESOURCE_EXHAUSTED) == 60


def test_folded_keys_count_together(start):
    directory = Directory(start(*CHEAP, "--password-tries", "2").channel())
    for email in ("no@body.org", "no@BODY.org"):
        wrong(lambda e=email: directory.VerifyPassword(email=e, password=WRONG))
    refused(lambda: directory.VerifyPassword(email="no@Body.org", password=WRONG),
            Code.RESOURCE_EXHAUSTED, "for this user")


def test_tries_come_back(start):
    directory = Directory(start(*CHEAP, "--password-tries", "1", "--password-tries-window", "1s").channel())
    create(directory)
    wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))
    refused(lambda: directory.VerifyPassword(username="ann", password=PASSWORD), Code.RESOURCE_EXHAUSTED,
            "try again in 1 s")

    def accepted():
        try:
            return directory.VerifyPassword(username="ann", password=PASSWORD)
        except grpc.RpcError:
            return None
    wait_for(accepted, 5, "the try to come back")


def test_wrong_passwords_from_an_address_are_bounded(start):
    directory = Directory(start(*CHEAP, "--password-tries-per-address", "3").channel())
    create(directory)
    for i in range(3):
        wrong(lambda n=i: directory.VerifyPassword(username=f"u{n}", password=WRONG))
    refused(lambda: directory.VerifyPassword(username="ann", password=PASSWORD), Code.RESOURCE_EXHAUSTED,
            "from this address")


# ---- UserService ----

def test_user_service_discards_passwords_by_default(both, directory):
    user = both.stub().CreateUser(pb.CreateUserRequest(username="ann", password=PASSWORD))
    assert not directory.GetUser(name=f"users/{user.id}").has_password
    wrong(lambda: directory.VerifyPassword(username="ann", password=PASSWORD))


def test_user_service_stores_passwords_if_the_option_says_so(start):
    rosterd = start(*CHEAP, "--store-passwords", "on")
    directory, stub = Directory(rosterd.channel()), rosterd.stub()
    made = stub.CreateUser(pb.CreateUserRequest(username="ann", password=PASSWORD))
    assert stub.GetUser(pb.GetUserRequest(id=made.id)) == made
    user = directory.VerifyPassword(username="ann", password=PASSWORD)
    assert user.name == f"users/{made.id}" and user.has_password and user.update_time == user.create_time
    expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="ann", password=PASSWORD)),
           Code.ALREADY_EXISTS)
    expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="", password=PASSWORD)),
           Code.INVALID_ARGUMENT)
    bare = stub.CreateUser(pb.CreateUserRequest(username="bob"))
    assert not directory.GetUser(name=f"users/{bare.id}").has_password
    result = stub.BatchCreateUsers(iter([pb.CreateUserRequest(username="eve", password=PASSWORD),
                                         pb.CreateUserRequest(username="zoe")]))
    assert result.created == 1 and re.match("0: password: .*store-passwords", result.errors[0])


# ---- numbers ----

def test_verifications_are_counted_by_their_end(start):
    port = free_port()
    rosterd = start(*CHEAP, "--password-tries", "2", "--metrics-listen", f"127.0.0.1:{port}")
    directory = Directory(rosterd.channel())
    create(directory, password_hash=HASHES["bcrypt"][1])
    for _ in range(3):
        directory.VerifyPassword(username="ann", password=HASHES["bcrypt"][0])
    for _ in range(2):
        wrong(lambda: directory.VerifyPassword(username="ann", password=WRONG))
    expect(lambda: directory.VerifyPassword(username="ann", password=WRONG), Code.RESOURCE_EXHAUSTED)
    for outcome, count in (("accepted", 3), ("refused", 2), ("limited", 1)):
        rosterd.wait_stats(f'rosterd_password_verifications_total{{outcome="{outcome}"}}', count)
    rosterd.wait_stats("rosterd_password_hashes_replaced_total", 1)


# ---- reloads, drains, other listeners ----

def test_reload_changes_the_cost_and_the_bounds(start, tmp_path):
    conf = tmp_path / "rosterd.conf"
    text = "unique = username\npassword-processes = 1\npassword-passes = 1\n"
    conf.write_text(text + "password-memory = 2M\npassword-tries = 1\n")
    rosterd = start("--config", str(conf))
    user = create(Directory(rosterd.channel()))
    verify = Directory(rosterd.channel()).VerifyPassword
    assert verify(username="ann", password=PASSWORD) == user
    wrong(lambda: verify(username="ann", password=WRONG))
    refused(lambda: verify(username="ann", password=PASSWORD), Code.RESOURCE_EXHAUSTED, "this user")
    conf.write_text(text + "password-memory = 1M\npassword-tries = 0\n")
    reload(rosterd)
    directory = Directory(rosterd.channel())
    assert directory.VerifyPassword(username="ann", password=PASSWORD) == user
    assert directory.GetUser(name=user.name) == user  # a cheaper hash replaces none
    conf.write_text(text + "password-memory = 3M\npassword-tries = 0\n")
    reload(rosterd)
    directory = Directory(rosterd.channel())
    assert directory.VerifyPassword(username="ann", password=PASSWORD) == user
    assert directory.GetUser(name=user.name).etag != user.etag


def test_bounds_outlive_a_reload(start, tmp_path):
    conf = tmp_path / "rosterd.conf"
    conf.write_text("unique = username\npassword-processes = 1\npassword-memory = 1M\npassword-tries = 1\n")
    rosterd = start("--config", str(conf))
    wrong(lambda: Directory(rosterd.channel()).VerifyPassword(username="ann", password=WRONG))
    reload(rosterd)
    refused(lambda: Directory(rosterd.channel()).VerifyPassword(username="ann", password=WRONG),
            Code.RESOURCE_EXHAUSTED, "this user")


def test_drain_timeout_ends_calls_that_wait_for_a_password(start):
    rosterd = start(*CHEAP, "--drain-timeout", "300ms", workers=1)
    (pid,) = wait_for(rosterd.password_pids, 10, "the process for passwords")
    os.kill(pid, signal.SIGSTOP)
    login = pending(Directory(rosterd.channel()), username="ann", password=PASSWORD)
    rosterd.wait_stats("rosterd_password_requests", 1)
    rosterd.process.send_signal(signal.SIGQUIT)
    refused(login[0].result, Code.UNAVAILABLE, "shutting down")
    assert rosterd.process.wait(20) == 0


def test_unix_socket_has_no_address_to_count(start, tmp_path):
    rosterd = start(*CHEAP, "--password-tries-per-address", "1", "--password-tries", "2",
                    listen=[f"unix:{tmp_path}/socket"])
    directory = Directory(rosterd.channel())
    for username in ("ann", "bob", "eve"):
        wrong(lambda u=username: directory.VerifyPassword(username=u, password=WRONG))
        wrong(lambda u=username: directory.VerifyPassword(username=u, password=WRONG))
        refused(lambda u=username: directory.VerifyPassword(username=u, password=WRONG),
                Code.RESOURCE_EXHAUSTED, "for this user")
