"""The measuring itself: rounds in which every target meets every scenario, interleaved."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPResponse

from bench.processes import (
    BackendCounts,
    BenchmarkError,
    Cores,
    Stub,
    family,
    peak_rss_bytes,
    pinned,
    reset_peak_rss,
    running,
    running_stub,
)
from bench.programs import compiled
from bench.requests import CLIENT, object_path, signed_head, write_requests
from bench.scenarios import KiB, Scenario
from bench.targets import Signer, Surroundings, Target
from bench.tls import running_terminator

GiB = 1024**3
LOADGEN_GRACE_SECONDS = 60.0
"""Beyond warm-up and window; the generator itself waits 20 s for the first answer in the window,
and 20 s for the last after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the generator saw. `cpu_seconds` is the proxy's; percentiles are of whole requests."""

    began: int
    answered: int
    completed: int
    failed: int
    wrong_bodies: int
    reconnects: int
    bytes: int
    seconds: float
    cpu_seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    first_error: str

    @property
    def requests_per_second(self) -> float:
        return self.completed / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def cpu_seconds_per_1000_requests(self) -> float:
        return self.cpu_seconds / self.completed * 1000

    @property
    def cpu_seconds_per_gib(self) -> float:
        return self.cpu_seconds / self.bytes * GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One target under one scenario in one round."""

    round_number: int
    target: str
    scenario: Scenario
    load: Load | None
    backend: BackendCounts
    peak_rss_bytes: int
    problems: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether its figures may be used."""
        return self.load is not None and not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    around: Surroundings
    cores: Cores
    targets: tuple[Target, ...]
    scenarios: tuple[Scenario, ...]
    rounds: int
    window_seconds: float
    warm_up_seconds: float


def run(plan: Plan) -> Iterator[Window]:
    """Raises: BenchmarkError when a target does not start or fails its first request."""
    for number in range(plan.rounds):
        print(f"round {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
        with ExitStack() as stack:
            stub = stack.enter_context(running_stub(plan.around, plan.cores))
            if plan.around.tls is not None:
                stack.enter_context(
                    running_terminator(
                        plan.around.tls,
                        stub_port=plan.around.stub_port,
                        core=plan.cores.rest,
                        directory=plan.around.directory,
                    )
                )
            pids = {
                target.name: stack.enter_context(running(target, plan.around, plan.cores))
                for target in plan.targets
            }
            for target in plan.targets:
                _check_first_request(target)
            # Odd rounds go the other way, so that no target always follows the same neighbour.
            order = plan.targets if number % 2 == 0 else plan.targets[::-1]
            for scenario in plan.scenarios:
                if number >= (scenario.max_rounds or plan.rounds):
                    continue
                for target in order:
                    window = _window(plan, target, scenario, pids[target.name], stub)
                    yield replace(window, round_number=number)


def _check_first_request(target: Target) -> None:
    """A right signature is served; a wrong one is refused by a target that checks signatures."""
    status, length = _small_get(target, CLIENT.secret_access_key)
    if (status, length) != (200, 4 * KiB):
        raise BenchmarkError(f"{target.name} answered a GET with {status} and {length} bytes")
    if not target.checks_signatures:
        return
    status, _ = _small_get(target, "not-the-secret")
    if status != 403:
        raise BenchmarkError(f"{target.name} answered a wrong signature with {status}, not 403")


def _small_get(target: Target, secret_access_key: str) -> tuple[int, int]:
    head = signed_head(
        "GET",
        object_path(4 * KiB, 0),
        port=target.port,
        size_bytes=0,
        by=replace(CLIENT, secret_access_key=secret_access_key),
        now=datetime.now(UTC),
    )
    with socket.create_connection(("127.0.0.1", target.port), timeout=10) as connection:
        connection.sendall(head)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, len(response.read())


def _window(plan: Plan, target: Target, scenario: Scenario, pid: int, stub: Stub) -> Window:
    try:
        pids = family(pid)
        reset_peak_rss(pids)
        stub.take_counts()
        load, complaint = _load(plan, target, scenario, pids)
        peak = peak_rss_bytes(pids)
    except OSError as exc:
        raise BenchmarkError(f"{target.name} ended while it was measured: {exc}") from exc
    backend = stub.take_counts()
    problems = _problems(target, scenario, load, backend)
    if load is None:
        problems.append(f"the generator gave up: {complaint}")
    return Window(
        round_number=0,
        target=target.name,
        scenario=scenario,
        load=load,
        backend=backend,
        peak_rss_bytes=peak,
        problems=tuple(problems),
    )


def _load(
    plan: Plan, target: Target, scenario: Scenario, pids: list[int]
) -> tuple[Load | None, str]:
    """Run the generator once: what it saw, or None and why there is nothing."""
    requests = plan.around.directory / "requests.bin"
    # Anew for every window: S3 signatures live 15 minutes.
    write_requests(requests, scenario, port=target.port, now=datetime.now(UTC))
    window = scenario.window_seconds(plan.window_seconds)
    options = {
        "-p": target.port,
        "-r": requests,
        "-m": scenario.method,
        "-s": scenario.size_bytes,
        "-c": scenario.concurrency,
        "-w": plan.warm_up_seconds,
        "-d": window,
        "-P": ",".join(map(str, pids)),
    }
    pairs = (str(word) for option in options.items() for word in option)
    done = subprocess.run(
        pinned(plan.cores.rest, (str(compiled("loadgen")), *pairs)),
        capture_output=True,
        text=True,
        timeout=plan.warm_up_seconds + window + LOADGEN_GRACE_SECONDS,
        check=False,
    )
    load = Load(**json.loads(done.stdout)) if done.stdout else None
    return load, done.stderr.strip()


def _problems(
    target: Target, scenario: Scenario, load: Load | None, backend: BackendCounts
) -> list[str]:
    """Why the figures of a window may not be used; empty when they may."""
    facts = [
        (backend.unsigned_requests, "backend requests were not signed"),
        (backend.chunked_uploads, "uploads reached the backend chunked"),
        (backend.wrong_bodies, "uploads reached the backend with a wrong body"),
        (backend.short_bodies, "uploads reached the backend cut short"),
    ]
    if target.signer is Signer.BACKEND:
        facts.append((backend.signed_by_other_key, "backend requests bore another key's signature"))
    if load is not None:
        reached = backend.uploads if scenario.method == "PUT" else backend.requests
        facts += [
            (load.failed, f"requests failed ({load.first_error})"),
            (load.wrong_bodies, "pieces of answers were wrong"),
            (max(0, load.answered - reached), "answers came without the backend"),
            (
                int(load.completed == 0),
                "window without one complete request (use longer --seconds)",
            ),
            (
                int(0 < load.p50_us / 1e6 < scenario.shortest_seconds),
                "window whose readers were faster than they should have been",
            ),
        ]
    return [f"{count} {text}" for count, text in facts if count]
