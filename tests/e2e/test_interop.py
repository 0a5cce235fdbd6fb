# SPDX-License-Identifier: MIT
"""gRPC's interoperability tests: grpc-go's client runs most cases; grpcio runs the compressed
cases, which grpc-go's client lacks."""
import os
import pathlib
import socket
import struct
import subprocess

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from harness import expect
from wire import Wire

SERVER = os.environ["INTEROP_SERVER"]
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong",
         "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin",
         "cancel_after_first_response", "status_code_and_message", "special_status_message",
         "unimplemented_method", "unimplemented_service", "custom_metadata"]
SERVICE = "/grpc.testing.TestService/"


@pytest.fixture(scope="module")
def port():
    with subprocess.Popen([SERVER, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())
        assert process.poll() is None, "it died"
        process.terminate()


@pytest.mark.parametrize("case", CASES)
def test_grpc_go(port, case):
    done = subprocess.run(["grpc-go-interop-client", "-server_host", "127.0.0.1", "-server_port",
                           str(port), "-test_case", case], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr


# ---- the compressed cases, following gRPC's interop-test-descriptions ----

@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    path = tmp_path_factory.mktemp("interop") / "set.bin"
    source = pathlib.Path(os.environ["E2E_PROTO"]).parent / "tests/interop"
    subprocess.run(["protoc", f"-I{source}", "-I/usr/include", "--include_imports",
                    f"--descriptor_set_out={path}", "testing.proto"], check=True)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName(f"grpc.testing.{name}"))


@pytest.fixture
def channel(port):
    with grpc.insecure_channel(f"127.0.0.1:{port}",
                               [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def serialize(message):
    return message.SerializeToString()


def flags(port, method, request, accept):
    """Returns for each reply whether it was compressed. grpcio does not expose this."""
    body = request.SerializeToString()
    with Wire(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        stream = connection.open(SERVICE + method, grpc_accept_encoding=accept)
        connection.data(stream, struct.pack(">BI", 0, len(body)) + body)
        data, found = connection.wait(stream).data, []
        while data:
            flag, length = struct.unpack(">BI", data[:5])
            found.append(flag == 1)
            data = data[5 + length:]
        return found


def test_client_compressed_unary(channel, messages):
    call = channel.unary_unary(SERVICE + "UnaryCall", serialize,
                               messages("SimpleResponse").FromString)
    request = messages("SimpleRequest")(response_size=314159, expect_compressed={"value": True},
                                        payload={"body": bytes(271828)})
    # The probe: a message that claims to be compressed and is not.
    expect(lambda: call(request), grpc.StatusCode.INVALID_ARGUMENT)
    assert len(call(request, compression=grpc.Compression.Gzip).payload.body) == 314159
    request.expect_compressed.value = False
    assert len(call(request).payload.body) == 314159


def test_server_compressed_unary(channel, messages, port):
    call = channel.unary_unary(SERVICE + "UnaryCall", serialize,
                               messages("SimpleResponse").FromString)
    for wanted in (True, False):
        request = messages("SimpleRequest")(response_size=314159, payload={"body": bytes(10000)},
                                            response_compressed={"value": wanted})
        assert call(request).payload.body == bytes(314159)
        assert flags(port, "UnaryCall", request, "identity,gzip") == [wanted]


def test_client_compressed_streaming(channel, messages):
    call = channel.stream_unary(SERVICE + "StreamingInputCall", serialize,
                                messages("StreamingInputCallResponse").FromString)

    def requests(first):
        yield messages("StreamingInputCallRequest")(expect_compressed={"value": first},
                                                    payload={"body": bytes(27182)})
        yield messages("StreamingInputCallRequest")(expect_compressed={"value": False},
                                                    payload={"body": bytes(45904)})
    expect(lambda: call(requests(True)), grpc.StatusCode.INVALID_ARGUMENT)
    reply = call(requests(True), compression=grpc.Compression.Gzip)
    assert reply.aggregated_payload_size == 73086


def test_server_compressed_streaming(channel, messages, port):
    call = channel.unary_stream(SERVICE + "StreamingOutputCall", serialize,
                                messages("StreamingOutputCallResponse").FromString)
    request = messages("StreamingOutputCallRequest")(response_parameters=[
        {"compressed": {"value": True}, "size": 31415},
        {"compressed": {"value": False}, "size": 92653}])
    assert [len(reply.payload.body) for reply in call(request)] == [31415, 92653]
    request.response_parameters[1].size = 9265  # fits into the windows of this client
    assert flags(port, "StreamingOutputCall", request, "gzip") == [True, False]
