# SPDX-License-Identifier: MIT
"""Checks that what the README and the manual pages show is true."""
import pathlib
import re
import subprocess
import sys

import pytest

from certs import Authority
from harness import PROTO, ROSTERD, SHM_INSPECT

ROOT = pathlib.Path(PROTO).parent


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def options_of(program):
    help_text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    return set(re.findall(r"--([a-z][a-z-]+)", help_text))


def run_client(*arguments):
    return subprocess.run([sys.executable, ROOT / "docs/examples/client.py", *arguments],
                          capture_output=True, text=True, timeout=60)


def is_shown(done):
    assert done.returncode == 0, done.stderr
    shown = "".join(f"    {line}\n" for line in done.stdout.splitlines())
    return done.stdout.count("\n") == 7 and f"\n\n{shown}\n" in read("README.md")


def test_example_client_prints_what_the_readme_shows(start):
    server = start()
    assert is_shown(run_client(server.target()))
    assert is_shown(run_client(server.target())), "its second run"


def test_example_client_takes_a_token_and_certificates(start, tmp_path):
    authority = Authority(tmp_path)
    pair = authority.sign("server", "DNS:localhost")
    tokens, token = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text("a-token-of-the-test clients\n")
    tokens.chmod(0o600)
    token.write_text("a-token-of-the-test\n")
    server = start(*pair.options(), "--tls-client-ca", authority.pair.certificate,
                   "--auth-token-file", str(tokens))
    target = f"localhost:{server.port}"
    own = authority.sign("client")
    tls = ["--tls-ca", authority.pair.certificate, "--tls-certificate", own.certificate, "--tls-key",
           own.key]
    assert is_shown(run_client(*tls, "--token-file", token, target))
    assert "UNAUTHENTICATED" in run_client(*tls, target).stderr
    assert "UNAVAILABLE" in run_client(*tls[:2], "--token-file", token, target).stderr
    wrong = run_client("--tls-key", own.key, target)
    assert wrong.returncode == 2 and "go together" in wrong.stderr


def test_readme_shows_options_of_the_server_and_their_defaults():
    help_text = subprocess.run([ROSTERD, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    rows = re.findall(r"^\| `--([a-z-]+)(?: [A-Z]+)?` \| (.*?) \|", read("README.md"), re.M)
    assert len(rows) > 10 and {name for name, _ in rows} < options_of(ROSTERD)
    # no number, so that a new option does not touch the README
    assert "`rosterd --help` prints all options" in re.sub(r"\s+", " ", read("README.md"))
    for name, default in rows:
        shown = re.search(rf"^  --{name} .*\(default (.*)\)$", help_text, re.M)
        if shown:
            assert default.replace("`", "") == shown.group(1)


def manual_options(page):
    return {name.replace("\\-", "-")
            for name in re.findall(r"\\-\\-([a-z]+(?:\\-[a-z]+)*)", page)}


def built(page):
    """Reads a page that is generated from the table of options."""
    return (pathlib.Path(ROSTERD).parents[2] / page).read_text(encoding="utf-8")


def test_manual_pages_name_exactly_the_options_of_the_programs():
    assert manual_options(built("docs/rosterd.8")) - {"option"} == options_of(ROSTERD)
    assert manual_options(read("docs/shm-inspect.1")) == options_of(SHM_INSPECT)


def test_manual_of_the_file_names_every_key():
    keys = {name.replace("\\-", "-")
            for name in re.findall(r"^\.BI ([a-z\\-]+) \" = ", built("docs/rosterd.conf.5"), re.M)}
    dumped = subprocess.run([ROSTERD, "--dump-config"], capture_output=True, text=True, check=True,
                            timeout=20).stdout
    assert keys == set(re.findall(r"^(?:# )?([a-z-]+) ", dumped, re.M))


@pytest.mark.parametrize("page", ["docs/rosterd.8", "docs/rosterd.conf.5", "docs/shm-inspect.1"])
def test_manual_pages_are_well_formed(page):
    text = built(page) if (pathlib.Path(ROSTERD).parents[2] / page).exists() else read(page)
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=text,
                          capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""


def log_messages():
    """The constant beginning of every line that the server logs."""
    for path in sorted((ROOT / "src/server").rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        for first in re.findall(r'log_(?:error|warning|notice|info)\(\s*"([^"]*)"', text):
            yield path.name, first


def test_every_log_message_has_its_meaning():
    page = read("docs/operations.md")
    table = re.sub(r"\b(?:ADDRESS|PATH|REASON|NAME|OTHER|OPTIONS|PROGRAM|STATUS|[NPTSCM])\b", "%",
                   page[page.index("| message | meaning |"):])
    messages = list(log_messages())
    assert len(messages) > 40
    for name, message in messages:
        plain = re.sub(r"%(?:ll|z)?[a-z]", "%", message)
        begin = plain[:max(18, plain.find("%", 4) + 1)]
        if not begin.strip("%: "):
            continue  # the whole text is a variable: its values are among the other messages
        words = re.split(r"%", begin)
        assert any(word.strip(" :;,()") in table for word in words if len(word) > 3), (name, message)


def test_rules_for_prometheus_are_well_formed():
    done = subprocess.run(["promtool", "check", "rules", ROOT / "docs/alerts.yml"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done
    shown = set(re.findall(r"alert: (\w+)", read("docs/alerts.yml")))
    assert shown == set(re.findall(r"Rosterd[A-Z]\w+", read("docs/operations.md")))


def test_alerts_about_room_the_disk_and_passwords_fire_when_they_should():
    rules = ROOT / "tests/e2e/alert_rules.yml"
    done = subprocess.run(["promtool", "test", "rules", rules], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    shown = re.findall(r"alert: (Rosterd(?:Room|Creates|Disk|Journal|Commits|Passwords)\w+)", read("docs/alerts.yml"))
    tested = rules.read_text(encoding="utf-8").split("exp_alerts:")[:-1]
    assert {part.split()[-1] for part in tested} == set(shown)


def test_rules_name_existing_metrics(start):
    server = start()
    names = {name.split("{")[0] for name in server.inspect("stats")}
    table = set(re.findall(r"`(rosterd_\w+|grpc_\w+)`", read("docs/metrics.md")))
    for name in set(re.findall(r"\b((?:rosterd|grpc_server)_[a-z_]+)\b", read("docs/alerts.yml"))):
        assert name.removesuffix("_bucket") in table, name
        assert name.removesuffix("_sum").removesuffix("_count") + "_bucket" in names or \
            name in names or name.startswith(
                ("rosterd_users", "rosterd_segment", "rosterd_snapshots", "rosterd_commits",
                 "rosterd_journal_state", "rosterd_journal_version", "rosterd_journal_lag_commits"))


@pytest.mark.parametrize("words, offered", [
    (["rosterd", "--max-us"], "--max-users"), (["rosterd", "--log-level", "w"], "warning"),
    (["rosterd", "--access-log", ""], "on\noff"), (["rosterd", "--access-log", "="], "on\noff"),
    (["rosterd", "--log-level", "=", "w"], "warning"), (["rosterd", "--check-config", "--vers"], "--version"),
])
def test_shell_completes_options_and_their_words(words, offered):
    script = pathlib.Path(ROSTERD).parents[2] / "scripts/rosterd.bash-completion"
    done = subprocess.run(
        ["bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rosterd; '
         'printf "%s\\n" "${COMPREPLY[@]}"', "bash", script, *words],
        capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == offered + "\n"


@pytest.mark.parametrize("words, offered", [
    (["shm-inspect", "res"], "restore"), (["shm-inspect", "--segment", "/x", "backup", "--da"], "--data-file"),
    (["shm-inspect", "--js"], "--json"), (["shm-inspect", "--limit", "=", "5", "verif"], "verify"),
    (["shm-inspect", "--data-file", "=", "/etc/hostna"], "/etc/hostname"),
])
def test_shell_completes_commands_of_the_tool(words, offered):
    assert completions(words) == [offered]


def completions(words):
    return subprocess.run(
        ["bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shm_inspect; '
         'printf "%s\\n" "${COMPREPLY[@]}"', "bash", ROOT / "scripts/shm-inspect.bash-completion", *words],
        capture_output=True, text=True, check=True, timeout=20).stdout.split()


def test_completion_of_the_tool_knows_each_command_and_option():
    help_text = subprocess.run([SHM_INSPECT, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    commands = re.findall(r"^  ([a-z][a-z-]+)", help_text, re.M)
    assert len(commands) > 14
    assert set(completions(["shm-inspect", ""])) == set(commands)
    assert {word[2:] for word in completions(["shm-inspect", "--"])} == options_of(SHM_INSPECT)


def test_manual_of_the_tool_describes_each_command():
    help_text = subprocess.run([SHM_INSPECT, "--help"], capture_output=True, text=True, check=True,
                               timeout=20).stdout
    page = read("docs/shm-inspect.1").replace("\\-", "-")
    for command in re.findall(r"^  ([a-z][a-z-]+)", help_text, re.M):
        assert re.search(rf"^\.TP\n(?:\.B |\\fB){command}(?:\\fR.*)?$", page, re.M), command


def names_in(path):
    """The names of the tests and scenes in a file, or in all files of a folder."""
    files = [ROOT / path] if (ROOT / path).is_file() else sorted((ROOT / path).glob("*.[ch]"))
    names = set()
    for file in files:
        text = file.read_text(encoding="utf-8")
        names |= set(re.findall(r"^(?:static )?void (\w+)\(void(?: \*\*state)?\)$", text, re.M))
        names |= set(re.findall(r"^def (test_\w+)\(", text, re.M))
        names |= set(re.findall(r"^CASE\((\w+),", text, re.M))
        names |= set(re.findall(r'^    \{"(\w+)",', text, re.M))
    return names


def test_tests_that_the_page_of_the_store_names_exist():
    page = re.sub(r"\s+", " ", read("docs/store.md"))
    for path in set(re.findall(r"`(tests/[\w/.]+)`", page)):
        assert (ROOT / path).exists() or (ROOT / f"{path}.c").exists(), path
    named = re.findall(r"((?:`\w+`(?:, | and )?)+) in `(tests/[\w/.]+)`", page)
    assert len(named) > 50
    for names, path in named:
        missing = set(re.findall(r"`(\w+)`", names)) - names_in(path)
        assert not missing, (path, missing)


@pytest.mark.parametrize("section", [
    "Byte map", "A user", "Reading", "Snapshots", "Grace periods", "Reclaim", "Writing", "Recovery",
    "Unique keys", "Requests", "The change feed", "The index by sequence", "The segment's life", "Growth",
    "Verify", "On disk", "Limits"])
def test_page_of_the_store_names_tests_for_each_section(section):
    page = read("docs/store.md")
    text = page[page.index(f"\n## {section}\n") + 4:]
    assert re.search(r"` in\s+`tests/", text[:text.find("\n## ")])


def test_layout_hash_covers_every_field():
    """Otherwise two builds that disagree about a field would share a segment."""
    header, code = read("shm/core/layout.h"), read("shm/core/layout.c")
    structs = re.findall(r"^struct (\w+) \{\n(.*?)^\};", header, re.M | re.S)
    assert len(structs) == 16
    for struct, body in structs:
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
        for line in re.findall(r"([^;]+);", body):
            if re.search(r" : \d+", line):  # bits of a word, which is a field, too
                continue
            for field in re.findall(r"(\w+)(?:\[[^]]*\])?(?=,|$)", line.strip()):
                if not re.match(r"reserved\d*$|pad\d*$", field):
                    assert re.search(rf"(?:FIELD\(|offsetof\(struct ){struct}, {field}\)", code), (
                        struct, field)
