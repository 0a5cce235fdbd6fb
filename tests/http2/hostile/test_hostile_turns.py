# SPDX-License-Identifier: MIT
"""Connections that ask for as much as they can, as fast as they can. Clients that need little are
served all the same, and new connections are accepted."""
import threading
import time

import pytest

import user_service_pb2 as pb
from attack import (MESSAGE_MAX, REFLECTION, WIDE, Counter, Flood, one_text, requests, script,
                    squeezed)
from harness import SANITIZED
from watch import ATTACK_SECONDS, FRESH_MS, LATENCY, watched
from wire import INITIAL_WINDOW_SIZE, Wire, message

pytestmark = pytest.mark.slow

INFLATES = squeezed(one_text(2))  # ChatMessage.text
LIST_SERVICES = message(b"\x3a\x00")

# for each kind: the request, how many of them take longer than a second, and the MiB of replies
# that wait for a client that reads more slowly than it writes
KINDS = {
    "invalid CreateUsers": ("CreateUser", message(b""), 200000, 20),
    "calls that nobody serves": ("/a/b", message(b""), 200000, 20),
    "conversations of empty messages": ("Chat", message(b"") * 1000, 2000, 40),
    "uploads of empty messages": ("BatchCreateUsers", message(b"") * 1000, 2000, 8 * 16),
    "reflection": (REFLECTION.format("v1alpha"), LIST_SERVICES * 300, 2000, 40),
    "ids of 64 KiB": ("GetUser", message(pb.GetUserRequest(id="i" * 65000)), 200, 20),
}


def new_connections(server, count):
    """Starts all connections at once. @return ms until the last of them has its answer"""
    began = time.perf_counter()
    connections = [Wire(server.connect()) for _ in range(count)]
    for connection in connections:
        connection.wait_ready()
    took = (time.perf_counter() - began) * 1000
    for connection in connections:
        connection.close()
    return took


@pytest.fixture(scope="module")
def scripts():
    made = {}

    def get(kind):
        if kind not in made:
            path, body, count, _ = KINDS[kind]
            scale = 1 if LATENCY and not SANITIZED else 4
            made[kind] = script(count // scale, path, body)
        return made[kind]
    return get


@pytest.mark.parametrize("count", [8, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_a_quiet_client_beside_many_that_are_not(server, quiet, scripts, kind, count):
    data = scripts(kind)
    with watched(server, quiet, KINDS[kind][-1], f"{count} connections of {kind}"):
        with Flood(server, count, data) as flood:  # the kernel keeps some at its end
            flood.run(ATTACK_SECONDS)
            assert flood.open == count
            print(f"\n{flood.taken / 1e6:.1f} MB sent", end="")


@pytest.mark.parametrize("count", [8, 32])
def test_fifty_new_connections_beside_many_that_are_busy(server, quiet, scripts, count):
    with watched(server, quiet, 20, f"{count} busy connections, 50 new ones"):
        with Flood(server, count, scripts("invalid CreateUsers")) as flood:
            attack = threading.Thread(target=flood.run, args=(2 * ATTACK_SECONDS + 0.5,))
            attack.start()
            time.sleep(0.2)
            took = new_connections(server, 50)
            attack.join()
        print(f"50 new connections are served after {took:.0f} ms")
        assert took < FRESH_MS


@pytest.mark.parametrize("count", [1, 10])
def test_small_messages_that_inflate_to_large_ones_all_at_once(server, quiet, count):
    """Messages of 4 KB; ten connections have 400 MB to inflate."""
    body, each = squeezed(one_text(1)), 60 if count == 1 else 10
    with watched(server, quiet, 20, f"{count} x {each} messages inflating to 4 MiB"):
        connections = [Wire(server.connect()) for _ in range(count)]
        for connection in connections:
            connection.send(requests(connection, each, "GetUser", body, grpc_encoding="gzip"))
        for connection in connections:
            statuses = {connection.wait(n, 100).grpc_status for n in range(1, 2 * each, 2)}
            assert statuses == {5}
            connection.close()


def test_conversations_of_small_messages_that_inflate(server, quiet):
    """31 messages in one write, echoed to a client that reads."""
    with watched(server, quiet, 24, "31 gzip'd Chat messages in one write"):
        with Counter(server.connect(), {INITIAL_WINDOW_SIZE: WIDE}, credit=False) as connection:
            connection.window(0, WIDE - 65535)
            connection.send(requests(connection, 1, "Chat", INFLATES * 31, grpc_encoding="gzip"))
            assert connection.wait(1, 60).grpc_status == 0
            assert connection.counted >= 31 * (5 + MESSAGE_MAX)
