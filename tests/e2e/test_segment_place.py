# SPDX-License-Identifier: MIT
"""The segment's name by default, in a /dev/shm of its own in which other users make files."""
import os
import pathlib
import subprocess

import pytest

from harness import ROSTERD, SHM_INSPECT

OWN = ["unshare", "--mount", "--propagation", "private", "sh", "-euc",
       'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && mount -t tmpfs -o mode=1777 tmpfs /run && exec bash -euc "$1" x',
       "sh"]
# `user N COMMAND` runs it as that user; `serve N OPTION...` starts a server of that user and waits for it
# until `end`. The service's user has the number 950.
FUNCTIONS = r"""
cp "$ROSTERD" /run/rosterd; cp "$SHM_INSPECT" /run/shm-inspect; chmod 755 /run/rosterd /run/shm-inspect
user() { local n=$1; shift; setpriv --reuid="$n" --regid="$n" --clear-groups -- "$@"; }
start() { local n=$1; shift; (exec setpriv --pdeathsig KILL --reuid="$n" --regid="$n" --clear-groups -- env \
  STATE_DIRECTORY="${state-}" /run/rosterd --listen unix:/run/s,mode=0666 --workers 1 --max-users 1000 \
  --data-file none "$@" >>/run/log 2>&1) & pid=$!; }
serve() { start "$@"; for i in $(seq 100); do [ -S /run/s ] && return; kill -0 $pid; sleep 0.1; done; false; }
end() { kill "-${1:-QUIT}" $pid; wait $pid || :; rm -f /run/s; }
inspect() { local n=$1; shift; user "$n" /run/shm-inspect "$@"; }
one_user() { inspect "$1" --segment "$2" create --username ada --email ada@example.org >/dev/null; }
"""


def run(script):
    if os.geteuid() != 0:
        pytest.skip("only root can be several users")
    done = subprocess.run([*OWN, FUNCTIONS + script], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "ROSTERD": ROSTERD, "SHM_INSPECT": SHM_INSPECT})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_files_of_others_do_not_mislead_the_tool():
    out = run(r"""
state=/var/lib/rosterd serve 950
user 5000 sh -c ': > /dev/shm/rosterd-950; : > /dev/shm/rosterd-0; : > /dev/shm/rosterd-5001'
inspect 950 status | head -1; inspect 0 status | head -1
user 5001 /run/shm-inspect status 2>&1 | head -1 || :
end""")
    assert out.splitlines()[:2] == ["segment         /rosterd/users"] * 2
    assert "segment /rosterd/users: " in out.splitlines()[2] and "Permission denied" in out.splitlines()[2]


def test_users_of_one_machine_have_names_of_their_own():
    out = run(r"""
serve 5000; inspect 5000 status | head -1; end KILL
serve 5001; inspect 5001 status | head -1; end KILL
state=/var/lib/rosterd serve 950; end
stat -c '%U:%a' /dev/shm/rosterd""")
    assert out.splitlines() == ["segment         /rosterd-5000", "segment         /rosterd-5001", "UNKNOWN:750"]


@pytest.mark.parametrize("how", ["QUIT", "KILL"])
def test_segment_of_before_is_moved_at_once_and_leaves_nothing(how):
    out = run(rf"""
serve 950 --segment /before; one_user 950 /before; end {how}
for file in /dev/shm/before* /dev/shm/.before*; do [ ! -e "$file" ] || mv "$file" "${{file/before/rosterd}}"; done
user 5000 sh -c ': > /dev/shm/.rosterd-move-1'
inspect 950 status | grep ^users
state=/var/lib/rosterd serve 950; inspect 950 status | grep -E '^(segment|users)'; end
(cd /dev/shm; find . -user 950 | sort; stat -c %h rosterd/users; find . -user 5000); grep -o 'moved to .*users,' /run/log
state=/var/lib/rosterd serve 950 --segment /rosterd; inspect 950 --segment /rosterd status | grep ^users; end""")
    assert out.splitlines() == [
        "users           1 of at most 1000", "segment         /rosterd/users", "users           1 of at most 1000",
        "./rosterd", "./rosterd/users", "./rosterd/users.stats", "1", "./.rosterd-move-1", "moved to /rosterd/users,",
        "users           1 of at most 1000"]


def test_start_without_the_users_of_before_is_refused():
    """Their segment is in use, so it cannot be moved."""
    out = run(r"""
serve 5000 --segment /before; one_user 5000 /before; end
mv /dev/shm/before /dev/shm/rosterd
mkfifo /run/users
(exec setpriv --pdeathsig KILL --reuid=5000 --regid=5000 --clear-groups /run/shm-inspect --segment /rosterd \
  load - </run/users >/dev/null 2>&1) & load=$!
exec 9>/run/users; echo '{"username":"eve","email":"eve@example.org"}' >&9
for i in $(seq 100); do grep -q /dev/shm/rosterd /proc/$load/maps && break; sleep 0.1; done
start 5000; wait $pid && exit 1; grep -o 'segment /rosterd: .*' /run/log | tail -1; ls /dev/shm
exec 9>&-; wait $load || :
serve 5000; inspect 5000 status | grep ^users; end""")
    lines = out.splitlines()
    assert "it would have to be /rosterd-5000, as this version names it" in lines[0]
    assert "rosterd-5000" not in lines[1:-1] and lines[-1] == "users           2 of at most 1000"


def test_root_does_not_take_the_services_segment():
    out = run(r"""
state=/var/lib/rosterd serve 950; end
start 0; wait $pid && exit 1; grep -o 'the directory .*' /run/log
inspect 0 --segment /rosterd/none unlink || echo "$?" """)
    assert out.splitlines() == ["the directory /dev/shm/rosterd belongs to user 950, this is user 0", "3"]


def test_completion_runs_no_file_names():
    completion = pathlib.Path(__file__).resolve().parents[2] / "scripts/shm-inspect.bash-completion"
    out = run(rf"""
user 5000 bash -c ': > "/dev/shm/\$(touch PWNED)"; : > "/dev/shm/\`touch PWNED\`"; : > /dev/shm/good; : > /dev/shm/good.stats'
cd /run; . {completion}
COMP_WORDS=(shm-inspect --segment /); COMP_CWORD=2; _shm_inspect shm-inspect / --segment
echo "${{COMPREPLY[*]}}"; ls PWNED 2>/dev/null || echo clean""")
    assert out.splitlines() == ["/good", "clean"]
