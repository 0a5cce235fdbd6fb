# SPDX-License-Identifier: MIT
"""Each check of this folder fails on what it is there to find."""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
LAYERS = "src/base:\nsrc/top: src/base\n"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def run(check, *arguments, cwd=None):
    done = subprocess.run([ROOT / "tests/tree" / check, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, cwd=cwd)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def tree(tmp_path):
    """A tree of two rooms in which all is well."""
    write(tmp_path, {
        "tests/tree/layers": LAYERS, "tests/tree/allowed": "",
        "shm/.keep": "", "src/base/low.h": "int low_get(void);\n",
        "src/base/low.c": '#include "base/low.h"\n\nint low_get(void)\n{\n    return 1;\n}\n',
        "src/top/high.h": '#include "base/low.h"\n\nint high_get(void);\n',
        "src/top/high.c": '#include "top/high.h"\n\nstatic int high_twice(int n)\n{\n'
                          "    return 2 * n;\n}\n\nint high_get(void)\n{\n"
                          "    return high_twice(low_get());\n}\n",
        "src/top/main.c": '#include "top/high.h"\n\nint main(void)\n{\n    return high_get();\n}\n',
    })
    return tmp_path


def append(tree, name, text):
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_includes_passes_a_tree_in_order(tree):
    assert run("includes", tree)[0] == 0


def test_includes_finds_an_edge_against_the_direction(tree):
    append(tree, "src/base/low.c", '#include "top/high.h"\n')
    status, text = run("includes", tree)
    assert status == 1 and "src/base/low.c:7: src/base must not include src/top/high.h" in text


def test_includes_finds_a_header_of_the_tree_in_angle_brackets(tree):
    append(tree, "src/base/low.c", "#include <stdio.h>\n#include <top/high.h>\n")
    status, text = run("includes", tree)
    assert status == 1 and "src/base/low.c:8: src/base must not include src/top/high.h\n" in text


def test_includes_finds_a_circle(tree):
    write(tree, {"src/top/other.h": '#include "top/high.h"\n'})
    append(tree, "src/top/high.c", '#include "top/other.h"\n')
    status, text = run("includes", tree)
    assert status == 1 and "src/top/other.h is part of a circle" in text
    assert "src/top/high, src/top/other" in text


def test_includes_finds_a_room_that_nobody_listed(tree):
    write(tree, {"src/new/room.c": '#include "base/low.h"\n'})
    status, text = run("includes", tree)
    assert status == 1 and "the room src/new is not in tests/tree/layers" in text


def test_includes_finds_a_file_whose_own_header_is_not_first(tree):
    text = (tree / "src/base/low.c").read_text(encoding="utf-8")
    write(tree, {"src/base/low.c": "#include <stdlib.h>\n" + text})
    assert "src/base/low.c: must include base/low.h first" in run("includes", tree)[1]


def test_headers_finds_one_that_needs_another_before_it(tmp_path):
    """In a copy of the tree, with the flags of the build."""
    for name in ("shm", "src", "scripts", "tests"):
        (tmp_path / name).mkdir()
    for name in ("tests/tree/headers", "scripts/compile-commands", "src/base/units.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src/base/units.c").write_text('#include "base/units.h"\n')
    write(tmp_path, {"build/Makefile": "all:\n\t: ;gcc -I../src -MD -c -o units.o ../src/base/units.c\n"
                                       "check:\n"})

    def headers():
        done = subprocess.run([tmp_path / "tests/tree/headers", tmp_path / "build"],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout
    assert headers() == (0, "headers: all 1 compile by themselves\n")
    write(tmp_path, {"src/base/other.h": "size_t other_size(void);\n"})
    status, text = headers()
    assert status == 1 and text.startswith("src/base/other.h: ") and "size_t" in text


def test_names_passes_a_tree_in_order(tree):
    assert run("names", tree) == (0, "names: every static name and every file name is unique\n")


@pytest.mark.parametrize("code", [
    "static int high_twice(void)\n{\n    return 0;\n}\n",
    "static const char *high_twice(const char *text,\n                              int n)\n{\n"
    "    return text + n;\n}\n",
    "__attribute__((noinline)) static void high_twice(void)\n{\n}\n",
    "static int high_twice[4];\n", "int high_twice(void)\n{\n    return 0;\n}\n"])
def test_names_finds_a_static_name_in_two_files(tree, code):
    append(tree, "src/base/low.c", code)
    status, text = run("names", tree)
    assert status == 1 and "high_twice is defined in 2 files: src/base/low.c:7, src/top" in text


def test_names_accepts_an_exception_and_reports_one_that_is_stale(tree):
    append(tree, "src/base/low.c", "static int high_twice;\n")
    write(tree, {"tests/tree/allowed": "names high_twice: both are the same thing\n"})
    assert run("names", tree)[0] == 0
    write(tree, {"tests/tree/allowed": "names high_twice: both\nnames low_get: once\n"})
    status, text = run("names", tree)
    assert status == 1 and "names low_get is not needed any more" in text


def test_names_finds_a_file_name_in_two_folders(tree):
    write(tree, {"src/top/low.c": ""})
    status, text = run("names", tree)
    assert status == 1 and "low.c stands in 2 folders: src/base, src/top" in text


def test_names_finds_an_include_of_config_h(tree):
    append(tree, "src/base/low.c", '#include "config.h"\n')
    status, text = run("names", tree)
    assert status == 1 and "src/base/low.c:7: config.h comes by -include" in text


def build(tree):
    """Compiles the tree as the makefile would; returns the folder with the objects."""
    for path in (tree / "src").rglob("*.c"):
        target = tree / "build" / path.relative_to(tree).with_suffix(".o")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O1", "-I", tree / "src", "-c", path, "-o", target], check=True)
    return tree / "build"


def test_unused_passes_a_tree_in_order(tree):
    assert run("unused", build(tree), tree)[0] == 0


def test_unused_finds_a_function_that_nothing_uses(tree):
    append(tree, "src/base/low.c", "int low_dead(void)\n{\n    return 0;\n}\n")
    status, text = run("unused", build(tree), tree)
    assert (status, text) == (1, "src/base/low.c: nothing uses low_dead: remove it\n")


def test_unused_does_not_take_a_test_program_for_the_product(tree):
    append(tree, "src/base/low.c", "int low_dead(void)\n{\n    return 0;\n}\n")
    objects = build(tree)
    write(tree, {"user.c": "int low_dead(void);\nint use(void)\n{\n    return low_dead();\n}\n"})
    subprocess.run(["gcc", "-c", tree / "user.c", "-o", objects / "src/top/tests_a-high.o"], check=True)
    assert run("unused", objects, tree) == (1, "src/base/low.c: nothing uses low_dead: remove it\n")


def test_unused_finds_a_function_that_only_tests_use(tree):
    append(tree, "src/base/low.c", "int low_dead(void)\n{\n    return 0;\n}\n")
    write(tree, {"tests/base/test_low.c": "int main(void)\n{\n    return low_dead();\n}\n"})
    assert run("unused", build(tree), tree) == (
        1, "src/base/low.c: only tests use low_dead: remove it\n")
    write(tree, {"tests/tree/allowed": "unused low_dead: a test's hook\n"})
    assert run("unused", build(tree), tree)[0] == 0


def test_unused_finds_a_function_that_could_be_static(tree):
    append(tree, "src/top/main.c", "int main_twice(void)\n{\n    return 2 * main_twice();\n}\n")
    assert run("unused", build(tree), tree) == (
        1, "src/top/main.c: only this file uses main_twice: make it static\n")
    write(tree, {"tests/top/test_main.c": "int main(void)\n{\n    return main_twice();\n}\n"})
    assert run("unused", build(tree), tree)[0] == 0


def test_unused_accepts_what_a_public_header_declares(tree):
    append(tree, "src/base/low.c", "int low_public(void)\n{\n    return 0;\n}\n")
    append(tree, "src/base/low.h", "int low_public(void);\n")
    assert run("unused", build(tree), tree)[0] == 1
    write(tree, {"shm/store.h": '#include "base/low.h"\n'})
    assert run("unused", build(tree), tree)[0] == 0


GIT = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null",
       "GIT_COMMITTER_DATE": "2027-01-01T00:00:00Z"}


@pytest.fixture
def history(tmp_path):
    """Makes commits with these messages after a tag; returns the repository."""
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True,
                       env={**os.environ, **GIT})

    def commit(*messages):
        for message in messages:
            git("commit", "-q", "--allow-empty", "-m", message)
        return tmp_path
    if not shutil.which("git"):
        pytest.fail("git is missing")
    git("init", "-q")
    commit("an old commit that has no form at all and is longer than seventy-two characters")
    git("tag", "-a", "v1", "-m", "v1")
    return commit


def test_commits_passes_messages_in_form(history):
    status, text = run("commits", cwd=history(
        "shm: a pin says which process holds it\n\nTools show it.",
        "src/base, http2: one clock\n\nThere were eight.\n\nSigned-off-by: A <a@example.org>",
        'Revert "something whose subject is of another form and longer than all that is allowed"'))
    assert (status, text) == (0, "commits: 3 since v1, all in form\n")


def test_commits_leaves_out_what_is_older_than_the_rule(history):
    tree = history("No form")
    subprocess.run(["git", "-C", tree, "commit", "-q", "--amend", "--allow-empty", "-m", "No form"],
                   check=True, env={**os.environ, **GIT,
                                    "GIT_COMMITTER_DATE": "2026-11-26T11:59:00Z"})
    assert run("commits", cwd=tree) == (0, "commits: 0 since v1, all in form\n")
    assert run("commits", "v1", cwd=tree)[0] == 1


def test_commits_fails_on_a_repository_that_git_cannot_read(tmp_path):
    (tmp_path / ".git").mkdir()
    done = subprocess.run([ROOT / "tests/tree/commits"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and "not a git repository" in done.stderr


@pytest.mark.parametrize("message, fault", [
    ("shm: " + "x" * 68 + "\n\nWhy.", "the subject has 73 characters"),
    ("no area here\n\nWhy.", "the subject is not `area: what`"),
    ("shm: what.\n\nWhy.", "the subject ends with a full stop"),
    ("shm: what", "there is no body"),
    ("shm: what\n\nSigned-off-by: A <a@example.org>", "there is no body"),
    ("shm: what\nmore\n\nWhy.", "no empty line after the subject")])
def test_commits_finds_a_message_out_of_form(history, message, fault):
    status, text = run("commits", cwd=history("shm: good\n\nWhy.", message))
    assert status == 1 and fault in text and text.count("\n") == 1


COUNTS = {"get": 1000, "get-changing": 2000, "create": 3000, "batch": 400, "list": 300, "chat": 200,
          "get-bare": 900, "get-log": 1100, "get-metadata": 1000, "get-token": 1100, "get-hashed": 2000,
          "get-wrong-first": 1000, "get-wrong-last": 1000}
VALGRIND = """#!/bin/sh
for last; do kind=$number number=$last; done
per=$(sed -n "s/^$kind //p" "$COUNTS")
[ -n "$per" ] && echo "Collected : $((per * number))"
"""


@pytest.fixture
def budgets(tmp_path):
    """Runs check-budgets with a valgrind that counts what it is told to."""
    write(tmp_path, {"bin/valgrind": VALGRIND})
    (tmp_path / "bin/valgrind").chmod(0o755)

    def check(*arguments, **counts):
        write(tmp_path, {"counts": "".join(f"{kind} {n}\n" for kind, n in {**COUNTS, **counts}.items()
                                           if n is not None)})
        done = subprocess.run([ROOT / "tests/bench/check-budgets", "program", tmp_path / "budgets",
                               *arguments],
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "COUNTS": str(tmp_path / "counts"), "CC": "gcc",
                                   "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
        return done.returncode, done.stdout
    write(tmp_path, {"budgets": ""})
    assert check("--write")[0] == 0
    return check


def test_budgets_fail_where_a_call_takes_a_hundredth_more(budgets):
    assert budgets()[0] == 0 and budgets(batch=404)[0] == 0
    status, text = budgets(batch=405)
    assert status == 1 and text.count("over budget") == 1 and "batch" in text


def test_budgets_fail_where_a_call_cannot_be_counted(budgets):
    assert budgets(chat=None)[0] != 0
    assert budgets(**{"get-log": None})[0] != 0


def test_budgets_fail_where_a_part_of_the_chain_is_over_its_bound(budgets):
    status, text = budgets(**{"get-log": 2501})
    assert status == 1 and "over its bound" in text


def run_tidy(tmp_path, code, **environment):
    shutil.copy(ROOT / ".clang-tidy", tmp_path)
    (tmp_path / "some.c").write_text(code)
    return subprocess.run([ROOT / "scripts/tidy", "--build", ".", tmp_path / "some.c"],
                          cwd=os.environ["TREE_BUILD"], env=os.environ | environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)


@pytest.mark.parametrize("line, found", [
    ("return at == 0 ? *at : 0;", "some.c:4:22: warning: Dereference of null pointer"),
    ("if (*at == 1) { *at = 2; } else { *at = 2; } return 0;",
     "bugprone-branch-clone"), ("return *at;", None)])
def test_tidy_names_what_it_finds(tmp_path, line, found):
    run = run_tidy(tmp_path, f"int some(int *at);\nint some(int *at)\n{{\n    {line}\n}}\n")
    assert run.returncode == (0 if found is None else 1), run.stdout
    assert found is None or found in run.stdout


def test_tidy_fails_where_the_program_does(tmp_path):
    (tmp_path / "clang-tidy").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (tmp_path / "clang-tidy").chmod(0o755)
    run = run_tidy(tmp_path, "int some;\n", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert run.returncode == 1
