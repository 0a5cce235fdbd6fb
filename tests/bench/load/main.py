#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Loads a running rosterd with all five calls at several levels of concurrency.

Every reply is checked in three ways. The load client counts replies and bytes. The server's
counters of calls and messages must grow by exactly what was sent. A second client makes calls
during the load and checks the contents of their replies. Nothing else may use the server
meanwhile. The users that the load creates stay in the table.
"""
import argparse
import collections
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import grpc

import cases
from clients import Ghz, H2load
from counts import Counts
from verifier import SECONDS, Verifier

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROTO = ROOT / "proto" / "user_service.proto"
BASE_CALLS = {"h2load": 2000, "ghz": 200}  # times weight: calls of a step at full concurrency
SHARES = (0.05, 0.5, 1.0)  # share of these calls at each of the three levels of concurrency
VERIFIER_USERS = 20_000  # room for the users that the verifying client creates


def import_stubs(folder):
    subprocess.run(["protoc", f"-I{PROTO.parent}", f"--python_out={folder}",
                    f"--grpc_out={folder}",
                    f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}", PROTO.name],
                   check=True)
    sys.path.insert(0, folder)
    import user_service_pb2 as pb
    import user_service_pb2_grpc as pb_grpc
    return pb, pb_grpc


def connect(address):
    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    try:
        grpc.channel_ready_future(channel).result(5)
    except grpc.FutureTimeoutError:
        raise SystemExit(f"{address}: no gRPC server answers there") from None
    return channel


def find_inspect(given):
    built = ROOT / "build" / "src" / "inspect" / "shm-inspect"
    found = given or (built if built.exists() else shutil.which("shm-inspect"))
    if not found:
        raise SystemExit("shm-inspect is neither in build/ nor in PATH: name it by --inspect FILE")
    return found


def check_room(counts, needed):
    status = counts.ask("status")
    room = status["max_users"] - status["users"]
    if room < needed:
        raise SystemExit(f"the table has room for {room} users, and this creates up to {needed}: "
                         "start the server with a larger --max-users, or use --scale")


class Load:
    def __init__(self, client, counts, verifier):
        self.client, self.counts, self.verifier = client, counts, verifier
        self.rows, self.faults = [], []

    def tick(self, label, text):
        if sys.stdout.isatty():
            print(f"\r{label} {text:>6}  {self.verifier.verified} replies verified meanwhile\x1b[K",
                  end="", flush=True)

    def step(self, case, calls, level):
        label = f"{case.name:24} {level[0]:>2} x {level[1]:<3} {calls:>6} calls"
        print(label, end=" ", flush=True)
        before = self.counts.read()
        self.verifier.start()
        result = self.client.step(case, calls, level, lambda text: self.tick(label, text))
        self.verifier.stop()
        sent = collections.Counter(self.verifier.counts)
        sent[case.method, case.code] += calls
        sent[case.method, "received"] += calls * len(case.requests)
        sent[case.method, "sent"] += calls * case.replies
        faults = result.faults + self.verifier.faults + self.counts.grown(before, sent)
        if sys.stdout.isatty():
            print(f"\r{label}\x1b[K", end=" ")
        print("all right" if not faults else "WRONG: " + "; ".join(faults), flush=True)
        messages = calls * (len(case.requests) + case.replies)
        self.faults += faults
        self.rows.append((
            case.name, f"{level[0]} x {level[1]}", str(calls),
            *(f"{n / result.seconds:,.0f}" if result.seconds else "-" for n in (calls, messages)),
            f"{result.mean_ms:.3f}", str(self.verifier.verified), "WRONG" if faults else "right"))

    def table(self):
        head = ("call", "conns x streams", "calls", "calls/s", "messages/s", "mean ms", "verified",
                "replies")
        widths = [max(map(len, column)) for column in zip(head, *self.rows)]
        print(f"\n{self.client.name}")
        for row in (head, ["-" * width for width in widths], *self.rows):
            print(f"{row[0]:{widths[0]}}  " +
                  "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:])))
        print("every reply was right" if not self.faults else f"{len(self.faults)} faults:")
        for fault in self.faults:
            print(f"  {fault}")


def parse_arguments():
    parser = argparse.ArgumentParser(prog=f"scripts/load-{sys.argv[1]}", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", metavar="ADDR", nargs="?", default="127.0.0.1:50051",
                        help="HOST:PORT, [IPV6]:PORT or unix:PATH (default %(default)s)")
    parser.add_argument("--segment", help="the server's (default: as for shm-inspect)")
    parser.add_argument("--inspect", metavar="FILE", help="the shm-inspect to use")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the calls")
    args = parser.parse_args(sys.argv[2:])
    if not 0 < args.scale <= 1000:
        parser.error("--scale must be above 0 and at most 1000")
    if not args.address.startswith("unix:") and \
            not args.address.rpartition(":")[2].isdigit():
        parser.error(f"{args.address}: not HOST:PORT, [IPV6]:PORT or unix:PATH")
    return args


def main():
    client_type = {"h2load": H2load, "ghz": Ghz}[sys.argv[1]]
    args = parse_arguments()
    counts = Counts(find_inspect(args.inspect), args.segment)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pb, pb_grpc = import_stubs(folder)
        channel = connect(args.address)
        stub = pb_grpc.UserServiceStub(channel)
        base = BASE_CALLS[client_type.name] * args.scale
        check_room(counts, int(VERIFIER_USERS + cases.users_made(base * sum(SHARES))))
        try:
            first, page, all_cases = cases.make_cases(pb, stub, SECONDS)
        except grpc.RpcError as error:
            raise SystemExit(f"{args.address}: {error.code().name}: {error.details()}") from None
        load = Load(client_type(args.address, folder, str(PROTO)), counts,
                    Verifier(pb, stub, first, page))
        for case in all_cases:
            for level, share in zip(client_type.levels, SHARES):
                calls = max(int(cases.WEIGHTS[case.method] * base * share), level[0])
                load.step(case, calls, (level[0], min(level[1], calls // level[0])))
        channel.close()
    load.table()
    print(f"{time.monotonic() - started:.0f} s in all")
    return 1 if load.faults else 0


if __name__ == "__main__":
    sys.exit(main())
