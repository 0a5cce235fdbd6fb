#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the Directory service against a gRPC C++ server with the same proto, interleaved.

The servers are pinned to one core and the client to another. A figure is the server's CPU time (its
whole process tree) for a call, or for a user of a reply; the medians of the runs are compared. What
a reply is, and how many bytes it has, an independent client (grpcio) says first; h2load then counts
the bytes of all replies. With --scan a filter that matches nobody is scanned over 10,000,000 users,
alone and beside GetUser at a fixed rate. With --import users are created in one stream. make
bench-directory calls this program.
"""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

import grpc

import measure
from measure import CLIENT_CPU, USERS, cpu_ns

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICE = "/rosterd.directory.v1.Directory/"
PAGE, BATCH, IMPORTED = 1000, 100, 100_000
SCAN_USERS, SCAN_RATE, SCAN_RUNS = 10_000_000, 4000, 20
SCAN_FILTER = 'roles:"admin" OR labels.team = "x"'
HEAD = ["| scenario | rosterd | peer | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]


def import_stubs(folder):
    """Makes the service's Python code with protoc, and returns its two modules."""
    proto = ROOT / "proto"
    subprocess.run(
        ["protoc", f"-I{proto}", f"--python_out={folder}", f"--grpc_out={folder}",
         f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}",
         "rosterd/directory/v1/directory.proto", "google/rpc/status.proto"], check=True)
    sys.path.insert(0, folder)
    from rosterd.directory.v1 import directory_pb2 as pb, directory_pb2_grpc as pb_grpc
    return pb, pb_grpc


class Directory(measure.Bench):
    def __init__(self, args):
        super().__init__(args)
        self.pb, self.pb_grpc = import_stubs(self.tmp.name)

    # ---- servers ----

    def connect(self, server):
        server.channel = grpc.insecure_channel(
            f"127.0.0.1:{server.port}", options=[("grpc.enable_http_proxy", 0),
                                                 ("grpc.max_receive_message_length", -1)])
        server.stub = self.pb_grpc.DirectoryStub(server.channel)

    def serve(self, users):
        port = measure.free_port()
        server = measure.Server("rosterd", [
            str(self.build / "src/server/rosterd"), "--listen", f"127.0.0.1:{port}", "--workers",
            "1", "--segment", self.segment, "--max-users", str(2 * users), "--unique",
            "username,email", "--data-file", "none"], "Server started", port)
        self.servers.append(server)
        self.client(server, "batch", USERS, "-n", users // USERS)
        self.connect(server)
        return server

    def start_peer(self):
        port = measure.free_port()
        server = measure.Server("gRPC C++", [
            str(self.build / "tests/bench/peers/grpc_cpp_directory"), f"127.0.0.1:{port}",
            str(USERS)], "ready", port)
        self.servers.append(server)
        self.connect(server)
        return server

    # ---- requests ----

    def prepare(self, server):
        """Makes a request of each kind and learns its reply."""
        pb, stub = self.pb, server.stub
        first = stub.ListUsers(pb.ListUsersRequest(page_size=PAGE))
        if len(first.users) != PAGE or first.total_size != USERS:
            raise SystemExit(f"{server.name}: a page of {len(first.users)}, {first.total_size} in all")
        user = first.users[PAGE // 2]
        mask = pb.UpdateUserRequest().update_mask
        mask.paths.extend(["roles", "labels"])
        changed = pb.User(name=user.name, roles=["user", "admin"], labels={"team": "search"})
        server.requests = {  # UpdateUser first: the others' replies have what it wrote
            "UpdateUser": pb.UpdateUserRequest(user=changed, update_mask=mask),
            "GetUser": pb.GetUserRequest(name=user.name),
            "LookupUser": pb.LookupUserRequest(email=user.email),
            "BatchGetUsers": pb.BatchGetUsersRequest(names=self.names_of_all(server)),
            "ListUsers": pb.ListUsersRequest(page_size=PAGE, page_token=first.next_page_token)}
        server.reply_bytes = {method: len(getattr(stub, method)(request).SerializeToString()) + 5
                              for method, request in server.requests.items()}
        server.user = user.name

    def names_of_all(self, server):
        """Returns names of users that lie evenly spread over the table."""
        request = self.pb.ListUsersRequest(page_size=PAGE)
        request.read_mask.paths.append("name")
        names = []
        while len(names) < USERS // PAGE:
            page = server.stub.ListUsers(request)
            names.append(page.users[0].name)
            request.page_token = page.next_page_token
        return names[::len(names) // BATCH]

    def etag(self, server):
        user = server.stub.GetUser(self.pb.GetUserRequest(name=server.user))
        return int(user.etag.strip('"'), 16)

    def h2load(self, server, calls, connections, streams, method="GetUser"):
        body = pathlib.Path(self.tmp.name) / f"{method}-{server.name}"
        message = server.requests[method].SerializeToString()
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        before = self.etag(server)
        out = subprocess.run(
            ["taskset", "-c", CLIENT_CPU, "h2load", f"-n{calls}", f"-c{connections}",
             f"-m{streams}", "-d", str(body), "-H", "te: trailers",
             "-H", "content-type: application/grpc",
             f"http://127.0.0.1:{server.port}{SERVICE}{method}"],
            stdout=subprocess.PIPE, text=True, timeout=300).stdout
        data = re.search(r"^traffic: .*\((\d+)\) data$", out, re.M)
        if f"{calls} succeeded, 0 failed" not in out or not data:
            raise SystemExit(f"h2load failed on {server.name}:\n{out}")
        grown = self.etag(server) - before
        if grown != (calls if method == "UpdateUser" else 0):
            raise SystemExit(f"{server.name}: {calls} {method} made {grown} versions")
        # an etag's digits and a time's bytes make a reply of an update longer or shorter
        off = abs(int(data.group(1)) - calls * server.reply_bytes[method])
        if off > (8 * calls if method == "UpdateUser" else 0):
            raise SystemExit(f"{server.name}: {calls} {method} answered {data.group(1)} bytes")

    # ---- figures ----

    def against_peer(self):
        self.ours, self.cpp = self.serve(USERS), self.start_peer()
        for server in self.servers:
            self.prepare(server)
        scale = 10 if self.args.quick else 1
        for title, method, target, calls, users, load in (
                ("GetUser", "GetUser", 12, 200_000, 1, (10, 100)),
                ("LookupUser by e-mail", "LookupUser", 12, 200_000, 1, (10, 100)),
                (f"BatchGetUsers of {BATCH}, a user", "BatchGetUsers", 15, 20_000, BATCH, (4, 10)),
                (f"ListUsers, pages of {PAGE}, a user", "ListUsers", 15, 2_000, PAGE, (2, 4)),
                ("UpdateUser", "UpdateUser", 8, 100_000, 1, (10, 100))):
            calls //= scale
            self.compare(title, target, calls * users,
                         lambda s, c=calls, m=method, at=load: self.h2load(s, c, *at, m))

    def scan(self, server):
        """Lists all users that match; nobody does. Returns how many calls that took."""
        request = self.pb.ListUsersRequest(filter=SCAN_FILTER, page_size=PAGE)
        calls = 0
        while calls == 0 or request.page_token:
            reply = server.stub.ListUsers(request)
            if reply.users:
                raise SystemExit(f"the filter matched {reply.users[0]}")
            request.page_token = reply.next_page_token
            calls += 1
        return calls

    def scan_all(self):
        users = USERS if self.args.quick else SCAN_USERS
        server = self.serve(users)
        user = server.stub.ListUsers(self.pb.ListUsersRequest(page_size=1)).users[0].name[6:]
        rates = []
        for _ in range(self.args.runs):
            before = cpu_ns(server.process.pid)
            self.scan(server)
            rates.append(users / (cpu_ns(server.process.pid) - before) * 1000)
        rate = statistics.median(rates)
        self.row(f"a filter over {users:,} users, a second and core", f"{rate:.1f} M", "", "",
                 "at least 5 M", rate >= 5)
        seen = {False: [], True: []}
        with measure.no_sleep():
            for _ in range(self.args.runs):
                for scans, p99s in seen.items():
                    p99s.append(self.get_p99(server, user, scans))
        alone, beside = map(statistics.median, seen.values())
        self.row(f"GetUser, p99, {SCAN_RATE:,} a second, beside such scans, against alone",
                 f"{beside:.0f} us", f"{alone:.0f} us", f"{beside / alone:.1f}", "2,000 us",
                 beside < 2000)

    def get_p99(self, server, user, scans):
        """Returns GetUser's p99 in us; with `scans`, while two clients scan all the time."""
        over = threading.Event()
        counts = [0, 0]

        def keep_scanning(which):
            while not over.is_set():
                self.scan(server)
                counts[which] += 1

        threads = [threading.Thread(target=keep_scanning, args=(i,)) for i in (0, 1) if scans]
        for thread in threads:
            thread.start()
        time.sleep(0.2)  # until the scans are under way
        try:  # many short runs: what takes the machine's CPUs away now and then hits a few
            p99s = [self.client(server, "get", user, "-n", SCAN_RATE // 4, "-c", 2, "-m", 1000,
                                "-r", SCAN_RATE, before=measure.before_others())["p99_us"]
                    for _ in range(SCAN_RUNS)]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        if scans and not all(counts):
            raise SystemExit("no scan was made beside GetUser")
        return statistics.median(p99s)

    def create_all(self, server, service, messages):
        """Sends all messages in one stream. Returns the server's CPU time for each, in ns."""
        body = pathlib.Path(self.tmp.name) / "messages"
        body.write_bytes(b"".join(b"\0" + len(message).to_bytes(4, "big") + message
                                  for message in messages))
        users = server.stub.ListUsers(self.pb.ListUsersRequest(page_size=1)).total_size
        before = cpu_ns(server.process.pid)
        subprocess.run(["taskset", "-c", CLIENT_CPU, "h2load", "-n1", "-w30", "-W30", "-d", str(body),
                        "-H", "te: trailers", "-H", "content-type: application/grpc",
                        f"http://127.0.0.1:{server.port}/{service}"], stdout=subprocess.DEVNULL,
                       check=True, timeout=100)
        cost = (cpu_ns(server.process.pid) - before) / len(messages)
        grown = server.stub.ListUsers(self.pb.ListUsersRequest(page_size=1)).total_size - users
        if grown != len(messages):
            raise SystemExit(f"{service}: {grown} users of {len(messages)} messages")
        return cost

    def import_all(self):
        """ImportUsers beside BatchCreateUsers, which answers only once."""
        server = self.serve(2 * IMPORTED * self.args.runs)
        costs = []
        for run in range(self.args.runs):
            users = [self.pb.User(username=f"run{run}user{i}", email=f"run{run}user{i}@example.org")
                     for i in range(2 * IMPORTED)]
            # CreateUserRequest of UserService: 1 username, 2 email, as 2 and 3 of this User
            batch = [bytes([0x0a, len(u.username), *u.username.encode(), 0x12, len(u.email),
                            *u.email.encode()]) for u in users[:IMPORTED]]
            requests = [self.pb.ImportUsersRequest(create={"user": user}).SerializeToString()
                        for user in users[IMPORTED:]]
            costs.append((self.create_all(server, SERVICE[1:] + "ImportUsers", requests),
                          self.create_all(server, "userservice.UserService/BatchCreateUsers", batch)))
        ours, batch = (statistics.median(column) for column in zip(*costs))
        self.row(f"ImportUsers of {IMPORTED:,}, a user, against BatchCreateUsers", f"{ours:.0f} ns",
                 f"{batch:.0f} ns", f"{ours / batch:.2f}", "at most 2.5", ours <= 2.5 * batch)

    def stop(self):
        for server in self.servers:
            if hasattr(server, "channel"):
                server.channel.close()
        super().stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer calls a run, fewer users")
    parser.add_argument("--scan", action="store_true", help="only the filter")
    parser.add_argument("--import", dest="imports", action="store_true", help="only ImportUsers")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    if len(measure.CPUS) < 2:
        raise SystemExit("two CPUs are needed, one for the servers and one for the client")
    os.sched_setaffinity(0, {int(CLIENT_CPU)})  # the clients here, too; a server has its own
    os.environ["NO_PROXY"] = "127.0.0.1"
    bench = Directory(args)
    try:
        if args.scan:
            bench.scan_all()
        elif args.imports:
            bench.import_all()
        else:
            bench.against_peer()
    finally:
        bench.stop()
    if args.write:
        measure.put_table(
            args.write, "directory-scan" if args.scan else "directory",
            [f"Medians of {args.runs} interleaved runs on {measure.machine()}.", "", *HEAD,
             *(f"| {r[0]} | {r[1]} | {r[2]} | {r[3]} | {r[4]} | {'reached' if r[5] else 'missed'} |"
               for r in bench.rows)])
    return 0 if all(row[5] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
