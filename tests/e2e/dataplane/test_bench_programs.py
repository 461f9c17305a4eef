"""The benchmark's generator and stub, without a proxy: what they let pass, and what they do not."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.processes import BackendCounts, Stub, wait_for_port
from bench.programs import compiled
from bench.requests import BACKEND, CLIENT, Credentials, object_path, signed_head, write_requests
from bench.scenarios import KiB, MiB, Scenario
from bench.targets import free_port
from bench.windows import Load

pytestmark = pytest.mark.skipif(
    (sys.platform != "linux" or not (shutil.which("cc") or shutil.which("gcc")))
    and os.environ.get("CI") != "true",
    reason="the benchmark's programs need Linux and a C compiler",
)
RATE = 2 * MiB


class Backend:
    """The stub, on a port of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._stub = Stub(process)

    def counts(self) -> BackendCounts:
        return self._stub.take_counts()

    def answer_to(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(4096)


@pytest.fixture
def backend() -> Iterator[Backend]:
    port = free_port()
    argv = [str(compiled("stub")), str(port), BACKEND.access_key_id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        wait_for_port(port, process)
        yield Backend(process, port)
        process.terminate()


@pytest.fixture
def generate(backend: Backend, tmp_path: Path) -> Callable[[Scenario], Load]:
    def run(scenario: Scenario) -> Load:
        requests = tmp_path / "requests.bin"
        write_requests(requests, scenario, port=backend.port, now=datetime.now(UTC))
        backend.counts()
        argv = [compiled("loadgen"), "-p", backend.port, "-r", requests, "-m", scenario.method]
        argv += ["-s", scenario.size_bytes, "-c", scenario.concurrency, "-w", 0.1, "-d", 0.5]
        done = subprocess.run(
            [str(word) for word in argv], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Load(**json.loads(done.stdout))

    return run


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_every_answer_is_counted_on_both_sides(
    method: str, generate: Callable[[Scenario], Load], backend: Backend
) -> None:
    seen = generate(Scenario(method=method, size_bytes=64 * KiB, concurrency=4))
    counts = backend.counts()
    assert seen.answered == seen.began == counts.requests > 0
    assert counts.uploads == (counts.requests if method == "PUT" else 0)
    assert (seen.failed, seen.wrong_bodies, counts.wrong_bodies, counts.short_bodies) == (0,) * 4


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_slow_reader_reads_no_faster_than_it_was_asked_to(
    method: str, generate: Callable[[Scenario], Load]
) -> None:
    scenario = Scenario(
        method=method, size_bytes=1 * MiB, concurrency=3, read_bytes_per_second=RATE
    )
    seen = generate(scenario)
    assert seen.completed >= 3
    assert seen.p50_us / 1e6 >= scenario.shortest_seconds == 0.5
    assert (seen.failed, seen.wrong_bodies) == (0, 0)


def test_a_window_in_which_nothing_ended_lasts_until_something_does(
    generate: Callable[[Scenario], Load],
) -> None:
    """0.5 s were asked for; each request takes two seconds."""
    scenario = Scenario(method="GET", size_bytes=4 * MiB, concurrency=2, read_bytes_per_second=RATE)
    seen = generate(scenario)
    assert seen.completed >= 1
    assert seen.seconds >= 1.5


def _head(method: str, *, by: Credentials = BACKEND) -> bytes:
    path = object_path(4 * KiB, 0)
    size = 4 * KiB if method == "PUT" else 0
    return signed_head(method, path, port=1, size_bytes=size, by=by, now=datetime.now(UTC))


def _presigned(key: str) -> bytes:
    query = f"X-Amz-Credential={key}%2F20261126%2Fus-east-1%2Fs3%2Faws4_request"
    target = f"{object_path(4 * KiB, 0)}?{query}&X-Amz-Signature={'0a' * 32}"
    return f"GET {target} HTTP/1.1\r\nhost: stub\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("request_bytes", "field"),
    [
        pytest.param(_head("GET"), "signed_by_backend_key", id="backend's"),
        pytest.param(_head("GET", by=CLIENT), "signed_by_other_key", id="client's"),
        pytest.param(
            _presigned(BACKEND.access_key_id), "signed_by_backend_key", id="presigned-backend's"
        ),
        pytest.param(
            _presigned(CLIENT.access_key_id), "signed_by_other_key", id="presigned-client's"
        ),
        pytest.param(
            _presigned(f"{BACKEND.access_key_id}0"), "signed_by_other_key", id="presigned-longer"
        ),
        pytest.param(
            _head("GET").replace(b"Signature=", b"Signature=-"), "unsigned_requests", id="broken"
        ),
        pytest.param(b"GET /b/4096/k HTTP/1.1\r\nhost: a\r\n\r\n", "unsigned_requests", id="none"),
    ],
)
def test_the_stub_tells_whose_signature_a_request_bears(
    request_bytes: bytes, field: str, backend: Backend
) -> None:
    backend.counts()
    assert backend.answer_to(request_bytes).startswith(b"HTTP/1.1 200 OK\r\n")
    counts = backend.counts()
    names = ("signed_by_backend_key", "signed_by_other_key", "unsigned_requests")
    assert {name: getattr(counts, name) for name in names} == {
        name: int(name == field) for name in names
    }


def test_an_upload_of_another_body_is_counted(backend: Backend) -> None:
    backend.counts()
    backend.answer_to(_head("PUT") + b"x" * 4 * KiB)
    counts = backend.counts()
    assert (counts.uploads, counts.wrong_bodies) == (1, 1)


def test_a_chunked_upload_is_refused_and_counted(backend: Backend) -> None:
    backend.counts()
    head = _head("PUT").replace(b"content-length: 4096", b"transfer-encoding: chunked")
    assert backend.answer_to(head).startswith(b"HTTP/1.1 501 ")
    assert backend.counts().chunked_uploads == 1
