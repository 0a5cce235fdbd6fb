# SPDX-License-Identifier: MIT
"""Header sections that are malformed by RFC 9113, section 8, cost their stream and nothing else."""
import pytest

import user_service_pb2 as pb
from harness import SANITIZED, Rosterd, cpu_seconds
from wire import (CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PROTOCOL_ERROR,
                  SERVICE, Wire, message)

GET = message(pb.GetUserRequest(id="nobody"))
LENGTH = str(len(GET))
BASE = [(":method", "POST"), (":scheme", "http"), (":path", SERVICE + "GetUser"),
        (":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers")]
NOT_FOUND, EXHAUSTED = 5, 8


def without(name):
    return [field for field in BASE if field[0] != name]


def changed(name, value):
    return [(name, value) if field[0] == name else field for field in BASE]


def ask(wire, fields, body=GET):
    """Sends a request of exactly these fields, all of which enter the table. @return what came back"""
    stream, wire.next_stream = wire.next_stream, wire.next_stream + 2
    wire.send_frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), stream,
                    wire.encoder.encode(fields))
    if body:
        wire.data(stream, body)
    return wire.wait(stream)


@pytest.fixture
def wire(server):
    with Wire(server.connect()) as connection:
        yield connection.wait_ready()
        # Encoder and decoder agree on the table: these fields are indexes into it by now.
        for _ in range(2):
            response = ask(connection, BASE + [("x-kept", "as it was")])
            assert response.grpc_status == NOT_FOUND and connection.goaway is None


MALFORMED = {
    "upper case in a name": BASE + [("X-Test", "a")],
    "a space in a name": BASE + [("x test", "a")],
    "a colon in a name": BASE + [("x:test", "a")],
    "a byte over 127 in a name": BASE + [("x\xe9", "a")],
    "a blank before a value": BASE + [("x-a", " a")],
    "a blank behind a value": BASE + [("x-a", "a ")],
    "a tab before a value": BASE + [("x-a", "\ta")],
    "a tab behind a value": BASE + [("x-a", "a\t")],
    "a value of a blank": BASE + [("x-a", " ")],
    "a blank before a path": changed(":path", " /x"),
    "a line feed in a value": BASE + [("x-a", "a\nb")],
    "a carriage return in a value": BASE + [("x-a", "a\rb")],
    "a NUL in a value": BASE + [("x-a", "a\0b")],
    "a control character in a value": BASE + [("x-a", "a\x01b")],
    "connection": BASE + [("connection", "close")],
    "keep-alive": BASE + [("keep-alive", "timeout=5")],
    "proxy-connection": BASE + [("proxy-connection", "keep-alive")],
    "transfer-encoding": BASE + [("transfer-encoding", "chunked")],
    "upgrade": BASE + [("upgrade", "h2c")],
    "te of something else": changed("te", "gzip"),
    "te of something more": changed("te", "trailers, deflate"),
    "te of nothing": changed("te", ""),
    "two content-lengths": BASE + [("content-length", LENGTH), ("content-length", "9")],
    "two content-lengths, the right one last": BASE + [("content-length", "9"),
                                                       ("content-length", LENGTH)],
    "a list of content-lengths": BASE + [("content-length", f"{LENGTH}, {LENGTH}")],
    "a content-length with a sign": BASE + [("content-length", "+" + LENGTH)],
    "a content-length below zero": BASE + [("content-length", "-1")],
    "a content-length of nothing": BASE + [("content-length", "")],
    "a content-length of a word": BASE + [("content-length", "long")],
    "a content-length beyond all": BASE + [("content-length", "18446744073709551659")],
    "a content-length that the body is not": BASE + [("content-length", "5")],
    "another host": BASE + [("host", "y")],
    "another port of the host": BASE + [("host", "x:81")],
    "two hosts": BASE + [("host", "x"), ("host", "x")],
    "userinfo": changed(":authority", "user:secret@x"),
    "userinfo in the host": without(":authority") + [("host", "user@x")],
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "an empty method": changed(":method", ""),
    "an empty scheme": changed(":scheme", ""),
    "an empty path": changed(":path", ""),
    "a path that is a URL": changed(":path", "http://x" + SERVICE + "GetUser"),
    "an asterisk to post to": changed(":path", "*"),
    "two methods": [(":method", "POST")] + BASE,
    "two schemes": [(":scheme", "http")] + BASE,
    "two paths": [(":path", "/x")] + BASE,
    "two authorities": [(":authority", "x")] + BASE,
    "a pseudo-header field after others": without(":method") + [(":method", "POST")],
    "a pseudo-header field between others": BASE[:5] + [(":scheme", "http")] + BASE[5:],
    "a pseudo-header field of a response": [(":status", "200")] + BASE,
    "a pseudo-header field that needs a setting": [(":protocol", "websocket")] + BASE,
    "an unknown pseudo-header field": [(":x", "y")] + BASE,
    "a tunnel with a path": changed(":method", "CONNECT"),
    "a tunnel to nowhere": [(":method", "CONNECT")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_costs_its_stream(wire, name):
    response = ask(wire, MALFORMED[name])
    assert response.reset == PROTOCOL_ERROR and not response.blocks


GOOD = {
    "content-length": BASE + [("content-length", LENGTH)],
    "the same content-length twice": BASE + [("content-length", LENGTH)] * 2,
    "te in capitals": changed("te", "Trailers"),
    "the same host": BASE + [("host", "X")],
    "the same host with its port": changed(":authority", "x:80") + [("host", "x")],
    "a host instead of an authority": without(":authority") + [("host", "x")],
    "neither": without(":authority"),
    "a socket's path": changed(":authority", "%2Frun%2Frosterd.sock"),
    "an empty authority": changed(":authority", ""),
    "blanks and bytes over 127 within a value": BASE + [("x-a", "a b\tc\xe9")],
    "an empty value": BASE + [("x-a", "")],
    "names with all that a token may have": BASE + [("!#$%&'*+-.^_`|~09az", "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_unusual_request_is_served(wire, name):
    assert ask(wire, GOOD[name]).grpc_status == NOT_FOUND


def test_other_methods_with_foreign_paths_are_answered(wire):
    assert ask(wire, [(":method", "CONNECT"), (":authority", "x:1")], b"").status == "415"
    options = [(":method", "OPTIONS"), (":path", "*")] + BASE[1:2] + BASE[3:]
    assert ask(wire, options, b"").status == "405"


@pytest.mark.parametrize("field", [(":path", "/x"), (":status", "200"), ("connection", "close"),
                                   ("x-a", "a "), ("X-A", "a")])
def test_malformed_trailers_cost_their_stream(wire, field):
    stream = wire.open("Chat")
    wire.send_frame(HEADERS, END_HEADERS | END_STREAM, stream,
                    wire.encoder.encode([("x-good", "a"), field]))
    assert wire.wait_reset(stream).reset == PROTOCOL_ERROR


def test_number_of_fields_is_limited_only_by_their_size():
    def get(extra):
        stream = wire.open("GetUser", extra=extra)
        wire.data(stream, GET)
        return wire.wait(stream).grpc_status
    with Rosterd("--max-header-size", "64K", workers=1) as rosterd, \
            Wire(rosterd.connect()) as wire:
        for count in (300, 1500):
            assert get([(f"x-{i}", "v") for i in range(count)]) == NOT_FOUND
        assert get([("x-long", "~" * 60000)]) == NOT_FOUND
        assert get([(f"x-{i}", "v") for i in range(2000)]) == EXHAUSTED
        assert get([]) == NOT_FOUND


def send_block(wire, block):
    stream, wire.next_stream = wire.next_stream, wire.next_stream + 2
    frames = [block[at:at + 16384] for at in range(0, len(block), 16384)]
    for i, frame in enumerate(frames):
        wire.send_frame(CONTINUATION if i else HEADERS, (END_HEADERS if i == len(frames) - 1 else 0)
                        | (0 if i else END_STREAM), stream, frame)
    return stream


BLOCKS = {  # 60 KB each, after a request's fields
    "static indexes": b"\x90" * 60000,
    "indexes of two bytes": b"\x40\x01a\x00" * 80 + b"\xff\x00" * 10000,
    "fields that enter the table": b"\x40\x01a\x00" * 15000,
    "fields that do not": b"\x00\x01a\x00" * 15000,
    "a long string in Huffman's code": b"\x00\x01a\xff\xe1\xd3\x03" + b"\x18" * 60000,
}


@pytest.mark.parametrize("name", BLOCKS)
def test_cost_of_a_large_header_list_is_bounded(name):
    with Rosterd(workers=1) as rosterd, Wire(rosterd.connect()) as wire:
        (worker,) = rosterd.worker_pids()
        block = wire.encoder.encode(BASE) + BLOCKS[name]
        before = cpu_seconds(worker)
        for _ in range(50):
            assert wire.wait(send_block(wire, block)).grpc_status == EXHAUSTED
        # 3 MB take some 20 ms; 500 ns per byte would be 1.5 s.
        assert cpu_seconds(worker) - before < (2 if SANITIZED else 0.5)


def test_more_fields_than_any_request_has_end_the_connection(server):
    with Wire(server.connect()) as wire:
        send_block(wire, wire.encoder.encode(BASE) + b"\x0f\x00\x00" * 16000)  # accept-charset
        wire.ping()
        assert wire.goaway is None
        send_block(wire, wire.encoder.encode(BASE) + b"\x0f\x00\x00" * 17000)
        assert wire.wait_close() == ENHANCE_YOUR_CALM
