"""Golden pairs: `golden/NAME.in.yaml` compiles to exactly `golden/NAME.out.json`.

An input may begin with a document of kind `Options`: `holders` of names, `allowsLoopback`.
After a wanted change of the output, write it anew and review the difference:

    python tests/unit/controlplane/test_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bucketroute_operator.core.compilation import Compilation, RouteResult
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.conflicts import NameHolder
from bucketroute_operator.core.objects import object_set, parse_object
from bucketroute_snapshot import (
    decode_secrets,
    decode_snapshot,
    encode_secrets,
    encode_snapshot,
)

GOLDEN = Path(__file__).parent / "golden"
INPUTS = sorted(GOLDEN.glob("*.in.yaml"))


def aws_endpoints(region: str) -> str | None:
    return None if region == "nowhere-1" else f"https://s3.{region}.amazonaws.com"


def compile_file(path: Path) -> Compilation:
    documents = [item for item in yaml.load_all(path.read_text(), yaml.BaseLoader) if item]
    options: dict[str, Any] = {}
    if documents[0]["kind"] == "Options":
        options = documents.pop(0)
    return compile_snapshot(
        CompileInputs(
            objects=object_set(map(parse_object, map(with_numbers, documents))),
            aws_endpoints=aws_endpoints,
            holders=tuple(NameHolder(**holder) for holder in options.get("holders", ())),
            allows_loopback=options.get("allowsLoopback") == "true",
        )
    )


def with_numbers(value: Any) -> Any:
    """BaseLoader keeps timestamps as text, and so it does numbers."""
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return int(value) if value.isdigit() else value


def rendered(compilation: Compilation) -> str:
    document = {
        "classes": {
            item.metadata.name: {
                "accepted": f"{item.accepted.status}/{item.accepted.reason.value}",
                "routes": f"{item.accepted_route_count} of {item.route_count} accepted",
                "snapshot": None if item.snapshot is None else lines_of(item.snapshot),
                "secrets": json.loads(encode_secrets(item.secrets)),
            }
            for item in compilation.classes
        },
        "backends": {
            str(item.metadata.ref): f"{item.accepted.reason.value}, {item.attached_routes} routes"
            for item in compilation.backends
        },
        "routes": {str(item.metadata.ref): conditions_of(item) for item in compilation.routes},
        "findings": [
            f"{item.severity.value} {item.object} {item.field} {item.reason.value}: {item.message}"
            for item in compilation.findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def lines_of(snapshot: Any) -> list[Any]:
    return [json.loads(line) for line in encode_snapshot(snapshot).splitlines()]


def conditions_of(route: RouteResult) -> dict[str, str]:
    conditions = {
        item.type.value: f"{item.status}/{item.reason.value}: {item.message}"
        for item in route.conditions
    }
    return {**conditions, "state": route.state.value if route.state else "not in the snapshot"}


def golden_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".in.yaml", ".out.json"))


@pytest.mark.parametrize("path", INPUTS, ids=[path.name.split(".")[0] for path in INPUTS])
def test_input_compiles_to_its_golden_output(path: Path) -> None:
    assert rendered(compile_file(path)) == golden_of(path).read_text()


@pytest.mark.parametrize("path", INPUTS, ids=[path.name.split(".")[0] for path in INPUTS])
def test_what_is_compiled_survives_the_wire(path: Path) -> None:
    for item in compile_file(path).classes:
        assert decode_secrets(encode_secrets(item.secrets)) == item.secrets
        if item.snapshot is not None:
            assert decode_snapshot(encode_snapshot(item.snapshot)) == item.snapshot


def test_every_golden_output_has_an_input() -> None:
    assert INPUTS
    assert sorted(GOLDEN.glob("*.out.json")) == sorted(map(golden_of, INPUTS))


if __name__ == "__main__":
    for source in INPUTS:
        golden_of(source).write_text(rendered(compile_file(source)))
