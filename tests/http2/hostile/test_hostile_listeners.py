# SPDX-License-Identifier: MIT
"""The metrics listener, whose clients need no token; both listeners without free descriptors."""
import contextlib
import resource
import socket
import time

import pytest

import user_service_pb2 as pb
from attack import again
from harness import Rosterd, cpu_seconds, free_port, lowest_free_descriptor
from watch import watched
from wire import Wire, message

pytestmark = pytest.mark.slow

NOT_FOUND = 5
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = message(pb.GetUserRequest(id="nobody"))


@pytest.fixture(scope="module")
def server():
    port = free_port()
    with Rosterd("--metrics-listen", f"127.0.0.1:{port}", workers=1) as rosterd:
        rosterd.metrics_port = port
        yield rosterd


def visit(server, receive=None):
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", server.metrics_port))
    return sock


def test_requests_for_metrics_one_behind_the_other(server, quiet):
    """Each connection sends 170 KB of requests and reads all answers."""
    with watched(server, quiet, 4, "GET /metrics pipelined"):
        for _ in again():
            with visit(server) as sock, contextlib.suppress(OSError):
                sock.sendall(GET * 5000)
                while sock.recv(1 << 20):
                    pass


def test_readers_of_metrics_that_do_not_read(server, quiet):
    with contextlib.ExitStack() as stack:
        with watched(server, quiet, 4, "200 readers of metrics that do not read"):
            for _ in range(200):
                sock = stack.enter_context(visit(server, 4096))
                with contextlib.suppress(OSError):
                    sock.sendall(GET * 20)
            for _ in again():
                with visit(server) as sock:
                    sock.sendall(GET)
                    assert sock.recv(15) == b"HTTP/1.1 200 OK"


@contextlib.contextmanager
def no_descriptor(pid):
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free_descriptor(pid), hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("which", ["metrics", "calls", "both"])
def test_no_free_descriptor(server, which):
    """The worker pauses accepting and is idle. Open connections are served, later all others."""
    pid, = server.worker_pids()
    with Wire(server.connect()) as kept, contextlib.ExitStack() as stack:
        assert kept.call("GetUser", BODY).grpc_status == NOT_FOUND
        with no_descriptor(pid):
            waiting = [stack.enter_context(visit(server)) for _ in range(20) if which != "calls"]
            waiting += [stack.enter_context(server.connect()) for _ in range(20)
                        if which != "metrics"]
            before, began = cpu_seconds(pid), time.monotonic()
            while time.monotonic() - began < 1:
                assert kept.call("GetUser", BODY).grpc_status == NOT_FOUND
                time.sleep(0.05)
            assert cpu_seconds(pid) - before < 0.2
            for sock in waiting:
                sock.settimeout(10)
                sock.sendall(GET)
        for sock in waiting:
            assert sock.recv(100).startswith(b"HTTP/1.1 ")
