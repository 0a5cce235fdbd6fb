# SPDX-License-Identifier: MIT
"""Lives of a table: a server starts, clients load it, a disaster ends it, and the next start is
compared with what the clients were told."""
import contextlib
import os
import pathlib
import random
import signal
import time

import harness
import ledger as ledgers
import load

MANY_USERS = 6000  # then the next life begins with an empty table, to keep the checks short


class Server(harness.Rosterd):
    def __init__(self, program, path, *options, prefix=(), **settings):
        self.program = [*prefix, program]
        self.path = pathlib.Path(path)
        self.remove_data()
        super().__init__("--data-file", str(path), "--log-level", "notice", *options, start=False,
                         **settings)

    def command(self):
        return [*self.program, *super().command()[1:]]

    def start(self, stdout=None):
        """Waits until a client can connect. Not all workers are ready then: disasters come early, too."""
        self.life_log = len(self.log())
        self.spawn(stdout)

        def serves():
            if self.process.poll() is not None:
                raise AssertionError(f"rosterd exited {self.process.returncode}: {self.log()}")
            try:
                self.connect().close()
            except OSError:
                return False
            return True
        harness.wait_for(serves, harness.START_SECONDS, "the server answers")
        return self

    def strangers(self):
        """As in the harness; the program may have another name."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                words = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[0] == self.program[-1].encode() and self.segment.encode() in words:
                    yield int(name)

    def kill_all(self):
        """Kills all that belongs to this segment at about the same time: an upgrade's new program
        is no child of ours, and our own child may not have executed the server yet."""
        def living():
            pids = {pid for pid in self.strangers() if not harness.gone(pid)}
            return pids if self.process.poll() is not None else pids | {self.process.pid}
        while pids := living():
            for how in (signal.SIGSTOP, signal.SIGKILL):
                for pid in pids:
                    load.kill(pid, how)
            for pid in pids:
                if pid == self.process.pid:
                    self.process.wait(20)
                harness.wait_for(lambda p=pid: harness.gone(p), 20, f"process {pid} gone")
        self.process.wait(20)

    def forget_segment(self):
        """As a reboot does."""
        for path in self.shm_files():
            os.unlink(path)

    def clean(self):
        super().clean()
        with contextlib.suppress(OSError):  # the file system may have no power
            self.remove_data()

    def remove_data(self):
        for path in self.path.parent.glob(self.path.name + "*"):
            path.unlink()
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # a power cut does not bring them back
        finally:
            os.close(folder)


class Lives:
    """A table through many disasters."""

    def __init__(self, server, place=None):
        self.server = server
        self.place = place
        self.base = {}
        self.acknowledged = 0
        self.seen = 0
        self.lives = 0
        self.clients = None
        self.cut_at = None
        self.began = time.monotonic()

    def start_over(self):
        """An empty table, on the same file system."""
        self.server.forget_segment()
        self.server.remove_data()
        self.base = {}

    def live(self, disaster, longest=0.35, **counts):
        """Starts, loads, runs disaster(server), and starts again. @return what was lost"""
        server, self.cut_at = self.server, None
        if len(self.base) > MANY_USERS:
            self.start_over()
        if disaster in (self.power_cut_at_start, self.kill_at_start):
            server.spawn()
            disaster(server)
            return self.compare(ledgers.Ledger(self.base), time.monotonic())
        server.start()
        ledger = ledgers.Ledger(self.base)
        with load.Load(server, ledger, **counts) as self.clients:
            time.sleep(0.05)
            load.sleep_random(longest)
            disaster(server)
            ended = self.cut_at or time.monotonic()
            server.kill_all()
        return self.compare(ledger, ended)

    def compare(self, ledger, ended):
        self.lives += 1
        self.acknowledged += ledger.acknowledged()
        self.seen += len(ledger.seen) + len(ledger.changes)
        if self.place:
            self.place.unmount()
            self.place.mount()
        if self.place or random.random() < 0.7:
            self.server.forget_segment()
        return self.check(ledger, ended)

    def check(self, ledger, ended):
        server = self.server
        server.start()
        table = ledgers.table_of(server)
        versions, version = ledgers.versions_of(server.path)
        losses = list(ledger.judge(table, versions, version, ended))
        if table.keys() != versions.keys():
            losses.append(f"the segment has {len(table)} users, and the file {len(versions)}")
        faults = server.inspect("verify")["faults"]
        if faults:
            losses.append(f"the segment has {faults} faults")
        server.kill_all()
        server.forget_segment()
        self.base = table
        return losses

    # ---- disasters: a power cut ----

    def power_cut(self, server):
        if self.clients:
            self.clients.close_record()
        self.cut_at = time.monotonic()
        self.place.cut_power()
        load.sleep_random(0.02)  # whatever the server does now, it must start again
        server.kill_all()

    def power_cut_at_start(self, server):
        self.clients = None
        load.sleep_random(0.1)
        self.power_cut(server)

    def power_cut_at_stop(self, server):
        load.kill(server.process.pid, signal.SIGTERM)
        load.sleep_random(0.05)
        self.power_cut(server)

    # ---- disasters: a kill ----

    def kill_everything(self, server):
        server.kill_all()

    def kill_at_start(self, server):
        load.sleep_random(0.1)
        server.kill_all()

    def kill_at_stop(self, server):
        load.kill(server.process.pid, signal.SIGTERM)
        load.sleep_random(0.05)
        server.kill_all()

    def kill_in_reload(self, server):
        load.kill(server.process.pid, signal.SIGHUP)
        load.sleep_random(0.3)
        server.kill_all()

    def kill_in_upgrade(self, server):
        load.kill(server.process.pid, signal.SIGUSR2)
        load.sleep_random(0.5)
        server.kill_all()

    def kill_journal(self, server):
        """Costs time and nothing else: no call fails."""
        load.kill(server.journal_pid())
        self.wait_progress("the journal is killed")
        assert not self.clients.ledger.refused, f"calls failed: {self.clients.ledger.refused}"
        assert not self.clients.breaks, f"connections broke: {self.clients.breaks}"

    def kill_worker(self, server):
        # a worker that dies before all are ready ends the start, and with it the server
        harness.wait_for(lambda: "Server started" in server.log()[server.life_log:], 15, "its start")
        workers = server.worker_pids()
        load.kill(random.choice(workers))
        self.wait_progress("a worker is killed")
        harness.wait_for(lambda: server.worker_pids() != workers, 15, "another worker")

    def kill_master(self, server):
        processes = harness.children(server.process.pid)
        load.kill(server.process.pid)
        server.process.wait(10)
        for pid in processes:
            harness.wait_for(lambda p=pid: harness.gone(p), 20, f"process {pid} gone")

    def wait_progress(self, after):
        before = self.clients.ledger.acknowledged()
        harness.wait_for(lambda: self.clients.ledger.acknowledged() > before + 20, 15,
                         f"writes go on after {after}")
        load.sleep_random(0.1)
