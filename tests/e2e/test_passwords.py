# SPDX-License-Identifier: MIT
"""The processes that hash passwords, as the operator sees them: start, death, end."""
import os
import signal

import grpc

import user_service_pb2 as pb
from harness import PASSWORDS, children, command_name, cpu_seconds, expect, gone, wait_for


def processes(rosterd, count):
    """Waits until so many processes for passwords run. Returns their pids."""
    return wait_for(lambda: len(rosterd.password_pids()) == count and rosterd.password_pids(), 10,
                    f"{count} processes for passwords")


def serves(rosterd):
    expect(lambda: rosterd.stub().GetUser(pb.GetUserRequest(id="x")), grpc.StatusCode.NOT_FOUND)


def test_there_are_as_many_as_the_option_says(start):
    rosterd = start("--password-processes", "3")
    for pid in processes(rosterd, 3):
        assert os.getpriority(os.PRIO_PROCESS, pid) == \
            min(os.getpriority(os.PRIO_PROCESS, rosterd.process.pid) + 10, 19)
    assert rosterd.stop() == 0


def test_without_processes_nothing_else_changes(start):
    rosterd = start("--password-processes", "0")
    assert {command_name(pid) for pid in children(rosterd.process.pid)} == \
        {"rosterd-w0", "rosterd-w1"}
    serves(rosterd)
    assert rosterd.stop() == 0


def test_a_dead_one_is_replaced(start):
    rosterd = start("--password-processes", "2")
    first, second = processes(rosterd, 2)
    os.kill(first, signal.SIGKILL)
    rosterd.wait_log(rf"password process \d \(pid {first}\) killed by signal 9 \(Killed\)")
    after = processes(rosterd, 2)
    assert second in after and first not in after
    serves(rosterd)
    totals = rosterd.inspect("stats")
    assert "rosterd_password_process_deaths_total" in str(totals)
    assert rosterd.stop() == 0


def test_one_that_hangs_is_replaced(start):
    rosterd = start("--password-processes", "1", "--worker-timeout", "5s")
    (pid,) = processes(rosterd, 1)
    os.kill(pid, signal.SIGSTOP)
    rosterd.wait_log(rf"password process 0 \(pid {pid}\) has made no progress for \d+ ms", 20)
    wait_for(lambda: gone(pid), 10, "its end")
    assert processes(rosterd, 1) != [pid]


def test_one_that_hangs_does_not_delay_a_stop_for_long(start):
    rosterd = start("--password-processes", "1")
    (pid,) = processes(rosterd, 1)
    os.kill(pid, signal.SIGSTOP)
    assert rosterd.stop(seconds=10) == 0


def test_they_outlive_a_reload_and_serve_the_next_workers(start):
    rosterd = start("--password-processes", "1")
    before, workers = processes(rosterd, 1), rosterd.worker_pids()
    rosterd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not set(workers) & set(rosterd.worker_pids()), 15, "other workers")
    assert rosterd.password_pids() == before


def test_a_reload_with_another_log_gives_it_to_them(start, tmp_path):
    config = tmp_path / "rosterd.conf"
    config.write_text("password-processes = 1\n")
    rosterd = start("--config", str(config))
    (before,) = processes(rosterd, 1)
    config.write_text(f"password-processes = 1\nlog-file = {tmp_path}/log\n")
    rosterd.process.send_signal(signal.SIGHUP)
    wait_for(lambda: rosterd.password_pids() not in ([], [before]), 15, "another process")
    (after,) = processes(rosterd, 1)
    assert os.path.samefile(f"/proc/{after}/fd/{log_fd(after, tmp_path)}", tmp_path / "log")
    assert "password process" not in (tmp_path / "log").read_text()


def log_fd(pid, tmp_path):
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}") == str(tmp_path / "log"):
            return name
    raise AssertionError("the log is not open")


def test_idle_ones_use_no_cpu_time(start):
    rosterd = start("--password-processes", "2")
    pids = processes(rosterd, 2)
    before = [cpu_seconds(pid) for pid in pids]
    # A process that spins would have used a CPU meanwhile
    for _ in range(300):
        serves(rosterd)
    assert all(cpu_seconds(pid) - was <= 0.05 for pid, was in zip(pids, before))


def test_they_end_with_a_killed_master(start):
    rosterd = start("--password-processes", "2")
    pids = processes(rosterd, 2)
    assert all(command_name(pid) == PASSWORDS for pid in pids)
    os.kill(rosterd.process.pid, signal.SIGKILL)
    for pid in pids:
        wait_for(lambda p=pid: gone(p), 5, "its end")
