# SPDX-License-Identifier: MIT
"""shm-inspect watch on a terminal: what the screen shows, and that the terminal is restored."""
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import grpc
import pyte
import pytest

from harness import SHM_INSPECT, pb, wait_for


class Terminal:
    """A command on a pseudo-terminal, and the screen that it draws."""

    def __init__(self, *command, lines=24, columns=140, term="linux", env=()):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        master, slave = pty.openpty()
        self.resize(lines, columns, master)
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.closerange(3, 256)
            os.execve(command[0], command, {**os.environ, "TERM": term, **dict(env)})
        self.master, self.slave = master, slave
        self.status = None

    def resize(self, lines, columns, master=None):
        self.screen.resize(lines, columns)
        fcntl.ioctl(self.master if master is None else master, termios.TIOCSWINSZ,
                    struct.pack("HHHH", lines, columns, 0, 0))

    def pump(self, seconds=0.05):
        if select.select([self.master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                data = os.read(self.master, 65536)
                self.bytes += data
                self.stream.feed(data)

    def text(self):
        return "\n".join(self.screen.display)

    def wait(self, pattern, seconds=20):
        """Waits until the screen shows the pattern."""
        def shown():
            self.pump()
            return re.search(pattern, self.text())
        try:
            return wait_for(shown, seconds, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error} on:\n{self.text()}") from None

    def press(self, keys):
        os.write(self.master, keys)

    def end(self, seconds=20):
        """Waits for the end of the command and returns its wait status."""
        def ended():
            self.pump()
            pid, self.status = os.waitpid(self.pid, os.WNOHANG)
            return pid
        wait_for(ended, seconds, "the end of the command")
        while select.select([self.master], [], [], 0)[0]:
            self.pump()
        return self.status

    def is_restored(self):
        """Whether the terminal has the modes again that it had before the command."""
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def watch():
    opened = []

    def starter(rosterd, *arguments, **settings):
        opened.append(Terminal(SHM_INSPECT, "--segment", rosterd.segment, "watch", *arguments,
                               **settings))
        return opened[-1]
    yield starter
    for terminal in opened:
        terminal.close()


def test_the_screen_shows_segment_workers_and_counters(start, watch):
    rosterd = start()
    stub = rosterd.stub()
    user = stub.CreateUser(pb.CreateUserRequest(username="ada"))
    terminal = watch(rosterd, "0.2")
    terminal.wait(re.escape(rosterd.segment) + r".*server: attached.*every 0\.2 s")
    terminal.wait(r"users +\[.*\] .* 1 of 1000000")
    terminal.wait(r"memory +\[#*\.*\]")
    terminal.wait(r"version +1 ")
    terminal.wait(r"master +0 +%d " % rosterd.process.pid)
    for pid in rosterd.worker_pids():
        terminal.wait(r"worker +\d+ +%d (idle|busy)" % pid)
    terminal.wait(r"server: attached, up \d+s")
    terminal.wait(r"master +0 +%d (idle|busy) +\d+s +\d+\.\d +\d+\.\d [KM]iB" % rosterd.process.pid)
    terminal.wait(r"(?m)UserService/CreateUser .* 1 *$")
    assert "ListUsers" not in terminal.text()  # it has no calls
    end = time.monotonic() + 2
    while time.monotonic() < end:
        stub.GetUser(pb.GetUserRequest(id=user.id))
        terminal.pump(0)
    # calls/s, no errors, and four percentiles in milliseconds
    assert re.search(r"UserService/GetUser +[1-9]\d*\.\d +0\.00( +\d+\.\d+){4} +[1-9]\d+ *$",
                     terminal.text(), re.M), terminal.text()
    assert "_bucket" not in terminal.text()
    terminal.press(b"q")
    assert terminal.end() == 0
    assert terminal.is_restored()


def test_data_file_has_a_line(start, watch, tmp_path):
    rosterd = start("--data-file", str(tmp_path / "users.db"))
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="ada"))
    terminal = watch(rosterd, "0.1")
    terminal.wait(r"disk     ok   version 1, 0 commits behind   " + re.escape(str(tmp_path)))
    terminal.press(b"q")
    assert terminal.end() == 0


def test_keys_scroll_show_zeros_and_change_the_interval(start, watch):
    rosterd = start()
    terminal = watch(rosterd, "0.4")
    terminal.wait(r"z: show zeros")
    assert "ListUsers" not in terminal.text()
    terminal.press(b"z")
    terminal.wait(r"z: hide zeros")
    terminal.wait(r"UserService/GetUser ")
    assert "slot kind" in terminal.text()
    terminal.press(b"\x1b[6~")  # page down
    wait_for(lambda: terminal.pump() or "slot kind" not in terminal.text(), what="scrolled")
    assert "users " in terminal.text()  # the head stays
    terminal.press(b"r\x1b[4~")  # all counters; end
    terminal.wait(r"journal_fsync_seconds_bucket \+Inf")
    terminal.press(b"r\x1b[1~")  # home
    terminal.wait(r"slot kind")
    terminal.press(b"\x1b[B\x1b[B")  # down by two
    wait_for(lambda: terminal.pump() or "slot kind" not in terminal.text(), what="scrolled")
    assert re.search(r"master +0", terminal.text())
    terminal.press(b"\x1b[A")
    terminal.wait(r"slot kind")
    terminal.press(b"\x1b[C\x1b[C")  # right, by 8 columns each
    terminal.wait(r"(?m)^slot kind (?!.* pid )")
    assert "server: attached" in terminal.text()  # the title stays, and so do the names
    assert "UserService/GetUser " in terminal.text() and "master " in terminal.text()
    terminal.press(b"\x1b[D\x1b[D\x1b[D")
    terminal.wait(r"(?m)^slot kind .* pid ")
    terminal.press(b"h")
    terminal.wait(r"quit(.|\n)*order of processes(.|\n)*a bad data file\.")  # all in 24 lines
    assert "slot kind" not in terminal.text()
    terminal.press(b"q")  # leaves the help only
    terminal.wait(r"slot kind")
    terminal.press(b"+")
    terminal.wait(r"every 0\.8 s")
    terminal.press(b"--")
    terminal.wait(r"every 0\.2 s")
    for _ in range(20):
        terminal.press(b"-")
    terminal.wait(r"every 0\.1 s")
    terminal.press(b"q")
    assert terminal.end() == 0


def test_methods_are_sorted_filtered_and_whole_at_80_columns(start, watch):
    rosterd = start()
    stub = rosterd.stub()
    for name in ("ada", "bob"):
        stub.CreateUser(pb.CreateUserRequest(username=name))
    with pytest.raises(grpc.RpcError):
        stub.GetUser(pb.GetUserRequest(id="x"))
    list(stub.ListUsers(pb.ListUsersRequest()))

    terminal = watch(rosterd, "0.2", columns=80, lines=60, env={"NO_COLOR": ""}.items())

    def shows(*methods):
        wait_for(lambda: terminal.pump() or tuple(re.findall(
            r"(?m)^UserService/(\w+) ", terminal.text())) == methods, what=str(methods))
    terminal.press(b"t")
    terminal.wait(r"all calls, by calls")
    terminal.wait(r"UserService/GetUser +\d+\.\d 100\.00 ")
    shows("CreateUser", "GetUser", "ListUsers")
    terminal.press(b"s")
    terminal.wait(r"all calls, by errors")
    shows("GetUser", "CreateUser", "ListUsers")
    row = next(i for i, line in enumerate(terminal.screen.display) if "GetUser" in line)
    assert terminal.screen.buffer[row][0].fg == "red"
    terminal.press(b"z")
    terminal.wait(r"v1alpha/ServerReflectionInfo ")
    terminal.wait(r"(?m)^method .* p99 ms +p99\.9")  # whole at 80 columns
    terminal.wait(r"(?m)^slot kind .* keeps>$")  # there is more behind the right edge
    terminal.resize(24, 60)
    terminal.wait(r"(?m)^UserService/CreateUser .*>$")  # the rest is cut off, and it shows
    terminal.resize(60, 80)
    terminal.press(b"z/gETu")
    terminal.wait(r"filter: gETu_")
    shows("GetUser")
    terminal.press(b"x")
    terminal.wait(r"none with the filter's text")
    terminal.press(b"\x7f\r")
    terminal.wait(r'filter is "gETu"')
    terminal.press(b"/\x1b")
    shows("GetUser", "CreateUser", "ListUsers")
    terminal.press(b"p")
    terminal.wait(r"processes, by cpu")
    terminal.press(b"p")
    terminal.wait(r"processes, by memory")

    def sorted_by_memory():
        terminal.pump()
        kept = [float(size) * {"K": 1, "M": 1024}[unit] for size, unit in re.findall(
            r"(?m)^ +\d+ (?:master|worker) .*? (\d+\.\d) ([KM])iB", terminal.text())]
        return len(kept) == 3 and kept == sorted(kept, reverse=True)
    wait_for(sorted_by_memory, what="the greatest comes first")
    terminal.press(b"q")
    assert terminal.end() == 0


def test_no_color_has_no_colours(start, watch):
    rosterd = start()
    with pytest.raises(grpc.RpcError):
        rosterd.stub().GetUser(pb.GetUserRequest(id="x"))
    terminal = watch(rosterd, "0.2", lines=60, env={"NO_COLOR": "1"}.items())
    terminal.press(b"t")
    terminal.wait(r"UserService/GetUser +\d+\.\d 100\.00 ")
    row = next(i for i, line in enumerate(terminal.screen.display) if "GetUser" in line)
    assert terminal.screen.buffer[row][0].fg == "default"
    assert terminal.screen.buffer[row][0].bold
    terminal.press(b"q")
    assert terminal.end() == 0


def test_the_screen_follows_the_windows_size(start, watch):
    rosterd = start()
    terminal = watch(rosterd, "60")
    terminal.wait(r"q quit")
    terminal.resize(10, 60)
    wait_for(lambda: terminal.pump() or terminal.screen.display[9].startswith(" q quit"),
             what="redrawn a minute before the next interval")
    for lines, columns in ((3, 20), (1, 1), (40, 200)):
        terminal.resize(lines, columns)
        terminal.pump(0.3)
    wait_for(lambda: terminal.pump() or terminal.screen.display[39].startswith(" q quit"),
             what="drawn anew")
    terminal.press(b"q")
    assert terminal.end() == 0


def test_the_server_may_die_and_be_replaced(start, watch):
    rosterd = start()
    rosterd.stub().CreateUser(pb.CreateUserRequest(username="ada"))
    terminal = watch(rosterd, "0.2")
    terminal.wait(r"server: attached")
    rosterd.kill_all()
    terminal.wait(r"server: none")
    terminal.wait(r"worker .* dead ")
    terminal.wait(r" 1 of 1000000")
    rosterd.start()
    terminal.wait(r"server: attached")
    terminal.wait(r"worker .* (idle|busy) ")
    rosterd.stop()
    rosterd.inspect("unlink")
    terminal.wait(r"segment %s: (it was removed|no such segment)" % re.escape(rosterd.segment))
    rosterd.start()
    terminal.wait(r"server: attached")
    terminal.wait(r" 0 of 1000000")
    terminal.press(b"q")
    assert terminal.end() == 0


@pytest.mark.parametrize("how", ["INT", "TERM", "HUP", "QUIT", "SEGV", "ABRT", "ALRM"])
def test_each_catchable_signal_restores_the_terminal(start, watch, how):
    rosterd = start()
    # AddressSanitizer handles the signals of a fault itself
    terminal = watch(rosterd, "60", term="xterm",
                     env={"ASAN_OPTIONS": "allow_user_segv_handler=1"}.items())
    wait_for(lambda: terminal.pump() or b"q quit" in terminal.bytes, what="a screen")
    assert b"\x1b[?1049h" in terminal.bytes
    assert not terminal.is_restored()
    number = getattr(signal, "SIG" + how)
    os.kill(terminal.pid, number)
    status = terminal.end()
    if how in ("INT", "TERM", "HUP"):
        assert status == 0
    else:
        assert os.WTERMSIG(status) == number
    assert terminal.is_restored()
    last = terminal.bytes[terminal.bytes.rindex(b"\x1b[?1049h"):]
    assert b"\x1b[?1049l" in last  # leaves the alternate screen
    assert last.rindex(b"\x1b[?25h") > last.rindex(b"\x1b[?25l")  # shows the cursor


def test_control_c_ends_the_command(start, watch):
    rosterd = start()
    terminal = watch(rosterd, "60")
    terminal.wait(r"q quit")
    terminal.press(b"\x03")
    assert terminal.end() == 0
    assert terminal.is_restored()


def test_an_unknown_terminal_is_refused(start, watch):
    rosterd = start()
    terminal = watch(rosterd, term="no-such-terminal")
    assert os.WEXITSTATUS(terminal.end()) == 2
    assert "no-such-terminal" in terminal.text()
    assert terminal.is_restored()


def test_a_closed_terminal_ends_the_command(start, watch):
    rosterd = start()
    terminal = watch(rosterd, "60")
    terminal.wait(r"q quit")
    os.close(terminal.slave)
    os.close(terminal.master)
    terminal.master, terminal.slave = os.openpty()  # close() expects open descriptors
    wait_for(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0], 20, "the end of the command")
    terminal.status = 0
