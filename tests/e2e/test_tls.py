# SPDX-License-Identifier: MIT
"""TLS and mutual TLS, as gRPC clients, probes and attackers use the port."""
import os
import pathlib
import socket
import ssl
import subprocess
import time

import grpc
import pytest

import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
from certs import Authority, Pair
from harness import Rosterd, expect, failure, requests, wait_for
from tls_kit import GET, VERSIONS, connect, context, refused
from wire import PREFACE, SETTINGS, Wire


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("server", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def other(authority):
    return authority.sign("other", "DNS:other.example", "DNS:*.wild.example")


@pytest.fixture(scope="module")
def client(authority):
    return authority.sign("client", subject="/O=Example, Inc./CN=billing \u00fc")


@pytest.fixture(scope="module")
def server(pair, other):
    with Rosterd(*pair.options(), *other.options(), workers=4) as rosterd:
        yield rosterd


def credentials(authority, client=None):
    def read(path):
        return pathlib.Path(path).read_bytes()
    return grpc.ssl_channel_credentials(
        read(authority.pair.certificate), *([read(client.key), read(client.certificate)] if client
                                            else []))


def secure_stub(rosterd, authority, client=None):
    channel = grpc.secure_channel(f"localhost:{rosterd.port}", credentials(authority, client),
                                  [("grpc.use_local_subchannel_pool", 1),
                                   ("grpc.enable_http_proxy", 0)])
    rosterd.channels.append(channel)
    return pb_grpc.UserServiceStub(channel)


def failed_handshakes(rosterd):
    return rosterd.inspect("stats")["rosterd_tls_handshakes_failed_total"]


# ---- calls ----

def test_every_kind_of_call(server, authority):
    stub = secure_stub(server, authority)
    user = stub.CreateUser(pb.CreateUserRequest(username="tls", email="t@ls"))
    assert stub.GetUser(pb.GetUserRequest(id=user.id)) == user
    assert stub.BatchCreateUsers(requests(20000)).created == 20000
    assert len(list(stub.ListUsers(pb.ListUsersRequest(page_size=20001)))) == 20001
    echoes = stub.Chat(iter([pb.ChatMessage(text="x" * n) for n in (1, 100, 100000)]))
    assert [len(echo.text) for echo in echoes] == [7, 106, 100006]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions(server, authority, version):
    with Wire(connect(server, context(authority, version=version))) as connection:
        assert connection.sock.version() == version.name.replace("v1_", "v1.")
        assert connection.sock.selected_alpn_protocol() == "h2"
        assert connection.call("GetUser", GET).grpc_status == 5


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_in_the_last_flight_of_the_handshake(server, authority, version):
    """The end of the handshake and the whole call arrive in one read."""
    incoming, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = context(authority, version=version).wrap_bio(incoming, out, server_hostname="localhost")
    with server.connect() as sock:
        sock.settimeout(10)
        while True:
            try:
                half.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(out.read())
                incoming.write(sock.recv(65536))
        said = []
        connection = Wire(sock, hello=False)
        connection.send = said.append
        connection.send(PREFACE + connection.frame(SETTINGS, 0, 0))
        connection.data(connection.open("GetUser"), GET)
        half.write(b"".join(said))
        sock.sendall(out.read())
        data = b""
        while b"not found" not in data and b"not%20found" not in data:
            try:
                data += half.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))


def test_a_connection_whose_bytes_arrive_one_by_one(server, authority):
    """Each byte is sent in a record of its own."""
    with Wire(connect(server, context(authority))) as connection:
        connection.wait_ready()
        sent, connection.send = [], lambda data: sent.append(data)
        stream = connection.open("GetUser")
        connection.data(stream, GET)
        del connection.send
        for byte in b"".join(sent):
            connection.send(bytes([byte]))
        assert connection.wait(stream).grpc_status == 5


# ---- what is refused ----

@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2c", "grpc-exp")])
def test_only_h2_is_accepted(server, authority, protocols):
    before = failed_handshakes(server)
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        with Wire(connect(server, context(authority, protocols=protocols))) as connection:
            connection.call("GetUser", GET)
    wait_for(lambda: failed_handshakes(server) == before + 1, what="it is counted")


def test_older_versions_are_refused(server, authority):
    old = context(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        connect(server, old)


def test_renegotiation_is_refused(server):
    """The command R of openssl s_client requests a renegotiation in TLS 1.2: the connection ends."""
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-alpn", "h2"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.5)
    out = process.communicate(b"R\n", timeout=30)[0].decode(errors="replace")
    assert "error:" in out.partition("RENEGOTIATING")[2], out


@pytest.mark.parametrize("said", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                                  b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\0" * 20000])
def test_data_that_is_not_tls_closes_the_connection(server, said):
    before = failed_handshakes(server)
    with server.connect() as sock:
        try:
            sock.sendall(said)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    wait_for(lambda: failed_handshakes(server) == before + 1, what="it is counted")


def test_an_unfinished_handshake_times_out(start, pair, authority):
    rosterd = start("--handshake-timeout", "400ms", *pair.options(), workers=1)
    # The client's first flight.
    out = ssl.MemoryBIO()
    half = context(authority).wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = out.read()
    for said in (b"", hello[:50], hello):
        with rosterd.connect() as sock:
            sock.sendall(said)
            sock.settimeout(10)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass
    rosterd.wait_stats('rosterd_limits_hit_total{limit="handshake_timeout"}', 3)
    with Wire(connect(rosterd, context(authority))) as connection:
        assert connection.call("GetUser", GET).grpc_status == 5
        time.sleep(0.8)
        assert connection.call("GetUser", GET).grpc_status == 5


def test_unix_sockets_stay_plain(start, pair, tmp_path):
    rosterd = start(*pair.options(), listen=[f"unix:{tmp_path}/socket"])
    expect(lambda: rosterd.stub().GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)


# ---- names ----

@pytest.mark.parametrize("name, subject", [
    ("localhost", "server"), ("other.example", "other"), ("a.wild.example", "other"),
    ("OTHER.example", "other"), ("unknown.example", "server")])
def test_the_certificate_is_chosen_by_name(server, authority, name, subject):
    asked = context(authority)
    asked.check_hostname = False
    with connect(server, asked, name) as sock:
        (found,) = [value for part in sock.getpeercert()["subject"] for key, value in part
                    if key == "commonName"]
    assert found == subject


# ---- tickets ----

@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_resumes_on_any_worker(server, authority, version):
    shared = context(authority, version=version)
    with Wire(connect(server, shared)) as first:
        first.call("GetUser", GET)  # a TLS 1.3 ticket arrives after the handshake
        session = first.sock.session
    for _ in range(20):
        with Wire(connect(server, shared, session=session)) as connection:
            assert connection.sock.session_reused
            assert connection.call("GetUser", GET).grpc_status == 5


def test_a_session_outlives_a_worker(start, pair, authority):
    rosterd = start(*pair.options(), workers=1)
    shared = context(authority)
    with Wire(connect(rosterd, shared)) as first:
        first.call("GetUser", GET)
        session = first.sock.session
    os.kill(rosterd.worker_pids()[0], 9)
    rosterd.wait_log(r"(?s)accepts.*accepts")
    with Wire(connect(rosterd, shared, session=session)) as connection:
        assert connection.sock.session_reused
        assert connection.call("GetUser", GET).grpc_status == 5


# ---- client certificates ----

@pytest.fixture
def mutual(start, pair, authority, tmp_path):
    rosterd = start(*pair.options(), "--tls-client-ca", authority.pair.certificate, "--access-log",
                    "on", "--access-log-file", str(tmp_path / "log"), "--log-format", "json")
    rosterd.access = tmp_path / "log"
    return rosterd


def test_a_client_certificate_is_requested_and_logged(mutual, authority, client):
    import json
    stub = secure_stub(mutual, authority, client)
    expect(lambda: stub.GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)
    line = json.loads(wait_for(lambda: mutual.access.read_text(), what="a line"))
    assert line["subject"] == "CN=billing \u00fc,O=Example\\, Inc."


def test_its_subject_is_known_in_a_resumed_session(mutual, authority, client):
    import json
    shared = context(authority, client=client)
    session = None
    for _ in range(3):
        with Wire(connect(mutual, shared, session=session)) as connection:
            assert connection.call("GetUser", GET).grpc_status == 5
            assert connection.sock.session_reused == (session is not None)
            session = connection.sock.session
    lines = wait_for(lambda: len(mutual.access.read_text().splitlines()) == 3
                     and mutual.access.read_text().splitlines(), what="lines")
    assert len({json.loads(line)["subject"] for line in lines}) == 1
    assert json.loads(lines[2])["subject"].startswith("CN=billing")


def test_without_a_valid_client_certificate_nothing_is_served(mutual, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger").sign("client")
    for pair in (None, stranger):
        stub = secure_stub(mutual, authority, pair)
        error = failure(lambda s=stub: s.GetUser(pb.GetUserRequest(id="x"), timeout=20))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert not mutual.access.read_text()


# ---- tools ----

def test_grpcurl_and_the_probe_work_over_tls(server, mutual, authority, client):
    ca = authority.pair.certificate
    for rosterd, more in ((server, []), (mutual, [client])):
        address = f"localhost:{rosterd.port}"
        own = [f for p in more for f in ("-cert", p.certificate, "-key", p.key)]
        listed = subprocess.run(["grpcurl", "-cacert", ca, *own, address, "list"],
                                capture_output=True, text=True, timeout=60)
        assert "userservice.UserService" in listed.stdout.split(), listed
        described = subprocess.run(["grpcurl", "-cacert", ca, *own, address, "describe",
                                    "userservice.User"], capture_output=True, text=True, timeout=60)
        assert "string username = 2;" in described.stdout, described
        called = subprocess.run(["grpcurl", "-cacert", ca, *own, "-d", '{"username":"curl"}',
                                 address, "userservice.UserService/CreateUser"],
                                capture_output=True, text=True, timeout=60)
        assert '"username": "curl"' in called.stdout, called
        own = [f for p in more for f in ("-tls-client-cert", p.certificate, "-tls-client-key",
                                         p.key)]
        probe = subprocess.run(["grpc-health-probe", f"-addr={address}", "-tls", "-tls-ca-cert", ca,
                                *own], capture_output=True, text=True, timeout=60)
        assert probe.returncode == 0, probe


# ---- the start ----

def test_an_expired_or_future_certificate_is_named(authority):
    old = authority.sign("old", dates=("20200101000000Z", "20210203040506Z"))
    assert refused(*old.options()) == (f"rosterd: tls-certificate: {old.certificate}: it expired at "
                                       "2021-02-03 04:05:06 UTC\n")
    future = authority.sign("future", dates=("20450101000000Z", "20460101000000Z"))
    assert "it is not valid before 2045-01-01" in refused(*future.options())


def test_a_mismatched_pair_is_named(pair, other):
    assert refused(*Pair(pair.certificate, other.key).options()) == (
        f"rosterd: tls-key: {other.key}: it is not the key of {pair.certificate}\n")
    # Also if it is the second pair.
    text = refused(*pair.options(), *Pair(other.certificate, pair.key).options())
    assert f"tls-key: {pair.key}: it is not the key of {other.certificate}" in text


def test_files_that_cannot_be_used_are_named(pair, tmp_path):
    garbage, none = tmp_path / "garbage", tmp_path / "none"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n")
    for path in (garbage, none, tmp_path):
        assert f"tls-certificate: {path}: it cannot be used: " in refused(
            *Pair(str(path), pair.key).options())
        assert f"tls-key: {path}: it cannot be used: " in refused(
            *Pair(pair.certificate, str(path)).options())
        assert f"tls-client-ca: {path}: it cannot be used: " in refused(
            *pair.options(), "--tls-client-ca", str(path))
    assert "No such file or directory" in refused(*Pair(str(none), pair.key).options())


def test_a_key_readable_by_everybody_causes_a_warning(start, authority):
    pair = authority.sign("open")
    pathlib.Path(pair.key).chmod(0o644)
    start(*pair.options()).wait_log(f"tls-key: {pair.key}: every user of this machine may read it")


def test_closed_connections_leave_nothing_behind(server, authority):
    shared = context(authority)
    for _ in range(50):
        sock = connect(server, shared)
        sock.close()
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"\x16\x03\x01")
    wait_for(lambda: server.inspect("stats")["rosterd_connections_open"] == len(server.channels),
             10, "all gone")
