# SPDX-License-Identifier: MIT
"""The attacks of test_hostile.py through TLS, and attacks on TLS itself. The honest client uses a
unix socket of the same worker, so that its latency is that of the worker."""
import contextlib
import os
import pathlib
import signal
import socket
import ssl
import threading
import time

import pytest

import records
import user_service_pb2 as pb
from attack import WIDE, Counter, again, requests
from certs import Authority
from harness import OUT, SANITIZED, Rosterd, free_port
from harness import requests as users
from records import ALERT, APPLICATION_DATA, CLOSE_NOTIFY, Handshake
from tls_kit import connect, context
from watch import ATTACK_SECONDS, held, watched
from wire import INITIAL_WINDOW_SIZE, PING, PREFACE, SETTINGS, Wire, message

pytestmark = pytest.mark.slow

MIB = 1 << 20
HELLO = PREFACE + Wire.frame(SETTINGS, 0, 0)
GET = message(pb.GetUserRequest(id="nobody"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("hostile-tls"))


@pytest.fixture(scope="module")
def server(authority):
    pair = authority.sign("server", "DNS:localhost")
    port = free_port()
    with Rosterd(*pair.options(), "--handshake-timeout", "2s", workers=1,
                 listen=[f"127.0.0.1:{port}", f"unix:{OUT}/hostile-{os.getpid()}.sock"]) as rosterd:
        rosterd.port = port
        yield rosterd


@pytest.fixture
def trusting(authority):
    return context(authority)


@pytest.fixture
def sealing(authority):
    """The context of a TLS 1.3 client, for sealer()."""
    return context(authority, version=ssl.TLSVersion.TLSv1_3)


# ---- bytes after close_notify ----

def test_bytes_behind_close_notify_are_not_kept(server, quiet, sealing):
    """The client sends 100 MB after its close_notify."""
    with watched(server, quiet, 6, "100 MB behind close_notify"):
        for _ in again():
            with server.connect() as sock:
                seal = records.sealer(sealing, sock)
                sock.sendall(seal.record(APPLICATION_DATA, HELLO))
                sock.sendall(seal.record(ALERT, CLOSE_NOTIFY))
                sent, record = 0, b"\x17\x03\x03\x40\x00" + bytes(16384)
                sock.settimeout(2)
                with contextlib.suppress(OSError):
                    while sent < 100 * MIB:
                        sock.sendall(record * 16)
                        sent += len(record) * 16
                maps = pathlib.Path(f"/proc/{server.worker_pids()[0]}/maps").read_text()
                assert "h2o.b." not in maps  # no temporary file of libh2o's, either


# ---- many bytes at once ----

def burst(sock, data):
    """Sends until the socket is full. @return the number of bytes"""
    sent = 0
    sock.settimeout(0.5)
    with contextlib.suppress(OSError):
        for at in range(0, len(data), 16384):
            sock.sendall(data[at:at + 16384])
            sent = at + 16384
    return sent


def grow_window(connection):
    """Makes the kernel's receive buffer grow by an upload, so that many bytes fit into it."""
    stream = connection.open("BatchCreateUsers")
    user = message(pb.CreateUserRequest(username="b", email="no address", password="p" * 16000))
    connection.upload(stream, user * 300)


def test_a_burst_that_waited_while_the_worker_stood_still(server, quiet, trusting):
    """Megabytes of small requests wait for a stopped worker. Answers are not read meanwhile."""
    pid, = server.worker_pids()
    with Counter(connect(server, trusting), {INITIAL_WINDOW_SIZE: WIDE}) as connection:
        grow_window(connection)
        data = requests(connection, 300000, "CreateUser", message(b""))
        # without the honest client, whose latency would include the worker's stop
        os.kill(pid, signal.SIGSTOP)
        try:
            sent = burst(connection.sock, data)
        finally:
            before = held(server)
            os.kill(pid, signal.SIGCONT)
        with watched(server, quiet, 8, f"{sent / 1e6:.1f} MB over TLS in one event"):
            time.sleep(2 * ATTACK_SECONDS)
        assert held(server) - before < (8 if not SANITIZED else 100) * MIB


# ---- records that carry little ----

FLOODS = {
    "KeyUpdates": lambda seal: seal.key_update(False),
    "KeyUpdates that ask for one": lambda seal: seal.key_update(True),
    "empty records": lambda seal: seal.record(APPLICATION_DATA, b""),
    "records full of padding": lambda seal: seal.record(APPLICATION_DATA, b"", 16000),
    "warnings": lambda seal: seal.record(ALERT, b"\x01\x5a"),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_records_without_data_end_the_connection(server, quiet, sealing, kind):
    with watched(server, quiet, 6, f"TLS: {kind}"):
        for _ in again():
            with server.connect() as sock:
                seal = records.sealer(sealing, sock)
                sock.sendall(seal.record(APPLICATION_DATA, HELLO))
                sock.settimeout(5)
                with contextlib.suppress(ConnectionError):
                    for _ in range(50):
                        sock.sendall(b"".join(FLOODS[kind](seal) for _ in range(100)))
                    while sock.recv(65536):  # a time-out fails the test: the server has not closed
                        pass


def test_key_updates_of_a_client_that_means_well(server, sealing):
    """Keys that are updated now and then do not end the connection."""
    with server.connect() as sock:
        seal = records.sealer(sealing, sock)
        sock.sendall(seal.record(APPLICATION_DATA, HELLO))
        sock.settimeout(1)
        for _ in range(50):
            ping = Wire.frame(PING, 1, 0, b"12345678")  # an ACK for no PING
            sock.sendall(seal.key_update(False) + seal.record(APPLICATION_DATA, ping))
            time.sleep(0.005)
        with contextlib.suppress(TimeoutError):
            while True:
                assert sock.recv(65536), "the server closed the connection"


def test_a_request_in_records_of_one_byte(server, quiet, sealing):
    """Each byte of a request is a record of 23 bytes; 3,000 requests are served."""
    with watched(server, quiet, 6, "TLS: records of one byte"):
        for _ in again():
            with server.connect() as sock:
                seal = records.sealer(sealing, sock)
                connection = Wire(None, hello=False)
                data = HELLO + requests(connection, 20, "GetUser", GET)
                sock.sendall(b"".join(seal.record(APPLICATION_DATA, data[i:i + 1])
                                      for i in range(len(data))))
                sock.settimeout(5)
                assert sock.recv(65536)


# ---- handshakes ----

@pytest.mark.parametrize("share", [0.1, 0.9, 1])
def test_half_handshakes(server, quiet, trusting, share):
    """300 handshakes stop for ever: within the ClientHello, or after the server's whole answer."""
    with contextlib.ExitStack() as stack:
        with watched(server, quiet, 30, f"300 handshakes that stop at {share:.0%} of the hello"):
            sockets = [stack.enter_context(server.connect()) for _ in range(300)]
            for sock in sockets:
                hello = Handshake(trusting).hello()
                sock.sendall(hello[:int(len(hello) * share)])
            for sock in sockets:  # handshake-timeout
                sock.settimeout(20)
                with contextlib.suppress(ConnectionError):
                    while sock.recv(65536):
                        pass


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_flood_of_handshakes(server, quiet, trusting, ahead):
    """A flood of handshakes, which cost CPU time, does not delay clients that are connected.
    @param ahead bytes of the ClientHello that are sent before the rest"""
    stop = threading.Event()

    def shake():
        while not stop.is_set():
            with contextlib.suppress(OSError), server.connect() as sock:
                hello = Handshake(trusting).hello()
                if ahead:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.sendall(hello[:ahead])
                    time.sleep(0.01)
                sock.sendall(hello[ahead:])
    threads = [threading.Thread(target=shake) for _ in range(8)]
    with watched(server, quiet, 60, "handshakes without end"):
        for thread in threads:
            thread.start()
        time.sleep(ATTACK_SECONDS)
        stop.set()
        for thread in threads:
            thread.join()


# ---- readers that do not read ----

def test_listings_that_nobody_reads_over_tls(server, quiet, trusting):
    with Wire(connect(server, trusting)) as connection:
        stream = connection.open("BatchCreateUsers")
        connection.upload(stream, b"".join(map(message, users(20000))), seconds=100)
    request = message(pb.ListUsersRequest(page_size=2 ** 31 - 1))
    with contextlib.ExitStack() as stack:
        # each holds 64 KiB of output, 96 KiB of encrypted output, and OpenSSL's buffers
        with watched(server, quiet, 40, "100 unread listings over TLS"):
            for _ in range(100):
                connection = stack.enter_context(
                    Wire(connect(server, trusting), {INITIAL_WINDOW_SIZE: WIDE}))
                connection.window(0, WIDE - 65535)
                for _ in range(3):
                    connection.data(connection.open("ListUsers"), request)
            time.sleep(2 * ATTACK_SECONDS)


def test_requests_whose_replies_nobody_reads_over_tls(server, quiet, trusting):
    with watched(server, quiet, 6, "unread replies over TLS"):
        with Wire(connect(server, trusting), {INITIAL_WINDOW_SIZE: WIDE}) as connection:
            connection.wait_ready()
            connection.window(0, WIDE - 65535)
            body = message(pb.ChatMessage(text="x" * 16000))
            frame = connection.frame(0, 0, connection.open("Chat"), body)
            assert burst(connection.sock, frame * 8000) < 64 * MIB
