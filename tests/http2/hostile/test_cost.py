# SPDX-License-Identifier: MIT
"""The CPU time that each kind of request costs the server, per byte that the client sends. A client
that causes much work by few bytes could keep the server busy. `make cost` prints the table; in the
suite each row takes less time. TLS handshakes and new connections are measured separately, since
their cost does not depend on bytes."""
import contextlib
import os
import pathlib
import socket
import threading
import time

import pytest

import user_service_pb2 as pb
from attack import (HEALTH, REFLECTION, WIDE, full_of, headers, literal, one_text,
                    requests, squeezed, varint)
from certs import Authority
from harness import OUT, Rosterd, free_port
from records import Handshake
from tls_kit import context
from watch import TOKEN, token_file
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING,
                  PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, message)

FULL = os.environ.get("ROSTERD_E2E") == "cost"
ROUNDS = 5 if FULL else 1
NS_WITHOUT, NS_WITH = 500, 2000
# While other tests run on the machine, the same work takes several times as much CPU time. The
# attacks for which the bounds exist were a hundred times above them.
SLACK = 1 if FULL else 10

pytestmark = [pytest.mark.slow, pytest.mark.unsanitized]  # the sanitizer would be measured


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("cost-tls"))


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    """A server with TLS on its port, and without TLS on its unix socket."""
    port = free_port()
    with Rosterd(*authority.sign("server", "DNS:localhost").options(),
                 *token_file(tmp_path_factory.mktemp("cost")), workers=1,
                 listen=[f"127.0.0.1:{port}", f"unix:{OUT}/cost-{os.getpid()}.sock"]) as rosterd:
        rosterd.port = port
        yield rosterd


def cpu_ns(pid):
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def sleeps(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0] == "S"


def spent(pid):
    """The worker's CPU time, read once the worker is idle (and does not merely wait for a CPU)."""
    last, calm = cpu_ns(pid), 0
    while calm < 3:
        time.sleep(0.03)
        now = cpu_ns(pid)
        calm = calm + 1 if now - last < 200_000 and sleeps(pid) else 0
        last = now
    return last


def connect(server):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(server.listen[1][5:])
    return sock


class Reader(threading.Thread):
    """Reads and discards whatever arrives."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.taken = sock, 0
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while data := self.sock.recv(1 << 20):
                self.taken += len(data)


def measure(server, make):
    """@param make a function of the connection; returns the bytes to send after the preface and
    maximum windows
    @return (bytes sent, bytes received, ns of CPU time)"""
    pid, = server.worker_pids()
    sent = came = 0
    total = 0
    for _ in range(ROUNDS):
        with Wire(connect(server), {INITIAL_WINDOW_SIZE: WIDE}) as connection:
            connection.window(0, WIDE - 65535)
            connection.wait_ready()
            data = make(connection)
            connection.sock.settimeout(None)
            reader = Reader(connection.sock)
            before = spent(pid)
            with contextlib.suppress(OSError):  # the server may close
                connection.sock.sendall(data)
            total += spent(pid) - before
            sent, came = sent + len(data), came + reader.taken
            connection.sock.shutdown(socket.SHUT_RDWR)
            reader.join()
    return sent, came, total


# ---- the requests ----

BEARER = {"authorization": f"Bearer {TOKEN}"}
GZIP = {"grpc_encoding": "gzip"}


def calls(count, path, body, **changes):
    return lambda connection: requests(connection, count, path, body, **changes)


def with_token(count, path, body, **changes):
    return calls(count, path, body, **BEARER, **changes)


def block(connection, fields):
    """@return one header section, in HEADERS and CONTINUATION frames"""
    base = b"".join(literal(name, value) for name, value in connection.fields("/a/b"))
    number, connection.next_stream = connection.next_stream, connection.next_stream + 2
    parts = [(base + fields)[at:at + 16384] for at in range(0, len(base + fields), 16384)]
    return b"".join(connection.frame(CONTINUATION if at else HEADERS,
                                     (0 if at else END_STREAM) |
                                     (END_HEADERS if at == len(parts) - 1 else 0), number, part)
                    for at, part in enumerate(parts))


def blocks(count, fields):
    return lambda connection: b"".join(block(connection, fields) for _ in range(count))


def indexed(connection):
    first = block(connection, b"\x40" + literal("x-abc", "d" * 20)[1:])
    return first + b"".join(block(connection, b"\xbe" * 12000) for _ in range(20))


def frames_of(kind, count, payload, flags=0, stream=0, first=b""):
    return lambda connection: first + connection.frame(kind, flags, stream, payload) * count


def resets(connection):
    out = []
    for _ in range(900):
        number, frame = headers(connection, END_HEADERS, "Chat")
        out.append(frame + connection.frame(RST_STREAM, 0, number, b"\0\0\0\x08"))
    return b"".join(out)


def conversation(count, body, path="Chat", **changes):
    """@return messages on one stream, so many in each DATA frame"""
    def make(connection):
        number, frame = headers(connection, END_HEADERS, path, **BEARER, **changes)
        return frame + connection.frame(DATA, 0, number, body) * (count - 1) + \
            connection.frame(DATA, END_STREAM, number, body)
    return make


def create(connection):
    return b"".join(requests(connection, 1, "CreateUser", message(
        pb.CreateUserRequest(username=f"user{i:05}", email=f"user{i:05}@example.org",
                             password="correct horse")), **BEARER) for i in range(2000))


def by_index(name, value):
    """One request enters a field into the table; each further one refers to it in 17 bytes."""
    def make(connection):
        fields = b"".join(literal(n, v) for n, v in connection.fields(HEALTH))
        number, flags = connection.next_stream, END_STREAM | END_HEADERS
        out = [connection.frame(HEADERS, flags, number,
                                fields + b"\x40" + literal(name, value)[1:])]
        for i in range(1, 2000):
            # POST, http, "/" as a literal, and the entry's index
            out.append(connection.frame(HEADERS, flags, number + 2 * i,
                                        b"\x83\x86\x04\x01/\xbe" + b"\x0f\x10\x10application/grpc"))
        return b"".join(out)
    return make


WITHOUT = {
    "17 bytes: 128 values of a long name": by_index("a" * 3850 + "-bin", "," * 128),
    "17 bytes: 3,900 characters of base64": by_index("a-bin", "QUJD" * 975),
    "17 bytes: 3,900 commas": by_index("grpc-accept-encoding", "," * 3900),
    "health check": calls(3000, HEALTH, message(b"")),
    "health check, gzip'd": calls(50, HEALTH, squeezed(full_of(b"\x70\x00")), **GZIP),
    "call without a token": calls(3000, "GetUser", message(b"")),
    "call of an unknown method": calls(3000, "/a/b", message(b"")),
    "no gRPC at all": calls(3000, "/a/b", b"", method="GET", content_type="text/html"),
    # entered into the table once, one byte each from then on
    "call without a token, 1,000 values of one field": calls(
        300, "GetUser", message(b""), x_bin=",".join(["AA"] * 1200)),
    "health check, 1,000 values of one field": calls(
        300, HEALTH, message(b""), x_bin=",".join(["AA"] * 1200)),
    "health check, 3 KB of metadata": calls(300, HEALTH, message(b""), x_text="v" * 3600),
    "Chat opened and reset": resets,
    "HPACK, one entry 12,000 times": indexed,
    "HPACK, 12,000 static entries": blocks(20, b"\x90" * 12000),
    "HPACK, 12,000 insertions": blocks(10, b"\x40\x01a\x00" * 12000),
    # the name `a`, and a value of 12,800 `a`, five bits each
    "HPACK, Huffman": blocks(20, b"\x00\x81\x1f\xff" + varint(8000 - 127) +
                             b"\x18\xc6\x31\x8c\x63" * 1600),
    "WINDOW_UPDATE": frames_of(WINDOW_UPDATE, 2000, b"\0\0\0\1"),
    "PRIORITY": frames_of(PRIORITY, 2000, b"\0\0\0\0\x10", stream=1),
    "SETTINGS": frames_of(SETTINGS, 250, b"\0\x04\0\0\xff\xff"),
    "PING": frames_of(PING, 2000, b"12345678"),
    "frames of an unknown type": frames_of(0x42, 2000, b"x" * 16),
}
WITH = {
    "GetUser": with_token(3000, "GetUser", message(pb.GetUserRequest(id="0" * 36))),
    "GetUser, an id of 60 KB": with_token(50, "GetUser",
                                          message(pb.GetUserRequest(id="i" * 60000))),
    "CreateUser": create,
    "CreateUser, invalid": with_token(3000, "CreateUser", message(b"")),
    "BatchCreateUsers, invalid": conversation(200, message(b"") * 1000, "BatchCreateUsers"),
    "ListUsers of one": with_token(2000, "ListUsers", message(pb.ListUsersRequest(page_size=1))),
    "Chat, empty messages": conversation(200, message(b"") * 1000),
    "Chat, an empty message a frame": conversation(20000, message(b"")),
    "180 fields of metadata": with_token(100, "GetUser", message(b""),
                                        **{f"k{i}": "v" for i in range(180)}),
    "1,000 values of one field": with_token(300, "GetUser", message(b""),
                                            x_bin=",".join(["AA"] * 1200)),
    "reflection, unknown file": conversation(
        30, message(b"\x1a\x0fgrpc/health/v1x") * 500, REFLECTION.format("v1alpha")),
    "reflection, services": conversation(
        30, message(b"\x3a\x00") * 500, REFLECTION.format("v1")),
    "reflection, a file": conversation(
        10, message(b"\x22\x1cuserservice.UserService.Chat") * 50, REFLECTION.format("v1")),
    "gzip, one text of 4 MiB": with_token(20, "GetUser", squeezed(one_text(1)), **GZIP),
    "gzip, 4 MiB of unknown fields": with_token(20, "GetUser", squeezed(full_of(b"\x70\x00")),
                                                **GZIP),
    "gzip, 4 MiB of empty texts": with_token(20, "GetUser", squeezed(full_of(b"\x0a\x00")), **GZIP),
    "gzip, 4 MiB echoed": conversation(20, squeezed(one_text(2)), **GZIP),
    "gzip, 4 MiB echoed with gzip": conversation(20, squeezed(one_text(2)),
                                                 grpc_accept_encoding="gzip", **GZIP),
    "gzip, empty messages": conversation(100, squeezed(b"") * 200, **GZIP),
    "deflate, 4 MiB of one text": conversation(
        20, squeezed(one_text(2), "deflate"), grpc_encoding="deflate"),
}
ROWS = [(name, make, NS_WITHOUT) for name, make in WITHOUT.items()] + \
       [(name, make, NS_WITH) for name, make in WITH.items()]


@pytest.mark.parametrize("name, make, bound", [pytest.param(*row, id=row[0]) for row in ROWS])
def test_cost(server, name, make, bound):
    sent, came, ns = measure(server, make)
    who = "nobody" if bound == NS_WITHOUT else "token"
    print(f"\n| {name} | {who} | {sent // ROUNDS:,} | {came // ROUNDS:,} | {ns / 1e6 / ROUNDS:.2f} "
          f"| {ns / sent:.0f} | {bound} |", end="")
    assert ns / sent < SLACK * bound


def test_handshakes_and_connections_stand_apart(server, authority):
    pid, = server.worker_pids()
    trusting, count = context(authority), 40 * ROUNDS
    before = spent(pid)
    for _ in range(count):
        with server.connect() as sock:
            handshake = Handshake(trusting)
            sock.sendall(handshake.hello())
            handshake.finish(sock)
    us = (spent(pid) - before) / 1000 / count
    before = spent(pid)
    for _ in range(10 * count):
        connect(server).close()
    bare = (spent(pid) - before) / 10000 / count
    print(f"\nTLS handshake, P-256: {us:.0f} us; connection without a byte: {bare:.1f} us")
    assert us < SLACK * 3000 and bare < SLACK * 200
