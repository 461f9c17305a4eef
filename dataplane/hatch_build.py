"""Compiles the request path with mypyc where BUCKETROUTE_COMPILE=1 asks for it.

The modules that pyproject.toml names for it are ordinary Python, and without a compiler they run
as they are. Decision 0015 says what is gained, and what compiled code may not do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SWITCH = "BUCKETROUTE_COMPILE"
_SOURCES = "dataplane"
_GROUP = "bucketroute"  # of the one library that all modules are in: bucketroute__mypyc


class CompiledModules(BuildHookInterface[Any]):
    """hatchling's hook: adds a library beside each compiled module of the wheel."""

    def dependencies(self) -> list[str]:
        """What a build in an environment of its own needs besides hatchling: the compiler knows
        the types of what is imported only if it is there."""
        if not _is_asked_for():
            return []
        return ["mypy>=1.18", "setuptools>=75", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises: SystemExit with mypy's findings; setuptools' errors if the compiler fails."""
        if version == "editable" or not _is_asked_for():
            return
        built = Path(self.directory) / "compiled"
        _compile([f"{_SOURCES}/{module}" for module in self.config["modules"]], built)
        for library in (built / "lib").rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(built / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _is_asked_for() -> bool:
    return os.environ.get(_SWITCH) == "1"


def _compile(sources: list[str], built: Path) -> None:
    """Writes the libraries below `built`/lib."""
    from mypyc.build import mypycify  # only a build that compiles has these
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    extensions = mypycify(
        sources, opt_level="3", debug_level="0", group_name=_GROUP, target_dir=str(built / "c")
    )
    command = build_ext(Distribution({"name": _GROUP, "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(built / "lib"), str(built / "objects")
    command.ensure_finalized()
    command.run()
