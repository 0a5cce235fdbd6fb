# SPDX-License-Identifier: MIT
"""The recipes of docs/architecture.md ("How to add a ..."), followed to the letter in a copy of the
tree, which is then built and called.

A fenced block whose first line names a file is a step of a recipe. A block of the language "diff"
changes that file: it must have the block's context and "-" lines exactly once, one after the other
(white space aside); "+" lines are new. Any other block is a new file.
"""
import http.client
import os
import pathlib
import re
import shutil
import subprocess
import threading

import grpc
import pytest

import user_service_pb2 as pb
from harness import PROTO, ROSTERD, Rosterd, expect, free_port

pytestmark = [pytest.mark.slow, pytest.mark.unsanitized, pytest.mark.timeout(600)]

SOURCE = pathlib.Path(PROTO).resolve().parent
BUILD = pathlib.Path(ROSTERD).resolve().parents[2]
PAGE = SOURCE / "docs/architecture.md"
BLOCK = re.compile(r"^```(\w+) (\S+/\S+)\n(.*?)^```$", re.M | re.S)

# Each recipe: the most files that it may touch. They are applied in this order; another recipe
# needs a line here, and a test below of what it adds.
RECIPES = {
    "How to add a service": 6,
    "How to add a method": 3,
    "How to add an option": 2,
    "How to add a counter": 2,
    "How to add an interceptor": 3,
}


def steps(heading):
    """The recipe's (language, file, text), in the page's order."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", text, re.M | re.S)
    assert found, f"{PAGE} has no section {heading!r}"
    return BLOCK.findall(found.group(2))


def plain(line):
    return " ".join(line.split())


def patch(path, block):
    """Applies a diff block to a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    parts = [(line[:1] or " ", line[1:]) for line in block.splitlines()]
    old = [plain(text) for sign, text in parts if sign != "+"]
    places = [at for at in range(len(lines) - len(old) + 1)
              if [plain(line) for line in lines[at:at + len(old)]] == old]
    assert old and len(places) == 1, f"{path}: {len(places)} places for\n{block}"
    new, at = [], places[0]
    for sign, text in parts:
        if sign == "+":
            new.append(text)
        else:
            new += [lines[at]] if sign == " " else []
            at += 1
    lines[places[0]:at] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def copy(top):
    """A copy of the sources and of what is built. @return its build directory"""
    inside = BUILD.is_relative_to(SOURCE)
    assert inside, f"{BUILD} is not below {SOURCE}"
    entries = ["build-aux", "docs", "proto", "scripts", "shm", "src", "tests"]
    entries += [name for name in os.listdir(SOURCE) if (SOURCE / name).is_file()]
    unwanted = shutil.ignore_patterns("out", "__pycache__", "*.log", "*.trs", "*.core")
    for name in entries:
        if (SOURCE / name).is_dir():
            shutil.copytree(SOURCE / name, top / name, ignore=unwanted, symlinks=True)
        else:
            shutil.copy2(SOURCE / name, top / name)
    build = top / BUILD.relative_to(SOURCE)
    if build != top:
        shutil.copytree(BUILD, build, ignore=unwanted, symlinks=True, dirs_exist_ok=True)
    subprocess.run(["chmod", "-R", "u+w", top], check=True)  # distcheck's sources are read-only
    return build


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The build directory of a copy in which all recipes were followed, built."""
    top = tmp_path_factory.mktemp("recipes")
    build = copy(top)
    for heading in RECIPES:
        for language, name, text in steps(heading):
            if language == "diff":
                patch(top / name, text)
            else:
                assert not (top / name).exists(), f"{name} is there already"
                (top / name).write_text(text, encoding="utf-8")
    done = subprocess.run(["make", "-s", "all"], cwd=build, capture_output=True, text=True,
                          timeout=500, env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    yield build
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def start(built):
    """Starts a server that was built in the copy."""
    class Built(Rosterd):
        def command(self):
            return [str(built / "src/server/rosterd"), *super().command()[1:]]
    started = []

    def starter(*options):
        started.append(Built(*options, workers=1))
        return started[-1]
    yield starter
    for rosterd in started:
        rosterd.clean()


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_touches_few_files(heading):
    files = {name for _, name, _ in steps(heading)}
    assert 0 < len(files) <= RECIPES[heading], sorted(files)


def test_all_recipes_of_the_page_are_followed():
    assert set(re.findall(r"^##+ (How to add .*)$", PAGE.read_text(encoding="utf-8"), re.M)) == set(RECIPES)


def run_in(built, *command):
    """Runs a command of the copy on what was built there. @return its output"""
    top = os.path.relpath(built / os.path.relpath(SOURCE, BUILD), built)
    env = {name: value for name, value in os.environ.items()
           if name not in ("ROSTERD", "SHM_INSPECT", "WRITER", "INTEROP_SERVER", "ROSTERD_E2E", "MAKEFLAGS",
                           "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    done = subprocess.run([command[0].replace("TOP", top), *command[1:]], cwd=built, text=True,
                          capture_output=True, timeout=300, env=dict(env, srcdir=top))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_new_service_and_method_pass_the_test_of_the_recipe(built):
    assert "2 passed" in run_in(built, "TOP/tests/e2e/run", "-k", "now_is_now or later_is_later")


def test_the_tests_that_list_rows_hold_without_a_change(built):
    """Those of counters, methods, services and options: a test that counts them would be one more
    file to touch."""
    for test in ("tests/service/observe/test_stats", "tests/server/config/test_options"):
        assert "test(s) run" in run_in(built, "make", "-s", "check-one", f"TEST={test}")
    tests = ("test_services_are_listed", "test_list_has_all_services", "test_grpcurl_needs_no_proto",
             "test_the_page_names_metrics_that_exist_with_their_types", "test_each_metric_has_a_help_text",
             "test_manual_pages_name_exactly_the_options_of_the_programs",
             "test_manual_of_the_file_names_every_key")
    assert f"{len(tests) + 1} passed" in run_in(built, "TOP/tests/e2e/run", "-k", " or ".join(tests))


def metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_the_new_option_is_read_checked_documented_and_used(built, start):
    rosterd = start("--worker-nice", "3")
    worker, = rosterd.worker_pids()
    assert os.getpriority(os.PRIO_PROCESS, worker) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    program = built / "src/server/rosterd"
    text = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20).stdout
    assert "--worker-nice N" in text and "gives way to other programs" in text
    done = subprocess.run([program, "--worker-nice", "20"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "worker-nice" in done.stderr and "from 0 to 19" in done.stderr
    for page in ("docs/rosterd.8", "docs/rosterd.conf.5"):
        assert "worker\\-nice" in (built / page).read_text(encoding="utf-8")


def hold(ends):
    """A chat of one message that goes on until `ends` is set."""
    yield pb.ChatMessage(text="held")
    ends.wait(60)


def test_the_new_counter_counts_and_the_new_interceptor_refuses(start, tmp_path):
    tokens, port = tmp_path / "tokens", free_port()
    tokens.write_text("0123456789abcdef ann\nfedcba9876543210 bob\n")
    tokens.chmod(0o600)
    rosterd = start("--auth-token-file", str(tokens), "--metrics-listen", f"127.0.0.1:{port}")
    stub = rosterd.stub()

    def create(token, name):
        return stub.CreateUser(pb.CreateUserRequest(username=name),
                               metadata=[("authorization", f"Bearer {token}")])
    expect(lambda: create("wrong", "nobody"), grpc.StatusCode.UNAUTHENTICATED)
    text = metrics(port)
    assert "# HELP rosterd_tokens_refused_total Calls without a valid token.\n" in text
    assert "# TYPE rosterd_tokens_refused_total counter\n" in text
    assert "\nrosterd_tokens_refused_total 1\n" in text
    assert rosterd.inspect("stats")["rosterd_tokens_refused_total"] == 1

    ann = [("authorization", "Bearer 0123456789abcdef")]
    chats = []
    for _ in range(2):
        ends = threading.Event()
        chat = stub.Chat(hold(ends), metadata=ann)
        next(chat)
        chats.append((ends, chat))
    expect(lambda: create("0123456789abcdef", "third"), grpc.StatusCode.RESOURCE_EXHAUSTED,
           "Too many calls")
    create("fedcba9876543210", "other")
    for ends, chat in chats:
        ends.set()
        list(chat)
    create("0123456789abcdef", "third")
