# SPDX-License-Identifier: MIT
"""The server as its operator sees it: options, sockets, signals, and the segment that it leaves."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import (PROTO, ROSTERD, SANITIZED, SHM_INSPECT, children, expect, failure, free_port,
                     read_all, requests, wait_for)
from test_chat import Conversation


def refused(*options, prefix=()):
    """Starts a server that must fail with one line; @return that line
    @param prefix words before its command line, such as those of prlimit"""
    segment = f"/rosterd-e2e-{os.getpid()}-refused"
    if "--segment" in options:
        segment = options[options.index("--segment") + 1]
    else:
        options = ("--segment", segment, *options)

    def left():  # only of this segment: tests with other servers may run at the same time
        name = segment.strip("/")
        return {file for file in os.listdir("/dev/shm") if name and name in file}
    before = left()
    done = subprocess.run([*prefix, ROSTERD, *options], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 1, done
    assert left() <= before, "something was left in /dev/shm"
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


# ---- options ----

@pytest.mark.parametrize("options, words", [
    (["--nope", "1"], ["nope"]), (["--nope"], ["nope"]), (["--tls-key", "x"], ["tls-key"]),
    (["-x"], ["-x"]), (["file"], ["file"]),
    (["--workers", "0"], ["workers", "0"]), (["--workers", "many"], ["workers", "many"]),
    (["--workers", "-1"], ["workers", "-1"]), (["--workers", "1x"], ["workers", "1x"]),
    (["--workers", "99999999999999999999"], ["workers"]), (["--workers"], ["workers"]),
    (["--workers", ""], ["workers"]),
    (["--listen", "50051"], ["listen", "50051"]), (["--listen", "127.0.0.1"], ["listen"]),
    (["--listen", "127.0.0.1:65536"], ["listen", "65536"]),
    (["--listen", "127.0.0.1:x"], ["listen"]), (["--listen", "::1:50051x"], ["listen"]),
    (["--listen", "unix:"], ["listen"]), (["--listen", "unix:/no/such/dir/s"], ["listen", "/no/such"]),
    (["--listen", "unix:/" + "x" * 200], ["listen"]),
    (["--listen", "192.0.2.1:20999"], ["listen", "192.0.2.1"]),
    (["--segment", "no-slash"], ["segment", "no-slash"]), (["--segment", "/a/b/c"], ["segment"]),
    (["--segment", "/"], ["segment"]), (["--segment", "/" + "x" * 300], ["segment"]),
    (["--segment-size", "big"], ["segment-size", "big"]), (["--segment-size", "1"], ["segment-size"]),
    (["--max-users", "0"], ["max-users"]), (["--max-users", "1e6"], ["max-users", "1e6"]),
    (["--max-message-size", "-4"], ["max-message-size"]),
    (["--max-header-size", "x"], ["max-header-size"]),
    (["--max-concurrent-streams", "no"], ["max-concurrent-streams"])],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None)
def test_bad_option_is_one_line_that_names_it(options, words):
    line = refused(*options)
    for word in words:
        assert word in line, line


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_printed(option):
    done = subprocess.run([ROSTERD, option], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stdout and not done.stderr
    assert ("--listen" if option == "--help" else "rosterd") in done.stdout


@pytest.mark.parametrize("program, libraries", [
    (ROSTERD, ["OpenSSL", "protobuf-c", "zlib", "xxHash", "libh2o", "libdeflate", "liburcu", "inih",
               "libsystemd", "SQLite", "libsodium"]),
    (SHM_INSPECT, ["json-c", "ncurses", "liburcu", "xxHash", "SQLite"])])
def test_version_names_the_commit_and_the_libraries(program, libraries):
    lines = subprocess.run([program, "--version"], capture_output=True, text=True, check=True,
                           timeout=30).stdout.splitlines()
    assert re.fullmatch(rf"{pathlib.Path(program).name} \d+\.\d+\.\d+", lines[0])
    assert re.fullmatch(r"commit: (?:(?:v[\w.-]+|[0-9a-f]{12})(?:-dirty)?|unknown)", lines[1])
    root = pathlib.Path(PROTO).parent
    if (root / ".git").exists():
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True,
                              text=True, timeout=30).stdout.strip()
        # the build may be of an older commit, but it must know its commit where git does
        assert head == "" or lines[1] != "commit: unknown"
    assert [line.partition(":")[0] for line in lines[2:]] == ["runs with", "built with"]
    told = dict(re.findall(r"([\w-]+) ([\d.]+\w*)(?:,|$)", " ".join(
        line.partition(": ")[2] + "," for line in lines[2:])))
    assert sorted(told) == sorted(libraries)


def test_value_may_follow_an_equals_sign(start):
    rosterd = start("--max-users=7")
    result = rosterd.stub().BatchCreateUsers(requests(9))
    assert result.created == 7


@pytest.mark.parametrize("check", [[], ["--check-config"]])
def test_pid_file_that_is_no_pid_file_is_refused(tmp_path, check):
    conf = tmp_path / "rosterd.conf"
    conf.write_text("workers = 1\n")
    line = refused("--data-file", "none", "--pid-file", str(conf), *check)
    assert f"pid-file: {conf}: this file holds something else than a process id" in line
    assert conf.read_text() == "workers = 1\n"
    assert "pid-file: /no/such/pid: No such" in refused("--data-file", "none", "--pid-file",
                                                        "/no/such/pid", *check)


def test_port_in_use_is_one_line_that_names_it(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        line = refused("--listen", address)
    assert "listen" in line and address in line and "in use" in line.lower()


def test_one_port_in_use_of_several_leaves_no_other_bound(start, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        refused("--listen", f"unix:{tmp_path}/s", "--listen",
                "127.0.0.1:%d" % taken.getsockname()[1])
    assert not (tmp_path / "s").exists()


# ---- sockets ----

def hello(stub):
    expect(lambda: stub.GetUser(pb.GetUserRequest(id="x"), timeout=10), grpc.StatusCode.NOT_FOUND)


def test_ipv4_ipv6_and_unix_at_once(start, tmp_path):
    port = free_port()
    listen = [f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{tmp_path}/socket"]
    rosterd = start(listen=listen)
    for target in (f"127.0.0.1:{port}", f"[::1]:{port}", f"unix:{tmp_path}/socket"):
        hello(rosterd.stub(target=target))
    assert f"Server started on port {port}" in rosterd.log()
    assert rosterd.stop() == 0
    assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize("host", ["localhost", "", "*"])
def test_name_that_stands_for_both_families(start, host):
    port = free_port()
    rosterd = start(listen=[f"{host}:{port}"])
    for target in (f"127.0.0.1:{port}", f"[::1]:{port}"):
        hello(rosterd.stub(target=target))


def test_unix_socket_alone(start, tmp_path):
    rosterd = start(listen=[f"unix:{tmp_path}/socket"])
    hello(rosterd.stub())
    assert rosterd.stop() == 0
    assert os.listdir(tmp_path) == []


def test_unix_socket_of_a_dead_server_is_taken_over(start, tmp_path):
    rosterd = start(listen=[f"unix:{tmp_path}/socket"])
    rosterd.kill_all()
    assert (tmp_path / "socket").exists()
    rosterd.start()
    hello(rosterd.stub())
    assert rosterd.stop() == 0


def test_unix_socket_of_a_live_server_is_refused(start, tmp_path):
    rosterd = start(listen=[f"unix:{tmp_path}/socket"])
    line = refused("--listen", f"unix:{tmp_path}/socket")
    assert "listen" in line and f"{tmp_path}/socket" in line
    hello(rosterd.stub())


def test_file_that_is_not_a_socket_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("precious")
    assert "listen" in refused("--listen", f"unix:{tmp_path}/file")
    assert (tmp_path / "file").read_text() == "precious"


# ---- signals ----

@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_stops_the_server_and_only_the_segment_stays(start, how, tmp_path):
    rosterd = start(listen=[f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/s"])
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    started = time.monotonic()
    assert rosterd.stop(how) == 0
    assert time.monotonic() - started < 5
    name = rosterd.segment[1:]
    assert {os.path.basename(p) for p in rosterd.shm_files()} <= {name, name + ".stats"}
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_fast_stop_waits_for_no_chat(start, how):
    rosterd = start()
    chat = Conversation(rosterd.stub())
    chat.say("a")
    started = time.monotonic()
    assert rosterd.stop(how) == 0
    assert time.monotonic() - started < 5
    assert failure(lambda: next(chat.call)).code() in (grpc.StatusCode.UNAVAILABLE,
                                                       grpc.StatusCode.CANCELLED)
    chat.half_close()


def test_quit_lets_running_calls_finish(start):
    rosterd = start()
    stub = rosterd.stub()
    assert stub.BatchCreateUsers(requests(20000)).created == 20000
    chat = Conversation(rosterd.stub())
    chat.say("before")
    slow = rosterd.stub(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))
    listing = slow.ListUsers(pb.ListUsersRequest(page_size=20000))
    users = [next(listing)]
    rosterd.process.send_signal(signal.SIGQUIT)
    rosterd.wait_log("QUIT")
    wait_for(lambda: not connects(rosterd.port), 10, "no new connection")
    assert chat.say("after").text == "Echo: after"
    users += list(listing)
    assert [user.username for user in users] == [f"user{i:07}" for i in range(20000)]
    assert rosterd.process.poll() is None
    chat.half_close()
    assert list(chat.call) == []
    assert rosterd.process.wait(10) == 0
    rosterd.check_sanitizer()


def test_quit_ends_calls_that_outlast_the_drain_timeout(start):
    rosterd = start("--drain-timeout", "1s")
    chat = Conversation(rosterd.stub())
    chat.say("a")
    started = time.monotonic()
    assert rosterd.stop(signal.SIGQUIT) == 0
    assert 0.9 < time.monotonic() - started < 6
    assert failure(lambda: next(chat.call)).code() == grpc.StatusCode.UNAVAILABLE
    chat.half_close()


def connects(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


# ---- the segment ----

def test_restart_finds_the_users(start):
    rosterd = start()
    stub = rosterd.stub()
    assert stub.BatchCreateUsers(requests(1000)).created == 1000
    users, _ = read_all(stub, 1000)
    _, token = read_all(stub, 400)
    for how in (signal.SIGTERM, signal.SIGQUIT):
        assert rosterd.stop(how) == 0
        rosterd.start()
        stub = rosterd.stub()
        assert read_all(stub, 2000)[0][:1000] == users
        assert stub.GetUser(pb.GetUserRequest(id=users[500].id)) == users[500]
        assert read_all(stub, 600, page_token=token)[0] == users[400:]
        stub.CreateUser(pb.CreateUserRequest(username="new"))
    assert len(read_all(stub, 2000)[0]) == 1002


def test_restart_after_killing_all_processes_finds_every_acknowledged_user(start):
    rosterd = start()
    for round_ in range(3):
        acknowledged = []
        stub = rosterd.stub()

        def create():
            with contextlib.suppress(grpc.RpcError):
                for request in requests(10**6, f"r{round_}-"):
                    acknowledged.append(stub.CreateUser(request))
        thread = threading.Thread(target=create)
        thread.start()
        wait_for(lambda: len(acknowledged) > 300, 20, "creations")
        rosterd.kill_all()
        thread.join()
        rosterd.start()
        stub = rosterd.stub()
        stored = {user.id: user for user in read_all(stub, 10**6)[0]}
        for user in acknowledged:
            assert stored[user.id] == user
        assert len(read_all(stub, 10**6)[0]) == len(stored)


def test_segment_of_a_live_server_is_refused(start):
    rosterd = start()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    line = refused("--segment", rosterd.segment, "--listen", f"127.0.0.1:{free_port()}")
    assert "segment" in line and rosterd.segment in line
    assert len(read_all(rosterd.stub(), 10)[0]) == 1


@pytest.mark.parametrize("offset", [0, 8, 16, 24, 40])
def test_segment_of_another_layout_is_refused_and_left_as_it_was(start, offset):
    rosterd = start()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    assert rosterd.stop() == 0
    path = "/dev/shm" + rosterd.segment
    with open(path, "r+b") as file:
        head = file.read(4096)
        file.seek(offset)
        file.write(bytes([head[offset] ^ 0x40]))
    before = open(path, "rb").read()
    line = refused("--segment", rosterd.segment, "--listen", f"127.0.0.1:{free_port()}")
    assert "segment" in line and rosterd.segment in line
    assert open(path, "rb").read() == before
    with open(path, "r+b") as file:
        file.write(head)
    rosterd.start()
    assert len(read_all(rosterd.stub(), 10)[0]) == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 4096, b"something else\n" * 10000],
                         ids=["empty", "a byte", "zeros", "text"])
def test_file_that_is_not_a_segment_is_refused_and_left_unchanged(content):
    name = f"rosterd-e2e-{os.getpid()}-foreign"
    path = f"/dev/shm/{name}"
    with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(content)
    try:
        line = refused("--segment", "/" + name, "--listen", f"127.0.0.1:{free_port()}")
        assert "segment" in line
        assert open(path, "rb").read() == content
    finally:
        os.unlink(path)


def test_segment_writable_by_others_is_refused(start):
    rosterd = start()
    assert rosterd.stop() == 0
    os.chmod("/dev/shm" + rosterd.segment, 0o666)
    line = refused("--segment", rosterd.segment, "--listen", f"127.0.0.1:{free_port()}")
    assert "segment" in line


def test_segment_is_readable_by_its_owner_only(start):
    rosterd = start()
    for path in rosterd.shm_files():
        assert os.stat(path).st_mode & 0o777 == 0o600, path


# ---- starting ----

def test_starts_within_two_seconds(start):
    started = time.monotonic()
    start()
    assert time.monotonic() - started < (10 if SANITIZED else 2)


def test_every_worker_serves(start):
    rosterd = start(workers=3)
    assert len(rosterd.worker_pids()) == 3
    log = rosterd.log()
    assert len(re.findall(r"Server started on port \d+", log)) == 1


def test_workers_default_to_the_cpus_that_the_server_may_use(start):
    rosterd = start(workers=None)
    assert len(rosterd.worker_pids()) == len(os.sched_getaffinity(0))


def test_port_0_is_any_free_port(start):
    rosterd = start(listen=["127.0.0.1:0"])
    port = int(re.search(r"Server started on port (\d+)", rosterd.log()).group(1))
    hello(rosterd.stub(target=f"127.0.0.1:{port}"))


# ---- where it runs ----

def test_pid_1_of_a_container_reaps_orphans(start):
    """The kernel reparents an orphan to process 1. Without a waitpid() there it stays a zombie."""
    rosterd = start(start=False)
    command = rosterd.command
    rosterd.command = lambda: ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                               *command()]
    probe = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"],
                           capture_output=True, timeout=20)
    if probe.returncode != 0:
        pytest.skip("namespaces are not permitted here")
    rosterd.start()
    inside = children(rosterd.process.pid)[0]
    assert open(f"/proc/{inside}/comm", encoding="ascii").read() == "rosterd\n"
    workers = children(inside)
    for _ in range(5):
        subprocess.run(["nsenter", "-t", str(inside), "-p", "-m", "sh", "-c", "(sleep 0.1 &)"],
                       check=True, timeout=20)
    wait_for(lambda: set(children(inside)) > set(workers), 5, "orphans")
    wait_for(lambda: children(inside) == workers, 10, "orphans reaped")
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    os.kill(inside, signal.SIGUSR2)
    rosterd.wait_log("upgrade: not now: this is process 1, whose end would end its container")
    os.kill(inside, signal.SIGTERM)
    assert rosterd.process.wait(20) == 0


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && access(getenv("CLOCK_BACK"), F_OK) == 0)
        now->tv_sec -= 86400;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec;
    now->tv_usec = real.tv_nsec / 1000;
    (void)zone;
    return 0;
}
"""


def test_backward_jump_of_the_clock_stops_nothing(start, tmp_path):
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c"],
                   check=True, timeout=60)
    rosterd = start("--keepalive-time", "1s", "--max-connection-idle", "2s", start=False)
    command = rosterd.command
    # a sanitizer's library must be preloaded first, so that build is tested without clock.so
    preload = "" if SANITIZED else f"{tmp_path}/clock.so"
    rosterd.command = lambda: ["env", f"LD_PRELOAD={preload}",
                               f"CLOCK_BACK={tmp_path}/back", *command()]
    rosterd.start()
    stub = rosterd.stub()
    before = stub.CreateUser(pb.CreateUserRequest(username="a"))
    chat = Conversation(rosterd.stub())
    chat.say("one")
    (tmp_path / "back").touch()
    after = stub.CreateUser(pb.CreateUserRequest(username="b"), timeout=10)
    # created_at follows the clock
    assert SANITIZED or after.created_at < before.created_at - 80000
    time.sleep(2.5)  # keepalive and idle timers expire meanwhile
    assert chat.say("two").text == "Echo: two"
    assert [user.username for user in read_all(stub, 10)[0]] == ["a", "b"]
    os.kill(rosterd.worker_pids()[0], signal.SIGKILL)
    rosterd.wait_log("killed by signal 9")
    wait_for(lambda: len(rosterd.worker_pids()) == 2, 10, "its successor")
    chat.half_close()
    assert rosterd.stop(signal.SIGQUIT) == 0
