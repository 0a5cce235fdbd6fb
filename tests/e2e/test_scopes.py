# SPDX-License-Identifier: MIT
"""Tokens with rights: which scope each method needs, hashed tokens, and the token for /metrics."""
import hashlib
import http.client
import pathlib
import re
import subprocess

import grpc
import pytest

import user_service_pb2 as pb
from harness import PROTO, ROSTERD, Rosterd, expect, free_port, requests, wait_for
from schema import message, method
from test_metrics_listener import ask, status_of
from test_reload import reload
from wire import Wire
from wire import message as framed

SCOPES = ["read", "write", "password", "admin", "metrics"]
DENIED, UNAUTHENTICATED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
SOURCE = pathlib.Path(PROTO).resolve().parent


def token(name):
    return f"the-token-with-{name}"


def bearer(name):
    return [("authorization", f"Bearer {token(name)}")]


def hashed(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


LINES = "".join(f"{token(scope)} {scope}-name {scope}\n" for scope in SCOPES)
LINES += f"{token('all')} all-name\n{token('two')} two-name read,metrics\n"


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scopes")
    log = folder / "access.log"
    with Rosterd("--auth-token-file", write(folder / "tokens", LINES), "--access-log", "on",
                 "--access-log-file", str(log)) as rosterd:
        rosterd.access_log = log
        yield rosterd


def reflect(rosterd, version):
    call = method(rosterd.channel(), f"grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    kind = message(f"grpc.reflection.{version}.ServerReflectionRequest")
    return lambda metadata: list(call(iter([kind(list_services="")]), metadata=metadata))


CALLS = {
    "GetUser": (["read"], lambda server, stub, user: lambda metadata: stub.GetUser(
        pb.GetUserRequest(id=user), metadata=metadata)),
    "ListUsers": (["read"], lambda server, stub, user: lambda metadata: list(stub.ListUsers(
        pb.ListUsersRequest(), metadata=metadata))),
    "CreateUser": (["write"], lambda server, stub, user: lambda metadata: stub.CreateUser(
        pb.CreateUserRequest(username="eve"), metadata=metadata)),
    "BatchCreateUsers": (["write"], lambda server, stub, user: lambda metadata: stub.BatchCreateUsers(
        requests(3), metadata=metadata)),
    "Chat": (["read", "write", "password", "admin"], lambda server, stub, user: lambda metadata: list(
        stub.Chat(iter([pb.ChatMessage(text="hi")]), metadata=metadata))),
    "reflection": (["read", "write", "password", "admin"],
                   lambda server, stub, user: reflect(server, "v1")),
    "reflection, v1alpha": (["read", "write", "password", "admin"],
                            lambda server, stub, user: reflect(server, "v1alpha")),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_method_needs_its_scope(server, stub, name):
    scopes, make = CALLS[name]
    user = stub.CreateUser(pb.CreateUserRequest(username="ada"), metadata=bearer("write")).id
    before = server.inspect("status")["users"]
    call = make(server, stub, user)
    for scope in SCOPES:
        if scope in scopes:
            call(bearer(scope))
        else:
            text = f"The token lacks the scope {scopes[0]}" if len(scopes) == 1 else \
                "The token has no scope for calls"
            assert expect(lambda s=scope: call(bearer(s)), DENIED).details() == text
    if "write" not in scopes:
        assert server.inspect("status")["users"] == before
    call(bearer("all"))
    if "read" in scopes:
        call(bearer("two"))
    else:
        expect(lambda: call(bearer("two")), DENIED)
    assert expect(lambda: call([]), UNAUTHENTICATED).details() == "Invalid token"


@pytest.mark.parametrize("name", ["metrics", "read", "nobody"])
def test_health_needs_no_scope_and_no_token(server, name):
    check = method(server.channel(), "grpc.health.v1.Health/Check")
    assert check(message("grpc.health.v1.HealthCheckRequest")(), metadata=bearer(name)).status == 1


def test_unknown_methods_are_told_only_to_tokens_for_calls(server):
    call = server.channel().unary_unary("/userservice.UserService/Nothing")
    expect(lambda: call(b"", metadata=bearer("admin")), grpc.StatusCode.UNIMPLEMENTED)
    expect(lambda: call(b"", metadata=bearer("metrics")), DENIED, "no scope for calls")


def test_a_call_without_its_scope_is_refused_before_its_request_is_decoded(server):
    with Wire(server.connect()) as connection:
        broken = b"\0\0\0\0\3\x0a\xff\xff"
        assert connection.call("CreateUser", broken, extra=bearer("write")).grpc_status == 13
        assert connection.call("CreateUser", broken, extra=bearer("read")).grpc_status == 7
        # It is refused although the request never comes.
        stream = connection.open("BatchCreateUsers", extra=bearer("read"))
        assert connection.wait(stream).grpc_status == 7
        good = framed(pb.GetUserRequest(id="x"))
        assert connection.call("GetUser", good, extra=bearer("read")).grpc_status == 5


def test_refused_calls_are_counted_and_logged_with_the_name(server, stub):
    name = ('grpc_server_handled_total{grpc_type="server_stream",grpc_service="userservice.UserService",'
            'grpc_method="ListUsers",grpc_code="PermissionDenied"}')
    before = server.inspect("stats").get(name, 0)
    for _ in range(3):
        expect(lambda: list(stub.ListUsers(pb.ListUsersRequest(), metadata=bearer("password"))), DENIED)
    server.wait_stats(name, before + 3)
    line = wait_for(lambda: re.search(r"^.*/ListUsers status=PermissionDenied.*token=password-name.*$",
                                      server.access_log.read_text(), re.M), 10, "a line of the log")
    assert 'message="The token lacks the scope read"' in line[0] and "messages_in=0" in line[0]
    assert token("password") not in server.access_log.read_text()


def test_a_reload_changes_the_rights_of_a_token(start, tmp_path):
    path = tmp_path / "tokens"
    rosterd = start("--auth-token-file", write(path, f"{token('x')} x read\n"))
    create = pb.CreateUserRequest(username="ada")
    expect(lambda: rosterd.stub().CreateUser(create, metadata=bearer("x")), DENIED)
    write(path, f"{token('x')} x read,write\n")
    reload(rosterd)
    user = rosterd.stub().CreateUser(create, metadata=bearer("x"))
    write(path, f"{hashed(token('x'))} x write\n")
    reload(rosterd)
    rosterd.stub().CreateUser(create, metadata=bearer("x"))
    expect(lambda: rosterd.stub().GetUser(pb.GetUserRequest(id=user.id), metadata=bearer("x")), DENIED)
    # A file that is refused changes no right.
    write(path, f"{token('x')} x raed\n")
    assert "tokens:1: unknown scope raed: the scopes are read, " in reload(rosterd, 1)
    rosterd.stub().CreateUser(create, metadata=bearer("x"))
    expect(lambda: list(rosterd.stub().ListUsers(pb.ListUsersRequest(), metadata=bearer("x"))), DENIED)


# ---- hashed tokens ----

def test_hashed_tokens_open_the_server_and_their_hashes_do_not(start, tmp_path):
    lines = f"{hashed(token('h'))} h read\n{token('p')} p\n"
    rosterd = start("--auth-token-file", write(tmp_path / "tokens", lines))

    def listing(text):
        return list(rosterd.stub().ListUsers(pb.ListUsersRequest(),
                                             metadata=[("authorization", f"Bearer {text}")]))
    listing(token("h"))
    listing(token("p"))
    for wrong in (hashed(token("h")), hashed(token("h"))[7:], hashed(token("p")), token("h") + "x"):
        expect(lambda text=wrong: listing(text), UNAUTHENTICATED)
    expect(lambda: rosterd.stub().CreateUser(pb.CreateUserRequest(username="a"), metadata=bearer("h")),
           DENIED)


def test_the_recipe_of_the_readme_makes_a_line_that_works(start, tmp_path):
    (line,) = [line.strip() for line in (SOURCE / "README.md").read_text().splitlines()
               if "sha256sum" in line and line.startswith("    ")]
    path = tmp_path / "tokens"
    secret = subprocess.run(["openssl", "rand", "-base64", "32"], capture_output=True, text=True,
                            check=True).stdout.strip()
    script = f"token={secret}\n" + line.replace("FILE", str(path))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done
    path.chmod(0o600)
    text = path.read_text()
    assert secret not in text and re.fullmatch(r"sha256:[0-9a-f]{64} \S+ \S+\n", text), text
    rosterd = start("--auth-token-file", str(path))
    list(rosterd.stub().ListUsers(pb.ListUsersRequest(),
                                  metadata=[("authorization", f"Bearer {secret}")]))


@pytest.mark.parametrize("text, fault", [
    (f"{token('x')} x\n{hashed(token('x'))} y read\n", ":2: the token is there already"),
    (f"{token('x')} x\nsha256:beef y\n", ":2: a hashed token is sha256: and 64 hexadecimal digits"),
    (f"{token('x')} x read,all\n", ":1: unknown scope all: the scopes are read, write, password, "
     "admin and metrics"),
    (f"{token('x')} x read write\n", ":1: more than a token, a name and scopes: TOKEN NAME "
     "[SCOPE,SCOPE...]"),
])
def test_a_bad_line_prevents_the_start_and_is_named(tmp_path, text, fault):
    path = write(tmp_path / "tokens", text)
    done = subprocess.run([ROSTERD, "--auth-token-file", path, "--data-file", "none", "--check-config"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == f"rosterd: auth-token-file: {path}{fault}\n"


# ---- /metrics ----

@pytest.fixture
def scraped(start, tmp_path):
    """Returns a function that starts a server with these options, its token file and /metrics."""
    def starter(*options, lines=LINES):
        port = free_port()
        rosterd = start("--metrics-listen", f"127.0.0.1:{port}", "--auth-token-file",
                        write(tmp_path / "tokens", lines), *options, workers=1)
        rosterd.metrics_port = port
        return rosterd
    return starter


def get(rosterd, path, authorization=None, verb="GET"):
    """@return status, the challenge or None, body"""
    connection = http.client.HTTPConnection("127.0.0.1", rosterd.metrics_port, timeout=20)
    try:
        connection.request(verb, path,
                           headers={} if authorization is None else {"Authorization": authorization})
        response = connection.getresponse()
        return response.status, response.getheader("WWW-Authenticate"), response.read().decode()
    finally:
        connection.close()


REALM = 'Bearer realm="rosterd"'


def test_metrics_need_a_token_with_the_scope_metrics(scraped):
    rosterd = scraped("--metrics-auth", "on")
    assert get(rosterd, "/metrics") == (401, REALM,
                                        "/metrics needs a token: Authorization: Bearer TOKEN\n")
    for wrong in ("Bearer wrong", "Basic " + token("metrics"), token("metrics"), "Bearer", "",
                  "Bearer " + token("metrics") + "x", "Bearer " + "x" * 5000):
        assert get(rosterd, "/metrics", wrong) == (401, REALM + ', error="invalid_token"',
                                                   "the token is invalid\n")
    for scope in ("read", "write", "password", "admin"):
        assert get(rosterd, "/metrics", f"Bearer {token(scope)}") == (
            403, REALM + ', error="insufficient_scope", scope="metrics"',
            "the token lacks the scope metrics\n")
    for name in ("metrics", "two", "all"):
        status, challenge, body = get(rosterd, "/metrics?x=y", f"Bearer {token(name)}")
        assert (status, challenge) == (200, None) and "\nrosterd_users 0\n" in body
    assert get(rosterd, "/metrics", f"Bearer {token('metrics')}", "HEAD") == (200, None, "")
    assert get(rosterd, "/metrics", verb="HEAD") == (401, REALM, "")
    assert get(rosterd, "/metrics", verb="POST")[0] == 405


def test_two_authorization_fields_are_no_token(scraped):
    rosterd = scraped("--metrics-auth", "on")
    field = b"Authorization: Bearer " + token("metrics").encode() + b"\r\n"
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
    assert status_of(ask(rosterd, head + field + b"\r\n")) == 200
    assert status_of(ask(rosterd, head + 2 * field + b"\r\n")) == 401
    assert status_of(ask(rosterd, head + b"authorization: x\r\n" + field + b"\r\n")) == 401


def test_health_pages_need_no_token(scraped):
    rosterd = scraped("--metrics-auth", "on")
    for authorization in (None, "Bearer wrong", f"Bearer {token('read')}"):
        assert get(rosterd, "/healthz", authorization) == (200, None, "ok\n")
        assert get(rosterd, "/readyz", authorization) == (200, None, "ready\n")
        assert get(rosterd, "/other", authorization)[0] == 404


@pytest.mark.parametrize("options", [[], ["--metrics-auth", "off"]])
def test_metrics_need_no_token_unless_the_option_says_so(scraped, options):
    rosterd = scraped(*options)
    for authorization in (None, "Bearer wrong", f"Bearer {token('read')}"):
        assert get(rosterd, "/metrics", authorization)[:2] == (200, None)
    head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n"
    assert status_of(ask(rosterd, head)) == 200


def test_hashed_tokens_read_metrics_and_a_reload_takes_the_right_away(scraped, tmp_path):
    rosterd = scraped("--metrics-auth", "on", lines=f"{hashed(token('m'))} m metrics\n")
    assert get(rosterd, "/metrics", f"Bearer {token('m')}")[0] == 200
    assert get(rosterd, "/metrics", f"Bearer {hashed(token('m'))}")[0] == 401
    write(tmp_path / "tokens", f"{hashed(token('m'))} m read\n")
    reload(rosterd)
    # A worker that drains may still answer on the shared listener.
    wait_for(lambda: get(rosterd, "/metrics", f"Bearer {token('m')}")[0] == 403, 10, "403")
    rosterd.wait_log(r"warning .*metrics-auth: no token of \S+tokens has the scope metrics")


def test_metrics_auth_needs_a_token_file():
    done = subprocess.run([ROSTERD, "--metrics-auth", "on", "--data-file", "none", "--check-config"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == "rosterd: metrics-auth: needs an auth-token-file, which has the tokens\n"


def test_promtool_accepts_the_configuration_of_the_page(tmp_path):
    text = (SOURCE / "docs/metrics.md").read_text()
    block = re.search(r"^    scrape_configs:.*?\n(?=\n|\S)", text, re.M | re.S)[0]
    files = re.findall(r"_file: /etc/prometheus/(\S+)", block)
    assert files == ["rosterd-ca.pem", "client.pem", "client.key", "rosterd.token"]
    for name in files:
        write(tmp_path / name, "promtool only looks whether it is there\n")
    path = write(tmp_path / "prometheus.yml", block.replace("/etc/prometheus", str(tmp_path)))
    done = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done
