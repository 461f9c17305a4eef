"""Pods from raw JSON: `injection/NAME.in.json` is stored as exactly `injection/NAME.out.json`.

After a wanted change of the output, write it anew and review the difference:

    PYTHONPATH=tests/support python tests/unit/controlplane/test_injection_golden.py
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from bucketroute_operator.core.injection import Result
from bucketroute_testing.admission import Json, decide, patched

PODS = Path(__file__).parent / "injection"
INPUTS = sorted(PODS.glob("*.in.json"))
IDS = [path.name.split(".")[0] for path in INPUTS]


def read(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


def golden_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".in.json", ".out.json"))


def rendered(pod: Json) -> str:
    decision = decide(pod)
    document = {"warnings": decision.warnings, "pod": patched(pod, decision.patch)}
    return json.dumps(document, indent=1) + "\n"


@pytest.mark.parametrize("path", INPUTS, ids=IDS)
def test_a_pod_is_stored_as_its_golden_file(path: Path) -> None:
    assert rendered(read(path)) == golden_of(path).read_text()


@pytest.mark.parametrize("path", INPUTS, ids=IDS)
def test_a_second_call_changes_nothing(path: Path) -> None:
    once = read(golden_of(path))["pod"]
    again = decide(once, uid="another request")
    assert (again.result, again.patch) == (Result.UNCHANGED, ())


@pytest.mark.parametrize("path", INPUTS, ids=IDS)
def test_nothing_of_the_pod_is_changed_or_moved(path: Path) -> None:
    before, after = read(path), read(golden_of(path))["pod"]
    assert holds(after, before)


def holds(after: Any, before: Any) -> bool:
    """Whether `after` is `before` with additions: fields anywhere, items in lists."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(
            key in after and (before[key] is None or holds(after[key], before[key]))
            for key in before
        )
    if isinstance(before, list) and isinstance(after, list):
        rest = iter(after)
        return all(any(holds(item, wanted) for item in rest) for wanted in before)
    return bool(after == before)


def test_every_golden_output_has_an_input() -> None:
    assert INPUTS
    assert sorted(PODS.glob("*.out.json")) == sorted(map(golden_of, INPUTS))


def test_no_variable_or_mount_is_there_twice() -> None:
    for path in INPUTS:
        spec = read(golden_of(path))["pod"]["spec"]
        for container in chain(spec.get("initContainers", ()), spec["containers"]):
            names = [item["name"] for item in container.get("env") or ()]
            paths = [item["mountPath"] for item in container.get("volumeMounts") or ()]
            assert len(set(names)) == len(names), (path.name, container["name"])
            assert len({each.rstrip("/") for each in paths}) == len(paths)


if __name__ == "__main__":
    for source in INPUTS:
        golden_of(source).write_text(rendered(read(source)))
