# SPDX-License-Identifier: MIT
"""gRPC on the wire: unusual requests, and the answers to them."""
import base64
import time
import urllib.parse

import pytest
from google.protobuf.message import DecodeError

import user_service_pb2 as pb
from harness import requests
from wire import (CANCEL, DATA, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS,
                  MAX_HEADER_LIST_SIZE, NO_ERROR, REFUSED_STREAM, RST_STREAM, END_STREAM, Wire,
                  message)

GET = pb.GetUserRequest(id="nobody")
OK, INVALID, DEADLINE, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 5, 8, 12, 13


@pytest.fixture
def wire(server):
    with Wire(server.connect()) as connection:
        yield connection
        # Whatever the test did, the connection works for another call.
        if not connection.closed and connection.goaway is None:
            assert connection.call("GetUser", message(GET)).grpc_status == NOT_FOUND


def not_found(response):
    assert response.status == "200", response
    assert response.grpc_status == NOT_FOUND, response
    assert response.trailers["grpc-message"] == "User nobody not found"


# ---- what makes a request a gRPC request ----

@pytest.mark.parametrize("content_type", [
    "application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8",
    "application/grpc+proto;a=b;c=d", "application/grpc; x=y"])
def test_content_types_of_grpc_are_accepted(wire, content_type):
    not_found(wire.call("GetUser", message(GET), content_type=content_type))


@pytest.mark.parametrize("content_type", [
    None, "", "application/grpc-web", "application/grpc-web+proto", "application/grpc+json",
    "application/json", "text/html", "application/grpcx", "application/grpc+protobuf"])
def test_other_content_type_is_415_with_a_body(wire, content_type):
    response = wire.call("GetUser", message(GET), content_type=content_type)
    assert response.status == "415"
    assert response.headers["content-type"].startswith("text/plain")
    assert response.data


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS", "post"])
def test_other_method_is_405_with_a_status_and_a_body(wire, method):
    stream = wire.open("GetUser", method=method, end=True)
    response = wire.wait(stream)
    assert response.status == "405"
    assert response.headers.get("grpc-status", response.trailers.get("grpc-status")) == "13"
    if method != "HEAD":
        assert response.headers["content-type"].startswith("text/plain")
        assert response.data


def test_content_type_is_judged_before_the_method(wire):
    stream = wire.open("GetUser", method="GET", content_type=None, te=None, end=True)
    assert wire.wait(stream).status == "415"


def test_te_may_be_absent(wire):
    not_found(wire.call("GetUser", message(GET), te=None))


def test_authority_may_be_absent_and_scheme_may_be_https(wire):
    not_found(wire.call("GetUser", message(GET), authority=None))
    not_found(wire.call("GetUser", message(GET), scheme="https"))


@pytest.mark.parametrize("path", ["/userservice.UserService/Nope", "/no.Such/GetUser", "/", "/x",
                                  "/userservice.UserService/GetUser/",
                                  "/userservice.UserService/GetUser?x=1"])
def test_unknown_method_is_trailers_only_12(wire, path):
    response = wire.call(path, message(GET))
    assert response.order[0] == HEADERS and DATA not in response.order
    assert len(response.blocks) == 1
    assert response.headers[":status"] == "200"
    assert response.headers["content-type"].startswith("application/grpc")
    assert response.grpc_status == UNIMPLEMENTED


def test_trailers_only_is_one_block_with_end_stream(wire):
    response = wire.call("GetUser", message(GET))
    assert response.order == [HEADERS]
    assert response.block_flags[0] & END_STREAM
    assert [name for name, _ in response.blocks[0]][:1] == [":status"]
    assert response.headers["content-type"].startswith("application/grpc")
    assert "grpc-status" in response.headers


def test_reply_is_headers_data_and_trailers(wire):
    request = pb.CreateUserRequest(username="wire")
    response = wire.call("CreateUser", message(request))
    assert response.order == [HEADERS, DATA, HEADERS]
    assert response.headers[":status"] == "200" and "grpc-status" not in response.headers
    assert response.trailers["grpc-status"] == "0"
    assert not any(name.startswith(":") for name in response.trailers)
    assert pb.User.FromString(response.messages()[0]).username == "wire"


@pytest.mark.parametrize("id", ["é", "%", "a b~", "\n\r\t", "\x7f", "100%é\U0001f600", "\x1f\x01"])
def test_grpc_message_is_percent_encoded_utf8(wire, id):
    response = wire.call("GetUser", message(pb.GetUserRequest(id=id)))
    raw = response.trailers["grpc-message"]
    assert urllib.parse.unquote(raw) == f"User {id} not found"
    plain = set(range(0x20, 0x7F)) - {0x25}
    expected = "".join(chr(b) if b in plain else f"%{b:02X}"
                       for b in f"User {id} not found".encode())
    assert raw.upper() == expected.upper()


# ---- grpc-timeout ----

@pytest.mark.parametrize("timeout", ["", "1", "S", "123456789S", "1x", "-1S", "1 S", "+1S", "1SS",
                                     "1s", "1.5S", "0x1S", "1M2S"])
def test_malformed_timeout_is_400_with_a_status(wire, timeout):
    response = wire.call("GetUser", message(GET), grpc_timeout=timeout)
    assert response.status == "400"
    assert response.trailers["grpc-status"] == "13"


@pytest.mark.parametrize("timeout", ["1H", "2M", "99999999S", "5000m", "9999999u", "99999999H",
                                     "00000009S"])
def test_every_unit_of_timeout_is_understood(wire, timeout):
    not_found(wire.call("GetUser", message(GET), grpc_timeout=timeout))


@pytest.mark.parametrize("timeout", ["0H", "0S", "0n", "00000000m"])
def test_timeout_of_zero_expires_at_once(wire, timeout):
    response = wire.call("GetUser", message(GET), grpc_timeout=timeout)
    assert response.status == "200" and response.grpc_status == DEADLINE


@pytest.mark.parametrize("timeout, seconds", [("300m", 0.3), ("1S", 1.0), ("200000u", 0.2),
                                              ("99999999n", 0.1)])
def test_deadline_ends_an_open_chat_with_trailers_and_no_error(wire, timeout, seconds):
    started = time.monotonic()
    stream = wire.open("Chat", grpc_timeout=timeout)
    response = wire.wait_reset(stream)
    took = time.monotonic() - started
    assert response.grpc_status == DEADLINE and response.ended
    assert response.reset == NO_ERROR
    assert response.order[-2:] == [HEADERS, RST_STREAM]
    assert seconds - 0.02 <= took < seconds + 5


def test_deadline_within_a_partly_sent_message_is_reset_cancel(server):
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 10}) as wire:
        wire.credit = False
        stream = wire.open("Chat", grpc_timeout="400m")
        wire.data(stream, message(pb.ChatMessage(text="x" * 1000)), end=True)
        response = wire.wait(stream)
        assert response.reset == CANCEL, response
        assert len(response.data) == 10


def test_deadline_after_half_close_needs_no_reset(server):
    assert server.stub().BatchCreateUsers(requests(100, "deadline")).created == 100
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 0}) as wire:
        stream = wire.open("ListUsers", grpc_timeout="400m")
        wire.data(stream, message(pb.ListUsersRequest(page_size=50)))
        response = wire.wait(stream)
        # No part of a message was sent yet, so trailers can still report the error.
        assert response.ended and response.grpc_status == DEADLINE, response
        time.sleep(0.1)
        wire.ping()
        assert response.reset is None


# ---- metadata ----

@pytest.mark.parametrize("value", ["!", "YQ=", "Y", "YQ==YQ==", "Y Q", "YQ===", "é", "a-b_"])
def test_bad_base64_in_bin_metadata_is_an_error(wire, value):
    response = wire.call("GetUser", message(GET), x_bin=value.encode())
    assert response.grpc_status == INTERNAL


@pytest.mark.parametrize("value", ["", "YQ", "YQ==", "YWI=", "YWI", "YWJj", "YQ,YWI=,YWJj",
                                   base64.b64encode(bytes(range(256))).decode()])
def test_base64_with_and_without_padding_and_in_lists_is_accepted(wire, value):
    not_found(wire.call("GetUser", message(GET), x_bin=value))


@pytest.mark.parametrize("values, status", [(129, 5), (130, 8)])
def test_a_list_in_bin_metadata_has_a_limit(wire, values, status):
    """The list may be in one field or in two."""
    response = wire.call("GetUser", message(GET), x_bin=",".join(["AA"] * values))
    assert response.grpc_status == status
    half = ",".join(["AA"] * ((values + 1) // 2))
    rest = ",".join(["AA"] * (values + 1 - (values + 1) // 2))
    assert wire.call("GetUser", message(GET), x_bin=half, y_bin=rest).grpc_status == status


def test_header_list_over_the_limit_is_trailers_only_8(wire):
    wire.wait_ready()
    limit = wire.settings[MAX_HEADER_LIST_SIZE]
    assert 4096 <= limit <= 65536
    response = wire.call("GetUser", message(GET), x_big="x" * limit)
    assert response.status == "200" and len(response.blocks) == 1
    assert response.grpc_status == EXHAUSTED
    many = wire.open("GetUser", extra=[(f"x-{i}", "y") for i in range(limit // 34)])
    wire.data(many, message(GET))
    assert wire.wait(many).grpc_status == EXHAUSTED


def test_header_list_of_exactly_the_limit_is_accepted(wire):
    wire.wait_ready()
    room = wire.settings[MAX_HEADER_LIST_SIZE]
    room -= sum(len(name) + len(value) + 32 for name, value in
                wire.fields("/userservice.UserService/GetUser", scheme="https"))
    not_found(wire.call("GetUser", message(GET), scheme="https", x="y" * (room - 33)))


def test_table_stays_in_step_after_a_refused_header_list(wire):
    wire.wait_ready()
    big = [(f"x-new-{i}", str(i) * 40) for i in range(300)]
    refused = wire.open("GetUser", extra=big)
    wire.data(refused, message(GET))
    assert wire.wait(refused).grpc_status == EXHAUSTED
    for _ in range(3):
        not_found(wire.call("GetUser", message(GET), x_after="same"))


# ---- encodings that are not supported ----

@pytest.mark.parametrize("encoding", [None, "identity"])
def test_compressed_flag_without_an_encoding_is_13(wire, encoding):
    response = wire.call("GetUser", message(GET, flag=1), grpc_encoding=encoding)
    assert response.grpc_status == INTERNAL


def test_unsupported_encoding_is_12_and_names_the_supported(wire):
    response = wire.call("GetUser", message(GET), grpc_encoding="snappy")
    assert response.grpc_status == UNIMPLEMENTED
    fields = {**response.headers, **response.trailers}
    assert "identity" in fields["grpc-accept-encoding"]


def test_identity_encoding_means_uncompressed(wire):
    not_found(wire.call("GetUser", message(GET), grpc_encoding="identity",
                        grpc_accept_encoding="identity,deflate,gzip"))


# ---- messages ----

@pytest.mark.parametrize("flag", [2, 3, 127, 128, 255])
def test_flag_of_two_or_more_is_13(wire, flag):
    assert wire.call("GetUser", message(GET, flag=flag)).grpc_status == INTERNAL


@pytest.mark.parametrize("method", ["GetUser", "ListUsers", "BatchCreateUsers", "Chat"])
@pytest.mark.parametrize("cut", [1, 4, 5, 6])
def test_message_cut_off_at_the_end_is_13(wire, method, cut):
    body = message(b"\x0a\x06nobody")[:cut]
    assert wire.call(method, body).grpc_status == INTERNAL


def field(number, wire_type, value=b""):
    return bytes([number << 3 | wire_type]) + value


ADA = field(1, 2, b"\x03ada")


@pytest.mark.parametrize("body, username", [
    (field(1, 2, b"\x01x") + ADA, "ada"),
    (ADA + field(9, 3, field(1, 0, b"\1")) + field(9, 4), "ada"),
    (ADA + field(9, 3, field(10, 3) + field(10, 4)) + field(9, 4), "ada"),
    (field(1, 3, ADA) + field(1, 4) + field(1, 2, b"\x03bob"), "bob"),
    (ADA + field(1, 0, b"\5") + field(2, 1, bytes(8)) + field(3, 5, bytes(4)), "ada"),
    (ADA + b"\xf8\xff\xff\xff\x0f\1", "ada"),
    (b"\x8a\x80\x80\x00\x83\x80\x00ada", "ada"),
    (field(1, 2, b"\x01x") * 1000000 + ADA, "ada"),
    (field(15, 0, b"\0") * 1000000 + ADA, "ada")])
def test_requests_are_read_as_other_implementations_read_them(wire, body, username):
    assert pb.CreateUserRequest.FromString(body).username == username
    stream = wire.open("CreateUser")
    response = wire.upload(stream, message(body))
    assert response.grpc_status == OK, response
    assert pb.User.FromString(response.messages()[0]).username == username


@pytest.mark.parametrize("body", [
    field(9, 6, b"\1"), field(9, 7, b"\1"), b"\2\1a", field(9, 3), field(9, 3) + field(10, 4),
    field(9, 3) * 101 + field(9, 4) * 101, b"\xf8\xff\xff\xff\x8f\x00\1", field(9, 0, b"\xff" * 10 + b"\1"),
    field(1, 2, b"\x83\x80\x80\x80\x10ada"), field(9, 2, b"\x7fada"), field(9, 5, b"123")])
def test_messages_that_no_implementation_parses_are_13(wire, body):
    with pytest.raises(DecodeError):
        pb.CreateUserRequest.FromString(ADA + body)
    response = wire.call("CreateUser", message(ADA + body))
    assert response.grpc_status == INTERNAL
    assert response.trailers["grpc-message"] \
        == "request does not parse as userservice.CreateUserRequest"


def test_a_message_of_too_many_fields_names_the_limit(wire):
    stream = wire.open("CreateUser")
    response = wire.upload(stream, message(ADA + field(15, 0, b"\0") * (1 << 20)))
    assert response.grpc_status == EXHAUSTED
    assert response.trailers["grpc-message"] == "message has more than the maximum of 1048576 fields"


@pytest.mark.parametrize("method", ["GetUser", "CreateUser", "ListUsers", "BatchCreateUsers",
                                    "Chat"])
def test_bytes_that_do_not_parse_are_13(wire, method):
    for body in (b"\x0a", b"\x0a\x7f", b"\xff\xff", b"\x0b"):
        assert wire.call(method, message(body)).grpc_status == INTERNAL, body


@pytest.mark.parametrize("method", ["GetUser", "Chat", "BatchCreateUsers"])
def test_length_over_the_limit_is_8_before_the_body_arrives(wire, method):
    for prefix in (b"\0\0\x40\0\x01", b"\0\xff\xff\xff\xff"):
        stream = wire.open(method)
        wire.data(stream, prefix, end=False)
        response = wire.wait_reset(stream)
        assert response.grpc_status == EXHAUSTED
        assert response.reset == NO_ERROR


def test_message_of_exactly_the_limit_is_read(wire):
    body = message(b"\x0a\xfb\xff\xff\x01" + b"x" * ((4 << 20) - 5))
    assert len(body) == (4 << 20) + 5
    response = wire.upload(wire.open("GetUser"), body)
    assert response.grpc_status == NOT_FOUND
    assert len(response.trailers["grpc-message"]) < 200


@pytest.mark.parametrize("method", ["GetUser", "CreateUser", "ListUsers"])
def test_no_message_for_a_unary_request_is_12(wire, method):
    assert wire.call(method, b"").grpc_status == UNIMPLEMENTED
    stream = wire.open(method, end=True)
    assert wire.wait(stream).grpc_status == UNIMPLEMENTED


@pytest.mark.parametrize("method", ["GetUser", "CreateUser", "ListUsers"])
def test_two_messages_for_a_unary_request_are_12(wire, method):
    two = message(b"\x0a\x01a" if method != "ListUsers" else b"\x08\x01") * 2
    assert wire.call(method, two).grpc_status == UNIMPLEMENTED


def test_refused_second_message_creates_no_user(start):
    with start() as rosterd, Wire(rosterd.connect()) as wire:
        wire.call("CreateUser", message(pb.CreateUserRequest(username="a")) * 2)
        assert list(rosterd.stub().ListUsers(pb.ListUsersRequest())) == []


def test_empty_message_is_valid(wire):
    response = wire.call("GetUser", message(b""))
    assert response.grpc_status == NOT_FOUND
    assert response.trailers["grpc-message"] == "User  not found"
    response = wire.call("Chat", message(b"") * 3)
    assert [pb.ChatMessage.FromString(m).text for m in response.messages()] == ["Echo: "] * 3


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
def test_message_may_be_split_over_frames_anywhere(wire, size):
    body = message(GET)
    stream = wire.open("GetUser")
    for at in range(0, len(body), size):
        wire.data(stream, body[at:at + size], end=at + size >= len(body))
    not_found(wire.wait(stream))


def test_prefix_split_over_frames_in_a_chat(wire):
    stream = wire.open("Chat")
    body = b"".join(message(pb.ChatMessage(text=str(i) * i)) for i in range(30))
    for at in range(0, len(body), 3):
        wire.data(stream, body[at:at + 3], end=False)
    wire.data(stream, b"")
    response = wire.wait(stream)
    assert [pb.ChatMessage.FromString(m).text for m in response.messages()] \
        == [f"Echo: {str(i) * i}" for i in range(30)]


def test_many_messages_in_a_frame(wire):
    body = b"".join(message(pb.ChatMessage(text=str(i))) for i in range(500))
    response = wire.call("Chat", body)
    assert len(response.messages()) == 500
    assert response.grpc_status == OK


def test_half_close_may_come_alone_in_an_empty_frame(wire):
    stream = wire.open("GetUser")
    wire.data(stream, message(GET), end=False)
    wire.data(stream, b"")
    not_found(wire.wait(stream))


@pytest.mark.parametrize("pad", [0, 1, 100, 255])
def test_padding_is_not_content(wire, pad):
    stream = wire.open("GetUser")
    body = message(GET)
    wire.data(stream, body[:4], end=False, pad=pad)
    wire.data(stream, body[4:], pad=pad)
    not_found(wire.wait(stream))


def test_request_trailers_also_end_a_request(wire):
    stream = wire.open("GetUser")
    wire.data(stream, message(GET), end=False)
    wire.send_frame(HEADERS, END_STREAM | 0x4, stream, wire.encoder.encode([("x-checksum", "1")]))
    not_found(wire.wait(stream))


# ---- replies ----

@pytest.mark.parametrize("method, window", [("Chat", 65535), ("Chat", 0), ("ListUsers", 0)])
def test_headers_of_a_streaming_reply_go_out_at_once(server, method, window):
    server.stub().CreateUser(pb.CreateUserRequest(username="someone"))
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: window}) as wire:
        stream = wire.open(method)
        if method == "ListUsers":
            wire.data(stream, message(b""))
        wire.until(lambda: stream in wire.streams and wire.streams[stream].blocks)
        response = wire.streams[stream]
        assert response.status == "200" and "grpc-status" not in response.headers
        assert not response.ended and not response.data
        wire.send_frame(RST_STREAM, 0, stream, bytes([0, 0, 0, CANCEL]))


def test_small_replies_are_packed_into_few_frames(server):
    stub = server.stub()
    assert stub.BatchCreateUsers(requests(1000, "packed")).created == 1000
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 1 << 20}) as wire:
        wire.window(0, 1 << 20)
        listing = wire.call("ListUsers", message(pb.ListUsersRequest(page_size=1000)))
        assert len(listing.messages()) == 1000
        assert len(listing.data_frames) < 50
        chat = wire.call("Chat", b"".join(message(pb.ChatMessage(text="x")) for _ in range(500)))
        assert len(chat.messages()) == 500
        assert len(chat.data_frames) < 20
        for response in (listing, chat):
            assert response.data_frames.count(0) <= 1
            assert sum(length < 256 for length in response.data_frames) <= 2


def test_next_page_token_is_in_the_trailers(server, wire):
    assert server.stub().BatchCreateUsers(requests(20, "token")).created == 20
    response = wire.call("ListUsers", message(pb.ListUsersRequest(page_size=7)))
    assert len(response.messages()) == 7
    assert "next-page-token" in response.trailers
    assert "next-page-token" not in response.headers


@pytest.mark.parametrize("path", ["Nope", "GetUser"])
def test_end_before_the_clients_is_trailers_then_reset_no_error(wire, path):
    stream = wire.open(path)
    wire.data(stream, message(GET, flag=7), end=False)
    response = wire.wait_reset(stream)
    assert response.ended and response.grpc_status in (UNIMPLEMENTED, INTERNAL)
    assert response.reset == NO_ERROR
    # DATA that was on its way when the client learned of the end is no error.
    wire.data(stream, b"x" * 1000, end=False)
    wire.data(stream, b"x")
    wire.ping()


def test_window_of_data_for_a_finished_call_is_restored(wire):
    """Otherwise a client that is slow to stop sending would exhaust its own connection window."""
    wire.wait_ready()
    for _ in range(40):
        stream = wire.open("Nope")
        wire.data(stream, bytes(16384), end=False)
        wire.wait_reset(stream)
    not_found(wire.call("GetUser", message(GET)))


# ---- streams ----

def test_reset_by_the_client_ends_only_that_call(wire):
    other = wire.open("Chat")
    for code in (CANCEL, NO_ERROR, 2):
        stream = wire.open("Chat")
        wire.data(stream, message(pb.ChatMessage(text="a")), end=False)
        wire.send_frame(RST_STREAM, 0, stream, bytes([0, 0, 0, code]))
    wire.data(other, message(pb.ChatMessage(text="b")))
    assert wire.wait(other).grpc_status == OK


def test_limits_are_announced(wire):
    wire.wait_ready()
    assert wire.settings[MAX_CONCURRENT_STREAMS] >= 100
    assert wire.settings[MAX_HEADER_LIST_SIZE] == 8192


def test_stream_over_the_announced_limit_is_refused_without_effect(start):
    with start(workers=1) as rosterd, Wire(rosterd.connect()) as wire:
        wire.wait_ready()
        streams = [wire.open("Chat") for _ in range(wire.settings[MAX_CONCURRENT_STREAMS])]
        wire.ping()
        extra = wire.open("CreateUser")
        wire.data(extra, message(pb.CreateUserRequest(username="extra")))
        assert wire.wait(extra).reset == REFUSED_STREAM
        assert list(rosterd.stub().ListUsers(pb.ListUsersRequest())) == []
        wire.data(streams[0], b"")
        assert wire.wait(streams[0]).grpc_status == OK
        wire.ping()
        not_found(wire.call("GetUser", message(GET)))
        for stream in streams[1:]:
            wire.data(stream, b"")
        for stream in streams[1:]:
            assert wire.wait(stream).grpc_status == OK


def test_streams_take_turns_at_sending(server):
    """A second listing does not wait until the first has ended."""
    assert server.stub().BatchCreateUsers(requests(20000, "turn"), timeout=60).created == 20000
    with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 2**31 - 1}, credit=False) as wire:
        wire.wait_ready()
        body = message(pb.ListUsersRequest(page_size=20000))
        first, second = wire.open("ListUsers"), wire.open("ListUsers")
        wire.data(first, body)
        wire.data(second, body)
        wire.window(0, 1 << 20)  # enough for about half of one listing
        wire.until(lambda: sum(len(s.data) for s in wire.streams.values()) >= (1 << 20) + 65535)
        shares = [len(wire.streams[s].data) for s in (first, second)]
        assert min(shares) > max(shares) / 3, shares
        for stream in (first, second):
            wire.send_frame(RST_STREAM, 0, stream, bytes([0, 0, 0, CANCEL]))
