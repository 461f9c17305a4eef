"""What the data plane's image carries: all that the data plane imports, and nothing else."""

import tomllib
from pathlib import Path

from bucketroute_testing.images import imported, locked, name_of

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUP: list[str] = PROJECT["dependency-groups"]["dataplane"]


def test_the_image_has_what_the_data_plane_imports_and_nothing_else() -> None:
    assert {name_of(requirement) for requirement in GROUP} == imported(ROOT / "dataplane")


def test_the_image_has_the_ranges_of_the_project() -> None:
    assert set(GROUP) <= set(PROJECT["project"]["dependencies"])


def test_the_lock_of_the_image_has_no_client_of_a_cloud_or_of_kubernetes() -> None:
    names = locked(ROOT / "requirements/dataplane.lock")
    assert {name_of(requirement) for requirement in GROUP} <= names
    assert names.isdisjoint({"botocore", "boto3", "kubernetes", "kopf", "pyyaml", "watchfiles"})
