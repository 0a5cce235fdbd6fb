# SPDX-License-Identifier: MIT
"""Listings that their clients do not read while the listed users change: they show their snapshot
or say why not, and memory is limited."""
import json
import os
import subprocess
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import SANITIZED, WRITER, fill, read_all, requests, wait_for, writer
from wire import END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, Wire, message

ABORTED = grpc.StatusCode.ABORTED.value[0]
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
TOO_MUCH = "snapshot-max-bytes ({}) of changed users in memory"
TOO_OLD = "older than snapshot-max-age ({})"
BODY = 192  # most bytes that the old version of a changed user takes
STALE = 64 << 10  # bytes that only wait for a grace period


class Listing:
    """A listing whose client reads a little and then stops."""

    def __init__(self, rosterd, users):
        self.wire = Wire(rosterd.connect(), {INITIAL_WINDOW_SIZE: 4096}, credit=False).wait_ready()
        self.number = self.wire.open("ListUsers")
        self.wire.data(self.number, message(pb.ListUsersRequest(page_size=users)))
        self.wire.until(lambda: self.number in self.wire.streams
                        and len(self.wire.streams[self.number].data) == 4096)

    def read_on(self):
        """Reads the stream to its end and returns it."""
        self.wire.window(0, 2**31 - 1 - 65535)
        self.wire.window(self.number, 2**31 - 1 - 4096)
        return self.wire.wait(self.number, 60)

    def users(self):
        return [pb.User.FromString(body) for body in self.wire.streams[self.number].messages()]


def check_aborted(listing, text):
    """Checks that the listing ends with this error when its client continues, after intact users in
    order."""
    assert not listing.wire.streams[listing.number].ended
    stream = listing.read_on()
    assert (stream.grpc_status, stream.reset) == (ABORTED, None)
    assert text in stream.trailers["grpc-message"], stream.trailers
    assert "next-page-token" not in stream.trailers
    seen = listing.users()
    assert 0 < len(seen) < 1000
    assert [user.username for user in seen] == [f"user{i:07}" for i in range(len(seen))]
    return seen


def serve(start, users, *options):
    rosterd = start(*options)
    fill(rosterd, requests(users), users)
    return rosterd


def held(rosterd):
    return writer(rosterd, "info")["now"]


def wait_held(rosterd, count):
    wait_for(lambda: held(rosterd)["held_count"] == count, 10, f"{count} bodies kept")


def wait_released(rosterd):
    wait_for(lambda: held(rosterd)["held_bytes"] == 0, 10, "the snapshot's memory given back")


def test_paused_listing_returns_its_snapshot_despite_changes(start):
    rosterd = serve(start, 2000)
    listing = Listing(rosterd, 10**6)
    memory = writer(rosterd, "update", 0, 2000, 20000)
    wait_held(rosterd, 2000)  # one old version per user, not one per change
    assert memory["most"]["bytes_used"] - memory["before"]["bytes_used"] < 2000 * BODY + STALE
    assert listing.read_on().grpc_status == 0
    seen = listing.users()
    assert [user.username for user in seen] == [f"user{i:07}" for i in range(2000)]
    assert {tuple(user.roles) for user in seen} == {("user",)}
    now, _ = read_all(rosterd.stub(), 10**6)
    assert [user.username for user in now] == [user.username for user in seen]
    assert {tuple(user.roles) for user in now} == {("round9",)}
    wait_released(rosterd)
    assert rosterd.inspect("verify")["faults"] == 0
    assert rosterd.stop() == 0


def test_listing_that_holds_too_much_is_aborted_with_the_reason(start):
    rosterd = serve(start, 20000, "--snapshot-max-bytes", "1M")
    listing = Listing(rosterd, 10**6)
    memory = writer(rosterd, "update", 0, 20000, 40000)
    # The snapshot is revoked at the first check after the cap was exceeded, whether or not its
    # worker runs.
    assert memory["most"]["held_bytes"] < (1 << 20) + STALE
    assert memory["most"]["bytes_used"] - memory["before"]["bytes_used"] < (1 << 20) + 4 * STALE
    wait_released(rosterd)  # although its client still reads nothing
    assert {tuple(user.roles) for user in check_aborted(listing, TOO_MUCH.format("1M"))} \
        == {("user",)}
    assert {tuple(user.roles) for user in read_all(rosterd.stub(), 10**6)[0]} == {("round1",)}
    assert rosterd.stop() == 0


def test_oldest_listing_is_aborted_and_a_later_one_continues(start):
    rosterd = serve(start, 20000, "--snapshot-max-bytes", "1M")
    old = Listing(rosterd, 10**6)
    writer(rosterd, "update", 0, 5000, 5000)
    later = Listing(rosterd, 10**6)
    writer(rosterd, "update", 5000, 5000, 5000)
    check_aborted(old, TOO_MUCH.format("1M"))
    assert later.read_on().grpc_status == 0
    assert [tuple(user.roles) for user in later.users()] \
        == 5000 * [("round0",)] + 15000 * [("user",)]
    wait_released(rosterd)
    assert rosterd.stop() == 0


def test_listing_past_its_age_is_aborted_with_the_reason(start):
    rosterd = serve(start, 2000, "--snapshot-max-age", "2s")
    listing = Listing(rosterd, 10**6)
    began = time.monotonic()
    writer(rosterd, "update", 0, 2000, 2000)
    wait_held(rosterd, 2000)
    wait_released(rosterd)
    assert 1 < time.monotonic() - began
    check_aborted(listing, TOO_OLD.format("2s"))
    assert rosterd.stop() == 0


def at_once(wire, *calls):
    """Sends calls whose frames are sent in one piece. @return their stream numbers"""
    frames, send = [], wire.send
    wire.send = frames.append
    numbers = []
    for path, request in calls:
        numbers.append(wire.open(path))
        wire.data(numbers[-1], message(request))
    wire.send = send
    wire.send(b"".join(frames))
    return numbers


def delete_under(rosterd, first, count):
    """Deletes users [first, first + count) while a paused listing keeps them in the lists."""
    listing = Listing(rosterd, 10**6)
    ids = [user.id for user in read_all(rosterd.stub(), 10**6)[0]]
    for i in range(first, first + count, 1000):
        rosterd.inspect("delete", *ids[i:min(i + 1000, first + count)])
    wait_held(rosterd, count)
    return listing


def test_listing_that_passes_deleted_users_lets_other_calls_go_first(start):
    rosterd = serve(start, 6000)
    listing = delete_under(rosterd, 0, 5990)
    with Wire(rosterd.connect()).wait_ready() as wire:
        known = read_all(rosterd.stub(), 1)[0][0]
        answered, take = [], wire.take

        def note(kind, flags, number, payload):
            if kind == HEADERS and flags & END_STREAM:
                answered.append(number)
            take(kind, flags, number, payload)

        wire.take = note
        listed, got = at_once(wire, ("ListUsers", pb.ListUsersRequest(page_size=4)),
                              ("GetUser", pb.GetUserRequest(id=known.id)))
        assert wire.wait(listed).grpc_status == wire.wait(got).grpc_status == 0
        assert answered == [got, listed]
        names = [pb.User.FromString(body).username for body in wire.streams[listed].messages()]
        assert names == [f"user{i:07}" for i in range(5990, 5994)]
    assert listing.read_on().grpc_status == 0
    assert len(listing.users()) == 6000
    assert rosterd.stop() == 0


def test_page_token_is_exact_if_deleted_users_follow_the_page(start):
    rosterd = serve(start, 6000)
    stub = rosterd.stub()
    listing = delete_under(rosterd, 10, 5980)  # the first and the last ten remain
    users, token = read_all(stub, 10)
    assert [user.username for user in users] == [f"user{i:07}" for i in range(10)] and token
    users, end = read_all(stub, 10, page_token=token)
    assert [user.username for user in users] == [f"user{i:07}" for i in range(5990, 6000)]
    assert end == ""
    rosterd.inspect("delete", *(user.id for user in users))
    wait_held(rosterd, 5990)
    assert read_all(stub, 10)[1] == ""
    assert read_all(stub, 10, page_token=token) == ([], "")
    assert len(read_all(stub, 9)[0]) == 9 and read_all(stub, 9)[1]
    assert listing.read_on().grpc_status == 0
    assert rosterd.stop() == 0


def stall(rosterd, count):
    """Opens a connection with this many listings that it does not read, each of another version."""
    stub = rosterd.stub()
    wire = Wire(rosterd.connect(), {INITIAL_WINDOW_SIZE: 0}, credit=False).wait_ready()
    for i in range(count):
        stub.CreateUser(pb.CreateUserRequest(username=f"version{i}"))
        wire.data(wire.open("ListUsers"), message(pb.ListUsersRequest(page_size=100)))
        wire.ping()  # the listing has begun
    return wire


def test_unread_listings_do_not_prevent_other_listings(start):
    rosterd = start(workers=1)
    first = stall(rosterd, 70)
    # A connection may hold an eighth of the 126 pins; further listings get an error.
    for number, stream in first.streams.items():
        assert (stream.grpc_status == EXHAUSTED) == (number > 2 * 16)
    others = [stall(rosterd, 16 if i < 6 else 14) for i in range(7)]
    time.sleep(0.3)
    stub = rosterd.stub()
    stub.CreateUser(pb.CreateUserRequest(username="the last"))
    users, _ = read_all(stub, 1000)
    assert len(users) == 70 + 6 * 16 + 14 + 1

    def aborted():
        first.read(0.1)
        return [stream for stream in first.streams.values() if stream.grpc_status == ABORTED]
    ended = wait_for(aborted, 10, "a listing that ended ABORTED")
    assert len(ended) == 1
    assert "did not get on" in ended[0].trailers["grpc-message"]
    for other in (first, *others):
        other.close()


def test_client_library_gets_the_reason_why_its_listing_ends(start):
    rosterd = serve(start, 20000, "--snapshot-max-age", "1s")
    slow = rosterd.stub(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))
    listing = slow.ListUsers(pb.ListUsersRequest(page_size=10**6), timeout=60)
    seen = [next(listing)]
    time.sleep(2)
    with pytest.raises(grpc.RpcError) as error:
        seen.extend(listing)
    assert error.value.code() == grpc.StatusCode.ABORTED
    assert TOO_OLD.format("1s") in error.value.details()
    assert [user.username for user in seen] == [f"user{i:07}" for i in range(len(seen))]
    assert len(seen) < 20000


def test_cancelled_listing_releases_its_memory(start):
    rosterd = serve(start, 2000)
    listing = Listing(rosterd, 10**6)
    writer(rosterd, "update", 0, 2000, 2000)
    wait_held(rosterd, 2000)
    listing.wire.close()
    wait_released(rosterd)


def ten_users_keep_ten_bodies(rosterd, memory):
    grown = memory["most"]["bytes_used"] - memory["before"]["bytes_used"]
    assert grown < 100_000, grown
    wait_held(rosterd, 10)
    wait_for(lambda: held(rosterd)["bytes_used"] - memory["before"]["bytes_used"] < 10 * BODY)


def test_many_updates_of_ten_users_keep_ten_bodies_for_a_paused_listing(start):
    rosterd = serve(start, 2000)
    listing = Listing(rosterd, 10**6)
    updates = 20_000 if SANITIZED else 200_000
    ten_users_keep_ten_bodies(rosterd, writer(rosterd, "update", 1000, 10, updates))
    assert listing.read_on().grpc_status == 0
    assert {tuple(user.roles) for user in listing.users()} == {("user",)}
    wait_released(rosterd)
    assert rosterd.stop() == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_listings_paused_for_long_while_a_million_updates_run(start):
    """Three listings: one holds all that it shows, one holds ten users that change, one exceeds the
    cap."""
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    updates = 1_000_000
    rate = int(updates / seconds) + 1
    age = f"{int(seconds) * 2 + 60}s"
    all_users = serve(start, 20000, "--snapshot-max-age", age)
    ten_users = serve(start, 20000, "--snapshot-max-age", age)
    capped = serve(start, 20000, "--snapshot-max-age", age, "--snapshot-max-bytes", "1M")
    listings = [Listing(rosterd, 10**6) for rosterd in (all_users, ten_users, capped)]
    began = time.monotonic()
    running = [subprocess.Popen([WRITER, rosterd.segment, "update", *map(str, what), str(updates),
                                 str(rate)], stdout=subprocess.PIPE, text=True)
               for rosterd, what in ((all_users, (0, 20000)), (ten_users, (10000, 10)),
                                     (capped, (0, 20000)))]
    memory = []
    for process in running:
        text, _ = process.communicate()
        assert process.returncode == 0
        memory.append(json.loads(text))
    time.sleep(max(0, began + seconds - time.monotonic()))

    grown = [each["most"]["bytes_used"] - each["before"]["bytes_used"] for each in memory]
    print(f"\npaused for {time.monotonic() - began:.0f} s, {updates} updates each: memory grew by "
          f"{grown[0]} bytes for all of 20,000 users, {grown[1]} for ten, {grown[2]} under a cap "
          "of 1M")
    wait_held(all_users, 20000)
    assert grown[0] < 20000 * BODY + STALE
    ten_users_keep_ten_bodies(ten_users, memory[1])
    assert memory[2]["most"]["held_bytes"] < (1 << 20) + STALE
    for listing in listings[:2]:
        assert listing.read_on().grpc_status == 0
        assert [user.username for user in listing.users()] == [f"user{i:07}" for i in range(20000)]
        assert {tuple(user.roles) for user in listing.users()} == {("user",)}
    check_aborted(listings[2], TOO_MUCH.format("1M"))
    for rosterd in (all_users, ten_users, capped):
        wait_released(rosterd)
        assert rosterd.inspect("verify")["faults"] == 0
        assert rosterd.stop() == 0
