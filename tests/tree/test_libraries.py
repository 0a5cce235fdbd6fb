# SPDX-License-Identifier: MIT
"""The installed libraries: a program outside of the tree finds, compiles and links them."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import grpc
import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ["TREE_BUILD"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """An installation of the build, below a directory of its own."""
    stage = tmp_path_factory.mktemp("stage")
    subprocess.run(["make", "-s", "install", f"DESTDIR={stage}"], cwd=BUILD, check=True,
                   capture_output=True, timeout=100)
    return stage


@pytest.fixture(scope="module")
def environment(stage):
    where, = (path.parent for path in stage.rglob("rosterd-shm.pc"))
    return {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(stage), "PKG_CONFIG_PATH": str(where)}


def example(name, directory, environment):
    """Copies an example to a directory outside of the tree and builds it there."""
    shutil.copytree(ROOT / "examples" / name, directory / name)
    done = subprocess.run(["make", "CFLAGS=-O1 -Wall -Wextra -Werror"], cwd=directory / name, env=environment, text=True,
                          capture_output=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(ROOT) not in done.stdout
    return directory / name


def headers(stage):
    return sorted((next(stage.rglob("rosterd/shm"))).parent.rglob("*.h"))


def test_store_serves_a_program_outside_of_the_tree(tmp_path, environment):
    program = example("store", tmp_path, environment) / "people"
    done = subprocess.run([program, f"/rosterd-example-{os.getpid()}"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0, done.stderr
    refused, *lines = done.stdout.splitlines()
    assert refused.startswith("insert a second ada: ") and "key" in refused
    assert lines == [
        "found grace: wrote the first compiler", "1 ada: wrote the first program",
        "2 grace: wrote the first compiler", "3 barbara: found the substitution",
        "now   grace: and named the bug"]
    assert not os.path.exists(f"/dev/shm/rosterd-example-{os.getpid()}")


def test_runtime_serves_a_program_outside_of_the_tree(tmp_path, environment):
    directory = example("grpc", tmp_path, environment)
    subprocess.run(["protoc", "-I.", f"-I{protobuf_c_includes()}", f"--python_out={tmp_path}",
                    "greeter.proto", "protobuf-c/protobuf-c.proto"], cwd=directory, check=True)
    sys.path.insert(0, str(tmp_path))
    import greeter_pb2 as pb
    server = subprocess.Popen([directory / "greeter", "0"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            greet = channel.unary_unary("/example.Greeter/Greet", pb.GreetRequest.SerializeToString,
                                        pb.Greeting.FromString)
            count = channel.unary_stream("/example.Greeter/CountDown",
                                         pb.CountDownRequest.SerializeToString,
                                         pb.Greeting.FromString)
            assert greet(pb.GreetRequest(name="Ada"), timeout=10).text == "Hello, Ada!"
            with pytest.raises(grpc.RpcError) as refused:
                greet(pb.GreetRequest(), timeout=10)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            counted = [reply.text for reply in count(pb.CountDownRequest(**{"from": 20000}),
                                                     timeout=30)]
            assert counted == [str(n) for n in range(20000, 0, -1)]
    finally:
        server.terminate()
        server.wait(20)


def protobuf_c_includes():
    return subprocess.run(["pkg-config", "--variable=includedir", "libprotobuf-c"],
                          capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("compiler", [["gcc", "-std=gnu17", "-xc"], ["g++", "-std=c++17", "-xc++"]],
                         ids=["c", "c++"])
def test_each_public_header_compiles_by_itself(compiler, stage, environment, tmp_path):
    flags = subprocess.run(["pkg-config", "--cflags", "rosterd-shm", "rosterd-grpc"], env=environment,
                           capture_output=True, text=True, check=True).stdout.split()
    root = next(stage.rglob("rosterd/shm")).parent
    assert len(headers(stage)) >= 10
    source = tmp_path / "one"
    for header in headers(stage):
        name = header.relative_to(root)
        code = f'#include "{name}"\n#include "{name}"\n'
        if compiler[0] == "g++":
            if "h2o.h" in included(root, name):
                continue  # libh2o's header is not C++, so the runtime is for C alone
            code = f'extern "C" {{\n{code}}}\n'
        source.write_text(code + "int one;\n")
        done = subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", *flags, "-c", source, "-o",
                               tmp_path / "one.o"], capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr}"


def included(root, name, seen=None):
    """All headers that this one includes, also through others."""
    seen = set() if seen is None else seen
    for other in re.findall(r'^#include ["<]([^">]+)[">]', (root / name).read_text(), re.M):
        if other not in seen:
            seen.add(other)
            if (root / other).exists():
                included(root, other, seen)
    return seen


def test_installed_headers_are_complete_and_no_more(stage):
    """Every header that a public one includes is installed, and nothing else."""
    root = next(stage.rglob("rosterd/shm")).parent
    have = {header.relative_to(root).as_posix() for header in headers(stage)}
    public = {f"shm/{path.name}" for path in (ROOT / "shm").glob("*.h")} | {"grpc/grpc.h"}
    needed = set(public)
    for name in public:
        needed |= {other for other in included(root, name)
                   if (ROOT / other).exists() or (ROOT / "src" / other).exists()}
    assert have == needed


def test_uninstall_leaves_nothing(stage):
    subprocess.run(["make", "-s", "uninstall", f"DESTDIR={stage}"], cwd=BUILD, check=True,
                   capture_output=True, timeout=100)
    assert [path for path in stage.rglob("*") if path.is_file()] == []
