# SPDX-License-Identifier: MIT
"""ListUsers: order, pages, and the snapshot of each listing."""
import threading

import grpc
import pytest

import user_service_pb2 as pb
from harness import Rosterd, expect, fill, read_all, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def server():
    with Rosterd() as rosterd:
        assert rosterd.stub().BatchCreateUsers(requests(25, "old")).created == 25
        yield rosterd


def names(users):
    return [user.username for user in users]


def old(first, end):
    return [f"old{i:07}" for i in range(first, end)]


def test_page_size_zero_means_ten(stub):
    assert names(read_all(stub, 0)[0]) == old(0, 10)


@pytest.mark.parametrize("size", [1, 7, 24])
def test_page_has_its_size_and_a_token(stub, size):
    users, token = read_all(stub, size)
    assert names(users) == old(0, size)
    assert token


@pytest.mark.parametrize("size", [25, 26, 1000, 2**31 - 1])
def test_last_page_has_no_token_even_when_it_is_full(stub, size):
    users, token = read_all(stub, size)
    assert names(users) == old(0, 25)
    assert token == ""


@pytest.mark.parametrize("size", [1, 5, 10, 24])
def test_pages_follow_each_other_to_the_end(stub, size):
    seen, token = [], ""
    while True:
        users, token = read_all(stub, size, page_token=token)
        seen += names(users)
        assert len(users) == size or not token
        if not token:
            break
    assert seen == old(0, 25)


def test_page_size_may_change_between_pages(stub):
    first, token = read_all(stub, 3)
    second, token = read_all(stub, 11, page_token=token)
    third, token = read_all(stub, 0, page_token=token)
    fourth, token = read_all(stub, 0, page_token=token)
    assert names(first + second + third + fourth) == old(0, 25)
    assert token == ""


def test_token_may_be_used_twice(stub):
    _, token = read_all(stub, 5)
    assert read_all(stub, 5, page_token=token) == read_all(stub, 5, page_token=token)


@pytest.mark.parametrize("size", [-1, -2**31])
def test_negative_page_size_is_invalid(stub, size):
    expect(lambda: read_all(stub, size), INVALID, "page_size")


def test_bad_tokens_are_invalid(stub):
    _, good = read_all(stub, 5)
    bad = ["x", "é", "\0", good[:-1], good + "A", good[1:], good.swapcase(), "A" * len(good),
           "0" * len(good), " " + good, good + "=", good * 100]
    for token in bad:
        expect(lambda t=token: read_all(stub, 5, page_token=t), INVALID, "page_token")


def test_users_equal_what_getuser_returns(stub):
    for user in read_all(stub, 25)[0]:
        assert stub.GetUser(pb.GetUserRequest(id=user.id)) == user


def test_empty_table_is_an_empty_listing(start):
    with start() as rosterd:
        assert read_all(rosterd.stub(), 10) == ([], "")


def test_cancelled_listing_costs_nothing(server, stub):
    for _ in range(300):  # more often than there are pins
        call = stub.ListUsers(pb.ListUsersRequest(page_size=25))
        next(call)
        call.cancel()
    assert len(read_all(stub, 25)[0]) == 25


def test_listing_started_before_1000_creations_has_exactly_the_earlier_users(start):
    with start() as rosterd:
        stub = rosterd.stub()
        assert stub.BatchCreateUsers(requests(20000, "early")).created == 20000
        # A stream window of 64 KiB that is not read holds back all but the first hundreds of users.
        slow = rosterd.stub(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))
        listing = slow.ListUsers(pb.ListUsersRequest(page_size=10**6), timeout=100)
        seen = [next(listing)]
        created = [stub.CreateUser(request) for request in requests(1000, "late")]
        assert len(created) == 1000
        seen += list(listing)
        assert names(seen) == [f"early{i:07}" for i in range(20000)]
        assert "next-page-token" not in dict(listing.trailing_metadata())
        assert names(read_all(stub, 10**6)[0][20000:]) == [f"late{i:07}" for i in range(1000)]


def test_paging_while_others_create_sees_each_earlier_user_once(start):
    with start() as rosterd:
        stub = rosterd.stub()
        assert stub.BatchCreateUsers(requests(2000, "early")).created == 2000
        stop = threading.Event()

        def create():
            other = rosterd.stub()
            for request in requests(10**6, "later"):
                if stop.is_set():
                    return
                other.CreateUser(request)
        threads = [threading.Thread(target=create) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            seen, token = [], ""
            for page in range(2000 // 37 + 1):
                users, token = read_all(stub, 37, page_token=token)
                seen += users
                assert token or len(seen) > 2000, page
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        earlier = [name for name in names(seen) if name.startswith("early")]
        assert earlier == [f"early{i:07}" for i in range(2000)]
        assert len({user.id for user in seen}) == len(seen)


def test_listing_of_100000_users_is_complete_and_in_order(start):
    with start() as rosterd:
        stub = rosterd.stub()
        fill(rosterd, requests(100000), 100000)
        users, token = read_all(stub, 100000)
        assert names(users) == [f"user{i:07}" for i in range(100000)]
        assert token == ""
        assert len({user.id for user in users}) == 100000
        assert users[54321].email == "user0054321@example.org"
