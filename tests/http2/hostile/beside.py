# SPDX-License-Identifier: MIT
"""An honest client during an attack. It calls GetUser on one connection that it keeps and on new
connections, until its standard input can be read. Then it prints a line of JSON: the number of
calls, the errors, and the 99th percentile of the latency in ms, for both kinds of connection.
Usage: beside.py HOST:PORT|unix:PATH [TOKEN]"""
import json
import select
import socket
import sys
import time

import user_service_pb2 as pb
from wire import Wire, message

BODY = message(pb.GetUserRequest(id="nobody"))
TOKEN = f"Bearer {sys.argv[2]}" if len(sys.argv) > 2 else None


def call(connection):
    began = time.perf_counter()
    response = connection.call("GetUser", BODY, authorization=TOKEN)
    assert response.grpc_status == 5, response
    return time.perf_counter() - began


def connect(address):
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(address[5:])
        return sock
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host, int(port)), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # against Nagle's 40 ms
    return sock


def fresh(address):
    began = time.perf_counter()
    with Wire(connect(address)) as connection:
        call(connection)
    return time.perf_counter() - began


def percentile(times):
    return sorted(times)[int(len(times) * 0.99)] * 1000 if times else None


def main():
    address, kept_times, fresh_times, errors = sys.argv[1], [], [], []
    with Wire(connect(address)) as kept:
        call(kept)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            try:
                kept_times.append(call(kept))
                kept.streams.clear()
                if len(kept_times) % 5 == 0:
                    fresh_times.append(fresh(address))
            except (AssertionError, OSError) as error:
                errors.append(repr(error)[:300])
                break
    print(json.dumps({"calls": len(kept_times), "fresh": len(fresh_times), "errors": errors,
                      "kept_p99": percentile(kept_times), "fresh_p99": percentile(fresh_times)}))


main()
