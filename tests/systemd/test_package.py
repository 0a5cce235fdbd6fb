# SPDX-License-Identifier: MIT
"""The Debian package is installed, upgraded in place, removed and purged, under the systemd that
tests/systemd/run boots."""
import glob
import os
import pathlib
import pwd

import user_service_pb2 as pb
from test_service import client, create, journal, main_pid, names, run, show, systemctl, wait_for

PACKAGE, = glob.glob("/media/rosterd_*.deb")
INSTALLED = ["/usr/sbin/rosterd", "/usr/bin/shm-inspect", "/lib/systemd/system/rosterd.service",
             "/lib/systemd/system/rosterd.socket", "/usr/lib/sysusers.d/rosterd.conf",
             "/usr/lib/tmpfiles.d/rosterd.conf", "/usr/share/rosterd/user_service.proto",
             "/usr/share/bash-completion/completions/rosterd"]
# minimal installations leave documents out, so they are looked for in the package itself
DOCUMENTS = ["man8/rosterd.8.gz", "man5/rosterd.conf.5.gz", "man1/shm-inspect.1.gz",
             "doc/rosterd/operations.md", "doc/rosterd/copyright", "doc/rosterd/alerts.yml"]


def dpkg(*arguments, status=0):
    return run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments, status=status)


def newer(directory):
    """The same package with a later version number."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", PACKAGE, str(tree))
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: 0.1.0", "Version: 0.1.1"))
    run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(directory / "newer.deb"))
    return str(directory / "newer.deb")


def test_package_has_its_documents():
    held = run("dpkg-deb", "-c", PACKAGE).stdout
    for name in DOCUMENTS:
        assert f"/{name}" in held, name


def test_life_of_a_package(tmp_path):
    # a fresh machine
    assert not os.path.exists("/etc/rosterd")
    dpkg("-i", PACKAGE)
    for path in INSTALLED:
        assert os.path.exists(path), path
    assert pwd.getpwnam("rosterd").pw_shell.endswith("nologin")
    conf = os.stat("/etc/rosterd/rosterd.conf")
    assert (conf.st_uid, conf.st_mode & 0o777) == (0, 0o640)
    assert show("ActiveState") == "active" and show("UnitFileState") == "enabled"
    create("ada")

    # an upgrade in place: another process serves the same table, and no call fails
    conf_before = pathlib.Path("/etc/rosterd/rosterd.conf")
    conf_before.write_text(conf_before.read_text() + "\nmax-connections = 1000\n")
    before = main_pid()
    with client() as stub:
        list(stub.ListUsers(pb.ListUsersRequest()))
        dpkg("-i", newer(tmp_path))
        wait_for(lambda: main_pid() not in (0, before), 30, "the new program")
        assert [user.username for user in stub.ListUsers(pb.ListUsersRequest(), timeout=20)] == ["ada"]
    wait_for(lambda: not os.path.exists(f"/proc/{before}"), 30, "the old program gone")
    assert show("ActiveState") == "active" and show("NRestarts") == "0"
    assert "max-connections = 1000" in conf_before.read_text()
    assert "upgrade: process" in journal()

    # when the package is removed, table and configuration stay; installed again, it serves them
    dpkg("-r", "rosterd")
    assert not os.path.exists("/usr/sbin/rosterd")
    assert os.path.exists("/dev/shm/rosterd") and os.path.exists("/etc/rosterd/rosterd.conf")
    dpkg("-i", PACKAGE)
    assert names() == ["ada"]

    # a purge leaves only the system user
    dpkg("-P", "rosterd")
    left = [path for path in ["/etc/rosterd", "/dev/shm/rosterd", "/dev/shm/rosterd.stats",
                              "/var/log/rosterd", "/run/rosterd", *INSTALLED] if os.path.exists(path)]
    assert left == []
    assert systemctl("is-active", "rosterd.service", status=None).stdout.strip() != "active"
    assert run("dpkg", "-l", "rosterd", status=None).stdout.count("ii  rosterd") == 0
