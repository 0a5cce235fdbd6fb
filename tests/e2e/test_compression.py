# SPDX-License-Identifier: MIT
"""gzip and deflate in both directions: with grpcio, which supports both, and byte by byte."""
import gzip
import re
import struct
import zlib

import grpc
import pytest

import user_service_pb2 as pb
from harness import Rosterd, cpu_seconds, expect, resident, requests, wait_for
from wire import Wire, message

PACK = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress}
ALGORITHMS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


@pytest.fixture(scope="module")
def server():
    with Rosterd("--compression-min-size", "1K", workers=1) as rosterd:
        yield rosterd


def frame(body, flag=1):
    return struct.pack(">BI", flag, len(body)) + body


def peak(pid):
    """Returns the peak of resident memory in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024


def parts(data):
    """Splits a stream's bytes into [(flag, body)]."""
    found = []
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        found.append((flag, data[5:5 + length]))
        data = data[5 + length:]
    return found


# ---- requests ----

@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_grpcio_sends_compressed_in_every_kind_of_call(server, algorithm):
    stub, how = server.stub(), {"compression": ALGORITHMS[algorithm]}
    name = "n" * 200
    user = stub.CreateUser(pb.CreateUserRequest(username=name, password="p" * 1000), **how)
    assert user.username == name
    assert stub.GetUser(pb.GetUserRequest(id=user.id), **how) == user
    assert stub.BatchCreateUsers(requests(5000), **how).created == 5000
    assert len(list(stub.ListUsers(pb.ListUsersRequest(page_size=50), **how))) == 50
    texts = ["x" * n for n in (0, 10, 1000, 100000, 3000000)]
    echoes = stub.Chat(iter([pb.ChatMessage(text=text) for text in texts]), **how)
    assert [echo.text for echo in echoes] == ["Echo: " + text for text in texts]


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("size", [1, 7, 16384])
def test_a_compressed_request_in_pieces(server, encoding, size):
    body = frame(PACK[encoding](pb.ChatMessage(text="abc" * 1000).SerializeToString()))
    with Wire(server.connect()) as connection:
        stream = connection.open("Chat", grpc_encoding=encoding)
        for at in range(0, len(body), size):
            connection.data(stream, body[at:at + size], end=at + size >= len(body))
        response = connection.wait(stream)
        assert response.grpc_status == 0
        ((flag, reply),) = parts(response.data)
        assert flag == 0 and pb.ChatMessage.FromString(reply).text == "Echo: " + "abc" * 1000


def test_a_stream_may_mix_compressed_and_plain_messages(server):
    with Wire(server.connect()) as connection:
        stream = connection.open("BatchCreateUsers", grpc_encoding="gzip")
        body = b"".join(frame(gzip.compress(user.SerializeToString())) if i % 2 else message(user)
                        for i, user in enumerate(requests(100)))
        connection.data(stream, body)
        assert pb.BatchResult.FromString(connection.wait(stream).messages()[0]).created == 100


def status_of(server, body, encoding):
    with Wire(server.connect()) as connection:
        stream = connection.open("GetUser", **({"grpc_encoding": encoding} if encoding else {}))
        connection.data(stream, body)
        response = connection.wait(stream)
        return response.grpc_status, response.trailers.get("grpc-message", ""), response.trailers


GOOD = pb.GetUserRequest(id="x").SerializeToString()


@pytest.mark.parametrize("encoding", PACK)
def test_data_that_is_not_in_its_encoding_is_an_error(server, encoding):
    packed = PACK[encoding](GOOD)
    other = PACK["deflate" if encoding == "gzip" else "gzip"](GOOD)
    for body in (b"", b"\0", packed[:-1], packed + b"\0", packed + packed[:-1], packed + other,
                 other, GOOD, b"\xff" * 99):
        code, text, _ = status_of(server, frame(body), encoding)
        assert (code, text) == (13, f"message is no valid {encoding}"), body
    assert status_of(server, frame(packed), encoding)[0] == 5


def test_a_compressed_flag_without_an_encoding_is_an_error(server):
    for encoding in (None, "identity"):
        code, text, _ = status_of(server, frame(gzip.compress(GOOD)), encoding)
        assert code == 13 and "without a grpc-encoding" in text


def test_an_unknown_encoding_is_answered_with_the_supported_ones(server):
    code, _, trailers = status_of(server, frame(GOOD, 0), "snappy")
    assert code == 12 and trailers["grpc-accept-encoding"] == "identity,gzip,deflate"


def test_gzip_of_several_members_is_one_message(server):
    body = pb.ChatMessage(text="in two parts").SerializeToString()
    packed = gzip.compress(body[:5]) + gzip.compress(b"") + gzip.compress(body[5:])
    with Wire(server.connect()) as connection:
        response = connection.call("Chat", frame(packed), grpc_encoding="gzip")
        assert response.grpc_status == 0
        assert pb.ChatMessage.FromString(parts(response.data)[0][1]).text == "Echo: in two parts"
        for more in (bytes(8), b"junk", gzip.compress(b"")[:-1]):
            response = connection.call("Chat", frame(packed + more), grpc_encoding="gzip")
            assert response.grpc_status == 13
        half = gzip.compress(bytes(3 << 20))
        response = connection.call("Chat", frame(half + half), grpc_encoding="gzip")
        assert response.grpc_status == 8


# ---- bombs ----

@pytest.mark.unsanitized  # its memory is the sanitizer's
@pytest.mark.parametrize("field", [b"\x78\0", b"\x7d1234", b"\x7b\x7c", b"\x0a\0", b"\x08\0"])
def test_many_small_fields_in_few_bytes_count_with_their_inflated_size(server, field):
    pid, = server.worker_pids()
    bomb = gzip.compress(field * ((4 << 20) // len(field)))
    most = peak(pid)
    with Wire(server.connect()) as connection:
        for _ in range(5):
            cpu = cpu_seconds(pid)
            assert connection.call("GetUser", frame(bomb), grpc_encoding="gzip").grpc_status \
                == 8  # RESOURCE_EXHAUSTED: it inflates to more than is allowed
            assert cpu_seconds(pid) - cpu < 0.1
    assert peak(pid) - most < (8 << 20) + (1 << 20)

@pytest.mark.parametrize("encoding", PACK)
def test_a_decompression_bomb_stops_at_the_limit(server, encoding):
    pid, = server.worker_pids()
    # A gigabyte of zeros, compressed to a megabyte.
    make = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    bomb = b"".join(make.compress(bytes(1 << 20)) for _ in range(1024)) + make.flush()
    memory, cpu = resident(pid), cpu_seconds(pid)
    for _ in range(3):
        with Wire(server.connect()) as connection:
            stream = connection.open("GetUser", grpc_encoding=encoding)
            response = connection.upload(stream, frame(bomb))
            assert response.grpc_status == 8
            assert "inflates%20to%20more" in response.trailers["grpc-message"] \
                or "inflates to more" in response.trailers["grpc-message"]
    assert resident(pid) - memory < 24 << 20
    assert cpu_seconds(pid) - cpu < 5
    assert status_of(server, frame(gzip.compress(GOOD)), "gzip")[0] == 5
    wait_for(lambda: server.inspect("stats")['rosterd_limits_hit_total{limit="max_message_size"}']
             >= 3, 10, "they are counted")


@pytest.mark.unsanitized  # its memory is the sanitizer's
def test_memory_of_a_large_message_is_released(start):
    rosterd = start(workers=1)
    pid, = rosterd.worker_pids()
    assert status_of(rosterd, frame(gzip.compress(GOOD)), "gzip")[0] == 5
    before = resident(pid)
    bomb = gzip.compress(pb.GetUserRequest(id="a" * (4_000_000)).SerializeToString())
    assert status_of(rosterd, frame(bomb), "gzip")[0] == 5
    assert resident(pid) - before > 3 << 20  # kept for the next message
    wait_for(lambda: resident(pid) - before < 1 << 20, 10, "the memory to be released")


def test_a_message_that_inflates_to_exactly_the_limit_is_read(server):
    text = pb.GetUserRequest(id="a" * ((4 << 20) - 5))
    assert len(text.SerializeToString()) == 4 << 20
    expect(lambda: server.stub().GetUser(text, compression=grpc.Compression.Gzip),
           grpc.StatusCode.NOT_FOUND)
    text.id += "a"
    expect(lambda: server.stub().GetUser(text, compression=grpc.Compression.Gzip),
           grpc.StatusCode.RESOURCE_EXHAUSTED, "inflates to more than the maximum of 4194304")


# ---- replies ----

def chat(server, accept, *texts):
    with Wire(server.connect()) as connection:
        stream = connection.open("Chat", **({"grpc_accept_encoding": accept} if accept else {}))
        response = connection.upload(
            stream, b"".join(message(pb.ChatMessage(text=text)) for text in texts))
        assert response.grpc_status == 0
        return response.headers.get("grpc-encoding"), parts(response.data)


@pytest.mark.parametrize("accept, chosen", [
    ("identity, deflate, gzip", "gzip"), ("gzip", "gzip"), ("identity,deflate", "deflate"),
    ("deflate", "deflate"), ("identity", None), (None, None), ("snappy", None), ("", None)])
def test_a_reply_is_compressed_as_the_client_accepts_it(server, accept, chosen):
    encoding, messages = chat(server, accept, "a", "b" * 5000, "c" * 500, "d" * 50000)
    assert encoding == chosen
    assert [flag for flag, _ in messages] == ([0, 1, 0, 1] if chosen else [0, 0, 0, 0])
    bodies = [UNPACK[chosen](body) if flag else body for flag, body in messages]
    assert [pb.ChatMessage.FromString(body).text[6:] for body in bodies] == \
        ["a", "b" * 5000, "c" * 500, "d" * 50000]
    if chosen:
        assert len(messages[3][1]) < 1000


def test_a_request_inflated_a_hundredfold_gets_an_uncompressed_reply(server):
    with Wire(server.connect()) as connection:
        for text, flag in (("z" * 16000, 1), ("z" * 1000000, 0), ("z" * 1000000 + "no", 0)):
            packed = gzip.compress(pb.ChatMessage(text=text).SerializeToString())
            stream = connection.open("Chat", grpc_encoding="gzip", grpc_accept_encoding="gzip")
            response = connection.upload(stream, frame(packed))
            ((how, _),) = parts(response.data)
            assert how == flag
        # Like ordinary text: about four times as long as its compressed form.
        text = " ".join(f"{i * 7919 % 100003}" for i in range(20000))
        stream = connection.open("Chat", grpc_encoding="gzip", grpc_accept_encoding="gzip")
        response = connection.upload(
            stream, frame(gzip.compress(pb.ChatMessage(text=text).SerializeToString())))
        ((how, body),) = parts(response.data)
        assert how == 1 and pb.ChatMessage.FromString(gzip.decompress(body)).text[6:] == text


def test_a_reply_that_does_not_shrink_is_sent_uncompressed(start):
    rosterd = start("--compression-min-size", "0", workers=1)
    encoding, messages = chat(rosterd, "gzip", "a", "a" * 200)
    assert encoding == "gzip" and [flag for flag, _ in messages] == [0, 1]


def test_a_small_unary_reply_has_no_grpc_encoding(server):
    user = server.stub().CreateUser(pb.CreateUserRequest(username="small"))
    with Wire(server.connect()) as connection:
        response = connection.call("GetUser", message(pb.GetUserRequest(id=user.id)),
                                   grpc_accept_encoding="gzip")
        assert "grpc-encoding" not in response.headers and parts(response.data)[0][0] == 0


def test_the_option_selects_the_encodings(start):
    for options, chosen in ((["--compression", "off"], None),
                            (["--compression", "deflate"], "deflate"),
                            (["--compression-min-size", "0"], "gzip")):
        rosterd = start(*options, workers=1)
        encoding, messages = chat(rosterd, "gzip,deflate", "x" * 2000)
        assert encoding == chosen and messages[0][0] == (chosen is not None)
        # Requests are decompressed regardless of the option.
        assert status_of(rosterd, frame(gzip.compress(GOOD)), "gzip")[0] == 5


def test_grpcio_reads_what_is_compressed(server):
    text = "y" * 100000
    before = server.inspect("stats")["rosterd_sent_bytes_total"]
    echoes = list(server.stub().Chat(iter([pb.ChatMessage(text=text)] * 20)))
    assert [echo.text for echo in echoes] == ["Echo: " + text] * 20
    assert server.inspect("stats")["rosterd_sent_bytes_total"] - before < 100000
