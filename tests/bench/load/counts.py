# SPDX-License-Identifier: MIT
"""The server's own counters of its calls, read with shm-inspect."""
import collections
import json
import re
import subprocess
import time

HANDLED = re.compile(r'grpc_server_handled_total\{.*grpc_service="userservice\.UserService",grpc_method="(\w+)",grpc_code="(\w+)"\}')
MESSAGES = re.compile(r'grpc_server_msg_(received|sent)_total\{.*grpc_service="userservice\.UserService",grpc_method="(\w+)"\}')


class Counts:
    def __init__(self, inspect, segment):
        self.argv = [str(inspect), *(["--segment", segment] if segment else []), "--json"]

    def ask(self, command):
        run = subprocess.run(self.argv + [command], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=30)
        if run.returncode != 0:
            raise SystemExit(f"{run.stderr.strip()}\n(the server's counters are read from its "
                             "segment: run this on its machine, with its --segment NAME)")
        return json.loads(run.stdout)

    def read(self):
        """Returns {(method, code): calls, (method, "received" or "sent"): messages}."""
        seen = collections.Counter()
        for name, value in self.ask("stats").items():
            if match := HANDLED.fullmatch(name):
                seen[match.group(1), match.group(2)] = value
            elif match := MESSAGES.fullmatch(name):
                seen[match.group(2), match.group(1)] = value
        return seen

    def grown(self, before, expected, seconds=3.0):
        """Returns [] if the counters have grown by exactly what is expected, otherwise what
        differs. The server counts a call at its end, which may come a moment after the client
        has the reply; a count above the expected one never goes down again."""
        deadline = time.monotonic() + seconds
        while True:
            after = self.read()
            growth = {key: after[key] - before[key] for key in after | before
                      if after[key] != before[key]}
            expected = {key: count for key, count in expected.items() if count != 0}
            if growth == expected:
                return []
            over = any(count > expected.get(key, 0) for key, count in growth.items())
            if over or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return [f"the server counts {growth.get(key, 0)} {' '.join(key)}, but "
                f"{expected.get(key, 0)} were sent"
                for key in sorted(growth.keys() | expected.keys())
                if growth.get(key, 0) != expected.get(key, 0)]
