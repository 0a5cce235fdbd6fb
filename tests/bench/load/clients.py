# SPDX-License-Identifier: MIT
"""The load clients: each runs one step and reports what it observed."""
import json
import os
import re
import subprocess
import tempfile
import time

STEP_SECONDS = 600
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1000.0}


class Result:
    def __init__(self):
        self.seconds = 0.0
        self.mean_ms = 0.0
        self.faults = []


def run(argv, tick):
    """Returns the program's output. About five times a second, tick() gets the last line of the
    output."""
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        deadline = time.monotonic() + STEP_SECONDS
        try:
            while process.poll() is None:
                time.sleep(0.05 if time.monotonic() < deadline - STEP_SECONDS + 1 else 0.2)
                tick(os.pread(out.fileno(), 1 << 16, 0).decode(errors="replace"))
                if time.monotonic() > deadline:
                    raise SystemExit(f"{argv[0]} did not end within {STEP_SECONDS} s")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        out.seek(0)
        err.seek(0)
        return process.returncode, out.read(), err.read()


class H2load:
    """nghttp2's load client. It knows only HTTP, so the bytes that it counts are compared with the
    expected size of the replies."""
    name = "h2load"
    levels = [(1, 1), (4, 32), (16, 100)]  # connections, streams per connection

    def __init__(self, address, folder, _proto):
        self.address, self.folder = address, folder

    def step(self, case, calls, level, tick):
        body = os.path.join(self.folder, "body")
        with open(body, "wb") as file:
            file.write(case.body())
        path = f"/userservice.UserService/{case.method}"
        argv = ["h2load", f"-n{calls}", f"-c{level[0]}", f"-m{level[1]}", "-d", body,
                "-H", "te: trailers", "-H", "content-type: application/grpc"]
        if self.address.startswith("unix:"):
            argv += ["-B", self.address, "http://localhost" + path]
        else:
            argv += [f"http://{self.address}{path}"]
        code, out, err = run(argv, lambda text: tick(self.progress(text)))
        return self.judge(case, calls, code, out, err)

    @staticmethod
    def progress(text):
        return (re.findall(r"progress: (\d+)%", text) or ["0"])[-1] + " %"

    @staticmethod
    def judge(case, calls, code, out, err):
        result = Result()
        finished = re.search(r"^finished in ([\d.]+)(us|ms|s|m)", out, re.M)
        mean = re.search(r"^time for request: +\S+ +\S+ +([\d.]+)(us|ms|s)", out, re.M)
        data = re.search(r"^traffic: .*\((\d+)\) data$", out, re.M)
        if code != 0 or not (finished and mean and data):
            result.faults.append(f"h2load ended with {code}: {(err or out).strip()[-300:]}")
            return result
        result.seconds = float(finished.group(1)) * (
            60 if finished.group(2) == "m" else UNITS[finished.group(2)] / 1000)
        result.mean_ms = float(mean.group(1)) * UNITS[mean.group(2)]
        if f"{calls} succeeded, 0 failed, 0 errored, 0 timeout" not in out or \
                f"status codes: {calls} 2xx" not in out:
            result.faults.append(re.search(r"^requests: .*", out, re.M).group(0))
        if int(data.group(1)) != calls * case.reply_bytes:
            result.faults.append(f"replies of {data.group(1)} bytes, right are "
                                 f"{calls * case.reply_bytes}")
        return result


class Ghz:
    """A gRPC load client in Go. It sees the status of every call."""
    name = "ghz"
    levels = [(1, 1), (4, 8), (8, 12)]

    def __init__(self, address, folder, proto):
        self.address, self.folder, self.proto = address, folder, proto
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        built = os.path.join(cache, "rosterd", "bin", "ghz")
        self.program = built if os.path.exists(built) else "ghz"

    def step(self, case, calls, level, tick):
        data = os.path.join(self.folder, "data.json")
        with open(data, "w", encoding="utf-8") as file:
            file.write(case.json())
        argv = [self.program, "--insecure", "--proto", self.proto,
                "--call", f"userservice.UserService.{case.method}", "--data-file", data,
                "-n", str(calls), "-c", str(level[0] * level[1]), "--connections", str(level[0]),
                "--timeout", "60s", "-O", "json", self.address]
        code, out, err = run(argv, lambda _: tick(""))
        return self.judge(case, calls, code, out, err)

    @staticmethod
    def judge(case, calls, code, out, err):
        result = Result()
        try:
            report = json.loads(out)
        except ValueError:
            result.faults.append(f"ghz ended with {code}: {(err or out).strip()[-300:]}")
            return result
        result.seconds, result.mean_ms = report["total"] / 1e9, report["average"] / 1e6
        if code != 0 or report["statusCodeDistribution"] != {case.code: calls}:
            result.faults.append(f"ghz saw {report['statusCodeDistribution']} "
                                 f"{report.get('errorDistribution') or ''}, right is "
                                 f"{case.code}: {calls}")
        return result
