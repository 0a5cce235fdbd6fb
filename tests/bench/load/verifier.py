# SPDX-License-Identifier: MIT
"""A client that makes all five calls during the load, and checks every byte of the replies."""
import collections
import threading
import time

import grpc

from cases import PAGE, UNKNOWN_ID

SECONDS = 30  # deadline of one call, under any load


class Verifier:
    """Runs in a thread between start() and stop(). Counts the calls and messages that the server
    must have counted."""

    def __init__(self, pb, stub, first, page):
        self.pb, self.stub, self.first, self.page = pb, stub, first, page
        self.counts = collections.Counter()
        self.faults = []
        self.verified = 0
        self.number = 0

    def start(self):
        self.counts.clear()
        self.faults.clear()
        self.verified = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        if self.verified == 0 and not self.faults:
            self.faults.append("the verifying client got no reply at all")

    def run(self):
        checks = [self.get, self.get_unknown, self.create, self.list, self.batch, self.chat]
        # At least one whole round, even if the load is over very soon.
        for check in checks:
            self.try_one(check)
        while not self.stopping.is_set() and len(self.faults) < 10:
            self.try_one(checks[self.number % len(checks)])

    def try_one(self, check):
        self.number += 1
        try:
            if fault := check():
                self.faults.append(f"verifying client: {check.__name__}: {fault}")
            else:
                self.verified += 1
        except grpc.RpcError as error:
            self.faults.append(f"verifying client: {check.__name__}: {error.code().name} "
                               f"{error.details()}")

    def count(self, method, received, sent, code="OK"):
        self.counts[method, code] += 1
        self.counts[method, "received"] += received
        self.counts[method, "sent"] += sent

    def get(self):
        user = self.stub.GetUser(self.pb.GetUserRequest(id=self.first.id), timeout=SECONDS)
        self.count("GetUser", 1, 1)
        return None if user == self.first else f"another user: {user}"

    def get_unknown(self):
        try:
            user = self.stub.GetUser(self.pb.GetUserRequest(id=UNKNOWN_ID), timeout=SECONDS)
            return f"a user that does not exist: {user}"
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            self.count("GetUser", 1, 0, "NotFound")
            expected = f"User {UNKNOWN_ID} not found"
            return None if error.details() == expected else f"details: {error.details()}"

    def create(self):
        name = f"verified{self.number}"
        user = self.stub.CreateUser(self.pb.CreateUserRequest(
            username=name, email=f"{name}@example.com", password="secret"), timeout=SECONDS)
        self.count("CreateUser", 1, 1)
        if (user.username, user.email, list(user.roles)) != (name, f"{name}@example.com", ["user"]):
            return f"not the requested user: {user}"
        again = self.stub.GetUser(self.pb.GetUserRequest(id=user.id), timeout=SECONDS)
        self.count("GetUser", 1, 1)
        return None if again == user else f"created was {user}, there is {again}"

    def list(self):
        users = list(self.stub.ListUsers(self.pb.ListUsersRequest(page_size=PAGE),
                                         timeout=SECONDS))
        self.count("ListUsers", 1, len(users))
        return None if users == self.page else f"another page of {len(users)} users"

    def batch(self):
        names = [f"batch{self.number}", "", f"batch{self.number}b"]
        result = self.stub.BatchCreateUsers(
            (self.pb.CreateUserRequest(username=name) for name in names), timeout=SECONDS)
        self.count("BatchCreateUsers", len(names), 1)
        expected = self.pb.BatchResult(created=2, errors=["1: username is required"])
        return None if result == expected else f"another result: {result}"

    def chat(self):
        words = [f"word {self.number}.{i} \u00e4\u20ac" for i in range(5)]
        replies = list(self.stub.Chat(
            (self.pb.ChatMessage(user_id="verifier", text=word) for word in words),
            timeout=SECONDS))
        self.count("Chat", len(words), len(replies))
        if [reply.text for reply in replies] != ["Echo: " + word for word in words]:
            return f"another echo: {replies}"
        late = [reply for reply in replies if reply.user_id != "server" or
                abs(reply.timestamp / 1000 - time.time()) > SECONDS]
        return f"from before this run: {late}" if late else None
