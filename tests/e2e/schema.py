# SPDX-License-Identifier: MIT
"""Gives access to the messages and calls of those protos whose generated Python packages would hide
grpcio's own."""
import os

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PATH = os.path.join(os.environ["PYTHONPATH"].split(":")[0], "all.bin")
with open(PATH, "rb") as _file:
    FILES = descriptor_pb2.FileDescriptorSet.FromString(_file.read())
_pool = descriptor_pool.DescriptorPool()
for _proto in FILES.file:
    _pool.Add(_proto)
_factory = message_factory.MessageFactory(_pool)


def message(name):
    return _factory.GetPrototype(_pool.FindMessageTypeByName(name))


def method(channel, path):
    """Returns the callable of "package.Service/Method" on a channel."""
    service, _, name = path.partition("/")
    found = _pool.FindServiceByName(service).methods_by_name[name]
    proto = next(m for file in FILES.file for s in file.service for m in s.method
                 if f"{file.package}.{s.name}/{m.name}" == path)
    kind = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
            (True, False): channel.stream_unary, (True, True): channel.stream_stream}
    return kind[proto.client_streaming, proto.server_streaming](
        f"/{path}", request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=_factory.GetPrototype(found.output_type).FromString)
