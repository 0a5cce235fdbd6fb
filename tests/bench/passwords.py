#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures verifications of passwords a second, and what they do to other calls.

The server, with one worker and one process for passwords, has one core; the client has another one.
GetUser at a fixed rate is measured alternately with no other call and with 200 calls of
VerifyPassword queued. The figure is the median of the 99th percentiles of many short runs; the
client that measures comes before all others on its core. make bench-passwords calls this program.
"""
import argparse
import json
import statistics
import subprocess
import sys
import threading
import time

import grpc

import measure

RATE, RUNS, RUN_SECONDS, QUEUE = 2000, 10, 0.5, 200
HASH_SECONDS = 5
DIRECTORY = "/rosterd.directory.v1.Directory/"


def field(number, value):
    """A field of a message on the wire: text, or a message."""
    return bytes([number << 3 | 2, len(value)]) + value


class Logins:
    """Keeps so many calls of VerifyPassword open, in threads of grpcio."""

    def __init__(self, port, count):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)])
        self.verify = self.channel.unary_unary(DIRECTORY + "VerifyPassword")
        self.made, self.ended, self.over = 0, 0, False
        self.count, self.all_ended = count, threading.Event()
        self.began = time.monotonic()
        for _ in range(count):
            self.begin()

    def begin(self):
        self.verify.future(field(2, b"login") + field(4, b"hunter2")).add_done_callback(self.done)

    def done(self, call):
        if call.code() != grpc.StatusCode.OK and not self.over:
            print(f"VerifyPassword: {call.details()}", file=sys.stderr, flush=True)
        self.made += call.code() == grpc.StatusCode.OK and not self.over
        if not self.over:
            self.begin()
            return
        self.ended += 1
        if self.ended == self.count:
            self.all_ended.set()

    def stop(self):
        """Waits for the calls that are open. Returns the verifications a second until now."""
        rate, self.over = self.made / (time.monotonic() - self.began), True
        self.all_ended.wait(60)
        self.channel.close()
        return rate


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
                            "-m", 10, "-r", RATE, before=measure.before_others())["p99_us"]
                for _ in range(RUNS)]

    def run(self, rounds):
        """Returns the lines of the table."""
        with self.hashing(measure.SERVER_CPU, 1, HASH_SECONDS) as alone:
            hashes = json.loads(alone.stdout.read())["per_second"]
        server = self.serve()
        p99s, rates = {False: [], True: []}, []
        with measure.no_sleep():
            for _ in range(rounds):
                for beside in (False, True):
                    logins = Logins(server.port, QUEUE) if beside else None
                    p99s[beside] += self.p99s_us(server)
                    if logins:
                        rates.append(logins.stop())
        alone, beside = (statistics.median(p99s[which]) for which in (False, True))
        return [f"Verifications a second, one process with a core of its own: {hashes:.1f}.",
                f"The same beside a worker with {RATE:,} GetUsers a second: "
                f"{statistics.median(rates):.1f}.",
                f"GetUser's p99 at that rate: {alone:.0f} us alone, {beside:.0f} us while {QUEUE} "
                "verifications are queued and one is under way on the same core."]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=".")
    parser.add_argument("--rounds", type=int, default=5)
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
