# SPDX-License-Identifier: MIT
"""Fixtures of the hostile tests. The harness is that of the end-to-end tests (PYTHONPATH)."""
import resource
import time

import pytest

from harness import Rosterd
from watch import beside


@pytest.fixture(scope="module")
def server():
    # five thousand connections take two descriptors each; the server inherits this limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), max(hard, 6000)))
    with Rosterd("--handshake-timeout", "5s", workers=1) as rosterd:
        yield rosterd


@pytest.fixture(scope="module")
def quiet(server):
    """The report of a client while there is no attack."""
    with beside(server) as report:
        time.sleep(1)
    return report
