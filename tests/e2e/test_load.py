# SPDX-License-Identifier: MIT
"""The load tests for operators, run against a server of the tests."""
import pathlib
import subprocess
import threading

import pytest

import user_service_pb2 as pb
from harness import SHM_INSPECT

MAIN = pathlib.Path(__file__).resolve().parents[1] / "bench" / "load" / "main.py"


def load(server, client, *options):
    return subprocess.run(
        ["/usr/bin/python3", MAIN, client, f"127.0.0.1:{server.port}", "--segment", server.segment,
         "--inspect", SHM_INSPECT, "--scale", "0.02", *options],
        capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("client", ["h2load", "ghz"])
def test_load_of_all_calls_finds_every_reply_right(server, client):
    done = load(server, client)
    assert done.returncode == 0, done
    assert "every reply was right" in done.stdout
    assert done.stdout.count(" all right\n") == 18  # six cases, three levels of concurrency


def test_load_reports_calls_of_other_clients(server):
    stub, over = server.stub(), threading.Event()

    def disturb():
        while not over.wait(0.05):
            list(stub.ListUsers(pb.ListUsersRequest(page_size=1)))

    other = threading.Thread(target=disturb)
    other.start()
    try:
        done = load(server, "h2load")
    finally:
        over.set()
        other.join()
    assert done.returncode == 1, done
    assert "the server counts" in done.stdout and "ListUsers OK, but" in done.stdout


def test_load_of_a_full_table_is_refused_before_it_starts(start):
    done = load(start("--max-users", "1000"), "h2load")
    assert done.returncode == 1
    assert "room for 1000 users" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("argument", ["here", "127.0.0.1:http"])
def test_load_of_an_invalid_address_is_a_usage_error(argument):
    done = subprocess.run(["/usr/bin/python3", MAIN, "ghz", argument],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{argument}: not HOST:PORT" in done.stderr
