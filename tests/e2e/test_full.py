# SPDX-License-Identifier: MIT
"""No room for another user: the call names the limit that was reached, reads continue, and writes
work as soon as there is room."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

import grpc
import pytest

import user_service_pb2 as pb
from harness import ROSTERD, Rosterd, expect, free_port, read_all, requests, wait_for

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
PRIVATE_SHM = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
               'mount -t tmpfs -o size=$0 tmpfs /dev/shm && exec "$@"']


class TinyShm(Rosterd):
    """A server with its own /dev/shm of this many bytes, which is unmounted when the server ends."""
    size = "12m"  # of which the counters take seven

    def command(self):
        return [*PRIVATE_SHM, self.size, *super().command()]


def in_its_namespace(rosterd, *command):
    """Runs the command where the server's /dev/shm is."""
    subprocess.run(["nsenter", "--user", "--preserve-credentials", "--mount", "--target",
                    str(rosterd.worker_pids()[0]), *command], check=True, timeout=20)


def page(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        return response.read().decode()


def gauge(port, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page(port, "/metrics"), re.M)[1])


@contextlib.contextmanager
def systemd(path, monkeypatch):
    """Stands for systemd. Yields a function that waits for a message that has this pattern."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

        def wait(pattern):
            while not re.search(pattern, notify.recv(4096).decode()):
                pass
        yield wait


def can_mount():
    return subprocess.run([*PRIVATE_SHM, "1m", "true"], capture_output=True, check=False,
                          timeout=20).returncode == 0


def memory_groups():
    """Yields the directories below which a control group with a memory limit may be created, and
    the name of the limit's file."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield pathlib.Path("/sys/fs/cgroup/memory" + group), "memory.limit_in_bytes"
        elif controllers == "":  # version 2: next to the tests' own group, which has processes
            yield pathlib.Path("/sys/fs/cgroup" + group).parent, "memory.max"


@contextlib.contextmanager
def memory_group(limit):
    """Creates a control group with this limit. Yields None if that is not permitted."""
    made = None
    for above, limit_file in memory_groups():
        directory = above / f"rosterd-test-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        try:
            (directory / limit_file).write_text(str(limit))
            made = directory
            break
        except OSError:
            directory.rmdir()
    try:
        yield made
    finally:
        deadline = time.monotonic() + 10
        while made is not None and made.exists():
            try:
                made.rmdir()
            except OSError:  # its last process is still ending
                assert time.monotonic() < deadline
                time.sleep(0.05)


class InGroup(Rosterd):
    """A server in a control group, which accounts its processes and the memory that they use."""
    group = None

    def command(self):
        return ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.group),
                *super().command()]


def create(stub, name="one-more"):
    return stub.CreateUser(pb.CreateUserRequest(username=name), timeout=20)


def fill_up(stub, text, created=0, prefix=""):
    """Creates batches until one does not fit. Users that fit must exist, and the error of each
    other user must be `text`. @return all users"""
    for batch in range(1000):
        result = stub.BatchCreateUsers(requests(1000, f"{prefix}b{batch}-"), timeout=60)
        created += result.created
        if result.errors:
            break
    assert result.created + len(result.errors) == 1000 and len(result.errors) > 0
    assert all(error.endswith(": " + text) for error in result.errors), result.errors[0]
    users, _ = read_all(stub, 10**6)
    assert len(users) == created
    return users


def check_reads(stub, users):
    assert read_all(stub, 10**6)[0] == users
    for user in users[::997]:
        assert stub.GetUser(pb.GetUserRequest(id=user.id)) == user


def delete(rosterd, users):
    rosterd.inspect("delete", *(user.id for user in users))


def test_full_table_names_its_bound_and_a_deletion_makes_room(start):
    rosterd = start("--max-users", "500")
    stub = rosterd.stub()
    users = fill_up(stub, "the table is full (max-users 500)")
    assert len(users) == 500
    expect(lambda: create(stub), EXHAUSTED, "the table is full (max-users 500)")
    check_reads(stub, users)
    rosterd.wait_log(r"creates are refused: max-users is reached; the table has 500 users")
    delete(rosterd, users[:1])
    create(stub)
    expect(lambda: create(stub), EXHAUSTED, "max-users 500")
    assert rosterd.stop() == 0
    assert "may need" not in rosterd.log() and rosterd.log().count("creates are refused") == 1


def test_full_table_names_the_bound_that_it_was_started_with_last(start):
    first = start("--max-users", "500")
    users = fill_up(first.stub(), "the table is full (max-users 500)")
    assert first.stop() == 0
    second = start("--max-users", "700", segment=first.segment)
    stub = second.stub()
    check_reads(stub, users)
    assert len(fill_up(stub, "the table is full (max-users 700)", 500)) == 700
    expect(lambda: create(stub), EXHAUSTED, "the table is full (max-users 700)")
    assert second.stop() == 0


def test_full_segment_is_reported_and_deletions_make_room(start):
    rosterd = start("--segment-size", "16M", "--max-users", "200000")
    stub = rosterd.stub()
    text = "no memory for another user: segment-size is reached"
    users = fill_up(stub, text)
    assert len(users) > 5000
    expect(lambda: [create(stub, "x" * 200) for _ in range(1000)], EXHAUSTED, text)
    rosterd.wait_log("creates are refused: segment-size is reached")
    check_reads(stub, read_all(stub, 10**6)[0])
    delete(rosterd, users[:300])
    wait_for(lambda: rosterd.inspect("status")["retired_bytes"] == 0, 10, "their memory is freed")
    for request in requests(100, "bb-"):  # of the same size as the deleted ones
        stub.CreateUser(request, timeout=20)
    assert rosterd.inspect("verify")["faults"] == 0
    assert rosterd.stop() == 0


def test_full_dev_shm_is_reported_and_reads_continue(tmp_path, monkeypatch):
    if not can_mount():
        pytest.skip("this host does not permit a private /dev/shm")
    port = free_port()
    options = ("--segment-size", "1G", "--max-users", "50000", "--metrics-listen", f"127.0.0.1:{port}")
    with systemd(tmp_path / "notify", monkeypatch) as notified, TinyShm(*options) as rosterd:
        stub = rosterd.stub()
        text = "no memory for another user: /dev/shm is full, or the control group has none left"
        users = fill_up(stub, text)
        assert len(users) > 5000
        expect(lambda: [create(stub, "x" * 200) for _ in range(1000)], EXHAUSTED, text)
        check_reads(stub, read_all(stub, 10**6)[0])
        assert len(rosterd.worker_pids()) == 2  # no process got SIGBUS
        check_alarm(rosterd, port, notified, len(users))


def check_alarm(rosterd, port, notified, users):
    """A full /dev/shm was announced at the start; it is reported once, and so is its end."""
    log = rosterd.log()
    (fit,) = re.findall(r"warning \[\d+\] max-users 50000 may need 13 MiB more, at 256 bytes a user, but the segment has "
                        r"\d MiB free and /dev/shm lets it grow by \d MiB: some (\d+) more users will fit; enlarge "
                        r"/dev/shm \(mount -o remount,size=... /dev/shm, or the container's shm_size\), or lower "
                        r"max-users", log)
    assert 0.8 * users < int(fit) < 1.2 * users
    refused = 'rosterd_creates_refused{room="dev_shm"}'
    rosterd.wait_log(r"error \[\d+\] creates are refused: /dev/shm is full; the table has \d+ users")
    wait_for(lambda: gauge(port, refused) == 1, 5, "the gauge")
    wait_for(lambda: page(port, "/readyz") == "ready, but creates are refused: /dev/shm is full\n", 5, "/readyz")
    notified("STATUS=creates are refused: /dev/shm is full; ")
    assert gauge(port, "rosterd_segment_filesystem_size_bytes") == 12 << 20
    assert gauge(port, "rosterd_segment_filesystem_free_bytes") < 2 << 20
    assert gauge(port, "rosterd_users_fit") < 0.02 * users
    assert gauge(port, 'rosterd_room_refusals_total{room="memory"}') > 1
    in_its_namespace(rosterd, "mount", "-o", "remount,size=32m", "/dev/shm")
    rosterd.wait_log(r"notice \[\d+\] creates are accepted again, after \d+ s; \d+ writes were refused")
    create(rosterd.stub(), "room")
    wait_for(lambda: page(port, "/readyz") == "ready\n", 5, "/readyz")
    assert gauge(port, refused) == 0 and gauge(port, "rosterd_users_fit") > 1000
    assert rosterd.log().count("creates are") == 2
    notified("STATUS=\\d+ users, ")


def test_full_control_group_is_reported_and_no_process_is_killed():
    with memory_group(64 << 20) as group:
        if group is None:
            pytest.skip("this host permits no control group with a memory limit")
        InGroup.group = group
        with InGroup("--segment-size", "1G", "--max-users", "500000") as rosterd:
            stub = rosterd.stub()
            before = rosterd.worker_pids()
            text = "no memory for another user: /dev/shm is full, or the control group has none left"
            users = fill_up(stub, text, prefix="x" * 200)
            assert len(users) > 20000
            expect(lambda: [create(stub, "x" * 200) for _ in range(1000)], EXHAUSTED, text)
            check_reads(stub, read_all(stub, 10**6)[0])
            assert rosterd.worker_pids() == before
            rosterd.wait_log("max-users 500000 may need .*the memory limit of the control group lets it grow by")
            rosterd.wait_log("creates are refused: the memory limit of the control group is reached")
            delete(rosterd, users[:300])
            wait_for(lambda: rosterd.inspect("status")["retired_bytes"] == 0, 10, "their memory is freed")
            for request in requests(100, "x" * 200 + "bb-"):  # of the same size as the deleted ones
                stub.CreateUser(request, timeout=20)


def test_start_in_a_full_dev_shm_is_reported_and_leaves_nothing():
    if not can_mount():
        pytest.skip("this host does not permit a private /dev/shm")
    done = subprocess.run([*PRIVATE_SHM, "1m", "sh", "-c",
                           '"$@"; status=$?; ls /dev/shm; exit $status', "sh", ROSTERD,
                           "--segment", "/rosterd-full", "--listen", "127.0.0.1:0"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"rosterd: segment /rosterd-full: the tables for max-users, 1000000: \d+ bytes "
                        r"of /dev/shm are needed: No space left on device\n", done.stderr)
