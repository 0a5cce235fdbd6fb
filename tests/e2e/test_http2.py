# SPDX-License-Identifier: MIT
"""Connection errors: each ends its own connection and disturbs no other."""
import os
import random
import struct
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import cpu_seconds, expect, resident, wait_for
from wire import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                  ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS,
                  INITIAL_WINDOW_SIZE, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR,
                  PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, Wire, message)

GET = message(pb.GetUserRequest(id="nobody"))
frame = Wire.frame


@pytest.fixture
def wire(server):
    """A connection that a test may ruin. A second connection must not notice."""
    other = server.connect()
    with Wire(other) as bystander, Wire(server.connect()) as connection:
        bystander.wait_ready()
        chat = bystander.open("Chat")
        yield connection.wait_ready()
        bystander.data(chat, message(pb.ChatMessage(text="still here")))
        assert bystander.wait(chat).grpc_status == 0


def block(wire, **changes):
    return wire.encoder.encode(wire.fields("/userservice.UserService/GetUser", **changes))


def open_headers(wire):
    return frame(HEADERS, END_HEADERS, 1, block(wire))


MALFORMED = {
    "data on stream 0": (PROTOCOL_ERROR, lambda w: frame(DATA, 0, 0, b"x")),
    "data on an idle stream": (PROTOCOL_ERROR, lambda w: frame(DATA, 0, 1, b"x")),
    "headers on stream 0": (PROTOCOL_ERROR, lambda w: frame(HEADERS, END_HEADERS, 0, block(w))),
    "headers on an even stream": (PROTOCOL_ERROR,
                                  lambda w: frame(HEADERS, END_HEADERS, 2, block(w))),
    "decreasing stream number": (None, lambda w: frame(HEADERS, 5, 5, block(w))
                                 + frame(HEADERS, 5, 3, block(w))),
    "padding as long as the frame": (PROTOCOL_ERROR, lambda w: open_headers(w)
                                     + frame(DATA, PADDED, 1, b"\x05abc")),
    "padding without its length": (None, lambda w: open_headers(w) + frame(DATA, PADDED, 1)),
    "headers with padding longer than the frame": (None, lambda w: frame(HEADERS, PADDED | END_HEADERS, 1, b"\xff\0")),
    "settings with a length of 5": (FRAME_SIZE_ERROR, lambda w: frame(SETTINGS, 0, 0, bytes(5))),
    "settings on a stream": (PROTOCOL_ERROR, lambda w: frame(SETTINGS, 0, 1, b"")),
    "settings ack with content": (FRAME_SIZE_ERROR, lambda w: frame(SETTINGS, ACK, 0, bytes(6))),
    "initial window over 2^31-1": (FLOW_CONTROL_ERROR, lambda w: frame(
        SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))),
    "max frame size of 16383": (PROTOCOL_ERROR, lambda w: frame(
        SETTINGS, 0, 0, struct.pack(">HI", 5, 16383))),
    "enable push of 2": (PROTOCOL_ERROR, lambda w: frame(
        SETTINGS, 0, 0, struct.pack(">HI", 2, 2))),
    "ping of 7 bytes": (FRAME_SIZE_ERROR, lambda w: frame(PING, 0, 0, bytes(7))),
    "ping on a stream": (PROTOCOL_ERROR, lambda w: frame(PING, 0, 1, bytes(8))),
    "window update of 0": (PROTOCOL_ERROR, lambda w: frame(WINDOW_UPDATE, 0, 0, bytes(4))),
    "window over 2^31-1": (FLOW_CONTROL_ERROR, lambda w: frame(
        WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1))),
    "window update of 3 bytes": (FRAME_SIZE_ERROR, lambda w: frame(WINDOW_UPDATE, 0, 0, bytes(3))),
    "window update on an idle stream": (PROTOCOL_ERROR, lambda w: frame(
        WINDOW_UPDATE, 0, 9, struct.pack(">I", 1))),
    "reset of an idle stream": (PROTOCOL_ERROR, lambda w: frame(RST_STREAM, 0, 9, bytes(4))),
    "reset of 3 bytes": (FRAME_SIZE_ERROR, lambda w: open_headers(w)
                         + frame(RST_STREAM, 0, 1, bytes(3))),
    "push promise by a client": (PROTOCOL_ERROR, lambda w: frame(PUSH_PROMISE, 4, 1, bytes(4))),
    "goaway on a stream": (PROTOCOL_ERROR, lambda w: frame(GOAWAY, 0, 1, bytes(8))),
    "continuation without headers": (PROTOCOL_ERROR, lambda w: frame(CONTINUATION, 4, 1, b"")),
    "frame within a header block": (PROTOCOL_ERROR, lambda w: frame(HEADERS, 0, 1, block(w))
                                    + frame(PING, 0, 0, bytes(8))),
    "another stream within a header block": (PROTOCOL_ERROR, lambda w: frame(HEADERS, 0, 1, b"")
                                             + frame(CONTINUATION, 4, 3, block(w))),
    "frame over the limit": (FRAME_SIZE_ERROR, lambda w: open_headers(w)
                             + frame(DATA, 0, 1, bytes(16385))),
    "header frame over the limit": (FRAME_SIZE_ERROR,
                                    lambda w: frame(HEADERS, 4, 1, bytes(20000))),
    "index 0": (COMPRESSION_ERROR, lambda w: frame(HEADERS, 5, 1, b"\x80")),
    "index outside the table": (COMPRESSION_ERROR, lambda w: frame(HEADERS, 5, 1, b"\xff\xff\x03")),
    "huffman with too much padding": (COMPRESSION_ERROR, lambda w: frame(
        HEADERS, 5, 1, b"\x00\x82\xff\xff\x01x")),
    "integer without an end": (COMPRESSION_ERROR, lambda w: frame(HEADERS, 5, 1, b"\xff" * 30)),
    "string longer than its block": (COMPRESSION_ERROR, lambda w: frame(
        HEADERS, 5, 1, b"\x00\x7f\xff\x10")),
    "table size over the announced": (COMPRESSION_ERROR, lambda w: frame(
        HEADERS, 5, 1, b"\x3f\xff\xff\x03")),
    "empty header name": (None, lambda w: frame(HEADERS, 5, 1, block(w) + b"\x00\x00\x01x")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_frame_costs_its_connection(wire, name):
    code, make = MALFORMED[name]
    wire.send(make(wire))
    got = wire.wait_close()
    assert got is not None, "closed without GOAWAY"
    assert got == code if code is not None else got != 0, got


def test_data_on_a_closed_stream_is_stream_closed(wire):
    response = wire.call("GetUser", GET)
    assert response.grpc_status == 5
    wire.data(1, b"x")
    wire.until(lambda: wire.goaway or wire.closed or response.reset == STREAM_CLOSED)
    assert response.reset == STREAM_CLOSED or wire.goaway[0] == STREAM_CLOSED


@pytest.mark.parametrize("size", [1000, 16379])
def test_data_beyond_the_window_is_a_flow_control_error(server, wire, size):
    """The server stops reading when its echoes find no room. A client that continues sending
    violates flow control."""
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 0}) as rude:
        stream = rude.open("Chat")
        body, sent = message(pb.ChatMessage(text="x" * (size - 3))), 0
        while not (rude.goaway or rude.closed or rude.streams.get(stream) and
                   rude.streams[stream].reset is not None):
            assert sent < 8 << 20, "the server enforces no window"
            rude.data(stream, body, end=False)
            sent += len(body)
            rude.read(0)
        if rude.goaway or rude.closed:
            assert rude.wait_close() == FLOW_CONTROL_ERROR
        else:
            assert rude.streams[stream].reset == FLOW_CONTROL_ERROR
        assert sent > 65535


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_cost_their_connection(wire, seed):
    source = random.Random(seed)
    wire.send(source.randbytes(200000))
    wire.wait_close()


@pytest.mark.parametrize("seed", range(20))
def test_random_frames_never_harm_others(wire, seed):
    source = random.Random(1000 + seed)
    for _ in range(300):
        kind, flags = source.randrange(12), source.choice([0, 1, 4, 5, 8, 0x2d, source.randrange(256)])
        stream = source.choice([0, 1, 3, 5, source.randrange(1 << 31)])
        payload = source.choice([b"", bytes(4), bytes(8), source.randbytes(source.randrange(64)),
                                 block(wire), GET])
        wire.send_frame(kind, flags, stream, payload)
        if not wire.read(0):
            return
    wire.close()


@pytest.mark.parametrize("cut", [1, 9, 24, 30, 40, 60, 80])
def test_connection_that_ends_in_mid_frame_costs_nothing(server, wire, cut):
    whole = PREFACE + frame(SETTINGS, 0, 0) + open_headers(wire) + frame(DATA, 1, 1, GET)
    for reset in (False, True):
        other = Wire(server.connect(), hello=False)
        other.send(whole[:cut])
        other.close(reset=reset)


# ---- floods ----

def flood(wire, make, most, codes=(ENHANCE_YOUR_CALM,)):
    for i in range(most):
        wire.send(make(i))
        if i % 50 == 0 and not wire.read(0):
            break
    else:
        wire.send_frame(PING, 0, 0, bytes(8))
    assert wire.wait_close() in codes


def test_ping_flood_is_ended(wire):
    flood(wire, lambda i: frame(PING, 0, 0, bytes(8)) * 10, 5000)


def test_settings_flood_is_ended(wire):
    flood(wire, lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 10, 5000)


def test_rapid_reset_is_ended(wire):
    def make(i):
        return frame(HEADERS, END_HEADERS, 2 * i + 1, block(wire)) \
            + frame(RST_STREAM, 0, 2 * i + 1, bytes([0, 0, 0, CANCEL]))
    flood(wire, make, 20000)


def test_empty_continuations_are_ended(wire):
    wire.send(frame(HEADERS, 0, 1, block(wire)))
    flood(wire, lambda i: frame(CONTINUATION, 0, 1) * 10, 5000)


def test_endless_header_block_is_ended(wire):
    wire.send(frame(HEADERS, 0, 1, block(wire)))
    piece = b"".join(b"\x00\x03x-y\x7f\x80\x01" + b"z" * 255 for _ in range(40))
    flood(wire, lambda i: frame(CONTINUATION, 0, 1, piece), 3000,
          codes=(ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR))


def test_hpack_bomb_is_cheap(server, wire):
    """One large table entry that is referenced thousands of times: a header list of many megabytes."""
    pids = server.worker_pids()
    before = [resident(pid) for pid in pids]
    value = b"v" * 3000
    wire.send(frame(HEADERS, 5, 1, block(wire) + b"\x40\x03x-b" + b"\x7f\xb9\x16" + value))
    wire.wait(1)
    index = 62
    for stream in range(3, 43, 2):
        wire.send(frame(HEADERS, 5, stream, block(wire) + bytes([0x80 | index]) * 8000))
        if not wire.read(0):
            break
    wire.read(1)
    assert max(resident(pid) - was for pid, was in zip(pids, before)) < 16 << 20


def test_empty_data_frames_are_ended(wire):
    stream = wire.open("Chat")
    flood(wire, lambda i: frame(DATA, 0, stream) * 10, 5000)


def test_window_updates_are_bounded(wire):
    flood(wire, lambda i: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 20, 20000)


def test_priority_flood_is_ended(wire):
    flood(wire, lambda i: frame(PRIORITY, 0, 1, bytes([0, 0, 0, 3, 1])) * 20, 20000)


def test_pings_at_a_normal_rate_are_answered(wire):
    for _ in range(3):
        assert wire.call("GetUser", GET).grpc_status == 5
        wire.ping()
    assert wire.goaway is None


def test_peer_that_never_reads_its_pongs_costs_bounded_memory(server, wire):
    pids = server.worker_pids()
    before = [resident(pid) for pid in pids]
    wire.sock.settimeout(2)
    wire.sock.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
    for _ in range(2000):
        try:
            wire.sock.sendall(frame(PING, 0, 0, bytes(8)) * 100)
        except OSError:
            break
    assert max(resident(pid) - was for pid, was in zip(pids, before)) < 8 << 20


# ---- other protocols than HTTP/2 ----

@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /userservice.UserService/GetUser HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n"])
def test_http1_is_answered_in_http1_and_closed(server, wire, request_):
    with server.connect() as sock:
        sock.settimeout(10)
        sock.sendall(request_)
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
    assert answer.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 ", b"HTTP/1.0 505 ",
                              b"HTTP/1.0 400 ")), answer
    assert b"\r\n\r\n" in answer


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
                                   b"\0" * 100, b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                   b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n"])
def test_other_noise_is_closed(server, wire, noise):
    with server.connect() as sock:
        sock.settimeout(10)
        sock.sendall(noise)
        try:
            while sock.recv(4096):
                pass
        except ConnectionResetError:
            pass


def test_preface_may_come_byte_by_byte(server):
    wire = Wire(server.connect(), hello=False)
    with wire:
        for byte in PREFACE + frame(SETTINGS, 0, 0):
            wire.send(bytes([byte]))
            time.sleep(0.002)
        assert wire.call("GetUser", GET).grpc_status == 5


def test_silent_connections_do_not_block_others(server):
    idle = [server.connect() for _ in range(200)]
    expect(lambda: server.stub().GetUser(pb.GetUserRequest(id="x"), timeout=10),
           grpc.StatusCode.NOT_FOUND)
    for sock in idle:
        sock.close()
    # The descriptors of these connections are closed.
    for pid in server.worker_pids():
        wait_for(lambda p=pid: len(os.listdir(f"/proc/{p}/fd")) < 100, 10, "descriptors")


def test_idle_server_sleeps(server):
    used = [cpu_seconds(pid) for pid in [server.process.pid, *server.worker_pids()]]
    time.sleep(2)
    again = [cpu_seconds(pid) for pid in [server.process.pid, *server.worker_pids()]]
    assert sum(again) - sum(used) < 0.1


def test_end_stream_on_the_headers_of_a_streaming_call_is_accepted(wire):
    stream = wire.open("Chat", end=True)
    assert wire.wait(stream).grpc_status == 0
    stream = wire.open("BatchCreateUsers", end=True)
    assert wire.wait(stream).grpc_status == 0
    assert wire.streams[stream].block_flags[-1] & END_STREAM
