# SPDX-License-Identifier: MIT
"""What clients were told and what readers saw, and the judge who compares it with the table after a
disaster. It lies in the memory of the tests, which no power cut reaches."""
import collections
import contextlib
import json
import re
import sqlite3
import subprocess
import time

import harness

# `secret` is a password's hash, which replies do not have.
User = collections.namedtuple("User", "id username email roles secret", defaults=[""])
NAME = re.compile(r"[a-z]+\d+-\d+-\d+")


def email_of(username):
    return f"{username}@example.org"


def table_of(rosterd):
    """All users of a server by id, as its segment has them."""
    done = subprocess.run([harness.SHM_INSPECT, "--segment", rosterd.segment, "dump", "--with-secrets"],
                          capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    users = [line for line in lines if "id" in line]  # without the dump's first and last line
    table = {user["id"]: User(user["id"], user["username"], user["email"], tuple(user["roles"]),
                              user.get("password_hash", "")) for user in users}
    assert len(table) == len(users), "two users have one id"
    return table


def versions_of(path):
    """The commit of each user of a data file by id, and the file's own."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as data:
        rows = data.execute("SELECT id, version FROM users").fetchall()
        (version, count), = data.execute("SELECT version, count FROM meta").fetchall()
    assert len(rows) == count, f"{len(rows)} rows, but a count of {count}"
    return {text_of(bytes(id)): version for id, version in rows}, version


def text_of(id):
    text = id.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Ledger:
    """Of one life of the table: from a start to a disaster. Threads append to it without a lock."""

    def __init__(self, base):
        self.base = base             # the users of the start, by id
        self.sent = set()            # names that a client asked for
        self.sent_secrets = set()    # of creates
        self.created = {}            # id -> (User, time) that a reply acknowledged
        self.batches = []            # [names in order, time of the acknowledgement or None]
        self.role_tries = {}         # id -> [roles in the order of the calls]
        self.role_acks = {}          # id -> (index of the last acknowledged, time)
        self.password_tries = {}     # id -> [hashes in the order of the calls]
        self.password_acks = {}      # id -> (index of the last acknowledged, time)
        self.delete_tries = {}       # id -> name
        self.delete_acks = {}        # id -> time
        self.seen = {}               # id -> User that a reader saw last
        self.changes = []            # (version, kind, id) that a follower saw
        self.faults = []             # what was wrong while the server ran
        self.known = list(base.values())
        self.refused = collections.Counter()
        self.closed = False

    def close(self):
        """From now on nothing that anybody is told counts: with a real power cut there is nobody
        any more. (A sync that ext4 begins before its shutdown and ends afterwards may succeed, and
        yet what it synced is dropped.)"""
        self.closed = True

    def acknowledged(self):
        batches = sum(len(names) for names, at in self.batches if at)
        return len(self.created) + batches + len(self.role_acks) + len(self.password_acks) + \
            len(self.delete_acks)

    # ---- clients ----

    def note_created(self, user):
        if self.closed:
            return
        self.created[user.id] = (user, time.monotonic())
        self.known.append(user)

    def note_seen(self, user):
        if self.closed:
            return
        before = self.seen.get(user.id)
        self.seen[user.id] = user
        if before is None and user.id not in self.created:
            self.known.append(user)
        if not self.is_whole(user):
            self.faults.append(f"a reader saw a user that nobody has written: {user}")

    def note_batch(self, batch):
        if not self.closed:
            batch[1] = time.monotonic()

    def note_roles(self, id, index):
        if not self.closed:
            self.role_acks[id] = (index, time.monotonic())

    def note_password(self, id, index):
        if not self.closed:
            self.password_acks[id] = (index, time.monotonic())

    def note_deleted(self, id):
        if not self.closed:
            self.delete_acks[id] = time.monotonic()

    def note_missing(self, id, who):
        if not self.closed and id not in self.delete_tries:
            self.faults.append(f"{who} does not find a user that was there before: {id}")

    # ---- the judge ----

    def possible_roles(self, id):
        """All that a user may have, in the order of time."""
        if id in self.base:
            first = self.base[id].roles
        elif id in self.created:
            first = self.created[id][0].roles
        else:
            first = ("user",)
        return [first, *self.role_tries.get(id, ())]

    def possible_secrets(self, id):
        """All password hashes that a user may have, in the order of time."""
        first = self.base.get(id) or self.created.get(id, (None,))[0]
        return [first.secret if first else "", *self.password_tries.get(id, ())]

    def is_whole(self, user):
        if user.id in self.base:
            same = self.base[user.id][:3] == user[:3]
        else:
            same = user.username in self.sent and user.email == email_of(user.username)
        return same and user.roles in self.possible_roles(user.id)

    def judge(self, table, versions, version, ended):
        """@return a line for each loss. `ended` is the time of the disaster."""
        self.ended = ended
        losses = list(self.faults)
        losses += self.judge_users(table)
        losses += self.judge_batches(table)
        losses += self.judge_readers(table, versions, version)
        return losses

    def ago(self, at):
        return f"{(self.ended - at) * 1000:.1f} ms before the end"

    def judge_users(self, table):
        for id in self.base:
            if id not in table and id not in self.delete_tries:
                yield f"a user of an earlier life is gone: {self.base[id]}"
        for id, (user, at) in self.created.items():
            if id not in table and id not in self.delete_tries:
                yield f"CreateUser was acknowledged {self.ago(at)}, and is gone: {user}"
        for id, (index, at) in self.role_acks.items():
            if id in table and table[id].roles not in self.possible_roles(id)[index + 1:]:
                yield f"an update was acknowledged {self.ago(at)}, and is gone: {table[id]}"
        for id, (index, at) in self.password_acks.items():
            if id in table and table[id].secret not in self.possible_secrets(id)[index + 1:]:
                yield f"a password was set {self.ago(at)}, and is gone: {table[id]}"
        for id, user in table.items():
            answered = id in self.base or id in self.created
            if user.secret not in self.possible_secrets(id) and (
                    answered or user.secret not in self.sent_secrets):
                yield f"nobody has set this password: {user}"
        for id, at in self.delete_acks.items():
            if id in table:
                yield f"delete was acknowledged {self.ago(at)}, and is undone: {table[id]}"
        for user in table.values():
            if not self.is_whole(user):
                yield f"nobody has written this user: {user}"
        names = collections.Counter(user.username for user in table.values())
        for name, count in names.items():
            if count > 1:
                yield f"{name} was asked for once, and is there {count} times"

    def judge_batches(self, table):
        there = {user.username for user in table.values()} | set(self.delete_tries.values())
        for names, at in self.batches:
            present = [name in there for name in names]
            if at and not all(present):
                yield (f"BatchCreateUsers was acknowledged {self.ago(at)}, and "
                       f"{present.count(False)} of {len(names)} users are gone")
            if sorted(present, reverse=True) != present:
                yield f"of a batch, a later user is there and an earlier one is not: {names[0]}"

    def judge_readers(self, table, versions, version):
        for id, user in self.seen.items():
            if id not in table and id not in self.delete_tries:
                yield f"a reader saw a user that is gone: {user}"
            elif id in table:
                roles = self.possible_roles(id)
                if user.roles in roles and table[id].roles not in roles[roles.index(user.roles):]:
                    yield f"a reader saw roles that are gone: {user}, now {table[id]}"
        last = {}
        for change in self.changes:
            last[change[2]] = change
        if self.changes and self.changes[-1][0] > version:
            yield (f"a follower saw commit {self.changes[-1][0]}, and the file ends with "
                   f"{version}")
        for seen, kind, id in last.values():
            if kind == "deleted" and id in table:
                yield f"a follower saw commit {seen} delete a user, and it is there: {table[id]}"
            elif kind != "deleted" and id not in table and id not in self.delete_tries:
                yield f"a follower saw commit {seen} of a user who is gone: {id}"
            elif kind != "deleted" and id in table and versions[id] < seen:
                yield f"a follower saw commit {seen} of a user who is at {versions[id]}: {id}"
