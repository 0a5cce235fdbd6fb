# SPDX-License-Identifier: MIT
"""A password must be found nowhere in memory after its call has ended, and a token nowhere after
its connection has ended."""
import gzip
import hashlib
import os
import re
import resource
import signal
import socket
import time

import grpc
import pytest
from hpack.hpack import encode_integer

import user_service_pb2 as pb
from harness import SANITIZED, children, expect, free_port, wait_for
from test_directory import Directory, make
from test_directory_import import imported, request
from wire import CONTINUATION, END_HEADERS, HEADERS, Wire, message

pytestmark = pytest.mark.slow  # it reads all of the memory of processes, again and again
SECRET = "Zq7-hunter2-correct-horse-battery-"


def memory(pid):
    """Yields all readable memory of a process: what a core dump would contain, and more."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            start, end, mode, name = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \d+ *(.*)", line).groups()
            start, end = int(start, 16), int(end, 16)
            # The segment is searched as a file; reserved address space is empty.
            if "r" not in mode or name.startswith(("[v", "/dev/shm")):
                continue
            at = start
            while at < end:
                try:
                    mem.seek(at)
                    chunk = mem.read(min(end - at, 16 << 20))
                except (OSError, ValueError, OverflowError):
                    break
                if not chunk:
                    break
                yield name or hex(start), chunk
                at += len(chunk)


def found_in(rosterd):
    needle, places = SECRET.encode(), []
    for path in rosterd.shm_files():
        with open(path, "rb") as file:
            if needle in file.read():
                places.append(path)
    if needle in rosterd.log().encode():
        places.append("log")
    if not SANITIZED:  # a sanitized build keeps freed memory unchanged on purpose
        for pid in [rosterd.process.pid, *rosterd.worker_pids()]:
            places += [f"memory of {pid}: {where}" for where, chunk in memory(pid)
                       if needle in chunk]
    return places


def copies(pid, needle):
    return [where for where, chunk in memory(pid) for _ in range(chunk.count(needle))]


@pytest.mark.unsanitized  # the sanitizer keeps freed memory unchanged on purpose
def test_tokens_are_in_their_table_and_nowhere_else(start, tmp_path):
    path = tmp_path / "tokens"
    old, new = b"Kp4-not-in-any-heap-of-ours", b"Wd8-of-another-generation-"
    path.write_bytes(old + b" ann\n" + 100 * b"# a comment\n")
    path.chmod(0o600)
    rosterd = start("--auth-token-file", str(path))
    processes = [rosterd.process.pid, *rosterd.worker_pids()]
    assert [len(copies(pid, old)) for pid in processes] == [1, 1, 1]
    path.write_bytes(new + b" ann\n" + 100 * b"# another\n" + new + b"2 ben\n")
    before = rosterd.worker_pids()
    rosterd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(rosterd.worker_pids()) == 2
             and not set(before) & set(rosterd.worker_pids()), 10, "other workers")
    processes = [rosterd.process.pid, *rosterd.worker_pids()]
    assert [len(copies(pid, old)) for pid in processes] == [0, 0, 0]
    assert [len(copies(pid, new)) for pid in processes] == [2, 2, 2]
    # A refused file leaves nothing behind, either.
    path.write_bytes(old + b" ann\n" + b"nameless\n")
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("the token has no name")
    assert copies(rosterd.process.pid, old) == []


def passwords(count, **more):
    return (pb.CreateUserRequest(username=f"u{i}", password=f"{SECRET}{i:06}", **more)
            for i in range(count))


def test_search_finds_what_is_not_secret(start):
    """Checks the search itself: a name is in the segment, a chat message in memory."""
    rosterd = start()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username=SECRET))
    assert found_in(rosterd)


def test_password_of_a_created_user_is_nowhere(start):
    rosterd = start()
    stub = rosterd.stub()
    for request in passwords(20):
        reply = stub.CreateUser(request)
        assert SECRET.encode() not in reply.SerializeToString()
    assert found_in(rosterd) == []


def test_password_of_a_refused_user_is_nowhere(start):
    rosterd = start("--max-users", "1")
    stub = rosterd.stub()
    stub.CreateUser(pb.CreateUserRequest(username="first"))
    for more, code in (({"email": "bad"}, grpc.StatusCode.INVALID_ARGUMENT),
                       ({}, grpc.StatusCode.RESOURCE_EXHAUSTED)):
        for request in passwords(5, **more):
            expect(lambda r=request: stub.CreateUser(r), code)
    expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="x", password=SECRET * 100)),
           grpc.StatusCode.INVALID_ARGUMENT, "password")
    assert found_in(rosterd) == []


def test_passwords_of_a_batch_are_nowhere(start):
    rosterd = start()
    stub = rosterd.stub()
    assert stub.BatchCreateUsers(passwords(5000)).created == 5000
    assert stub.BatchCreateUsers(passwords(50, email="bad")).created == 0
    assert found_in(rosterd) == []


# ---- passwords that are stored ----

HASH = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"


@pytest.fixture(name="storing")
def storing_fixture(start, tmp_path):
    """A server with the cheapest hashes, all of whose logs are kept."""
    rosterd = start("--unique", "username,email", "--password-processes", "1", "--password-memory", "1M",
                    "--password-passes", "1", "--password-tries", "3", "--store-passwords", "on",
                    "--log-level", "debug", "--access-log", "on", "--access-log-file",
                    str(tmp_path / "access.log"), "--data-file", str(tmp_path / "table.db"))
    rosterd.access_log = tmp_path / "access.log"
    return rosterd


def searched(rosterd, needle):
    """Where it is: in memory of any process but the segment, or in a log."""
    places = [path for path in (rosterd.access_log, rosterd.log_path) if needle in path.read_bytes()]
    for pid in [] if SANITIZED else [rosterd.process.pid, *rosterd.worker_pids(), *rosterd.password_pids()]:
        places += [f"memory of {pid}: {where}" for where, chunk in memory(pid) if needle in chunk]
    return places


def test_stored_password_is_nowhere(storing):
    directory = Directory(storing.channel())
    words = [f"{SECRET}{i:06}" for i in range(8)]
    user = directory.CreateUser(user=make("User", username="ann"), password=words[0])
    directory.SetPassword(name=user.name, password=words[1])
    directory.VerifyPassword(name=user.name, password=words[1])
    storing.stub().CreateUser(pb.CreateUserRequest(username="bob", password=words[2]))
    for word, code in ((words[3], grpc.StatusCode.UNAUTHENTICATED), (words[4], grpc.StatusCode.UNAUTHENTICATED),
                       (words[5], grpc.StatusCode.UNAUTHENTICATED), (words[6], grpc.StatusCode.RESOURCE_EXHAUSTED)):
        expect(lambda w=word: directory.VerifyPassword(username="ann", password=w), code)
    expect(lambda: directory.SetPassword(name=user.name, password=SECRET * 100),
           grpc.StatusCode.INVALID_ARGUMENT)
    expect(lambda: directory.SetPassword(name=user.name, etag='"1"', password=words[7]), grpc.StatusCode.ABORTED)
    expect(lambda: directory.CreateUser(user=make("User", username=""), password=SECRET),
           grpc.StatusCode.INVALID_ARGUMENT)
    # A process for passwords overwrites its copy right after its answer.
    wait_for(lambda: searched(storing, SECRET.encode()) == [], 5, "the last copy to be overwritten")
    assert found_in(storing) == []


def test_hash_is_in_the_table_and_nowhere_else(storing):
    """In none of the processes: each write of a user who has one makes a copy of it."""
    directory = Directory(storing.channel())
    user = directory.CreateUser(user=make("User", username="ann"), password_hash=HASH)
    user = directory.update(["roles"], name=user.name, roles=["admin"])
    directory.update(["labels"], name=user.name, etag=user.etag, labels={"a": "b"})
    expect(lambda: directory.update(["disabled"], name=user.name, etag=user.etag, disabled=True),
           grpc.StatusCode.ABORTED)
    directory.SetPassword(name=user.name, password_hash=HASH)
    bob = directory.CreateUser(user=make("User", username="bob"), password=SECRET)
    for _ in range(3):
        expect(lambda: directory.VerifyPassword(username="ann", password="wrong"),
               grpc.StatusCode.UNAUTHENTICATED)
    expect(lambda: directory.CreateUser(user=make("User", username="ann"), password_hash=HASH),
           grpc.StatusCode.ALREADY_EXISTS)
    expect(lambda: directory.SetPassword(name=user.name, password_hash=HASH + "x"),
           grpc.StatusCode.INVALID_ARGUMENT)
    for reply in (directory.GetUser(name=user.name), directory.ListUsers(),
                  directory.VerifyPassword(username="bob", password=SECRET), bob):
        assert HASH[15:].encode() not in reply.SerializeToString()
        assert b"$argon2" not in reply.SerializeToString()
    needle = HASH[15:60].encode()
    assert any(needle in open(path, "rb").read() for path in storing.shm_files())  # the search works
    journal = storing.journal_pid()
    wait_for(lambda: not [where for where in searched(storing, needle) if str(journal) not in str(where)], 5,
             "the last copy to be overwritten")


@pytest.mark.unsanitized  # the sanitizer keeps freed memory unchanged on purpose
def test_hashes_of_a_loaded_file_are_in_the_table_and_nowhere_else(storing):
    """The workers are forked from the master, which has loaded the file."""
    directory = Directory(storing.channel())
    for i in range(2000):
        directory.CreateUser(user=make("User", username=f"u{i}"), password_hash=HASH)
    storing.kill_all()
    os.unlink(f"/dev/shm{storing.segment}")
    storing.start()
    needle, journal = HASH[15:60].encode(), storing.journal_pid()
    assert any(needle in open(path, "rb").read() for path in storing.shm_files())
    for pid in (storing.process.pid, *storing.worker_pids(), *storing.password_pids()):
        if pid != journal:
            assert not [where for where, chunk in memory(pid) if needle in chunk], pid
            with open(f"/proc/{pid}/coredump_filter", encoding="ascii") as file:
                assert int(file.read(), 16) != 0, pid  # as it was before the load


def test_a_core_of_the_journal_has_no_memory(storing):
    """It needs the hashes."""
    Directory(storing.channel()).CreateUser(user=make("User", username="ann"), password_hash=HASH)
    journal = storing.journal_pid()
    if not SANITIZED:
        assert any(HASH[15:60].encode() in chunk for _, chunk in memory(journal))  # the search works
    with open(f"/proc/{journal}/coredump_filter", encoding="ascii") as file:
        assert int(file.read(), 16) == 0
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        if file.read().strip() != "core":
            pytest.skip("cores go elsewhere; the filter is right")
    resource.prlimit(journal, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    where = os.readlink(f"/proc/{journal}/cwd")
    known = set(os.listdir(where))
    os.kill(journal, signal.SIGABRT)
    wait_for(lambda: storing.journal_pid() not in (None, journal), 10, "another journal")
    cores = [os.path.join(where, name) for name in set(os.listdir(where)) - known if name.startswith("core")]
    try:
        if not cores:
            pytest.skip("no core was written")
        for path in cores:
            with open(path, "rb") as file:
                assert HASH[15:60].encode() not in file.read()
    finally:
        for path in cores:
            os.unlink(path)


def test_hash_that_the_server_makes_is_in_the_table_and_nowhere_else(storing):
    """Also one that replaces another at a login."""
    directory = Directory(storing.channel())
    user = directory.CreateUser(user=make("User", username="ann"), password=SECRET)
    directory.SetPassword(name=user.name, password=SECRET)
    storing.stub().CreateUser(pb.CreateUserRequest(username="bob", password=SECRET))
    directory.CreateUser(user=make("User", username="eve"), password_hash=HASH)
    directory.VerifyPassword(username="eve", password="Hello world!")
    storing.wait_stats("rosterd_password_hashes_replaced_total", 1)
    needle = b"$argon2id$v=19$m=1024,t=1,p=1$"
    assert any(needle in open(path, "rb").read() for path in storing.shm_files())
    wait_for(lambda: searched(storing, needle) == [], 5, "the last copy to be overwritten")


def test_password_split_over_frames_is_nowhere(start):
    rosterd = start()
    body = message(next(passwords(1)))
    with Wire(rosterd.connect()) as wire:
        for size in (1, 7, 30):
            stream = wire.open("CreateUser")
            for at in range(0, len(body), size):
                wire.data(stream, body[at:at + size], end=at + size >= len(body))
                time.sleep(0.005)  # so that each frame arrives in a read of its own
            assert wire.wait(stream).grpc_status == 0
        assert found_in(rosterd) == []


def test_password_of_a_failed_call_is_nowhere(start):
    rosterd = start()
    body = message(next(passwords(1)))
    with Wire(rosterd.connect()) as wire:
        for broken in (body + b"\0", body * 2, b"\x02" + body[1:], body[:-3]):
            assert wire.call("CreateUser", broken).grpc_status in (12, 13)
        bad = body[5:] + b"\x0a\x01\xff"
        assert wire.call("CreateUser", message(bad)).grpc_status == 13
        for how in ("reset", "lost"):
            stream = wire.open("CreateUser")
            wire.data(stream, body[:-2], end=False)
            wire.ping()
            if how == "reset":
                wire.send_frame(3, 0, stream, bytes([0, 0, 0, 8]))
                wire.ping()
    with Wire(rosterd.connect()) as other:
        assert other.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == 5
    assert found_in(rosterd) == []


ENTERS, STAYS_OUT, NEVER = 0x40, 0x00, 0x10  # the representations of RFC 7541, 6.2
AUTHORIZATION = f"Bearer {SECRET}token".encode()


def open_with(wire, *fields, size=16384):
    """Opens GetUser with these (pattern, name, value) fields at the end of its header block, in
    frames of `size` bytes."""
    stream, wire.next_stream = wire.next_stream, wire.next_stream + 2
    block = wire.encoder.encode(wire.fields("/userservice.UserService/GetUser"))
    for pattern, name, value in fields:
        block += bytes([pattern]) + bytes(encode_integer(len(name), 7)) + name \
            + bytes(encode_integer(len(value), 7)) + value
        if pattern == ENTERS:
            wire.encoder.header_table.add(name, value)
    for at in range(0, len(block), size):
        wire.send_frame(CONTINUATION if at else HEADERS,
                        END_HEADERS if at + size >= len(block) else 0, stream,
                        block[at:at + size])
    return stream


def with_token(pattern, *more, name=b"authorization", **how):
    return lambda wire: open_with(wire, (pattern, name, AUTHORIZATION), *more, **how)


WAYS = {
    "as grpc's own client sends it": lambda wire: wire.open(
        "GetUser", extra=[("authorization", AUTHORIZATION.decode())]),
    "entering the table": with_token(ENTERS),
    "not entering it": with_token(STAYS_OUT),
    "never entering it": with_token(NEVER),
    "in a name, too": with_token(ENTERS, (ENTERS, SECRET.lower().encode(), b"x")),
    "in pieces": with_token(ENTERS, size=3),
    "in a list that is too large": with_token(ENTERS, (STAYS_OUT, b"x", b"y" * 9000)),
    "malformed": with_token(ENTERS, name=b"Authorization"),
}


@pytest.mark.parametrize("way", WAYS)
def test_token_is_nowhere_once_its_connection_is_closed(start, way):
    rosterd = start(workers=1)
    body = message(pb.GetUserRequest(id="x"))
    for _ in range(2):
        with Wire(rosterd.connect()) as wire:
            for _ in range(3):  # the second block is cached if it leaves the table unchanged
                stream = WAYS[way](wire)
                wire.data(stream, body)
                wire.wait(stream)
    with Wire(rosterd.connect()) as wire:
        assert wire.call("GetUser", body).grpc_status == 5
    assert found_in(rosterd) == []


def test_token_is_nowhere_once_it_has_left_the_table(start):
    rosterd = start(workers=1)
    body = message(pb.GetUserRequest(id="x"))
    with Wire(rosterd.connect()) as wire:
        stream = WAYS["entering the table"](wire)
        wire.data(stream, body)
        assert wire.wait(stream).grpc_status == 5
        for i in range(30):
            stream = open_with(wire, (ENTERS, f"x-{i}".encode(), b"y" * 200))
            wire.data(stream, body)
            wire.wait(stream)
        assert wire.call("GetUser", body).grpc_status == 5
        assert found_in(rosterd) == []


def dumped(pid):
    """Yields the memory of a process that a core dump would contain, without the areas that the
    process excluded."""
    start, flags = None, {}
    with open(f"/proc/{pid}/smaps", encoding="ascii") as file:
        for line in file:
            if region := re.match(r"(\w+-\w+) ", line):
                start = region[1]
            elif line.startswith("VmFlags:"):
                flags[start] = line.split()[1:]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for region, names in flags.items():
            begin, end = (int(word, 16) for word in region.split("-"))
            if "rd" in names and "dd" not in names and "io" not in names and end < 1 << 63:
                try:
                    mem.seek(begin)
                    yield mem.read(end - begin)
                except OSError:
                    pass


def test_table_with_its_hashes_is_in_no_core(start):
    """Each process maps all of it. A kernel may write out shared memory of any kind, if it is told to."""
    rosterd = start("--unique", "username", workers=2)
    for pid in [rosterd.process.pid, *children(rosterd.process.pid)]:
        with open(f"/proc/{pid}/smaps", encoding="ascii") as file:
            areas = re.findall(r"^(\w+)-(\w+) \S+ \S+ \S+ \d+ */dev/shm/.*?^VmFlags: (.*?) *$", file.read(),
                               re.M | re.S)
        _, flags = max((int(end, 16) - int(begin, 16), flags) for begin, end, flags in areas)
        assert "dd" in flags.split(), (pid, flags)


def half_a_message(wire, body):
    stream = wire.open("CreateUser")
    wire.data(stream, body[:-2], end=False)


def half_a_large_message(wire, body):
    stream = wire.open("BatchCreateUsers")
    wire.data(stream, b"\0\0\1\0\0" + 300 * body[5:-2], end=False)


def half_a_frame(wire, body):
    stream = wire.open("CreateUser")
    wire.send(len(body).to_bytes(3, "big") + b"\0\1" + stream.to_bytes(4, "big") + body[:-2])


def half_a_compressed_message(wire, body):
    """Half a message in stored (not deflated) blocks, which contain the plain bytes."""
    stream = wire.open("CreateUser", grpc_encoding="gzip")
    packed = gzip.compress(body[5:], 0)
    wire.data(stream, b"\1" + len(packed).to_bytes(4, "big") + packed[:-2], end=False)


@pytest.mark.unsanitized  # there, secret memory comes from malloc, so that overflows are found
@pytest.mark.parametrize("way", [half_a_message, half_a_large_message, half_a_frame,
                                 half_a_compressed_message])
def test_password_of_an_unfinished_message_is_in_no_core(start, way):
    rosterd = start(workers=1)
    (worker,) = rosterd.worker_pids()
    with Wire(rosterd.connect()) as wire:
        way(wire, message(next(passwords(1))))
        wait_for(lambda: any(SECRET.encode() in chunk for _, chunk in memory(worker)), 5,
                 "the password to arrive")
        assert not any(SECRET.encode() in chunk for chunk in dumped(worker))


@pytest.mark.unsanitized  # there, secret memory comes from malloc, so that overflows are found
def test_a_core_has_neither_password_nor_token(start, tmp_path):
    """smaps only predicts what the kernel dumps; this test searches a core that the kernel wrote."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        if file.read().strip() != "core":
            pytest.skip("cores go elsewhere")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{SECRET}token tests\n")
    tokens.chmod(0o600)
    rosterd = start("--auth-token-file", str(tokens), "--core-dumps", "on", workers=1)
    (worker,) = rosterd.worker_pids()
    resource.prlimit(worker, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    where = os.readlink(f"/proc/{worker}/cwd")
    known = set(os.listdir(where))
    seen = b"Nd3-a-name-that-a-core-has"
    with Wire(rosterd.connect()) as wire, Wire(rosterd.connect()) as other:
        token = [("authorization", AUTHORIZATION.decode())]
        body = message(next(passwords(1)))
        stream = wire.open("CreateUser", extra=token)
        wire.data(stream, body[:-2], end=False)
        stream = other.open("Chat", extra=token)
        other.data(stream, message(pb.ChatMessage(text=seen.decode() + "--"))[:-2], end=False)
        other.ping()
        wire.ping()
        os.kill(worker, signal.SIGABRT)
        wait_for(lambda: worker not in rosterd.worker_pids(), 10, "the worker's end")
    found = [os.path.join(where, name) for name in set(os.listdir(where)) - known]
    cores = [path for path in found if os.path.basename(path).startswith("core")]
    try:
        if not cores:
            pytest.skip("no core was written")
        with open(cores[0], "rb") as file:
            core = file.read()
        assert seen in core  # the core contains what is not secret
        assert SECRET.encode() not in core
    finally:
        for path in cores:
            os.unlink(path)


@pytest.mark.unsanitized  # there, secret memory comes from malloc, so that overflows are found
@pytest.mark.parametrize("way", ["as grpc's own client sends it", "entering the table",
                                 "never entering it", "in pieces"])
def test_token_of_an_open_connection_is_in_no_core(start, way, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{SECRET}token tests\n")
    tokens.chmod(0o600)
    rosterd = start("--auth-token-file", str(tokens), workers=1)
    body = message(pb.GetUserRequest(id="x"))
    (worker,) = rosterd.worker_pids()
    with Wire(rosterd.connect()) as wire:
        for _ in range(3):
            stream = WAYS[way](wire)
            wire.data(stream, body)
            assert wire.wait(stream).grpc_status == 5
        open_call = WAYS[way](wire)
        wire.ping()
        assert open_call not in wire.streams  # the call waits for its message
        assert any(SECRET.encode() in chunk for _, chunk in memory(worker))
        assert not any(SECRET.encode() in chunk for chunk in dumped(worker))


# ---- hashed tokens: what the client sends is in no table ----

@pytest.fixture
def hashing(start, tmp_path):
    """A server whose token file has SECRET + "token" hashed, so that only clients know it."""
    digest, tokens, port = hashlib.sha256(AUTHORIZATION[7:]).hexdigest(), tmp_path / "tokens", free_port()
    tokens.write_text(f"sha256:{digest} tests\n")
    tokens.chmod(0o600)
    rosterd = start("--auth-token-file", str(tokens), "--metrics-listen", f"127.0.0.1:{port}",
                    "--metrics-auth", "on", workers=1)
    rosterd.visit = lambda: socket.create_connection(("127.0.0.1", port), 10)
    return rosterd


def test_token_whose_hash_is_in_the_file_is_nowhere_once_its_connection_is_closed(hashing):
    body = message(pb.GetUserRequest(id="x"))
    for _ in range(2):
        with Wire(hashing.connect()) as wire:
            for extra, status in ((AUTHORIZATION, 5), (AUTHORIZATION + b"x" * 100, 16)):
                stream = wire.open("GetUser", extra=[("authorization", extra.decode())])
                wire.data(stream, body)
                assert wire.wait(stream).grpc_status == status
    with Wire(hashing.connect()) as wire:
        assert wire.call("GetUser", body).grpc_status == 16
    assert found_in(hashing) == []


HEAD = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: " + AUTHORIZATION


def test_token_for_metrics_is_nowhere_once_it_is_answered(hashing):
    for head, status in ((HEAD, b"200"), (HEAD + b"x", b"401")):
        with hashing.visit() as sock:
            sock.sendall(head + b"\r\n\r\n")
            assert sock.recv(13).startswith(b"HTTP/1.1 " + status)
            assert found_in(hashing) == []
    with hashing.visit() as sock:  # what follows the request is discarded; it may have a token, too
        sock.sendall(HEAD + b"\r\n\r\n" + HEAD)
        while sock.recv(65536):
            pass
    with hashing.visit() as sock:
        sock.sendall(HEAD)  # the request never ends
    wait_for(lambda: found_in(hashing) == [], 10, "the end of both connections")


@pytest.mark.unsanitized  # there, secret memory comes from malloc, so that overflows are found
def test_token_of_an_unfinished_request_for_metrics_is_in_no_core(hashing):
    (worker,) = hashing.worker_pids()
    with hashing.visit() as sock:
        sock.sendall(HEAD)
        wait_for(lambda: any(SECRET.encode() in chunk for _, chunk in memory(worker)), 4,
                 "the token to arrive")
        assert not any(SECRET.encode() in chunk for chunk in dumped(worker))


def test_secrets_of_an_import_are_nowhere_else(storing):
    """Also those of users who are refused, and of an import that is cancelled."""
    many = [request(f"u{i % 900}", email="" if i % 7 else "bad",
                    **({"password": f"{SECRET}{i:06}"} if i % 3 else {"password_hash": HASH}))
            for i in range(1000)]
    answers = list(imported(storing.channel(), many))
    assert len({answer.error.code for answer in answers}) == 3  # created, invalid, taken
    told = b"".join(answer.SerializeToString() for answer in answers)
    assert HASH[15:].encode() not in told and SECRET.encode() not in told
    cut = imported(storing.channel(), [request(f"v{i}", password=f"{SECRET}{i:06}") for i in range(1000)])
    next(cut)
    cut.cancel()
    assert any(HASH[15:60].encode() in open(path, "rb").read() for path in storing.shm_files())
    journal = str(storing.journal_pid())
    wait_for(lambda: searched(storing, SECRET.encode()) == [] and
             not [where for where in searched(storing, HASH[15:60].encode()) if journal not in str(where)],
             10, "the last copy to be overwritten")
