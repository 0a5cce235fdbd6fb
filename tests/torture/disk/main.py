# SPDX-License-Identifier: MIT
"""The table on disk, tortured: see `run`."""
import argparse
import contextlib
import errno
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import faults
import harness
import ledger
import lives
import load
import places

KINDS = ("ext4", "xfs")
LOSSES_SHOWN = 5
MUTANT_LIVES = 40  # at most, to catch one
SLOW_SYNC_MS = 10


class Report:
    """Prints what cmocka would."""

    def __init__(self):
        self.failed = 0
        self.skipped = 0
        self.cuts = self.kills = self.faults = self.lost = 0
        self.mutants = self.caught = 0
        self.interrupted = False

    @contextlib.contextmanager
    def scene(self, name):
        print(f"[ RUN      ] {name}", flush=True)
        try:
            yield
        except places.Unavailable as why:
            self.skipped += 1
            print(f"{name}: skipped: {why}\n[  SKIPPED ] {name}", flush=True)
        except Exception:  # pylint: disable=broad-except
            if self.interrupted:  # what was in its way, on the way out
                raise KeyboardInterrupt from None
            traceback.print_exc(file=sys.stdout)
            self.failed += 1
            print(f"[  FAILED  ] {name}", flush=True)
        else:
            print(f"[       OK ] {name}", flush=True)


def show(what, losses, log):
    for loss in losses[:LOSSES_SHOWN]:
        print(f"lost: {loss}")
    print(f"{len(losses)} losses after {what}; the server's log:\n{log[-1500:]}", flush=True)


def program(name="src/server/rosterd"):
    return str(pathlib.Path(name).absolute())


def lose_nothing(report, table, disasters, count, counter):
    """Runs `count` lives that end by the disasters in turn."""
    began = time.monotonic()
    programs = [program(), program("tests/torture/disk/rosterd-short-log")]
    for number in range(count):
        # Of the lives with the second program, half have a slow disk.
        table.server.program[-1] = programs[number // len(disasters) % 2]
        table.server.board.slow_down(number // len(disasters) // 2 % 2 * SLOW_SYNC_MS)
        disaster = disasters[number % len(disasters)]
        losses = table.live(disaster)
        setattr(report, counter, getattr(report, counter) + 1)
        if losses:
            report.lost += len(losses)
            show(f"{number + 1} of {disaster.__name__}", losses, table.server.log())
            raise AssertionError("a disaster lost what was acknowledged or seen")
        # A kill is no trouble of the disk, and the next start finds no damage.
        said = [line for line in table.server.log().splitlines() if " notice [" not in line]
        assert table.place or "data-file" not in "\n".join(said), said
        table.server.log_path.unlink(missing_ok=True)
    print(f"{count} {counter}, {table.acknowledged} writes acknowledged, {table.seen} seen, "
          f"0 lost, {time.monotonic() - began:.1f} s", flush=True)
    assert count == 0 or table.acknowledged, "the clients wrote nothing"


@contextlib.contextmanager
def server_at(folder, rosterd, *options):
    with tempfile.TemporaryDirectory(prefix="board-", dir=harness.OUT) as outside:
        board = faults.Board(outside)  # a power cut does not reach it
        server = lives.Server(rosterd, pathlib.Path(folder) / "users.db", *options,
                              prefix=("env", f"DISK_FAULTS={board.path}"))
        server.board = board
        try:
            yield server
        finally:
            server.clean()


def power_cuts(report, folder, count):
    for number, kind in enumerate(KINDS):
        with report.scene(f"power_cuts_of_{kind}_lose_nothing"), \
                places.place(folder, kind) as place, server_at(place.folder, program()) as server:
            table = lives.Lives(server, place)
            share = count // 2 + (number < count % 2)
            # Those at a start have no clients yet: they come on top of the number.
            lose_nothing(report, table, [table.power_cut] * 5 + [table.power_cut_at_stop,
                         table.power_cut_at_start], share + share // 6, "cuts")


def kills(report, folder, count):
    with report.scene("kills_of_any_process_lose_nothing"), \
            server_at(folder, program()) as server:
        table = lives.Lives(server)
        lose_nothing(report, table, [
            table.kill_everything, table.kill_journal, table.kill_master, table.kill_worker,
            table.kill_in_reload, table.kill_in_upgrade, table.kill_at_start, table.kill_at_stop],
            count, "kills")


def disk_faults(report, folder, seconds):
    with report.scene("each_failing_call_of_the_disk_loses_nothing"):
        began = time.monotonic()
        met, losses, fault, tried = faults.sweep(
            folder, program("tests/torture/disk/rosterd-faults"), seconds)
        report.faults += met
        if losses:
            report.lost += len(losses)
            show(str(fault), losses, tried.server.log())
            raise AssertionError("a fault lost what was acknowledged or seen")
        print(f"{met} faults, {tried.table.acknowledged} writes acknowledged, 0 lost, "
              f"{tried.states}, {time.monotonic() - began:.1f} s")
        assert met, "no fault was met"


def told_calls(report, folder):
    with report.scene("call_that_waits_for_a_failed_sync_is_told_so"):
        with faults.trials(folder, program("tests/torture/disk/rosterd-faults")) as tried:
            losses = tried.tell_what_waits()
            assert not losses, losses


def slow_syncs(report, folder):
    with report.scene("syncs_that_are_slower_than_the_timeout_end_at_some_time"):
        with faults.trials(folder, program("tests/torture/disk/rosterd-faults"), "--worker-timeout",
                           "5s") as tried:
            losses = tried.outlive_slow_syncs()
            assert not losses, losses


# ---- a disk that fills ----

def fill_with_ballast(place, leave):
    """Leaves some megabytes."""
    with open(place.folder / "ballast", "wb") as ballast:
        while place.free_megabytes() > leave:
            os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, 1 << 18)


def full_disk(report, folder):
    """Under load a file system of 20 MB becomes full, and gets room again. Then its power is
    cut."""
    with report.scene("disk_that_fills_under_load_loses_nothing"), \
            places.place(folder, "ext4", 20) as place, server_at(place.folder, program()) as server:
        table = lives.Lives(server, place)

        def state():
            return server.inspect("status")["journal"]["state"]

        def fill(server):
            clients = table.clients
            fill_with_ballast(place, 1.5)
            harness.wait_for(lambda: state() == "full", 30, "the disk is full")
            harness.wait_for(lambda: clients.ledger.refused[load.EXHAUSTED], 15,
                             "a write is refused")
            written = clients.ledger.acknowledged()
            assert len(ledger.table_of(server)) >= len(clients.ledger.created) - \
                len(clients.ledger.delete_tries)
            (place.folder / "ballast").unlink()
            harness.wait_for(lambda: state() == "ok", 10, "the disk is written again")
            harness.wait_for(lambda: clients.ledger.acknowledged() > written + 100, 10,
                             "writes are acknowledged")
            table.power_cut(server)
        losses = table.live(fill, deadline="500m", batchers=4)
        if losses:
            report.lost += len(losses)
            show("a full disk", losses, server.log())
            raise AssertionError("a full disk lost what was acknowledged or seen")
        print(f"{table.acknowledged} writes acknowledged, 0 lost")


# ---- the tests of the test ----

def caught_by_cuts(folder, rosterd, *options, kind="ext4"):
    """@return a line about what a power cut lost, or None"""
    with places.place(folder, kind) as place, \
            server_at(place.folder, rosterd, *options) as server:
        server.board.slow_down(SLOW_SYNC_MS)
        table = lives.Lives(server, place)
        for number in range(MUTANT_LIVES):
            losses = table.live(table.power_cut)
            if losses:
                return f"by power cut {number + 1}: {losses[0]}"
    return None


def caught_by_faults(folder, rosterd):
    with faults.trials(folder, rosterd) as tried:
        for first in range(1, MUTANT_LIVES):
            fault = faults.Fault("sync", errno.EIO, first, False, False)
            _, losses = tried.run(fault)
            if losses:
                return f"by {fault}: {losses[0]}"
            tried.start_over()
    return None


# Each JOURNAL_MUTANT_*, and what must catch it.
MUTANTS = {
    "early-ack": caught_by_cuts,
    "early-publish": caught_by_cuts,
    "no-sync": caught_by_cuts,
    "retry-sync": caught_by_faults,
    "retry-commit": caught_by_faults,
}


def each_mutant(report, folder):
    source = pathlib.Path(harness.PROTO).parent / "src"
    macros = subprocess.run(["grep", "-rhoE", "JOURNAL_MUTANT_[A-Z_]+", source], text=True,
                            capture_output=True, check=True).stdout.split()
    names = {macro.removeprefix("JOURNAL_MUTANT_").lower().replace("_", "-") for macro in macros}
    with report.scene("list_of_mutants_is_whole"):
        assert names == MUTANTS.keys(), names ^ MUTANTS.keys()
    for name, catch in MUTANTS.items():
        with report.scene(f"mutant_{name.replace('-', '_')}_is_caught"):
            rosterd = program(f"tests/torture/disk/rosterd-{name}")
            check_caught(report, f"mutant {name}", catch, folder, rosterd)
    with report.scene("mutant_early_ack_of_the_directory_is_caught"):
        check_caught(report, "mutant early-ack of the directory", caught_by_cuts, folder,
                     program("tests/torture/disk/rosterd-early-ack-of-directory"))
    for kind in KINDS:  # so a cut of each drops what is not synced
        with report.scene(f"durability_of_an_interval_loses_on_{kind}_what_the_manual_says"):
            check_caught(report, f"durability interval:10s on {kind}", caught_by_cuts, folder, program(),
                         "--durability", "interval:10s", kind=kind)


def check_caught(report, what, catch, *arguments, **settings):
    began = time.monotonic()
    report.mutants += 1
    caught = catch(*arguments, **settings)
    took = time.monotonic() - began
    assert caught, f"{what} NOT CAUGHT in {took:.1f} s"
    report.caught += 1
    print(f"{what} caught after {took:.1f} s {caught}")


def main():
    parser = argparse.ArgumentParser(prog="run")
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--fault-seconds", type=float, default=15, help="0: all faults")
    parser.add_argument("scenes", nargs="*")
    arguments = parser.parse_args()

    report = Report()

    def interrupted(*_):
        report.interrupted = True
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    scenes = {
        "cuts": lambda folder: power_cuts(report, folder, arguments.cuts),
        "kills": lambda folder: kills(report, folder, arguments.kills),
        "faults": lambda folder: (disk_faults(report, folder, arguments.fault_seconds),
                                  told_calls(report, folder)),
        "slow": lambda folder: slow_syncs(report, folder),
        "full": lambda folder: full_disk(report, folder),
        "mutants": lambda folder: each_mutant(report, folder),
    }
    with tempfile.TemporaryDirectory(prefix="disk-", dir=harness.OUT) as folder:
        for name, scene in scenes.items():
            long = name == "slow" and arguments.fault_seconds != 0  # a minute: only in make torture
            if name in arguments.scenes or not arguments.scenes and not long:
                scene(folder)
    print(f"{report.cuts} power cuts, {report.kills} kills, {report.faults} faults, "
          f"{report.lost} lost, {report.caught}/{report.mutants} mutants caught")
    sys.exit(1 if report.failed else 0)


main()
