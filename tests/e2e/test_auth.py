# SPDX-License-Identifier: MIT
"""Bearer tokens: which calls need one, and what a token file must look like."""
import os
import subprocess

import grpc
import pytest

import user_service_pb2 as pb
from harness import OUT, ROSTERD, Rosterd, expect, free_port, requests
from schema import message, method
from wire import Wire

TOKEN, OTHER = "correct-horse-battery-staple", "another-token-of-enough-length"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
CREATE = pb.CreateUserRequest(username="ada")


def token_file(name, text, mode=0o600):
    path = OUT / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return str(path)


def bearer(token, scheme="Bearer"):
    return [("authorization", f"{scheme} {token}")]


@pytest.fixture(scope="module")
def server():
    path = token_file("tokens", f"# those of the tests\n{TOKEN} tests\n\n{OTHER}\tothers\n")
    with Rosterd("--auth-token-file", path) as rosterd:
        yield rosterd


def test_every_kind_of_call_needs_a_token(stub):
    user = stub.CreateUser(CREATE, metadata=bearer(TOKEN))
    calls = [lambda **k: stub.CreateUser(CREATE, **k),
             lambda **k: stub.GetUser(pb.GetUserRequest(id=user.id), **k),
             lambda **k: list(stub.ListUsers(pb.ListUsersRequest(), **k)),
             lambda **k: stub.BatchCreateUsers(requests(3), **k),
             lambda **k: list(stub.Chat(iter([pb.ChatMessage(text="hi")]), **k))]
    for call in calls:
        error = expect(call, UNAUTHENTICATED)
        assert error.details() == "Invalid token"
        call(metadata=bearer(OTHER))


@pytest.mark.parametrize("metadata", [
    [], [("authorization", "Bearer")], bearer("wrong"), bearer(TOKEN[:-1]), bearer(TOKEN + "x"),
    bearer(TOKEN.upper()), bearer(TOKEN, "Basic"), [("authorization", TOKEN)],
    [("x-authorization", f"Bearer {TOKEN}")],
    bearer("x" * 5000), bearer("tests")])
def test_an_unknown_token_is_refused(stub, metadata):
    error = expect(lambda: stub.CreateUser(CREATE, metadata=metadata), UNAUTHENTICATED)
    assert error.details() == "Invalid token"


def test_scheme_is_accepted_in_any_case(stub):
    stub.CreateUser(CREATE, metadata=bearer(TOKEN, "bEARER"))


def test_unknown_methods_reveal_nothing_without_a_token(server):
    call = server.channel().unary_unary("/userservice.UserService/Nothing")
    assert expect(lambda: call(b""), UNAUTHENTICATED).details() == "Invalid token"
    expect(lambda: call(b"", metadata=bearer(TOKEN)), grpc.StatusCode.UNIMPLEMENTED)


@pytest.mark.parametrize("changes", [
    {"content_type": "text/html"}, {"content_type": None}, {"method": "GET"}, {"method": "HEAD"},
    {"grpc_timeout": "soon"}, {"grpc_encoding": "snappy"}])
@pytest.mark.parametrize("path", ["GetUser", "Nothing", "/favicon.ico"])
def test_the_token_is_checked_before_the_rest_of_a_request(server, path, changes):
    with Wire(server.connect()) as connection:
        plain = connection.wait(connection.open("GetUser", end=True))
        odd = connection.wait(connection.open(path, end=True, **changes))
        assert plain.grpc_status == UNAUTHENTICATED.value[0]
        assert (odd.blocks, odd.data) == (plain.blocks, plain.data)
        odd = connection.wait(connection.open(path, end=True, extra=bearer(TOKEN), **changes))
        assert (odd.status, odd.grpc_status) != (plain.status, plain.grpc_status)


def test_reflection_needs_a_token_and_health_none(server):
    reflect = method(server.channel(), "grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    kind = message("grpc.reflection.v1.ServerReflectionRequest")
    expect(lambda: list(reflect(iter([kind(list_services="")]))), UNAUTHENTICATED)
    assert list(reflect(iter([kind(list_services="")]), metadata=bearer(TOKEN)))
    check = method(server.channel(), "grpc.health.v1.Health/Check")
    assert check(message("grpc.health.v1.HealthCheckRequest")()).status == 1


def test_refused_calls_are_counted(server, stub):
    name = ('grpc_server_handled_total{grpc_type="unary",grpc_service="userservice.UserService",'
            'grpc_method="CreateUser",grpc_code="Unauthenticated"}')
    before = server.inspect("stats").get(name, 0)
    for _ in range(5):
        expect(lambda: stub.CreateUser(CREATE), UNAUTHENTICATED)
    server.wait_stats(name, before + 5)


def test_tokens_appear_in_no_output(start):
    secret = "never-to-be-seen-anywhere-1234"
    path, log = token_file("tokens-secret", f"{secret} tests\n", 0o644), OUT / "access-secret.log"
    rosterd = start("--auth-token-file", path, "--access-log", "on", "--access-log-file", str(log))
    rosterd.stub().CreateUser(CREATE, metadata=bearer(secret))
    expect(lambda: rosterd.stub().CreateUser(CREATE, metadata=bearer(secret + "x")), UNAUTHENTICATED)
    assert rosterd.stop() == 0
    assert "every user of this machine may read the tokens" in rosterd.log()
    assert secret not in rosterd.log() and secret not in log.read_text()
    assert "token=tests" in log.read_text()


@pytest.mark.parametrize("name, text, fault", [
    ("empty", "", "there is no token in it"),
    ("nameless", f"{TOKEN}\n", ":1: the token has no name"),
    ("twice", f"{TOKEN} a\n{TOKEN} b\n", ":2: the token is there already"),
    ("binary", b"\0\1\2\xff" * 100, ":1: a token is visible ASCII"),
])
def test_a_bad_token_file_prevents_the_start_and_is_named(name, text, fault):
    path = token_file(f"tokens-{name}", text)
    refused(path, f"rosterd: auth-token-file: {path}", fault)


def test_a_missing_token_file_or_a_directory_prevents_the_start(tmp_path):
    refused(str(tmp_path / "none"), "none: No such file or directory")
    refused(str(tmp_path), "Is a directory")
    os.mkfifo(tmp_path / "fifo")
    refused(str(tmp_path / "fifo"), "it is not a regular file")


def refused(path, *texts):
    name = f"/rosterd-e2e-{os.getpid()}-tokens"
    done = subprocess.run([ROSTERD, "--listen", f"127.0.0.1:{free_port()}", "--segment", name,
                           "--auth-token-file", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    for text in texts:
        assert text in done.stderr, done.stderr
    assert TOKEN not in done.stderr
    assert not os.path.exists(f"/dev/shm{name}")
