# SPDX-License-Identifier: MIT
import os
import signal

import pytest

from harness import SANITIZED, Rosterd


@pytest.fixture(scope="module")
def server():
    """A server that the tests of a module share. None of them may end it."""
    with Rosterd() as rosterd:
        yield rosterd


@pytest.fixture
def stub(server):
    return server.stub()


@pytest.fixture
def start():
    """Starts servers for a single test, and stops them after it."""
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
    """Asserts that a test that shares a server leaves it with the same workers that it found."""
    if "server" not in request.fixturenames:
        yield
        return
    rosterd = request.getfixturevalue("server")
    before = rosterd.worker_pids()
    yield
    assert rosterd.process.poll() is None, rosterd.log()
    assert rosterd.worker_pids() == before, rosterd.log()


def pytest_configure():
    """Makes sure that servers and segments are cleaned up even when a signal ends the tests early."""
    def interrupted(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupted)


def pytest_collection_modifyitems(config, items):
    """Deselects tests that are meaningless in a sanitized build. They are not skipped, because a
    skipped test counts as failed."""
    out = [item for item in items if SANITIZED and item.get_closest_marker("unsanitized")]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_report_header():
    return f"rosterd: {os.environ['ROSTERD']}"
