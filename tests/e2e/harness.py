# SPDX-License-Identifier: MIT
"""A rosterd for a test: started, waited for, and always cleaned up."""
import contextlib
import glob
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import grpc

import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
import wire

ROSTERD = os.environ["ROSTERD"]
SHM_INSPECT = os.environ["SHM_INSPECT"]
WRITER = os.environ["WRITER"]
OUT = pathlib.Path(os.environ["E2E_OUT"])
PROTO = os.environ["E2E_PROTO"]
JOURNAL = "rosterd-journal"  # the name of the process that writes the data file
PASSWORDS = "rosterd-passwd"  # the name of a process that hashes passwords
START_SECONDS = 30  # long enough for an instrumented build on a busy machine
_number = itertools.count(1)


def is_sanitized():
    """Whether the server was built with AddressSanitizer, which makes it slower and replaces its
    malloc."""
    with open(ROSTERD, "rb") as program:
        return b"__asan_init" in program.read()


SANITIZED = is_sanitized()
NO_REPORT = re.compile(r"^==\d+==Unable to get registers from thread \d+\.$", re.M)


_given_ports = set()


def free_port():
    """Returns a free port below 32768, where no outgoing connection takes it meanwhile. Never the same
    twice: a test may ask for a second one before a server has the first."""
    while True:
        port = random.randrange(20000, 32000)
        if port in _given_ports:
            continue
        with socket.socket() as four, socket.socket(socket.AF_INET6) as six:
            try:
                four.bind(("127.0.0.1", port))
                with contextlib.suppress(OSError):  # this host may have no IPv6
                    six.bind(("::1", port))
            except OSError:
                continue
            _given_ports.add(port)
            return port


def wait_for(condition, seconds=10.0, what="condition"):
    """Waits for condition() to become true. Returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def children(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    return []


def command_name(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    return ""


def gone(pid):
    """Whether the process has ended. A zombie that init has not reaped yet counts as ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def resident(pid):
    """Returns the private resident bytes: the memory of the process apart from the shared segment."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024


def lowest_free_descriptor(pid):
    """Returns the number that the process's next descriptor gets. As RLIMIT_NOFILE it allows none,
    also if descriptors with greater numbers are open."""
    held = set(os.listdir(f"/proc/{pid}/fd"))
    return next(number for number in itertools.count() if str(number) not in held)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rosterd:
    """A master with its workers. Use it as a context manager."""

    def __init__(self, *options, workers=2, listen=None, segment=None, start=True):
        name = f"{os.getpid()}-{next(_number)}"  # two runs of pytest share the directory
        self.port = free_port()
        self.listen = listen or [f"127.0.0.1:{self.port}"]
        self.segment = segment or f"/rosterd-e2e-{name}"
        self.options = list(options)
        self.workers = workers
        self.log_path = OUT / f"rosterd-{name}.log"
        self.sanitizer = OUT / f"sanitizer-{name}"
        self.process = None
        self.channels = []
        if start:
            try:
                self.start()
            except BaseException:
                self.clean()
                raise

    # ---- starting and stopping ----

    def command(self):
        command = [ROSTERD]
        for address in self.listen:
            command += ["--listen", address]
        if self.workers:
            command += ["--workers", str(self.workers)]
        command += ["--segment", self.segment]
        if not any(option.startswith("--data-file") for option in self.options):
            command += ["--data-file", "none"]
        return command + self.options

    def spawn(self, stdout=None):
        """Starts the server without waiting until it serves. Its standard output goes to its log,
        or to `stdout`."""
        env = dict(os.environ, UBSAN_OPTIONS=f"print_stacktrace=1:log_path={self.sanitizer}",
                   ASAN_OPTIONS=f"log_path={self.sanitizer}:quarantine_size_mb=4")
        log = open(self.log_path, "ab")
        with log:
            # If the tests are killed, the server must end, too.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.command()], env=env,
                stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log, start_new_session=True)

    def start(self, stdout=None):
        skip = len(self.log())
        self.spawn(stdout)

        def started():
            if self.process.poll() is not None:
                raise AssertionError(f"rosterd exited {self.process.returncode}: {self.log()}")
            return re.search(r"Server started on (port \d+|unix:)", self.log()[skip:])
        wait_for(started, START_SECONDS, "Server started")
        return self

    def stop(self, how=signal.SIGTERM, seconds=20):
        """Stops the server and checks that it leaves nothing behind. Returns its exit status."""
        processes = children(self.process.pid)
        self.process.send_signal(how)
        status = self.process.wait(seconds)
        for pid in processes:
            wait_for(lambda p=pid: gone(p), 5, f"process {pid} gone")
        self.check_sanitizer()
        return status

    def kill_all(self):
        """Kills the master, the workers and the journal with SIGKILL, so that none of them can tidy
        up."""
        pids = [self.process.pid, *children(self.process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # so that the master replaces no worker meanwhile
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        for pid in pids[1:]:
            wait_for(lambda p=pid: gone(p), 5, f"process {pid} gone")

    def clean(self):
        for channel in self.channels:
            channel.close()
        if self.process and self.process.poll() is None:
            self.kill_all()
        for pid in self.strangers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in self.shm_files():
            os.unlink(path)
        for address in self.listen:
            if address.startswith("unix:"):
                pathlib.Path(address[5:]).unlink(missing_ok=True)

    def strangers(self):
        """Finds processes that an upgrade started. They are no children of the tests, but the
        segment's name is in their arguments."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                words = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"rosterd") and self.segment.encode() in words:
                    yield int(name)

    def check_sanitizer(self):
        """Fails on each report. A thread that has been joined may still be in its last system call
        when LeakSanitizer looks at the threads. It says so in one line, and that is no fault."""
        texts = [pathlib.Path(path).read_text() for path in glob.glob(f"{self.sanitizer}.*")]
        reports = [text for text in texts if NO_REPORT.sub("", text).strip()]
        assert not reports, "\n".join(reports)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if self.process and self.process.poll() is None and kind is None:
                assert self.stop() == 0, f"exit status {self.process.returncode}: {self.log()}"
            self.check_sanitizer()
        finally:
            self.clean()

    # ---- observing the server ----

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern, seconds=10):
        return wait_for(lambda: re.search(pattern, self.log()), seconds,
                        f"{pattern!r} in the log:\n{self.log()}")

    def worker_pids(self):
        """Those of which the names are known; if none is, those that nothing else is known of: a
        process that was just forked has no name yet."""
        names = {pid: command_name(pid) for pid in children(self.process.pid)}
        return [pid for pid, name in names.items() if name.startswith("rosterd-w")] or \
            [pid for pid, name in names.items() if name not in (JOURNAL, PASSWORDS)]

    def password_pids(self):
        return [pid for pid in children(self.process.pid) if command_name(pid) == PASSWORDS]

    def journal_pid(self):
        """Waits for the process that writes the data file."""
        return wait_for(lambda: next((pid for pid in children(self.process.pid)
                                      if command_name(pid) == JOURNAL), None), 10, "the journal")

    def shm_files(self):
        name = self.segment[1:]
        return [path for path in glob.glob(f"/dev/shm/*{name}*") + glob.glob(f"/dev/shm/.{name}*")
                if re.search(re.escape(name) + r"($|\D)", path)]

    def inspect(self, *arguments, status=0):
        done = subprocess.run([SHM_INSPECT, "--segment", self.segment, "--json", *arguments],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done
        return json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else done

    def wait_stats(self, name, value):
        """Waits for a counter's value. Workers publish most counters at the end of a turn of their event
        loop, so a client can see what a turn did before the counters show it."""
        wait_for(lambda: self.inspect("stats").get(name, 0) == value, 10, f"{name} is {value}")

    # ---- clients of the server ----

    def target(self):
        address = self.listen[0]
        return address if not address.startswith("0.0.0.0") else f"127.0.0.1:{self.port}"

    def channel(self, *options, target=None):
        """Opens a connection that no other channel shares."""
        channel = grpc.insecure_channel(
            target or self.target(),
            [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), *options])
        self.channels.append(channel)
        return channel

    def stub(self, *options, target=None):
        return pb_grpc.UserServiceStub(self.channel(*options, target=target))

    def connect(self):
        address = self.target()
        if address.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(address[5:])
            return sock
        return socket.create_connection(("127.0.0.1", self.port), 10)


def writer(rosterd, command, *arguments, rate=0):
    """Runs tests/e2e/writer on the server's segment. Returns what the writer prints."""
    if command == "update":
        arguments += (rate,)
    done = subprocess.run([WRITER, rosterd.segment, command, *map(str, arguments)],
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def requests(count, prefix="user"):
    for i in range(count):
        yield pb.CreateUserRequest(username=f"{prefix}{i:07}", email=f"{prefix}{i:07}@example.org",
                                   password="correct horse")


def fill(rosterd, users, count):
    """Creates many users by BatchCreateUsers, faster than grpcio would send them."""
    with wire.Wire(rosterd.connect()) as connection:
        stream = connection.open("BatchCreateUsers")
        response = connection.upload(stream, b"".join(map(wire.message, users)), seconds=100)
        assert pb.BatchResult.FromString(response.messages()[0]).created == count


def failure(call):
    """Returns the RpcError with which call() must fail."""
    try:
        reply = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"no error, but {reply!r:.200}")


def expect(call, code, text=None):
    error = failure(call)
    assert error.code() == code, f"{error.code()} {error.details()}"
    if text is not None:
        assert text in error.details(), error.details()
    return error


def read_all(stub, page_size, **metadata):
    """Reads one listing. Returns its users and the token that it ended with."""
    call = stub.ListUsers(pb.ListUsersRequest(page_size=page_size, **metadata), timeout=100)
    users = list(call)
    token = dict(call.trailing_metadata()).get("next-page-token", "")
    return users, token
