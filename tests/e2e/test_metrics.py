# SPDX-License-Identifier: MIT
"""/metrics, /healthz and /readyz over HTTP, and the page that describes the metrics."""
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest

import user_service_pb2 as pb
from harness import PROTO, ROSTERD, Rosterd, expect, free_port, gone, wait_for
from test_reload import reload


def serve(*options, **settings):
    port = free_port()
    rosterd = Rosterd("--metrics-listen", f"127.0.0.1:{port}", "--drain-timeout", "60s", *options, **settings)
    rosterd.metrics_port = port
    return rosterd


@pytest.fixture(scope="module")
def server():
    with serve() as rosterd:
        yield rosterd


def get(rosterd, path, verb="GET", body=None):
    """@return status, headers (names in lower case), body"""
    connection = http.client.HTTPConnection("127.0.0.1", rosterd.metrics_port, timeout=20)
    try:
        connection.request(verb, path, body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read().decode()
    finally:
        connection.close()


def samples(rosterd):
    """Scrapes /metrics and checks its form. @return {name with labels: value}"""
    time.sleep(0.21)  # a text is served for 200 ms: get a new one
    status, headers, text = get(rosterd, "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found, family = {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family = line.split()[2]
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.startswith(family) and name not in found, line
            found[name] = float(value)
    return found


def labels(method, service="userservice.UserService", kind="unary"):
    return f'{{grpc_type="{kind}",grpc_service="{service}",grpc_method="{method}"'


def grown(rosterd, before, name):
    return samples(rosterd)[name] - before.get(name, 0)


def settled(rosterd, name, value):
    """Waits until the metric has the value: a turn of the loop adds its counts at its end."""
    return wait_for(lambda: samples(rosterd)[name] == value, 10, f"{name} {value}")


def test_promtool_accepts_the_metrics(server, stub):
    stub.CreateUser(pb.CreateUserRequest(username="ada"))
    text = get(server, "/metrics")[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


def test_calls_are_counted_by_method_and_code(server, stub):
    before = samples(server)
    for i in range(10):
        stub.CreateUser(pb.CreateUserRequest(username=f"user{i}"))
        expect(lambda: stub.CreateUser(pb.CreateUserRequest()), grpc.StatusCode.INVALID_ARGUMENT)
    list(stub.ListUsers(pb.ListUsersRequest(page_size=5)))
    list(stub.Chat(iter([pb.ChatMessage(text="x")] * 3)))
    expect(lambda: server.channel().unary_unary("/no.body/Home")(b""),
           grpc.StatusCode.UNIMPLEMENTED)
    create, listing = labels("CreateUser"), labels("ListUsers", kind="server_stream")
    chat, unknown = labels("Chat", kind="bidi_stream"), labels("unknown", "unknown", "unknown")
    for name, growth in {
            f"grpc_server_started_total{create}}}": 20,
            f'grpc_server_handled_total{create},grpc_code="OK"}}': 10,
            f'grpc_server_handled_total{create},grpc_code="InvalidArgument"}}': 10,
            f"grpc_server_msg_received_total{create}}}": 20,
            f"grpc_server_msg_sent_total{create}}}": 10,
            f"grpc_server_msg_sent_total{listing}}}": 5,
            f"grpc_server_msg_received_total{chat}}}": 3,
            f"grpc_server_msg_sent_total{chat}}}": 3,
            f'grpc_server_handled_total{unknown},grpc_code="Unimplemented"}}': 1,
            f"grpc_server_handling_seconds_count{create}}}": 20}.items():
        assert grown(server, before, name) == growth, name


def test_durations_fill_the_histogram(server, stub):
    chat = labels("Chat", kind="bidi_stream")
    before = samples(server)
    begun = threading.Event()

    def lasting():
        yield pb.ChatMessage(text="a")
        assert begun.wait(20)  # the server has the call: on a busy machine that takes a while
        time.sleep(0.3)
    call = stub.Chat(lasting())
    next(call)
    begun.set()
    list(call)
    after = samples(server)

    def growth(name):
        return after[name] - before[name]
    bounds = [name for name in after if name.startswith(f"grpc_server_handling_seconds_bucket{chat}")]
    values = [growth(name) for name in bounds]
    assert values == sorted(values) and values[-1] == 1 and len(values) == 20
    assert growth(f'grpc_server_handling_seconds_bucket{chat},le="0.25"}}') == 0
    assert growth(f'grpc_server_handling_seconds_bucket{chat},le="10"}}') == 1
    assert 0.29 < growth(f"grpc_server_handling_seconds_sum{chat}}}") < 10
    assert growth(f"grpc_server_handling_seconds_count{chat}}}") == 1


def test_open_connections_and_streams_are_gauges():
    with serve(workers=2) as rosterd:
        settled(rosterd, "rosterd_connections_open", 0)
        sockets = [rosterd.connect() for _ in range(5)]
        settled(rosterd, "rosterd_connections_open", 5)
        for sock in sockets:
            sock.close()
        settled(rosterd, "rosterd_connections_open", 0)
        assert samples(rosterd)["rosterd_connections_accepted_total"] == 5


def test_table_and_segment_have_metrics(server, stub):
    before = samples(server)
    stub.CreateUser(pb.CreateUserRequest(username="one more"))
    assert grown(server, before, "rosterd_users") == 1
    assert grown(server, before, "rosterd_commits_total") == 1
    assert before["rosterd_users_max"] == 1000000
    assert 0 < before["rosterd_segment_used_bytes"] <= before["rosterd_segment_mapped_bytes"]


def test_the_page_names_metrics_that_exist_with_their_types(server):
    page = (pathlib.Path(PROTO).parent / "docs/metrics.md").read_text(encoding="utf-8")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", get(server, "/metrics")[2], re.M))
    rows = re.findall(r"^\| (`.*?`) \| (\w+) \| (.+) \|$", page, re.M)
    described = {name: kind for names, kind, _ in rows for name in re.findall(r"`(\w+)`", names)}
    assert len(described) > 30
    assert described == {name: types.get(name) for name in described}
    in_segment = {name.partition("{")[0] for name in server.inspect("stats")}
    assert set(re.findall(r"`((?:rosterd|grpc_server)_\w+)`", page)) <= set(types) | in_segment
    limits = set(re.findall(r'rosterd_limits_hit_total{limit="(\w+)"}', get(server, "/metrics")[2]))
    assert limits == set(re.findall(r"`(\w+)`", page[page.index("`limit` is either"):page.index("## The table")]))\
        - {"limit"}


def test_each_metric_has_a_help_text(server):
    text = get(server, "/metrics")[2]
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    assert list(helps) == re.findall(r"^# TYPE (\S+) ", text, re.M)
    assert all(re.fullmatch(r"[A-Z0-9].*\.", words) for words in helps.values()), helps


def test_counters_survive_a_workers_death():
    with serve(workers=1) as rosterd:
        stub = rosterd.stub(("grpc.enable_retries", 0))
        for i in range(7):
            stub.CreateUser(pb.CreateUserRequest(username=f"user{i}"))
        name = f'grpc_server_handled_total{labels("CreateUser")},grpc_code="OK"}}'
        settled(rosterd, name, 7)
        (pid,) = rosterd.worker_pids()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: [p for p in rosterd.worker_pids() if p != pid], 10, "another worker")
        rosterd.wait_log(r"(?s)accepts.*accepts")
        after = samples(rosterd)
        assert after[name] == 7 and after["rosterd_connections_open"] == 0


def test_build_info_says_what_version_prints(server):
    (info,) = [name for name in samples(server) if name.startswith("rosterd_build_info{")]
    told = dict(re.findall(r'(\w+)="([^"]*)"', info))
    printed = subprocess.run([ROSTERD, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert printed.startswith(f"rosterd {told.pop('version')}\ncommit: {told.pop('revision')}\n")
    libraries = dict(re.findall(r"(?:[:,]) ([\w-]+) ([^\s,]+)", printed.partition("runs with")[2]))
    assert told == {name.lower().replace("-", "_"): version for name, version in libraries.items()} and len(told) > 8


def test_process_metrics_are_those_of_all_processes():
    begin = time.time()
    with serve(workers=2) as rosterd:
        # the kernel counts in hundredths of a second, and a scrape takes some of one
        wait_for(lambda: samples(rosterd)["process_cpu_seconds_total"] > 0, 20, "CPU time")
        before = samples(rosterd)
        assert {name for name in before if name.startswith("rosterd_process_cpu")} == {
            f'rosterd_process_cpu_seconds_total{{process="{name}"}}'
            for name in ("master", "worker-0", "worker-1")}
        memory = sum(before[name] for name in before if name.startswith("rosterd_process_memory_bytes"))
        assert 0 < memory < before["process_resident_memory_bytes"] < before["process_virtual_memory_bytes"]
        assert begin - 1 < before["process_start_time_seconds"] < time.time()
        assert 0 < before["process_open_fds"] < before["process_max_fds"]
        sockets = [rosterd.connect() for _ in range(40)]
        wait_for(lambda: samples(rosterd)["process_open_fds"] >= before["process_open_fds"] + 40, 20, "descriptors")
        for sock in sockets:
            sock.close()
        pid = rosterd.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len([p for p in rosterd.worker_pids() if p != pid]) == 2, 10, "another worker")
        after = samples(rosterd)
        assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"] > 0
        assert after["process_start_time_seconds"] == before["process_start_time_seconds"]


def test_shm_inspect_shows_the_same_values(server, stub):
    stub.CreateUser(pb.CreateUserRequest(username="same"))
    scraped, shown = samples(server), server.inspect("stats")
    own = ("rosterd_users", "rosterd_segment", "rosterd_snapshots", "rosterd_processes",
           "rosterd_commits", "rosterd_journal_version", "rosterd_journal_lag_commits",
           "rosterd_journal_state", "process_", "rosterd_process_", "rosterd_build_info")
    assert {name for name in shown if "_nanoseconds_total" not in name} == {
        name for name in scraped
        if not name.startswith(own) and not re.search("seconds_(sum|count)", name)}
    create = f'grpc_server_handled_total{labels("CreateUser")},grpc_code="OK"}}'
    assert shown[create] == scraped[create] > 0


def test_health_and_readiness():
    rosterd = serve(workers=1)
    try:
        assert get(rosterd, "/healthz")[::2] == (200, "ok\n")
        assert get(rosterd, "/readyz")[::2] == (200, "ready\n")
        held = threading.Event()
        chat = rosterd.stub().Chat(m for m in iter(lambda: held.wait(30) or None, None))
        wait_for(lambda: samples(rosterd)["rosterd_streams_open"] == 1, 10, "the call")
        rosterd.process.send_signal(signal.SIGQUIT)
        wait_for(lambda: get(rosterd, "/readyz")[::2] == (503, "draining\n"), 10, "not ready")
        assert get(rosterd, "/healthz")[0] == 200
        chat.cancel()
        held.set()
        wait_for(lambda: rosterd.process.poll() is not None, 10, "the end")
    finally:
        rosterd.clean()


def test_other_requests_get_an_error(server):
    assert get(server, "/")[0] == 404
    assert get(server, "/metricsx")[0] == 404
    assert get(server, "/metrics/x")[0] == 404
    status, headers, _ = get(server, "/metrics", "POST", "x=1")
    assert status == 405 and headers["allow"] == "GET, HEAD"
    assert get(server, "/healthz")[1]["content-length"] == "3"
    assert get(server, "/healthz", "HEAD")[::2] == (200, "")
    assert get(server, "/healthz", "POST", "x" * 100000)[0] in (405, 413)


@pytest.mark.parametrize("garbage", [b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n" * 50,
                                     b"GET /" + b"a" * 200000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_garbage_disturbs_nothing(server, garbage):
    with socket.create_connection(("127.0.0.1", server.metrics_port), 10) as sock:
        try:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    assert get(server, "/healthz")[0] == 200


def test_silent_connections_leave_room_for_others(server):
    silent = [socket.create_connection(("127.0.0.1", server.metrics_port), 10) for _ in range(300)]
    try:
        assert get(server, "/healthz")[0] == 200
    finally:
        for sock in silent:
            sock.close()


def test_request_that_has_begun_is_answered_in_spite_of_a_reload():
    """A worker that has nothing else to do would cut it off."""
    with serve() as rosterd, socket.create_connection(("127.0.0.1", rosterd.metrics_port), 10) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        assert get(rosterd, "/healthz")[0] == 200  # whoever accepts has accepted
        before = rosterd.worker_pids()
        reload(rosterd)
        wait_for(lambda: sum(not gone(pid) for pid in before) <= 1, 0.7, "the end of a worker that is done")
        sock.sendall(b"\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_an_address_in_use_prevents_the_start(server):
    done = subprocess.run([ROSTERD, "--listen", f"127.0.0.1:{free_port()}", "--segment",
                           f"/rosterd-e2e-{os.getpid()}-nometrics",
                           "--metrics-listen", f"127.0.0.1:{server.metrics_port}"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and re.search("metrics-listen: .* in use", done.stderr), done
