# SPDX-License-Identifier: MIT
"""What happens when a worker dies, and what its death must not cost."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import grpc

import user_service_pb2 as pb
from harness import SANITIZED, WRITER, failure, gone, read_all, requests, wait_for
from test_chat import Conversation
from wire import Wire, message


def serving(rosterd, sock):
    """The pid of the worker that has accepted this connection."""
    local = sock.getsockname()
    inode = None
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.read().splitlines()[1:]:
            fields = line.split()
            if int(fields[2].split(":")[1], 16) == local[1] \
                    and int(fields[1].split(":")[1], 16) == rosterd.port:
                inode = fields[9]
    for pid in rosterd.worker_pids():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return pid
    return None


def chats_on_each_worker(rosterd):
    """{pid: a wire with an open Chat call}, one for each worker"""
    found, wires = {}, []

    def missing():
        wire = Wire(rosterd.connect())
        wires.append(wire)
        stream = wire.open("Chat")
        wire.data(stream, message(pb.ChatMessage(text="hello")), end=False)
        wire.until(lambda: stream in wire.streams and wire.streams[stream].data)
        found.setdefault(serving(rosterd, wire.sock), wire)
        return set(found) >= set(rosterd.worker_pids())
    wait_for(missing, 30, "a connection on each worker")
    return found


def test_killed_worker_is_replaced_and_logged(start):
    rosterd = start()
    found = chats_on_each_worker(rosterd)
    victim, survivor = rosterd.worker_pids()
    os.kill(victim, signal.SIGKILL)
    found[victim].wait_close(10)
    # connections of the other worker are not affected
    found[survivor].data(1, message(pb.ChatMessage(text="still")))
    assert found[survivor].wait(1).grpc_status == 0
    wait_for(lambda: len(rosterd.worker_pids()) == 2 and victim not in rosterd.worker_pids())
    assert survivor in rosterd.worker_pids()
    obituary = rosterd.wait_log(rf"worker \d+ \(pid {victim}\) (?!accepts).*").group(0)
    assert re.search(r"\b9\b|KILL|[Kk]illed", obituary), obituary
    assert re.search(r"calls in flight: [1-9]", obituary), obituary
    assert len(re.findall(r"Server started", rosterd.log())) == 1
    # the new worker serves
    chats_on_each_worker(rosterd)
    assert rosterd.stop() == 0


def test_worker_killed_under_load_affects_only_its_own_clients(start):
    rosterd = start(workers=3)
    found = chats_on_each_worker(rosterd)
    acknowledged, lost, errors, stop = [], [], [], threading.Event()

    def create(number):
        """Creates users until it is stopped; after a lost connection it connects again."""
        count = 0
        while not stop.is_set():
            stub = rosterd.stub()
            with contextlib.suppress(grpc.RpcError):
                try:
                    for request in requests(10**6, f"t{number}-{count}-"):
                        acknowledged.append(stub.CreateUser(request, timeout=20))
                        if stop.is_set():
                            return
                except grpc.RpcError as error:
                    (lost if error.code() == grpc.StatusCode.UNAVAILABLE else errors).append(error)
            count += 1
    threads = [threading.Thread(target=create, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    killed = set()
    try:
        # this worker is never killed, so its connection must survive
        survivor = rosterd.worker_pids()[0]
        for _ in range(4):
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 100, 30, "creations")
            victim = next(pid for pid in rosterd.worker_pids() if pid != survivor)
            killed.add(victim)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: gone(victim) and len(rosterd.worker_pids()) == 3, 20, "a new worker")
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) > before + 100, 30, "creations after the last kill")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors, errors
    found[survivor].data(1, message(pb.ChatMessage(text="still")))
    assert found[survivor].wait(1).grpc_status == 0
    for pid in killed:
        rosterd.wait_log(rf"pid {pid}\) (?!accepts)")
    users, _ = read_all(rosterd.stub(), 10**6)
    stored = {user.id: user for user in users}
    assert len(stored) == len(users)
    for user in acknowledged:
        assert stored[user.id] == user
    # a user may be stored whose reply was lost with its worker: one per client and kill at most
    assert len(acknowledged) <= len(stored) <= len(acknowledged) + 6 * 4
    assert rosterd.stop() == 0


def test_worker_killed_in_the_middle_of_a_batch_and_a_listing(start):
    rosterd = start(workers=1)
    stub = rosterd.stub()
    assert stub.BatchCreateUsers(requests(20000)).created == 20000
    for _ in range(3):
        pid, = rosterd.worker_pids()
        other = rosterd.stub(("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))
        listing = other.ListUsers(pb.ListUsersRequest(page_size=10**6))
        next(listing)
        gate = threading.Event()

        def half():
            yield from requests(5000, "half")
            gate.wait(20)
        batch = rosterd.stub().BatchCreateUsers.future(half())
        time.sleep(0.3)
        os.kill(pid, signal.SIGKILL)
        assert failure(batch.result).code() == grpc.StatusCode.UNAVAILABLE
        gate.set()
        assert failure(lambda: list(listing)).code() == grpc.StatusCode.UNAVAILABLE
        wait_for(lambda: rosterd.worker_pids() not in ([pid], []), 20, "a new worker")
        wait_for(lambda: not failing(rosterd), 20, "service")
    users, _ = read_all(rosterd.stub(), 10**6)
    names = [user.username for user in users]
    assert names[:20000] == [f"user{i:07}" for i in range(20000)]
    # of each killed batch a prefix is stored, without gaps
    rest, at = names[20000:], 0
    while at < len(rest):
        run = 0
        while at < len(rest) and rest[at] == f"half{run:07}":
            run, at = run + 1, at + 1
        assert run, rest[at:at + 3]
    assert rosterd.stop() == 0


def failing(rosterd):
    try:
        rosterd.stub().GetUser(pb.GetUserRequest(id="x"), timeout=2)
    except grpc.RpcError as error:
        return error.code() != grpc.StatusCode.NOT_FOUND
    return True


def test_worker_that_dies_again_and_again_is_respawned_ever_later(start):
    rosterd = start(workers=1)
    seen = set()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        for pid in rosterd.worker_pids():
            if pid not in seen:
                seen.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    assert 2 <= len(seen) < 100
    assert rosterd.process.poll() is None
    wait_for(lambda: not failing(rosterd), 30, "service")


def test_stopped_worker_does_not_stop_the_others(start):
    rosterd = start(workers=2)
    found = chats_on_each_worker(rosterd)
    stopped, alive = rosterd.worker_pids()
    os.kill(stopped, signal.SIGSTOP)
    try:
        found[alive].data(1, message(pb.ChatMessage(text="x")), end=False)
        wire = found[alive]
        wire.until(lambda: len(wire.streams[1].messages()) == 2)
        answered = wire.call("CreateUser", message(pb.CreateUserRequest(username="a")))
        assert answered.grpc_status == 0
    finally:
        os.kill(stopped, signal.SIGCONT)
    found[stopped].data(1, message(pb.ChatMessage(text="y")))
    assert found[stopped].wait(1).grpc_status == 0


def test_eight_connections_are_served_however_they_are_distributed(start):
    rosterd = start(workers=4)
    chats = [Conversation(rosterd.stub()) for _ in range(8)]
    assert [chat.say(str(i)).text for i, chat in enumerate(chats)] == [f"Echo: {i}" for i in range(8)]
    for chat in chats:
        chat.half_close()


def test_dead_master_takes_its_workers_with_it(start):
    """Otherwise they would hold the port and the segment, and the next start would fail."""
    rosterd = start()
    pids = rosterd.worker_pids()
    os.kill(rosterd.process.pid, signal.SIGKILL)
    rosterd.process.wait(10)
    for pid in pids:
        wait_for(lambda p=pid: gone(p), 10, f"end of worker {pid}")
    rosterd.start()
    assert rosterd.stop() == 0


def test_dead_master_takes_a_stopped_worker_with_it(start):
    """A stopped worker does not see the end of the pipe, but the kernel's signal kills it."""
    rosterd = start()
    pids = rosterd.worker_pids()
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(rosterd.process.pid, signal.SIGKILL)
    rosterd.process.wait(10)
    for pid in pids:
        wait_for(lambda p=pid: gone(p), 10, f"end of worker {pid}")


DEAF = r"""
#include <stdarg.h>
#include <sys/prctl.h>
int prctl(int option, ...)
{
    (void)option; /* PR_SET_PDEATHSIG has no effect */
    return 0;
}
"""


def test_worker_sees_the_end_of_its_master_without_the_kernels_signal(start, tmp_path):
    """The kernel does not send it where a security module forbids it."""
    (tmp_path / "deaf.c").write_text(DEAF)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "deaf.so", tmp_path / "deaf.c"],
                   check=True, timeout=60)
    rosterd = start(start=False)
    command = rosterd.command
    # a sanitizer's library must be preloaded first, so that build is tested without deaf.so
    preload = "" if SANITIZED else f"{tmp_path}/deaf.so"
    rosterd.command = lambda: ["env", f"LD_PRELOAD={preload}", *command()]
    rosterd.start()
    pids = rosterd.worker_pids()
    with open(f"/proc/{pids[0]}/comm", encoding="ascii") as file:
        assert SANITIZED or file.read() == "rosterd\n"  # deaf.so also prevents the worker's name
    os.kill(rosterd.process.pid, signal.SIGKILL)
    rosterd.process.wait(10)
    for pid in pids:
        wait_for(lambda p=pid: gone(p), 10, f"end of worker {pid}")


def test_worker_that_cannot_be_replaced_stops_the_server_with_the_reason(start):
    """Here every slot in the segment is taken, so that another worker would fail, too."""
    rosterd = start(workers=1)
    with subprocess.Popen([WRITER, rosterd.segment, "crowd"], stdout=subprocess.PIPE,
                          text=True) as crowd:
        try:
            assert json.loads(crowd.stdout.readline())["joined"] > 1000
            end = time.monotonic() + 20
            # then it kills no more: a leak checker's helper at the exit is a child, too
            while "cannot start:" not in rosterd.log() and time.monotonic() < end:
                for pid in rosterd.worker_pids():  # sometimes the successor is faster than the crowd
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
        finally:
            crowd.kill()
    assert rosterd.process.wait(5) == 1
    assert re.search(r"worker 0 cannot start: segment \S+: cannot join: .*; the server stops\n",
                     rosterd.log())
    rosterd.start()
    assert rosterd.stop() == 0
