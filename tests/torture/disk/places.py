# SPDX-License-Identifier: MIT
"""File systems on loop devices. The tests run in a mount namespace of their own (see `run`), so
when their last process ends, however it ends, its mounts end with it, and the loop devices, too."""
import contextlib
import fcntl
import os
import pathlib
import struct
import subprocess

IOC_SHUTDOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, of ext4 as well: what `xfs_io -x -c shutdown` calls
NO_FLUSH = 2               # without -f: what is not synced is dropped
MEGABYTES = {"ext4": 64, "xfs": 320}  # no smaller xfs can be made


class Unavailable(Exception):
    """This machine cannot do it, for the reason that the text says."""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Place:
    """A mounted file system."""

    def __init__(self, folder, kind, megabytes=None):
        self.kind = kind
        self.image = pathlib.Path(folder) / f"{kind}.image"
        self.folder = pathlib.Path(folder) / kind
        self.folder.mkdir(exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate((megabytes or MEGABYTES[kind]) << 20)
        force = "-f" if kind == "xfs" else "-F"
        run(f"mkfs.{kind}", "-q", force, str(self.image))

    def mount(self):
        run("mount", "-o", "loop", str(self.image), str(self.folder))

    def unmount(self):
        run("umount", str(self.folder))

    def cut_power(self):
        """From now on nothing reaches the file system's device."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, IOC_SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(folder)

    def free_megabytes(self):
        data = os.statvfs(self.folder)
        return data.f_bavail * data.f_frsize / 1e6


@contextlib.contextmanager
def place(folder, kind, megabytes=None):
    if os.geteuid() != 0:
        raise Unavailable("only root can mount a loop device")
    if not os.environ.get("DISK_OWN_MOUNTS"):
        raise Unavailable("no mount namespace can be made here")
    try:
        try:
            made = Place(folder, kind, megabytes)
            made.mount()
        except OSError as error:
            raise Unavailable(str(error)) from error
        yield made
    finally:
        subprocess.run(["umount", "-l", str(pathlib.Path(folder) / kind)], check=False,
                       stderr=subprocess.DEVNULL)
        (pathlib.Path(folder) / f"{kind}.image").unlink(missing_ok=True)
