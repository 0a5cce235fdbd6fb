# SPDX-License-Identifier: MIT
"""
Reloads, upgrades and kills while clients are busy: no call may be refused and no user lost. The suite
runs a short round of each test; make operate runs each for OPERATE_SECONDS (60) and prints figures.
"""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import threading
import time

import grpc
import pytest

import certs
import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
from harness import (OUT, PROTO, SANITIZED, gone, read_all, resident, wait_for)
from test_reload import upgrade
from wire import Wire, message

FULL = os.environ.get("ROSTERD_E2E") == "operate"
SECONDS = float(os.environ.get("OPERATE_SECONDS", "60" if FULL else "6"))


class Tally:
    """What all clients of a load have done, and what has failed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.calls = self.connections = 0
        self.created, self.failures = [], []

    def failed(self, client, error):
        with self.lock:
            self.failures.append((time.monotonic(), client, error))


def grpcio_calls(rosterd, tally, stop, kept):
    """Creates and gets users, on one channel (kept) or on a fresh one for every few calls."""
    while not stop.is_set():
        try:
            with grpc.insecure_channel(rosterd.target(),
                                       [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = pb_grpc.UserServiceStub(channel)
                tally.connections += 1
                for _ in range(10**9 if kept else 4):
                    user = stub.CreateUser(pb.CreateUserRequest(username="g"), timeout=30)
                    tally.created.append(user.id)
                    stub.GetUser(pb.GetUserRequest(id=user.id), timeout=30)
                    tally.calls += 2
                    if stop.is_set():
                        return
        except grpc.RpcError as error:
            tally.failed("grpcio", f"{error.code()} {error.details()}")


def ghz_calls(rosterd, tally, stop, _):
    """Runs ghz again and again, with eight connections each time."""
    while not stop.is_set():
        done = subprocess.run(
            ["ghz", "--insecure", "--proto", PROTO + "/user_service.proto", "--call",
             "userservice.UserService.ListUsers", "-d", '{"page_size":1}', "-c", "8", "-z",
             "2s", "--duration-stop", "wait", "--connections", "8", "-O", "json",
             rosterd.target()],
            capture_output=True, text=True, timeout=90)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            tally.failed("ghz", done.stdout + done.stderr)
            return
        tally.calls += report["count"]
        tally.connections += 8
        for text, count in (report.get("errorDistribution") or {}).items():
            tally.failed("ghz", f"{count} x {text}")


def h2load_rounds(rosterd, tally, stop, _):
    """Runs h2load again and again, for a second each. h2load does not reconnect after a GOAWAY and
    counts the rest of its requests as failed, so only a refused connection is a failure here."""
    body = OUT / "list.bin"
    body.write_bytes(message(pb.ListUsersRequest(page_size=1)))
    while not stop.is_set():
        done = subprocess.run(
            ["h2load", "-D1", "-c4", "-m4", "-d", body, "-H", "te: trailers", "-H",
             "content-type: application/grpc",
             f"http://{rosterd.target()}/userservice.UserService/ListUsers"],
            capture_output=True, text=True, timeout=90)
        tally.connections += 4
        if "refused" in done.stdout + done.stderr or "connection error" in done.stderr:
            tally.failed("h2load", done.stdout + done.stderr)


@contextlib.contextmanager
def load(rosterd, *kinds):
    """Runs a thread for each (function, kept) until the block ends."""
    tally, stop = Tally(), threading.Event()
    threads = [threading.Thread(target=kind, args=(rosterd, tally, stop, kept))
               for kind, kept in kinds]
    for thread in threads:
        thread.start()
    try:
        yield tally
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def say(name, text):
    print(f"operate: {name}: {text}")


def reloads_and_an_upgrade(rosterd, each_second=lambda: None):
    """Reloads every two seconds, and upgrades once in the middle; @return how often it did each"""
    end, half = time.monotonic() + SECONDS, time.monotonic() + SECONDS / 2
    reloads = upgrades = 0
    while time.monotonic() < end:
        rosterd.process.send_signal(signal.SIGHUP)
        reloads += 1
        for _ in range(2):
            time.sleep(1)
            each_second()
        if upgrades == 0 and time.monotonic() > half:
            upgrade(rosterd)
            upgrades += 1
    return reloads, upgrades


needs_ghz = pytest.mark.skipif(shutil.which("ghz") is None, reason="scripts/setup --test builds ghz")


@pytest.mark.slow
@pytest.mark.operate
@pytest.mark.timeout(SECONDS + 120)
@needs_ghz
def test_reloads_and_an_upgrade_fail_no_call(start):
    rosterd = start("--drain-timeout", "10s")
    with load(rosterd, (grpcio_calls, True), (grpcio_calls, False), (ghz_calls, None),
              (h2load_rounds, None)) as tally:
        reloads, upgrades = reloads_and_an_upgrade(rosterd)
    assert tally.failures == []
    assert upgrades == 1 and rosterd.log().count("reloaded:") >= reloads - 1
    stored = {user.id for user in read_all(rosterd.stub(), 10**7)[0]}
    assert stored == set(tally.created)
    say("reloads and an upgrade", f"{SECONDS:.0f} s, {reloads} reloads, {tally.calls} calls of grpcio "
        f"and ghz on {tally.connections} connections: none failed, {len(stored)} users created, none lost")


# ---- with kills of workers ----

class Clients:
    """Clients that note the local port of a connection whose call fails, so that a test can tell
    whether the connection's worker was killed."""

    def __init__(self, rosterd, count):
        self.rosterd, self.stop = rosterd, threading.Event()
        self.created, self.failed, self.refused, self.calls = [], [], [], 0
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]

    def one_connection(self):
        try:
            sock = self.rosterd.connect()
        except OSError as error:
            self.refused.append(str(error))
            return
        port = sock.getsockname()[1]
        with Wire(sock) as connection:
            try:
                for _ in range(50):
                    if connection.goaway is not None or self.stop.is_set():
                        break
                    stream = connection.call(
                        "CreateUser", message(pb.CreateUserRequest(username="k")))
                    assert stream.grpc_status == 0, stream
                    self.created.append(pb.User.FromString(stream.messages()[0]).id)
                    self.calls += 1
            except (AssertionError, OSError, IndexError) as error:
                self.failed.append((port, str(error)[:200]))

    def run(self):
        while not self.stop.is_set():
            self.one_connection()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def ports_of(pid, port):
    """The clients' ports of all connections of a process."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            inodes |= {found[1]} if found else set()
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in list(file)[1:]:
            words = line.split()
            if words[9] in inodes and int(words[1].split(":")[1], 16) == port:
                ports.add(int(words[2].split(":")[1], 16))
    return ports


@pytest.mark.slow
@pytest.mark.operate
@pytest.mark.timeout(SECONDS + 120)
def test_workers_killed_meanwhile_disconnect_only_their_own_clients(start):
    rosterd = start("--drain-timeout", "10s")
    dead, kills = set(), []

    def kill_one():
        """Stops the worker first, so that its connections do not change while they are listed."""
        for pid in rosterd.worker_pids()[-1:]:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.kill(pid, signal.SIGSTOP)
                wait_for(lambda p=pid: gone(p) or "T" in pathlib.Path(
                    f"/proc/{p}/stat").read_text().rpartition(")")[2].split()[0], 5)
                dead.update(ports_of(pid, rosterd.port))
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)
    with Clients(rosterd, 6) as clients:
        reloads, upgrades = reloads_and_an_upgrade(rosterd, kill_one)
    assert clients.refused == []
    strangers = [failure for failure in clients.failed if failure[0] not in dead]
    assert strangers == []
    assert upgrades == 1 and len(kills) >= SECONDS / 2
    stored = {user.id for user in read_all(rosterd.stub(), 10**7)[0]}
    assert set(clients.created) <= stored
    assert rosterd.inspect("verify")["faults"] == 0
    say("and a worker killed each second", f"{SECONDS:.0f} s, {reloads} reloads, an upgrade, "
        f"{len(kills)} kills, {clients.calls} calls: no connection refused, "
        f"{len(clients.failed)} calls failed, all on connections of killed workers; "
        f"{len(clients.created)} acknowledged users, none lost")


# ---- the cost of idle connections and of a start ----

def open_idle(rosterd, count, context):
    """Opens connections that have exchanged HTTP/2's SETTINGS and then stay idle."""
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Wire.frame(4, 0, 0) + Wire.frame(4, 1, 0)
    opened = []
    for _ in range(count):
        sock = rosterd.connect()
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(hello)
        opened.append(sock)
    for sock in opened:
        assert sock.recv(65536)
    return opened


@pytest.mark.slow
@pytest.mark.operate
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_idle_connections_are_cheap(start, tmp_path, tls):
    count, context, options = 10000 if FULL else 2000, None, []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, hard - 200)
    if tls:
        authority = certs.Authority(tmp_path)
        options = authority.sign("localhost", "DNS:localhost").options()
        context = ssl.create_default_context(cafile=authority.pair.certificate)
        context.set_alpn_protocols(["h2"])
    rosterd = start(*options)
    for sock in open_idle(rosterd, 20, context):
        sock.close()
    before = sum(resident(pid) for pid in rosterd.worker_pids())
    opened = open_idle(rosterd, count, context)
    time.sleep(1)
    each = (sum(resident(pid) for pid in rosterd.worker_pids()) - before) / count
    for sock in opened:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    say(f"{count} idle connections, {'TLS' if tls else 'plain'}",
        f"{each / 1024:.2f} KiB of workers' private memory each")
    assert tls or SANITIZED or each <= 8192


@pytest.mark.slow
@pytest.mark.operate
def test_cold_start_notifies_systemd(start, tmp_path):
    """Measures the time from exec to READY=1, with an empty table of the default size."""
    times = []
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        for _ in range(11 if FULL else 3):
            rosterd = start(start=False)
            os.environ["NOTIFY_SOCKET"] = path
            try:
                began = time.monotonic()
                rosterd.spawn()
            finally:
                del os.environ["NOTIFY_SOCKET"]
            while b"READY=1" not in notify.recv(4096):
                pass
            times.append((time.monotonic() - began) * 1000)
            assert rosterd.stop() == 0
            rosterd.clean()
    say("cold start to READY", f"median {statistics.median(times):.1f} ms, longest {max(times):.1f} ms "
        f"of {len(times)}")
    if FULL:
        assert statistics.median(times) <= 100
