# SPDX-License-Identifier: MIT
"""The configuration from the operator's view: files, checks, dumps."""
import os
import re
import subprocess
import time

import pytest

import certs
import user_service_pb2 as pb
from harness import ROSTERD, free_port, wait_for


def rosterd(*arguments, status=0):
    done = subprocess.run([ROSTERD, *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == status, done
    return done


def check(text, tmp_path, *arguments, status=1):
    path = tmp_path / "rosterd.conf"
    path.write_text(text)
    before = sorted(os.listdir(tmp_path)), sorted(os.listdir("/dev/shm"))
    done = rosterd("--config", path, *arguments, "--check-config", status=status)
    assert before[0] == sorted(os.listdir(tmp_path))
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    assert status == 1 or done.stdout == f"{path}: the configuration is good\n"
    return lines[0].replace(str(path), "FILE")


@pytest.mark.parametrize("text, said", [
    ("workers = 0", "FILE:1: workers: '0' is not a whole number from 1 to 512"),
    ("worker-timeout = 1ms", "FILE:1: worker-timeout: '1ms' is not a time such as 500ms, 30s or 5m, "
     "from 5s to 1d"),
    ("max-message-size = 5X", "FILE:1: max-message-size: '5X' is not a size such as 64K, 4M or 16G, "
     "from 1K to 1G"),
    ("# x\nwokers = 3", "FILE:2: wokers: there is no such key; is it workers?"),
    ("auth-token-file = /no/such", "auth-token-file: /no/such: No such file or directory"),
    ("auth-token-file = /tmp", "auth-token-file: /tmp: "),
    ("log-file = /no/such/log", "log-file: /no/such/log: No such file or directory"),
    ("log-file = /tmp", "log-file: /tmp: Is a directory"),
    ("access-log-file = /no/such/log", "access-log-file: /no/such/log: No such file or directory"),
    ("listen = 192.0.2.1:1", "listen: 192.0.2.1:1: Cannot assign requested address"),
    ("metrics-listen = unix:/no/such/s", "metrics-listen: unix:/no/such/s: No such file"),
    ("tls-certificate = /no/c\ntls-key = /no/k", "tls-certificate: /no/c: "),
    ("metrics-auth = on", "metrics-auth: needs an auth-token-file, which has the tokens"),
    ("tls-certificate = /no/c", "tls-key: a tls-certificate has no tls-key"),
])
def test_check_names_the_fault_and_changes_nothing(tmp_path, text, said):
    assert check(text, tmp_path).startswith(f"rosterd: {said}")


def test_check_reads_certificates(tmp_path):
    authority = certs.Authority(tmp_path)
    one, other = authority.sign("one"), authority.sign("other")
    assert check(f"tls-certificate = {one.certificate}\ntls-key = {one.key}\n", tmp_path,
                 status=0) == "FILE: the configuration is good"
    said = check(f"tls-certificate = {one.certificate}\ntls-key = {other.key}\n", tmp_path)
    assert said.startswith("rosterd: tls-key: ")


def test_check_passes_while_a_server_runs(start, tmp_path):
    server = start()
    text = "".join(f"listen = {address}\n" for address in server.listen)
    said = check(text + f"segment = {server.segment}\n", tmp_path, status=0)
    assert said == "FILE: the configuration is good"


def test_unreadable_file_is_reported(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become another")
    path = tmp_path / "rosterd.conf"
    path.write_text("workers = 2\n")
    path.chmod(0o000)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", ROSTERD, "--config",
                           path, "--check-config"], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    if "setpriv" not in done.stderr:  # the user nobody may not even reach the program
        assert re.fullmatch(r"rosterd: config: \S+: Permission denied\n", done.stderr)


def test_server_runs_by_its_file_and_the_command_line_wins(start, tmp_path):
    path, port = tmp_path / "rosterd.conf", free_port()
    path.write_text(f"listen = 127.0.0.1:{port}\nworkers = 5\nmax-users = 3\n")
    server = start("--config", str(path), workers=2)
    assert len(server.worker_pids()) == 2
    assert server.inspect("status")["max_users"] == 3
    dumped = rosterd("--config", path, "--workers", "2", "--dump-config").stdout
    assert "workers = 2 ; command line\n" in dumped
    assert f"max-users = 3 ; {path}:3\n" in dumped


def test_bad_start_is_one_line_and_leaves_nothing(tmp_path):
    path = tmp_path / "rosterd.conf"
    path.write_text("segment = /rosterd-never\nmax-users = -3\n")
    done = rosterd("--config", path, status=1)
    assert done.stderr == (f"rosterd: {path}:2: max-users: '-3' is not a whole number from 1 to "
                           "4294967295\n")
    assert not os.path.exists("/dev/shm/rosterd-never")


# ---- logs ----

def test_log_file_is_reopened_by_usr1(start, tmp_path):
    log, access = tmp_path / "rosterd.log", tmp_path / "access.log"
    server = start_with_log(start, log, access)
    call(server)
    wait_for(lambda: access.exists() and access.read_text().count("\n") == 1)
    log.rename(tmp_path / "rosterd.1")
    access.rename(tmp_path / "access.1")
    server.process.send_signal(10)
    wait_for(lambda: log.exists() and "opened again" in log.read_text() and have_open(server, access))
    access.unlink()  # calls go on, to a file without a name
    call(server)
    server.process.send_signal(10)
    wait_for(lambda: have_open(server, access))
    # A worker that starts later writes to the new file, too.
    os.kill(server.worker_pids()[0], 9)
    wait_for(lambda: "killed by signal 9" in log.read_text())
    wait_for(lambda: len(server.worker_pids()) == 2 and have_open(server, access))
    # the line of the call before the signal may be in the new file, now or a moment later
    before = access.read_text().count("\n")
    assert before <= 1
    for _ in range(8):
        call(server)
    wait_for(lambda: access.read_text().count("\n") in (before + 8, 9))
    assert (tmp_path / "access.1").read_text().count("\n") == 1


def have_open(server, path):
    """Whether all workers have this file open, not another one that had its name before."""
    for pid in server.worker_pids():
        try:
            names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:
            return False
        if str(path) not in names:
            return False
    return True


def start_with_log(start, log, access):
    server = start("--access-log", "on", "--access-log-file", str(access))
    server.stop()
    server.options += ["--log-file", str(log)]
    server.spawn()
    wait_for(lambda: log.exists() and "Server started" in log.read_text(), 30)
    return server


def call(server):
    list(server.stub().ListUsers(pb.ListUsersRequest(), timeout=20))


def test_full_disk_stops_the_log_and_not_the_calls(start):
    server = start("--access-log", "on", "--access-log-file", "/dev/full")
    server.stop()
    server.options += ["--log-file", "/dev/full"]
    server.spawn()
    wait_for(lambda: serves(server), 30)
    for _ in range(20):
        call(server)
    dropped = 'rosterd_access_log_dropped_total'
    wait_for(lambda: server.inspect("stats")[dropped] >= 20, 20, "lost lines are counted")


def serves(server):
    try:
        server.connect().close()
    except OSError:
        return False
    return True


def test_a_full_pipe_as_log_blocks_no_process(start):
    server = start()
    server.stop()
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    server.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *server.command()],
                                      stdin=subprocess.DEVNULL, stderr=write, start_new_session=True)
    os.close(write)
    wait_for(lambda: serves(server), 30)
    time.sleep(1)  # the master has got lines of all its workers, and could not write them
    os.kill(server.worker_pids()[0], 9)  # the report of the death is a line, too
    for _ in range(5):
        call(server)
    wait_for(lambda: len(server.worker_pids()) == 2)
    os.close(read)
