# SPDX-License-Identifier: MIT
"""Random calls of both services from many clients, over workers that are killed, against a sequential
model: each answer must be one that some order of the calls gives. model_check.py has the rules. Followers
of WatchUsers must have the whole table whenever the server says so.

MODEL_SECONDS (6): how long the clients call. `make model` runs for longer."""
import collections
import dataclasses
import os
import random
import signal
import threading
import time
import uuid

import grpc
import pytest

import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc
from harness import SANITIZED, wait_for
from model_check import FIELDS, UNKNOWN, Model, Op, State
from schema import message, method

NAME = "rosterd.directory.v1."
SECONDS = float(os.environ.get("MODEL_SECONDS", "6"))
CLIENTS, WORKERS, USERNAMES, USERS = 8, 4, 50, 30
FOLLOWERS, PAUSE = 2, 0.3  # in each second no call begins for so long, and followers get a BOOKMARK
SECRETS = ("one", "two")
CALLS = ("GetUser", "LookupUser", "BatchGetUsers", "ListUsers", "CreateUser", "UpdateUser", "DeleteUser",
         "SetPassword", "VerifyPassword", "ImportUsers", "WatchUsers")
CODES = {code.value[0]: code.name for code in grpc.StatusCode}
TYPE = message(NAME + "WatchUsersResponse").Type
NOBODY = str(uuid.UUID(int=0, version=4))


def version_of(user):
    return int(user.etag.strip('"'), 16)


def state_of(user):
    return State(user.username, user.email, tuple(user.roles), user.disabled,
                 tuple(sorted(user.labels.items())))


def plain_state(user):
    return State(user.username, user.email, tuple(user.roles))


class Pool:
    """The users that clients choose from, with the newest etag that anybody saw."""

    def __init__(self):
        self.lock = threading.Lock()
        self.etags = {}
        self.upserts = [str(uuid.uuid4()) for _ in range(4)]  # whom nobody deletes

    def see(self, uid, version):
        with self.lock:
            if version > self.etags.get(uid, 0):
                self.etags[uid] = version

    def drop(self, uid):
        with self.lock:
            self.etags.pop(uid, None)

    def choose(self, chance):
        with self.lock:
            known = list(self.etags.items())
        return chance.choice(known) if known else (NOBODY, 0)


def channel_to(server):
    return grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[
        ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
        ("grpc.max_reconnect_backoff_ms", 100)])


class Follower:
    """Keeps the table as WatchUsers tells it, and goes on over killed workers. Now and then it forgets
    all, and begins with a listing."""
    SLACK_NS = 1_000_000_000  # by which a client may be late in reading an event

    def __init__(self, server, seed):
        self.server, self.chance = server, random.Random(seed)
        self.ops, self.failure, self.ended, self.call = [], None, False, None
        self.listings = self.bookmarks = 0
        self.begin()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def begin(self):
        self.users, self.token, self.began = {}, "", time.monotonic_ns()

    def run(self):
        while not self.ended:
            channel = channel_to(self.server)
            try:
                self.call = method(channel, f"{NAME}Directory/WatchUsers")(
                    message(f"{NAME}WatchUsersRequest")(resume_token=self.token, send_initial=True),
                    wait_for_ready=True, timeout=60)
                for event in self.call:
                    if self.ended:
                        break
                    self.take(event)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    self.failure = error
                    return
            finally:
                channel.close()
            if not self.token or self.chance.random() < 0.5:
                self.begin()

    def take(self, event):
        if event.type in (TYPE.CREATED, TYPE.UPDATED):
            self.users[event.user.name[6:]] = event.user
        elif event.type == TYPE.DELETED:
            self.users.pop(event.user.name[6:], None)
        else:
            listed = event.type == TYPE.INITIAL_DONE
            now = time.monotonic_ns()
            self.listings += listed
            self.bookmarks += not listed
            self.ops.append(Op(
                "replica", self.began if listed else now - self.SLACK_NS, now,
                users=[(uid, version_of(user), state_of(user)) for uid, user in self.users.items()]))
        self.token = event.resume_token

    def end(self):
        self.ended = True
        wait_for(lambda: self.call.cancel() or not self.thread.is_alive(), 20, "the follower's end")
        if self.failure is not None:
            raise self.failure


class Client:
    def __init__(self, server, pool, seed):
        self.channel = channel_to(server)
        self.plain = pb_grpc.UserServiceStub(self.channel)
        self.calls = {call: method(self.channel, f"{NAME}Directory/{call}") for call in CALLS}
        self.pool, self.chance, self.ops = pool, random.Random(seed), []
        self.repeats, self.faults = 0, []
        self.done = collections.Counter()  # of calls that the answers below do not show

    def record(self, op, call, request):
        """Makes the call. Returns its reply; None: it failed."""
        op.start = op.start or time.monotonic_ns()  # of a call that is repeated: of the first
        op.code = "OK"
        try:
            reply = call(request, timeout=20, wait_for_ready=True)
            if op.kind == "plain_list":
                reply = list(reply)
        except grpc.RpcError as error:
            reply, op.code = None, error.code().name
        op.end = time.monotonic_ns()
        if not self.ops or self.ops[-1] is not op:
            self.ops.append(op)
        return reply

    def directory(self, op, call, **fields):
        reply = self.record(op, self.calls[call], message(f"{NAME}{call}Request")(**fields))
        if reply is not None and call not in ("ListUsers", "DeleteUser"):
            op.uid, op.version, op.state = reply.name[6:], version_of(reply), state_of(reply)
        return reply

    def random_fields(self, fields):
        values = {"username": f"n{self.chance.randrange(USERNAMES)}",
                  "email": self.chance.choice(["", f"e{self.chance.randrange(USERNAMES)}@example.org"]),
                  "roles": tuple(self.chance.sample(["a", "b", "c"], self.chance.randrange(3))),
                  "disabled": self.chance.random() < 0.3,
                  "labels": tuple((key, str(self.chance.randrange(9))) for key in "xy"
                                  if self.chance.random() < 0.5)}
        return {field: values[field] for field in fields}

    @staticmethod
    def create_request(op, uid):
        fields = {"user": {**op.fields, "labels": dict(op.fields["labels"])}, "user_id": uid}
        return fields if op.secret is None else fields | {"password": op.secret}

    # ---- the calls ----

    def create(self):
        uid = self.chance.choice(["", str(uuid.uuid4())])
        request = self.chance.choice(["", str(uuid.uuid4())])
        op = Op("create", 0, 0, uid=uid, fields=self.random_fields(FIELDS),
                secret=self.chance.choice([None, None, *SECRETS]))
        fields = self.create_request(op, uid) | {"request_id": request}
        reply = self.directory(op, "CreateUser", **fields)
        while request and op.code == UNKNOWN:  # the repeat says what became of it
            self.repeats += 1
            reply = self.directory(op, "CreateUser", **fields)
        if reply is None:
            return
        self.pool.see(op.uid, op.version)
        if request and self.chance.random() < 0.3:  # whatever has become of the user meanwhile
            again = Op("repeat", 0, 0)
            self.directory(again, "CreateUser", **fields)
            self.repeats += 1
            if again.code != UNKNOWN and (again.uid, again.version, again.state) != (
                    op.uid, op.version, op.state):
                self.faults.append(f"{again} repeats {op}")

    @staticmethod
    def user_of(uid, fields, etag=0):
        user = {**fields, "name": f"users/{uid}"}
        if "labels" in user:
            user["labels"] = dict(user["labels"])
        if etag:
            user["etag"] = f'"{etag:x}"'
        return user

    def update(self):
        uid, etag = self.pool.choose(self.chance)
        mask = self.chance.sample(FIELDS, self.chance.randrange(1, 4))
        op = Op("update", 0, 0, uid=uid, fields=self.random_fields(mask),
                etag=self.chance.choice([0, etag]))
        if self.directory(op, "UpdateUser", user=self.user_of(uid, op.fields, op.etag),
                          update_mask={"paths": mask}) is not None:
            self.pool.see(uid, op.version)

    def update_what_is_set(self):
        """Without a mask."""
        uid, _ = self.pool.choose(self.chance)
        mask = self.chance.sample(FIELDS, self.chance.randrange(1, 4))
        fields = {field: value for field, value in self.random_fields(mask).items() if value}
        op = Op("update", 0, 0, uid=uid, fields=fields)
        if fields and self.directory(op, "UpdateUser", user=self.user_of(uid, fields)) is not None:
            self.pool.see(uid, op.version)
            self.done["UpdateUser without a mask"] += 1

    def repeat_update(self, op, fields):
        """Repeats an update that has a request_id: until there is an answer, and sometimes also when it
        was done. (A repeat of one that was refused may be done.) The answer to a repeat is the user as
        it is now, so for the model it is a read."""
        repeats = op.code == UNKNOWN or (op.code == "OK" and self.chance.random() < 0.3)
        while repeats:
            self.repeats += 1
            again = Op("get", 0, 0, uid=op.uid)
            self.directory(again, "UpdateUser", **fields)
            if op.code == UNKNOWN:  # then the repeat may be what wrote
                op.end = max(op.end, again.end)
            if again.code == "ALREADY_EXISTS" or op.kind == "upsert" and again.code == "NOT_FOUND":
                again.kind, again.fields, again.whole = op.kind, op.fields, op.whole
            repeats = again.code == UNKNOWN

    def update_once(self):
        uid, _ = self.pool.choose(self.chance)
        once = str(uuid.uuid4())
        op = Op("update", 0, 0, uid=uid, once=once,
                fields=self.random_fields(("roles", "disabled")) | {"labels": (("r", once),)})
        fields = {"user": self.user_of(uid, op.fields), "update_mask": {"paths": list(op.fields)},
                  "request_id": once}
        if self.directory(op, "UpdateUser", **fields) is not None:
            self.pool.see(uid, op.version)
            self.done["UpdateUser with a request_id"] += 1
        self.repeat_update(op, fields)

    def upsert(self):
        uid = self.chance.choice(self.pool.upserts)
        whole = self.random_fields(FIELDS)
        mask = self.chance.sample(FIELDS, self.chance.randrange(1, 4))
        request = self.chance.choice(["", str(uuid.uuid4())])
        op = Op("upsert", 0, 0, uid=uid, whole=whole, fields={field: whole[field] for field in mask})
        fields = {"user": self.user_of(uid, whole), "update_mask": {"paths": mask},
                  "allow_missing": True, "request_id": request}
        if self.directory(op, "UpdateUser", **fields) is not None:
            self.done["UpdateUser with allow_missing"] += 1
        if request:
            self.repeat_update(op, fields)

    def set_password(self):
        uid, etag = self.pool.choose(self.chance)
        op = Op("update", 0, 0, uid=uid, etag=self.chance.choice([0, etag]),
                secret=self.chance.choice(SECRETS))
        reply = self.directory(op, "SetPassword", name=f"users/{uid}", password=op.secret,
                               etag=f'"{op.etag:x}"' if op.etag else "")
        if reply is not None:
            self.pool.see(uid, op.version)
            self.done["SetPassword"] += 1

    def verify(self):
        uid, _ = self.pool.choose(self.chance)
        op = Op("verify", 0, 0, uid=uid, secret=self.chance.choice(SECRETS))
        self.directory(op, "VerifyPassword", name=f"users/{uid}", password=op.secret)

    def imports(self):
        """Each entry of the stream is a create. Of those without an answer the outcome is unknown."""
        ops = [Op("create", time.monotonic_ns(), 0, UNKNOWN, uid=str(uuid.uuid4()),
                  fields=self.random_fields(FIELDS), secret=self.chance.choice([None, None, *SECRETS]))
               for _ in range(self.chance.randrange(1, 5))]
        requests = [message(f"{NAME}ImportUsersRequest")(create=self.create_request(op, op.uid))
                    for op in ops]
        self.ops += ops
        try:
            for answer in self.calls["ImportUsers"](iter(requests), timeout=20, wait_for_ready=True):
                op = ops[answer.index]
                op.end, op.code = time.monotonic_ns(), "OK"
                if answer.HasField("error"):
                    op.code = CODES[answer.error.code]
                else:
                    op.version, op.state = version_of(answer.user), state_of(answer.user)
                    self.pool.see(op.uid, op.version)
            if any(op.end == 0 for op in ops):
                self.faults.append(f"ImportUsers left requests without an answer: {ops}")
            self.done["ImportUsers"] += 1
        except grpc.RpcError as error:
            if error.code().name != UNKNOWN:
                self.faults.append(f"ImportUsers: {error}")
        for op in ops:
            op.end = op.end or time.monotonic_ns()

    def delete(self):
        uid, etag = self.pool.choose(self.chance)
        op = Op("delete", 0, 0, uid=uid, etag=self.chance.choice([0, etag]))
        self.directory(op, "DeleteUser", name=f"users/{uid}",
                       etag=f'"{op.etag:x}"' if op.etag else "")
        if op.code in ("OK", "NOT_FOUND", UNKNOWN):
            self.pool.drop(uid)

    def get(self):
        uid, _ = self.pool.choose(self.chance)
        if self.chance.random() < 0.1:
            uid = self.chance.choice(self.pool.upserts)
        op = Op("get", 0, 0, uid=uid)
        if self.directory(op, "GetUser", name=f"users/{uid}") is not None and \
                uid not in self.pool.upserts:
            self.pool.see(uid, op.version)

    def batch_get(self):
        """For the model as many single reads."""
        uids = list({self.pool.choose(self.chance)[0] for _ in range(4)})
        whole = Op("batch", 0, 0)
        reply = self.record(whole, self.calls["BatchGetUsers"], message(f"{NAME}BatchGetUsersRequest")(
            names=[f"users/{uid}" for uid in uids], allow_missing=True))
        self.ops.pop()
        if reply is None:
            if whole.code != UNKNOWN:
                self.faults.append(f"BatchGetUsers: {whole.code}")
            return
        self.done["BatchGetUsers"] += 1
        found = {user.name[6:]: user for user in reply.users}
        if [uid for uid in uids if uid in found] != [user.name[6:] for user in reply.users]:
            self.faults.append(f"BatchGetUsers: {uids} in another order: {reply}")
        for uid in uids:
            op = Op("get", whole.start, whole.end, "OK" if uid in found else "NOT_FOUND", uid=uid)
            if uid in found:
                op.version, op.state = version_of(found[uid]), state_of(found[uid])
            self.ops.append(op)

    def lookup(self):
        key = self.chance.choice(["username", "email"])
        value = f"n{self.chance.randrange(USERNAMES)}" if key == "username" else \
            f"e{self.chance.randrange(USERNAMES)}@example.org"
        self.directory(Op("lookup", 0, 0, key=(key, value)), "LookupUser", **{key: value})

    def list(self):
        op = Op("list", 0, 0)
        page = self.directory(op, "ListUsers", page_size=1000)
        if page is not None:
            op.users = [(user.name[6:], version_of(user), state_of(user)) for user in page.users]
            for uid, version, state in op.users:
                if state.username[0] == "b":  # of plain_batch(), which does not learn the ids
                    self.pool.see(uid, version)

    def random_filter(self):
        """A filter, and what it says of a state."""
        digit, role = str(self.chance.randrange(9)), self.chance.choice("abc")
        return self.chance.choice([
            ("disabled", lambda state: state.disabled),
            (f'NOT disabled AND roles:"{role}"', lambda state: not state.disabled and role in state.roles),
            (f'username = "n{digit}*"', lambda state: state.username.startswith("n" + digit)),
            (f'username = "n{digit}"', lambda state: state.username == "n" + digit),
            (f'email = "e{digit}@example.org"', lambda state: state.email == f"e{digit}@example.org"),
            (f'labels.x = "{digit}" OR roles:"{role}"',
             lambda state: dict(state.labels).get("x") == digit or role in state.roles)])

    def filtered_list(self):
        text, match = self.random_filter()
        op = Op("list", 0, 0, match=match)
        page = self.directory(op, "ListUsers", page_size=1000, filter=text)
        if page is not None:
            op.users = [(user.name[6:], version_of(user), state_of(user)) for user in page.users]
            self.done["ListUsers with a filter"] += bool(op.users)

    def pages(self):
        """Each page is a table of its own moment, behind the last user of the page before."""
        size, token, after = self.chance.randrange(3, 9), "", ""
        while True:
            op = Op("list", 0, 0, after=after)
            page = self.directory(op, "ListUsers", page_size=size, page_token=token)
            if page is None:
                return
            op.users = [(user.name[6:], version_of(user), state_of(user)) for user in page.users]
            token = page.next_page_token
            op.more = token != ""
            if len(op.users) > size:
                self.faults.append(f"a page of {size} has {len(op.users)}: {op}")
            if not token:
                self.done["ListUsers by pages"] += 1
                return
            after = op.users[-1][0] if op.users else after

    def plain_list(self):
        op = Op("plain_list", 0, 0)
        users = self.record(op, self.plain.ListUsers, pb.ListUsersRequest(page_size=1000))
        if users is not None:
            op.plain = [(user.id, plain_state(user)) for user in users]

    def plain_batch(self):
        """The reply has no ids, so what was created is seen in listings. The names are for this
        call alone: another write that is refused because of one would be hard to judge."""
        ops = [Op("plain_create", time.monotonic_ns(), 0, UNKNOWN, fields={
            "username": f"b{self.chance.randrange(10)}", "email": "", "roles": ("user",)})
            for _ in range(self.chance.randrange(1, 3))]
        self.ops += ops
        try:
            reply = self.plain.BatchCreateUsers(
                iter([pb.CreateUserRequest(username=op.fields["username"]) for op in ops]), timeout=20,
                wait_for_ready=True)
            if reply.created + len(reply.errors) != len(ops):
                self.faults.append(f"BatchCreateUsers of {len(ops)}: {reply}")
            self.done["BatchCreateUsers"] += 1
        except grpc.RpcError as error:
            if error.code().name != UNKNOWN:
                self.faults.append(f"BatchCreateUsers: {error}")
        for op in ops:
            op.end = time.monotonic_ns()

    def plain_get(self):
        uid, _ = self.pool.choose(self.chance)
        op = Op("plain_get", 0, 0, uid=uid)
        user = self.record(op, self.plain.GetUser, pb.GetUserRequest(id=uid))
        if user is not None:
            op.state = plain_state(user)

    def plain_create(self):
        op = Op("plain_create", 0, 0, fields={**self.random_fields(("username", "email")),
                                             "roles": ("user",)})
        user = self.record(op, self.plain.CreateUser, pb.CreateUserRequest(
            username=op.fields["username"], email=op.fields["email"]))
        if user is None:
            return
        op.uid, op.state = user.id, plain_state(user)
        while not op.version:  # nobody else knows the id yet, so this is the version of the create
            found = Op("get", 0, 0, uid=user.id)
            if self.directory(found, "GetUser", name=f"users/{user.id}") is not None:
                op.version = found.version
        self.pool.see(op.uid, op.version)

    def run(self, until):
        weights = {self.get: 16, self.lookup: 12, self.list: 3, self.update: 30, self.delete: 8,
                   self.plain_get: 8, self.create: 12, self.plain_create: 5, self.batch_get: 5,
                   self.set_password: 5, self.verify: 8, self.imports: 3, self.plain_list: 3,
                   self.plain_batch: 1, self.update_what_is_set: 6, self.update_once: 6,
                   self.upsert: 6, self.filtered_list: 5, self.pages: 3}
        while time.monotonic() < until:
            if time.monotonic() % 1 < PAUSE:
                time.sleep(0.02)
                continue
            full = len(self.pool.etags) >= USERS
            call, = self.chance.choices(list(weights), list(weights.values()))
            if full and call in (self.create, self.plain_create, self.imports):
                call = self.delete
            call()


def kill_workers(server, until, chance):
    kills = 0
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.1, 0.8))
        os.kill(chance.choice(server.worker_pids()), signal.SIGKILL)
        kills += 1
        wait_for(lambda: len(server.worker_pids()) == WORKERS, what="a new worker")
    return kills


def read_all(clients):
    """Reads every user that was ever seen, when nobody writes any more."""
    client = clients[0]
    known = {op.uid for one in clients for op in one.ops if op.uid}
    known |= {uid for one in clients for op in one.ops for uid, _, _ in op.users or ()}
    client.list()
    for uid in sorted(known):
        client.directory(Op("get", 0, 0, uid=uid), "GetUser", name=f"users/{uid}")


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * SECONDS)
def test_random_calls_over_killed_workers_have_an_order(start, tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    server = start("--unique", "username,email", "--data-file", str(tmp_path / "users.db"),
                   "--watch-bookmark", "100ms", "--password-memory", "1M", "--password-passes", "1",
                   "--password-tries", "0", "--password-tries-per-address", "0", workers=WORKERS)
    pool = Pool()
    clients = [Client(server, pool, seed + number) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    followers = [Follower(server, seed - number) for number in range(FOLLOWERS)]
    kills = kill_workers(server, until, random.Random(seed))
    for thread in threads:
        thread.join()
    for follower in followers:
        follower.end()
    read_all(clients)
    server.kill_all()
    os.unlink(f"/dev/shm{server.segment}")  # a reboot: all that was answered is on disk
    server.start()
    read_all(clients)
    for client in clients:
        client.channel.close()
    ops = [op for client in clients + followers for op in client.ops]
    model = Model(ops)
    lost = sum(op.code == UNKNOWN for op in ops)
    repeats = sum(client.repeats for client in clients)
    print(f"{len(ops)} calls, {kills} workers killed, {lost} answers lost, {repeats} calls repeated, "
          f"followers got {sum(follower.listings for follower in followers)} listings and "
          f"{sum(follower.bookmarks for follower in followers)} bookmarks")
    faults = model.faults + [fault for client in clients for fault in client.faults]
    assert faults == [], faults[:5]
    answers = {(op.kind, op.code) for op in ops}
    wanted = {("update", "OK"), ("update", "ABORTED"), ("update", "ALREADY_EXISTS"),
              ("update", "NOT_FOUND"), ("create", "OK"), ("create", "ALREADY_EXISTS"),
              ("delete", "OK"), ("delete", "ABORTED"), ("lookup", "OK"), ("lookup", "NOT_FOUND"),
              ("get", "OK"), ("list", "OK"), ("plain_get", "OK"), ("plain_create", "OK"),
              ("verify", "OK"), ("verify", "UNAUTHENTICATED"), ("plain_list", "OK")}
    assert SANITIZED or wanted <= answers, wanted - answers
    done = sum((client.done for client in clients), collections.Counter())
    assert set(+done) == {
        "BatchGetUsers", "ImportUsers", "SetPassword", "BatchCreateUsers", "UpdateUser without a mask",
        "UpdateUser with a request_id", "UpdateUser with allow_missing", "ListUsers with a filter",
        "ListUsers by pages"}
    assert all(follower.listings > 0 for follower in followers)
    assert SANITIZED or sum(follower.bookmarks for follower in followers) > SECONDS / 2


# ---- the model itself ----

ANN, BEA, CID = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "123")


def history():
    """A history without a fault. Each call begins after the one before has ended."""
    ann, bea = State("ann", "a@x.org"), State("bea")
    admin = dataclasses.replace(ann, roles=("admin",))
    fields = [{field: getattr(user, field) for field in FIELDS} for user in (ann, bea)]
    ops = [
        Op("create", 0, 0, uid=ANN, fields=fields[0], version=1, state=ann),
        Op("create", 0, 0, uid=BEA, fields=fields[1], version=2, state=bea),
        Op("get", 0, 0, uid=ANN, version=1, state=ann),
        Op("update", 0, 0, uid=ANN, fields={"roles": ("admin",)}, etag=1, version=3, state=admin),
        Op("lookup", 0, 0, uid=ANN, key=("username", "ann"), version=3, state=admin),
        Op("update", 0, 0, "ABORTED", uid=ANN, fields={"roles": ()}, etag=1),
        Op("create", 0, 0, "ALREADY_EXISTS", fields=fields[1]),
        Op("list", 0, 0, users=[(ANN, 3, admin), (BEA, 2, bea)]),
        Op("plain_get", 0, 0, uid=ANN, state=admin),
        Op("delete", 0, 0, uid=BEA, etag=2),
        Op("get", 0, 0, "NOT_FOUND", uid=BEA),
        Op("lookup", 0, 0, "NOT_FOUND", key=("username", "bea")),
        Op("update", 0, 0, uid=ANN, fields={"username": "bea"}, version=5,
           state=dataclasses.replace(admin, username="bea")),
        Op("list", 0, 0, users=[(ANN, 5, dataclasses.replace(admin, username="bea"))]),
    ]
    for number, op in enumerate(ops):
        op.start, op.end = 2 * number, 2 * number + 1
    return ops


def test_model_accepts_what_is_right():
    assert Model(history()).faults == []


def stale_read(ops):
    ops[4].version, ops[4].state = 1, ops[2].state


def early_read(ops):
    ops[2].version, ops[2].state = 3, ops[3].state


def changed_field_outside_of_the_mask(ops):
    for op in ops[3], ops[4]:
        op.state = dataclasses.replace(op.state, email="")


def update_of_a_stale_etag(ops):
    ops[5].code, ops[5].version, ops[5].state = "OK", 4, ops[2].state


def right_etag_is_refused(ops):
    ops[5].etag = 3


def two_users_of_one_name(ops):
    ops[9].code = "ABORTED"
    ops[9].etag = 1
    del ops[10:12]


def free_name_is_refused(ops):
    ops[6].fields = {**ops[6].fields, "username": "cid"}


def free_name_is_refused_beside_a_lost_create(ops):
    """Neither has an e-mail: that is no key which the lost one may have taken."""
    free_name_is_refused(ops)
    ops.append(Op("create", 100, 101, UNKNOWN, fields={**ops[1].fields, "username": "zed"}))


def user_is_missing(ops):
    ops[8].code, ops[8].state = "NOT_FOUND", None


def taken_name_is_not_found(ops):
    ops[11].key = ("username", "ann")


def deleted_user_is_read(ops):
    ops[10] = dataclasses.replace(ops[10], code="OK", version=2, state=ops[1].state)


def list_without_a_user(ops):
    del ops[7].users[1]


def list_of_two_moments(ops):
    ops[13].users.append((BEA, 2, ops[1].state))


def list_in_another_order(ops):
    ops[7].users.reverse()


def write_of_nobody(ops):
    ops[8] = Op("get", ops[8].start, ops[8].end, uid=ANN, version=4, state=State("eve"))


def lost_write(ops):
    """An answered update that a later reader does not see."""
    state = dataclasses.replace(ops[2].state, username="bea")
    ops[12].state = state
    ops[13].users = [(ANN, 5, state)]


# ---- passwords, followers, UserService's listings ----

def history_of_passwords(before):
    """What follows history()."""
    ann = before[12].state
    blocked = dataclasses.replace(ann, disabled=True)
    ops = [
        Op("update", 0, 0, uid=ANN, secret="one", version=6, state=ann),
        Op("verify", 0, 0, uid=ANN, secret="one", version=6, state=ann),
        Op("verify", 0, 0, "UNAUTHENTICATED", uid=ANN, secret="two"),
        Op("replica", 0, 0, users=[(ANN, 6, ann)]),
        Op("plain_list", 0, 0, plain=[(ANN, dataclasses.replace(ann, disabled=False, labels=()))]),
        Op("update", 0, 0, uid=ANN, fields={"disabled": True}, version=7, state=blocked),
        Op("verify", 0, 0, "UNAUTHENTICATED", uid=ANN, secret="one"),
        Op("verify", 0, 0, "UNAUTHENTICATED", uid=BEA, secret="one"),
    ]
    for number, op in enumerate(ops, len(before)):
        op.start, op.end = 2 * number, 2 * number + 1
    return ops


def test_model_accepts_right_passwords():
    before = history()
    assert Model(before + history_of_passwords(before)).faults == []


def wrong_password_is_right(ops):
    ops[1].secret = "two"


def right_password_is_wrong(ops):
    ops[2].secret = "one"


def disabled_user_is_verified(ops):
    ops[6] = dataclasses.replace(ops[6], code="OK", version=7, state=ops[5].state)


def deleted_user_is_verified(ops):
    ops[7] = dataclasses.replace(ops[7], code="OK", version=2, state=State("bea"))


def password_changes_a_field(ops):
    for op in ops[0], ops[1]:
        op.state = dataclasses.replace(op.state, email="")
    ops[3].users = [(ANN, 6, ops[0].state)]


def follower_without_a_user(ops):
    ops[3].users = []


def follower_of_an_old_user(ops):
    ops[3].users = [(ANN, 5, ops[0].state)]


def follower_with_a_deleted_user(ops):
    ops[3].users.append((BEA, 2, State("bea")))


def plain_list_without_a_user(ops):
    ops[4].plain = []


def plain_list_of_another_state(ops):
    ops[4].plain = [(ANN, State("ann"))]


@pytest.mark.parametrize("plant", [
    wrong_password_is_right, right_password_is_wrong, disabled_user_is_verified,
    deleted_user_is_verified, password_changes_a_field, follower_without_a_user,
    follower_of_an_old_user, follower_with_a_deleted_user, plain_list_without_a_user,
    plain_list_of_another_state])
def test_model_finds_wrong_passwords_and_tables(plant):
    before = history()
    ops = history_of_passwords(before)
    plant(ops)
    assert Model(before + ops).faults != []


# ---- filters, pages, updates that create or are repeated ----

def is_admin(state):
    return "admin" in state.roles


def history_of_variants(before):
    """What follows history()."""
    ann = before[12].state
    cid = State("cid", labels=(("x", "1"),))
    whole = {field: getattr(cid, field) for field in FIELDS}
    blocked = dataclasses.replace(cid, disabled=True)
    marked = dataclasses.replace(ann, labels=(("r", "once"),))
    plain = dataclasses.replace(marked, labels=())
    ops = [
        Op("upsert", 0, 0, uid=CID, whole=whole, fields={"email": ""}, version=6, state=cid),
        Op("upsert", 0, 0, uid=CID, whole=whole | {"disabled": True}, fields={"disabled": True},
           version=7, state=blocked),
        Op("list", 0, 0, match=is_admin, users=[(ANN, 5, ann)]),
        Op("list", 0, 0, after="", more=True, users=[(ANN, 5, ann)]),
        Op("list", 0, 0, after=ANN, users=[(CID, 7, blocked)]),
        Op("update", 0, 0, UNKNOWN, uid=ANN, fields={"labels": marked.labels}, once="once"),
        Op("get", 0, 0, uid=ANN, version=8, state=marked),
        Op("update", 0, 0, uid=ANN, fields={"labels": ()}, version=9, state=plain),
        Op("get", 0, 0, uid=ANN, version=9, state=plain),
    ]
    for number, op in enumerate(ops, len(before)):
        op.start, op.end = 2 * number, 2 * number + 1
    return ops


def test_model_accepts_right_variants():
    before = history()
    assert Model(before + history_of_variants(before)).faults == []


def upsert_creates_with_the_mask(ops):
    ops[0].state = State("cid")


def upsert_changes_what_the_mask_lacks(ops):
    ops[1].state = dataclasses.replace(ops[1].state, labels=())
    ops[4].users = [(CID, 7, ops[1].state)]


def upsert_finds_nobody(ops):
    ops[0] = dataclasses.replace(ops[0], code="NOT_FOUND", version=0, state=None)


def filter_lets_another_through(ops):
    ops[2].users.append((CID, 7, ops[1].state))


def filter_drops_one(ops):
    ops[2].users = []


def page_without_its_user(ops):
    ops[4].users = []


def page_with_a_user_of_the_one_before(ops):
    ops[4].users.insert(0, ops[3].users[0])


def page_skips_a_user(ops):
    ops[3].users = [(CID, 7, ops[1].state)]


def last_page_ends_early(ops):
    ops[3].more = False


def repeat_writes_again(ops):
    ops[8] = dataclasses.replace(ops[8], version=10, state=ops[6].state)


@pytest.mark.parametrize("plant", [
    upsert_creates_with_the_mask, upsert_changes_what_the_mask_lacks, upsert_finds_nobody,
    filter_lets_another_through, filter_drops_one, page_without_its_user,
    page_with_a_user_of_the_one_before, page_skips_a_user, last_page_ends_early, repeat_writes_again])
def test_model_finds_wrong_variants(plant):
    before = history()
    ops = history_of_variants(before)
    plant(ops)
    assert Model(before + ops).faults != []


@pytest.mark.parametrize("plant", [
    stale_read, early_read, changed_field_outside_of_the_mask, update_of_a_stale_etag,
    right_etag_is_refused, two_users_of_one_name, free_name_is_refused,
    free_name_is_refused_beside_a_lost_create, user_is_missing,
    taken_name_is_not_found, deleted_user_is_read, list_without_a_user, list_of_two_moments,
    list_in_another_order, write_of_nobody, lost_write])
def test_model_finds(plant):
    ops = history()
    plant(ops)
    assert Model(ops).faults != []
