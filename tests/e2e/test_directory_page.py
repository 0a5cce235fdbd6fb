# SPDX-License-Identifier: MIT
"""docs/directory.md: each command prints what the page says."""
import contextlib
import json
import pathlib
import re
import shlex
import subprocess
import threading

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "directory.md"
VARIES = re.compile(r'"\d{4}-\d\d-\d\dT[0-9:.]+Z"|(?<="resumeToken": )"[^"]+"')  # times, tokens


def commands():
    """Yields each command of the page, and the output behind it."""
    blocks = re.findall(r"((?:^    .*\n|^\n)+)", PAGE.read_text(), re.M)
    texts = [re.sub(r"^    ", "", block.strip("\n"), flags=re.M) for block in blocks if block.strip()]
    for command, output in zip(texts, texts[1:]):
        if command.startswith("grpcurl"):
            yield command, output


def values(text):
    """Returns the JSON values of a text that begins with some."""
    text, found = VARIES.sub('"VARIES"', text), []
    with contextlib.suppress(json.JSONDecodeError):
        while text.strip():
            value, end = json.JSONDecoder().raw_decode(text.lstrip())
            found.append(value)
            text = text.lstrip()[end:]
    return found


def follow(words, expected):
    """Runs a command that does not end by itself, until it has printed as much as is expected."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        timer = threading.Timer(20, process.kill)
        timer.start()
        printed = ""
        while len(values(printed)) < len(values(expected)):
            line = process.stdout.readline()
            if not line:
                break
            printed += line
        process.kill()
        timer.cancel()
    return printed


def test_commands_print_what_the_page_says(start):
    rosterd = start("--unique", "username,email")
    seen = []
    for command, output in commands():
        words = shlex.split(command.replace("127.0.0.1:50051", f"127.0.0.1:{rosterd.port}"))
        seen.append(words[-1].rpartition("/")[2])
        if seen[-1] == "WatchUsers":
            assert values(follow(words, output)) == values(output), command
            continue
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)
        assert done.returncode == 0, done.stdout
        assert len(values(output)) == 1 + (seen[-1] == "ImportUsers") and values(done.stdout) == values(output), command
    assert seen == ["CreateUser", "GetUser", "LookupUser", "BatchGetUsers", "ListUsers", "WatchUsers",
                    "UpdateUser", "SetPassword", "VerifyPassword", "DeleteUser", "ImportUsers"]
