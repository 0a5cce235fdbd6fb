#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the cost of TLS: the server's CPU time for GetUser over TLS and without, interleaved.

A figure is the CPU time of the server's whole process tree per call. It is the difference
between a short and a long load of h2load with as many connections, so it excludes the
handshakes. The server is pinned to one core and h2load to another. Exit 1 if a target is missed.
make bench-tls calls this program.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

import measure

SCENARIOS = [  # connections, streams, calls of the long load, largest ratio of TLS to plain
    (10, 100, 600_000, 1.6),
    (1000, 1, 200_000, 2.0),
]


def certificate(directory):
    files = [str(pathlib.Path(directory) / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2",
                    "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    return ["--tls-key", files[0], "--tls-certificate", files[1]]


class Bench(measure.Bench):
    def serve(self, name, *options):
        port = measure.free_port()
        server = measure.Server(name, [
            str(self.build / "src/server/rosterd"), "--listen", f"127.0.0.1:{port}", "--workers",
            "1", "--segment", f"{self.segment}-{name}", "--data-file", "none", *options],
            "Server started", port)
        server.scheme = "http" if name == "plain" else "https"
        self.servers.append(server)
        return server

    def load(self, server, calls, connections, streams):
        out = subprocess.run(
            ["taskset", "-c", measure.CLIENT_CPU, "h2load", f"-n{calls}", f"-c{connections}",
             f"-m{streams}", "-d", self.body, "-H", "te: trailers", "-H",
             "content-type: application/grpc",
             f"{server.scheme}://127.0.0.1:{server.port}/userservice.UserService/GetUser"],
            stdout=subprocess.PIPE, text=True, timeout=300).stdout
        if f"{calls} succeeded, 0 failed" not in out:
            raise SystemExit(f"h2load failed on {server.name}:\n{out}")

    def us_a_call(self, server, connections, streams, calls):
        short = calls // 10
        used = []
        for n in (short, calls):
            before = measure.cpu_ns(server.process.pid)
            self.load(server, n, connections, streams)
            used.append(measure.cpu_ns(server.process.pid) - before)
        return (used[1] - used[0]) / 1000 / (calls - short)

    def fill(self, plain, tls):
        """Creates the same users on both servers, and prepares a request for one of them."""
        self.client(plain, "batch", 1000)
        user_id = self.client(plain, "list", 1)["first_id"]
        dump, body = (str(pathlib.Path(self.tmp.name) / name) for name in ("dump", "body"))
        for server, command in ((plain, ["dump", "--output", dump]), (tls, ["load", dump])):
            subprocess.run([self.build / "src/inspect/shm-inspect", "--segment",
                            f"{self.segment}-{server.name}", *command], check=True,
                           capture_output=True)
        pathlib.Path(body).write_bytes(b"\0\0\0\0\x26\x0a\x24" + user_id.encode())
        self.body = body

    def run(self):
        plain = self.serve("plain")
        tls = self.serve("tls", *certificate(self.tmp.name))
        self.fill(plain, tls)
        for connections, streams, calls, most in SCENARIOS:
            if self.args.quick:
                calls //= 5
            figures = {plain: [], tls: []}
            for _ in range(self.args.runs):
                for server, values in figures.items():
                    values.append(self.us_a_call(server, connections, streams, calls))
            a, b = (statistics.median(values) for values in figures.values())
            self.row(f"GetUser, h2load -c{connections} -m{streams}", f"{b:.3f} us", f"{a:.3f} us",
                     f"{b / a:.2f}", f"{most}", b / a <= most)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="the build folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer calls a run")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    args = parser.parse_args()
    bench = Bench(args)
    try:
        bench.run()
    finally:
        bench.stop()
    if args.write:
        lines = [f"Medians of {args.runs} interleaved runs on {measure.machine()}.", "",
                 "| scenario | TLS 1.3 | plain | ratio | at most | |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [f"| {r[0]} | {r[1]} | {r[2]} | {r[3]} | {r[4]} | "
                  f"{'reached' if r[5] else 'missed'} |" for r in bench.rows]
        measure.put_table(args.write, "tls", lines)
    return 0 if all(row[5] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
