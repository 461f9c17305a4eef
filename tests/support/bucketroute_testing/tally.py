"""Counts on which backend the end-to-end tests ran, so that a green run cannot have tested little.

A pytest plugin: it prints `minio=N moto=M`, drops the tests of a program visibly where that is
missing, and in CI fails the run when a count is below the committed floor.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from bucketroute_testing.tools import ProgramMissingError, built_program

BACKENDS = ("minio", "moto")
# Programs that are built once; a test that needs one carries its name as a marker.
PROGRAMS = ("minio", "mc", "rclone", "gosdk", "jssdk", "javasdk")
_CI_VARIABLE = "CI"


class BackendTally:
    """Registered by the conftest of the end-to-end tests; `folder` is where they are."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._passed = dict.fromkeys(BACKENDS, 0)
        self._deselected = 0
        self._missing = _missing_programs(environment)
        self._shortfalls: list[str] = []

    @property
    def _is_ci(self) -> bool:
        return self._environment.get(_CI_VARIABLE) == "true"

    def pytest_report_header(self) -> list[str]:
        return [
            f"{name}: {self._missing.get(name) or built_program(name, self._environment)}"
            for name in PROGRAMS
        ]

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """The tests of a missing program leave the run, except in CI: there they stay and fail."""
        if not self._missing or self._is_ci:
            return
        dropped = [item for item in items if self._needs_what_is_missing(item)]
        self._deselected = len(dropped)
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]

    def _needs_what_is_missing(self, item: pytest.Item) -> bool:
        return any(item.get_closest_marker(name) for name in self._missing)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            for backend in BACKENDS:
                self._passed[backend] += backend in report.keywords

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not self._is_ci or not self._is_whole_run(session.config):
            return
        floors = tomllib.loads((self._folder / "floors.toml").read_text())
        self._shortfalls = [
            f"{backend}={self._passed[backend]} is below the floor of {floor}"
            for backend, floor in floors.items()
            if self._passed[backend] < floor
        ]
        if self._shortfalls and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        counts = " ".join(f"{backend}={self._passed[backend]}" for backend in BACKENDS)
        terminalreporter.write_sep("-", "backends")
        terminalreporter.write_line(counts)
        if self._deselected:
            reasons = "; ".join(self._missing.values())
            terminalreporter.write_line(
                f"{self._deselected} tests did not run: {reasons}", yellow=True
            )
        for shortfall in self._shortfalls:
            terminalreporter.write_line(shortfall, red=True)

    def _is_whole_run(self, config: pytest.Config) -> bool:
        """Whether no test of the folder was left out by the command line."""
        if config.getoption("keyword") or config.getoption("markexpr"):
            return False
        roots = [Path(argument).resolve() for argument in config.args if "::" not in argument]
        return any(root == self._folder or root in self._folder.parents for root in roots)


def _missing_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """What is said about each program that is not there, by its name."""
    missing = {}
    for name in PROGRAMS:
        try:
            built_program(name, environment)
        except ProgramMissingError as error:
            missing[name] = str(error)
    return missing
