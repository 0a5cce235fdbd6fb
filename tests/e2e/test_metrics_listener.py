# SPDX-License-Identifier: MIT
"""The web listener under hostile clients: gRPC calls must not notice."""
import contextlib
import os
import re
import resource
import socket
import threading
import time

import pytest

import user_service_pb2 as pb
from certs import Authority
from harness import cpu_seconds, lowest_free_descriptor, wait_for
from test_metrics import get, serve
from wire import Wire, message

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server():
    """A server with one worker, which has all connections."""
    with serve(workers=1) as rosterd:
        yield rosterd


def ask(rosterd, request, seconds=10):
    """Returns everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", rosterd.metrics_port), seconds) as sock:
        sock.sendall(request)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def status_of(answer):
    return int(re.match(rb"HTTP/1\.1 (\d+) ", answer)[1])


def slow_reader(rosterd, request):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(1)
    sock.connect(("127.0.0.1", rosterd.metrics_port))
    with contextlib.suppress(OSError):
        sock.sendall(request)
    return sock


class Caller:
    """Makes one call after the other. Records the longest time that a call took, in seconds."""

    def __init__(self, rosterd):
        self.wire = Wire(rosterd.connect()).wait_ready()
        self.worst, self.calls, self.stop = 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            begin = time.monotonic()
            assert self.wire.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == 5
            self.worst, self.calls = max(self.worst, time.monotonic() - begin), self.calls + 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.wire.close()


def test_a_connection_serves_one_request_and_more_do_not_delay_calls(server):
    (worker,) = server.worker_pids()
    with Caller(server) as caller:
        begin = cpu_seconds(worker)
        for _ in range(5):
            answer = ask(server, GET * 5000)
            assert status_of(answer) == 200 and answer.count(b"HTTP/1.1 ") == 1
            assert b"\r\nConnection: close\r\n" in answer
        wait_for(lambda: caller.calls > 100, 10, "calls")
        spent = cpu_seconds(worker) - begin
    assert caller.worst < 0.5
    assert spent < 3


def test_requests_within_200_ms_share_a_text(server):
    def body():
        return ask(server, GET).partition(b"\r\n\r\n")[2]
    for _ in range(5):  # retried, because a pause of the machine is no fault
        time.sleep(0.25)
        begin = time.monotonic()
        first = body()
        server.stub().CreateUser(pb.CreateUserRequest(username=f"at{time.monotonic_ns()}"))
        second = body()
        if time.monotonic() - begin < 0.19:
            break
    assert first == second
    time.sleep(0.25)
    assert body() != first


def test_clients_that_do_not_read_make_room(server):
    idle = [slow_reader(server, GET * 100) for _ in range(200)]
    try:
        for _ in range(10):
            assert get(server, "/healthz")[::2] == (200, "ok\n")
            assert get(server, "/metrics")[0] == 200
    finally:
        for sock in idle:
            sock.close()


def test_slow_clients_are_closed_in_time(server, tmp_path):
    pair = Authority(tmp_path).sign("slow", "DNS:localhost")
    with contextlib.ExitStack() as stack:
        over_tls = stack.enter_context(serve("--metrics-tls-certificate", pair.certificate,
                                             "--metrics-tls-key", pair.key, workers=1))
        half = stack.enter_context(
            socket.create_connection(("127.0.0.1", over_tls.metrics_port), 20))
        half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        slow = [stack.enter_context(
            socket.create_connection(("127.0.0.1", server.metrics_port), 20)) for _ in range(64)]
        begin = time.monotonic()
        for sock in slow:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        while time.monotonic() - begin < 4:  # each byte is progress, but the whole time is limited
            assert get(server, "/healthz")[0] == 200
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.send(b"y")
            time.sleep(0.5)
        for sock in (*slow, half):
            with contextlib.suppress(ConnectionError):
                while sock.recv(100):
                    pass
        assert time.monotonic() - begin < 8


def test_a_client_that_never_reads_is_closed_in_time(server):
    fds = f"/proc/{server.worker_pids()[0]}/fd"
    before = len(os.listdir(fds))
    with slow_reader(server, GET), slow_reader(server, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"):
        wait_for(lambda: len(os.listdir(fds)) > before, 5, "the connections")
        wait_for(lambda: len(os.listdir(fds)) <= before, 15, "their end")


def test_without_descriptors_accepting_pauses(server):
    (worker,) = server.worker_pids()
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (lowest_free_descriptor(worker), hard))
    with socket.create_connection(("127.0.0.1", server.metrics_port), 20) as sock:
        sock.sendall(GET)
        server.wait_log("metrics-listen: accept: Too many open files; new connections wait")
        begin = cpu_seconds(worker)
        time.sleep(2)
        assert cpu_seconds(worker) - begin < 0.3
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
        assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("request_head, status", [
    (b"GET http://x:1/metrics?a=b HTTP/1.1\r\nHost: x:1\r\n\r\n", 200),
    (b"GET /metrics?name[]=up HTTP/1.0\r\n\r\n", 200),
    (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"DELETE /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    (b"GET /metrics HTTP/3.0\r\nHost: x\r\n\r\n", 505),
])
def test_each_request_has_its_answer(server, request_head, status):
    answer = ask(server, request_head)
    assert status_of(answer) == status
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(body) > 0
    assert (b"\r\nAllow: GET, HEAD" in head) == (status == 405)


def test_head_returns_the_length_without_a_body(server):
    answer = ask(server, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status_of(answer) == 200
    assert b"\r\nContent-Length: 3\r\n" in answer and answer.endswith(b"\r\n\r\n")


def test_a_request_may_come_byte_by_byte(server):
    with socket.create_connection(("127.0.0.1", server.metrics_port), 10) as sock:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
            time.sleep(0.005)
        assert sock.recv(65536).endswith(b"\r\n\r\nok\n")
