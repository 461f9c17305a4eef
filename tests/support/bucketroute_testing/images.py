"""What an image holds, by name: packages that code imports, requires and has locked."""

import ast
import re
import sys
from pathlib import Path

# Where a package and its distribution have different names.
_DISTRIBUTIONS = {"yaml": "pyyaml"}


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_-]", requirement)[0].replace("-", "_")


def imported(folder: Path) -> set[str]:
    """The distributions that are imported anywhere below, other than our own."""
    found: set[str] = set()
    for path in folder.glob("bucketroute_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    foreign = {
        name for name in found - sys.stdlib_module_names if not name.startswith("bucketroute")
    }
    return {_DISTRIBUTIONS.get(name, name) for name in foreign}


def locked(lock: Path) -> set[str]:
    return {name_of(line) for line in lock.read_text().splitlines() if line[:1].isalpha()}
