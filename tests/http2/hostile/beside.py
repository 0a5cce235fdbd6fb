# SPDX-License-Identifier: MIT
"""A client beside an attack: GetUser on a kept connection and on fresh ones, until its input ends.
Prints a line of JSON: calls, errors, and the 99th percentile in ms of each kind.
Usage: beside.py PORT"""
import json
import select
import socket
import sys
import time

import user_service_pb2 as pb
from wire import Wire, message

BODY = message(pb.GetUserRequest(id="nobody"))


def call(connection):
    began = time.perf_counter()
    response = connection.call("GetUser", BODY)
    assert response.grpc_status == 5, response
    return time.perf_counter() - began


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else Nagle's 40 ms are measured
    return sock


def fresh(port):
    began = time.perf_counter()
    with Wire(connect(port)) as connection:
        connection.call("GetUser", BODY)
    return time.perf_counter() - began


def percentile(times):
    return sorted(times)[int(len(times) * 0.99)] * 1000 if times else None


def main():
    port, kept_times, fresh_times, errors = int(sys.argv[1]), [], [], []
    with Wire(connect(port)) as kept:
        call(kept)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            try:
                kept_times.append(call(kept))
                kept.streams.clear()
                if len(kept_times) % 5 == 0:
                    fresh_times.append(fresh(port))
            except (AssertionError, OSError) as error:
                errors.append(repr(error)[:300])
                break
    print(json.dumps({"calls": len(kept_times), "fresh": len(fresh_times), "errors": errors,
                      "kept_p99": percentile(kept_times), "fresh_p99": percentile(fresh_times)}))


main()
