# SPDX-License-Identifier: MIT
"""Where the users are if no option says it: of a service, of a person, of root."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest

import user_service_pb2 as pb
from harness import ROSTERD, Rosterd, wait_for

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def default_file(*arguments, before=(), **environment):
    done = subprocess.run([*before, ROSTERD, "--dump-config", *arguments], env=environment,
                          capture_output=True, text=True, check=True, timeout=20)
    return re.search(r"^(?:# )?data-file = (\S+)", done.stdout, re.M)[1]


@pytest.mark.parametrize("environment, directory", [
    ({"HOME": "/home/ada"}, "/home/ada/.local/state/rosterd"),
    ({"HOME": "/home/ada", "XDG_STATE_HOME": "/state/ada"}, "/state/ada/rosterd"),
    ({"HOME": "/home/ada", "XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/rosterd"),
    ({"HOME": "/home/ada", "XDG_STATE_HOME": ""}, "/home/ada/.local/state/rosterd"),
    ({"HOME": "/"}, "/var/lib/rosterd"),  # a system user
    ({}, "/var/lib/rosterd"),
    ({"HOME": "/home/ada", "STATE_DIRECTORY": "/var/lib/other"}, "/var/lib/other"),
    ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}, "/var/lib/one"),
])
def test_file_of_a_person_is_in_the_state_directory(environment, directory):
    before = NOBODY if os.geteuid() == 0 else []
    assert default_file(before=before, **environment) == f"{directory}/rosterd.db"
    # two servers do not meet
    assert default_file("--segment", "/other", before=before, **environment) == f"{directory}/other.db"


def test_file_of_root_is_where_the_service_has_it():
    if os.geteuid() == 0:
        assert default_file(HOME="/root", XDG_STATE_HOME="/state/root") == "/var/lib/rosterd/rosterd.db"


@pytest.fixture
def home():
    """The home of a person who is not root."""
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which only root may enter
        if os.geteuid() == 0:
            os.chown(name, 65534, 65534)
        yield pathlib.Path(name)


def start_as_person(rosterd, home):
    """Starts it as a person does, without the option data-file. Returns the process."""
    command = [word for word in rosterd.command() if word not in ("--data-file", "default")]
    before = NOBODY if os.geteuid() == 0 else []
    with open(rosterd.log_path, "wb") as log:
        process = subprocess.Popen([*before, *command], env={"HOME": str(home)}, stdout=log, stderr=log,
                                   cwd="/")
    wait_for(lambda: "Server started" in rosterd.log() or process.poll() is not None, 30, "a start")
    return process


def test_users_of_a_person_survive_a_kill_of_everything_and_a_reboot(home):
    rosterd = Rosterd("--data-file", "default", start=False)
    try:
        rosterd.process = start_as_person(rosterd, home)
        user = rosterd.stub().CreateUser(pb.CreateUserRequest(username="ada", email="ada@example.org"))
        rosterd.kill_all()
        for path in rosterd.shm_files():  # what a reboot does
            os.unlink(path)
        rosterd.process = start_as_person(rosterd, home)
        assert rosterd.stub().GetUser(pb.GetUserRequest(id=user.id)) == user
        assert "1 users were loaded" in rosterd.log()
    finally:
        rosterd.clean()


def test_directories_are_made_for_the_user_alone(home):
    rosterd = Rosterd("--data-file", "default", start=False)
    file = home / ".local/state/rosterd" / (rosterd.segment[1:] + ".db")
    process = start_as_person(rosterd, home)
    try:
        assert file.exists(), rosterd.log()
        for directory in (".local", ".local/state", ".local/state/rosterd"):
            assert (home / directory).stat().st_mode & 0o777 == 0o700, directory
        assert file.stat().st_mode & 0o777 == 0o600
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        rosterd.clean()
