# SPDX-License-Identifier: MIT
"""Creates certificates for a test with the openssl command."""
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
    """A certificate authority that signs any request. All its files lie in one directory."""

    def __init__(self, directory, name="ca", parent=None):
        """@param parent another Authority; None: this one is a root"""
        self.directory = pathlib.Path(directory)
        self.name = name
        if parent:
            self.pair = parent.sign(name, subject=f"/CN=test {name}", authority=True)
            return
        self.pair = self._pair(name)
        openssl("req", "-x509", "-new", "-key", self.pair.key, "-out", self.pair.certificate,
                "-subj", f"/CN=test {name}", "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE")

    def _pair(self, name, kind="ec"):
        pair = Pair(str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key"))
        kinds = {"ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                 "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ed25519": ["ED25519"]}
        openssl("genpkey", "-algorithm", *kinds[kind], "-out", pair.key)
        pathlib.Path(pair.key).chmod(0o600)
        return pair

    def sign(self, name, *alternatives, subject=None, dates=(), kind="ec", authority=False):
        """@param dates (not before, not after) in the format of `openssl ca`: 20200101000000Z"""
        pair = self._pair(name, kind)
        request = self.directory / f"{name}.csr"
        openssl("req", "-utf8", "-new", "-key", pair.key, "-subj", subject or f"/CN={name}",
                "-out", str(request))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text("subjectAltName=" + ",".join(alternatives) + "\n"
                              if alternatives else
                              f"basicConstraints=critical,CA:{str(authority).upper()}\n")
        if dates:
            self._sign_with_dates(pair, request, extensions, dates)
        else:
            openssl("x509", "-req", "-in", str(request), "-CA", self.pair.certificate, "-CAkey",
                    self.pair.key, "-CAcreateserial", "-days", "1", "-out", pair.certificate,
                    "-extfile", str(extensions))
        return pair

    def _ca(self, *arguments, index=""):
        config = self.directory / "ca.cnf"
        (self.directory / "index.txt").write_text(index)
        config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.directory}/index.txt\n"
                          f"new_certs_dir={self.directory}\npolicy=p\ndefault_md=sha256\n"
                          "rand_serial=yes\n[p]\nCN=supplied\n")
        openssl("ca", "-batch", "-config", str(config), "-cert", self.pair.certificate, "-keyfile",
                self.pair.key, *arguments)

    def _sign_with_dates(self, pair, request, extensions, dates):
        self._ca("-in", str(request), "-out", pair.certificate, "-startdate", dates[0],
                 "-enddate", dates[1], "-extfile", str(extensions), "-notext")

    def revoke(self, *pairs, name="list", dates=()):
        """@return the path of a revocation list that names these pairs
        @param dates (from, until), in the format of sign()"""
        serials = [openssl("x509", "-in", pair.certificate, "-noout", "-serial")
                   .strip().removeprefix("serial=") for pair in pairs]
        index = "".join(f"R\t300101000000Z\t200101000000Z\t{serial}\tunknown\t/CN=x\n"
                        for serial in serials)
        path = self.directory / f"{self.name}-{name}.crl"
        when = ["-crl_lastupdate", dates[0], "-crl_nextupdate", dates[1]] if dates else [
            "-crldays", "1"]
        self._ca("-gencrl", *when, "-out", str(path), index=index)
        return str(path)
