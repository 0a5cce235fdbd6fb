# SPDX-License-Identifier: MIT
"""Compares a history of calls, made by many clients at once, with a sequential model of the directory.

A user's etag is the number of the commit that wrote it, and commits have one order for all users. So the
calls need no search for an order: a write stands at its commit, and a read anywhere between two bounds.
- `low` of a call: the newest commit that a reply showed before the call began. The call may not have
  seen less.
- `high`: the oldest commit of the writes that began after the call ended, less one. The call cannot have
  seen more.
A call that failed with UNAVAILABLE, because its worker was killed, may have written or not. A state that no
answered call wrote must be explained by one of those.
"""
import bisect
import collections
import dataclasses
import itertools
import math

FIELDS = ("username", "email", "roles", "disabled", "labels")
KEYS = ("username", "email")
UNKNOWN = "UNAVAILABLE"  # the outcome of a call


@dataclasses.dataclass(frozen=True)
class State:
    username: str
    email: str = ""
    roles: tuple = ()
    disabled: bool = False
    labels: tuple = ()  # sorted pairs


@dataclasses.dataclass
class Op:
    """One call. start and end are times of one clock."""
    # create, update (also SetPassword), upsert (an update with allow_missing), delete, get, lookup, list,
    # verify; plain_create, plain_get, plain_list: of UserService; repeat: of a create that was answered;
    # replica: a follower of WatchUsers has the whole table
    kind: str
    start: int
    end: int
    code: str = "OK"
    uid: str = ""  # whom it is about; of a create that failed: the id asked for
    fields: dict = dataclasses.field(default_factory=dict)  # what a write sets
    etag: int = 0  # on which it depends
    key: tuple = ()  # of a lookup: ("username", "ann")
    version: int = 0  # of the user in the reply
    state: State = None  # of that user
    users: list = None  # of a list or replica: (uid, version, state); of a list in the reply's order
    plain: list = None  # of a plain_list: (uid, state)
    whole: dict = None  # of an upsert: the fields of a user whom it creates
    once: str = ""  # of an update that is repeated: the label "r" that it sets, which nobody else does
    match: object = None  # of a list: what its filter says, a function of a state
    after: str = None  # of a list that is a page: the last user of the pages before it, or ""
    more: bool = False  # of a page: whether it is not the last
    secret: str = None  # the password that a write sets, or that is verified
    low: int = 0
    high: float = math.inf


class Life:
    """What is known of one user."""

    def __init__(self):
        self.states = {}  # by version
        self.versions = []
        self.writers = {}  # the answered write of a version
        self.unknown = []  # writes that may have been made
        self.died_after, self.died_by = 0, math.inf  # the delete's commit is in (after, by]
        self.dies = False
        self.may_die = False
        self.first_delete = math.inf  # when a call first began that may have deleted
        self.vague = False  # its first version may be older than the first that is known
        self.gone = math.inf  # when an answer first said that the user does not exist any more

    def secret_at(self, version):
        """The password that is valid at this version; None: there is none."""
        known = [at for at, writer in self.writers.items()
                 if at <= version and writer.secret is not None]
        return self.writers[max(known)].secret if known else None

    def next(self, version):
        at = bisect.bisect_right(self.versions, version)
        return self.versions[at] if at < len(self.versions) else math.inf

    def at(self, point):
        """The version that is valid at this point; 0: none yet. A delete is not looked at."""
        at = bisect.bisect_right(self.versions, point)
        return self.versions[at - 1] if at else 0


class Model:
    def __init__(self, ops):
        self.ops, self.faults = ops, []
        self.lives = collections.defaultdict(Life)
        self.unknown_keys = set()
        self.bound()
        self.lives[""] = Life()
        for op in ops:
            self.collect(op)
        for life in self.lives.values():
            life.versions = sorted(life.states)
        for op in ops:
            self.see_absence(op)
        for uid, life in list(self.lives.items()):
            self.check_life(uid, life)
        self.spans = {key: self.spans_of(key) for key in KEYS}
        for op in ops:
            self.check(op)
            if op.once:
                self.check_once(op)
        self.check_keys()

    def fault(self, text, op=None):
        self.faults.append(f"{text}: {op}" if op else text)

    # ---- bounds ----

    def bound(self):
        seen = sorted((op.end, version) for op in self.ops for version in versions_in(op))
        ends = [end for end, _ in seen]
        newest = list(itertools.accumulate((version for _, version in seen), max))
        writes = sorted((op.start, op.version) for op in self.ops
                        if op.kind in ("create", "update", "upsert") and op.code == "OK")
        starts = [start for start, _ in writes]
        oldest = list(itertools.accumulate((version for _, version in reversed(writes)), min))[::-1]
        for op in self.ops:
            before = bisect.bisect_left(ends, op.start)
            after = bisect.bisect_right(starts, op.end)
            op.low = newest[before - 1] if before else 0
            op.high = oldest[after] - 1 if after < len(oldest) else math.inf

    # ---- what is known of each user ----

    def learn(self, uid, version, state, op):
        known = self.lives[uid].states.setdefault(version, state)
        if known != state:
            self.fault(f"{uid} at {version} is {known}, too", op)

    def collect(self, op):
        if op.kind in ("list", "replica"):
            for uid, version, state in op.users or ():
                self.learn(uid, version, state, op)
        elif op.state is not None and op.version:
            self.learn(op.uid, op.version, op.state, op)
        if op.kind not in ("create", "plain_create", "update", "upsert", "delete"):
            return
        life = self.lives[op.uid]
        if op.kind == "delete" and op.code in ("OK", UNKNOWN):
            life.first_delete = min(life.first_delete, op.start)
        if op.code == UNKNOWN:
            life.unknown.append(op)
            life.may_die |= op.kind == "delete"
            life.vague |= op.kind == "upsert"
            fields = op.whole or op.fields
            self.unknown_keys.update((key, fields[key]) for key in KEYS if fields.get(key))
        elif op.code == "OK" and op.kind == "delete":
            if life.dies:
                self.fault(f"{op.uid} was deleted twice", op)
            life.dies, life.gone = True, min(life.gone, op.end)
            life.died_after, life.died_by = op.low, op.high
        elif op.code == "OK" and op.version:
            if op.version in life.writers:
                self.fault(f"two writes made version {op.version}", op)
            life.writers[op.version] = op

    def see_absence(self, op):
        """Somebody who was missing had died by then, if he had lived before."""
        seen = [uid for uid, *_ in op.users or op.plain or ()]
        if op.code == "OK" and op.kind in ("get", "lookup", "plain_get", "update", "verify"):
            seen.append(op.uid)
        for uid in seen:
            self.lives[uid].died_after = max(self.lives[uid].died_after, op.low)
        life = self.lives.get(op.uid)
        if op.kind == "lookup" or life is None or not life.versions:
            return
        if op.code == "NOT_FOUND" and life.versions[0] <= op.low:
            life.died_by = min(life.died_by, op.high)
            if op.end < life.first_delete:
                self.fault(f"{op.uid} is missing", op)
            life.dies, life.gone = True, min(life.gone, op.end)

    def check_life(self, uid, life):
        if life.dies and life.versions:
            life.died_after = max(life.died_after, life.versions[-1])
            if life.died_after >= life.died_by:
                self.fault(f"{uid} was seen at {life.died_after}, and was deleted by {life.died_by}")
        before = None
        for version in life.versions:
            self.check_step(uid, life, before, version)
            before = version

    def check_step(self, uid, life, before, version):
        state, writer = life.states[version], life.writers.get(version)
        if writer is None:
            unknown = life.unknown + self.lives[""].unknown  # the id may have been the server's choice
            if not any(explains(op, life.states.get(before), state) for op in unknown):
                self.fault(f"nobody wrote {uid} at {version}: {state}")
            return
        if not writer.low < version <= writer.high:
            self.fault(f"the commit is not between {writer.low} and {writer.high}", writer)
        if writer.kind in ("create", "plain_create"):
            if before is not None:
                self.fault(f"{uid} was created and existed at {before}", writer)
            if state != State(**writer.fields):
                self.fault(f"created was {state}", writer)
            return
        if before is None and writer.kind == "upsert":
            if state != State(**writer.whole) and not life.vague:
                self.fault(f"created was {state}", writer)
            return
        if before is None:
            self.fault(f"{uid} was changed and did not exist", writer)
            return
        if writer.etag and before != writer.etag:
            self.fault(f"it was at {before} before", writer)
        old = life.states[before]
        for field in FIELDS:
            value = getattr(state, field)
            wanted = writer.fields.get(field, getattr(old, field))
            if value != wanted and (field in writer.fields or not any(
                    op.fields.get(field) == value for op in life.unknown)):
                self.fault(f"{field} is {value} and was {getattr(old, field)} at {before}", writer)

    # ---- unique keys ----

    def spans_of(self, key):
        """Returns who had which value: {value: [(from, certainly until, possibly until, uid)]}."""
        spans = collections.defaultdict(list)
        for uid, life in self.lives.items():
            for version in life.versions:
                value, until = getattr(life.states[version], key), life.next(version)
                if not value:
                    continue
                most = until
                if until == math.inf and life.dies:
                    until, most = life.died_after + 1, life.died_by
                elif until == math.inf and life.may_die:
                    until = version + 1
                spans[value].append((version, until, most, uid))
        for held in spans.values():
            held.sort()
        return spans

    def check_keys(self):
        for key, spans in self.spans.items():
            for value, held in spans.items():
                for (_, until, _, one), (begin, _, _, other) in zip(held, held[1:]):
                    if one != other and begin < until:
                        self.fault(f"{key} {value} is {one}'s and {other}'s at {begin}")

    def may_be_taken(self, op):
        fields = op.whole or op.fields
        for key in KEYS:
            value = fields.get(key)
            if value and (key, value) in self.unknown_keys or any(
                    uid != op.uid and begin <= op.high and most >= op.low
                    for begin, _, most, uid in self.spans[key].get(value, ())):
                return True
        return False

    def may_be_free(self, op):
        key, value = op.key
        point = op.low
        for begin, until, _, uid in self.spans[key].get(value, ()):
            if self.lives[uid].unknown:
                return True
            if begin <= point < until:
                point = until
        return point <= op.high

    # ---- answers ----

    def check(self, op):
        if op.code == UNKNOWN or op.kind == "repeat":  # which its client compares with the first
            return
        life = self.lives.get(op.uid)
        if op.kind in ("list", "plain_list", "replica"):
            self.check_list(op)
        elif op.kind == "verify":
            self.check_verify(op, life)
        elif op.code == "OK" and op.kind in ("get", "lookup"):
            self.check_read(op, life, [op.version])
            if op.kind == "lookup" and getattr(op.state, op.key[0]) != op.key[1]:
                self.fault("another user", op)
        elif op.code == "OK" and op.kind == "plain_get":
            same = [version for version in life.versions
                    if plain(life.states[version]) == op.state]
            self.check_read(op, life, same)
        elif op.code == "NOT_FOUND" and op.kind == "lookup":
            if not self.may_be_free(op):
                self.fault("somebody has the key", op)
        elif op.code == "ALREADY_EXISTS":
            if not self.may_be_taken(op):
                self.fault("nobody has the key", op)
        elif op.code == "OK" and op.kind == "delete":
            before = life.versions[-1] if life.versions else None
            if op.etag and before != op.etag:
                self.fault(f"it was at {before} before", op)
        elif op.code == "ABORTED":
            if not op.etag or life is None or (op.etag <= op.low and life.next(op.etag) > op.high and not life.unknown and
                               not (life.dies and life.died_after < op.high)):
                self.fault("the etag was right", op)
        elif op.code not in ("OK", "NOT_FOUND") or (op.code, op.kind) == ("NOT_FOUND", "upsert"):
            self.fault("such an answer is never right", op)

    def check_once(self, op):
        """An update that is repeated is made once: between its label and the same label there is no other."""
        life = self.lives[op.uid]
        has = [dict(life.states[version].labels).get("r") == op.once for version in life.versions]
        if sum(now and not before for before, now in zip([False, *has], has)) > 1:
            self.fault("made twice", op)

    def check_read(self, op, life, versions):
        if op.start > life.gone:
            self.fault("the user had been deleted", op)
        if not any(version <= op.high and life.next(version) > op.low for version in versions):
            self.fault(f"read between {op.low} and {op.high}; there is {life.versions}", op)

    def check_verify(self, op, life):
        wrote = [writer for one in (life, self.lives[""]) for writer in (one.unknown if one else ())]
        unsure = any(writer.secret is not None or writer.fields.get("disabled") for writer in wrote)
        if op.code == "OK":
            self.check_read(op, life, [op.version])
            if op.state.disabled:
                self.fault("the user is disabled", op)
            elif life.secret_at(op.version) != op.secret and not unsure:
                self.fault(f"the password is {life.secret_at(op.version)}", op)
        elif op.code != "UNAUTHENTICATED":
            self.fault("such an answer is never right", op)
        elif life is not None and life.versions and life.versions[0] <= op.low and not unsure and \
                not life.may_die and not (life.dies and life.died_after < op.high) and all(
                    life.secret_at(version) == op.secret and not life.states[version].disabled
                    for version in life.versions if version <= op.high and life.next(version) > op.low):
            self.fault("the password was right", op)

    def check_list(self, op):
        newest = max((version for _, version, _ in op.users or ()), default=0)
        first = max(op.low, newest)
        # where not all users are listed with versions, it is not known how long the call waited
        span = 2000 if not newest or op.match or op.after is not None else 200
        points = range(first, int(min(op.high, first + span)) + 1)
        others = {uid: life for uid, life in self.lives.items()
                  if life.versions and life.versions[0] <= op.high and life.gone >= op.start}
        if any(uid not in others for uid, *_ in op.users or op.plain or ()):
            self.fault("a user had been deleted", op)
        elif op.match and not all(op.match(state) for *_, state in op.users):
            self.fault("the filter does not match", op)
        elif not any(self.is_table(op, self.of_page(op, others), point) for point in points):
            self.fault(f"no table of {op.low} to {op.high}", op)

    def of_page(self, op, lives):
        """Those of the users who belong on this page if they exist. Users whom one commit created have an
        order that is not known here, and may be on both sides of a page's end."""
        if op.after is None or (op.more and not op.users):
            return lives if op.after is None else {}
        begin = self.lives[op.after].versions[0] if op.after else 0
        listed = {uid for uid, *_ in op.users}
        born = [self.lives[uid].versions[0] for uid in listed if not self.lives[uid].vague]
        end = max(born, default=begin) if op.more else math.inf
        return {uid: life for uid, life in lives.items()
                if uid in listed or (begin < life.versions[0] < end and not life.vague)}

    def is_table(self, op, lives, point):
        listed = {uid: what for uid, what, *_ in op.users or op.plain or ()}
        known = [op.after] if op.after else []
        born = [self.lives[uid].versions[0] for uid in [*known, *listed] if not self.lives[uid].vague]
        if (born != sorted(born) and op.kind != "replica") or op.after in listed or \
                len(listed) != len(op.users or op.plain or ()):
            return False
        for uid, life in lives.items():
            there = life.at(point)
            maybe = bool(life.unknown) or (life.dies and life.died_after < point < life.died_by)
            dead = life.dies and point >= life.died_by
            if op.end < life.first_delete:
                dead = maybe = False
            if uid in listed:
                if dead or not there or listed[uid] != (
                        plain(life.states[there]) if op.kind == "plain_list" else there):
                    return False
            elif there and not dead and not maybe and (not op.match or op.match(life.states[there])):
                return False
        return True


def plain(state):
    """What UserService shows of it."""
    return dataclasses.replace(state, disabled=False, labels=())


def versions_in(op):
    if op.code == "OK" and op.version:
        yield op.version
    for _, version, _ in op.users or ():
        yield version


def explains(op, old, state):
    """Whether a write of unknown outcome may have made this state of the old one."""
    if op.kind == "delete":
        return False
    if op.kind in ("create", "plain_create"):
        return old is None and State(**op.fields) == state
    if op.kind == "upsert" and old is None and State(**op.whole) == state:
        return True
    if op.kind == "upsert" and old is None:  # one before it may have created the user
        return all(getattr(state, field) == value for field, value in op.fields.items())
    if not op.fields:
        return old == state
    return old is not None and all(getattr(state, field) == value
                                   for field, value in op.fields.items())
