# SPDX-License-Identifier: MIT
"""Attacks on one connection or on many. In each of them the server's memory stays below a stated
bound, the server uses no CPU time afterwards, the attacker's connection is closed with the right
code, and an honest client sees no error. docs/threat-model.md has the table."""
import contextlib
import pathlib
import select
import struct
import time
import zlib

import pytest

import user_service_pb2 as pb
import wire
from attack import (CALM, PROTOCOL_ERROR, STREAM_CLOSED, again, blast, closed_with,
                    headers)
from harness import fill, requests, wait_for
from watch import MIB, watched
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM,
                  SETTINGS, WINDOW_UPDATE, Wire, message)

pytestmark = pytest.mark.slow  # runs at the same time as other slow tests, and not in distcheck

PRIORITY, UNKNOWN = 2, 0x42
GET = message(pb.GetUserRequest(id="nobody"))


# ---- floods on one connection ----

def reset_after(connection, provoke):
    """@return requests, each followed by frames that end its stream"""
    out = []
    for _ in range(3000):
        number, frame = headers(connection, END_HEADERS, "Chat")
        out.append(frame + provoke(connection, number))
    return b"".join(out)


RESETS = {
    "rapid reset": lambda c, n: c.frame(RST_STREAM, 0, n, b"\0\0\0\x08"),
    # frames that force the server to reset the stream: MadeYouReset
    "WINDOW_UPDATE of 0": lambda c, n: c.frame(WINDOW_UPDATE, 0, n, bytes(4)),
    "WINDOW_UPDATE that overflows": lambda c, n: c.frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff"),
    "HEADERS in the middle": lambda c, n: headers(c, END_HEADERS, "Chat", n)[1],
    "DATA behind the end": lambda c, n: c.frame(DATA, END_STREAM, n) + c.frame(DATA, 0, n, b"x"),
    "PRIORITY of a wrong size": lambda c, n: c.frame(PRIORITY, 0, n, b"x"),
    "a stream that depends on itself": lambda c, n: c.frame(PRIORITY, 0, n,
                                                           struct.pack(">IB", n, 1)),
}


@pytest.mark.parametrize("kind", RESETS)
def test_resets_by_the_peer_and_those_it_provokes(server, quiet, kind):
    with watched(server, quiet, 8, kind) as look:
        for _ in again():
            with Wire(server.connect()) as connection:
                connection.wait_ready()
                blast(connection, reset_after(connection, RESETS[kind]), 1)
                look()
                assert closed_with(connection) in (CALM, STREAM_CLOSED)


FLOODS = {
    "PING": (lambda c: c.frame(PING, 0, 0, b"12345678"), b"too_many_pings"),
    "SETTINGS": (lambda c: c.frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"), None),
    "PRIORITY": (lambda c: c.frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), None),
    "WINDOW_UPDATE": (lambda c: c.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"), None),
    "frames of an unknown type": (lambda c: c.frame(UNKNOWN, 0, 0, b"x" * 100), None),
    "PING answers": (lambda c: c.frame(PING, 1, 0, b"12345678"), None),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_whose_answers_nobody_reads(server, quiet, kind):
    make, why = FLOODS[kind]
    with watched(server, quiet, 4, f"{kind} flood") as look:
        for _ in again():
            with Wire(server.connect()) as connection:
                blast(connection, make(connection) * 1000, 50)
                look()
                assert closed_with(connection) == CALM
                assert why is None or connection.goaway[1] == why


def test_empty_data(server, quiet):
    with watched(server, quiet, 4, "empty DATA"):
        for _ in again():
            with Wire(server.connect()) as connection:
                stream = connection.open("Chat")
                blast(connection, connection.frame(DATA, 0, stream) * 1000, 50)
                assert closed_with(connection) == CALM


# ---- header blocks ----

def flood_of_continuations(connection, payload, times):
    connection.wait_ready()
    connection.send_frame(HEADERS, 0, 1, b"\x83\x86\x84")
    blast(connection, connection.frame(CONTINUATION, 0, 1, payload), times)


@pytest.mark.parametrize("payload", [b"", b"\x00\x01a\x01b" * 3, b"\x00\x01a\x01b" * 3000])
def test_continuations_without_end(server, quiet, payload):
    with watched(server, quiet, 4, f"CONTINUATION of {len(payload)} bytes") as look:
        for _ in again():
            with Wire(server.connect()) as connection:
                flood_of_continuations(connection, payload, 5000)
                look()
                assert closed_with(connection) == CALM


def test_one_field_of_eight_mebibytes(server, quiet):
    with watched(server, quiet, 2, "a field of 8 MiB"):
        with Wire(server.connect()) as connection:
            connection.wait_ready()
            # a literal whose value has 8 MiB, of which the server accepts 64 KiB
            connection.send_frame(HEADERS, 0, 1, b"\x83\x86\x84\x00\x01a\x7f\x81\xff\xff\x03")
            blast(connection, connection.frame(CONTINUATION, 0, 1, b"v" * 16384), 512)
            assert closed_with(connection) == CALM


def send_block(connection, block):
    first, rest = block[:16384], block[16384:]
    connection.send_frame(HEADERS, END_STREAM | (0 if rest else END_HEADERS), 1, first)
    while rest:
        first, rest = rest[:16384], rest[16384:]
        connection.send_frame(CONTINUATION, 0 if rest else END_HEADERS, 1, first)


def test_hpack_bomb(server, quiet):
    """A table entry of 4 kB, and 16,000 bytes that each refer to it: 64 MB of fields."""
    with watched(server, quiet, 4, "HPACK bomb"):
        for _ in range(10):
            with Wire(server.connect()) as connection:
                connection.wait_ready()
                entry = b"\x40\x01a\x7f\xd1\x1e" + b"v" * 4048
                send_block(connection, b"\x83\x86\x84" + entry + b"\xbe" * 12000)
                response = connection.wait(1)
                assert response.status == "200" and response.grpc_status == 8
                # the dynamic table is still in step, so the connection can continue
                connection.next_stream = 3
                assert connection.call("GetUser", GET).grpc_status == 5


def test_thousands_of_fields(server, quiet):
    with watched(server, quiet, 4, "10,000 fields"):
        with Wire(server.connect()) as connection:
            connection.wait_ready()
            send_block(connection, b"\x83\x86\x84" + b"\x00\x01a\x01b" * 10000)
            assert connection.wait(1).grpc_status == 8
    with watched(server, quiet, 4, "100,000 fields"):
        with Wire(server.connect()) as connection:
            connection.wait_ready()
            with contextlib.suppress(OSError):
                send_block(connection, b"\x83\x86\x84" + b"\x00\x01a\x00" * 100000)
            assert closed_with(connection) == CALM


def test_empty_fields(server, quiet):
    with watched(server, quiet, 4, "100,000 empty fields"):
        with Wire(server.connect()) as connection:
            connection.wait_ready()
            with contextlib.suppress(OSError):
                send_block(connection, b"\x83\x86\x84" + b"\x00\x00\x00" * 100000)
            assert closed_with(connection) in (PROTOCOL_ERROR, CALM)


# ---- messages ----

def test_a_length_of_four_gibibytes_is_answered_at_once(server, quiet):
    with watched(server, quiet, 2, "a prefix of 4 GiB"):
        with Wire(server.connect()) as connection:
            streams = [connection.open("BatchCreateUsers") for _ in range(100)]
            for stream in streams:
                connection.data(stream, b"\0\xff\xff\xff\xff", end=False)
            for stream in streams:
                assert connection.wait(stream).grpc_status == 8


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bombs(server, quiet, encoding):
    """A gigabyte of zeros, compressed to a megabyte."""
    make = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join(make.compress(bytes(MIB)) for _ in range(1024)) + make.flush()
    with watched(server, quiet, 24, f"{encoding} bombs") as look:
        for _ in again():
            with Wire(server.connect()) as connection:
                stream = connection.open("GetUser", grpc_encoding=encoding)
                response = connection.upload(stream, struct.pack(">BI", 1, len(bomb)) + bomb)
                assert response.grpc_status == 8
                look()


def test_an_id_of_a_hundred_kilobytes(server, quiet):
    body = message(pb.GetUserRequest(id="i" * 100000))
    with watched(server, quiet, 4, "an id of 100 kB"):
        with Wire(server.connect()) as connection:
            stream = connection.open("GetUser")
            response = connection.upload(stream, body)
            assert response.grpc_status == 5 and len(response.trailers["grpc-message"]) < 300


def test_a_conversation_cut_off_at_every_byte(server, quiet):
    recorded = []
    with Wire(server.connect()) as connection:
        keep, connection.send = connection.send, recorded.append
        recorded.append(PREFACE + connection.frame(SETTINGS, 0, 0))
        connection.data(connection.open("CreateUser"),
                        message(pb.CreateUserRequest(username="cut", password="secret")))
        connection.data(connection.open("Chat"), message(pb.ChatMessage(text="hello")))
        connection.send = keep
    everything = b"".join(recorded)
    with watched(server, quiet, 4, f"cut at each of {len(everything)} bytes"):
        for cut in range(len(everything)):
            with server.connect() as sock:
                sock.sendall(everything[:cut])
    wait_for(lambda: server.inspect("stats")["rosterd_streams_open"] == 0, 10, "all gone")


# ---- many connections ----

def test_five_thousand_idle_connections(server, quiet):
    count = 5000
    with contextlib.ExitStack() as stack:
        with watched(server, quiet, 8 * count // 1024, f"{count} idle connections"):
            hello = PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\0\x04\x01\0\0\0\0"
            for _ in range(count):
                stack.enter_context(server.connect()).sendall(hello)
            wait_for(lambda: server.inspect("stats")["rosterd_connections_open"] >= count, 30,
                     "all accepted")
    wait_for(lambda: server.inspect("stats")["rosterd_connections_open"] == 0, 30, "all gone")


def chat_and_half_a_frame():
    out = []
    connection = Wire(None, hello=False)
    connection.send = out.append
    connection.data(connection.open("Chat"), bytes(16384), end=False)
    return b"".join(out)[:-16384]


CHAT = chat_and_half_a_frame()


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE,
                                  PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x40\x01\x04\0\0\0\x01",
                                  PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x03\x01\0\0\0\0\x01abc",
                                  PREFACE + b"\0\0\0\x04\0\0\0\0\0" + CHAT])
def test_slow_loris(server, quiet, said):
    """300 connections stop in the preface, the first frame, a header block or a body, and send a
    byte now and then."""
    with contextlib.ExitStack() as stack:
        with watched(server, quiet, 6, f"slow loris after {len(said)} bytes") as look:
            sockets = [stack.enter_context(server.connect()) for _ in range(300)]
            for sock in sockets:
                sock.sendall(said)
            for _ in range(10):
                time.sleep(0.1)
                for sock in sockets:
                    with contextlib.suppress(OSError):
                        sock.send(b"\0")
                look()


def test_listings_that_nobody_reads(server, quiet):
    """A hundred connections open their windows, ask for all users, and read nothing."""
    fill(server, requests(20000), 20000)
    request = message(pb.ListUsersRequest(page_size=2 ** 31 - 1))
    # each holds 64 KiB of output, that of a turn; TCP_NOTSENT_LOWAT bounds the kernel's memory
    with contextlib.ExitStack() as stack:
        with watched(server, quiet, 100, "100 unread listings") as look:
            for _ in range(100):
                connection = stack.enter_context(
                    Wire(server.connect(), {wire.INITIAL_WINDOW_SIZE: 2 ** 31 - 1}))
                connection.window(0, 2 ** 31 - 1 - 65535)
                for _ in range(3):
                    connection.data(connection.open("ListUsers"), request)
            for _ in range(10):
                time.sleep(0.1)
                look()
            # the kernel holds TCP_NOTSENT_LOWAT for each, and what is under way
            assert unsent(server.port) < 100 * MIB // 2


def unsent(port):
    """@return bytes in the send queues of the server's sockets"""
    total = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            total += int(fields[4].partition(":")[0], 16)
    return total


def test_requests_whose_replies_nobody_reads(server, quiet):
    """The server stops reading requests at some point."""
    with watched(server, quiet, 4, "unread replies"):
        with Wire(server.connect(), {wire.INITIAL_WINDOW_SIZE: 2 ** 31 - 1}) as connection:
            connection.wait_ready()
            connection.window(0, 2 ** 31 - 1 - 65535)
            body = message(pb.ChatMessage(text="x" * 16000))
            stream = connection.open("Chat")
            frame = connection.frame(DATA, 0, stream, body)
            sent = 0
            connection.sock.setblocking(False)
            for _ in range(20000):
                if not select.select([], [connection.sock], [], 0.5)[1]:
                    break
                with contextlib.suppress(BlockingIOError):
                    sent += connection.sock.send(frame)
            else:
                raise AssertionError("300 MB of requests were read")
            assert sent < 64 * MIB
