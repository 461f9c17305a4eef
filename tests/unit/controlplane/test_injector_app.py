"""The webhook over HTTP: reviews in and out, bounds, deadlines, metrics."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from bucketroute_operator.core.injection import Injector
from bucketroute_operator.shell.injector_app import MAX_BODY_BYTES, MAX_BUFFERED_BYTES, InjectorApp
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_testing.admission import INJECTOR, decide, injected, patched, raw_pod, review
from bucketroute_testing.operator_process import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    injector: Injector = INJECTOR


@pytest.fixture
def metrics() -> InjectorMetrics:
    return InjectorMetrics()


@pytest.fixture
def app(metrics: InjectorMetrics) -> InjectorApp:
    return InjectorApp(Source(), metrics, body_seconds=0.05)


@pytest.fixture
async def http(app: InjectorApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://injector") as client:
        yield client


async def ask(http: httpx.AsyncClient, value: Any) -> httpx.Response:
    return await http.post("/inject?timeout=3s", json=value)


async def test_a_review_is_answered_with_the_patch(http: httpx.AsyncClient) -> None:
    pod = raw_pod("sidecar")
    answer = (await ask(http, review(pod))).json()
    response = answer.pop("response")
    assert answer == {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    patch = json.loads(base64.b64decode(response.pop("patch")))
    assert patched(pod, patch) == injected(pod)
    assert response == {
        "uid": review(pod)["request"]["uid"],
        "allowed": True,
        "patchType": "JSONPatch",
    }


async def test_a_refusal_says_why(http: httpx.AsyncClient) -> None:
    pod = raw_pod("sidecar", hostNetwork=True)
    response = (await ask(http, review(pod))).json()["response"]
    assert response["allowed"] is False
    assert response["status"]["code"] == 403
    assert response["status"]["message"] == decide(pod).message


async def test_a_pod_that_cannot_be_set_up_starts_with_a_warning(http: httpx.AsyncClient) -> None:
    pod = {**raw_pod("env"), "spec": {"containers": 1}}
    response = (await ask(http, review(pod))).json()["response"]
    assert response["allowed"] is True
    (change,) = json.loads(base64.b64decode(response["patch"]))
    assert list(change["value"]) == ["bucketroute.io/not-injected"]
    assert response["warnings"] == list(decide(pod).warnings)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"kind": "Pod"}',
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": []}',
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": 1}}',
    ],
    ids=["empty", "cut", "list", "deep", "binary", "pod", "old", "no-request", "list-2", "uid"],
)
async def test_what_is_no_review_is_400(
    http: httpx.AsyncClient, metrics: InjectorMetrics, body: bytes
) -> None:
    assert (await http.post("/inject", content=body)).status_code == 400
    assert counted(metrics) == {("none", "invalid"): 1}


async def test_only_its_path_and_method_are_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/inject")).status_code == 405
    assert (await http.post("/")).status_code == 404


async def test_a_review_that_is_too_large_is_not_read_to_its_end(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    assert (await http.post("/inject", content=endless())).status_code == 413


async def test_a_review_that_dawdles_is_given_up(http: httpx.AsyncClient) -> None:
    async def dawdling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    assert (await http.post("/inject", content=dawdling())).status_code == 408


async def test_a_review_that_ends_early_is_400(app: InjectorApp) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/inject",
        "headers": [],
        "query_string": b"",
    }
    await app.app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_all_reviews_together_are_bounded_and_the_room_is_given_back(
    metrics: InjectorMetrics,
) -> None:
    app = InjectorApp(Source(), metrics, body_seconds=30)
    transport = httpx.ASGITransport(app.app)
    release, count = asyncio.Event(), MAX_BUFFERED_BYTES // MAX_BODY_BYTES
    sent = 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b" " * MAX_BODY_BYTES
        sent += 1
        await release.wait()

    async with httpx.AsyncClient(transport=transport, base_url="https://injector") as http:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(http.post("/inject", content=slow()))
            await until(lambda: sent == count)
            assert (await ask(http, review(raw_pod("env")))).status_code == 503
            release.set()
        assert (await ask(http, review(raw_pod("env")))).status_code == 200


async def test_requests_are_counted_by_mode_and_result(
    http: httpx.AsyncClient, metrics: InjectorMetrics
) -> None:
    pods = [
        raw_pod("env"),
        injected(raw_pod("env")),
        raw_pod("sidecar", hostNetwork=True),
        raw_pod("other"),
        {**raw_pod("env"), "spec": 1},
    ]
    for pod in pods:
        await ask(http, review(pod))
    assert b"bucketroute_injector_request_duration_seconds_count 5.0" in metrics.exposition()
    assert counted(metrics) == {
        ("env", "injected"): 1,
        ("env", "unchanged"): 1,
        ("env", "missed"): 1,
        ("sidecar", "refused"): 1,
        ("none", "unchanged"): 1,
    }


def counted(metrics: InjectorMetrics) -> dict[tuple[str, str], float]:
    (family,) = metrics.requests.collect()
    return {
        (item.labels["mode"], item.labels["result"]): item.value
        for item in family.samples
        if item.name.endswith("_total")
    }
