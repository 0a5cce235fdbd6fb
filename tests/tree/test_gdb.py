# SPDX-License-Identifier: MIT
"""scripts/gdb/rosterd_gdb.py in a worker of a live server, and in a program under the debugger."""
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import grpc
import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ["TREE_BUILD"])
SCRIPT = ROOT / "scripts/gdb/rosterd_gdb.py"


def gdb(*commands, before=(), arguments=()):
    done = subprocess.run(
        ["gdb", "-nx", "-q", "-batch", *before, "-ex", f"source {SCRIPT}",
         *(word for command in commands for word in ("-ex", command)), *arguments],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
        env={**os.environ, "DEBUGINFOD_URLS": "", "LC_ALL": "C.UTF-8"})
    return done.stdout + done.stderr


def free_port():
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def end_servers_of(segment):
    """Ends what was started with this segment, which no other test names, and removes the segment."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if segment.encode() in words and words[0].endswith(b"rosterd"):
            os.kill(int(path.parent.name), signal.SIGKILL)
    end = time.monotonic() + 10  # workers die with their master, a moment later
    while os.path.exists(f"/dev/shm{segment}") and time.monotonic() < end:
        subprocess.run([BUILD / "src/inspect/shm-inspect", "--segment", segment, "unlink"],
                       capture_output=True, timeout=20)
        time.sleep(0.05)


def field(number, text):
    return bytes([number << 3 | 2, len(text)]) + text.encode()


@pytest.fixture(scope="module")
def worker():
    """The pid of the one worker of a server that has two users, of whom one was changed."""
    segment, port = f"/rosterd-gdb-{os.getpid()}", free_port()
    server = subprocess.Popen(
        [BUILD / "src/server/rosterd", "--segment", segment, "--listen", f"127.0.0.1:{port}",
         "--workers", "1", "--max-users", "1000", "--data-file", "none",
         "--password-processes", "0"], stderr=subprocess.PIPE, text=True)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
            create = channel.unary_unary("/userservice.UserService/CreateUser")
            for name in ("ada", "grace"):
                create(field(1, name) + field(2, f"{name}@example.org"), timeout=10)
            inspect = BUILD / "src/inspect/shm-inspect"
            listed = subprocess.run([inspect, "--segment", segment, "list"], check=True,
                                    capture_output=True, text=True).stdout
            ada = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", listed).group()
            subprocess.run([inspect, "--segment", segment, "set-roles", ada, "admin"], check=True,
                           capture_output=True)
        children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        yield int(children.split()[0])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        subprocess.run([BUILD / "src/inspect/shm-inspect", "--segment", segment, "unlink"],
                       capture_output=True)


def attached(worker, *commands):
    return gdb(*commands, arguments=["-p", str(worker)])


def test_segment_of_a_worker_is_shown(worker):
    text = attached(worker, "rosterd segment", "rosterd log")
    assert re.search(r"^version 3, grace period \d+, 2 of 1000 users, last seq 2$", text, re.M), text
    assert re.search(r"^table ids: \d+ buckets$", text, re.M)
    assert "log idle, 0 entries" in text or re.search(r"^log idle, \d+ entries", text, re.M)


def test_users_of_a_worker_are_shown_with_their_bodies(worker):
    text = attached(worker, "rosterd users", "rosterd users 1")
    ada, grace = re.findall(r"^node seq [12] [0-9a-f-]{36} live born \d+ alive body 0x[0-9a-f]+$",
                            text, re.M)[:2]
    assert "seq 1" in ada and "seq 2" in grace
    assert re.search(r'^   body live born 3 alive \d+ bytes: 2="ada" 3="ada@example\.org" 4=\d+ '
                     r'5="admin"$', text, re.M), text
    assert len(re.findall("^node seq 2 ", text, re.M)) == 1


def test_slots_of_master_and_worker_are_shown(worker):
    text = attached(worker, "rosterd slots")
    assert re.search(r"^\d+: slot of master \d+, pid \d+, (offline|online)", text, re.M), text
    assert re.search(rf"^\d+: slot of worker 0, pid {worker}, (offline|online since grace period "
                     r"\d+), 0 pins, reserve of 0$", text, re.M), text


def test_printers_show_nodes_bodies_and_slots(worker):
    text = attached(
        worker, "python node = control()['order']['next']", "python print(node.dereference().type)",
        "python gdb.set_convenience_variable('node', node.cast(gdb.lookup_type('struct shm_node')"
        ".pointer()))", "print *$node", "print *$node->body",
        "python gdb.set_convenience_variable('slot', struct_at('shm_slot', base() + "
        "constant('SHM_SLOTS_AT')).address)", "print *$slot", "print $slot->pins[0]")
    assert re.search(r"^\$1 = node seq 1 .* live ", text, re.M), text
    assert re.search(r'^\$2 = body live .* 2="ada"', text, re.M), text
    assert re.search(r"^\$3 = slot (free|of \w+ \d+, pid)", text, re.M), text
    assert re.search(r"^\$4 = pin version \d+ of \d+ snapshots", text, re.M), text


def test_debugger_follows_a_fork_into_the_worker():
    """As HACKING.md has it: set follow-fork-mode child, and a breakpoint in the worker's code."""
    page = (ROOT / "HACKING.md").read_text(encoding="utf-8")
    assert "set follow-fork-mode child" in page and "break worker_run" in page
    segment, port = f"/rosterd-gdb-fork-{os.getpid()}", free_port()
    try:
        text = gdb("set follow-fork-mode child", "set detach-on-fork on", "break worker_run", "run",
                   "rosterd segment", "kill",
                   before=[str(BUILD / "src/server/rosterd")], arguments=[
                       "-ex", "quit", "--args", str(BUILD / "src/server/rosterd"), "--segment",
                       segment, "--listen", f"127.0.0.1:{port}", "--workers", "1", "--max-users",
                       "1000", "--data-file", "none", "--password-processes", "0"])
        assert "Breakpoint 1, worker_run" in text or "hit Breakpoint 1, worker_run" in text, text
        assert "0 of 1000 users" in text, text
    finally:
        end_servers_of(segment)


def test_script_knows_the_base_address_of_the_layout():
    layout = (ROOT / "shm/core/layout.h").read_text(encoding="utf-8")
    bases = {int(text, 16) for text in re.findall(r"#define SHM_BASE UINT64_C\((0x\w+)\)", layout)}
    assert bases == {int(text, 16) for text in re.findall(r"0x[0-9A-F]{9,}|0x400000000",
                                                          SCRIPT.read_text(encoding="utf-8"))}


def test_a_process_without_a_segment_is_told():
    text = gdb("start", "rosterd segment", arguments=[str(BUILD / "src/inspect/shm-inspect")])
    assert "no segment is mapped in this process" in text, text
