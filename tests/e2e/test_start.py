# SPDX-License-Identifier: MIT
"""A start in an unusual state or under a limit: closed descriptors, outputs of all kinds, a limit on
the size of files, signals that come too early."""
import os
import re
import signal
import socket
import subprocess

import grpc
import pytest

import user_service_pb2 as pb
from harness import ROSTERD, SANITIZED, SHM_INSPECT, read_all, requests, wait_for
from test_process import refused
from test_reload import another


def create(rosterd, name="ada"):
    return rosterd.stub().CreateUser(pb.CreateUserRequest(username=name)).id


def behind(rosterd, *words):
    """Puts these words before the server's command line."""
    command = rosterd.command
    rosterd.command = lambda: [*words, *command()]
    return rosterd


# ---- descriptors 0 to 2 ----

@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_closed_descriptors_are_not_reused_for_sockets(start, closed):
    rosterd = start(start=False)
    rosterd.options = ["--log-file", str(rosterd.log_path)]  # standard error may be closed
    behind(rosterd, "sh", "-c", f'exec "$@" {closed}', "sh").start()
    for pid in (rosterd.process.pid, *rosterd.worker_pids()):
        for fd, text in enumerate(("0<&-", "1>&-", "2>&-")):
            if text in closed:
                assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
    create(rosterd)
    assert rosterd.inspect("verify")["faults"] == 0


def test_tool_without_descriptors_writes_nothing_into_the_segment(start):
    rosterd = start()
    create(rosterd)
    for command in ("status", "dump", "verify", "list"):
        done = subprocess.run(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", SHM_INSPECT,
                               "--segment", rosterd.segment, command], timeout=20, check=False)
        assert done.returncode == 0, command
    assert rosterd.inspect("verify")["faults"] == 0


# ---- where logs go ----

def output(kind, tmp_path):
    """@return a file for the server to write to, and a function that returns what it has written"""
    if kind == "socket":
        ours, theirs = socket.socketpair()
        return theirs, lambda: ours.recv(1 << 16).decode()
    if kind == "pipe":
        ours, theirs = os.pipe()
        return os.fdopen(theirs, "w"), lambda: os.read(ours, 1 << 16).decode()
    path = tmp_path / "out"
    file = open(path, "w", encoding="utf-8")
    return file, open(path, encoding="utf-8").read


@pytest.mark.parametrize("kind", ["socket", "pipe", "file"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_logs_may_go_to_what_standard_output_is(start, tmp_path, kind, name):
    rosterd = start("--access-log", "on", "--access-log-file", name, start=False)
    theirs, read = output(kind, tmp_path)
    with theirs:
        rosterd.start(stdout=theirs)
    for how, said in ((None, ""), (signal.SIGUSR1, "log files were opened again"),
                      (signal.SIGHUP, "reloaded")):
        if how is not None:
            rosterd.process.send_signal(how)
            rosterd.wait_log(said)
        create(rosterd)
        wait_for(lambda: "CreateUser" in read(), 5, "a line")
    assert "the old file stays in use" not in rosterd.log()
    assert rosterd.stop() == 0


def test_log_file_may_be_standard_output(start):
    rosterd = start("--log-file", "/dev/stdout", start=False)
    with open(rosterd.log_path, "ab") as file:
        rosterd.start(stdout=file)
    assert rosterd.stop() == 0
    assert "Server stopped" in rosterd.log()


@pytest.mark.parametrize("option", ["--log-file", "--access-log-file"])
@pytest.mark.parametrize("path, reason", [
    ("/dev/fd/77", "this process was not started with such a descriptor to write to"),
    ("FIFO", "no process reads this FIFO")], ids=["not open", "FIFO"])
def test_log_that_cannot_be_written_is_refused_without_waiting(tmp_path, option, path, reason):
    if path == "FIFO":
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
    line = refused(option, path, "--access-log", "on")
    assert option[2:] in line and path in line and reason in line


def test_log_never_goes_into_the_servers_own_files(start):
    """At a reload /dev/fd/N may name the server's own segment."""
    rosterd = start(start=False)
    config = rosterd.log_path.with_suffix(".conf")
    config.write_text("")
    rosterd.options = ["--config", str(config)]
    rosterd.start()
    create(rosterd)
    fds = f"/proc/{rosterd.process.pid}/fd"
    number = next(fd for fd in os.listdir(fds)
                  if os.path.samestat(os.stat(f"{fds}/{fd}"), os.stat("/dev/shm" + rosterd.segment)))
    config.write_text(f"log-file = /dev/fd/{number}\n")
    rosterd.process.send_signal(signal.SIGHUP)
    rosterd.wait_log("reload: log-file: .*not started with such a descriptor")
    assert rosterd.inspect("verify")["faults"] == 0
    config.unlink()


# ---- RLIMIT_FSIZE ----

def limit(rosterd, size):
    for pid in (rosterd.process.pid, *rosterd.worker_pids()):
        subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={size}:"], check=True)


def test_access_log_at_the_file_size_limit_loses_lines_but_no_worker(start, tmp_path):
    path = tmp_path / "access.log"
    rosterd = start("--access-log", "on", "--access-log-file", str(path), "--log-file",
                    str(tmp_path / "log"), start=False)
    rosterd.log_path = tmp_path / "log"
    rosterd.start()
    workers = rosterd.worker_pids()
    limit(rosterd, 10000)
    stub = rosterd.stub()
    for i in range(200):
        stub.CreateUser(pb.CreateUserRequest(username=f"u{i}"), timeout=10)
    wait_for(lambda: rosterd.inspect("stats")["rosterd_access_log_dropped_total"] > 50, 5, "losses")
    assert path.stat().st_size == 10000
    rosterd.wait_log(r"warning .* access-log-file: \d+ lines are lost: File too large")
    for _ in range(60):  # the log reaches the limit, too
        rosterd.process.send_signal(signal.SIGUSR1)
        stub.CreateUser(pb.CreateUserRequest(username="x"), timeout=10)
    assert rosterd.worker_pids() == workers and rosterd.process.poll() is None
    assert rosterd.stop() == 0


def is_created(rosterd):
    try:
        create(rosterd)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        return False
    return True


def test_table_at_the_limit_is_full_and_grows_when_the_limit_is_raised(start):
    rosterd = start()
    workers = rosterd.worker_pids()
    size = os.stat("/dev/shm" + rosterd.segment).st_size
    limit(rosterd, size)
    stub, created = rosterd.stub(), 0
    for batch in range(200):
        result = stub.BatchCreateUsers(requests(1000, f"b{batch}-"), timeout=60)
        created += result.created
        if result.errors:
            break
    assert "no memory for another user" in result.errors[0]
    with pytest.raises(grpc.RpcError) as error:
        while True:  # there may be room for a few smaller users
            stub.CreateUser(pb.CreateUserRequest(username="x"), timeout=10)
            created += 1
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(read_all(rosterd.stub(), 10**6)[0]) == created
    assert os.stat("/dev/shm" + rosterd.segment).st_size == size
    assert rosterd.worker_pids() == workers
    limit(rosterd, "unlimited")
    wait_for(lambda: is_created(rosterd), 5, "room, which the server looks for each 100 ms")
    assert rosterd.inspect("verify")["faults"] == 0


def test_start_under_a_small_limit_is_refused_with_one_line(start):
    rosterd = start(start=False)
    behind(rosterd, "prlimit", "--fsize=1000000").spawn()
    assert rosterd.process.wait(20) == 1
    assert re.fullmatch(r"rosterd: segment \S+: the tables for max-users, 1000000: \d+ bytes of "
                        r"/dev/shm are needed: File too large; this process may have 1000000 bytes "
                        r"in a file \(ulimit -f, LimitFSIZE=\)\n", rosterd.log())
    assert rosterd.shm_files() == []


@pytest.mark.skipif(SANITIZED, reason="the sanitizer reserves more address space than that")
def test_start_with_little_address_space_names_the_option_and_the_limit():
    line = refused("--segment-size", "16G", "--data-file", "none", prefix=("prlimit", f"--as={1 << 34}"))
    assert re.search(r"segment \S+: cannot map its segment-size, 17179869184 bytes, .*; this process "
                     r"may have 17179869184 bytes of address space \(ulimit -v, LimitAS=\)$", line), line


def test_start_with_few_descriptors_names_the_limit():
    line = refused("--data-file", "none", prefix=("prlimit", "--nofile=9:9"))
    assert re.search(r"Too many open files; this process may have 9 open descriptors "
                     r"\(ulimit -n, LimitNOFILE=\)$", line), line


def test_limit_below_the_segments_maximum_causes_a_warning(start):
    rosterd = behind(start(start=False), "prlimit", f"--fsize={1 << 30}")
    rosterd.start()
    rosterd.wait_log(f"warning .* limits: files may grow to {1 << 30} bytes, the segment to")


@pytest.mark.parametrize("arguments", [["--output", "OUT"], []], ids=["file", "standard output"])
def test_dump_past_the_limit_is_an_error_and_leaves_no_file(start, tmp_path, arguments):
    rosterd = start()
    rosterd.stub().BatchCreateUsers(requests(1000), timeout=60)
    out = tmp_path / "out"
    with open(tmp_path / "stdout", "wb") as stdout:
        done = subprocess.run(
            ["prlimit", "--fsize=10000", SHM_INSPECT, "--segment", rosterd.segment, "dump",
             *(str(out) if word == "OUT" else word for word in arguments)],
            stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "File too large" in done.stderr, done
    assert not out.exists() and not (tmp_path / "out.tmp").exists()


# ---- signals ----

@pytest.mark.parametrize("early", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signal_before_the_server_serves_ends_nothing(start, tmp_path, early):
    config = tmp_path / "config"
    config.write_text("drain-timeout = 1s\n")
    rosterd = start("--config", str(config), start=False)
    rosterd.spawn()
    while "limits:" not in rosterd.log():  # one of its first messages
        assert rosterd.process.poll() is None
    rosterd.process.send_signal(early)
    rosterd.wait_log("Server started")
    if early == signal.SIGHUP:
        rosterd.wait_log("reloaded: ")
    if early == signal.SIGUSR2:  # the outcome is logged, whichever it is
        rosterd.wait_log("upgrade: (not now: workers are being started|process .* serves)")
    if "upgrade: process" in rosterd.log():
        return
    create(rosterd)
    assert rosterd.stop() == 0


@pytest.mark.slow
def test_new_program_that_never_serves_is_killed_and_logged_so(start, tmp_path):
    rosterd = start()
    another(rosterd, tmp_path, "#!/bin/sh\nexec sleep 1000\n")
    rosterd.process.send_signal(signal.SIGUSR2)
    rosterd.wait_log(r"upgrade: the new program did not serve within 60 s and was killed; "
                     "this one continues to serve", 75)
    assert "killed by signal" not in rosterd.log()
    create(rosterd)
    assert rosterd.stop() == 0


# ---- command lines ----

@pytest.mark.parametrize("program, word, said", [
    (ROSTERD, "-h", "Usage: rosterd"), (ROSTERD, "-V", "rosterd "),
    (SHM_INSPECT, "-h", "Usage: shm-inspect"), (SHM_INSPECT, "-V", "shm-inspect ")])
def test_short_options_answer_like_the_long_ones(program, word, said):
    done = subprocess.run([program, word], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.startswith(said) and done.stderr == ""


@pytest.mark.parametrize("arguments, said", [
    (["--segmnt", "/x", "status"], "unknown option --segmnt; is it --segment?"),
    (["verfy"], "unknown command verfy; is it verify?"), (["-x"], "unknown option -x"),
    (["--nothing-like-it"], "unknown option --nothing-like-it (see shm-inspect --help)")])
def test_tool_has_a_hint_for_a_misspelt_word(arguments, said):
    done = subprocess.run([SHM_INSPECT, *arguments], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 2 and said in done.stderr
    assert "(see shm-inspect --help)" in done.stderr
