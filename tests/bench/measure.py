#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures rosterd against a gRPC C++ server, interleaved in the same run.

The servers are pinned to one core and the client to another. A figure is the server's CPU time
(user and system, its whole process tree) per call or message; the medians of the runs are
compared. scripts/bench builds what this program needs and calls it.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import platform
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

CPUS = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
SERVER_CPU, CLIENT_CPU = CPUS[0], CPUS[-1]
USERS = 1_000_000


def free_port():
    """Returns a port below the ephemeral range on which no process listens. Benchmarks that run side
    by side should not look at the same one."""
    for _ in range(1000):
        port = random.randrange(21200, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit("no free port")


def tree(pid):
    """Returns the process and all its descendants."""
    pids = [pid]
    for p in pids:
        for task in pathlib.Path(f"/proc/{p}/task").glob("*/children"):
            pids += [int(c) for c in task.read_text().split()]
    return pids


def cpu_ns(pid):
    """Returns the CPU time of a process tree. schedstat counts nanoseconds; stat only has ticks of
    10 ms."""
    total = 0
    for p in tree(pid):
        for task in pathlib.Path(f"/proc/{p}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def private_bytes(pid):
    """Returns the private memory of the process tree, which excludes the shared table."""
    total = 0
    for p in tree(pid):
        for line in pathlib.Path(f"/proc/{p}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Dirty", "Private_Clean")):
                total += int(line.split()[1]) * 1024
    return total


class Server:
    def __init__(self, name, argv, ready, port):
        self.name, self.port = name, port
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CPU, *argv], stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while ready not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"{name} did not start:\n{self.text()}")
            time.sleep(0.05)

    def text(self):
        return pathlib.Path(self.log.name).read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()


@contextlib.contextmanager
def no_sleep():
    """Keeps the CPUs from sleeping, if this user may."""
    try:
        latency = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.write(latency, struct.pack("i", 0))  # in force while the file is open
        yield
    finally:
        os.close(latency)


def before_others():
    """Returns the words that put a command before all others on its CPU, if this user may."""
    words = ["chrt", "-f", "50"]
    done = subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False)
    return words if done.returncode == 0 else []


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = pathlib.Path(args.build)
        self.segment = f"/rosterd-bench-{os.getpid()}"
        self.tmp = tempfile.TemporaryDirectory()
        self.servers = []
        self.rows = []

    def client(self, server, mode, *argv, before=()):
        out = subprocess.run(
            [*before, "taskset", "-c", CLIENT_CPU, self.build / "tests/bench/client", mode, "127.0.0.1",
             str(server.port), *map(str, argv)],
            stdout=subprocess.PIPE, text=True, timeout=120)
        if out.returncode != 0:
            raise SystemExit(f"client {mode} failed on {server.name}: {out.stdout}")
        return json.loads(out.stdout)

    def h2load(self, server, calls, connections, streams):
        body = pathlib.Path(self.tmp.name) / f"get-{server.name}"
        message = b"\x0a\x24" + server.user_id.encode()
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        out = subprocess.run(
            ["taskset", "-c", CLIENT_CPU, "h2load", f"-n{calls}", f"-c{connections}",
             f"-m{streams}", "-d", str(body), "-H", "te: trailers",
             "-H", "content-type: application/grpc",
             f"http://127.0.0.1:{server.port}/userservice.UserService/GetUser"],
            stdout=subprocess.PIPE, text=True, timeout=120).stdout
        if f"{calls} succeeded, 0 failed" not in out:
            raise SystemExit(f"h2load failed on {server.name}:\n{out}")

    def rosterd(self, segment):
        port = free_port()
        server = Server("rosterd", [
            str(self.build / "src/server/rosterd"), "--listen", f"127.0.0.1:{port}", "--workers",
            "1", "--segment", segment, "--max-users", str(4 * USERS), "--data-file", "none"], "Server started", port)
        self.servers.append(server)
        return server

    def start(self):
        self.ours = self.rosterd(self.segment)
        for _ in range(USERS // 100_000):
            self.client(self.ours, "batch", 100_000)
        self.ours.user_id = self.client(self.ours, "list", 1)["first_id"]
        port = free_port()
        self.cpp = Server("gRPC C++", [
            str(self.build / "tests/bench/peers/grpc_cpp_server"), f"127.0.0.1:{port}",
            str(USERS)], "ready", port)
        self.servers.append(self.cpp)
        self.cpp.user_id = self.cpp.text().split()[0]

    def stop(self):
        for server in self.servers:
            server.stop()
        for path in pathlib.Path("/dev/shm").glob(self.segment[1:] + "*"):
            path.unlink()

    def us_per(self, server, units, load):
        before = cpu_ns(server.process.pid)
        load(server)
        return (cpu_ns(server.process.pid) - before) / 1000 / units

    def compare(self, title, target, units, load):
        """Adds a row with the medians of interleaved runs. target: rosterd may need at most
        1/target of C++'s time."""
        figures = {self.ours: [], self.cpp: []}
        for _ in range(self.args.runs):
            for server, values in figures.items():
                values.append(self.us_per(server, units, load))
        ours, cpp = (statistics.median(figures[s]) for s in (self.ours, self.cpp))
        self.row(title, f"{ours:.3f} us", f"{cpp:.2f} us", f"1/{cpp / ours:.1f}",
                 f"1/{target}", cpp / ours >= target)

    def row(self, *row):
        self.rows.append(row)
        print(f"{row[0]:52} {row[1]:>12} {row[2]:>12} {row[3]:>8}  target {row[4]:8} "
              f"{'reached' if row[5] else 'MISSED'}", flush=True)

    def latency(self):
        n = 20000
        probe = self.client(self.ours, "get", self.ours.user_id, "-n", n)
        request, reply = (round(probe[k] / n) for k in ("wire_out", "wire_in"))
        port = free_port()
        echo = Server("echo", [str(self.build / "tests/bench/peers/echo_server"), str(port),
                               str(request), str(reply)], "ready", port)
        self.servers.append(echo)
        p50 = {"ours": [], "cpp": [], "echo": []}
        for _ in range(self.args.runs):
            p50["ours"].append(self.client(self.ours, "get", self.ours.user_id, "-n", n)["p50_us"])
            p50["cpp"].append(self.client(self.cpp, "get", self.cpp.user_id, "-n", n)["p50_us"])
            p50["echo"].append(self.client(echo, "echo", request, reply, "-n", n)["p50_us"])
        ours, cpp, bare = (statistics.median(p50[k]) for k in ("ours", "cpp", "echo"))
        self.row("GetUser one at a time, p50, against gRPC C++", f"{ours:.1f} us", f"{cpp:.1f} us",
                 f"{ours / cpp:.2f}", "0.65", ours / cpp <= 0.65)
        self.row(f"  against an epoll echo of {request} and {reply} bytes", f"{ours:.1f} us",
                 f"{bare:.1f} us", f"{ours / bare:.2f}", "1.6", ours / bare <= 1.6)

    def hold_streams(self, server, count):
        """Opens Chat streams that stay idle after one message. Returns the client that holds them
        open."""
        client = subprocess.Popen(
            [self.build / "tests/bench/client", "idle", "127.0.0.1", str(server.port), str(count),
             "-c", "4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if client.stdout.readline() != "open\n":
            raise SystemExit(f"{count} Chat streams could not be opened")
        return client

    def idle_streams(self):
        # A fresh server, because one that was under load before has memory to reuse.
        server, count = self.rosterd(self.segment + "-idle"), 2000
        # Memory that the first call and the first connections allocate permanently belongs to no
        # stream.
        few = self.hold_streams(server, 4)
        before = private_bytes(server.process.pid)
        many = self.hold_streams(server, count)
        each = (private_bytes(server.process.pid) - before) / count
        for client in (few, many):
            client.stdin.close()
            client.wait()
        self.row("An idle Chat stream, worker's private memory", f"{each:.0f} bytes", "", "",
                 "4096", each <= 4096)

    def run(self):
        scale = 4 if self.args.quick else 1
        get, batch = 400_000 // scale, 100_000
        self.compare("GetUser, h2load -c10 -m100, 1,000,000 users", 22, get,
                     lambda s: self.h2load(s, get, 10, 100))
        self.compare("  grpc-timeout and traceparent changing", 14, get,
                     lambda s: self.client(s, "get", s.user_id, "-n", get, "-c10", "-m100", "-x"))
        create = 100_000 // scale
        self.compare("CreateUser 1x100", 8, create,
                     lambda s: self.client(s, "create", "-n", create, "-m100"))
        self.compare("BatchCreateUsers of 100,000, a message", 2, batch,
                     lambda s: self.client(s, "batch", batch))
        lists = 4
        self.compare("ListUsers of 100,000, a message", 26, lists * batch,
                     lambda s: self.client(s, "list", batch, "-n", lists))
        self.compare("Chat pipelined, a message", 10, batch,
                     lambda s: self.client(s, "chat", batch, "-m100"))
        self.latency()
        self.idle_streams()


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return (f"{os.cpu_count()} cores, {cpu.group(1) if cpu else platform.machine()}, "
            f"Linux {platform.release()}")


def put_table(path, name, lines):
    """Writes the lines between the markers of this name in the document."""
    text = pathlib.Path(path).read_text()
    block = f"<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- /{name} -->"
    text, n = re.subn(f"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, text, flags=re.S)
    if n != 1:
        raise SystemExit(f"{path} has no markers for the table")
    pathlib.Path(path).write_text(text)


def write_document(path, rows, runs):
    lines = [f"Medians of {runs} interleaved runs on {machine()}.", "",
             "| scenario | rosterd | peer | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {r[0].strip()} | {r[1]} | {r[2]} | {r[3]} | {r[4]} | "
              f"{'reached' if r[5] else 'missed'} |" for r in rows]
    put_table(path, "bench", lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer calls a run")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    if len(CPUS) < 2:
        raise SystemExit("two CPUs are needed, one for the servers and one for the client")
    bench = Bench(args)
    try:
        bench.start()
        bench.run()
    finally:
        bench.stop()
    if args.write:
        write_document(args.write, bench.rows, args.runs)
    return 0 if all(row[5] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
