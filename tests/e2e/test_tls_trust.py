# SPDX-License-Identifier: MIT
"""Which client certificates are trusted, and for how long: authorities, revocation, sessions."""
import pathlib
import signal
import subprocess

import pytest

from certs import Authority, openssl
from harness import ROSTERD, wait_for
from tls_kit import VERSIONS, context, refused, served


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("server", "DNS:localhost")


@pytest.fixture(scope="module")
def client(authority):
    return authority.sign("client")


@pytest.fixture(scope="module")
def intermediate(authority, tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("intermediate"), "intermediate", authority)


@pytest.fixture(scope="module")
def inner(intermediate):
    """A client of the intermediate authority. It sends that authority's certificate, too."""
    pair = intermediate.sign("inner")
    with open(pair.certificate, "a", encoding="ascii") as file:
        file.write(pathlib.Path(intermediate.pair.certificate).read_text())
    return pair


class Configured:
    """A server whose trust in client certificates is configured by a file that the test rewrites
    repeatedly."""

    def __init__(self, start, pair, path, **options):
        self.path, self.pair = path, pair
        self.write(**options)
        self.rosterd = start("--config", str(path), workers=1)

    def write(self, ca=None, crls=()):
        lines = [f"tls-certificate = {self.pair.certificate}", f"tls-key = {self.pair.key}",
                 *([f"tls-client-ca = {ca}"] if ca else []), *(f"tls-crl = {crl}" for crl in crls)]
        self.path.write_text("\n".join(lines) + "\n")

    def reload(self, **options):
        self.write(**options)
        done = subprocess.run([ROSTERD, "--config", str(self.path), "--reload",
                               str(self.rosterd.process.pid)], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done
        # The old worker drains; new connections reach the new one.
        wait_for(lambda: len(self.rosterd.worker_pids()) == 1, what="one generation")

    def served(self, context, session=None):
        return served(self.rosterd, context, session)


@pytest.fixture
def configure(start, pair, tmp_path):
    return lambda **options: Configured(start, pair, tmp_path / "conf", **options)


# ---- sessions ----

@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_does_not_bypass_a_later_required_certificate(configure, authority,
                                                                         client, version):
    server = configure()
    without = context(authority, version=version)
    session, _ = server.served(without)
    assert server.served(without, session)[1]
    server.reload(ca=authority.pair.certificate)
    assert server.served(without) is None
    assert server.served(without, session) is None
    assert server.served(context(authority, client=client, version=version))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_does_not_bypass_a_change_of_authority(configure, authority, client, tmp_path,
                                                     version):
    server = configure(ca=authority.pair.certificate)
    known = context(authority, client=client, version=version)
    session, _ = server.served(known)
    server.reload(ca=authority.pair.certificate)
    assert server.served(known, session)[1], "nothing has changed"
    server.reload(ca=Authority(tmp_path, "stranger").pair.certificate)
    assert server.served(known, session) is None


# ---- revocation ----

@pytest.mark.parametrize("version", VERSIONS)
def test_a_revoked_client_is_refused_and_its_ticket_too(configure, authority, client, version):
    other = authority.sign("other-client")
    server = configure(ca=authority.pair.certificate, crls=[authority.revoke(name="none")])
    ours, others = (context(authority, client=who, version=version) for who in (client, other))
    session, _ = server.served(ours)
    assert server.served(ours, session)[1]
    server.reload(ca=authority.pair.certificate, crls=[authority.revoke(client, name="ours")])
    assert server.served(ours) is None
    assert server.served(ours, session) is None
    assert server.served(others)


def test_lists_of_higher_authorities_count_if_present(configure, authority, intermediate,
                                                               inner, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text("".join(pathlib.Path(each.pair.certificate).read_text()
                            for each in (authority, intermediate)))
    of_inner = intermediate.revoke(name="none")
    server = configure(ca=both, crls=[of_inner])
    known = context(authority, client=inner)
    assert server.served(known)
    server.reload(ca=both, crls=[of_inner, authority.revoke(name="none")])
    assert server.served(known)
    revoked = authority.revoke(intermediate.pair, name="above")
    server.reload(ca=both, crls=[of_inner, revoked])
    server.rosterd.wait_log("tls-client-ca: .*/CN=test intermediate is revoked by /CN=test ca: its "
                            "clients are refused")
    assert server.served(known) is None


def test_without_a_list_of_its_issuer_a_client_is_refused(configure, authority, intermediate, inner,
                                                          client):
    server = configure(ca=authority.pair.certificate, crls=[authority.revoke(name="none")])
    assert server.served(context(authority, client=client))
    assert server.served(context(authority, client=inner)) is None


def test_lists_that_cannot_be_used_are_named(authority, intermediate, pair, client, tmp_path):
    def fault(path):
        text = refused(*pair.options(), "--tls-client-ca", authority.pair.certificate,
                       "--tls-crl", str(path))
        assert text.startswith(f"rosterd: tls-crl: {path}: "), text
        return text
    expired = authority.revoke(name="expired", dates=("20200101000000Z", "20210203040506Z"))
    assert "the list of /CN=test ca expired at 2021-02-03 04:05:06 UTC" in fault(expired)
    future = authority.revoke(name="future", dates=("20450101000000Z", "20460101000000Z"))
    assert "is not valid before 2045-01-01" in fault(future)
    stranger = Authority(tmp_path, "ca")  # an equal name is not enough
    assert "is of no CA in tls-client-ca" in fault(stranger.revoke())
    assert "is of no CA in tls-client-ca" in fault(intermediate.revoke(name="none"))
    assert "block 1 is not a revocation list, but 'CERTIFICATE'" in fault(client.certificate)
    good = pathlib.Path(authority.revoke(name="good")).read_text()
    empty, cut, der = tmp_path / "empty", tmp_path / "cut", tmp_path / "der"
    empty.write_text("")
    assert "it is empty, or not PEM" in fault(empty)
    cut.write_text(good + good[:len(good) // 2])
    assert "block 2 is damaged" in fault(cut)
    openssl("crl", "-in", authority.revoke(name="good"), "-outform", "DER", "-out", str(der))
    assert "it is not PEM, but binary" in fault(der)
    assert "No such file" in fault(tmp_path / "none")


def test_a_list_needs_an_authority(authority, pair):
    text = refused(*pair.options(), "--tls-crl", authority.revoke())
    assert text == "rosterd: tls-crl: needs a tls-client-ca, whose certificates it revokes\n"


def test_an_expired_list_refuses_its_clients(configure, authority, client):
    """The next list might have revoked any client, so all of them are refused."""
    import datetime
    now = datetime.datetime.now(datetime.timezone.utc)
    soon = now + datetime.timedelta(seconds=4)
    dates = tuple(f"{when:%Y%m%d%H%M%SZ}" for when in (now - datetime.timedelta(days=1), soon))
    server = configure(ca=authority.pair.certificate,
                       crls=[authority.revoke(name="short", dates=dates)])
    known = context(authority, client=client)
    session, _ = server.served(known)
    wait_for(lambda: server.served(known) is None, what="the list has expired")
    assert server.served(known, session) is None
    server.reload(ca=authority.pair.certificate, crls=[authority.revoke(name="next")])
    assert server.served(known)


# ---- authorities ----

def test_an_intermediate_authority_is_trusted_by_itself(configure, authority, intermediate, inner,
                                                    client):
    server = configure(ca=intermediate.pair.certificate)
    assert server.served(context(authority, client=inner))
    assert server.served(context(authority, client=client)) is None, "it is the root's"


def test_authorities_that_cannot_be_used_are_named(authority, pair, client, tmp_path):
    good = pathlib.Path(authority.pair.certificate).read_text()
    path = tmp_path / "ca.pem"

    def fault(text):
        path.write_text(text)
        told = refused(*pair.options(), "--tls-client-ca", str(path))
        assert told.startswith(f"rosterd: tls-client-ca: {path}: it cannot be used: "), told
        return told
    assert "it is empty" in fault("")
    assert "/CN=client is not the certificate of a CA" in fault(
        pathlib.Path(client.certificate).read_text())
    assert "/CN=client is not the certificate of a CA" in fault(
        good + pathlib.Path(client.certificate).read_text())
    for spoilt in ("-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n",
                   "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
                   good[:len(good) // 2]):
        assert "block 2 is damaged" in fault(good + spoilt)
    assert "2 lines that begin a block, but 1 blocks" in fault(
        good + good.replace("-----BEGIN", "----BEGIN"))
    assert "something other than comments follows its last block" in fault(good + "garbage\n")
    assert "binary" in fault(good + "\0\1\2")
    assert "block 1 is not a certificate, but 'PRIVATE KEY'" in fault(
        pathlib.Path(authority.pair.key).read_text())


def test_text_around_an_authoritys_certificate_is_accepted(configure, authority, client, tmp_path):
    good = pathlib.Path(authority.pair.certificate).read_text()
    text = openssl("x509", "-in", authority.pair.certificate, "-text")
    path = tmp_path / "ca.pem"
    path.write_text("# ours\n" + text + "\nTheirs\n======\n" + good.replace("\n", "\r\n") +
                    "\n# the end\n\n")
    server = configure(ca=path)
    assert server.served(context(authority, client=client))


def test_a_bad_list_at_a_reload_changes_nothing(configure, authority, client, tmp_path):
    server = configure(ca=authority.pair.certificate, crls=[authority.revoke(client)])
    server.write(ca=authority.pair.certificate, crls=[tmp_path / "none"])
    server.rosterd.process.send_signal(signal.SIGHUP)
    server.rosterd.wait_log("reload: tls-crl: .*No such file or directory; the previous configuration stays in force")
    assert server.served(context(authority, client=client)) is None
