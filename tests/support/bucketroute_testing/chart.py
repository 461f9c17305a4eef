"""The chart as the golden files of tests/unit/chart have it; needs no helm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[3]
CHART = REPOSITORY / "charts" / "bucketroute"
GOLDEN = REPOSITORY / "tests" / "unit" / "chart" / "golden"
CASES = sorted(file.name.removesuffix(".out.yaml") for file in GOLDEN.glob("*.out.yaml"))
Json = dict[str, Any]
# The one in C where PyYAML has it: the goldens are long.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def rendered(case: str) -> Sequence[Json]:
    """Every object of a case; not to be changed."""
    documents = yaml.load_all((GOLDEN / f"{case}.out.yaml").read_text(), _Loader)
    return tuple(item for item in documents if item)


def of_kind(case: str, kind: str) -> dict[str, Json]:
    """By name."""
    return {item["metadata"]["name"]: item for item in rendered(case) if item["kind"] == kind}


def pod_specs(case: str) -> Iterator[tuple[str, Json]]:
    """Name and pod spec of each Deployment and Pod."""
    for item in rendered(case):
        if item["kind"] == "Deployment":
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item["spec"]
