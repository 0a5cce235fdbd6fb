# SPDX-License-Identifier: MIT
"""The access log: one line for each call, in both formats, whatever texts the call has."""
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import SANITIZED, expect, requests, wait_for
from wire import Wire, message

KEYS = ["time", "peer", "method", "status", "message", "duration", "messages_in", "messages_out",
        "bytes_in", "bytes_out", "request_id", "trace_id", "token", "subject", "deadline_left"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(params=["text", "json"])
def log(request, start, tmp_path):
    path = tmp_path / "access.log"
    rosterd = start("--access-log", "on", "--access-log-file", str(path), "--log-format",
                    request.param, workers=2)
    rosterd.read = READERS[request.param]
    rosterd.lines = lambda count: wait_for(
        lambda: [*map(rosterd.read, lines)]
        if len(lines := path.read_text().splitlines()) >= count else None, 10, f"{count} lines")
    rosterd.path = path
    return rosterd


def read_json(line):
    fields = json.loads(line)
    assert list(fields) == KEYS
    return fields


def read_text(line):
    """Parses a line of the text format: - is a missing value; other values may be quoted."""
    fields = {}
    for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))(?: |$)', line):
        if plain:
            fields[key] = None if plain == "-" else plain
        else:
            raw = re.sub(rb'\\(?:x([0-9a-f]{2})|(.))',
                         lambda m: bytes([int(m[1], 16)]) if m[1] else m[2], quoted.encode())
            fields[key] = raw.decode(errors="replace")
    assert list(fields) == KEYS, line
    for key in ("messages_in", "messages_out", "bytes_in", "bytes_out"):
        fields[key] = int(fields[key])
    for key in ("duration", "deadline_left"):
        fields[key] = None if fields[key] is None else float(fields[key])
    return fields


READERS = {"json": read_json, "text": read_text}


def test_a_line_has_all_fields(log):
    before = time.time()
    log.stub().CreateUser(pb.CreateUserRequest(username="ada"), timeout=30, metadata=[
        ("x-request-id", "abc-123"), ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")])
    (line,) = log.lines(1)
    stamp = time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    import calendar
    assert before - 2 <= calendar.timegm(stamp) <= time.time() + 1
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["peer"])
    assert line["method"] == "/userservice.UserService/CreateUser"
    assert line["status"] == "OK" and line["message"] is None
    assert 0 <= line["duration"] < 10
    assert line["messages_in"] == line["messages_out"] == 1
    assert line["bytes_in"] == len(message(pb.CreateUserRequest(username="ada")))
    assert line["bytes_out"] > 40
    assert line["request_id"] == "abc-123" and line["trace_id"] == TRACE
    assert line["token"] is None
    assert 20 < line["deadline_left"] < 31  # grpcio rounds its timeout up


def test_all_messages_of_a_stream_are_counted(log):
    stub = log.stub()
    stub.BatchCreateUsers(requests(30))
    list(stub.ListUsers(pb.ListUsersRequest(page_size=20)))
    list(stub.Chat(iter([pb.ChatMessage(text=str(i)) for i in range(7)])))
    batch, listing, chat = log.lines(3)
    assert (batch["messages_in"], batch["messages_out"]) == (30, 1)
    assert (listing["messages_in"], listing["messages_out"]) == (1, 20)
    assert (chat["messages_in"], chat["messages_out"]) == (7, 7)
    assert chat["deadline_left"] is None


def test_made_request_ids_are_unique(log):
    stub = log.stub()
    for _ in range(100):
        expect(lambda: stub.GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)
    ids = [line["request_id"] for line in log.lines(100)]
    assert len(set(ids)) == 100 and all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


@pytest.mark.parametrize("value", ["", "00-xyz", f"00-{'0' * 32}-00f067aa0ba902b7-01",
                                   f"00-{TRACE.upper()}-00f067aa0ba902b7-01", f"00-{TRACE}",
                                   f"00-{TRACE}x-00f067aa0ba902b7-01"])
def test_a_malformed_traceparent_is_ignored(log, value):
    stub = log.stub()
    expect(lambda: stub.GetUser(pb.GetUserRequest(id="x"), metadata=[("traceparent", value)]),
           grpc.StatusCode.NOT_FOUND)
    assert log.lines(1)[0]["trace_id"] is None


def test_errors_and_unusual_texts_are_logged_in_full(log):
    stub = log.stub()
    odd = 'a"b\\c\n=\t\u00e4\u20ac\U0001f600 d'
    expect(lambda: stub.GetUser(pb.GetUserRequest(id=odd)), grpc.StatusCode.NOT_FOUND)
    assert log.lines(1)[-1]["message"] == f"User {odd} not found"
    expect(lambda: stub.GetUser(pb.GetUserRequest(id="i" * 100000)), grpc.StatusCode.NOT_FOUND)
    assert log.lines(2)[-1]["message"].startswith("User iii")
    unknown = log.channel().unary_unary('/no.body/"quoted\\ method" ' + "x" * 3000)
    expect(lambda: unknown(b""), grpc.StatusCode.UNIMPLEMENTED)
    line = log.lines(3)[-1]
    assert line["method"].startswith('/no.body/"quoted\\ method" xxx')
    assert line["method"].endswith("...") and line["status"] == "Unimplemented"
    expect(lambda: stub.GetUser(pb.GetUserRequest(id="x"),
                                metadata=[("x-request-id", '"}\\ {"' + "y" * 2000)]),
           grpc.StatusCode.NOT_FOUND)
    assert log.lines(4)[-1]["request_id"].startswith('"}\\ {"yyy')


def test_bytes_that_are_not_utf8_are_replaced(log):
    with Wire(log.connect()) as connection:
        for odd in (b"a\x80", b"\xff\xc3b"):
            stream = connection.open("GetUser", extra=[(b"x-request-id", odd)])
            connection.data(stream, message(pb.GetUserRequest(id="x")))
            assert connection.wait(stream).grpc_status == 5
    assert [line["request_id"] for line in log.lines(2)] == ["a\ufffd", "\ufffd\ufffdb"]


def test_calls_answered_by_http_have_a_line_and_are_counted(log):
    with Wire(log.connect()) as connection:
        for changes in ({"content_type": "text/html"}, {"method": "GET"}, {"grpc_timeout": "soon"}):
            stream = connection.open("GetUser", end=True, **changes)
            assert connection.wait(stream).status in ("415", "405", "400")
        stream = connection.open("/favicon.ico", end=True, method="GET", content_type=None)
        assert connection.wait(stream).status == "415"
    lines = log.lines(4)
    assert [(line["method"], line["status"], line["message"]) for line in lines] == [
        ("/userservice.UserService/GetUser", "Unknown",
         "content-type must be application/grpc or application/grpc+proto"),
        ("/userservice.UserService/GetUser", "Internal", "gRPC calls are made by POST"),
        ("/userservice.UserService/GetUser", "Internal", "grpc-timeout is malformed"),
        ("/favicon.ico", "Unknown",
         "content-type must be application/grpc or application/grpc+proto")]
    name = ('grpc_server_handled_total{grpc_type="unary",grpc_service="userservice.UserService",'
            'grpc_method="GetUser",grpc_code="Internal"}')
    wait_for(lambda: log.inspect("stats").get(name) == 2, 10, "two counted")


def test_an_abandoned_call_is_logged_as_cancelled(log):
    over = threading.Event()
    call = log.stub().Chat(m for m in itertools.chain([pb.ChatMessage(text="a")],
                                                      iter(lambda: over.wait(30) or None, None)))
    next(call)
    call.cancel()
    over.set()
    (line,) = log.lines(1)
    assert line["status"] == "Cancelled" and line["messages_in"] == line["messages_out"] == 1


def test_no_line_of_a_load_is_lost_or_torn(log):
    count = 400 if SANITIZED else 3000
    stubs = [log.stub() for _ in range(4)]

    def load(stub):
        for _ in range(count):
            expect(lambda: stub.GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)
    threads = [threading.Thread(target=load, args=[stub]) for stub in stubs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.stop(signal.SIGQUIT) == 0
    lines = [log.read(line) for line in log.path.read_text().splitlines()]
    assert len(lines) == 4 * count
    assert len({line["request_id"] for line in lines}) == 4 * count


def test_without_a_file_the_log_goes_to_standard_error(start):
    rosterd = start("--access-log", "on")
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="ada"))
    rosterd.wait_log(r"method=/userservice.UserService/CreateUser status=OK")


def test_a_reader_that_hangs_loses_lines_but_no_call(start, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)  # keeps the pipe open; nothing reads it, and it holds 64 kB
    try:
        rosterd = start("--access-log", "on", "--access-log-file", str(pipe), workers=1)
        with Wire(rosterd.connect()) as connection:
            body = message(pb.GetUserRequest(id="x" * 100))
            for _ in range(60):
                streams = [connection.open("GetUser") for _ in range(100)]
                for stream in streams:
                    connection.data(stream, body)
                for stream in streams:
                    assert connection.wait(stream).grpc_status == 5
        dropped = "rosterd_access_log_dropped_total"
        # 6,000 lines of 300 bytes: more than the pipe and the ring can hold
        assert wait_for(lambda: rosterd.inspect("stats")[dropped], 10, "dropped lines") > 0
        assert rosterd.stop(signal.SIGQUIT) == 0
    finally:
        os.close(held)


def test_a_file_that_cannot_be_opened_ends_the_start(tmp_path):
    from harness import ROSTERD, free_port
    done = subprocess.run([ROSTERD, "--listen", f"127.0.0.1:{free_port()}", "--access-log", "on",
                           "--segment", f"/rosterd-e2e-{os.getpid()}-nolog",
                           "--access-log-file", str(tmp_path / "no" / "log")],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "rosterd: access-log-file: " in done.stderr and "No such file" in done.stderr
