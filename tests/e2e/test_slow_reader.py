# SPDX-License-Identifier: MIT
"""A reader that stops for a minute with 100 MB still to come: the other clients notice nothing."""
import statistics
import time

import pytest

import user_service_pb2 as pb
from harness import SANITIZED, fill, read_all, resident
from test_chat import Conversation
from wire import INITIAL_WINDOW_SIZE, Wire, message

USERS = 300_000
EMAIL = "e" * 230 + "@example.org"
PAUSE = 60


def wide(count):
    for i in range(count):
        yield pb.CreateUserRequest(username=f"wide{i:07}" + "w" * 80, email=EMAIL)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_reader_stopped_for_a_minute_uses_constant_memory_and_delays_nobody(start):
    rosterd = start(workers=1)
    stub = rosterd.stub()
    fill(rosterd, wide(USERS), USERS)
    pid, = rosterd.worker_pids()
    before = resident(pid)

    # The largest possible windows: only the reader's own pace holds the server back.
    wire = Wire(rosterd.connect(), {INITIAL_WINDOW_SIZE: 2**31 - 1}, credit=False).wait_ready()
    wire.window(0, 2**31 - 1 - 65535)
    listing = wire.open("ListUsers")
    wire.data(listing, message(pb.ListUsersRequest(page_size=USERS)))
    wire.until(lambda: listing in wire.streams and wire.streams[listing].data)

    # A second reader is held back by its window: a Chat whose replies are not read.
    held = Wire(rosterd.connect(), {INITIAL_WINDOW_SIZE: 1000}, credit=False).wait_ready()
    chat = held.open("Chat")
    for _ in range(20):
        held.data(chat, message(pb.ChatMessage(text="x" * 900)), end=False)

    paused = time.monotonic()
    talk, times, peak = Conversation(stub), [], 0
    late = 0
    while time.monotonic() < paused + PAUSE:
        started = time.monotonic()
        user = stub.CreateUser(pb.CreateUserRequest(username=f"late{late}"))
        assert stub.GetUser(pb.GetUserRequest(id=user.id)) == user
        assert talk.say("x").text == "Echo: x"
        assert len(read_all(stub, 50)[0]) == 50
        times.append(time.monotonic() - started)
        late, peak = late + 1, max(peak, resident(pid))
        time.sleep(0.02)
    talk.half_close()
    # The machine and its disk are busy with the other tests, so single calls may take seconds.
    assert len(times) > 250
    assert statistics.median(times) < 0.5 and max(times) < PAUSE / 4
    assert peak - before < (32 << 20 if SANITIZED else 8 << 20), f"{peak - before} bytes grown"

    # Then the reader continues, and gets the table as it was a minute ago.
    total, first, last = 0, None, None
    stream = wire.streams[listing]
    rest = b""
    end = time.monotonic() + 120
    while True:
        rest += stream.data
        stream.data = b""
        at = 0
        while len(rest) - at >= 5:
            length = int.from_bytes(rest[at + 1:at + 5], "big")
            if len(rest) - at - 5 < length:
                break
            if total % 1000 == 0 or total >= USERS - 1:
                last = pb.User.FromString(rest[at + 5:at + 5 + length])
                assert last.username == f"wide{total:07}" + "w" * 80
                first = first or last
            total, at = total + 1, at + 5 + length
        rest = rest[at:]
        if stream.ended:
            break
        assert time.monotonic() < end and stream.reset is None
        wire.read(1)
    assert total == USERS and rest == b""
    assert stream.grpc_status == 0
    assert "next-page-token" not in stream.trailers

    for _ in range(40):
        held.window(chat, 1000)
        held.read(0.05)
    held.data(chat, b"")
    assert held.wait(chat).grpc_status == 0
    assert len(held.streams[chat].messages()) == 20
    assert len(read_all(stub, USERS * 2)[0]) == USERS + late
    assert rosterd.stop() == 0
