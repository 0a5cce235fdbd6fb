# SPDX-License-Identifier: MIT
"""Names in /dev/shm that other processes remove, take over or used before: no user is lost by that."""
import contextlib
import http.client
import os
import pathlib
import re
import signal
import subprocess

import pytest

import user_service_pb2 as pb
from harness import SHM_INSPECT, Rosterd, free_port, read_all, wait_for
from test_process import refused
from test_reload import upgrade

SHM = pathlib.Path("/dev/shm")


def path_of(rosterd, suffix=""):
    return SHM / (rosterd.segment[1:] + suffix)


def kept(rosterd, suffix=""):
    return SHM / f".{rosterd.segment[1:]}{suffix}.kept"


def create(rosterd, name="ada"):
    return rosterd.stub().CreateUser(pb.CreateUserRequest(username=name)).id


def names(rosterd):
    return [user.username for user in read_all(rosterd.stub(), 100)[0]]


@contextlib.contextmanager
def watched():
    """A server that serves its metrics."""
    web = free_port()
    rosterd = Rosterd("--metrics-listen", f"127.0.0.1:{web}")

    def get(path):
        connection = http.client.HTTPConnection("127.0.0.1", web, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    def metric(name):
        return int(re.search(rf"^{name} (\d+)$", get("/metrics")[1], re.M).group(1))
    rosterd.get, rosterd.metric = get, metric
    try:
        yield rosterd
    finally:
        rosterd.clean()


# ---- removed under a live server ----

def test_removed_segment_gets_its_name_back_within_a_second():
    with watched() as rosterd:
        create(rosterd)
        inode = path_of(rosterd).stat().st_ino
        assert rosterd.metric("rosterd_segment_linked") == 1
        path_of(rosterd).unlink()
        wait_for(path_of(rosterd).exists, 1, "the name")
        assert path_of(rosterd).stat().st_ino == inode
        rosterd.wait_log(rf"error .* segment {rosterd.segment}: its file was removed from /dev/shm "
                         "while it is in use: its name was restored")
        assert rosterd.metric("rosterd_segment_linked") == 1
        wait_for(lambda: rosterd.metric("rosterd_names_restored_total") == 1, 5, "it is counted")
        assert rosterd.stop() == 0
        assert not kept(rosterd).exists() and not kept(rosterd, ".stats").exists()
        rosterd.start()
        assert names(rosterd) == ["ada"]


def test_removed_counters_get_their_name_back_within_a_second(start):
    rosterd = start()
    create(rosterd)
    path_of(rosterd, ".stats").unlink()
    wait_for(path_of(rosterd, ".stats").exists, 1, "the name")
    rosterd.wait_log(rf"segment {rosterd.segment}.stats: its file was removed")
    create(rosterd)
    counts = rosterd.inspect("stats")
    assert sum(n for name, n in counts.items()
               if "handled_total" in name and 'CreateUser",grpc_code="OK"' in name) == 2


def test_renamed_segment_gets_its_name_back(start):
    rosterd = start()
    create(rosterd)
    other = path_of(rosterd, ".other")
    path_of(rosterd).rename(other)
    wait_for(path_of(rosterd).exists, 1, "the name")
    assert path_of(rosterd).samefile(other)


def test_no_second_server_starts_while_the_name_is_gone(start):
    rosterd = start()
    create(rosterd)
    rosterd.process.send_signal(signal.SIGSTOP)  # so that it does not restore the name
    path_of(rosterd).unlink()
    line = refused("--segment", rosterd.segment, "--listen", f"127.0.0.1:{free_port()}")
    assert (f"a live server owns it (process {rosterd.process.pid}), whose file was removed from "
            "/dev/shm" in line), line
    rosterd.process.send_signal(signal.SIGCONT)
    wait_for(path_of(rosterd).exists, 5, "the name")
    assert names(rosterd) == ["ada"]


def test_file_that_took_the_name_is_kept_and_the_users_are_moved_aside_at_the_end():
    with watched() as rosterd:
        create(rosterd)
        rosterd.process.send_signal(signal.SIGSTOP)
        path_of(rosterd).unlink()
        path_of(rosterd).write_text("another's")
        rosterd.process.send_signal(signal.SIGCONT)
        rosterd.wait_log("another file has its name now, which is left alone")
        assert rosterd.metric("rosterd_segment_linked") == 0
        assert names(rosterd) == ["ada"]
        assert rosterd.stop() == 0
        assert path_of(rosterd).read_text() == "another's"
        moved = re.search(r"another file has its name: moved aside to (\S+)", rosterd.log()).group(1)
        path_of(rosterd).unlink()
        with Rosterd(segment=moved) as other:
            assert names(other) == ["ada"]


def test_segment_without_any_link_is_reported_and_saved_at_the_end(start):
    rosterd = start()
    create(rosterd)
    rosterd.process.send_signal(signal.SIGSTOP)
    path_of(rosterd).unlink()
    kept(rosterd).unlink()
    rosterd.process.send_signal(signal.SIGCONT)
    rosterd.wait_log(f"error .*segment {rosterd.segment}: its file was removed from /dev/shm while "
                     "it is in use, by all its links, and cannot be restored")
    assert names(rosterd) == ["ada"]
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("reloaded")
    upgrade(rosterd)
    create(rosterd, "bob")
    rosterd.process.send_signal(signal.SIGTERM)
    assert rosterd.process.wait(20) == 0
    assert "its users were copied into a new file of that name" in rosterd.log()
    assert rosterd.inspect("verify")["faults"] == 0
    rosterd.start()
    assert names(rosterd) == ["ada", "bob"]
    create(rosterd, "eve")
    assert rosterd.stop() == 0


def test_second_link_is_restored_and_survives_an_upgrade(start):
    rosterd = start()
    create(rosterd)
    kept(rosterd).unlink()
    wait_for(kept(rosterd).exists, 2, "the second link")
    upgrade(rosterd)
    wait_for(lambda: kept(rosterd).exists() and kept(rosterd, ".stats").exists(), 2, "both")
    path_of(rosterd).unlink()
    wait_for(path_of(rosterd).exists, 2, "the name")


# ---- what a dead server leaves ----

def test_second_link_of_a_killed_server_is_adopted(start):
    rosterd = start()
    create(rosterd)
    rosterd.kill_all()
    assert kept(rosterd).samefile(path_of(rosterd))
    rosterd.start()
    assert names(rosterd) == ["ada"]
    assert rosterd.stop() == 0
    assert not kept(rosterd).exists()


def test_segment_removed_after_its_servers_death_is_gone(start):
    rosterd = start()
    create(rosterd)
    rosterd.kill_all()
    path_of(rosterd).unlink()
    rosterd.start()
    assert names(rosterd) == []
    assert kept(rosterd).samefile(path_of(rosterd))


@pytest.mark.parametrize("present", [True, False], ids=["name", "no name"])
def test_unlink_leaves_no_second_link(start, present):
    rosterd = start()
    create(rosterd)
    rosterd.kill_all()
    if not present:
        path_of(rosterd).unlink()
    rosterd.inspect("unlink", status=0 if present else 3)
    assert not kept(rosterd).exists() and not path_of(rosterd).exists()


# ---- names that belong to something else ----

@pytest.mark.parametrize("content", [b"", b"x" * 7, b"someone else's data\n" * 1000, b"\0" * 65536],
                         ids=["empty", "a few bytes", "text", "zeros"])
def test_file_with_the_counters_name_is_left_alone(content):
    name = f"/rosterd-e2e-{os.getpid()}-counted"
    path = SHM / (name[1:] + ".stats")
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        line = refused("--segment", name, "--listen", f"127.0.0.1:{free_port()}")
        assert f"{name}.stats: the file of this name holds no counters and is left alone" in line
        assert path.read_bytes() == content
        assert not (SHM / name[1:]).exists()
    finally:
        path.unlink()


def test_table_with_the_counters_name_keeps_its_users(start):
    """A table with such a name, as from a version in which a segment's name could end in .stats."""
    rosterd = start()
    create(rosterd)
    name = rosterd.segment + "-a"
    os.link(path_of(rosterd), SHM / (name[1:] + ".stats"))
    line = refused("--segment", name, "--listen", f"127.0.0.1:{free_port()}")
    assert "holds no counters" in line
    assert (SHM / (name[1:] + ".stats")).samefile(path_of(rosterd))
    assert names(rosterd) == ["ada"]


def test_segment_name_ending_in_stats_is_refused(start):
    assert ".stats" in refused("--segment", "/a.stats", "--listen", f"127.0.0.1:{free_port()}")
    for command in ("status", "stats", "unlink", "verify"):
        done = subprocess.run([SHM_INSPECT, "--segment", "/a.stats", command], capture_output=True,
                              text=True, timeout=20, check=False)
        assert done.returncode == 2 and "that of another segment's counters" in done.stderr, done


def test_unlink_keeps_a_file_that_holds_no_counters(start):
    rosterd = start()
    assert rosterd.stop() == 0
    path_of(rosterd, ".stats").write_text("another's")
    rosterd.inspect("unlink")
    assert path_of(rosterd, ".stats").read_text() == "another's"
