# SPDX-License-Identifier: MIT
"""Random calls of both services from many clients, over workers that are killed, against a sequential
model: each answer must be one that some order of the calls gives. model_check.py has the rules.

MODEL_SECONDS (6): how long the clients call. `make model` runs for longer."""
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


class Client:
    def __init__(self, server, pool, seed):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 100)])
        self.plain = pb_grpc.UserServiceStub(self.channel)
        self.calls = {call: method(self.channel, f"{NAME}Directory/{call}") for call in (
            "GetUser", "LookupUser", "ListUsers", "CreateUser", "UpdateUser", "DeleteUser")}
        self.pool, self.chance, self.ops = pool, random.Random(seed), []
        self.repeats, self.faults = 0, []

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

    # ---- the calls ----

    def create(self):
        uid = self.chance.choice(["", str(uuid.uuid4())])
        request = self.chance.choice(["", str(uuid.uuid4())])
        op = Op("create", 0, 0, uid=uid, fields=self.random_fields(FIELDS))
        user = {**op.fields, "labels": dict(op.fields["labels"])}
        reply = self.directory(op, "CreateUser", user=user, user_id=uid, request_id=request)
        while request and op.code == UNKNOWN:  # the repeat says what became of it
            self.repeats += 1
            reply = self.directory(op, "CreateUser", user=user, user_id=uid, request_id=request)
        if reply is None:
            return
        self.pool.see(op.uid, op.version)
        if request and self.chance.random() < 0.3:  # whatever has become of the user meanwhile
            again = Op("repeat", 0, 0)
            self.directory(again, "CreateUser", user=user, user_id=uid, request_id=request)
            self.repeats += 1
            if again.code != UNKNOWN and (again.uid, again.version, again.state) != (
                    op.uid, op.version, op.state):
                self.faults.append(f"{again} repeats {op}")

    def update(self):
        uid, etag = self.pool.choose(self.chance)
        mask = self.chance.sample(FIELDS, self.chance.randrange(1, 4))
        op = Op("update", 0, 0, uid=uid, fields=self.random_fields(mask),
                etag=self.chance.choice([0, etag]))
        user = {**op.fields, "name": f"users/{uid}"}
        if "labels" in user:
            user["labels"] = dict(user["labels"])
        if op.etag:
            user["etag"] = f'"{op.etag:x}"'
        if self.directory(op, "UpdateUser", user=user, update_mask={"paths": mask}) is not None:
            self.pool.see(uid, op.version)

    def delete(self):
        uid, etag = self.pool.choose(self.chance)
        op = Op("delete", 0, 0, uid=uid, etag=self.chance.choice([0, etag]))
        self.directory(op, "DeleteUser", name=f"users/{uid}",
                       etag=f'"{op.etag:x}"' if op.etag else "")
        if op.code in ("OK", "NOT_FOUND", UNKNOWN):
            self.pool.drop(uid)

    def get(self):
        uid, _ = self.pool.choose(self.chance)
        op = Op("get", 0, 0, uid=uid)
        if self.directory(op, "GetUser", name=f"users/{uid}") is not None:
            self.pool.see(uid, op.version)

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
        weights = {self.get: 20, self.lookup: 12, self.list: 3, self.update: 30, self.delete: 6,
                   self.plain_get: 8, self.create: 12, self.plain_create: 5}
        while time.monotonic() < until:
            full = len(self.pool.etags) >= USERS
            call, = self.chance.choices(list(weights), list(weights.values()))
            if full and call in (self.create, self.plain_create):
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
                   workers=WORKERS)
    pool = Pool()
    clients = [Client(server, pool, seed + number) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
    for thread in threads:
        thread.start()
    kills = kill_workers(server, until, random.Random(seed))
    for thread in threads:
        thread.join()
    read_all(clients)
    server.kill_all()
    os.unlink(f"/dev/shm{server.segment}")  # a reboot: all that was answered is on disk
    server.start()
    read_all(clients)
    for client in clients:
        client.channel.close()
    ops = [op for client in clients for op in client.ops]
    model = Model(ops)
    lost = sum(op.code == UNKNOWN for op in ops)
    repeats = sum(client.repeats for client in clients)
    print(f"{len(ops)} calls, {kills} workers killed, {lost} answers lost, {repeats} calls repeated")
    faults = model.faults + [fault for client in clients for fault in client.faults]
    assert faults == [], faults[:5]
    answers = {(op.kind, op.code) for op in ops}
    wanted = {("update", "OK"), ("update", "ABORTED"), ("update", "ALREADY_EXISTS"),
              ("update", "NOT_FOUND"), ("create", "OK"), ("create", "ALREADY_EXISTS"),
              ("delete", "OK"), ("delete", "ABORTED"), ("lookup", "OK"), ("lookup", "NOT_FOUND"),
              ("get", "OK"), ("list", "OK"), ("plain_get", "OK"), ("plain_create", "OK")}
    assert SANITIZED or wanted <= answers, wanted - answers


# ---- the model itself ----

ANN, BEA = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


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


@pytest.mark.parametrize("plant", [
    stale_read, early_read, changed_field_outside_of_the_mask, update_of_a_stale_etag,
    right_etag_is_refused, two_users_of_one_name, free_name_is_refused, user_is_missing,
    taken_name_is_not_found, deleted_user_is_read, list_without_a_user, list_of_two_moments,
    list_in_another_order, write_of_nobody, lost_write])
def test_model_finds(plant):
    ops = history()
    plant(ops)
    assert Model(ops).faults != []
