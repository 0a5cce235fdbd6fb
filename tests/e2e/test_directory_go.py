# SPDX-License-Identifier: MIT
"""rosterd.directory.v1.Directory from Go: a client of grpc-go, with generated code."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import OUT, PROTO

SOURCE = pathlib.Path(__file__).parent / "tools" / "directory"
MODULE = "rosterd/tests/e2e/tools/directory"
FILE = "rosterd/directory/v1/directory.proto"
GO = next((go for go in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go")
           if go and os.access(go, os.X_OK)), None)


@pytest.fixture(name="client", scope="module")
def client_fixture():
    """Builds the client as a user would: protoc with the plugins of protobuf-go and grpc-go."""
    assert GO and shutil.which("protoc-gen-go-grpc"), "scripts/setup --test installs what is missing"
    folder = pathlib.Path(OUT) / "directory-go"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("go.mod", "go.sum", "main.go"):
        shutil.copy(SOURCE / name, folder)
    options = [f"{plugin}_opt={option}" for plugin in ("--go", "--go-grpc")
               for option in (f"module={MODULE}", f"M{FILE}={MODULE}/pb")]
    subprocess.run(["protoc", f"-I{PROTO}", f"--go_out={folder}", f"--go-grpc_out={folder}", *options,
                    FILE], check=True)
    subprocess.run([GO, "build", "-o", "client", "."], cwd=folder, check=True, env={
        **os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off",
        "CGO_ENABLED": "0"})
    return folder / "client"


def test_directory_serves_generated_go_code(client, start):
    server = start("--unique", "username,email", "--workers", "4")
    done = subprocess.run([client, f"127.0.0.1:{server.port}"], capture_output=True, text=True,
                          timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = re.findall(r"func \(s \*suite\) ([A-Z]\w*)", SOURCE.joinpath("main.go").read_text())
    assert [line.removeprefix("ok ") for line in done.stdout.splitlines()] == checks
