# SPDX-License-Identifier: MIT
"""The bounds on connections: in all, and per address."""
import contextlib
import os
import signal
import socket
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import cpu_seconds, expect, free_port, wait_for
from wire import ENHANCE_YOUR_CALM, Wire, message


@pytest.fixture
def held():
    with contextlib.ExitStack() as stack:
        yield stack


def served(rosterd, held, source="127.0.0.1"):
    """Connects from this address; @return the connection, which stays open, or None: not served"""
    sock = socket.create_connection(("127.0.0.1", rosterd.port), 10, (source, 0))
    connection = Wire(sock)
    try:
        connection.wait_ready()
    except AssertionError:
        connection.close()
        return None
    held.callback(connection.close)
    return connection


def refused(rosterd, name, source="127.0.0.1"):
    """Whether the server closes a new connection at once, with this name as the reason."""
    with Wire(socket.create_connection(("127.0.0.1", rosterd.port), 10, (source, 0))) as connection:
        connection.wait_close()
        return connection.goaway[:2] == (ENHANCE_YOUR_CALM, name.encode())


def limit(rosterd, name):
    return rosterd.inspect("stats")[f'rosterd_limits_hit_total{{limit="{name}"}}']


def test_connections_beyond_the_limit_are_closed_and_counted(start, held):
    rosterd = start("--max-connections", "20", workers=4)
    connections = [served(rosterd, held) for _ in range(20)]
    assert all(connections)
    for _ in range(5):
        assert refused(rosterd, "max_connections")
    wait_for(lambda: limit(rosterd, "max_connections") == 5, 10, "five counted")
    # a closed connection makes room for another one
    for connection in connections[:3]:
        connection.close()
    wait_for(lambda: rosterd.inspect("stats")["rosterd_connections_open"] == 17, 10, "three closed")
    assert all(served(rosterd, held) for _ in range(3))
    assert not served(rosterd, held)
    # open connections are served all the while
    assert connections[5].call("GetUser", b"\0\0\0\0\0").grpc_status == 5


def test_a_dead_workers_connections_no_longer_count(start, held):
    rosterd = start("--max-connections", "10", "--max-connections-per-address", "10", workers=2)
    assert all([served(rosterd, held) for _ in range(10)])
    assert not served(rosterd, held)
    for pid in rosterd.worker_pids():
        os.kill(pid, signal.SIGKILL)
    rosterd.wait_log(r"(?s)(accepts.*){4}")
    assert all([served(rosterd, held) for _ in range(10)])
    assert not served(rosterd, held)


def test_one_address_reaches_its_limit_while_others_are_served(start, held):
    rosterd = start("--max-connections-per-address", "3", listen=None, workers=4)
    assert all([served(rosterd, held) for _ in range(3)])
    for _ in range(4):
        assert refused(rosterd, "max_connections_per_address")
    assert all([served(rosterd, held, "127.0.0.2") for _ in range(3)])
    assert not served(rosterd, held, "127.0.0.2")
    wait_for(lambda: limit(rosterd, "max_connections_per_address") == 5, 10, "five counted")
    assert limit(rosterd, "max_connections") == 0


def test_ipv4_clients_of_a_dual_stack_socket_are_counted_by_address(start, held, tmp_path):
    log = tmp_path / "log"
    rosterd = start("--max-connections-per-address", "2", "--access-log", "on",
                    "--access-log-file", str(log), listen=[f"[::]:{free_port()}"])
    rosterd.port = int(rosterd.listen[0].rpartition(":")[2])
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        connections = [served(rosterd, held, source) for _ in range(2)]
        assert all(connections)
        assert refused(rosterd, "max_connections_per_address", source)
        connections[0].call("GetUser", b"\0\0\0\0\0")
        wait_for(lambda s=source: f"peer={s}:" in log.read_text(), what="the IPv4 address in the log")


def test_unix_socket_clients_have_no_address_limit(start, tmp_path):
    rosterd = start("--max-connections-per-address", "1", listen=[f"unix:{tmp_path}/socket"])
    for _ in range(5):
        expect(lambda: rosterd.stub().GetUser(pb.GetUserRequest(id="x")),
               grpc.StatusCode.NOT_FOUND)


def test_oversized_messages_are_counted(start):
    rosterd = start("--max-message-size", "1K")
    expect(lambda: rosterd.stub().GetUser(pb.GetUserRequest(id="x" * 2000)),
           grpc.StatusCode.RESOURCE_EXHAUSTED)
    wait_for(lambda: limit(rosterd, "max_message_size") == 1, 10, "one counted")


def test_without_descriptors_new_connections_wait_and_others_are_served(start):
    rosterd = start(workers=1, start=False)
    command = rosterd.command
    rosterd.command = lambda: ["prlimit", "--nofile=40:40", *command()]
    rosterd.start()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Wire(rosterd.connect())).wait_ready()
        waiting = [stack.enter_context(Wire(rosterd.connect())) for _ in range(40)]
        rosterd.wait_log("accept: Too many open files; new connections wait")
        worker, = rosterd.worker_pids()
        before = cpu_seconds(worker)
        for _ in range(10):
            assert first.call("GetUser", message(pb.GetUserRequest(id="x"))).grpc_status == 5
            time.sleep(0.1)
        assert cpu_seconds(worker) - before < 0.2  # it retries now and then, and does not spin
        assert rosterd.log().count("Too many open files") == 1
        for connection in waiting:
            connection.read(0.01)
        served_now = [connection for connection in waiting if connection.settings]
        assert 10 < len(served_now) < 35
        for connection in served_now:
            connection.close()
        for connection in waiting:
            if connection not in served_now:
                connection.wait_ready()
        assert rosterd.worker_pids() == [worker]
