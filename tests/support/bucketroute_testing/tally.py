"""Counts on which backend the end-to-end tests ran, so that a green run cannot have tested little.

A pytest plugin: it prints `minio=N moto=M`, drops MinIO's tests visibly where there is no binary,
and in CI fails the run when a count is below the committed floor.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from bucketroute_testing.minio import MinioMissingError, minio_binary

BACKENDS = ("minio", "moto")
_CI_VARIABLE = "CI"


class BackendTally:
    """Registered by the conftest of the end-to-end tests; `folder` is where they are."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._passed = dict.fromkeys(BACKENDS, 0)
        self._deselected = 0
        self._missing = _missing_message(environment)
        self._shortfalls: list[str] = []

    @property
    def _is_ci(self) -> bool:
        return self._environment.get(_CI_VARIABLE) == "true"

    def pytest_report_header(self) -> str:
        return f"minio: {self._missing or minio_binary(self._environment)}"

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Without a binary MinIO's tests leave the run, except in CI: there they stay and fail."""
        if self._missing is None or self._is_ci:
            return
        dropped = [item for item in items if item.get_closest_marker("minio")]
        self._deselected = len(dropped)
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not item.get_closest_marker("minio")]

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
            terminalreporter.write_line(
                f"{self._deselected} tests did not run: {self._missing}", yellow=True
            )
        for shortfall in self._shortfalls:
            terminalreporter.write_line(shortfall, red=True)

    def _is_whole_run(self, config: pytest.Config) -> bool:
        """Whether no test of the folder was left out by the command line."""
        if config.getoption("keyword") or config.getoption("markexpr"):
            return False
        roots = [Path(argument).resolve() for argument in config.args if "::" not in argument]
        return any(root == self._folder or root in self._folder.parents for root in roots)


def _missing_message(environment: Mapping[str, str]) -> str | None:
    try:
        minio_binary(environment)
    except MinioMissingError as error:
        return str(error)
    return None
