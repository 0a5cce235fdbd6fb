# SPDX-License-Identifier: MIT
"""The start after a reboot, which takes the segment and leaves the file; and what a user takes of each."""
from statistics import median

from parties import Failure, Rosterd


CRASH_USERS = 100_000  # created just before a crash: about as many as the log takes before a checkpoint


def spelled(users):
    return f"{users // 1_000_000} M users" if users % 1_000_000 == 0 else f"{users:,} users"


def one_start(server, users, cold, crash=False):
    if crash:
        server.start()
        server.fill(server.bench.scale(CRASH_USERS))
        before, users = users, server.users()
        server.crash()
        if server.file_bytes()[0] != before:
            raise Failure("a checkpoint has moved the log into the file before the crash")
    server.forget_segment()
    if cold:
        server.forget_pages()
    seconds = server.start()
    if server.users() != users:
        raise Failure(f"{server.users()} of {users} users are there after a reboot")
    memory = server.segment_bytes() / users
    server.stop()
    return seconds, memory


def after_a_reboot(bench, users, target):
    """target: of the start to READY=1, in seconds"""
    ours = Rosterd(bench, "start", pinned=False, workers=bench.cpus)
    with bench.running(ours):
        ours.fill(users)
        ours.stop()
        runs = {cold: [one_start(ours, users, cold) for _ in range(bench.runs)]
                for cold in (False, True)}
        count, size, bodies = ours.file_bytes()
        crashed = [one_start(ours, users + turn * bench.scale(CRASH_USERS), True, crash=True)[0]
                   for turn in range(bench.runs)]
    if count != users:
        raise Failure(f"{count} of {users} users are in the file")
    for cold, what in ((True, "nothing of the file cached"), (False, "the file cached")):
        seconds = median(run[0] for run in runs[cold])
        bench.row(f"start after a reboot to READY, {spelled(users)}, {what}", f"{seconds:.2f} s",
                  "", "", f"{target} s", seconds <= target)
    bench.row(f"the same behind a crash with {bench.scale(CRASH_USERS):,} users in the log, nothing cached",
              f"{median(crashed):.2f} s", "", "", f"{target} s", median(crashed) <= target)
    memory = runs[True][-1][1]
    # A small table does not fill the memory that its segment takes ahead of use.
    most = 256 if users >= 10_000_000 else None
    bench.row(f"memory a user in the segment, {spelled(users)}", f"{memory:.1f} bytes", "", "",
              f"{most} bytes" if most else None, most is None or memory <= most)
    beyond = (size - bodies) / users
    bench.row(f"file, bytes a user beyond the body of {bodies / users:.0f}, {spelled(users)}",
              f"{beyond:.1f} bytes", "", "", "120 bytes", beyond <= 120)


def small(bench):
    after_a_reboot(bench, bench.scale(1_000_000), 1.2)


def large(bench):
    after_a_reboot(bench, 10_000_000, 12)
