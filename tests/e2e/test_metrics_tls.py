# SPDX-License-Identifier: MIT
"""TLS and client certificates on metrics-listen."""
import concurrent.futures
import http.client
import queue
import signal
import socket
import ssl
import time

import pytest

import user_service_pb2 as pb
from certs import Authority
from harness import free_port, gone, wait_for
from tls_kit import context, refused

GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("metrics-ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("metrics", "DNS:localhost", "IP:127.0.0.1")


def secured(start, pair, *options):
    port = free_port()
    rosterd = start("--metrics-listen", f"127.0.0.1:{port}", "--metrics-tls-certificate", pair.certificate,
                    "--metrics-tls-key", pair.key, "--workers", "1", *options)
    rosterd.metrics_port = port
    return rosterd


def open_tls(rosterd, client):
    plain = socket.create_connection(("127.0.0.1", rosterd.metrics_port), 10)
    return client.wrap_socket(plain, server_hostname="localhost")


def read_all(sock):
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer


def get(rosterd, client, path="/metrics"):
    """@return the status and the body, read to the close_notify"""
    with open_tls(rosterd, client) as sock:
        sock.sendall(GET % path.encode())
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()


def test_metrics_are_served_over_tls(start, authority, pair):
    rosterd = secured(start, pair)
    plain = http.client.HTTPConnection("127.0.0.1", rosterd.metrics_port, timeout=10)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.request("GET", "/metrics")
        plain.getresponse()
    rosterd.wait_log(r"metrics-listen: TLS handshake with 127\.0\.0\.1 port \d+ failed: http request")
    scraper = context(authority, protocols=("h2", "http/1.1"))
    with open_tls(rosterd, scraper) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    status, body = get(rosterd, scraper)
    assert status == 200 and body.rstrip().endswith(" 1") and "rosterd_build_info{" in body
    assert get(rosterd, context(authority, protocols=()), "/readyz") == (200, "ready\n")
    with pytest.raises(ssl.SSLError):
        open_tls(rosterd, context(authority, protocols=("h2",)))
    assert rosterd.stub()  # the port for gRPC stays plain


def test_reload_takes_the_new_certificate(start, authority, pair):
    rosterd = secured(start, pair)
    with open_tls(rosterd, context(authority, protocols=())) as sock:
        assert "metrics" in str(sock.getpeercert()["subject"])
    other = authority.sign("renewed", "DNS:localhost")
    for name in ("certificate", "key"):
        with open(getattr(other, name), encoding="ascii") as new, open(getattr(pair, name), "w", encoding="ascii") as old:
            old.write(new.read())
    before = rosterd.worker_pids()
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("reloaded: 1 workers")
    wait_for(lambda: all(gone(pid) for pid in before), 10, "the end of the old worker")
    with open_tls(rosterd, context(authority, protocols=())) as sock:
        assert "renewed" in str(sock.getpeercert()["subject"])


def test_reload_revokes_a_client_though_an_old_worker_goes_on(start, authority):
    client = authority.sign("leaves")
    revoked = authority.revoke(name="metrics")
    rosterd = secured(start, authority.sign("lists", "DNS:localhost"), "--metrics-tls-client-ca",
                      authority.pair.certificate, "--metrics-tls-crl", revoked)
    known = context(authority, client=client, protocols=())

    def is_refused():
        try:
            return get(rosterd, known)[0] != 200
        except (ssl.SSLError, ConnectionError):
            return True

    assert not is_refused()
    messages = queue.SimpleQueue()
    chat = rosterd.stub().Chat(iter(messages.get, None), timeout=30)
    messages.put(pb.ChatMessage(text="hello"))
    next(chat)
    before = rosterd.worker_pids()
    assert authority.revoke(client, name="metrics") == revoked
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("reloaded: 1 workers")
    wait_for(is_refused, 5, "the first refusal")
    assert all(is_refused() for _ in range(20))
    assert get(rosterd, context(authority, client=authority.sign("stays"), protocols=()), "/readyz") == (200, "ready\n")
    assert not gone(before[0])  # it still has the stream
    messages.put(pb.ChatMessage(text="goodbye"))
    next(chat)
    messages.put(None)


def test_metrics_need_a_client_certificate_and_probes_do_not(start, authority, tmp_path):
    pair = authority.sign("guarded", "DNS:localhost")
    client, stranger = authority.sign("scraper"), Authority(tmp_path, "stranger").sign("scraper")
    path = tmp_path / "metrics.sock"
    rosterd = secured(start, pair, "--metrics-tls-client-ca", authority.pair.certificate,
                      "--metrics-listen", f"unix:{path}")
    nobody, known = context(authority, protocols=()), context(authority, client=client, protocols=())
    assert get(rosterd, nobody) == (403, "/metrics needs a client certificate of a CA that is trusted\n")
    assert get(rosterd, nobody, "/healthz") == (200, "ok\n")
    assert get(rosterd, known)[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        get(rosterd, context(authority, client=stranger, protocols=()), "/healthz")
    rosterd.wait_log("metrics-listen: TLS handshake with .* failed: ")
    with socket.socket(socket.AF_UNIX) as sock:  # plain, as for gRPC
        sock.connect(str(path))
        sock.sendall(GET % b"/metrics")
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_silent_clients_leave_room_and_handshakes_have_a_pace(start, authority):
    rosterd = secured(start, authority.sign("paced", "DNS:localhost"))
    client = context(authority, protocols=())
    silent = [socket.create_connection(("127.0.0.1", rosterd.metrics_port), 10) for _ in range(200)]
    for sock in silent[100:]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
    assert get(rosterd, client, "/healthz") == (200, "ok\n")
    for sock in silent:
        sock.close()
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: get(rosterd, client, "/healthz"), range(30)))
    assert answers == [(200, "ok\n")] * 30
    assert time.monotonic() - begin > 0.25  # a worker answers one handshake in ten milliseconds


def test_records_without_an_end_are_cut_off(start, authority):
    rosterd = secured(start, authority.sign("bounded", "DNS:localhost"))
    with open_tls(rosterd, context(authority, protocols=())) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            for byte in (GET % b"/healthz")[:-2] + b"X: " + b"y" * 2000:
                sock.send(bytes([byte]))
            sock.send(b"\r\n\r\n")
            assert sock.recv(100) == b"", "the request was served"
            raise ConnectionError
    assert get(rosterd, context(authority, protocols=()), "/healthz")[0] == 200


@pytest.mark.parametrize("options, message", [
    (["--metrics-tls-certificate", "C"], "metrics-tls-key: a metrics-tls-certificate has no metrics-tls-key"),
    (["--metrics-tls-client-ca", "C"], "metrics-tls-client-ca: needs a metrics-tls-certificate"),
    (["--metrics-tls-certificate", "C", "--metrics-tls-key", "/nowhere"], "metrics-tls-key: /nowhere: "),
    (["--metrics-tls-certificate", "/nowhere", "--metrics-tls-key", "K"], "metrics-tls-certificate: /nowhere: "),
    (["--metrics-tls-certificate", "C", "--metrics-tls-key", "K", "--metrics-tls-client-ca", "/nowhere"],
     "metrics-tls-client-ca: /nowhere: "),
    (["--metrics-tls-certificate", "C", "--metrics-tls-key", "K", "--metrics-tls-client-ca", "A",
      "--metrics-tls-crl", "/nowhere"], "metrics-tls-crl: /nowhere: "),
])
def test_files_that_cannot_be_used_are_named(authority, options, message):
    pair = authority.sign("named", "DNS:localhost")
    files = {"C": pair.certificate, "K": pair.key, "A": authority.pair.certificate}
    assert f"rosterd: {message}" in refused(*[files.get(option, option) for option in options])
