# SPDX-License-Identifier: MIT
"""Messages that are cheap to send and expensive to decode."""
import contextlib

import pytest

from attack import HEALTH, REFLECTION, again, full_of, requests, squeezed
from harness import Rosterd
from watch import LATENCY, TOKEN, token_file, watched
from wire import Wire, message

pytestmark = pytest.mark.slow

INVALID, EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = 3, 8, 12, 16
BEARER = {"authorization": f"Bearer {TOKEN}", "grpc_encoding": "gzip"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Rosterd(*token_file(tmp_path_factory.mktemp("decode")), workers=1) as rosterd:
        yield rosterd


FIELDS = {
    "unknown numbers": full_of(b"\x70\x00"),
    "unknown texts": full_of(b"\x72\x00"),
    "unknown groups": full_of(b"\x73\x74"),
    "known numbers, other types": full_of(b"\x08\x00"),
    "empty texts": full_of(b"\x0a\x00"),
}
PLACES = {
    "health": (HEALTH, {"grpc_encoding": "gzip"}, {UNIMPLEMENTED}),
    "reflection v1": (REFLECTION.format("v1"), BEARER, {EXHAUSTED}),
    "reflection v1alpha": (REFLECTION.format("v1alpha"), BEARER, {EXHAUSTED}),
    "a call without its token": ("CreateUser", {"grpc_encoding": "gzip"}, {UNAUTHENTICATED}),
    "CreateUser": ("CreateUser", BEARER, {EXHAUSTED, INVALID}),
}


# nothing is inflated here, so it does not matter what it would inflate to
CASES = [(place, "unknown numbers") for place in PLACES] + \
    [("CreateUser", fields) for fields in FIELDS if fields != "unknown numbers"]


@pytest.mark.parametrize("place, fields", CASES)
def test_millions_of_fields_in_four_kilobytes(server, quiet, place, fields):
    """Ten connections send thirty such requests each at once, 1.3 MB in all."""
    count, each = (10, 30) if LATENCY else (5, 10)
    path, changes, expected = PLACES[place]
    body = squeezed(FIELDS[fields])
    with watched(server, quiet, 20, f"{place}: {fields}"):
        for _ in again():
            with contextlib.ExitStack() as stack:
                connections = [stack.enter_context(Wire(server.connect())) for _ in range(count)]
                for connection in connections:
                    connection.send(requests(connection, each, path, body, **changes))
                for connection in connections:
                    statuses = {connection.wait(n, 60).grpc_status for n in range(1, 2 * each, 2)}
                    assert statuses <= expected


def test_health_takes_no_large_message(server, quiet):
    """Without gzip the length prefix alone decides."""
    with watched(server, quiet, 2, "health: 4 MiB, not compressed"):
        for _ in again():
            with Wire(server.connect()) as connection:
                connection.send(requests(connection, 200, HEALTH, message(bytes(8193))[:5],
                                         end=False))
                assert {connection.wait(n).grpc_status for n in range(1, 401, 2)} == {EXHAUSTED}
