# SPDX-License-Identifier: MIT
"""Helpers of the TLS tests: clients' contexts, connections, and servers that must not start."""
import os
import ssl
import subprocess

import user_service_pb2 as pb
from harness import ROSTERD, free_port
from wire import Wire, message

GET = message(pb.GetUserRequest(id="x"))
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def context(authority, *, client=None, protocols=("h2",), version=None):
    made = ssl.create_default_context(cafile=authority.pair.certificate)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    if client:
        made.load_cert_chain(client.certificate, client.key)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(rosterd, context, name="localhost", session=None):
    return context.wrap_socket(rosterd.connect(), server_hostname=name, session=session)


def served(rosterd, context, session=None):
    """@return (the session to resume later, whether this session was resumed), or None if the
    connection was refused"""
    try:
        with Wire(connect(rosterd, context, session=session)) as connection:
            assert connection.call("GetUser", GET).grpc_status == 5
            return connection.sock.session, connection.sock.session_reused
    except (ssl.SSLError, ConnectionError, AssertionError):
        return None


def refused(*options):
    """Starts a server that must refuse to start. Returns what it prints."""
    name = f"/rosterd-e2e-{os.getpid()}-tls"
    done = subprocess.run([ROSTERD, "--listen", f"127.0.0.1:{free_port()}", "--segment", name,
                           *options], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 1, done
    assert not os.path.exists(f"/dev/shm{name}")
    return done.stderr
