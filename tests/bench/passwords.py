#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures verifications of passwords a second, and what they do to other calls.

The worker has one core; the client has another one. GetUser at a fixed rate is measured in turns:

- with no other call;
- with 200 calls of VerifyPassword queued; the process for passwords has the client's core, so that no
  worker shares its core with it;
- with no other call, while a program that is not the server hashes on the client's core: what so busy
  a core costs on this machine, whoever uses it;
- as the second, but the process for passwords has the worker's core.

The target is the second's ratio to the first. The figure is the median of the 99th percentiles of many
short runs. Latency counts from when a call is sent until the kernel has its reply: on two cores, the client
that measures shares one with what hashes, and how soon it gets that core back is no matter of the server's.
make bench-passwords calls this program.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import grpc

import measure

RATE, RUNS, RUN_SECONDS, QUEUE = 2000, 4, 0.5, 200
HASH_SECONDS = 5
RATIO_MAX = 1.1  # beside queued verifications, to alone
TURN_SECONDS = 5  # more than the runs take
DIRECTORY = "/rosterd.directory.v1.Directory/"


def field(number, value):
    """A field of a message on the wire: text, or a message."""
    return bytes([number << 3 | 2, len(value)]) + value


class Logins:
    """Keeps so many calls of VerifyPassword open, by a client of its own on the client's core."""

    def __init__(self, bench, server, count):
        self.client = subprocess.Popen(
            ["taskset", "-c", measure.CLIENT_CPU, bench.build / "tests/bench/client", "verify",
             "127.0.0.1", str(server.port), "login", "hunter2", "-m", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        """Returns the verifications a second until now."""
        out, _ = self.client.communicate(timeout=60)
        if self.client.returncode != 0:
            raise SystemExit(f"client verify failed: {out}")
        result = json.loads(out)
        return result["calls"] / result["seconds"]


class Bench(measure.Bench):
    def hashing(self, cpu, processes, seconds):
        return subprocess.Popen(
            ["taskset", "-c", cpu, self.build / "tests/bench/bench_passwords", str(processes),
             str(QUEUE), str(seconds)], stdout=subprocess.PIPE, text=True)

    def serve(self):
        port = measure.free_port()
        server = measure.Server("rosterd", [
            str(self.build / "src/server/rosterd"), "--listen", f"127.0.0.1:{port}", "--workers",
            "1", "--segment", self.segment, "--data-file", "none", "--unique", "username",
            "--password-processes", "1", "--password-tries", "0", "--password-tries-per-address", "0"],
            "Server started", port)
        self.servers.append(server)
        self.client(server, "batch", 1000)
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
            channel.unary_unary(DIRECTORY + "CreateUser")(
                field(1, field(2, b"login")) + field(4, b"hunter2"))
        server.user_id = self.client(server, "list", 1)["first_id"]
        return server

    def p99s_us(self, server):
        return [self.client(server, "get", server.user_id, "-n", int(RATE * RUN_SECONDS), "-c", 4,
                            "-m", 10, "-r", RATE, "-k", before=measure.before_others())["p99_us"]
                for _ in range(RUNS)]

    def run(self, rounds):
        """Returns the lines of the table."""
        with self.hashing(measure.SERVER_CPU, 1, HASH_SECONDS) as alone:
            hashes = json.loads(alone.stdout.read())["per_second"]
        server = self.serve()
        hasher, = (pid for pid in measure.tree(server.process.pid)
                   if pathlib.Path(f"/proc/{pid}/comm").read_text() == "rosterd-passwd\n")
        rates = []

        def beside_logins(cpu):
            os.sched_setaffinity(hasher, {int(cpu)})
            logins = Logins(self, server, QUEUE)
            p99s = self.p99s_us(server)
            rate = logins.stop()
            if cpu == measure.SERVER_CPU:
                rates.append(rate)
            return p99s

        def beside_another():
            with self.hashing(measure.CLIENT_CPU, 1, TURN_SECONDS) as other:
                p99s = self.p99s_us(server)
                if other.poll() is not None:
                    raise SystemExit(f"the runs took longer than {TURN_SECONDS} s")
                return p99s

        turns = [lambda: self.p99s_us(server), lambda: beside_logins(measure.CLIENT_CPU),
                 beside_another, lambda: beside_logins(measure.SERVER_CPU)]
        p99s = [[] for _ in turns]
        with measure.no_sleep():
            for number in range(rounds):
                for turn, values in list(zip(turns, p99s))[::1 if number % 2 else -1]:
                    values.append(statistics.median(turn()))
        alone, apart, other, same = map(statistics.median, p99s)
        ratio = statistics.median(beside / before for before, beside in zip(p99s[0], p99s[1]))
        self.failed = ratio > RATIO_MAX
        return [f"Verifications a second of a process without a server, with a core of its own, in "
                f"{HASH_SECONDS} seconds: {hashes:.1f}.",
                f"The same beside a worker with {RATE:,} GetUsers a second, on one core: "
                f"{statistics.median(rates):.1f}.",
                f"GetUser's p99 at that rate: {alone:.0f} us alone; {apart:.0f} us, {ratio:.2f} times as long "
                f"(target {RATIO_MAX}), while {QUEUE} verifications are queued and the process for passwords "
                f"has another core than the worker; {same:.0f} us where it has the worker's.",
                f"The same while nothing is queued, and a program that is not the server hashes on that other core: "
                f"{other:.0f} us."]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=".")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", metavar="FILE", help="put the figures into this document")
    args = parser.parse_args()
    bench = Bench(args)
    try:
        lines = bench.run(args.rounds)
    finally:
        bench.stop()
    print("\n".join(lines))
    if args.write:
        measure.put_table(args.write, "passwords", [
            f"Medians of {args.rounds} rounds on {measure.machine()}.", "",
            *(f"- {line}" for line in lines)])
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
