"""The shape of the repository: folders that must not become packages, sizes, hygiene."""

from __future__ import annotations

import operator
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "operator/bucketroute_operator",
    "dataplane/bucketroute_snapshot",
    "dataplane/bucketroute_dataplane",
    "cli/bucketroute_cli",
)
MAX_LINES = 300
# What is to be read in one sitting, since every request of every client goes through it.
HOT_PATH = ("shell/hot.py", "shell/hot_exchange.py", "core/shapes.py", "core/request_template.py")
MAX_HOT_PATH_LINES = 600
GENERATED = {"__pycache__", "node_modules", "build", "dist", "results"}
GENERATED_SUFFIXES = {".pyc", ".pyo", ".orig", ".rej", ".swp", ".log", ".whl", ".coverage"}


def tracked() -> list[Path]:
    """The files that git knows, or, in an unpacked archive, all that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [Path(name) for name in listed.stdout.split("\0") if name]
    return [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]


def test_operator_and_dataplane_are_folders_and_not_packages() -> None:
    for name in ("operator", "dataplane", "cli"):
        assert not (ROOT / name / "__init__.py").exists(), name
    assert not Path(operator.__file__).is_relative_to(ROOT)


def test_test_folders_are_no_packages_and_none_is_named_operator() -> None:
    folders = ("unit", "e2e")
    inits = [path for name in folders for path in (ROOT / "tests" / name).rglob("__init__.py")]
    assert inits == []
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("operator"))


def test_every_package_says_that_it_is_typed() -> None:
    parents = {Path(package).parent for package in PACKAGES}
    packages = {path.parent for parent in parents for path in (ROOT / parent).glob("*/__init__.py")}
    typed = {path.parent for parent in parents for path in (ROOT / parent).glob("*/py.typed")}
    assert packages == typed == {ROOT / package for package in PACKAGES}


def test_modules_have_at_most_300_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert len(lengths) > len(PACKAGES)
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_the_hot_path_has_less_than_600_lines() -> None:
    folder = ROOT / "dataplane" / "bucketroute_dataplane"
    lengths = [len((folder / name).read_text().splitlines()) for name in HOT_PATH]
    assert sum(lengths) < MAX_HOT_PATH_LINES


def test_nothing_generated_is_tracked() -> None:
    offenders = [
        path
        for path in tracked()
        if GENERATED & set(path.parts[:-1])
        or path.suffix in GENERATED_SUFFIXES
        or any(part.endswith(("_cache", ".egg-info")) for part in path.parts)
        or path.parts[0].startswith(".venv")
    ]
    assert offenders == []
