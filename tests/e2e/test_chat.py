# SPDX-License-Identifier: MIT
"""Chat, the bidirectional call."""
import queue
import threading
import time

import grpc

import user_service_pb2 as pb
from harness import SANITIZED, expect, resident

SERVICE = "/userservice.UserService/"


class Conversation:
    """A Chat in which the test decides when to send."""

    def __init__(self, stub, **settings):
        self.queue = queue.Queue()
        self.call = stub.Chat(iter(self.queue.get, None), **settings)

    def send(self, text, user="me"):
        self.queue.put(pb.ChatMessage(user_id=user, text=text, timestamp=1))

    def say(self, text):
        self.send(text)
        return next(self.call)

    def half_close(self):
        self.queue.put(None)


def test_each_message_is_echoed_at_once(stub):
    chat = Conversation(stub)
    for text in ("hello", "", "ünï", "x" * 100000):
        before = int(time.time() * 1000)
        reply = chat.say(text)
        assert (reply.user_id, reply.text) == ("server", "Echo: " + text)
        assert before - 1 <= reply.timestamp <= time.time() * 1000 + 1
    chat.half_close()
    assert list(chat.call) == []
    assert chat.call.code() == grpc.StatusCode.OK


def test_chat_without_messages_succeeds(stub):
    assert list(stub.Chat(iter([]))) == []


def test_10000_messages_come_back_in_order(stub):
    sent = (pb.ChatMessage(text=str(i)) for i in range(10000))
    assert [reply.text for reply in stub.Chat(sent)] == [f"Echo: {i}" for i in range(10000)]


def test_text_with_nul_is_echoed_unchanged(stub):
    chat = Conversation(stub)
    assert chat.say("a\0b\0").text == "Echo: a\0b\0"
    chat.half_close()


def test_text_that_is_not_utf8_is_an_error_naming_the_field(server):
    call = server.channel().stream_stream(SERVICE + "Chat")
    expect(lambda: list(call(iter([b"\x12\x02\xc3\x28"]))), grpc.StatusCode.INTERNAL, "text")
    expect(lambda: list(call(iter([b"\x0a\x01\xff"]))), grpc.StatusCode.INTERNAL, "user_id")


def test_deadline_ends_an_idle_chat(stub):
    chat = Conversation(stub, timeout=0.5)
    assert chat.say("a").text == "Echo: a"
    started = time.monotonic()
    expect(lambda: next(chat.call), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - started < 5
    chat.half_close()


def test_connection_survives_cancelled_chats(stub):
    for _ in range(100):
        chat = Conversation(stub)
        chat.say("x")
        chat.call.cancel()
        chat.half_close()
    assert Conversation(stub).say("still").text == "Echo: still"


def test_lost_connection_does_not_disturb_others(server):
    stays = Conversation(server.stub())
    stays.say("a")
    for _ in range(10):
        channel = server.channel()
        chat = Conversation(type(server.stub())(channel))
        chat.say("b")
        channel.close()
        chat.half_close()
    assert stays.say("c").text == "Echo: c"
    stays.half_close()


def test_1000_idle_chats_stay_open_while_getuser_is_answered(start):
    with start(workers=1) as rosterd:
        # The client respects the announced limits and opens as many connections as it needs.
        stubs = [rosterd.stub() for _ in range(20)]
        chats = [Conversation(stubs[i % 20]) for i in range(40)]
        for chat in chats:
            chat.say("warm")
        pid, = rosterd.worker_pids()
        few = resident(pid)
        chats += [Conversation(stubs[i % 20]) for i in range(40, 1000)]
        replies = [chat.say("in") for chat in chats[40:]]
        assert {reply.text for reply in replies} == {"Echo: in"}
        if not SANITIZED:
            # At most 4 KiB per stream; the buffers of the 20 connections were allocated before.
            assert (resident(pid) - few) / 960 < 4096
        busy = rosterd.stub()
        user = busy.CreateUser(pb.CreateUserRequest(username="busy"))
        answered, end = 0, time.monotonic() + 3
        while time.monotonic() < end:
            assert busy.GetUser(pb.GetUserRequest(id=user.id)) == user
            answered += 1
        assert answered > 300
        assert {chat.say("out").text for chat in chats} == {"Echo: out"}
        for chat in chats:
            chat.half_close()
        assert all(list(chat.call) == [] for chat in chats)
        assert rosterd.worker_pids() == [pid]


def test_many_clients_at_once(server):
    errors = []

    def talk(number):
        try:
            stub = server.stub()
            for i in range(50):
                sent = [pb.ChatMessage(text=f"{number} {i} {k}") for k in range(20)]
                got = [reply.text for reply in stub.Chat(iter(sent))]
                assert got == ["Echo: " + message.text for message in sent]
        except Exception as error:  # the main thread reports it
            errors.append(error)
    threads = [threading.Thread(target=talk, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
