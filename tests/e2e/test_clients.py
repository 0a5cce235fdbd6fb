# SPDX-License-Identifier: MIT
"""Independent clients: grpcurl, ghz, h2load, h2spec."""
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import user_service_pb2 as pb
from harness import OUT, PROTO, SANITIZED, Rosterd, read_all, requests
from wire import message

PATH = "/userservice.UserService/"
LOAD = 2000 if SANITIZED else 20000


@pytest.fixture(scope="module")
def server():
    with Rosterd() as rosterd:
        assert rosterd.stub().BatchCreateUsers(requests(1000)).created == 1000
        yield rosterd


@pytest.fixture
def user(stub):
    return next(iter(stub.ListUsers(pb.ListUsersRequest(page_size=1))))


def run(*command, status=0, **settings):
    assert shutil.which(command[0]), f"{command[0]} is missing: scripts/setup --test installs it"
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, **settings)
    assert status is None or done.returncode == status, done
    return done


class Counts:
    """The growth of the server's own counters, by method and status, since this object was made."""

    def __init__(self, server):
        self.server = server
        self.before = self.read()

    def read(self):
        # Workers publish counts at the end of a turn: ask until two answers agree.
        last = None
        while True:
            now = self.server.inspect("stats")
            if now == last:
                return now
            last = now

    def handled(self, method):
        grown = {}
        for name, value in self.read().items():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
            if name.startswith("grpc_server_handled_total") and labels["grpc_method"] == method:
                growth = value - self.before.get(name, 0)
                if growth:
                    grown[labels["grpc_code"]] = growth
        return grown


# ---- grpcurl ----

def grpcurl(server, method, data, *options, status=0):
    done = run("grpcurl", "-plaintext", "-import-path", PROTO, "-proto", "user_service.proto",
               *options, "-d", data, f"127.0.0.1:{server.port}", f"userservice.UserService/{method}",
               status=status)
    decoder, replies, text = json.JSONDecoder(), [], done.stdout.strip()
    while text:
        value, end = decoder.raw_decode(text)
        replies.append(value)
        text = text[end:].strip()
    return replies, done


def test_grpcurl_creates_and_gets(server):
    (created,), _ = grpcurl(server, "CreateUser", '{"username":"curl","email":"c@url"}')
    assert created["username"] == "curl" and created["roles"] == ["user"]
    (got,), _ = grpcurl(server, "GetUser", json.dumps({"id": created["id"]}))
    assert got == created


def test_grpcurl_shows_errors(server):
    _, done = grpcurl(server, "GetUser", '{"id":"nobody"}', status=None)
    assert done.returncode != 0
    assert "NotFound" in done.stderr and "User nobody not found" in done.stderr
    _, done = grpcurl(server, "CreateUser", "{}", status=None)
    assert "InvalidArgument" in done.stderr and "username" in done.stderr


def test_grpcurl_lists_and_sees_the_next_page_token(server):
    done = run("grpcurl", "-v", "-plaintext", "-import-path", PROTO, "-proto", "user_service.proto",
               "-d", '{"page_size":3}', f"127.0.0.1:{server.port}",
               "userservice.UserService/ListUsers")
    assert done.stdout.count('"username"') == 3
    assert re.search(r"Response trailers received:\nnext-page-token: \S+", done.stdout)


def test_grpcurl_batches(server):
    sent = "".join(json.dumps({"username": f"b{i}", "email": "a@b" if i % 5 else "bad"})
                   for i in range(50))
    (result,), _ = grpcurl(server, "BatchCreateUsers", sent)
    assert result["created"] == 40 and len(result["errors"]) == 10


def test_grpcurl_chats(server):
    sent = "".join(json.dumps({"text": f"line {i}"}) for i in range(20))
    replies, _ = grpcurl(server, "Chat", sent)
    assert [reply["text"] for reply in replies] == [f"Echo: line {i}" for i in range(20)]


# ---- ghz ----

def ghz(server, method, data, count, *options):
    done = run("ghz", "--insecure", "--proto", f"{PROTO}/user_service.proto", "--call",
               f"userservice.UserService.{method}", "-d", json.dumps(data), "-n", str(count),
               "-c", "20", "--connections", "5", "-O", "json", *options,
               f"127.0.0.1:{server.port}")
    return json.loads(done.stdout)


@pytest.mark.parametrize("method, share", [("GetUser", 1), ("CreateUser", 4), ("ListUsers", 10),
                                           ("BatchCreateUsers", 10), ("Chat", 10)])
def test_ghz_gets_nothing_but_ok(server, user, method, share):
    data = {"GetUser": {"id": user.id}, "CreateUser": {"username": "ghz", "email": "g@hz"},
            "ListUsers": {"page_size": 100},
            "BatchCreateUsers": [{"username": f"g{i}"} for i in range(10)],
            "Chat": [{"text": str(i)} for i in range(10)]}[method]
    count = LOAD // share // 4
    counts = Counts(server)
    report = ghz(server, method, data, count)
    assert report["count"] == count
    assert report["statusCodeDistribution"] == {"OK": count}
    assert not report.get("errorDistribution")
    assert counts.handled(method) == {"OK": count}


def test_ghz_counts_not_found_errors(server):
    counts = Counts(server)
    report = ghz(server, "GetUser", {"id": "nobody"}, 500)
    assert report["statusCodeDistribution"] == {"NotFound": 500}
    assert counts.handled("GetUser") == {"NOT_FOUND": 500} \
        or counts.handled("GetUser") == {"NotFound": 500}


# ---- h2load ----

def h2load(server, method, body, count, clients=10, streams=10):
    path = OUT / f"h2load-{method}"
    path.write_bytes(body)
    done = run("h2load", "-n", str(count), "-c", str(clients), "-m", str(streams), "-d", str(path),
               "-H", "content-type: application/grpc", "-H", "te: trailers",
               f"http://127.0.0.1:{server.port}{PATH}{method}")
    found = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
                      r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    total, _, _, succeeded, failed, errored, timeout = map(int, found.groups())
    assert (total, succeeded, failed, errored, timeout) == (count, count, 0, 0, 0), done.stdout
    assert re.search(rf"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout), done.stdout
    return int(re.search(r"traffic: .*?\((\d+)\) data$", done.stdout, re.M).group(1))


@pytest.mark.parametrize("clients, streams", [(1, 1), (10, 10), (10, 100), (100, 10)])
def test_h2load_of_getuser_is_answered_in_full(server, user, clients, streams):
    counts = Counts(server)
    count = LOAD if clients * streams > 1 else LOAD // 10
    body = message(pb.GetUserRequest(id=user.id))
    data = h2load(server, "GetUser", body, count, clients, streams)
    assert counts.handled("GetUser") == {"OK": count}
    assert data == count * (5 + user.ByteSize())


def test_h2load_of_createuser_creates_that_many(start):
    with start() as rosterd:
        counts = Counts(rosterd)
        body = message(pb.CreateUserRequest(username="load", email="l@oad", password="p"))
        h2load(rosterd, "CreateUser", body, LOAD)
        assert counts.handled("CreateUser") == {"OK": LOAD}
        users, _ = read_all(rosterd.stub(), LOAD + 1)
        assert len({user.id for user in users}) == len(users) == LOAD


@pytest.mark.parametrize("method", ["ListUsers", "BatchCreateUsers", "Chat"])
def test_h2load_of_streaming_calls(server, stub, method):
    body = {"ListUsers": message(pb.ListUsersRequest(page_size=100)),
            "BatchCreateUsers": b"".join(map(message, requests(20, "load"))),
            "Chat": b"".join(message(pb.ChatMessage(text=f"{i:04}")) for i in range(100))}[method]
    count = LOAD // 20
    counts = Counts(server)
    data = h2load(server, method, body, count)
    assert counts.handled(method) == {"OK": count}
    if method == "ListUsers":
        users, _ = read_all(stub, 100)
        assert data == count * sum(5 + user.ByteSize() for user in users)
    elif method == "BatchCreateUsers":
        assert data == count * (5 + pb.BatchResult(created=20).ByteSize())
    else:
        # a timestamp in ms takes six bytes for centuries to come
        echo = pb.ChatMessage(user_id="server", text="Echo: 0000", timestamp=1 << 41)
        assert data == count * 100 * (5 + echo.ByteSize())


# ---- h2spec ----

@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", ["/", PATH + "GetUser"])
def test_h2spec_passes_without_failures_or_skips(start, path):
    with start() as rosterd:
        report = OUT / f"run-h2spec-{'root' if path == '/' else 'method'}.junit.xml"
        pids = rosterd.worker_pids()
        done = run("h2spec", "--strict", "-h", "127.0.0.1", "-p", str(rosterd.port), "-P", path,
                   "-o", "5", "-j", str(report), status=None)
        summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        assert summary, done
        total, passed, skipped, failed = map(int, summary.groups())
        assert (skipped, failed) == (0, 0), done.stdout
        assert total == passed >= 146
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        assert len(cases) == total
        assert rosterd.worker_pids() == pids
