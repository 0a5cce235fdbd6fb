# SPDX-License-Identifier: MIT
"""What the checks of this folder share: the files of a tree, and the accepted exceptions."""
import re

PRODUCT = ("shm", "src")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)


def sources(root, tops=PRODUCT, pattern="*.[ch]"):
    """The C files below these folders, sorted, without what a build made."""
    for top in tops:
        for path in sorted((root / top).rglob(pattern)):
            if not path.name.endswith((".pb-c.c", ".pb-c.h")):
                yield path


def without_comments(text):
    """The text with comments and strings blanked; line numbers stay."""
    return COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


class Allowed:
    """The exceptions of one check in tests/tree/allowed."""

    def __init__(self, root, check):
        self.check, self.reasons, self.used = check, {}, set()
        path = root / "tests/tree/allowed"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            entry, colon, reason = line.partition(":")
            words = entry.split()
            if line.startswith("#") or not words:
                continue
            if len(words) != 2 or not colon or not reason.strip():
                raise SystemExit(f"tests/tree/allowed: not CHECK NAME: REASON: {line}")
            if words[0] == check:
                self.reasons[words[1]] = reason.strip()

    def has(self, name):
        if name in self.reasons:
            self.used.add(name)
            return True
        return False

    def stale(self):
        """A message for each exception that nothing needs."""
        return [f"tests/tree/allowed: {self.check} {name} is not needed any more"
                for name in sorted(set(self.reasons) - self.used)]


def report(wrong, fine):
    """Prints the findings, or the line `fine`. Returns the exit status."""
    print("\n".join(wrong) if wrong else fine)
    return 1 if wrong else 0
