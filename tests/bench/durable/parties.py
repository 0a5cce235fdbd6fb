# SPDX-License-Identifier: MIT
"""The programs that the benchmark of durability compares, each in a folder of its own on one disk."""
import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from statistics import median

from measure import CLIENT_CPU, SERVER_CPU, cpu_ns, free_port, tree

START_SECONDS, STOP_SECONDS, LOAD_SECONDS = 120, 300, 300
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
ON_SERVER_CPU, ON_CLIENT_CPU = ["taskset", "-c", SERVER_CPU], ["taskset", "-c", CLIENT_CPU]


class Failure(Exception):
    """A part of the benchmark has no figures; the message says why."""


def output(argv, seconds=LOAD_SECONDS):
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))} ended with {done.returncode}: "
                      f"{(done.stderr + done.stdout).strip()[-300:]}")
    return done.stdout


def wait_for(condition, what, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.005)
    return value


class Program:
    """A server process. Its log is in its folder."""
    stop_signal = signal.SIGTERM

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.process = None
        folder.mkdir()
        self.log = folder / "log"

    def spawn(self, argv, user=(), env=None):
        """The server ends with this program, however that ends."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", self.stop_signal.name[3:], *user, *map(str, argv)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def alive(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with {self.process.returncode}: "
                          f"{self.log.read_text(errors='replace').strip()[-500:]}")
        return True

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure(f"{self.name} did not end within {STOP_SECONDS} s") from None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Rosterd(Program):
    """A server with its table on disk, or in memory only."""

    def __init__(self, bench, name, *options, durable=True, pinned=True, workers=1, slow=False):
        super().__init__(name, bench.folder / name)
        self.bench, self.durable, self.pinned = bench, durable, pinned
        self.segment = f"/rosterd-bench-{os.getpid()}-{name}"
        self.data = self.folder / "rosterd.db"
        self.options = ["--workers", str(workers), "--segment", self.segment, "--max-users",
                        str(bench.max_users), *options]
        self.options += (["--data-file", self.data, "--durability", "sync"] if durable
                         else ["--data-file", "none"])
        self.slow = self.folder / "slow" if slow else None
        self.port = 0

    def start(self):
        """Returns the seconds from exec to READY=1."""
        self.port = free_port()
        env = dict(os.environ, NOTIFY_SOCKET=f"@{self.segment[1:]}")
        if self.slow:
            env |= {"SLOW_SYNC_FILE": str(self.slow),
                    "LD_PRELOAD": str(self.bench.build / "tests/bench/durable/slow_sync.so")}
        argv = [self.bench.build / "src/server/rosterd", "--listen", f"127.0.0.1:{self.port}",
                *self.options]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(f"\0{self.segment[1:]}")
            notify.settimeout(0.05)
            began = time.monotonic()
            self.spawn((ON_SERVER_CPU if self.pinned else []) + argv, env=env)
            while self.alive() and time.monotonic() < began + START_SECONDS:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in notify.recv(4096).split(b"\n"):
                        return time.monotonic() - began
        raise Failure(f"{self.name} was not ready within {START_SECONDS} s")

    def remove(self):
        try:
            super().remove()
        finally:
            self.forget_segment()

    def crash(self):
        for pid in tree(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    # ---- its processes ----

    def workers(self):
        """Returns the pids of the workers, without the other processes."""
        return [pid for pid in tree(self.process.pid)[1:]
                if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("rosterd-w")]

    def pin(self, cpu, *pids):
        """Pins these processes, or all of the server, to a CPU."""
        for pid in pids or tree(self.process.pid):
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {int(cpu)})

    def journal(self):
        """Returns the pid of the process that has the write-ahead log open, or None."""
        for pid in tree(self.process.pid)[1:]:
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(fd) == f"{self.data.resolve()}-wal":
                        return pid
        return None

    def bytes_written(self):
        """Returns how many bytes the journal process has written to files so far."""
        text = pathlib.Path(f"/proc/{self.journal()}/io").read_text()
        return int(re.search(r"^wchar: (\d+)", text, re.M).group(1))

    def syncs(self):
        """Returns how many syncs of the disk the journal has made so far."""
        text = output([self.bench.build / "src/inspect/shm-inspect", "--segment", self.segment,
                       "stats", "--raw"])
        return int(re.search(r'(\d+)  rosterd_journal_fsync_seconds_bucket\{le="\+Inf"\}',
                             text).group(1))

    def settled_cpu_ns(self):
        """Returns the CPU time of all processes once none of them works any more."""
        seen = [cpu_ns(self.process.pid)]

        def quiet():
            time.sleep(0.2)
            seen.append(cpu_ns(self.process.pid))
            return seen[-1] - seen[-2] < 1_000_000
        wait_for(quiet, f"{self.name} is idle")
        return seen[-1]

    # ---- its table ----

    def segment_files(self):
        return list(pathlib.Path("/dev/shm").glob(f"*{self.segment[1:]}*"))

    def segment_bytes(self):
        """Without the counters, a file of 8 MB whatever the number of users is."""
        return os.stat(f"/dev/shm{self.segment}").st_blocks * 512

    def forget_segment(self):
        """What a reboot does to the segment of a server that does not run."""
        for path in self.segment_files():
            path.unlink()

    def users(self):
        return json.loads(output([self.bench.build / "src/inspect/shm-inspect", "--segment",
                                  self.segment, "--json", "status"]))["users"]

    def file_bytes(self):
        """Returns the users in the file of a stopped server, the bytes of the file, and those of
        the users' bodies."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}?immutable=1", uri=True)) as file:
            count, bodies = file.execute("SELECT count(*), sum(length(body)) FROM users").fetchone()
        return count, self.data.stat().st_size, bodies

    def forget_pages(self):
        """Drops the file of a stopped server, and its log, from the page cache."""
        for path in self.data.parent.glob(self.data.name + "*"):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

    # ---- load ----

    def client_argv(self, mode, *argv):
        return [str(word) for word in (
            (ON_CLIENT_CPU if self.pinned else []) +
            [self.bench.build / "tests/bench/client", mode, "127.0.0.1", self.port, *argv])]

    def client(self, mode, *argv):
        return json.loads(output(self.client_argv(mode, *argv)))

    def fill(self, users):
        for done in range(0, users, 100_000):
            self.client("batch", min(100_000, users - done))

    def calls(self, mode, *argv, before=()):
        """The client of calls.c. @return what it printed"""
        return json.loads(output([*before, *self.calls_argv(mode, *argv)]))

    def calls_argv(self, mode, *argv):
        return [str(word) for word in (self.bench.build / "tests/bench/durable/calls", mode,
                                       "127.0.0.1", self.port, *argv)]

    def creates_per_second(self, calls, connections, in_flight):
        done = self.calls("create", "-n", calls, "-c", connections, "-m", in_flight // connections)
        return done["calls"] / done["seconds"]

    def creates_per_second_by_h2load(self, calls, connections, in_flight):
        """Checks the number of bytes in the replies."""
        user = b"\x0a\x0cuser00000001\x12\x18user00000001@example.com"
        body = self.folder / "create"
        body.write_bytes(b"\0" + len(user).to_bytes(4, "big") + user)
        out = output(["h2load", f"-n{calls}", f"-c{connections}", f"-m{in_flight // connections}",
                      "-d", body, "-H", "te: trailers", "-H", "content-type: application/grpc",
                      f"http://127.0.0.1:{self.port}/userservice.UserService/CreateUser"])
        reply = self.client("create")["bytes"]
        seconds = re.search(r"^finished in ([\d.]+)(us|ms|s|m)\b", out, re.M)
        data = int(re.search(r"^traffic: .*\((\d+)\) data$", out, re.M).group(1))
        if f"{calls} succeeded, 0 failed" not in out or data != calls * reply:
            raise Failure(f"CreateUser failed on {self.name}: {out}")
        unit = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[seconds.group(2)]
        return calls / (float(seconds.group(1)) * unit)


class Redis(Program):
    """Debian's redis-server is the program redis-check-rdb of redis-tools, under another name."""
    program = shutil.which("redis-check-rdb")

    def __init__(self, bench):
        super().__init__("redis", bench.folder / "redis")
        self.port = 0

    def start(self):
        self.port = free_port()
        program = self.folder / "redis-server"
        program.symlink_to(self.program)
        self.spawn([program, "--port", self.port, "--bind", "127.0.0.1", "--dir",
                    self.folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                    "--auto-aof-rewrite-percentage", "0"])
        wait_for(lambda: self.alive() and b"Ready to accept" in self.log.read_bytes(),
                 "redis accepts connections")

    def sets_per_second(self, calls, connections, pipelined, key, value):
        """SETs of a key with as many bytes as an id has, and of a value with those of a body."""
        out = output(["redis-benchmark", "-p", self.port, "--csv", "-n", calls, "-c", connections,
                      "-P", pipelined, "-r", 10**12, "SET", "__rand_int__" + "k" * (key - 12),
                      "x" * value])
        return float(list(csv.reader(out.splitlines()))[-1][1])


class Postgres(Program):
    """PostgreSQL with its defaults, a larger cache, and no checkpoint within the run."""
    stop_signal = signal.SIGINT  # a "fast" shutdown, which does not wait for clients
    CREATE = ("CREATE TABLE users(seq bigserial PRIMARY KEY, id bytea NOT NULL, version bigint NOT "
              "NULL, sum bigint NOT NULL, body bytea NOT NULL);\n")
    INSERT = ("INSERT INTO users (id, version, sum, body) VALUES (uuid_send(gen_random_uuid()), "
              "1234567, -5555555555555555, '{}');\n")

    @staticmethod
    def folder_of_programs():
        """Debian's package, installed, or unpacked by scripts/setup --durable."""
        for root in ("/", CACHE / "rosterd" / "postgresql"):
            for folder in sorted(pathlib.Path(root).glob("usr/lib/postgresql/*/bin")):
                if (folder / "postgres").exists() and (folder / "pgbench").exists():
                    return folder
        return None

    def __init__(self, bench):
        super().__init__("postgres", bench.folder / "postgres")
        self.programs = self.folder_of_programs()
        self.version = self.programs.parent.name
        self.socket = f"@rosterd-bench-{os.getpid()}"  # abstract: the length of a path is limited
        self.user = []
        if os.geteuid() == 0:
            self.be_nobody()

    def be_nobody(self):
        """The server refuses to be root. Another user may not reach root's cache."""
        if CACHE in self.programs.parents:
            copy = self.folder / "programs"
            shutil.copytree(CACHE / "rosterd" / "postgresql", copy, symlinks=True)
            self.programs = copy / self.programs.relative_to(CACHE / "rosterd" / "postgresql")
        os.chown(self.folder, 65534, 65534)
        self.user = ["--reuid=65534", "--regid=65534", "--clear-groups"]
        reach = subprocess.run(["setpriv", *self.user, "test", "-w", self.folder], check=False)
        if reach.returncode != 0:
            raise Failure(f"PostgreSQL runs as nobody, who cannot reach {self.folder}: name another "
                          "folder by --dir")

    def start(self):
        output(["setpriv", *self.user, self.programs / "initdb", "-D", self.folder / "data", "-N",
                "-A", "trust", "-U", "bench", "--no-locale", "-E", "UTF8"])
        self.spawn([self.programs / "postgres", "-D", self.folder / "data",
                    "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.socket}",
                    "-c", "synchronous_commit=on", "-c", "max_connections=200",
                    "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB",
                    "-c", "checkpoint_timeout=1h"], user=self.user)
        wait_for(lambda: self.alive() and b"ready to accept" in self.log.read_bytes(),
                 "PostgreSQL accepts connections")
        self.pgbench(self.CREATE, "-t", 1)

    def pgbench(self, text, *options):
        script = self.folder / "script.sql"
        script.write_text(text)
        out = output([self.programs / "pgbench", "-h", self.socket, "-U", "bench", "-n", "-f",
                      script, *options, "postgres"])
        return float(re.search(r"^tps = ([\d.]+) \(without initial", out, re.M).group(1))

    def inserts_per_second(self, seconds, connections, body):
        return self.pgbench(self.INSERT.format("x" * body), "-M", "prepared", "-c", connections,
                            "-j", 2, "-T", seconds)


def paired_ratio(mine, others):
    """The median of the ratios of what was measured in the same turn: a machine, or its disk, that
    is slower for some minutes is so for both."""
    return median(one / other for one, other in zip(mine, others, strict=True))


def bare_append(bench, size, writes, over=False):
    """Returns the microseconds of a pwrite and fdatasync: {"p50_us": ..., "p99_us": ...}"""
    return json.loads(output(
        [bench.build / "tests/bench/durable/append", bench.folder / "append", size, "-n", writes,
         *(["-o"] if over else [])]))
