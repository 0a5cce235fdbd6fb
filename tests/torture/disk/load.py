# SPDX-License-Identifier: MIT
"""Clients of a server, and readers beside them, that write down what they were told in a ledger."""
import base64
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time

import harness
import ledger as ledgers
import user_service_pb2 as pb
import wire
from schema import message as kind_of

DIRECTORY = "/rosterd.directory.v1.Directory/"
_numbers = itertools.count(1)
OK, NOT_FOUND, ABORTED, UNAVAILABLE, EXHAUSTED = 0, 5, 10, 14, 8


class Renewal(Exception):
    """The client wants another connection."""


def user_of(message):
    return ledgers.User(message.id, message.username, message.email, tuple(message.roles))


def made(kind, /, **fields):
    """A message of the Directory, as it is sent."""
    return wire.message(kind_of(f"rosterd.directory.v1.{kind}")(**fields))


def new_hash():
    """A hash of some password, which no other user has."""
    salt, value = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m=8,t=1,p=1${salt}${value}"


def user_of_directory(user, secret=""):
    return ledgers.User(user.name.removeprefix("users/"), user.username, user.email, tuple(user.roles),
                        secret)


class Create:
    """A call of UserService that creates a user."""
    path, has_secrets = "CreateUser", False

    def __init__(self, ledger, requests):
        self.ledger, self.requests = ledger, requests
        self.secrets = [random.choice(("", new_hash())) if self.has_secrets else "" for _ in requests]
        ledger.sent_secrets.update(self.secrets)

    def sent(self):
        return wire.message(self.requests[0])

    def fields(self, index):
        request, secret = self.requests[index], self.secrets[index]
        fields = {"user": {"username": request.username, "email": request.email, "roles": ["user"]}}
        return fields | {"password_hash": secret} if secret else fields

    def note(self, text, _):
        self.ledger.note_created(user_of(pb.User.FromString(text)))

    def finish(self, stream):
        """What the client was told until its connection ended."""
        rest, number = stream.data, 0
        while len(rest) >= 5 and len(rest) >= (size := 5 + int.from_bytes(rest[1:5], "big")):
            if self.path.endswith("ImportUsers") or stream.grpc_status == OK:
                self.note(rest[5:size], number)
            rest, number = rest[size:], number + 1
        if stream.ended and stream.grpc_status not in (OK, None):
            self.ledger.refused[stream.grpc_status] += 1
        if stream.ended and stream.grpc_status == OK and number != len(self.requests):
            self.ledger.faults.append(f"{self.path} of {len(self.requests)} has {number} answers")


class DirectoryCreate(Create):
    path, has_secrets = DIRECTORY + "CreateUser", True

    def sent(self):
        return made("CreateUserRequest", **self.fields(0))

    def note(self, text, index):
        user = kind_of("rosterd.directory.v1.User").FromString(text)
        self.ledger.note_created(user_of_directory(user, self.secrets[index]))


class Import(Create):
    """A stream, each of whose answers counts."""
    path, has_secrets = DIRECTORY + "ImportUsers", True

    def sent(self):
        return b"".join(made("ImportUsersRequest", create=self.fields(index))
                        for index in range(len(self.requests)))

    def note(self, text, index):
        answer = kind_of("rosterd.directory.v1.ImportUsersResponse").FromString(text)
        if answer.HasField("error"):
            self.ledger.refused[answer.error.code] += 1
        else:
            self.ledger.note_created(user_of_directory(answer.user, self.secrets[answer.index]))
        if answer.index != index:
            self.ledger.faults.append(f"the answer {index} of an import is that of {answer.index}")


class Load:
    """A context: clients run inside of it."""

    def __init__(self, rosterd, ledger, creators=6, batchers=1, editors=1, readers=2,
                 deadline=None):
        self.rosterd = rosterd
        self.ledger = ledger
        self.deadline = deadline
        self.over = threading.Event()
        self.counts = {"creators": creators, "batchers": batchers, "editors": editors,
                       "readers": readers}
        self.threads = []
        self.errors = []
        self.breaks = []  # connections that ended before their time
        self.follower = None
        self.tail_end = None  # only what the follower saw until then counts

    # ---- threads ----

    def client(self, turn, state):
        """Repeats turn() with a connection; a connection that breaks is replaced."""
        while not self.over.is_set():
            try:
                with wire.Wire(self.rosterd.connect()) as connection:
                    while not self.over.is_set():
                        turn(connection, state)
            except Renewal:
                pass
            except (OSError, AssertionError, IndexError) as error:
                self.breaks.append(f"{turn.__name__}: {error!r:.200}")
                self.over.wait(0.005)  # the server is gone, or this worker
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(repr(error))
                raise

    def __enter__(self):
        # A file, so that nothing is lost when the follower ends.
        self.tail = tempfile.TemporaryFile("w+")
        self.follower = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", harness.SHM_INSPECT, "--segment",
             self.rosterd.segment, "--json", "tail"], stdout=self.tail, stderr=subprocess.DEVNULL)
        turns = {"creators": self.create, "batchers": self.create_batch, "editors": self.edits,
                 "readers": self.read}
        for kind, count in self.counts.items():
            for _ in range(count):
                self.threads.append(threading.Thread(
                    target=self.client, args=(turns[kind], {"number": next(_numbers)}), daemon=True))
                self.threads[-1].start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        self.follower.kill()
        self.follower.wait()
        with self.tail:
            self.tail.seek(0)
            for line in self.tail.read(self.tail_end).splitlines():
                with contextlib.suppress(ValueError):  # the last line may be half there
                    change = json.loads(line)
                    self.ledger.changes.append((change["version"], change["kind"], change["id"]))
        assert not self.errors, self.errors
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"

    def close_record(self):
        """See Ledger.close()."""
        self.tail_end = os.fstat(self.tail.fileno()).st_size
        self.ledger.close()

    # ---- writers ----

    def request(self, state, prefix):
        state["count"] = state.get("count", 0) + 1
        name = f"{prefix}{os.getpid()}-{state['number']}-{state['count']}"
        self.ledger.sent.add(name)
        return pb.CreateUserRequest(username=name, email=ledgers.email_of(name), password="secret")

    def changes(self):
        return {"grpc-timeout": self.deadline} if self.deadline else {}

    def create(self, connection, state):
        """Some calls at once, of both services, so that commits gather."""
        calls = {}
        try:
            for _ in range(random.randint(1, 6)):
                kind, = random.choices((Create, DirectoryCreate, Import), (6, 3, 1))
                count = random.randint(1, 5) if kind is Import else 1
                call = kind(self.ledger, [self.request(state, "c") for _ in range(count)])
                number = connection.open(kind.path, **self.changes())
                calls[number] = call
                connection.data(number, call.sent())
            for number, call in calls.items():
                connection.wait(number)
                call.finish(connection.streams.pop(number))
        finally:
            for number, call in calls.items():  # the others, which were answered before the connection broke
                if number in connection.streams:
                    call.finish(connection.streams.pop(number))

    def create_batch(self, connection, state):
        requests = [self.request(state, "b") for _ in range(random.choice((1, 30, 300)))]
        batch = [[request.username for request in requests], None]
        self.ledger.batches.append(batch)
        stream = connection.open("BatchCreateUsers", **self.changes())
        reply = connection.upload(stream, b"".join(map(wire.message, requests)))
        if reply.grpc_status == OK:
            result = pb.BatchResult.FromString(reply.messages()[0])
            if result.created == len(requests):
                self.ledger.note_batch(batch)
            elif not result.errors:
                self.ledger.faults.append(f"a batch of {len(requests)} has {result.created}")
        else:
            self.ledger.refused[reply.grpc_status] += 1
        raise Renewal  # upload() counts the windows of a connection that it has for itself

    def edits(self, connection, _):
        """An edit by shm-inspect, and some by UpdateUser and DeleteUser."""
        self.edit(self.inspect)
        self.edit_by_calls(connection, 10)

    def edit_by_calls(self, connection, count):
        def call(what, name, roles=""):
            user = f"users/{name}"
            path, request = ("DeleteUser", made("DeleteUserRequest", name=user)) if what == "delete" else (
                "UpdateUser", made("UpdateUserRequest", user={"name": user, "roles": roles.split(",")},
                                   update_mask={"paths": ["roles"]}))
            return connection.call(DIRECTORY + path, request, **self.changes()).grpc_status == OK
        for _ in range(count):
            self.edit(call)
            self.set_password(connection)
        connection.streams.clear()

    def set_password(self, connection):
        known = [user for user in random.sample(self.ledger.known, min(3, len(self.ledger.known)))
                 if user.id not in self.ledger.delete_tries]
        for user in known[:1]:
            tries = self.ledger.password_tries.setdefault(user.id, [])
            tries.append(new_hash())
            reply = connection.call(DIRECTORY + "SetPassword", made(
                "SetPasswordRequest", name=f"users/{user.id}", password_hash=tries[-1]), **self.changes())
            if reply.grpc_status == OK:
                self.ledger.note_password(user.id, len(tries) - 1)

    def inspect(self, *arguments):
        done = subprocess.run([harness.SHM_INSPECT, "--segment", self.rosterd.segment, *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode == 0 and not done.stderr

    def edit(self, way):
        """Updates and deletes, one after the other, so that a user's roles have an order. `way` does
        it, and says whether that was acknowledged."""
        if not self.ledger.known:
            self.over.wait(0.005)
            return
        user = random.choice(self.ledger.known)
        if user.id in self.ledger.delete_tries:
            self.ledger.known.remove(user)
        elif random.random() < 0.3:
            self.ledger.delete_tries[user.id] = user.username
            if way("delete", user.id):
                self.ledger.note_deleted(user.id)
        else:
            tries = self.ledger.role_tries.setdefault(user.id, [])
            tries.append((f"r{next(_numbers)}", "user"))
            index = len(tries) - 1
            if way("set-roles", user.id, ",".join(tries[index])):
                self.ledger.note_roles(user.id, index)

    # ---- readers ----

    def read(self, connection, state):
        self.list_news(connection, state)
        for user in random.sample(self.ledger.known, min(3, len(self.ledger.known))):
            reply = connection.call("GetUser", wire.message(pb.GetUserRequest(id=user.id)))
            if reply.grpc_status == OK:
                self.ledger.note_seen(user_of(pb.User.FromString(reply.messages()[0])))
            elif reply.grpc_status == NOT_FOUND:
                self.ledger.note_missing(user.id, "GetUser")
        connection.streams.clear()

    def list_news(self, connection, state):
        request = pb.ListUsersRequest(page_size=200, page_token=state.get("token", ""))
        reply = connection.call("ListUsers", wire.message(request))
        if reply.grpc_status != OK:
            return
        for text in reply.messages():
            self.ledger.note_seen(user_of(pb.User.FromString(text)))
        # The token of the last page leads on to the users who come later.
        state["token"] = reply.trailers.get("next-page-token", state.get("token", ""))


def sleep_random(longest):
    time.sleep(random.random() * longest)


def kill(pid, how=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
