# SPDX-License-Identifier: MIT
"""rosterd as a service of a real systemd, which tests/systemd/run boots."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc

UNIT = "rosterd.service"
CONF = pathlib.Path("/etc/rosterd/rosterd.conf")
DROPIN = pathlib.Path("/etc/systemd/system/rosterd.service.d/test.conf")
STATE = pathlib.Path("/var/lib/rosterd")
SEGMENT = pathlib.Path("/dev/shm/rosterd/users")
PORT = 50051


def run(*command, status=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=90,
                          stdin=subprocess.DEVNULL)
    assert status is None or done.returncode == status, done
    return done


def systemctl(*arguments, status=0):
    return run("systemctl", *arguments, status=status)


def show(name):
    return systemctl("show", "-P", name, UNIT).stdout.strip()


def main_pid():
    return int(show("MainPID"))


def children(pid=None):
    pid = pid or main_pid()
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def command_name(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def workers(pid=None):
    """The children of the master, without the journal and the processes for passwords."""
    return [child for child in children(pid)
            if command_name(child) not in ("rosterd-journal", "rosterd-passwd")]


def wait_for(condition, seconds=20.0, what="condition"):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}\n{journal()}"
        time.sleep(0.02)


def journal(*arguments):
    return run("journalctl", "--no-pager", "-u", UNIT, "-n", "60", *arguments).stdout


def entries():
    lines = run("journalctl", "--no-pager", "-u", UNIT, "-o", "json").stdout.splitlines()
    return [json.loads(line) for line in lines]


def channel():
    return grpc.insecure_channel(f"127.0.0.1:{PORT}", [("grpc.use_local_subchannel_pool", 1)])


@contextlib.contextmanager
def client(**metadata):
    with channel() as connection:
        yield pb_grpc.UserServiceStub(connection)


def create(name, **options):
    with client() as stub:
        return stub.CreateUser(pb.CreateUserRequest(username=name), timeout=20, **options)


def users():
    """All users, oldest first."""
    with client() as stub:
        return list(stub.ListUsers(pb.ListUsersRequest(page_size=10**6), timeout=20,
                                   wait_for_ready=True))


def names():
    return [user.username for user in users()]


def dropin(text):
    DROPIN.parent.mkdir(parents=True, exist_ok=True)
    DROPIN.write_text(text)
    systemctl("daemon-reload")


def configure(text):
    CONF.write_text(text)
    os.chmod(CONF, 0o640)


@pytest.fixture(autouse=True)
def service():
    """Each test starts with the sample configuration, without a running service, and without a table in
    memory or on disk, and leaves it so."""
    sample = pathlib.Path("/usr/share/rosterd/rosterd.conf").read_text()
    configure(sample)
    yield
    systemctl("stop", UNIT, "rosterd.socket", "rosterd-metrics.socket", status=None)
    systemctl("kill", "-s", "KILL", UNIT, status=None)
    systemctl("reset-failed", UNIT, status=None)
    if DROPIN.exists():
        DROPIN.unlink()
        systemctl("daemon-reload")
    run("shm-inspect", "unlink", status=None)
    shutil.rmtree(STATE, ignore_errors=True)


class Load:
    """A thread that makes calls on one fresh connection after the other; failures are noted."""

    def __init__(self):
        self.calls, self.failures, self.stopped = 0, [], False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped:
            try:
                with client() as stub:
                    for _ in range(3):
                        list(stub.ListUsers(pb.ListUsersRequest(page_size=1), timeout=20))
                        self.calls += 1
            except grpc.RpcError as error:
                self.failures.append(f"{error.code()} {error.details()}")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()


# ---- the unit ----

def test_unit_is_clean_and_hardened():
    files = ["/usr/lib/systemd/system/" + name
             for name in (UNIT, "rosterd-backup.service", "rosterd.socket", "rosterd-metrics.socket",
                          "rosterd-backup.timer")]
    done = run("systemd-analyze", "verify", "--man=no", *files)
    assert done.stdout + done.stderr == ""
    for file, worst in zip(files, (1.4, 0.5)):
        done = run("systemd-analyze", "security", "--offline=yes", file, status=None)
        assert float(re.search(r"Overall exposure level for \S+ ([\d.]+)", done.stdout)[1]) <= worst, file


def test_start_is_told_when_it_serves_and_status_counts():
    systemctl("start", UNIT)
    create("ada")  # systemctl has waited until the server is ready
    assert show("ActiveState") == "active" and show("Type") == "notify"
    with client() as stub:
        stub.ListUsers(pb.ListUsersRequest())
        wait_for(lambda: re.match(r"1 users, \d+ workers, [1-9]\d* connections, \d+ calls in flight",
                                  show("StatusText")), 20, "counts in the status")
    assert pathlib.Path(f"/proc/{main_pid()}/status").read_text().count("NoNewPrivs:\t1") == 1
    assert run("stat", "-c", "%U %a %F", SEGMENT.parent).stdout == "rosterd 750 directory\n"
    assert run("stat", "-c", "%U %a", SEGMENT).stdout == "rosterd 600\n"
    assert json.loads(run("shm-inspect", "--json", "status").stdout)["users"] == 1


def test_segment_of_an_earlier_version_is_moved_with_its_users():
    """Its name was that of the directory."""
    systemctl("start", UNIT)
    user = create("moved")
    systemctl("stop", UNIT)
    on_the_way = SEGMENT.parent.with_name("way")
    for suffix in ("", ".stats"):
        pathlib.Path(f"{SEGMENT}{suffix}").rename(f"{on_the_way}{suffix}")
    SEGMENT.parent.rmdir()
    for suffix in ("", ".stats"):
        pathlib.Path(f"{on_the_way}{suffix}").rename(f"{SEGMENT.parent}{suffix}")
    assert json.loads(run("shm-inspect", "--json", "get", user.id).stdout)["username"] == "moved"
    systemctl("start", UNIT)
    with client() as stub:
        assert stub.GetUser(pb.GetUserRequest(id=user.id), timeout=20).username == "moved"
    lines = [entry["MESSAGE"] for entry in entries()]
    assert any(line.startswith("segment /rosterd: moved to /rosterd/users") for line in lines)
    assert any(re.match(r"segment /rosterd/users: found with \d+ users", line) for line in lines)
    assert run("stat", "-c", "%U %a %F", SEGMENT.parent).stdout == "rosterd 750 directory\n"
    assert not SEGMENT.parent.with_name("rosterd.stats").exists()


def test_other_users_cannot_take_the_name_of_the_segment():
    systemctl("start", UNIT)
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c")
    for command in (f": > {SEGMENT}.mine", f"rm -f {SEGMENT}", f"rmdir {SEGMENT.parent}",
                    f"mv {SEGMENT.parent} /dev/shm/mine", f"ls {SEGMENT.parent}"):
        assert run(*as_nobody, command, status=None).returncode != 0, command


def test_journal_has_priorities_and_fields():
    systemctl("start", UNIT)
    victim = workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: any("killed by signal 9" in e["MESSAGE"] for e in entries()))
    dead = [e for e in entries() if "killed by signal 9" in e["MESSAGE"]][-1]
    assert dead["PRIORITY"] == "3" and dead["SYSLOG_IDENTIFIER"] == "rosterd"
    started = [e for e in entries() if e["MESSAGE"].startswith("Server started on port")][-1]
    assert started["PRIORITY"] == "5"

    def half():
        yield pb.CreateUserRequest(username="one")
        time.sleep(0.5)
        call.cancel()
        yield pb.CreateUserRequest(username="two")
    with client() as stub:
        call = stub.BatchCreateUsers.future(half())
        with contextlib.suppress(grpc.FutureCancelledError):
            call.result(20)
    wait_for(lambda: any(e.get("ROSTERD_WORKER") in ("0", "1") for e in entries()), 20,
             "a line of a worker")


def test_logrotate_moves_the_logs_and_the_server_opens_new_ones():
    logs = pathlib.Path("/var/log/rosterd")
    configure(f"log-file = {logs}/rosterd.log\naccess-log = on\naccess-log-file = {logs}/access.log\n")
    systemctl("start", UNIT)
    create("ada")
    wait_for(lambda: "CreateUser" in (logs / "access.log").read_text(), what="a line")
    run("logrotate", "-f", "/etc/logrotate.d/rosterd")
    wait_for(lambda: "opened again" in (logs / "rosterd.log").read_text(), what="the new log")
    create("bob")
    wait_for(lambda: "CreateUser" in (logs / "access.log").read_text(), what="a line")
    assert "Server started" in (logs / "rosterd.log.1").read_text()
    assert (logs / "access.log.1").read_text().count("CreateUser") == 1
    assert {path.owner() for path in logs.iterdir()} == {"rosterd"}
    shutil.rmtree(logs)


def test_stop_lets_calls_finish_and_takes_no_longer():
    systemctl("start", UNIT)
    with client() as stub:
        go_on = threading.Event()

        def messages():
            yield pb.ChatMessage(text="one")
            go_on.wait(20)
            yield pb.ChatMessage(text="two")
        replies = stub.Chat(messages())
        assert next(replies).text == "Echo: one"
        systemctl("stop", "--no-block", UNIT)
        wait_for(lambda: show("ActiveState") == "deactivating")
        go_on.set()
        assert [reply.text for reply in replies] == ["Echo: two"]
    wait_for(lambda: show("ActiveState") == "inactive", 10)
    assert show("Result") == "success"


def test_restart_keeps_the_table():
    systemctl("start", UNIT)
    create("ada")
    systemctl("restart", UNIT)
    assert names() == ["ada"]


def test_worker_affinity_works_under_the_filter():
    configure("workers = 2\nworker-cpu-affinity = auto\n")
    systemctl("start", UNIT)
    masks = [sorted(os.sched_getaffinity(pid)) for pid in workers()]
    assert all(len(mask) == 1 for mask in masks)
    assert len({mask[0] for mask in masks}) == min(2, os.cpu_count())
    assert "worker-cpu-affinity:" not in journal()


# ---- reload ----

def test_reload_brings_another_configuration_into_force():
    systemctl("start", UNIT)
    pid = main_pid()
    configure("workers = 3\n")
    systemctl("reload", UNIT)
    assert main_pid() == pid and show("ActiveState") == "active"
    wait_for(lambda: len(workers()) == 3, 10, "three workers")


@pytest.mark.parametrize("text, said", [
    ("workers = many\n", "rosterd.conf:1: workers: 'many' is not a whole number from 1 to 512"),
    ("listen = 192.0.2.1:50051\n", "listen: 192.0.2.1:50051: Cannot assign requested address"),
    ("auth-token-file = /etc/rosterd/none\n", "auth-token-file: /etc/rosterd/none: No such file"),
    ("auth-token-file = /etc/rosterd/secret\n",
     "auth-token-file: /etc/rosterd/secret: Permission denied"),
    ("tls-certificate = /etc/rosterd/secret\ntls-key = /etc/rosterd/secret\n",
     "tls-certificate: /etc/rosterd/secret: it cannot be used: Permission denied"),
    ("log-file = /etc/rosterd/log\n", "log-file: /etc/rosterd/log: "),
])
def test_bad_reload_fails_with_its_reason_and_changes_nothing(text, said):
    secret = pathlib.Path("/etc/rosterd/secret")
    secret.write_text("only-root-may-read-this one\n")
    secret.chmod(0o600)
    systemctl("start", UNIT)
    before = workers()
    configure(text)
    systemctl("reload", UNIT, status=1)
    assert said in journal()
    assert workers() == before and show("ActiveState") == "active"
    create("ada")


def test_reload_that_only_the_server_can_refuse_fails_with_its_reason():
    systemctl("start", UNIT)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 20123))
        other.listen()
        configure("listen = 127.0.0.1:50051\nlisten = 127.0.0.1:20123\n")
        systemctl("reload", UNIT, status=1)
    assert "reload: listen: 127.0.0.1:20123: Address already in use" in journal()
    create("ada")


def tokens(text):
    path = pathlib.Path("/etc/rosterd/tokens")
    path.write_text(text)
    run("chown", "root:rosterd", str(path))
    path.chmod(0o640)
    return path


def get_with(token):
    with client() as stub:
        with pytest.raises(grpc.RpcError) as error:
            stub.GetUser(pb.GetUserRequest(id="x"), timeout=20,
                         metadata=[("authorization", f"Bearer {token}")])
        return error.value.code()


def test_tokens_are_rotated_by_reload():
    configure(f"auth-token-file = {tokens('old-old-old-old-old one')}\n")
    systemctl("start", UNIT)
    assert get_with("old-old-old-old-old") == grpc.StatusCode.NOT_FOUND
    tokens("new-new-new-new-new one\n")
    systemctl("reload", UNIT)
    assert get_with("old-old-old-old-old") == grpc.StatusCode.UNAUTHENTICATED
    assert get_with("new-new-new-new-new") == grpc.StatusCode.NOT_FOUND


def test_credentials_are_what_only_root_can_read():
    secret = pathlib.Path("/etc/rosterd/private")
    secret.mkdir(mode=0o700, exist_ok=True)
    (secret / "tokens").write_text("cred-cred-cred-cred one\n")
    (secret / "tokens").chmod(0o600)
    dropin("[Service]\nLoadCredential=tokens:/etc/rosterd/private/tokens\n")
    configure("auth-token-file = /run/credentials/rosterd.service/tokens\n")
    systemctl("start", UNIT)
    assert get_with("cred-cred-cred-cred") == grpc.StatusCode.NOT_FOUND
    assert get_with("none-none-none-none") == grpc.StatusCode.UNAUTHENTICATED


# ---- sockets ----

def test_socket_activation_refuses_nobody_across_a_restart():
    systemctl("start", "rosterd.socket")
    assert show("ActiveState") == "inactive"
    create("ada", wait_for_ready=True)  # the connection starts the service
    assert "Server started on port 50051" in journal()
    with Load() as load:
        wait_for(lambda: load.calls > 30)
        systemctl("restart", UNIT)
        more = load.calls + 30
        wait_for(lambda: load.calls > more)
    assert not load.failures
    assert names() == ["ada"]


def test_socket_of_systemd_takes_the_place_of_the_entry_with_its_address():
    configure("listen = 127.0.0.1:50051\nlisten = 127.0.0.1:20200\n"
              "metrics-listen = 127.0.0.1:9090\n")
    systemctl("start", "rosterd.socket", "rosterd-metrics.socket")
    systemctl("start", UNIT)  # fails if rosterd binds the addresses again
    create("ada")
    for port in (20200, 9090):
        socket.create_connection(("127.0.0.1", port), 10).close()
    held = run("ss", "-Hltnp").stdout
    assert held.count(":50051 ") == 2 and held.count(":9090 ") == 1  # the IPv6 socket comes from systemd
    systemctl("reload", UNIT)
    create("bob")
    systemctl("stop", UNIT)
    held = run("ss", "-Hltn").stdout
    assert held.count(":50051 ") == 2 and ":20200 " not in held


def test_name_of_a_socket_tells_what_it_is_for():
    systemctl("start", "rosterd.socket", "rosterd-metrics.socket")
    create("ada", wait_for_ready=True)
    with socket.create_connection(("127.0.0.1", 9090), 10) as http:
        http.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: http.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"ready\n")


# ---- deaths ----

def test_dead_master_is_started_again_with_its_table():
    systemctl("start", UNIT)
    create("ada")
    before, old = main_pid(), children()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: main_pid() not in (0, before) and show("ActiveState") == "active")
    assert not [pid for pid in old if pathlib.Path(f"/proc/{pid}").exists()]
    assert names() == ["ada"]


def test_watchdog_bites_where_no_worker_makes_progress():
    dropin("[Service]\nWatchdogSec=2\n")
    configure("worker-timeout = 1h\n")
    systemctl("start", UNIT)
    create("ada")
    before = main_pid()
    time.sleep(6)  # three periods
    assert main_pid() == before and show("NRestarts") == "0"
    for pid in workers():
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: show("NRestarts") == "1" and show("ActiveState") == "active", 40)
    assert main_pid() != before
    assert names() == ["ada"]


def test_crash_loop_is_told_in_the_status():
    systemctl("start", UNIT)
    deadline = time.monotonic() + 20
    while "in a row" not in show("StatusText"):
        assert time.monotonic() < deadline, show("StatusText")
        for pid in workers()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert re.match(r"worker \d died \d+ times in a row, each soon after its start; \d+ users",
                    show("StatusText"))
    wait_for(lambda: len(workers()) == os.cpu_count(), 30, "all workers again")


def test_fork_that_fails_refuses_a_reload_and_is_tried_again_else():
    configure("workers = 2\n")
    dropin("[Service]\nLimitNPROC=5\n")  # master, journal, two workers, one for passwords
    systemctl("start", UNIT)
    create("ada")
    before = main_pid()
    os.kill(before, signal.SIGHUP)
    wait_for(lambda: "reload: workers: cannot start a worker: Resource temporarily unavailable; the "
             "previous configuration stays in force" in journal())
    assert main_pid() == before and show("ActiveState") == "active"
    assert names() == ["ada"]
    os.kill(workers()[0], signal.SIGKILL)
    wait_for(lambda: len(workers()) == 2, 20, "two workers")
    assert names() == ["ada"]


# ---- upgrade ----

def upgrade():
    before = main_pid()
    systemctl("kill", "-s", "USR2", "--kill-who=main", UNIT)
    wait_for(lambda: main_pid() != before, 20, "another main process")
    wait_for(lambda: not pathlib.Path(f"/proc/{before}").exists(), 20, "the old program gone")
    assert show("ActiveState") == "active"
    return main_pid()


def test_upgrade_under_load_and_three_watchdog_periods_after_it():
    dropin("[Service]\nWatchdogSec=2\n")
    systemctl("start", UNIT)
    create("ada")
    with Load() as load:
        wait_for(lambda: load.calls > 30)
        first = upgrade()
        second = upgrade()
        more = load.calls + 30
        wait_for(lambda: load.calls > more)
    assert not load.failures
    assert first != second
    time.sleep(6)
    assert main_pid() == second and show("NRestarts") == "0"
    assert show("StatusText") != ""
    configure("workers = 3\n")
    systemctl("reload", UNIT)  # the new program is asked, and answers
    wait_for(lambda: len(workers()) == 3, 10)
    assert names() == ["ada"]


def test_upgrade_and_then_a_crash():
    systemctl("start", UNIT)
    create("ada")
    second = upgrade()
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: main_pid() not in (0, second) and show("ActiveState") == "active")
    assert names() == ["ada"]
    systemctl("stop", UNIT)
    assert show("Result") == "success"


def test_new_program_that_fails_leaves_the_old_one_serving():
    systemctl("start", UNIT)
    create("ada")
    before = main_pid()
    program = pathlib.Path("/usr/sbin/rosterd")
    good = program.read_bytes()
    program.unlink()
    program.write_text("#!/bin/sh\necho 'rosterd: it does not start' >&2\nexit 1\n")
    program.chmod(0o755)
    try:
        systemctl("kill", "-s", "USR2", "--kill-who=main", UNIT)
        wait_for(lambda: "exited with status 1 before it served; this one continues to serve" in journal())
    finally:
        program.unlink()
        program.write_bytes(good)
        program.chmod(0o755)
    assert main_pid() == before and show("ActiveState") == "active"
    assert names() == ["ada"]
    upgrade()
    assert names() == ["ada"]
