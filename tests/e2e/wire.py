# SPDX-License-Identifier: MIT
"""An HTTP/2 client that sends any frames that a test tells it to, and records what comes back. It
follows the protocol only if the test does."""
import contextlib
import socket
import struct
import time

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITY_FLAG, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, \
    CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0, 1, 3, 5, 6, 7, 8, 9, 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, \
    MAX_HEADER_LIST_SIZE = range(1, 7)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVICE = "/userservice.UserService/"


def message(body, flag=0):
    """Returns a gRPC message with its prefix."""
    body = body if isinstance(body, bytes) else body.SerializeToString()
    return struct.pack(">BI", flag, len(body)) + body


class Stream:
    """What the server sent on one stream."""

    def __init__(self):
        self.blocks = []       # header sections, as lists of (name, value)
        self.block_flags = []
        self.data = b""
        self.data_frames = []  # lengths of the DATA frames
        self.order = []        # types of the frames, in order
        self.ended = False
        self.reset = None      # code of RST_STREAM

    @property
    def headers(self):
        return dict(self.blocks[0]) if self.blocks else {}

    @property
    def trailers(self):
        return dict(self.blocks[-1]) if self.blocks else {}

    @property
    def status(self):
        return self.headers.get(":status")

    @property
    def grpc_status(self):
        return int(self.trailers["grpc-status"]) if "grpc-status" in self.trailers else None

    def messages(self):
        rest, out = self.data, []
        while rest:
            flag, length = struct.unpack(">BI", rest[:5])
            assert flag == 0 and len(rest) >= 5 + length
            out.append(rest[5:5 + length])
            rest = rest[5 + length:]
        return out

    def __repr__(self):
        return (f"<blocks={self.blocks} data={self.data[:60]!r}({len(self.data)}) "
                f"ended={self.ended} reset={self.reset}>")


class Wire:
    """A connection. It acknowledges settings and pings, and refills flow-control windows if
    `credit` is set."""

    def __init__(self, sock, settings=None, hello=True, credit=True):
        self.sock = sock
        self.input = b""
        self.streams = {}
        self.settings = {}
        self.acks = self.pings = self.pongs = 0
        self.room = {}  # send windows, used by upload()
        self.goaway = None  # (code, debug data, last stream)
        self.goaways = []
        self.answer_pings = True
        self.closed = False
        self.credit = credit
        self.block = None
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.next_stream = 1
        if hello:
            payload = b"".join(struct.pack(">HI", *pair) for pair in (settings or {}).items())
            self.send(PREFACE + self.frame(SETTINGS, 0, 0, payload))

    # ---- sending ----

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) \
            + payload

    def send(self, data):
        self.sock.settimeout(20)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def send_frame(self, kind, flags, stream, payload=b""):
        self.send(self.frame(kind, flags, stream, payload))

    def fields(self, path, **changes):
        """Returns the header fields of a gRPC request. A change to None leaves the field out; `_`
        in a name stands for `-`."""
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test",
                  "content-type": "application/grpc", "te": "trailers"}
        for name, value in changes.items():
            name = ":" + name if ":" + name in fields else name.replace("_", "-")
            fields[name] = value
        return [(name, value) for name, value in fields.items() if value is not None]

    def open(self, path, end=False, extra=(), **changes):
        """Sends a request's header section. @return the stream's number"""
        number, self.next_stream = self.next_stream, self.next_stream + 2
        block = self.encoder.encode(self.fields(SERVICE + path if path[:1] != "/" else path,
                                                **changes) + list(extra))
        flags = END_STREAM if end else 0
        first, rest = block[:16384], block[16384:]
        self.send_frame(HEADERS, flags | (0 if rest else END_HEADERS), number, first)
        while rest:
            first, rest = rest[:16384], rest[16384:]
            self.send_frame(CONTINUATION, 0 if rest else END_HEADERS, number, first)
        return number

    def data(self, stream, payload, end=True, pad=None):
        flags = END_STREAM if end else 0
        if pad is not None:
            flags |= PADDED
            payload = bytes([pad]) + payload + bytes(pad)
        self.send_frame(DATA, flags, stream, payload)

    def call(self, path, body, **changes):
        """Makes a whole unary call. @return what came back"""
        stream = self.open(path, **changes)
        self.data(stream, body)
        return self.wait(stream)

    def upload(self, stream, body, seconds=20):
        """Sends a long body as the flow-control windows allow. It must be the only body on this
        connection."""
        self.wait_ready()
        initial = {0: 65535, stream: self.settings.get(INITIAL_WINDOW_SIZE, 65535)}
        sent = 0
        while sent < len(body):
            room = min(initial[n] + self.room.get(n, 0) for n in initial) - sent
            if room <= 0:
                before = dict(self.room)
                self.until(lambda: self.room != before, what="WINDOW_UPDATE")
                continue
            chunk = body[sent:sent + min(room, 16384)]
            sent += len(chunk)
            self.data(stream, chunk, end=sent == len(body))
        return self.wait(stream, seconds)

    # ---- receiving ----

    def read(self, seconds=0.2):
        """Reads what arrives. @return False at the end of the connection"""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(1 << 20)
        except (TimeoutError, BlockingIOError):
            return True
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.input += data
        while len(self.input) >= 9:
            length = int.from_bytes(self.input[:3], "big")
            if len(self.input) < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self.input[3:9])
            payload, self.input = self.input[9:9 + length], self.input[9 + length:]
            self.take(kind, flags, stream & 0x7FFFFFFF, payload)
        return True

    def take(self, kind, flags, number, payload):
        stream = self.streams.setdefault(number, Stream()) if number else None
        if stream:
            stream.order.append(kind)
        if kind == DATA:
            assert not flags & PADDED
            stream.data += payload
            stream.data_frames.append(len(payload))
            stream.ended |= bool(flags & END_STREAM)
            if self.credit and payload:
                self.window(0, len(payload))
                self.window(number, len(payload))
        elif kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                assert not flags & (PADDED | PRIORITY_FLAG)
                self.block = (number, flags, payload)
            else:
                assert self.block[0] == number
                self.block = (number, self.block[1] | flags, self.block[2] + payload)
            if flags & END_HEADERS:
                stream.blocks.append([(str(n), str(v)) for n, v in
                                      self.decoder.decode(self.block[2])])
                stream.block_flags.append(self.block[1])
                stream.ended |= bool(self.block[1] & END_STREAM)
        elif kind == RST_STREAM:
            stream.reset = int.from_bytes(payload, "big")
        elif kind == SETTINGS and flags & ACK:
            self.acks += 1
        elif kind == SETTINGS:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[name] = value
            self.send_frame(SETTINGS, ACK, 0)
        elif kind == PING and flags & ACK:
            self.pongs += 1
        elif kind == PING:
            self.pings += 1
            if self.answer_pings:
                self.send_frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self.room[number] = self.room.get(number, 0) + int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaway = (code, payload[8:], last)
            self.goaways.append(self.goaway)

    def window(self, stream, increment):
        self.send_frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))

    def until(self, condition, seconds=20, what="answer"):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"no {what}: {self.streams} {self.goaway}"
            assert self.read(0.1) or condition(), \
                f"closed before {what}: {self.streams} {self.goaway}"

    def wait(self, number, seconds=20):
        """Waits until the stream's response has ended or the stream was reset."""
        stream = self.streams.setdefault(number, Stream())
        self.until(lambda: stream.ended or stream.reset is not None, seconds, f"stream {number}")
        return stream

    def wait_reset(self, number, seconds=20):
        stream = self.streams.setdefault(number, Stream())
        self.until(lambda: stream.reset is not None, seconds, f"RST_STREAM of {number}")
        return stream

    def wait_ready(self):
        """Waits until both sides' settings are in force."""
        self.until(lambda: self.settings and self.acks, what="SETTINGS")
        return self

    def wait_close(self, seconds=20):
        """Waits until the server closes the connection. @return the code of GOAWAY, None if there
        was none"""
        end = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < end, "the server did not close the connection"
        return self.goaway[0] if self.goaway else None

    def ping(self):
        """Sends a PING and waits for its answer: then the server has handled all frames sent
        before."""
        before = self.pongs
        self.send_frame(PING, 0, 0, b"rosterd!")
        self.until(lambda: self.pongs > before, what="PING's answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
