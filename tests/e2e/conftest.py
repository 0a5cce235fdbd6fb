# SPDX-License-Identifier: MIT
import faulthandler
import os
import pathlib
import signal
import time

import pytest

from harness import SANITIZED, Rosterd


@pytest.fixture(scope="module")
def server():
    """A server that all tests of a module share. No test may end it."""
    with Rosterd() as rosterd:
        yield rosterd


@pytest.fixture
def stub(server):
    return server.stub()


@pytest.fixture
def start():
    """Returns a function that starts servers for one test; they end after the test."""
    started = []

    def starter(*options, **settings):
        started.append(Rosterd(*options, **settings))
        return started[-1]
    yield starter
    for rosterd in started:
        rosterd.clean()
    for rosterd in started:
        rosterd.check_sanitizer()


@pytest.fixture(autouse=True)
def nothing_crashes(request):
    """Fails a test after which a shared server does not have the same workers as before."""
    if "server" not in request.fixturenames:
        yield
        return
    rosterd = request.getfixturevalue("server")
    before = rosterd.worker_pids()
    yield
    assert rosterd.process.poll() is None, rosterd.log()
    assert rosterd.worker_pids() == before, rosterd.log()


# Where threads stand in a run that hangs; tests/e2e/run prints the file.
STUCK = pathlib.Path(os.environ["E2E_OUT"], f"stuck-{os.getpid()}.log").open("w", encoding="utf-8")
STUCK_SECONDS = 60  # after a test's timeout, or after the last test
# Where a server stands still, each test that asks it waits for its timeout: no more tests begin then.
SUITE_SECONDS = int(os.environ.get("E2E_SECONDS", "0"))
BEGAN = time.monotonic()


def pytest_configure():
    """On SIGTERM, too, fixtures remove their servers and segments."""
    def interrupted(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupted)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Ends the run if a test's timeout does not: its exception waits while the main thread is in a
    library's code, and one such test would hang the whole suite."""
    marker = item.get_closest_marker("timeout")
    seconds = marker.args[0] if marker else float(item.config.getini("timeout"))
    if 0 < SUITE_SECONDS < time.monotonic() - BEGAN:
        item.session.shouldstop = f"the tests took longer than {SUITE_SECONDS} s (E2E_SECONDS)"
    faulthandler.cancel_dump_traceback_later()
    if seconds > 0:
        faulthandler.dump_traceback_later(seconds + STUCK_SECONDS, exit=True, file=STUCK)
    yield
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True, file=STUCK)


def pytest_collection_modifyitems(config, items):
    """Deselects tests that mean nothing in a build with sanitizers. They are not skipped, because a
    skipped test counts as failed."""
    out = [item for item in items if SANITIZED and item.get_closest_marker("unsanitized")]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_report_header():
    return f"rosterd: {os.environ['ROSTERD']}"
