# SPDX-License-Identifier: MIT
"""How long connections may live, idle, stay silent or be slow (gRPC proposals A8 and A9)."""
import struct
import time

import grpc
import pytest

import user_service_pb2 as pb
import wire
from harness import failure, wait_for
from wire import Wire, message

NO_ERROR, SETTINGS_TIMEOUT, ENHANCE_YOUR_CALM = 0, 4, 0xb
ANY_STREAM = 2 ** 31 - 1


def limits(rosterd, name):
    return rosterd.inspect("stats")[f'rosterd_limits_hit_total{{limit="{name}"}}']


def counted(rosterd, name, count):
    wait_for(lambda: limits(rosterd, name) == count, 10, f"{count} {name}")


def closes_within(sock, seconds):
    """Whether the peer closes the connection within this time; what it sends is ignored."""
    sock.settimeout(seconds)
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


# ---- the handshake ----

@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n", wire.PREFACE,
                                  wire.PREFACE + b"\0\0\x06\x04\0\0\0\0\0\0"])
def test_an_unfinished_handshake_times_out(start, said):
    rosterd = start("--handshake-timeout", "300ms", workers=1)
    with rosterd.connect() as sock:
        sock.sendall(said)
        began = time.monotonic()
        assert closes_within(sock, 10)
        assert time.monotonic() - began > 0.2
    counted(rosterd, "handshake_timeout", 1)


def test_client_that_has_sent_the_preface_gets_a_goaway(start):
    rosterd = start("--handshake-timeout", "300ms", workers=1)
    told = struct.pack(">II", 0, SETTINGS_TIMEOUT) + b"handshake_timeout"
    with rosterd.connect() as sock:
        sock.settimeout(10)
        sock.sendall(wire.PREFACE)
        said = b"".join(iter(lambda: sock.recv(65536), b""))
    assert said.endswith(Wire.frame(wire.GOAWAY, 0, 0, told))


def test_connection_with_a_complete_handshake_stays(start):
    rosterd = start("--handshake-timeout", "300ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        time.sleep(0.7)
        assert connection.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == 5
    assert limits(rosterd, "handshake_timeout") == 0


# ---- max-connection-age ----

def test_an_aged_connection_is_drained_with_two_goaways(start):
    rosterd = start("--max-connection-age", "500ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        stream = connection.open("Chat")
        connection.data(stream, message(pb.ChatMessage(text="a")), end=False)
        connection.until(lambda: len(connection.goaways) == 2, what="two GOAWAYs")
        assert connection.goaways == [(NO_ERROR, b"max_age", ANY_STREAM),
                                      (NO_ERROR, b"max_age", stream)]
        # the accepted stream continues, and ends normally
        connection.data(stream, message(pb.ChatMessage(text="b")))
        assert connection.wait(stream).grpc_status == 0
        assert len(connection.streams[stream].messages()) == 2
        assert connection.wait_close() == NO_ERROR
    counted(rosterd, "max_connection_age", 1)


def test_connection_past_its_grace_is_closed_whatever_runs(start):
    rosterd = start("--max-connection-age", "300ms", "--max-connection-age-grace", "300ms",
                    workers=1)
    with Wire(rosterd.connect()) as connection:
        began = time.monotonic()
        connection.open("Chat")
        assert connection.wait_close() == NO_ERROR
        assert 0.5 < time.monotonic() - began < 10
        assert connection.goaway[1] == b"max_age"


def test_ages_vary_by_a_tenth(start):
    rosterd = start("--max-connection-age", "1s", workers=1)
    connections = [Wire(rosterd.connect()).wait_ready() for _ in range(20)]
    ends, began = [], time.monotonic()
    while len(ends) < 20 and time.monotonic() - began < 10:
        for connection in connections:
            if not connection.goaways and connection.read(0.002) and connection.goaways:
                ends.append(time.monotonic() - began)
    assert len(ends) == 20 and ends[-1] - ends[0] > 0.03, ends
    for connection in connections:
        connection.close()


def test_grpcio_calls_survive_ages_and_idle_timeouts(start):
    rosterd = start("--max-connection-age", "200ms", "--max-connection-idle", "100ms", workers=2)
    stub = rosterd.stub()
    end, calls = time.monotonic() + 3, 0
    while time.monotonic() < end:
        error = failure(lambda: stub.GetUser(pb.GetUserRequest(id="x"), wait_for_ready=True))
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        calls += 1
        time.sleep(0.15 if calls % 50 == 0 else 0)
    assert rosterd.inspect("stats")["rosterd_connections_accepted_total"] > 5


# ---- max-connection-idle ----

def test_an_idle_connection_is_drained(start):
    rosterd = start("--max-connection-idle", "300ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        stream = connection.open("Chat")
        connection.data(stream, message(pb.ChatMessage(text="a")), end=False)
        connection.until(lambda: stream in connection.streams
                         and connection.streams[stream].messages(), what="echo")
        end = time.monotonic() + 1
        while time.monotonic() < end:
            connection.read(0.1)
        assert not connection.goaways  # no GOAWAY while a call is open
        connection.data(stream, b"")
        connection.wait(stream)
        began = time.monotonic()
        assert connection.wait_close() == NO_ERROR
        assert time.monotonic() - began > 0.2
        assert [debug for _, debug, _ in connection.goaways] == [b"max_idle"] * 2
    counted(rosterd, "max_connection_idle", 1)


# ---- keepalive from the server ----

def test_a_silent_peer_is_pinged_and_then_disconnected(start):
    rosterd = start("--keepalive-time", "1s", "--keepalive-timeout", "500ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        connection.answer_pings = False
        began = time.monotonic()
        assert connection.wait_close() is None
        assert 1.3 < time.monotonic() - began < 10
        assert connection.pings == 1
    counted(rosterd, "keepalive_timeout", 1)


def test_a_peer_that_answers_stays(start):
    rosterd = start("--keepalive-time", "1s", "--keepalive-timeout", "200ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        connection.until(lambda: connection.pings == 2, 10, "two pings")
        assert connection.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == 5
    assert limits(rosterd, "keepalive_timeout") == 0


# ---- the client's pings ----

def ping(connection, count, pause=0.0):
    for _ in range(count):
        connection.send_frame(wire.PING, 0, 0, b"12345678")
        time.sleep(pause)


def test_too_many_pings_end_the_connection(start):
    rosterd = start(workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        ping(connection, 10)
        assert connection.wait_close() == ENHANCE_YOUR_CALM
        assert connection.goaway[1] == b"too_many_pings"
    counted(rosterd, "pings", 1)


def test_pings_are_allowed_at_the_configured_interval(start):
    rosterd = start("--keepalive-min-time", "100ms", "--keepalive-without-calls", "on", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        ping(connection, 8, 0.3)  # far apart, because on a busy machine some may arrive together
        connection.until(lambda: connection.pongs == 8, what="answers")
        ping(connection, 10)
        assert connection.wait_close() == ENHANCE_YOUR_CALM


def test_without_calls_pings_are_limited_to_one_per_two_hours(start):
    rosterd = start("--keepalive-min-time", "100ms", workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        ping(connection, 6, 0.15)
        assert connection.wait_close() == ENHANCE_YOUR_CALM


# ---- slow clients ----

@pytest.mark.slow
def test_a_frame_that_arrives_too_slowly_times_out(start):
    """A frame must be complete within thirty seconds, however steadily its bytes arrive."""
    rosterd = start(workers=1)
    with Wire(rosterd.connect()) as connection:
        connection.wait_ready()
        connection.send(b"\0\x40\0\x01\x04\0\0\0\x01")  # HEADERS of 16 KiB
        began = time.monotonic()
        while time.monotonic() - began < 60 and not connection.closed:
            connection.send(b"\x82")
            connection.read(1)
        assert connection.closed and 25 < time.monotonic() - began < 50
        assert connection.goaway[0] == ENHANCE_YOUR_CALM
    counted(rosterd, "header_time", 1)


def test_other_connections_are_served_meanwhile(start):
    rosterd = start("--handshake-timeout", "500ms", workers=1)
    silent = [rosterd.connect() for _ in range(200)]
    stub = rosterd.stub()
    for _ in range(20):
        assert failure(lambda: stub.GetUser(pb.GetUserRequest(id="x"), timeout=5)).code() \
            == grpc.StatusCode.NOT_FOUND
    for sock in silent:
        assert closes_within(sock, 10)
        sock.close()
    counted(rosterd, "handshake_timeout", 200)

