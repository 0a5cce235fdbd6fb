# SPDX-License-Identifier: MIT
"""grpc.health.v1.Health, called as service meshes and probes do."""
import signal
import subprocess

import grpc
import pytest

import user_service_pb2 as pb
from harness import expect, wait_for
from schema import FILES, message, method
from wire import Wire, message as wire_message

REQUEST = message("grpc.health.v1.HealthCheckRequest")
UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)
# The server itself, and each service of the contracts: a new one needs no line here.
SERVICES = [""] + [f"{file.package}.{service.name}" for file in FILES.file for service in file.service]


def call(server, name):
    return method(server.channel(), f"grpc.health.v1.Health/{name}")


def test_contracts_have_the_services_that_every_server_has():
    assert {"userservice.UserService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"} < set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_known_services_are_serving(server, service):
    assert call(server, "Check")(REQUEST(service=service)).status == SERVING


def test_check_of_an_unknown_service_is_not_found(server):
    for service in ("nobody", "userservice", "userservice.UserService\0", "x" * 5000):
        expect(lambda s=service: call(server, "Check")(REQUEST(service=s)),
               grpc.StatusCode.NOT_FOUND, "unknown service")


@pytest.mark.parametrize("name", ["Check", "List", "Watch"])
def test_methods_without_token_accept_only_small_uncompressed_requests(server, name):
    path = f"/grpc.health.v1.Health/{name}"
    with Wire(server.connect()) as connection:
        stream = connection.open(path)
        connection.data(stream, b"\0" + (8193).to_bytes(4, "big"), end=False)  # its data is never sent
        response = connection.wait(stream)
        assert response.grpc_status == 8
        assert response.trailers["grpc-message"] \
            == "message of 8193 bytes is larger than the maximum of 8192"
        # the compression flag is refused before the length is looked at or anything is inflated
        stream = connection.open(path, grpc_encoding="gzip")
        connection.data(stream, b"\1" + (1 << 20).to_bytes(4, "big"), end=False)
        response = connection.wait(stream)
        assert response.grpc_status == 12
        assert response.trailers["grpc-accept-encoding"] == "identity"


def test_a_check_may_name_an_encoding_that_it_does_not_use(server):
    with Wire(server.connect()) as connection:
        assert connection.call("/grpc.health.v1.Health/Check", wire_message(REQUEST()),
                               grpc_encoding="gzip").grpc_status == 0


def test_list_has_all_services(server):
    statuses = call(server, "List")(message("grpc.health.v1.HealthListRequest")()).statuses
    assert {name: one.status for name, one in statuses.items()} == dict.fromkeys(SERVICES, SERVING)


def test_watch_answers_at_once_and_then_waits(server):
    watch = call(server, "Watch")(REQUEST(service="userservice.UserService"), timeout=0.5)
    assert next(watch).status == SERVING
    expect(lambda: next(watch), grpc.StatusCode.DEADLINE_EXCEEDED)


def test_watch_of_an_unknown_service_stays_open(server):
    watch = call(server, "Watch")(REQUEST(service="later"), timeout=0.5)
    assert next(watch).status == SERVICE_UNKNOWN
    expect(lambda: next(watch), grpc.StatusCode.DEADLINE_EXCEEDED)


def test_watchers_learn_of_a_drain_and_do_not_delay_it(start):
    rosterd = start("--drain-timeout", "60s", workers=1)
    watches = [call(rosterd, "Watch")(REQUEST(service=service)) for service in SERVICES]
    for watch in watches:
        assert next(watch).status == SERVING
    unknown = call(rosterd, "Watch")(REQUEST(service="nobody"))
    assert next(unknown).status == SERVICE_UNKNOWN
    rosterd.process.send_signal(signal.SIGQUIT)
    for watch in watches:
        assert next(watch).status == NOT_SERVING
        expect(lambda w=watch: next(w), grpc.StatusCode.UNAVAILABLE, "shutting down")
    expect(lambda: next(unknown), grpc.StatusCode.UNAVAILABLE, "shutting down")
    wait_for(lambda: rosterd.process.poll() is not None, 10, "the end of the drain")


def test_a_drain_that_waits_for_a_call_reports_not_serving(start):
    rosterd = start("--drain-timeout", "60s", workers=1)
    channel = rosterd.channel()
    chat = rosterd.stub().Chat(iter_until := _Held())
    assert next(chat).text == "Echo: hello"
    watch = method(channel, "grpc.health.v1.Health/Watch")(REQUEST())
    assert next(watch).status == SERVING
    rosterd.process.send_signal(signal.SIGQUIT)
    assert next(watch).status == NOT_SERVING
    assert rosterd.process.poll() is None
    iter_until.release()
    assert not list(chat)
    wait_for(lambda: rosterd.process.poll() is not None, 10, "the end of the drain")


class _Held:
    """Sends one message and then holds the stream open until it is released."""

    def __init__(self):
        import threading
        self.said = False
        self.over = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        if not self.said:
            self.said = True
            return pb.ChatMessage(text="hello")
        self.over.wait(60)
        raise StopIteration

    def release(self):
        self.over.set()


def probe(server, *options):
    return subprocess.run(["grpc-health-probe", f"-addr=127.0.0.1:{server.port}", *options],
                          capture_output=True, text=True, timeout=60)


def test_grpc_health_probe_sees_it(server):
    done = probe(server)
    assert done.returncode == 0 and "status: SERVING" in done.stderr, done
    assert probe(server, "-service=userservice.UserService").returncode == 0
    assert probe(server, "-service=nobody").returncode == 3  # the call fails
