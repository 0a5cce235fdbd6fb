# SPDX-License-Identifier: MIT
"""The memory that connections make the server hold. src/http2/account.h counts and bounds it for
each connection. Beyond the bound calls are refused. Where there is no memory at all, a call or a
connection ends, but never a process."""
import contextlib
import resource
import struct
import time

import pytest

import user_service_pb2 as pb
from attack import (CALM, HEALTH, MESSAGE_MAX, again, blast, closed_with, frames, headers,
                    literal, one_text, requests, squeezed)
from harness import SANITIZED, Rosterd, wait_for
from watch import TOKEN, held, token_file, watched
from wire import (DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, Wire, message)

pytestmark = pytest.mark.slow

EXHAUSTED, DEADLINE, NOT_FOUND = 8, 4, 5
ACCOUNT = 16  # MiB, max-connection-memory
# the buffers in which a worker inflates and decodes one message at a time
SHARED = 12
MIB = 1 << 20
INFLATES = squeezed(one_text(2))  # ChatMessage.text
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Rosterd(*token_file(tmp_path_factory.mktemp("memory")), workers=1) as rosterd:
        yield rosterd


def status(connection, number):
    stream = connection.streams.get(number)
    return stream.grpc_status if stream else None


# ---- replies that wait ----

@pytest.mark.parametrize("count", [1, 4])
def test_replies_that_meet_a_closed_window(server, quiet, count):
    """120 conversations on each connection; each sends 4 KB that inflate to 4 MiB."""
    with watched(server, quiet, count * ACCOUNT + SHARED, f"{count} x 120 replies, window closed"):
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                connection = stack.enter_context(Wire(server.connect(), {INITIAL_WINDOW_SIZE: 0}))
                connection.wait_ready()
                connection.send(requests(connection, 120, "Chat", INFLATES, end=False,
                                         grpc_encoding="gzip", **BEARER))
                # some wait; the others are refused with a status, which needs no window
                connection.until(lambda c=connection: sum(
                    status(c, n) == EXHAUSTED for n in range(1, 241, 2)) >= 110, 30)
                assert connection.goaway is None


@pytest.mark.unsanitized  # the sanitizer's allocator aborts where there is no memory
@pytest.mark.parametrize("limit", [resource.RLIMIT_DATA, resource.RLIMIT_AS])
@pytest.mark.parametrize("attack", ["replies", "halves"])
def test_without_memory_calls_end_and_no_process(start, attack, limit):
    """Forty connections fill their accounts, in a worker that may allocate 100 MB more."""
    rosterd = start(workers=1)
    pids = rosterd.worker_pids()
    with Wire(rosterd.connect()) as friend, contextlib.ExitStack() as stack:
        assert friend.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == NOT_FOUND
        now = resource_used(pids[0], limit)
        resource.prlimit(pids[0], limit, (now + 100 * MIB, now + 100 * MIB))
        for _ in range(40):
            connection = stack.enter_context(Wire(rosterd.connect(), {INITIAL_WINDOW_SIZE: 0}))
            if attack == "replies":
                connection.send(requests(connection, 20, "Chat", INFLATES, end=False,
                                         grpc_encoding="gzip"))
            else:
                out = [headers(connection, END_HEADERS, "GetUser")[1] +
                       frames(connection, number, half(200000), end=False)
                       for number in range(1, 80, 2)]
                connection.sock.settimeout(5)
                with contextlib.suppress(OSError):
                    connection.sock.sendall(b"".join(out))
        time.sleep(0.5)
        response = friend.call("GetUser", message(pb.GetUserRequest(id="x")))
        assert response.grpc_status in (NOT_FOUND, EXHAUSTED) and friend.goaway is None
    assert rosterd.worker_pids() == pids, rosterd.log()
    # when they are closed, calls succeed again
    wait_for(lambda: rosterd.inspect("stats")["rosterd_connections_open"] == 0, 10, "all gone")
    with Wire(rosterd.connect()) as friend:
        assert friend.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == NOT_FOUND
    assert rosterd.worker_pids() == pids, rosterd.log()


def resource_used(pid, limit):
    name = "VmData" if limit == resource.RLIMIT_DATA else "VmSize"
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError(name)


# ---- requests that never end ----

def half(size, whole=MESSAGE_MAX):
    """@return the beginning of a message of `whole` bytes"""
    return struct.pack(">BI", 0, whole) + one_text(1, whole)[:size]


def send_slowly(connection, number, body):
    """Sends as the connection's window allows; the streams' windows suffice for what is sent."""
    connection.wait_ready()
    initial = {0: 65535, number: connection.settings[INITIAL_WINDOW_SIZE]}
    sent = connection.sent = getattr(connection, "sent", 0)
    at = 0
    while at < len(body) and status(connection, number) is None:
        room = min(initial[0] + connection.room.get(0, 0) - sent,
                   initial[number] + connection.room.get(number, 0) - at, 16384, len(body) - at)
        if room <= 0:
            connection.read(0.05)
            continue
        connection.data(number, body[at:at + room], end=False)
        at, sent = at + room, sent + room
        connection.sent = sent


def test_sixty_messages_of_four_mebibytes_that_never_end(server, quiet):
    with watched(server, quiet, ACCOUNT + SHARED, "60 messages without their last byte") as look:
        with Wire(server.connect()) as connection:
            for _ in range(60):
                number = connection.open("GetUser", **BEARER)
                send_slowly(connection, number, half(MESSAGE_MAX - 1))
            look()
            connection.ping()
            refused = [n for n in connection.streams if status(connection, n) == EXHAUSTED]
            assert len(refused) >= 55 and connection.goaway is None
            response = connection.streams[refused[0]]
            assert "memory" in response.trailers["grpc-message"], response


def test_thousands_of_halves_without_a_token(server, quiet):
    """Health allows 8 KiB per message. Each stream sends a kilobyte less than that."""
    with watched(server, quiet, 4 * ACCOUNT, "4 x 1,000 halves of health checks"):
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(Wire(server.connect()))
                connection.wait_ready()
                out = []
                for _ in range(1000):
                    number, frame = headers(connection, END_HEADERS, HEALTH)
                    out.append(frame + connection.frame(DATA, 0, number, half(8000, 8192)))
                connection.send(b"".join(out))
                connection.ping()


def test_the_rest_of_a_message_has_a_time(start):
    """The memory of incomplete messages is freed after message-timeout."""
    rosterd = start("--message-timeout", "1s", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.call("GetUser", message(pb.GetUserRequest(id="x")))
        before = held(rosterd)
        numbers = []
        for _ in range(2):
            numbers.append(connection.open("GetUser"))
            send_slowly(connection, numbers[-1], half(MESSAGE_MAX - 1))
        assert held(rosterd) - before > 6 * MIB
        for number in numbers:
            response = connection.wait(number, 5)
            assert response.grpc_status == DEADLINE
            assert "message-timeout" in response.trailers["grpc-message"]
        if not SANITIZED:
            wait_for(lambda: held(rosterd) - before < 2 * MIB, 5, "memory given back")


# ---- what methods keep ----

def test_uploads_that_stay_open(server, quiet):
    """Each upload has a thousand invalid users and 28 KB of valid ones, in 33 KB."""
    user = message(pb.CreateUserRequest(username="u" * 64, email="e" * 200 + "@example.org"))
    body = message(b"") * 1000 + user * 90
    with watched(server, quiet, ACCOUNT + SHARED, "1,000 uploads that stay open"):
        with Wire(server.connect()) as connection:
            connection.wait_ready()
            for _ in range(1000):
                number, frame = headers(connection, END_HEADERS, "BatchCreateUsers", **BEARER)
                connection.send(frame + frames(connection, number, body, end=False))
                connection.read(0)
            connection.ping()
            assert connection.goaway is None


# ---- metadata ----

def test_metadata_of_eight_kibibytes_on_a_thousand_streams(server, quiet):
    """Calls that stay open, and their metadata with them."""
    # literals, encoded once for all: python-hpack would take a minute
    fields = Wire(None, hello=False).fields("/userservice.UserService/Chat", **BEARER)
    block = b"".join(literal(*field) for field in
                     [*fields, ("x-one", "v" * 3700), ("x-two", "v" * 3700)])
    with watched(server, quiet, 4 * ACCOUNT, "4 x 1,000 streams with 8 KiB of metadata"):
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(Wire(server.connect())).wait_ready()
                connection.send(b"".join(connection.frame(HEADERS, END_HEADERS, number, block)
                                         for number in range(1, 2000, 2)))
                connection.ping()
                assert connection.goaway is None
                assert {status(connection, n) for n in connection.streams} <= {None, EXHAUSTED}


# ---- listings ----

def test_stalled_listings_each_of_another_version(server, quiet):
    """Clients that stall their listings do not keep others from listing."""
    with watched(server, quiet, ACCOUNT, "140 stalled listings"):
        with Wire(server.connect(), {INITIAL_WINDOW_SIZE: 0}) as stalled, \
                Wire(server.connect()) as writer, Wire(server.connect()) as other:
            request = message(pb.ListUsersRequest(page_size=100))
            for i in range(140):
                user = message(pb.CreateUserRequest(username=f"u{i}"))
                assert writer.call("CreateUser", user, **BEARER).grpc_status == 0
                stalled.send(requests(stalled, 1, "ListUsers", request, **BEARER))
                stalled.ping() if i % 40 == 0 else stalled.read(0)
            response = other.call("ListUsers", message(pb.ListUsersRequest(page_size=1)), **BEARER)
            assert response.grpc_status == 0 and len(response.messages()) == 1


# ---- frames for closed streams ----

def test_a_million_empty_frames_for_a_stream_that_was_reset(server, quiet):
    with watched(server, quiet, 2, "1,000,000 empty DATA frames, their stream reset"):
        for _ in again():
            with Wire(server.connect()) as connection:
                connection.wait_ready()
                number = connection.open("Chat", **BEARER)
                connection.send_frame(RST_STREAM, 0, number, b"\0\0\0\x08")
                assert blast(connection, connection.frame(DATA, 0, number) * 1000, 1000)
                assert closed_with(connection) == CALM
