# SPDX-License-Identifier: MIT
"""The Debian package is installed, upgraded in place, removed and purged, under the systemd that
tests/systemd/run boots."""
import glob
import os
import pathlib
import pwd
import re
import shutil

import pytest

import user_service_pb2 as pb
from test_service import SEGMENT, STATE, client, create, journal, main_pid, names, run, show, systemctl, wait_for

PACKAGE, = glob.glob("/media/rosterd_*.deb")
INSTALLED = ["/usr/sbin/rosterd", "/usr/bin/shm-inspect", "/lib/systemd/system/rosterd.service",
             "/lib/systemd/system/rosterd.socket", "/usr/lib/sysusers.d/rosterd.conf",
             "/usr/lib/tmpfiles.d/rosterd.conf", "/usr/share/rosterd/user_service.proto",
             "/usr/share/bash-completion/completions/rosterd",
             "/usr/share/bash-completion/completions/shm-inspect",
             "/lib/systemd/system/rosterd-backup.service", "/lib/systemd/system/rosterd-backup.timer",
             "/usr/libexec/rosterd/rosterd-backup"]
CONF = pathlib.Path("/etc/rosterd/rosterd.conf")
CONFFILES = [str(CONF), "/etc/logrotate.d/rosterd"]
# minimal installations leave documents out, so they are looked for in the package itself
DOCUMENTS = ["man8/rosterd.8.gz", "man5/rosterd.conf.5.gz", "man1/shm-inspect.1.gz",
             "doc/rosterd/operations.md", "doc/rosterd/copyright", "doc/rosterd/alerts.yml",
             "doc/rosterd/dashboard.json"]


DEVELOPMENT = ["include/rosterd/shm/store.h", "include/rosterd/grpc/grpc.h", "librosterd-shm.a",
               "librosterd-grpc.a", "pkgconfig/rosterd-shm.pc", "pkgconfig/rosterd-grpc.pc",
               "examples/store/people.c", "examples/grpc/greeter.c"]


def dpkg(*arguments, status=0):
    return run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments, status=status)


def replace(path, old, new):
    text = path.read_text()
    assert re.search(old, text, re.M), (path, old)
    path.write_text(re.sub(old, new, text, flags=re.M))


def repacked(directory, version, change=lambda tree: None):
    """The same package with another version number, and with what change() did to its files."""
    tree, package = directory / version, directory / f"{version}.deb"
    run("dpkg-deb", "-R", PACKAGE, str(tree))
    replace(tree / "DEBIAN/control", r"^Version: .*$", f"Version: {version}")
    change(tree)
    run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(package))
    return str(package)


def copied_by_tmpfiles(tree):
    """The configuration of earlier versions, with a sample that was another."""
    shutil.rmtree(tree / "etc/rosterd")
    replace(tree / "DEBIAN/conffiles", f"^{CONF}\n", "")
    replace(tree / "usr/share/rosterd/rosterd.conf", r"\A", "# an old sample\n")
    with open(tree / "usr/lib/tmpfiles.d/rosterd.conf", "a", encoding="utf-8") as file:
        file.write(f"C {CONF} 0640 root rosterd - /usr/share/rosterd/rosterd.conf\n")


def without_a_table_on_disk(tree):
    """The unit of a version that had none."""
    copied_by_tmpfiles(tree)
    unit = tree / "lib/systemd/system/rosterd.service"
    replace(unit, r"^StateDirectory.*\n", "")
    replace(unit, r"^ExecStart=(\S+)", r"ExecStart=\1 --data-file none")


@pytest.fixture(autouse=True)
def no_package():
    """Each test begins and ends without the package."""
    yield
    dpkg("-P", "rosterd", status=None)
    shutil.rmtree("/var/backups/rosterd", ignore_errors=True)


def test_package_has_its_documents():
    held = run("dpkg-deb", "-c", PACKAGE).stdout
    for name in DOCUMENTS:
        assert f"/{name}" in held, name


def test_development_package_has_libraries_headers_and_examples():
    package, = glob.glob("/media/rosterd-dev_*.deb")
    held = run("dpkg-deb", "-c", package).stdout
    for name in DEVELOPMENT:
        assert f"/{name}" in held, name
    assert not any(f"/{name}" in run("dpkg-deb", "-c", PACKAGE).stdout for name in DEVELOPMENT)


def test_life_of_a_package(tmp_path):
    # a fresh machine
    assert not os.path.exists("/etc/rosterd")
    dpkg("-i", PACKAGE)
    for path in INSTALLED:
        assert os.path.exists(path), path
    assert pwd.getpwnam("rosterd").pw_shell.endswith("nologin")
    conf = CONF.parent.stat()
    assert (CONF.owner(), CONF.parent.group(), conf.st_uid, conf.st_mode & 0o777) == (
        "root", "rosterd", 0, 0o750)
    held = run("dpkg-query", "-W", "-f", "${Conffiles}", "rosterd").stdout.split()
    assert sorted(held[::2]) == sorted(CONFFILES)  # each is followed by its checksum
    assert show("ActiveState") == "active" and show("UnitFileState") == "enabled"
    timer = systemctl("is-enabled", "rosterd-backup.timer", status=None).stdout
    assert timer == "disabled\n"
    create("ada")
    assert (STATE / "rosterd.db").exists()

    # an upgrade in place: another process serves the same table, and no call fails
    CONF.write_text(CONF.read_text() + "\nmax-connections = 1000\n")
    before = main_pid()
    with client() as stub:
        list(stub.ListUsers(pb.ListUsersRequest()))
        dpkg("-i", repacked(tmp_path, "99.0"))
        wait_for(lambda: main_pid() not in (0, before), 30, "the new program")
        assert [user.username for user in stub.ListUsers(pb.ListUsersRequest(), timeout=20)] == ["ada"]
    wait_for(lambda: not os.path.exists(f"/proc/{before}"), 30, "the old program gone")
    assert show("ActiveState") == "active" and show("NRestarts") == "0"
    assert "max-connections = 1000" in CONF.read_text()
    assert "upgrade: process" in journal()

    # when the package is removed, table and configuration stay, also after a reboot; installed again,
    # it serves them
    create("bob")
    systemctl("start", "rosterd-backup.service")
    dpkg("-r", "rosterd")
    assert not os.path.exists("/usr/sbin/rosterd")
    assert SEGMENT.exists() and os.path.exists("/etc/rosterd/rosterd.conf")
    assert (STATE / "rosterd.db").exists()
    dpkg("-i", PACKAGE)
    assert names() == ["ada", "bob"]
    dpkg("-r", "rosterd")
    shutil.rmtree(SEGMENT.parent)
    dpkg("-i", PACKAGE)
    assert names() == ["ada", "bob"]

    # a purge leaves only the system user and the backups
    systemctl("start", "rosterd-backup.timer")
    dpkg("-P", "rosterd")
    left = [path for path in ["/etc/rosterd", str(SEGMENT.parent), str(STATE), "/var/log/rosterd",
                              "/run/rosterd", *CONFFILES, *INSTALLED] if os.path.exists(path)]
    assert left == []
    assert not list(pathlib.Path("/var/lib/systemd/timers").glob("*rosterd*"))
    assert len(list(pathlib.Path("/var/backups/rosterd").iterdir())) == 1
    for unit in ("rosterd.service", "rosterd-backup.timer"):
        assert systemctl("is-active", unit, status=None).stdout.strip() != "active"
    assert run("dpkg", "-l", "rosterd", status=None).stdout.count("ii  rosterd") == 0


def test_sample_that_an_old_version_copied_becomes_that_of_the_new_one(tmp_path):
    dpkg("-i", repacked(tmp_path, "0.2.9", copied_by_tmpfiles))
    assert CONF.read_text().startswith("# an old sample")
    dpkg("-i", repacked(tmp_path, "99.0"))
    assert CONF.read_text() == pathlib.Path("/usr/share/rosterd/rosterd.conf").read_text()
    assert sorted(path.name for path in CONF.parent.iterdir()) == ["rosterd.conf", "rosterd.conf.dpkg-old"]
    assert show("ActiveState") == "active"


def test_purge_empties_a_file_system_of_its_own_and_removes_an_empty_directory_of_backups():
    STATE.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(STATE))
    try:
        dpkg("-i", PACKAGE)
        create("ada")
        os.makedirs("/var/backups/rosterd")
        dpkg("-P", "rosterd")
        assert not os.listdir(STATE) and not os.path.exists("/var/backups/rosterd")
    finally:
        run("umount", str(STATE))
        STATE.rmdir()


def test_package_brings_a_table_on_disk_to_a_server_that_had_none(tmp_path):
    dpkg("-i", repacked(tmp_path, "0.0.1", without_a_table_on_disk))
    create("ada")
    assert not STATE.exists()
    CONF.write_text("workers = 2\n")  # dpkg shall not ask, and not replace it
    with client() as stub:
        list(stub.ListUsers(pb.ListUsersRequest()))
        said = dpkg("-i", PACKAGE)
        assert "the users of the running server are in memory only" in said.stdout + said.stderr
        assert [user.username for user in stub.ListUsers(pb.ListUsersRequest(), timeout=20)] == ["ada"]
    assert not (STATE / "rosterd.db").exists()
    assert CONF.read_text() == "workers = 2\n" and len(list(CONF.parent.iterdir())) == 1
    dump = pathlib.Path("/var/backups/rosterd/users-0.0.1.jsonl")
    assert '"username":"ada"' in dump.read_text() and dump.stat().st_mode & 0o777 == 0o600
    later = run(f"{dump.parent}/shm-inspect-0.0.1", "dump").stdout
    assert later.count('"username":"ada"') == 1
    systemctl("restart", "rosterd.service")
    assert names() == ["ada"] and (STATE / "rosterd.db").exists()
    said = dpkg("-i", repacked(tmp_path, "99.0"))
    assert "in memory only" not in said.stdout + said.stderr
    assert sorted(os.listdir(dump.parent)) == ["shm-inspect-0.0.1", "users-0.0.1.jsonl"]
