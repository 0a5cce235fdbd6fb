# SPDX-License-Identifier: MIT
"""TLS as a transport: alerts, KeyUpdates, bytes after the end; turns and memory as on a plain port."""
import contextlib
import re
import socket
import ssl
import subprocess
import time

import pytest

import user_service_pb2 as pb
from certs import Authority
from harness import SHM_INSPECT, Rosterd, cpu_seconds, resident, wait_for
from tls_kit import GET, VERSIONS, connect, context
from wire import DATA, PING, PREFACE, SETTINGS, Wire, message

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("server", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def server(pair):
    with Rosterd(*pair.options(), workers=1) as rosterd:
        yield rosterd


def alert_of(rosterd, made):
    with pytest.raises(ssl.SSLError) as caught:
        connect(rosterd, made)
    return str(caught.value)


# ---- handshakes that fail ----

def test_a_client_without_h2_gets_an_alert_and_a_line_in_the_log(server, authority):
    assert "ALERT_NO_APPLICATION_PROTOCOL" in alert_of(
        server, context(authority, protocols=("http/1.1", "spdy/3"))).replace(" ", "_").upper()
    server.wait_log(r"TLS handshake with 127\.0\.0\.1:\d+ failed: .*; it offered TLS.* 1\.3.*, "
                    r"ALPN http/1\.1 spdy/3, name localhost")


def test_a_client_without_alpn_gets_an_alert_and_a_line_in_the_log(server, authority):
    assert "ALERT_NO_APPLICATION_PROTOCOL" in alert_of(
        server, context(authority, protocols=())).replace(" ", "_").upper()
    server.wait_log(r"failed: a client without ALPN does not speak HTTP/2; it offered .*no ALPN")


def test_a_client_of_an_older_version_gets_an_alert(server):
    out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_1",
                          "-alpn", "h2", "-cipher", "ALL:@SECLEVEL=0"], capture_output=True,
                         text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert "alert protocol version" in out.stderr
    server.wait_log(r"TLS handshake .* failed: unsupported protocol; it offered TLS")


def test_a_client_without_a_certificate_gets_an_alert(pair, authority):
    with Rosterd(*pair.options(), "--tls-client-ca", authority.pair.certificate,
                 workers=1) as rosterd:
        version = ssl.TLSVersion.TLSv1_2  # in 1.3 the alert comes after the client's handshake
        assert "alert" in alert_of(rosterd, context(authority, version=version)).lower()
        rosterd.wait_log("failed: peer did not return a certificate")


def test_plain_http_on_a_tls_port_is_logged_as_such(server):
    with server.connect() as sock:
        sock.sendall(PREFACE)
        sock.settimeout(10)
        assert sock.recv(100)[:1] in (b"\x15", b"")  # an alert, or the end
    server.wait_log("TLS handshake .* failed: .*; it offered nothing")


def test_failed_handshakes_do_not_flood_the_log(pair, authority):
    made = context(authority, protocols=("http/1.1",))
    with Rosterd(*pair.options(), workers=1) as rosterd:
        started = time.monotonic()
        for _ in range(200):
            alert_of(rosterd, made)
        seconds = time.monotonic() - started
        lines = len(re.findall("TLS handshake with", rosterd.log()))
        assert 10 <= lines <= 10 * (seconds + 2)
        rosterd.wait_stats("rosterd_tls_handshakes_failed_total", 200)


# ---- what comes after the handshake ----

def test_a_key_update_that_asks_for_one_is_answered(server, authority):
    """Uses the command K of openssl s_client."""
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"localhost:{server.port}", "-alpn", "h2", "-tls1_3",
         "-CAfile", authority.pair.certificate, "-msg"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def say(data):
        client.stdin.write(data)
        client.stdin.flush()
        time.sleep(0.3)  # a command must arrive in a read of its own

    try:
        say(PREFACE + b"\0\0\0\x04\0\0\0\0\0")
        for _ in range(5):
            say(b"K\n")
        say(b"\0\0\x08\x06\0\0\0\0\0" + b"ping-pong"[:8])
        client.stdin.close()
        out = client.stdout.read()
    finally:
        client.kill()
        client.wait()
    received = re.findall(rb"<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate", out)
    assert len(received) == 5, out
    assert out.count(b"ping-pon") == 1  # the echo: s_client shows sent data only as records


def finished(rosterd, authority, version=None):
    """A connection whose TLS records the test handles itself. @return (TLS object, its outgoing
    BIO, socket)"""
    incoming, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(authority, version=version).wrap_bio(incoming, out, server_hostname="localhost")
    sock = rosterd.connect()
    sock.settimeout(10)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(out.read())
            incoming.write(sock.recv(65536))
    tls.write(PREFACE + b"\0\0\0\x04\0\0\0\0\0")
    sock.sendall(out.read())
    return tls, out, sock


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_after_close_notify_are_not_stored(server, authority, version):
    pid, = server.worker_pids()
    tls, out, sock = finished(server, authority, version)
    before = resident(pid)
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    sock.sendall(out.read())
    sent, record = 0, b"\x17\x03\x03\x40\x00" + b"x" * 16384
    with sock, pytest.raises(OSError):
        while sent < 200 * MIB:  # the server discards up to 2 MiB within a second, then it closes
            sock.sendall(record)
            sent += len(record)
    assert resident(pid) - before < 4 * MIB
    wait_for(lambda: server.inspect("stats")["rosterd_connections_open"] == 0, 10, "closed")


def has_user(rosterd, name):
    done = subprocess.run([SHM_INSPECT, "--segment", rosterd.segment, "get", "--username", name],
                          capture_output=True, timeout=60)
    return done.returncode == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_received_before_close_notify_counts(server, authority, version):
    tls, out, sock = finished(server, authority, version)
    said = []
    connection = Wire(None, hello=False)
    connection.send = said.append
    connection.data(connection.open("CreateUser"),
                    message(pb.CreateUserRequest(username=f"last-words-{version}")))
    tls.write(b"".join(said))
    with contextlib.suppress(ssl.SSLError):
        tls.unwrap()
    with sock:
        sock.sendall(out.read())  # both in one TCP segment
        wait_for(lambda: has_user(server, f"last-words-{version}"), 10, "the user")


def test_a_flood_of_key_updates_ends_with_enhance_your_calm(server, authority):
    """Each KeyUpdate costs 30 us and an answer: 64 are allowed at once, and eight per second."""
    pid, = server.worker_pids()
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"localhost:{server.port}", "-alpn", "h2", "-tls1_3",
         "-CAfile", authority.pair.certificate], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    try:
        time.sleep(0.3)
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(PREFACE + b"\0\0\0\x04\0\0\0\0\0")
            client.stdin.flush()
            for _ in range(120):
                time.sleep(0.01)
                client.stdin.write(b"K\n")
                client.stdin.flush()
        out = client.stdout.read()
    finally:
        client.kill()
        client.wait()
    assert b"too many frames that do nothing" in out
    assert server.worker_pids() == [pid]


def test_a_broken_record_ends_the_connection_by_an_alert(server, authority):
    tls, out, sock = finished(server, authority)
    with sock:
        sock.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64)
        data = b""
        while True:
            got = sock.recv(65536)
            if not got:
                break
            data += got
        assert data[-2:] != b"" and data != b""
    wait_for(lambda: server.inspect("stats")["rosterd_connections_open"] == 0, 10, "closed")


def test_records_of_one_byte_are_accepted(server, authority):
    with Wire(connect(server, context(authority))) as connection:
        whole = []
        connection.wait_ready()
        keep, connection.send = connection.send, whole.append
        stream = connection.open("GetUser")
        connection.data(stream, GET)
        connection.send = keep
        for byte in b"".join(whole):
            connection.sock.sendall(bytes([byte]))
        assert connection.wait(stream).grpc_status == 5


def test_a_connection_continues_after_idle_time(server, authority):
    """OpenSSL's buffers were released meanwhile, after a second."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Wire(connect(server, context(authority))))
                       for _ in range(50)]
        for _ in range(2):
            for connection in connections:
                assert connection.call("GetUser", GET).grpc_status == 5
            time.sleep(2.2)


def test_a_peer_that_reads_nothing_uses_no_more_memory_than_on_a_plain_port(server, authority):
    pid, = server.worker_pids()
    before = resident(pid)
    with Wire(connect(server, context(authority))) as connection:
        connection.wait_ready()
        frame = connection.frame(SETTINGS, 0, 0)  # its answers pile up, until ENHANCE_YOUR_CALM
        connection.sock.settimeout(0.5)
        with pytest.raises((OSError, TimeoutError)):
            for _ in range(200000):
                connection.sock.sendall(frame * 100)
    assert resident(pid) - before < 8 * MIB
    busy = cpu_seconds(pid)
    time.sleep(0.5)
    assert cpu_seconds(pid) - busy < 0.1


def test_an_incomplete_handshake_is_closed_in_time(pair):
    with Rosterd(*pair.options(), "--handshake-timeout", "300ms", workers=1) as rosterd:
        with socket.create_connection(("127.0.0.1", rosterd.port)) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            sock.settimeout(10)
            assert sock.recv(100) == b""
        wait_for(lambda: rosterd.inspect("stats")["rosterd_connections_open"] == 0, 10, "closed")


assert DATA == 0 and PING == 6 # the bytes above use these values
