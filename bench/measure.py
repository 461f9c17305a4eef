"""The measuring itself: rounds in which every target meets every scenario, interleaved."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPResponse

from bench.processes import (
    BenchmarkError,
    Cores,
    Stub,
    family,
    peak_rss_bytes,
    pinned,
    reset_peak_rss,
    running,
    running_stub,
    wait_for_port,
)
from bench.programs import compiled
from bench.requests import CLIENT, object_path, signed_head, write_requests
from bench.scenarios import KiB, Scenario, Tls
from bench.targets import Surroundings, Target, free_port
from bench.tls import running_originator, running_terminator
from bench.windows import Load, Window, problems_of

LOADGEN_GRACE_SECONDS = 60.0
"""Beyond warm-up and window; the generator itself waits 20 s for the first answer in the window,
and 20 s for the last after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Scenarios that share their surroundings, and the targets that meet them there."""

    around: Surroundings
    targets: tuple[Target, ...]
    scenarios: tuple[Scenario, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    cores: Cores
    parts: tuple[Part, ...]
    rounds: int
    window_seconds: float
    warm_up_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """The processes of a part. `ports`: where the generator reaches a target."""

    stub: Stub
    pids: Mapping[str, int]
    ports: Mapping[str, int]


def run(plan: Plan) -> Iterator[Window]:
    """Raises: BenchmarkError when a target does not start or fails its first request."""
    for number in range(plan.rounds):
        print(f"round {number + 1} of {plan.rounds}", file=sys.stderr, flush=True)
        for part in plan.parts:
            with ExitStack() as stack:
                up = _started(stack, part, plan.cores)
                for target in part.targets:
                    _check_first_request(target, up.ports[target.name])
                # Odd rounds go the other way, so that no target always follows the same neighbour.
                order = part.targets if number % 2 == 0 else part.targets[::-1]
                for scenario in part.scenarios:
                    if number >= (scenario.max_rounds or plan.rounds):
                        continue
                    for target in order:
                        if scenario.method not in target.methods:
                            continue
                        window = _window(plan, part, target, scenario, up)
                        yield replace(window, round_number=number)


def _started(stack: ExitStack, part: Part, cores: Cores) -> _Running:
    around = part.around
    stub = stack.enter_context(running_stub(around, cores))
    if around.certificate is not None and around.tls is Tls.BACKEND:
        stack.enter_context(
            running_terminator(
                around.certificate,
                port=around.terminator_port,
                stub_port=around.stub_port,
                core=cores.rest,
                directory=around.directory,
            )
        )
    pids = {
        target.name: stack.enter_context(running(target, around, cores)) for target in part.targets
    }
    ports = {target.name: target.port for target in part.targets}
    if around.certificate is not None and around.tls is Tls.CLIENT:
        ports = {name: free_port() for name in pids}
        pairs = {ports[target.name]: target.port for target in part.targets}
        stack.enter_context(
            running_originator(
                around.certificate, pairs, core=cores.rest, directory=around.directory
            )
        )
        for port in pairs:
            wait_for_port(port)
    return _Running(stub=stub, pids=pids, ports=ports)


def _check_first_request(target: Target, port: int) -> None:
    """A right signature is served; a wrong one is refused by a target that checks signatures."""
    status, length = _small_get(port, CLIENT.secret_access_key)
    if (status, length) != (200, 4 * KiB):
        raise BenchmarkError(f"{target.name} answered a GET with {status} and {length} bytes")
    if not target.checks_signatures:
        return
    status, _ = _small_get(port, "not-the-secret")
    if status != 403:
        raise BenchmarkError(f"{target.name} answered a wrong signature with {status}, not 403")


def _small_get(port: int, secret_access_key: str) -> tuple[int, int]:
    head = signed_head(
        "GET",
        object_path(4 * KiB, 0),
        port=port,
        size_bytes=0,
        by=replace(CLIENT, secret_access_key=secret_access_key),
        now=datetime.now(UTC),
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, len(response.read())


def _window(plan: Plan, part: Part, target: Target, scenario: Scenario, up: _Running) -> Window:
    try:
        pids = family(up.pids[target.name])
        reset_peak_rss(pids)
        up.stub.take_counts()
        load, complaint = _load(plan, part, target, scenario, up)
        peak = peak_rss_bytes(pids)
    except OSError as exc:
        raise BenchmarkError(f"{target.name} ended while it was measured: {exc}") from exc
    backend = up.stub.take_counts()
    problems = problems_of(target, scenario, load, backend)
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
    plan: Plan, part: Part, target: Target, scenario: Scenario, up: _Running
) -> tuple[Load | None, str]:
    """Run the generator once: what it saw, or None and why there is nothing."""
    port = up.ports[target.name]
    requests = part.around.directory / "requests.bin"
    # Anew for every window: S3 signatures live 15 minutes.
    write_requests(requests, scenario, port=port, now=datetime.now(UTC))
    warm_up = plan.warm_up_seconds * target.warm_up_factor
    window = scenario.window_seconds(plan.window_seconds)
    options = {
        "-p": port,
        "-r": requests,
        "-m": scenario.method,
        "-s": scenario.size_bytes,
        "-c": scenario.concurrency,
        "-w": warm_up,
        "-d": window,
        "-P": ",".join(map(str, family(up.pids[target.name]))),
    }
    pairs = (str(word) for option in options.items() for word in option)
    done = subprocess.run(
        pinned(plan.cores.rest, (str(compiled("loadgen")), *pairs)),
        capture_output=True,
        text=True,
        timeout=warm_up + window + LOADGEN_GRACE_SECONDS,
        check=False,
    )
    load = Load(**json.loads(done.stdout)) if done.stdout else None
    return load, done.stderr.strip()
