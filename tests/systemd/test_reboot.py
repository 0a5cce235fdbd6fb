# SPDX-License-Identifier: MIT
"""A machine that boots again: tests/systemd/run boots a systemd three times, each time with an empty
/dev/shm and the disk of the boot before, and runs the test of that boot. All processes of a boot end
at once, killed."""
import json
import os
import pathlib
import subprocess
import sys

import user_service_pb2 as pb
from test_service import SEGMENT, STATE, UNIT, client, create, run, show, systemctl, users, wait_for

NOTES = pathlib.Path(os.environ.get("ROSTERD_NOTES", "/nonexistent"))


def listing(**fields):
    """Returns the users of a page as bytes, and the token of the next page."""
    with client() as stub:
        call = stub.ListUsers(pb.ListUsersRequest(**fields), timeout=20, wait_for_ready=True)
        page = [user.SerializeToString() for user in call]
        return page, dict(call.trailing_metadata()).get("next-page-token", "")


def everybody():
    return [user.SerializeToString().hex() for user in users()]


def write_notes(**notes):
    NOTES.write_text(json.dumps(notes))


def test_boot_1_makes_users_and_stops_the_service():
    assert not SEGMENT.exists() and not any(STATE.iterdir())
    systemctl("start", UNIT)
    made = [create(f"user{i}") for i in range(40)]
    run("shm-inspect", "set-roles", made[3].id, "admin,ops")
    run("shm-inspect", "delete", made[5].id)
    page, token = listing(page_size=10)
    assert len(page) == 10 and token
    write_notes(everybody=everybody(), token=token, page=[user.hex() for user in page])
    systemctl("stop", UNIT)  # as the machine does when it shuts down
    assert show("Result") == "success"


def test_boot_2_finds_them_and_is_killed_under_load():
    notes = json.loads(NOTES.read_text())
    assert not SEGMENT.exists()
    systemctl("start", UNIT)
    assert everybody() == notes["everybody"] and len(notes["everybody"]) == 39
    # the token of the first boot goes on where its page ended
    page, token = listing(page_size=100, page_token=notes["token"])
    assert [user.hex() for user in page] == notes["everybody"][10:] and not token
    # no id and no position is given twice: a new user comes after all others
    create("new")
    assert [user.username for user in users()][-1] == "new"
    write_notes(everybody=everybody())
    # a client that writes down each user that was acknowledged; it runs until the kill
    written = NOTES.with_suffix(".acknowledged")
    systemctl("reset-failed", "load.service", status=None)
    run("systemd-run", "--unit=load", "--setenv=PYTHONPATH=" + os.environ["PYTHONPATH"],
        sys.executable, os.path.abspath(__file__), str(written))
    wait_for(lambda: written.exists() and written.read_text().count("\n") > 100, 30,
             "a hundred acknowledged users")
    assert subprocess.run(["systemctl", "is-active", "load"], check=False, capture_output=True,
                          text=True).stdout == "active\n"


def test_boot_3_finds_every_acknowledged_user():
    notes = json.loads(NOTES.read_text())
    text = NOTES.with_suffix(".acknowledged").read_text()
    acknowledged = text[:text.rfind("\n") + 1].split()
    assert len(acknowledged) > 100 and not SEGMENT.exists()
    systemctl("start", UNIT)
    there = everybody()
    before = len(notes["everybody"])
    assert there[:before] == notes["everybody"]
    # one more may be there: the call that was under way
    assert there[before:before + len(acknowledged)] == acknowledged
    assert len(there) - before - len(acknowledged) in (0, 1)
    run("shm-inspect", "verify")


def make_users(path):
    """Creates users and writes each one down, with the power to go at any time."""
    with open(path, "ab", buffering=0) as file, client() as stub:
        for i in range(10**9):
            made = stub.CreateUser(pb.CreateUserRequest(username=f"load{i}"), timeout=20)
            file.write(made.SerializeToString().hex().encode() + b"\n")


if __name__ == "__main__":
    make_users(sys.argv[1])
