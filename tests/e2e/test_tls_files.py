# SPDX-License-Identifier: MIT
"""Files of TLS, tokens and configuration: of all kinds, unusable, encrypted."""
import os
import pathlib
import pty
import signal
import subprocess
import time

import pytest

from certs import Authority, Pair, openssl
from harness import ROSTERD, Rosterd, wait_for
from tls_kit import GET, VERSIONS, connect, context, refused
from wire import Wire

KINDS = ("rsa", "ec", "ed25519")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pairs(authority):
    return {kind: authority.sign(kind, "DNS:localhost", "IP:127.0.0.1", kind=kind)
            for kind in KINDS}


@pytest.fixture(scope="module")
def pair(pairs):
    return pairs["ec"]


# ---- several kinds of key ----

def handshake(rosterd, *options, name="localhost"):
    """@return (subject, kind of signature) that openssl's client saw, or None if the handshake
    failed"""
    names = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{rosterd.port}", "-alpn",
                           "h2", *names, *options], input="", capture_output=True, text=True,
                          timeout=30)
    if done.returncode:
        return None
    subject = next(line for line in done.stdout.splitlines() if line.startswith("subject="))
    return subject.rpartition(" ")[2]


@pytest.fixture(scope="module", params=[("rsa", "ec"), ("ec", "rsa")], ids="-".join)
def both(request, pairs, authority):
    """A server that has two kinds of key for one name, among other names."""
    other = authority.sign("other", "DNS:other.example")
    wider = authority.sign("wider", "DNS:other.example", "DNS:third.example", kind="rsa")
    options = [option for kind in request.param for option in pairs[kind].options()]
    with Rosterd(*options, *other.options(), *wider.options(), workers=1) as rosterd:
        yield rosterd


@pytest.mark.parametrize("name", ["localhost", None, "unknown.example"])
def test_each_client_gets_a_pair_that_it_can_use(both, name):
    for kind, options in (
            ("rsa", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
            ("ec", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
            ("rsa", ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"]),
            ("ec", ["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"])):
        assert handshake(both, *options, name=name) == kind, options
    assert handshake(both, name=name) in ("rsa", "ec")


def test_a_pair_of_another_kind_is_never_taken_from_another_name(both):
    rsa, ec = (["-tls1_3", "-sigalgs", what] for what in ("rsa_pss_rsae_sha256",
                                                         "ecdsa_secp256r1_sha256"))
    assert handshake(both, *ec, name="other.example") == "other"
    assert handshake(both, *rsa, name="other.example") == "wider"
    assert handshake(both, *rsa, name="third.example") == "wider"
    assert handshake(both, *ec, name="third.example") is None


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_resume_if_a_name_has_several_pairs(both, authority, version):
    shared, session = context(authority, version=version), None
    for _ in range(3):
        with Wire(connect(both, shared, session=session)) as connection:
            assert connection.call("GetUser", GET).grpc_status == 5
            assert connection.sock.session_reused == (session is not None)
            session = connection.sock.session


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_form_of_key_is_served(start, pairs, authority, kind, tmp_path):
    """PKCS#8, the older forms, a form with curve parameters first, and certificate and key in one
    file."""
    made, text = pairs[kind], pathlib.Path(pairs[kind].key).read_text()
    forms = [text, pathlib.Path(made.certificate).read_text() + "\n" + text,
             text.replace("\n", "\r\n")]
    if kind != "ed25519":
        forms.append(openssl("pkey", "-in", made.key, "-traditional"))
    if kind == "ec":
        forms.append(openssl("ecparam", "-name", "prime256v1") + forms[-1])
    key = tmp_path / "key"
    for form in forms:
        key.write_text(form)
        key.chmod(0o600)
        done = subprocess.run([ROSTERD, "--check-config", "--tls-certificate", made.certificate,
                               "--tls-key", str(key)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (form, done)
    rosterd = start("--tls-certificate", made.certificate, "--tls-key", str(key), workers=1)
    assert handshake(rosterd) == kind


# ---- encrypted keys ----

def encrypted_forms(pair, folder):
    """Creates encrypted keys: PKCS#8, the older form, and one that claims to be unencrypted."""
    new, old, wrong = (folder / name for name in ("pkcs8", "old", "wrong"))
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-out", str(new))
    openssl("pkey", "-in", pair.key, "-aes256", "-passout", "pass:secret", "-traditional",
            "-out", str(old))
    wrong.write_text(new.read_text().replace("ENCRYPTED PRIVATE", "PRIVATE"))
    for path in (new, old, wrong):
        path.chmod(0o600)
    return new, old, wrong


def on_terminal(*command):
    """Runs the command with a controlling terminal. @return (pid, our end of the terminal)"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    os.set_blocking(terminal, False)
    return pid, terminal


def said(terminal):
    try:
        return os.read(terminal, 65536).decode()
    except OSError:
        return ""


def ended(pid):
    done, status = os.waitpid(pid, os.WNOHANG)
    return done and [os.waitstatus_to_exitcode(status)]


def test_an_encrypted_key_is_named_without_a_password_prompt(pair, tmp_path):
    forms = encrypted_forms(pair, tmp_path)
    for form in forms:
        pid, terminal = on_terminal(ROSTERD, "--check-config", "--tls-certificate",
                                    pair.certificate, "--tls-key", str(form))
        try:
            assert wait_for(lambda: ended(pid), 20, "its end") == [1]
            text = said(terminal)
        finally:
            os.close(terminal)
        assert f"tls-key: {form}: it cannot be used" in text, text
        assert form == forms[2] or "the key is encrypted" in text, text


def test_a_reload_with_an_encrypted_key_fails_without_blocking(pair, tmp_path):
    """In the foreground of a terminal, where the master once asked for the password and blocked
    forever."""
    key, conf, segment = tmp_path / "key", tmp_path / "conf", f"/rosterd-e2e-enc-{os.getpid()}"
    key.write_text(pathlib.Path(pair.key).read_text())
    key.chmod(0o600)
    conf.write_text(f"listen = 127.0.0.1:0\nsegment = {segment}\nworkers = 1\n"
                    f"tls-certificate = {pair.certificate}\ntls-key = {key}\n")
    pid, terminal = on_terminal(ROSTERD, "--config", str(conf))
    text = []

    def shows(what):
        text.append(said(terminal))
        return what in "".join(text)
    try:
        wait_for(lambda: shows("Server started"), 30, "its start")
        key.write_text(encrypted_forms(pair, tmp_path)[0].read_text())
        os.kill(pid, signal.SIGHUP)
        wait_for(lambda: shows("the key is encrypted, and the server never asks for a password; the "
                               "previous configuration stays in force"), 20, "the reason")
        os.kill(pid, signal.SIGTERM)
        assert wait_for(lambda: ended(pid), 20, "its end") == [0]
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
        for suffix in ("", ".stats"):
            pathlib.Path(f"/dev/shm{segment}{suffix}").unlink(missing_ok=True)


# ---- what is no file ----

def option_lists(pair, authority):
    """Returns each option that names an input file, with the other options that it needs."""
    crl = ["--tls-client-ca", authority.pair.certificate, "--tls-crl"]
    return {"tls-certificate": ["--tls-key", pair.key, "--tls-certificate"],
            "tls-key": ["--tls-certificate", pair.certificate, "--tls-key"],
            "tls-client-ca": [*pair.options(), "--tls-client-ca"],
            "tls-crl": [*pair.options(), *crl],
            "auth-token-file": ["--auth-token-file"], "config": ["--config"]}


OPTIONS = ["tls-certificate", "tls-key", "tls-client-ca", "tls-crl", "auth-token-file", "config"]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_names_no_regular_file_fails_at_once(option, pair, authority, tmp_path):
    fifo, huge = tmp_path / "fifo", tmp_path / "huge"
    os.mkfifo(fifo)
    with open(huge, "wb") as file:
        file.truncate(1 << 40)
    given = option_lists(pair, authority)[option]
    for path, why in ((fifo, "it is not a regular file"), (tmp_path, ""), (huge, "it is larger than"),
                      ("/dev/zero", "it is not a regular file"), ("/dev/null", "")):
        if (option, path) == ("config", "/dev/null"):
            continue  # an empty file is valid for this option
        begun = time.monotonic()
        text = refused(*given, str(path))
        assert text.startswith(f"rosterd: {option}: {path}: ") and why in text, text
        assert time.monotonic() - begun < 5


def test_the_null_device_is_an_empty_configuration():
    done = subprocess.run([ROSTERD, "--config", "/dev/null", "--check-config"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done


def test_missing_keys_and_certificates_are_reported(pair, authority, tmp_path):
    def fault(*options):
        return refused(*options).partition("it cannot be used: ")[2].strip()
    empty, half = tmp_path / "empty", tmp_path / "half"
    empty.write_text("")
    text = pathlib.Path(pair.certificate).read_text()
    half.write_text(text + text[:200])
    assert fault(*Pair(str(empty), pair.key).options()) == "there is no certificate in it"
    assert fault(*Pair(pair.key, pair.key).options()) == "there is no certificate in it"
    assert fault(*Pair(str(half), pair.key).options()) == "block 2 is damaged: bad end line"
    for path in (str(empty), authority.pair.certificate):
        assert fault(*Pair(pair.certificate, path).options()) == "there is no private key in it"
