# SPDX-License-Identifier: MIT
"""TLS 1.3 records (RFC 8446 5.2) that no library sends: empty ones, of one byte, endless
KeyUpdates. Python's ssl performs the handshake and writes its secrets to a key log. From then on this
module encrypts what the client sends, with AES-256-GCM by libcrypto."""
import ctypes
import ctypes.util
import hashlib
import hmac
import os
import ssl
import struct
import tempfile

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
KEY_UPDATE = b"\x18\x00\x00\x01"
CLOSE_NOTIFY = b"\x01\x00"

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
    getattr(crypto, name).restype = ctypes.c_void_p
crypto.EVP_CIPHER_CTX_free.restype = None
GET_TAG, TAG = 0x10, 16


def expand(secret, label, length):
    """HKDF-Expand-Label without a context; one block of SHA-384 is enough."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha384).digest()[:length]


def encrypt(key, nonce, text, head):
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    out = ctypes.create_string_buffer(len(text) + TAG)
    tag, length = ctypes.create_string_buffer(TAG), ctypes.c_int()
    done = (crypto.EVP_EncryptInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None,
                                      key, nonce),
            crypto.EVP_EncryptUpdate(context, None, ctypes.byref(length), head, len(head)),
            crypto.EVP_EncryptUpdate(context, out, ctypes.byref(length), text, len(text)),
            crypto.EVP_EncryptFinal_ex(context, out, ctypes.byref(length)),
            crypto.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG, tag))
    crypto.EVP_CIPHER_CTX_free(context)
    assert all(done)
    return out.raw[:len(text)] + tag.raw


class Sealer:
    """Encrypts the client's records of a connection whose handshake is complete."""

    def __init__(self, secret, sequence=0):
        self.secret, self.sequence = secret, sequence
        self.derive()

    def derive(self):
        self.key, self.iv = expand(self.secret, b"key", 32), expand(self.secret, b"iv", 12)

    def record(self, kind, content, padding=0):
        text = content + bytes([kind]) + bytes(padding)
        head = b"\x17\x03\x03" + struct.pack(">H", len(text) + TAG)
        nonce = (int.from_bytes(self.iv, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return head + encrypt(self.key, nonce, text, head)

    def key_update(self, request):
        """@param request 1: the server must update its keys as well; 0: it need not"""
        record = self.record(HANDSHAKE, KEY_UPDATE + bytes([request]))
        self.secret = expand(self.secret, b"traffic upd", 48)
        self.sequence = 0
        self.derive()
        return record


class Handshake:
    """A client's handshake in memory, so that a test can delay, cut or withhold its bytes."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hello(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def finish(self, sock):
        """Continues after hello() was sent, up to the client's Finished."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionResetError from None
                self.incoming.write(data)
        sock.sendall(self.outgoing.read())


def sealer(context, sock):
    """Performs a handshake, in which both sides prefer AES-256-GCM. @return a Sealer for `sock`"""
    with tempfile.TemporaryDirectory() as directory:
        context.keylog_filename = os.path.join(directory, "keys")
        handshake = Handshake(context)
        sock.sendall(handshake.hello())
        handshake.finish(sock)
        with open(context.keylog_filename, encoding="ascii") as file:
            secret = next(line.split()[2] for line in file
                          if line.startswith("CLIENT_TRAFFIC_SECRET_0 "))
    assert len(secret) == 96, "not a cipher with SHA-384"
    return Sealer(bytes.fromhex(secret))
