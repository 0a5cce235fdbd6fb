# SPDX-License-Identifier: MIT
"""The commands of "A damaged file" in docs/operations.md, with the sqlite3 of this machine: what a start
has refused comes back, but for what was damaged."""
import os
import pathlib
import re
import sqlite3
import subprocess

import pytest

from harness import PROTO, SHM_INSPECT
from test_durable import create, everybody, reboot, refused

PAGE_SIZE = 4096


@pytest.fixture
def damaged(start, tmp_path):
    """Returns a function that makes 300 users, stops the server, empties /dev/shm, has damage() write into
    the file, and starts the server, which refuses it. It returns the server, the users and the refusal."""
    def make(damage):
        path = tmp_path / "rosterd.db"
        rosterd = start("--data-file", str(path))
        create(rosterd, 300)
        users = everybody(rosterd)
        rosterd.stop()
        reboot(rosterd)
        damage(path)
        before = path.read_bytes()
        line = refused(rosterd)
        assert str(path) in line and path.read_bytes() == before
        return rosterd, users, line
    return make


def commands():
    """The page's commands for sqlite3, with what they begin with as key."""
    page = (pathlib.Path(PROTO).parent / "docs/operations.md").read_text(encoding="utf-8")
    section = page[page.index("### A damaged file"):page.index("### Litestream")]
    found = re.findall(r"^    (sqlite3 .*)$", section, re.M)
    assert len(found) == 8
    return found


def run_command(directory, part):
    command, = [command for command in commands() if part in command]
    subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=directory, check=True, timeout=60)


def leaf_page(path):
    """The offset of a page in the middle of the table's rows."""
    text = path.read_bytes()
    leaves = [at for at in range(PAGE_SIZE, len(text), PAGE_SIZE) if text[at] == 0x0d]
    assert len(leaves) > 5
    return leaves[len(leaves) // 2]


def overwrite(path, at, what):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(what)


def restore_salvaged(rosterd, path):
    subprocess.run([SHM_INSPECT, "--segment", rosterd.segment, "restore", "--data-file", str(path),
                    "salvaged.db"], cwd=path.parent, check=True, timeout=60)
    rosterd.start()
    return everybody(rosterd)


def test_users_of_whole_pages_are_salvaged(damaged, tmp_path):
    rosterd, users, _ = damaged(lambda path: overwrite(path, leaf_page(path), os.urandom(PAGE_SIZE)))
    run_command(tmp_path, " .dump ")
    run_command(tmp_path, "PRAGMA application_id")
    run_command(tmp_path, "'UPDATE meta")
    left = restore_salvaged(rosterd, tmp_path / "rosterd.db")
    assert 200 < len(left) < 300
    assert left == [user for user in users if user in left]
    assert left[0] == users[0] and left[-1] == users[-1]


def test_row_with_a_wrong_checksum_is_taken_out(damaged, tmp_path):
    def damage(path):
        with sqlite3.connect(path) as database:
            database.execute("UPDATE users SET body = CAST(body || x'00' AS BLOB) WHERE seq = "
                             "(SELECT seq FROM users LIMIT 1 OFFSET 100)")
            database.execute("PRAGMA journal_mode = DELETE")
        database.close()
    rosterd, users, line = damaged(damage)
    seq = re.search(r"\bseq (\d+)", line)
    assert seq, line
    (tmp_path / "salvaged.db").write_bytes((tmp_path / "rosterd.db").read_bytes())
    command, = [command for command in commands() if "4711" in command]
    subprocess.run(["bash", "-c", command.replace("4711", seq[1])], cwd=tmp_path, check=True, timeout=60)
    assert restore_salvaged(rosterd, tmp_path / "rosterd.db") == users[:100] + users[101:]


def test_rows_without_a_place_and_a_lost_meta_are_put_back(damaged, tmp_path):
    """What .recover leaves where the root of the table and meta are damaged, as Debian's sqlite3 cannot
    do it."""
    def damage(path):
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE lost_and_found(rootpgno INTEGER, pgno INTEGER, nfield INTEGER, "
                             "id INTEGER, c0, c1, c2, c3, c4, c5)")
            database.execute("INSERT INTO lost_and_found SELECT 2, 9, 6, seq, NULL, id, version, sum, body, hidden "
                             "FROM users WHERE seq > 100")
            database.execute("DELETE FROM users WHERE seq > 100")
            database.execute("DELETE FROM meta")
        database.close()
    rosterd, users, _ = damaged(damage)
    (tmp_path / "rosterd.db").rename(tmp_path / "salvaged.db")
    for part in ("INSERT OR IGNORE", "DROP TABLE", "INSERT INTO meta"):
        run_command(tmp_path, part)
    assert restore_salvaged(rosterd, tmp_path / "rosterd.db") == users
