# SPDX-License-Identifier: MIT
"""The calls of a load test: each kind of call, and the expected reply."""
import dataclasses
import json

PAGE, BATCH, CHAT = 50, 100, 50  # messages per listing, batch, conversation
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
# Calls per step, relative to the other methods.
WEIGHTS = {"GetUser": 100, "CreateUser": 5, "ListUsers": 20, "BatchCreateUsers": 0.1, "Chat": 10}


@dataclasses.dataclass(frozen=True)
class Case:
    """One method with a request that never changes, so that the size of its reply is known."""
    name: str
    method: str
    requests: list
    replies: int      # messages in the reply to one call
    reply_bytes: int  # bytes of that reply, including length prefixes
    code: str = "OK"

    def body(self):
        """Returns the request as a recorded HTTP/2 body."""
        texts = [request.SerializeToString() for request in self.requests]
        return b"".join(b"\0" + len(text).to_bytes(4, "big") + text for text in texts)

    def json(self):
        """Returns the request as ghz reads it: with the field names of the .proto file."""
        objects = [{field.name: value for field, value in request.ListFields()}
                   for request in self.requests]
        return json.dumps(objects if self.method in ("BatchCreateUsers", "Chat") else objects[0])


def wire_size(messages):
    return sum(5 + message.ByteSize() for message in messages)


def make_cases(pb, stub, seconds):
    """Makes each call once, with an independent client (grpcio), to learn the size of its reply."""
    first = stub.CreateUser(pb.CreateUserRequest(username="load", email="load@example.com"),
                            timeout=seconds)
    creations = [pb.CreateUserRequest(username=f"load{i:04}", email=f"load{i:04}@example.com",
                                      password="secret") for i in range(BATCH)]
    stub.BatchCreateUsers(iter(creations), timeout=seconds)  # fills a page
    page = list(stub.ListUsers(pb.ListUsersRequest(page_size=PAGE), timeout=seconds))
    words = [pb.ChatMessage(user_id="load", text=f"message {i:04}") for i in range(CHAT)]
    chat = list(stub.Chat(iter(words), timeout=seconds))
    mixed = creations[:-1] + [pb.CreateUserRequest()]
    result = stub.BatchCreateUsers(iter(mixed), timeout=seconds)
    get = [pb.GetUserRequest(id=first.id)]
    create = [pb.CreateUserRequest(username=first.username, email=first.email)]
    if len(page) != PAGE or len(chat) != CHAT:
        raise SystemExit(f"a page of {PAGE} has {len(page)} users, "
                         f"a chat of {CHAT} messages {len(chat)} replies")
    return first, page, [
        Case("GetUser", "GetUser", get, 1, wire_size([first])),
        Case("GetUser, unknown id", "GetUser", [pb.GetUserRequest(id=UNKNOWN_ID)], 0, 0,
             "NotFound"),
        Case("CreateUser", "CreateUser", create, 1, wire_size([first])),
        Case(f"ListUsers of {PAGE}", "ListUsers", [pb.ListUsersRequest(page_size=PAGE)], PAGE,
             wire_size(page)),
        Case(f"BatchCreateUsers of {BATCH}", "BatchCreateUsers", mixed, 1, wire_size([result])),
        Case(f"Chat of {CHAT}", "Chat", words, CHAT, wire_size(chat)),
    ]


def users_made(base):
    """Returns how many users a step of `base` calls, times the weights, creates in the table."""
    return base * (WEIGHTS["CreateUser"] + WEIGHTS["BatchCreateUsers"] * (BATCH - 1))
