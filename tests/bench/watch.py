#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures Directory.WatchUsers: the server's CPU time for a change that a watch is told, how long a
change takes to a watch, and what watches cost that are told nothing.

A server with four workers runs on one core; the clients and a program that changes users in the
segment have the other one. The program writes without the server, so the CPU time is that of
telling. make bench-watch calls this program.
"""
import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

import grpc

import measure
from directory import import_stubs
from measure import CLIENT_CPU, cpu_ns

USERS, WORKERS = 20_000, 4
LOADS = [(1, 10_000), (10, 10_000), (100, 10_000), (1000, 1000), (1000, 10_000)]  # watches, changes a second
HEAD = ["| watches | changes a second | told | watches ended | CPU time of a told change |",
        "| --- | --- | --- | --- | --- |"]


class Watch(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.pb, self.pb_grpc = import_stubs(self.tmp.name)
        self.lines = []

    def start(self):
        port = measure.free_port()
        self.server = measure.Server("rosterd", [
            str(self.build / "src/server/rosterd"), "--listen", f"127.0.0.1:{port}", "--workers",
            str(WORKERS), "--segment", self.segment, "--data-file", "none"], "Server started", port)
        self.servers.append(self.server)
        self.client(self.server, "batch", USERS)
        self.server.user_id = self.client(self.server, "list", 1)["first_id"]

    def pid(self):
        return self.server.process.pid

    def stub(self):
        return self.pb_grpc.DirectoryStub(grpc.insecure_channel(
            f"127.0.0.1:{self.server.port}", [("grpc.use_local_subchannel_pool", 1)]))

    def watches(self, count):
        client = subprocess.Popen(
            ["taskset", "-c", CLIENT_CPU, self.build / "tests/bench/watch_client",
             str(self.server.port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if client.stdout.readline() != "open\n":
            raise SystemExit(f"{count} watches could not be opened")
        return client

    def load(self, count, rate):
        """Returns the changes a second, which part of them each watch was told, how many watches were
        ended because they fell behind, and the microseconds of a told change."""
        changes = int(rate * self.args.seconds)
        client = self.watches(count)
        before, began = cpu_ns(self.pid()), time.monotonic()
        subprocess.run(
            ["taskset", "-c", CLIENT_CPU, self.build / "tests/e2e/writer", self.segment, "update", "0",
             str(USERS), str(changes), str(rate)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        time.sleep(0.5)  # what is under way arrives
        cpu = cpu_ns(self.pid()) - before
        client.stdin.close()
        found = json.loads(client.stdout.read())
        client.wait()
        told = found["events"]
        return changes / seconds, told / changes / count, found["ended"], cpu / 1000 / told

    def loads(self):
        for count, rate in LOADS:
            runs = [self.load(count, rate) for _ in range(self.args.runs)]
            done, told, ended, cost = (statistics.median(values) for values in zip(*runs))
            self.say(f"| {count:,} | {done:,.0f} | {100 * told:.0f} % | {ended} | {cost:.3f} us |")

    def say(self, line):
        self.lines.append(line)
        print(line, flush=True)

    def latency(self, pause, count):
        """Returns the median and the 99th percentile of the milliseconds from an update's begin to its
        event, with a pause between two updates."""
        stub, user = self.stub(), self.stub().CreateUser(self.pb.CreateUserRequest(
            user={"username": f"latency{pause}"}))
        came, times = threading.Event(), []
        call = stub.WatchUsers(self.pb.WatchUsersRequest())
        next(call)

        def read():
            with contextlib.suppress(grpc.RpcError):  # it is cancelled in the end
                for event in call:
                    if event.user.name == user.name:
                        times.append(time.monotonic())
                        came.set()
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        writer, spans = self.stub(), []
        for number in range(count):
            time.sleep(pause)
            came.clear()
            began = time.monotonic()
            writer.UpdateUser(self.pb.UpdateUserRequest(
                user={"name": user.name, "labels": {"n": str(number)}}))
            came.wait(5)
            spans.append(1000 * (times[-1] - began))
        call.cancel()
        spans.sort()
        return statistics.median(spans), spans[len(spans) * 99 // 100]

    def idle(self, count):
        """Returns the permille of a CPU that a worker takes while `count` watches are told nothing."""
        client = self.watches(count) if count else None
        time.sleep(2)  # the last look of a busy second
        before = cpu_ns(self.pid())
        time.sleep(self.args.seconds)
        used = cpu_ns(self.pid()) - before
        if client:
            client.stdin.close()
            client.wait()
        return used / self.args.seconds / 1e6 / WORKERS

    def p99(self, count):
        """Returns the 99th percentile of GetUser in microseconds, beside so many watches."""
        client = self.watches(count) if count else None
        changes = subprocess.Popen(
            ["taskset", "-c", CLIENT_CPU, self.build / "tests/e2e/writer", self.segment, "update", "0",
             str(USERS), str(int(1000 * self.args.seconds)), "1000"], stdout=subprocess.DEVNULL)
        result = self.client(self.server, "get", self.server.user_id, "-n", int(1600 * self.args.seconds),
                             "-c", 4, "-m", 10, "-r", 2000)
        changes.wait()
        if client:
            client.stdin.close()
            client.wait()
        return result["p99_us"]

    def writer_us(self, count):
        """Returns the CPU time that an update takes its writer, beside so many watches."""
        client = self.watches(count) if count else None
        changes = int(10_000 * self.args.seconds)
        writer = subprocess.Popen(
            ["taskset", "-c", CLIENT_CPU, self.build / "tests/e2e/writer", self.segment, "update", "0",
             str(USERS), str(changes), "10000"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(writer.pid, 0)
        writer.returncode = status
        if status != 0:
            raise SystemExit("the program that changes users failed")
        if client:
            client.stdin.close()
            client.wait()
        return 1e6 * (usage.ru_utime + usage.ru_stime) / changes

    def run(self):
        self.loads()
        self.say("")
        for pause, count, text in ((0.02, 200, "one each 20 ms"), (1.5, 20, "one each 1.5 s")):
            p50, p99 = self.latency(pause, count)
            self.say(f"From UpdateUser's begin to the event, with grpcio, {text}: p50 {p50:.1f} ms, p99 "
                     f"{p99:.1f} ms.")
        for text, count in (("alone", 0), ("beside 1,000 watches that are told 1,000 changes a second", 1000)):
            p99 = statistics.median(self.p99(count) for _ in range(self.args.runs))
            self.say(f"GetUser, 2,000 a second, {text}: p99 {p99:.0f} us.")
        alone, beside = (statistics.median(values) for values in zip(
            *((self.writer_us(0), self.writer_us(1000)) for _ in range(self.args.runs))))
        self.say(f"An update takes its writer {alone:.1f} us of CPU time, and {beside:.1f} us beside 1,000 "
                 "watches that follow; 10,000 a second.")
        self.say(f"A worker without a call takes {self.idle(0):.2f} thousandths of a CPU, with 250 watches "
                 f"that are told nothing {self.idle(1000):.2f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=".")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    bench = Watch(args)
    try:
        bench.start()
        bench.run()
    finally:
        bench.stop()
    if args.write:
        head = [f"Medians of {args.runs} runs on {measure.machine()}.", "", *HEAD]
        measure.put_table(pathlib.Path(args.write), "watch", head + bench.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
