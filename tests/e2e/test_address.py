# SPDX-License-Identifier: MIT
"""The segment lies at the same address in every process: tests of what happens if that address is
taken."""
import os
import pathlib
import subprocess

import pytest

import harness

# A library that takes a page of the segment's range in the first TAKEN starts of the program.
TAKER = """
#include <stdlib.h>
#include <sys/mman.h>
__attribute__((constructor)) static void take(void)
{
    const char *starts = getenv("SHM_STARTS");
    if ((starts != NULL ? atoi(starts) : 1) <= atoi(getenv("TAKEN")))
        mmap((void *)0x7e9000000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
"""


@pytest.fixture(scope="module", name="taker")
def build_taker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taker")
    (folder / "taker.c").write_text(TAKER, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "taker.so", folder / "taker.c"],
                   check=True)
    return folder / "taker.so"


def spawn(taker, starts, segment):
    env = dict(os.environ, LD_PRELOAD=str(taker), TAKEN=str(starts),
               ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
    return subprocess.Popen(
        [harness.ROSTERD, "--listen", f"127.0.0.1:{harness.free_port()}", "--workers", "1",
         "--segment", segment], env=env, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("starts", [1, 3])
def test_taken_address_makes_the_program_start_over(taker, starts):
    segment = f"/rosterd-address-{os.getpid()}"
    process = spawn(taker, starts, segment)
    try:
        for line in process.stderr:
            if "Server started" in line:
                break
        else:
            pytest.fail("the server did not start")
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        for suffix in ("", ".stats"):
            pathlib.Path(f"/dev/shm{segment}{suffix}").unlink(missing_ok=True)


def test_address_that_is_always_taken_is_refused_in_one_line(taker):
    segment = f"/rosterd-address-{os.getpid()}"
    process = spawn(taker, 9, segment)
    _, text = process.communicate(timeout=20)
    assert process.returncode == 1
    assert text.count("\n") == 1
    assert segment in text and "address range is taken" in text
    assert not pathlib.Path(f"/dev/shm{segment}").exists()
