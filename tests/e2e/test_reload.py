# SPDX-License-Identifier: MIT
"""Reload and upgrade while clients are connected; tests/systemd tests both under systemd."""
import errno
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

import certs
import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
import wire
from harness import ROSTERD, free_port, gone, read_all, wait_for
from test_chat import Conversation
from wire import Wire, message

NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


class Load:
    """Threads that make one call after the other, on kept and on fresh connections: none may fail."""

    def __init__(self, rosterd, threads=3):
        self.rosterd = rosterd
        self.created, self.failures, self.stopped = [], [], False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]

    def calls(self, number, count):
        with grpc.insecure_channel(self.rosterd.target(),
                                   [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = pb_grpc.UserServiceStub(channel)
            while count and not self.stopped:
                count -= 1
                user = stub.CreateUser(pb.CreateUserRequest(username=f"u{number}"), timeout=20)
                self.created.append(user.id)
                stub.GetUser(pb.GetUserRequest(id=user.id), timeout=20)

    def run(self, number):
        while not self.stopped:
            try:
                self.calls(number, 5 if number % 2 == 0 else 10**9)
            except grpc.RpcError as error:
                self.failures.append(f"{error.code()} {error.details()}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        for thread in self.threads:
            thread.join()

    def more(self, count=50):
        """Waits until `count` more users have been created."""
        before = len(self.created)
        wait_for(lambda: len(self.created) > before + count, 30, "more calls")


def by_file(start, tmp_path, text="", **settings):
    """A server with this text as its configuration file, rosterd.conf."""
    path = tmp_path / "rosterd.conf"
    path.write_text(text)
    rosterd = start("--config", str(path), workers=settings.pop("workers", None), **settings)
    rosterd.conf = path
    return rosterd


def reload(rosterd, status=0):
    """Runs `rosterd --reload`, which must exit with this status; @return what it prints"""
    done = subprocess.run([ROSTERD, *rosterd.command()[1:], "--reload", str(rosterd.process.pid)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done
    return (done.stdout + done.stderr).strip()


# ---- reload ----

def test_reloads_under_load_fail_no_call(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 2\n")
    with Load(rosterd) as load:
        for workers in (3, 1, 2):
            rosterd.conf.write_text(f"workers = {workers}\n")
            assert reload(rosterd) == f"reloaded: {workers} workers"
            load.more()
    assert not load.failures
    stored = {user.id for user in read_all(rosterd.stub(), 10**6)[0]}
    assert set(load.created) == stored
    wait_for(lambda: len(rosterd.worker_pids()) == 2, 10, "the old workers gone")


def test_calls_continue_across_a_reload_and_new_connections_find_the_new_options(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 1\nmax-message-size = 1K\n")
    before = rosterd.worker_pids()
    chat = Conversation(rosterd.stub())
    assert chat.say("one").text == "Echo: one"
    rosterd.conf.write_text("workers = 1\nmax-message-size = 1M\n")
    reload(rosterd)
    assert set(before) < set(rosterd.worker_pids())
    assert chat.say("two").text == "Echo: two"
    assert Conversation(rosterd.stub()).say("x" * 5000).text == "Echo: " + "x" * 5000
    chat.half_close()
    wait_for(lambda: gone(before[0]), 10, "the old worker gone")


def test_drain_of_a_reload_ends_with_its_timeout(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 1\ndrain-timeout = 500ms\n")
    before = rosterd.worker_pids()
    chat = Conversation(rosterd.stub())
    chat.say("one")
    reload(rosterd)
    wait_for(lambda: gone(before[0]), 10, "the old worker gone")


@pytest.mark.parametrize("half", [b"", wire.PREFACE[:9], wire.PREFACE])
def test_handshake_begun_before_a_reload_may_end_after_it(start, tmp_path, half):
    """grpcio may leave a handshake half done until its next call, which would fail if the old worker
    closed the connection."""
    rosterd = by_file(start, tmp_path, "workers = 1\nhandshake-timeout = 20s\n")
    before = rosterd.worker_pids()
    with Wire(rosterd.connect(), hello=False) as connection:
        connection.send(half)
        wait_for(lambda: rosterd.inspect("stats")["rosterd_connections_open"] == 1, 10, "accepted")
        reload(rosterd)
        time.sleep(1.5)
        connection.send((wire.PREFACE + Wire.frame(wire.SETTINGS, 0, 0))[len(half):])
        call = connection.call("GetUser", message(pb.GetUserRequest(id="x")))
        assert call.grpc_status == NOT_FOUND
        assert not gone(before[0])
    wait_for(lambda: gone(before[0]), 10, "the old worker gone")


def test_unfinished_handshake_does_not_keep_the_old_worker(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 1\nhandshake-timeout = 500ms\n")
    before = rosterd.worker_pids()
    with rosterd.connect():
        wait_for(lambda: rosterd.inspect("stats")["rosterd_connections_open"] == 1, 10, "accepted")
        reload(rosterd)
        wait_for(lambda: gone(before[0]), 10, "the old worker gone")


@pytest.mark.parametrize("text, said", [
    ("workers = none\n", "{conf}:1: workers: 'none' is not a whole number from 1 to 512"),
    ("auth-token-file = /no/such\n", "auth-token-file: /no/such: No such file or directory"),
    ("tls-certificate = /c\ntls-key = /k\n", "tls-certificate: /c: "),
])
def test_bad_reload_changes_nothing_and_says_why(start, tmp_path, text, said):
    rosterd = by_file(start, tmp_path, "workers = 2\n")
    before = rosterd.worker_pids()
    rosterd.conf.write_text(text)
    said = said.format(conf=rosterd.conf)
    assert reload(rosterd, status=1).startswith(f"rosterd: {said}")
    # the command checks the file before it sends the signal; a bare signal reaches the server
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log(f"error .* reload: {said}.*; the previous configuration stays in force"
                     .replace("(", "."))
    assert rosterd.worker_pids() == before
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))


def test_options_that_only_a_restart_changes_are_named(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 2\nmax-users = 10\n")
    rosterd.conf.write_text("workers = 2\nmax-users = 20\nunique = email\n")
    assert reload(rosterd) == "reloaded: 2 workers; only a restart changes max-users, unique"
    assert rosterd.inspect("status")["max_users"] == 10


def test_listen_changes_by_reload(start, tmp_path):
    first, second, path = free_port(), free_port(), tmp_path / "r.sock"
    conf = tmp_path / "rosterd.conf"
    conf.write_text(f"listen = 127.0.0.1:{first}\nlisten = unix:{path}\n")
    rosterd = start("--config", str(conf), start=False)
    rosterd.listen, rosterd.conf = [], conf
    rosterd.start()

    def connects(address, family=socket.AF_INET):
        with socket.socket(family) as sock:
            return sock.connect_ex(address) == 0
    assert connects(("127.0.0.1", first)) and connects(str(path), socket.AF_UNIX)
    inode = path.stat().st_ino
    conf.write_text(f"listen = 127.0.0.1:{second}\nlisten = unix:{path}\n")
    reload(rosterd)
    wait_for(lambda: not connects(("127.0.0.1", first)), 10, "the first port closed")
    assert connects(("127.0.0.1", second)) and path.stat().st_ino == inode
    conf.write_text(f"listen = 127.0.0.1:{second}\n")
    reload(rosterd)
    wait_for(lambda: not path.exists(), 10, "the socket file removed")
    # an address that cannot be bound leaves everything as it was
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        conf.write_text(f"listen = unix:{path}\nlisten = 127.0.0.1:{first}\n")
        assert reload(rosterd, 1) == (f"rosterd: reload: listen: 127.0.0.1:{first}: Address already "
                                      "in use")
    assert connects(("127.0.0.1", second)) and not path.exists()


def test_signal_to_all_processes_changes_nothing_when_the_reload_is_refused(start, tmp_path):
    """As systemctl kill -s HUP sends it. A stream keeps a worker that drains from ending."""
    rosterd = by_file(start, tmp_path, "workers = 2\n")
    chat = Conversation(rosterd.stub())
    assert chat.say("one").text == "Echo: one"
    before = rosterd.worker_pids()
    rosterd.conf.write_text("workers = many\n")
    for pid in (rosterd.process.pid, *before):
        os.kill(pid, signal.SIGHUP)
    rosterd.wait_log("reload: ")
    for pid in before:  # a worker that has not answered by then has drained
        os.kill(pid, signal.SIGHUP)
    for _ in range(8):
        assert Conversation(rosterd.stub()).say("new").text == "Echo: new"
    assert rosterd.worker_pids() == before
    assert chat.say("two").text == "Echo: two"


def test_old_addresses_refuse_while_the_old_workers_drain(start, tmp_path):
    first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
    rosterd = by_file(start, tmp_path, f"metrics-listen = {first}\n")
    chat = Conversation(rosterd.stub())
    assert chat.say("one").text == "Echo: one"
    rosterd.conf.write_text(f"metrics-listen = {second}\n")
    reload(rosterd)

    def refuses(address):
        host, port = address.split(":")
        with socket.socket() as sock:
            return sock.connect_ex((host, int(port))) == errno.ECONNREFUSED
    wait_for(lambda: refuses(first), 10, "the old address closed")
    assert not refuses(second)
    assert chat.say("two").text == "Echo: two"  # the old worker is still there


def test_certificates_are_replaced_by_reload(start, tmp_path):
    authority = certs.Authority(tmp_path)
    pair = authority.sign("localhost", "IP:127.0.0.1")
    rosterd = by_file(start, tmp_path,
                      f"tls-certificate = {pair.certificate}\ntls-key = {pair.key}\n", workers=1)

    def serial():
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{rosterd.port}",
                               "-alpn", "h2"], input="", capture_output=True, text=True, timeout=20)
        return done.stdout.split("BEGIN CERTIFICATE")[1][:200]
    before = serial()
    authority.sign("localhost", "IP:127.0.0.1")
    assert serial() == before
    reload(rosterd)
    assert serial() != before


def test_reload_of_a_process_that_is_no_server_fails():
    done = subprocess.run([ROSTERD, "--reload", str(os.getpid())], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"rosterd: reload: process {os.getpid()}: it is not a running rosterd\n"


def test_simultaneous_reloads_all_get_their_outcome(start, tmp_path):
    rosterd = by_file(start, tmp_path, "workers = 1\n")
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(reload(rosterd))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["reloaded: 1 workers"] * 8
    wait_for(lambda: len(rosterd.worker_pids()) == 1, 10, "one generation")


# ---- upgrade ----

def master_of(rosterd, other_than):
    """The pid of a master that serves this segment and is not `other_than`. Workers are told apart
    by their names, rosterd-w0 and so on."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            is_master = pathlib.Path(f"/proc/{name}/comm").read_text() == "rosterd\n"
        except (FileNotFoundError, ProcessLookupError):
            continue
        if rosterd.segment.encode() in words and is_master and int(name) != other_than:
            return int(name)
    return None


class Taken:
    """The new program, in the place of a Popen: it is not a child of this process, so it is watched
    by its pid."""

    def __init__(self, pid):
        self.pid = pid

    def poll(self):
        return 0 if gone(self.pid) else None

    def wait(self, seconds=20):
        wait_for(lambda: gone(self.pid), seconds, "its end")
        return 0

    def send_signal(self, number):
        os.kill(self.pid, number)


def upgrade(rosterd):
    """Upgrades, and waits until the new program serves and the old one has ended; @return its pid"""
    old = rosterd.process
    served = rosterd.log().count("Server started")
    old.send_signal(signal.SIGUSR2)
    wait_for(lambda: rosterd.log().count("Server started") == served + 1, 30, "the new program serves")
    rosterd.process = Taken(wait_for(lambda: master_of(rosterd, old.pid), 10, "its pid"))
    assert old.wait(30) == 0
    return rosterd.process.pid


def test_upgrades_under_load_lose_no_call_and_no_user(start, tmp_path):
    path, pid_file = tmp_path / "r.sock", tmp_path / "pid"
    rosterd = start("--listen", f"unix:{path}", "--pid-file", str(pid_file))
    assert pid_file.read_text() == f"{rosterd.process.pid}\n"
    with Load(rosterd) as load:
        load.more()
        first = upgrade(rosterd)
        assert pid_file.read_text() == f"{first}\n"
        load.more()
        assert upgrade(rosterd) != first
        load.more()
    assert pid_file.read_text() == f"{rosterd.process.pid}\n"
    assert not load.failures
    stub = rosterd.stub()
    assert {user.id for user in read_all(stub, 10**6)[0]} == set(load.created)
    assert len(read_all(rosterd.stub(target=f"unix:{path}"), 10)[0]) == 10
    assert rosterd.inspect("verify")["faults"] == 0
    rosterd.stop()
    assert not path.exists() and not pid_file.exists()
    rosterd.start()
    assert len(read_all(rosterd.stub(), 10**6)[0]) == len(load.created)


def test_upgrade_takes_its_addresses_from_the_file(start, tmp_path):
    first, second, path = free_port(), free_port(), tmp_path / "r.sock"
    conf = tmp_path / "rosterd.conf"
    conf.write_text(f"listen = 127.0.0.1:{first}\nlisten = unix:{path}\n")
    rosterd = start("--config", str(conf), start=False)
    rosterd.listen = []
    rosterd.start()
    conf.write_text(f"listen = 127.0.0.1:{second}\nmax-users = 5\n")
    upgrade(rosterd)
    with socket.create_connection(("127.0.0.1", second), 10):
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", first), 2)
    assert not path.exists()
    rosterd.wait_log("upgrade: max-users, unique and snapshot-max-bytes stay as they were")
    rosterd.stop()


def test_calls_continue_across_an_upgrade(start):
    rosterd = start(workers=1)
    chat = Conversation(rosterd.stub())
    chat.say("one")
    old = rosterd.process
    old.send_signal(signal.SIGUSR2)
    rosterd.wait_log("this one drains")
    assert chat.say("two").text == "Echo: two"
    assert old.poll() is None
    Conversation(rosterd.stub()).say("three")
    rosterd.process = Taken(master_of(rosterd, old.pid))
    chat.half_close()
    assert old.wait(20) == 0


def another(rosterd, tmp_path, text):
    """Restarts the server from a copy of the program, and then replaces the copy: an upgrade will
    start `text`. None: the copy is removed."""
    program = tmp_path / "rosterd"
    shutil.copy(ROSTERD, program)
    rosterd.stop()
    command = rosterd.command
    rosterd.command = lambda: [str(program), *command()[1:]]
    rosterd.start()
    program.unlink()
    if text is not None:
        program.write_text(text)
        program.chmod(0o755)


@pytest.mark.parametrize("text, said", [
    ("#!/bin/sh\nexit 3\n", "the new program exited with status 3 before it served"),
    ("#!/bin/sh\nkill -9 $$\n", r"the new program killed by signal 9 \(Killed\) before it served"),
    (None, "No such file or directory"),
    ("nonsense", "Exec format error"),
])
def test_new_program_that_does_not_start_leaves_the_old_one_serving(start, tmp_path, text, said):
    rosterd = start()
    another(rosterd, tmp_path, text)
    rosterd.process.send_signal(signal.SIGUSR2)
    rosterd.wait_log(f"upgrade: .*{said}")
    rosterd.wait_log("this one continues to serve")
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    assert rosterd.stop() == 0


def test_new_program_with_another_layout_refuses_and_names_it(start):
    """The segment's header is changed to another revision: the old program has read it before, the
    new one reads it now."""
    rosterd = start()
    with open("/dev/shm" + rosterd.segment, "r+b") as file:
        head = file.read(64)
        file.seek(8)
        file.write(bytes([head[8] ^ 0x40]))
        file.flush()
        rosterd.process.send_signal(signal.SIGUSR2)
        rosterd.wait_log("this one continues to serve")
        file.seek(0)
        file.write(head)
    assert "layout" in rosterd.log()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    upgrade(rosterd)
    assert len(read_all(rosterd.stub(), 10)[0]) == 1


def test_table_is_intact_after_a_kill_during_an_upgrade(start):
    rosterd = start()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"))
    old = rosterd.process
    upgrade(rosterd)
    assert gone(old.pid)
    os.kill(rosterd.process.pid, signal.SIGKILL)
    rosterd.process.wait()
    wait_for(lambda: not rosterd.worker_pids(), 10)
    time.sleep(0.2)
    rosterd.start()
    assert len(read_all(rosterd.stub(), 10)[0]) == 1
