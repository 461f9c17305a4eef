"""What the data plane's image carries: all that the data plane imports, and nothing else."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUP: list[str] = PROJECT["dependency-groups"]["dataplane"]


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_-]", requirement)[0].replace("-", "_")


def imported() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "dataplane").glob("bucketroute_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    own = {"bucketroute_dataplane", "bucketroute_snapshot"}
    return found - own - sys.stdlib_module_names


def test_the_image_has_what_the_data_plane_imports_and_nothing_else() -> None:
    assert {name_of(requirement) for requirement in GROUP} == imported()


def test_the_image_has_the_ranges_of_the_project() -> None:
    assert set(GROUP) <= set(PROJECT["project"]["dependencies"])


def test_the_lock_of_the_image_has_no_client_of_a_cloud_or_of_kubernetes() -> None:
    locked = {
        name_of(line)
        for line in (ROOT / "requirements/dataplane.lock").read_text().splitlines()
        if line[:1].isalpha()
    }
    assert {name_of(requirement) for requirement in GROUP} <= locked
    assert locked.isdisjoint({"botocore", "boto3", "kubernetes", "kopf", "pyyaml", "watchfiles"})
