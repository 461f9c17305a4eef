"""The request path may be compiled, and is tested as what it is: interpreted, or compiled."""

import importlib
import os
import tomllib
from pathlib import Path

import pytest

import bucketroute_dataplane

ROOT = Path(__file__).parents[3]
TARGET = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
MODULES = TARGET["wheel"]["hooks"]["custom"]["modules"]


@pytest.mark.parametrize("path", MODULES)
def test_what_is_imported_is_what_is_meant_to_be_tested(path: str) -> None:
    """`make test` runs the sources, `make test-compiled` what was made of each of them."""
    source = Path(path)
    module = importlib.import_module(".".join(source.with_suffix("").parts))
    found = Path(str(module.__file__))
    package = Path(str(bucketroute_dataplane.__file__)).parent
    assert found.is_relative_to(package)
    assert found.name.partition(".")[0] == source.stem
    is_compiled_expected = os.environ.get("BUCKETROUTE_EXPECT_COMPILED") == "1"
    assert (found.suffix == ".so") is is_compiled_expected, found


def test_compiled_modules_are_all_there_and_in_order() -> None:
    assert all((ROOT / "dataplane" / path).is_file() for path in MODULES)
    assert sorted(MODULES) == MODULES
