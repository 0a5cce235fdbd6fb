# SPDX-License-Identifier: MIT
"""Certificates of a test's own, by the openssl command."""
import dataclasses
import pathlib
import subprocess


def openssl(*arguments, text=None):
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclasses.dataclass
class Pair:
    certificate: str
    key: str

    def options(self):
        return ["--tls-certificate", self.certificate, "--tls-key", self.key]


class Authority:
    """Signs what it is asked to; all files lie in one directory."""

    def __init__(self, directory, name="ca"):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.pair = self._pair(name)
        openssl("req", "-x509", "-new", "-key", self.pair.key, "-out", self.pair.certificate,
                "-subj", f"/CN=test {name}", "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE")

    def _pair(self, name):
        pair = Pair(str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key"))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pair.key)
        pathlib.Path(pair.key).chmod(0o600)
        return pair

    def sign(self, name, *alternatives, subject=None, dates=()):
        """@param dates as `openssl ca` has them, (not before, not after): 20200101000000Z"""
        pair = self._pair(name)
        request = self.directory / f"{name}.csr"
        openssl("req", "-utf8", "-new", "-key", pair.key, "-subj", subject or f"/CN={name}",
                "-out", str(request))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text("subjectAltName=" + ",".join(alternatives) + "\n"
                              if alternatives else "basicConstraints=CA:FALSE\n")
        if dates:
            self._sign_with_dates(pair, request, extensions, dates)
        else:
            openssl("x509", "-req", "-in", str(request), "-CA", self.pair.certificate, "-CAkey",
                    self.pair.key, "-CAcreateserial", "-days", "1", "-out", pair.certificate,
                    "-extfile", str(extensions))
        return pair

    def _sign_with_dates(self, pair, request, extensions, dates):
        config = self.directory / "ca.cnf"
        (self.directory / "index.txt").write_text("")
        config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.directory}/index.txt\n"
                          f"new_certs_dir={self.directory}\npolicy=p\ndefault_md=sha256\n"
                          "rand_serial=yes\n[p]\nCN=supplied\n")
        openssl("ca", "-batch", "-config", str(config), "-cert", self.pair.certificate, "-keyfile",
                self.pair.key, "-in", str(request), "-out", pair.certificate, "-startdate",
                dates[0], "-enddate", dates[1], "-extfile", str(extensions), "-notext")
