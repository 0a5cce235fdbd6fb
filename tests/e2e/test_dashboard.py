# SPDX-License-Identifier: MIT
"""docs/dashboard.json: its queries ask for what /metrics serves."""
import json
import pathlib
import re
import subprocess

import pytest

from harness import PROTO
from test_metrics import get, serve

BOARD = json.loads((pathlib.Path(PROTO).parent / "docs/dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "time", "le"}  # of PromQL


@pytest.fixture(scope="module")
def served():
    """{name: {label: set of its values}}; each instance has the label that Prometheus adds."""
    found = {}
    with serve(workers=1) as rosterd:
        text = get(rosterd, "/metrics")[2]
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M):
        known = found.setdefault(name, {"instance": {"$instance"}})
        for label, value in re.findall(r'(\w+)="([^"]*)"', labels):
            known.setdefault(label, set()).add(value)
    return found


def selectors(query):
    """@return [(name, [(label, operator, value)])]"""
    return [(name, re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', labels))
            for name, labels in re.findall(r"(\w+)\{([^}]*)\}", query)]


@pytest.mark.parametrize("title, target", QUERIES, ids=[f"{t}-{q['refId']}" for t, q in QUERIES])
def test_each_query_asks_for_what_is_served(served, title, target):
    query, legend = target["expr"], target["legendFormat"]
    asked = selectors(query)
    assert asked and all(name in served for name, _ in asked), title
    for name, matchers in asked:
        assert ("instance", "=~", "$instance") in matchers, "the choice of an instance has no effect"
        for label, operator, value in matchers[1:]:
            known = served[name][label]
            words = value.split("|") if "~" in operator else [value]
            assert set(words) <= known, (title, label, set(words) - known)
        grouped = re.findall(r"by \(([^)]*)\)", query)
        labels = {label for group in grouped for label in group.split(", ")}
        assert labels <= set(served[name]), (title, name)
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert shown <= (labels if grouped else set(served[name])), f"{title}: the legend lacks a label"
    # nothing else is a name that was mistyped or lacks its choice of instances
    rest = re.sub(r'\{[^}]*\}|\[[^]]*\]|by \([^)]*\)|"[^"]*"', "", query)
    assert set(re.findall(r"[a-z_]\w*", rest)) <= WORDS | {name for name, _ in asked}


def test_promtool_accepts_each_query(tmp_path):
    rules = [{"record": f"query:{i}", "expr": target["expr"].replace("$__rate_interval", "5m")}
             for i, (_, target) in enumerate(QUERIES)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")  # is YAML
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and f"{len(QUERIES)} rules found" in done.stdout, done


def test_instances_are_those_of_the_build_metric(served):
    (instances,) = [one for one in BOARD["templating"]["list"] if one["name"] == "instance"]
    (name,) = re.findall(r"label_values\((\w+), instance\)", instances["definition"])
    assert name in served and instances["query"]["query"] == instances["definition"]


def test_panels_have_their_place_and_their_words():
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_states_of_the_data_file_have_their_words():
    (panel,) = [panel for panel in PANELS if panel["title"] == "Data file"]
    page = (pathlib.Path(PROTO).parent / "docs/metrics.md").read_text(encoding="utf-8")
    row = re.search(r"^\| `rosterd_journal_state` .*$", page, re.M)[0]
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert set(mapping["options"]) == set(re.findall(r"(\d): ", row))
