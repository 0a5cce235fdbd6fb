# SPDX-License-Identifier: MIT
"""Faults of the disk: each system call of the journal fails, one after the other, in a life of a
fixed course. Files then get the contents that a power cut would leave (disk_faults.c)."""
import contextlib
import errno
import mmap
import os
import pathlib
import random
import struct
import time
import urllib.error
import urllib.request

import harness
import ledger as ledgers
import lives
import load
import user_service_pb2 as pb
import wire

KINDS = {"write": 1, "sync": 2, "rename": 4, "unlink": 8, "truncate": 16, "read": 32}
EVER = 2**63
FAILED_MAX = 16
SLOT = struct.Struct("<6Q")  # kinds, error, first, last, calls, failed
LATE = 8 + 2 * SLOT.size
FIRST_SYNC = (KINDS["sync"], errno.EIO, 1, 1)
DEADLINE = "400m"
SLOW_MS = 300


class Board:
    """Shared with the processes of a server; see disk_faults.c."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "faults"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)

    def arm(self, *slots):
        self.disarm()
        for at in range(2):
            slot = slots[at] if at < len(slots) else (0, 0, 0, 0)
            self.memory[8 + at * SLOT.size:8 + (at + 1) * SLOT.size] = SLOT.pack(*slot, 0, 0)
        self.memory[LATE:LATE + 8 * (1 + FAILED_MAX)] = bytes(8 * (1 + FAILED_MAX))
        self.memory[:8] = struct.pack("<Q", 1)

    def disarm(self):
        self.memory[:8] = bytes(8)

    def slow_down(self, milliseconds):
        """Each sync of the journal takes that much longer."""
        at = LATE + 8 * (1 + FAILED_MAX)
        self.memory[at:at + 8] = struct.pack("<Q", milliseconds * 1000)

    def late_writes(self):
        """To files that have failed, which must not be trusted any more."""
        return struct.unpack_from("<Q", self.memory, LATE)[0]

    def failed(self, at):
        return SLOT.unpack_from(self.memory, 8 + at * SLOT.size)[5]


class Fault:
    """The n-th call of a kind fails, or each from the n-th on: in the replacement of a file that
    has failed, or before."""

    def __init__(self, kind, error, first, ever, replacing):
        self.kind, self.error, self.first, self.ever = kind, error, first, ever
        self.replacing = replacing

    def __str__(self):
        return (f"{self.kind} {self.first}{' and later' if self.ever else ''}: "
                f"{errno.errorcode[self.error]}{', while the file is replaced' * self.replacing}")

    def slots(self):
        slot = (KINDS[self.kind], self.error, self.first, EVER if self.ever else self.first)
        return (FIRST_SYNC, slot) if self.replacing else (slot,)

    def is_full(self):
        """A full disk is waited for; anything else in the file, or a sync, makes it unusable."""
        return self.error == errno.ENOSPC and self.kind in ("write", "rename", "unlink")

    def must_recover(self):
        return self.is_full() or not (self.ever or self.replacing)


class Trials:
    def __init__(self, server, board, shadows):
        self.server = server
        self.board = board
        self.shadows = pathlib.Path(shadows)
        self.table = lives.Lives(server)
        self.states = {}

    # ---- observing ----

    def state(self):
        return self.server.inspect("status")["journal"]["state"]

    def page(self, name):
        try:
            url = f"http://127.0.0.1:{self.server.metrics}/{name}"
            with urllib.request.urlopen(url, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as reply:
            with reply:
                return reply.code, reply.read().decode()

    def create(self, clients, deadline, seconds=20):
        """@return the status of one call, which the ledger learns"""
        clients.deadline = deadline
        call = load.Create(clients.ledger, [clients.request(self.numbers, "p")])
        with wire.Wire(self.server.connect()) as connection:
            stream = connection.open(call.path, **clients.changes())
            connection.data(stream, call.sent())
            reply = connection.wait(stream, seconds)
            call.finish(reply)
        return reply.grpc_status

    # ---- a life ----

    def work(self, clients):
        """The same calls each time, one after the other."""
        clients.deadline = DEADLINE
        with wire.Wire(self.server.connect()) as connection:
            for _ in range(3):
                clients.create(connection, self.numbers)
        for _ in range(2):
            with wire.Wire(self.server.connect()) as connection, \
                    contextlib.suppress(load.Renewal):
                clients.create_batch(connection, self.numbers)
        with wire.Wire(self.server.connect()) as connection:
            clients.edit_by_calls(connection, 6)

    def run(self, fault):
        """@return (whether the fault was met, losses)"""
        server, board = self.server, self.board
        random.seed(1)  # the same sizes of batches and so on
        self.numbers = {"number": next(load._numbers)}
        self.table.base = {}
        server.start()
        ledger = ledgers.Ledger({})
        last = 1 if fault.replacing else 0
        with load.Load(server, ledger, creators=0, batchers=0, editors=0, readers=1) as clients:
            assert self.create(clients, "5S") == load.OK
            board.arm(*fault.slots())
            self.work(clients)
            if board.failed(0):
                self.check_trouble(fault, clients)
        status = None
        if not board.failed(last):
            status = server.stop(seconds=60)  # the log is moved into the file
        met = board.failed(last) != 0
        board.disarm()
        ended = time.monotonic()
        if status is None:
            server.kill_all()
        late = board.late_writes()  # a later start may write what has failed now
        self.power_off()
        self.table.acknowledged += ledger.acknowledged()
        losses = self.table.check(ledger, ended)
        if late:
            losses.append(f"a file that has failed was written {late} times more")
        return met, losses

    def tell_what_waits(self):
        """A call waits for a sync that fails. The new file's syncs are slow, so that the worker looks
        before that file has the call's user, too. @return losses"""
        server, board = self.server, self.board
        self.numbers = {"number": next(load._numbers)}
        server.start()
        ledger = ledgers.Ledger({})
        with load.Load(server, ledger, creators=0, batchers=0, editors=0, readers=1) as clients:
            assert self.create(clients, "5S") == load.OK
            board.slow_down(SLOW_MS)
            board.arm(FIRST_SYNC)
            status = self.create(clients, "9S")
            assert status == load.UNAVAILABLE, f"a call that waited for a failed sync got {status}"
            harness.wait_for(lambda: self.state() == "ok", 20, "a new file")
            board.slow_down(0)
            assert self.create(clients, "5S") == load.OK
        assert server.stop(seconds=60) == 0
        board.disarm()
        self.power_off()
        return self.table.check(ledger, time.monotonic())

    def outlive_slow_syncs(self):
        """Each sync takes longer than worker-timeout, which is 5 s."""
        self.numbers = {"number": next(load._numbers)}
        self.server.start()
        ledger = ledgers.Ledger({})
        with load.Load(self.server, ledger, creators=0, batchers=0, editors=0, readers=0) as clients:
            assert self.create(clients, "5S") == load.OK
            self.board.slow_down(6000)
            assert self.create(clients, "120S", 130) == load.OK
            assert "has made no progress" in self.server.log()
            self.board.slow_down(0)
        return self.table.check(ledger, time.monotonic())

    def check_trouble(self, fault, clients):
        """The server says what it meets, and recovers by itself where it can."""
        if fault.ever and fault.is_full() and self.board.failed(len(fault.slots()) - 1):
            harness.wait_for(lambda: self.state() == "full", 10, "the disk is said to be full")
            assert self.create(clients, "300m") == load.EXHAUSTED
            assert self.metric("rosterd_journal_failures_total{kind=\"full\"}") > 0
        if fault.must_recover():
            self.board.disarm()
        state = harness.wait_for(lambda: self.state() in ("ok", "failed") and
                                 self.state(), 20, f"an end of {self.state()}")
        self.states[state] = self.states.get(state, 0) + 1
        assert "malformed" not in self.server.log(), f"{fault}: the file is said to be damaged"
        if not self.board.failed(len(fault.slots()) - 1):
            self.board.disarm()  # the replacement has no such call: the series is over
        if fault.must_recover():
            assert state == "ok", f"{fault}: {state}"
        if state == "ok":
            assert self.create(clients, "5S") == load.OK, f"{fault}: no write after recovery"
            assert self.page("readyz")[0] == 200
            return
        assert self.create(clients, "5S") == load.UNAVAILABLE
        code, text = self.page("readyz")
        assert code == 503 and "data" in text, text
        assert self.metric("rosterd_journal_failures_total{kind=\"io\"}") > 0

    def metric(self, name):
        for line in self.page("metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"no metric {name}")

    def power_off(self):
        """Files get what the disk has of them."""
        for path in self.server.path.parent.glob(self.server.path.name + "*"):
            shadow = self.shadows / str(path.stat().st_ino)
            if shadow.exists():
                path.write_bytes(shadow.read_bytes())
        self.server.forget_segment()
        for shadow in self.shadows.iterdir():
            shadow.unlink()

    def start_over(self):
        self.table.start_over()
        for shadow in self.shadows.iterdir():
            shadow.unlink()


def each_fault():
    """Series of faults; within each, the first call that fails moves on until none is met."""
    for replacing in (False, True):
        for kind in KINDS:
            for error in (errno.EIO, errno.ENOSPC)[:1 if kind == "read" else 2]:
                for ever in (False, True):
                    yield kind, error, ever, replacing


@contextlib.contextmanager
def trials(folder, program, *options):
    """A server with faults."""
    shadows = pathlib.Path(folder) / "shadows"
    shadows.mkdir(exist_ok=True)
    board = Board(folder)
    metrics = harness.free_port()
    server = lives.Server(program, pathlib.Path(folder) / "users.db",
                          "--metrics-listen", f"127.0.0.1:{metrics}", *options,
                          prefix=("env", f"DISK_FAULTS={board.path}", f"DISK_SHADOWS={shadows}"))
    server.metrics = metrics
    try:
        yield Trials(server, board, shadows)
    finally:
        server.clean()


# Sets of faults that have found something before.
FOUND = (("read", errno.EIO, False, True),)


def sweep(folder, program, longest=None):
    """Runs each series; with `longest`, some of its faults for about that many seconds.
    @return (number of faults that were met, losses, the last fault)"""
    choose, met_count, end = random.Random(), 0, longest and time.monotonic() + longest
    with trials(folder, program) as tried:
        series = list(each_fault())
        if longest:
            choose.shuffle(series)
            series = [*FOUND, *series]
        for kind, error, ever, replacing in series:
            first = 1 if not longest else 2 if (kind, error, ever, replacing) in FOUND else \
                choose.choice((1, 2, 3, 5, 9))
            while not end or time.monotonic() < end:
                fault = Fault(kind, error, first, ever, replacing)
                try:
                    met, losses = tried.run(fault)
                except AssertionError as why:
                    raise AssertionError(f"{fault}: {why}\n{tried.server.log()[-2000:]}") from why
                tried.start_over()
                if losses:
                    return met_count, losses, fault, tried
                tried.server.log_path.unlink(missing_ok=True)
                if not met:
                    break
                met_count += 1
                first += 1
                if longest:
                    break
            if not longest:
                print(f"{fault}: not met", flush=True)
    return met_count, [], None, tried
