# SPDX-License-Identifier: MIT
"""What examples/deploy has for containers is right: what can be checked without a cluster."""
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest
import yaml

from harness import ROSTERD, SHM_INSPECT

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = SOURCE / "examples/deploy"
SCHEMA = json.loads((SOURCE / "tests/e2e/kubernetes_schema.json").read_text())
ROOTS = {"StatefulSet": "io.k8s.api.apps.v1.StatefulSet", "Service": "io.k8s.api.core.v1.Service",
         "ConfigMap": "io.k8s.api.core.v1.ConfigMap"}


def objects():
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def faults(thing):
    schema = {**SCHEMA, "$ref": f"#/$defs/{ROOTS[thing['kind']]}"}
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in jsonschema.Draft7Validator(schema).iter_errors(thing)]


def stateful_set():
    (found,) = [thing for thing in objects() if thing["kind"] == "StatefulSet"]
    return found


def test_manifest_fits_the_schema_of_kubernetes():
    things = objects()
    assert sorted(thing["kind"] for thing in things) == ["ConfigMap", "Service", "StatefulSet"]
    for thing in things:
        assert faults(thing) == []


@pytest.mark.parametrize("path, value", [
    (("livenessProbe", "grpc"), {"port": "50051"}), (("livenesProbe",), {}),
    (("resources", "limits"), ["1Gi"]), (("lifecycle", "preStop", "exec", "command"), "sleep 5")])
def test_schema_finds_mistakes(path, value):
    thing = stateful_set()
    at = thing["spec"]["template"]["spec"]["containers"][0]
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    assert faults(thing)


def test_manifest_is_of_one_piece():
    pod = stateful_set()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    names = {volume["name"] for volume in pod["volumes"]} | {
        claim["metadata"]["name"] for claim in stateful_set()["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names
    # the segment's memory counts towards the limit, and processes need some, too
    memory = next(volume for volume in pod["volumes"] if volume["name"] == "memory")["emptyDir"]
    assert memory == {"medium": "Memory", "sizeLimit": "768Mi"}
    assert container["resources"]["limits"]["memory"] == "1Gi"
    version = re.search(r"AC_INIT\(\[rosterd\], \[([\d.]+)\]\)", (SOURCE / "configure.ac").read_text())[1]
    assert container["image"] == f"rosterd:{version}"
    uid = re.search(r"useradd --system --uid (\d+)", (DEPLOY / "Containerfile").read_text())[1]
    assert {pod["securityContext"][name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {int(uid)}


def test_configuration_of_the_manifest_is_good(tmp_path):
    (config,) = [thing["data"]["rosterd.conf"] for thing in objects() if thing["kind"] == "ConfigMap"]
    tokens = tmp_path / "tokens"
    tokens.write_text("q3Jf0sXb2vK8nT5yR1wZ6cM4hL7pD9gA token\n")
    tokens.chmod(0o600)
    file = tmp_path / "rosterd.conf"
    file.write_text(config.replace("/etc/rosterd-tokens/tokens", str(tokens)))
    done = subprocess.run([ROSTERD, "--config", file, "--data-file", "none", "--check-config"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert f"{file}: the configuration is good" in done.stdout


def test_image_has_the_libraries_of_the_programs():
    installed = set((DEPLOY / "Containerfile").read_text().split("--no-install-recommends")[1]
                    .split("&&")[0].replace("\\", "").split())
    needed = set()
    for program in (ROSTERD, SHM_INSPECT):
        direct = subprocess.run(["objdump", "-p", program], capture_output=True, text=True,
                                check=True).stdout
        where = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"NEEDED +(\S+)", direct):
            path = os.path.realpath(re.search(rf"{re.escape(name)} => (\S+)", where)[1])
            owner = subprocess.run(["dpkg", "-S", f"*{path.removeprefix('/usr')}"], capture_output=True,
                                   text=True, check=True).stdout
            needed.add(owner.partition(":")[0])
    needed -= {"libc6", "libgcc-s1", "libasan8", "libubsan1"}
    assert needed <= installed, needed - installed
    assert installed - needed <= {"libtinfo6"}
