"""What the config server refuses, and to whom it gives what."""

import asyncio
import gzip
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from bucketroute_dataplane.shell.config_store import read_update
from bucketroute_operator.shell.channel import JITTERED_ABOVE
from bucketroute_operator.shell.config_server import MAX_ACK_BYTES, MAX_POLLS_PER_NAMESPACE
from bucketroute_operator.shell.kube_api import KubeError
from bucketroute_operator.shell.older_readers import MAX_ANSWERS
from bucketroute_snapshot import OLDEST_SCHEMA_VERSION, ClassSettings, Snapshot
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.operator_objects import review_of, route, snapshot, version
from bucketroute_testing.operator_process import until

POLL = "/v1/config"


@pytest.fixture
def operator(tmp_path: Path) -> OperatorEnd:
    end = OperatorEnd(tmp_path)
    end.publish("1.1", snapshot(route("one")))
    return end


def _review(**changes: Any) -> dict[str, Any]:
    return {**review_of(), **changes}


@pytest.mark.parametrize(
    "review",
    [
        {"authenticated": False},
        _review(audiences=[]),
        _review(audiences=["https://kubernetes.default.svc"]),
        _review(user={"username": "admin"}),
        _review(user={"username": "system:serviceaccount:only-a-namespace"}),
    ],
    ids=["refused", "audiences-ignored", "another-audience", "a-person", "no-name"],
)
async def test_a_token_that_is_not_for_this_channel_is_401(
    operator: OperatorEnd, review: dict[str, Any]
) -> None:
    operator.kube.reviews["odd"] = review
    async with operator.http("odd") as http:
        assert (await http.get(POLL)).status_code == 401


async def test_no_token_is_401(operator: OperatorEnd) -> None:
    async with operator.http() as http:
        answer = await http.get(POLL, headers={"Authorization": ""})
    assert answer.status_code == 401


async def test_a_token_that_cannot_be_reviewed_now_is_503(operator: OperatorEnd) -> None:
    operator.kube.fault = lambda verb, resource, name: KubeError(0, "the API server is away")
    async with operator.http() as http:
        assert (await http.get(POLL)).status_code == 503


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("known=seven", {}, 400),
        ("known=1.1.1", {}, 400),
        ("wait=-1", {}, 400),
        ("wait=999999", {}, 400),
        ("class=other", {}, 404),
        ("", {"BR-Schema-Max": "0"}, 406),
        ("", {"BR-Schema-Max": "newest"}, 400),
    ],
)
async def test_a_malformed_poll_is_refused(
    operator: OperatorEnd, query: str, headers: dict[str, str], status: int
) -> None:
    async with operator.http() as http:
        assert (await http.get(f"{POLL}?{query}", headers=headers)).status_code == status


async def test_a_pod_that_has_everything_is_answered_304_when_its_time_is_up(
    operator: OperatorEnd,
) -> None:
    async with operator.http() as http:
        answer = await http.get(f"{POLL}?known=1.1&wait=0")
    assert answer.status_code == 304


async def test_a_version_too_long_ago_gets_everything(operator: OperatorEnd) -> None:
    for number in range(2, 70):
        operator.publish(f"1.{number}", snapshot(route("one", generation=number)))
    async with operator.http() as http:
        for known in ("1.1", "1.50", "0.9"):
            assert (await http.get(f"{POLL}?known={known}")).status_code == 200
    polls = operator.metrics.polls
    assert polls.labels("default", "full")._value.get() == 2
    assert polls.labels("default", "delta")._value.get() == 1


async def _older_update(
    operator: OperatorEnd, query: str, token: str = "gateway"
) -> list[bytes] | None:
    async with operator.http(token, schema=OLDEST_SCHEMA_VERSION) as http:
        answer = await http.get(f"{POLL}?{query}")
    return answer.content.splitlines(keepends=True) if answer.status_code == 200 else None


NEWER = ClassSettings(name="default", region="r", signature_diagnostics=True)


@pytest.mark.parametrize("token", ["gateway", "sidecar"])
async def test_an_older_data_plane_gets_all_that_it_knows_and_polls_on(
    operator: OperatorEnd, token: str
) -> None:
    """Its digest is that of its own bytes; what it has is not sent to it again."""
    routes = snapshot(route("one"), route("two")).routes
    operator.publish("1.2", Snapshot(settings=NEWER, routes=routes))
    lines = await _older_update(operator, "known=1.1&digest=sha256:other", token)
    assert lines is not None
    held = await read_update(lines, None)
    assert json.loads(lines[2])["schemaVersion"] == OLDEST_SCHEMA_VERSION
    assert not held.snapshot.settings.signature_diagnostics
    assert held.snapshot.routes == routes
    assert await _older_update(operator, f"known=1.2&digest={held.digest}", token) is None


async def test_older_and_newer_data_planes_are_served_side_by_side(operator: OperatorEnd) -> None:
    operator.publish("1.2", Snapshot(settings=NEWER, routes=(route("one", generation=2),)))
    older = await _older_update(operator, "known=1.1")
    async with operator.http() as http:
        newer = (await http.get(f"{POLL}?known=1.1")).content.splitlines(keepends=True)
    assert older is not None
    assert b'"base"' not in older[0]
    assert b'"base"' in newer[0]
    assert json.loads(newer[2])["class"]["signatureDiagnostics"] is True


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/ack", b"not json", 400),
        ("/v1/ack", b"[]", 400),
        ("/v1/ack", b"{}", 400),
        ("/v1/ack", b'{"version": "one"}', 400),
        ("/v1/ack", b" " * (MAX_ACK_BYTES + 1), 413),
        ("/v1/report", b"[" * 100_000, 400),
        ("/v1/report", b'{"credentials": [1, {"route": 2}, {"route": "a/b", "state": []}]}', 204),
        ("/v1/ack", b'{"version": "1.1", "status": "applied", "rejected": "all"}', 204),
    ],
    ids=[
        "no-json",
        "no-object",
        "no-version",
        "bad-version",
        "too-large",
        "too-deep",
        "odd-items-are-passed-over",
        "odd-rejections-are-passed-over",
    ],
)
async def test_bodies_are_bounded_and_checked(
    operator: OperatorEnd, path: str, body: bytes, status: int
) -> None:
    async with operator.http() as http:
        assert (await http.post(path, content=body)).status_code == status


async def test_the_words_of_a_sidecar_do_not_count(operator: OperatorEnd) -> None:
    async with operator.http("sidecar") as http:
        body = {"version": "1.1", "status": "rejected"}
        assert (await http.post("/v1/ack", json=body)).status_code == 204
        report = {"credentials": [{"route": "team-a/one", "state": "False", "code": "X"}]}
        assert (await http.post("/v1/report", json=report)).status_code == 204
    assert list(operator.channel.states()) == []
    assert operator.words == 0
    exposed = operator.metrics.exposition().decode()
    assert 'config_nacks_total{class="default",placement="sidecar"} 1.0' in exposed
    assert 'placement="gateway"' not in exposed, "which raises the alarm"


async def test_a_pod_is_known_by_its_token_and_not_by_what_it_says(operator: OperatorEnd) -> None:
    async with operator.http() as http:
        body = {"version": "1.1", "status": "applied"}
        await http.post("/v1/ack", json=body, headers={"BR-Pod": "pod-of-somebody-else"})
    assert operator.channel.state_of("pod-of-somebody-else") is None
    assert operator.channel.state_of("pod-1") is not None


async def test_a_gateway_of_another_class_gets_a_tenants_part_only(operator: OperatorEnd) -> None:
    operator.kube.reviews["other"] = review_of("bucketroute-system", "other-gateway")
    async with operator.http("other") as http:
        answer = await http.get(POLL)
    lines = answer.content.splitlines()
    assert lines[1] == b"null"
    assert len(lines) == 3, "an envelope, no secrets, a header, and no route"


async def test_an_answer_is_compressed(operator: OperatorEnd) -> None:
    operator.publish("1.2", snapshot(*(route(f"r{number:03}") for number in range(200))))
    async with operator.http() as http, http.stream("GET", POLL) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < len(gzip.decompress(raw)) / 5


async def test_a_newer_poll_of_a_pod_ends_the_older(operator: OperatorEnd) -> None:
    async with operator.http() as http:
        older = asyncio.create_task(http.get(f"{POLL}?known=1.1&wait=50"))
        while operator.channel.connected_count() == 0:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0)
        newer = asyncio.create_task(http.get(f"{POLL}?known=1.1&wait=50"))
        assert (await older).status_code == 304
        assert not newer.done()
        operator.publish("1.2", snapshot())
        assert (await newer).status_code == 200


async def test_a_tenant_cannot_take_all_places_to_wait(operator: OperatorEnd) -> None:
    async with operator.http("sidecar") as http:
        known = f"{POLL}?wait=50&known=1.1&digest={_digest(operator)}"
        waiting = [asyncio.create_task(http.get(known)) for _ in range(MAX_POLLS_PER_NAMESPACE)]
        await until(lambda: operator.server._polls["team-a"] == MAX_POLLS_PER_NAMESPACE)
        assert (await http.get(known)).status_code == 429
        assert (await http.get(POLL)).status_code == 200, "a new pod must be able to start"
        async with operator.http() as gateway:
            assert (await gateway.get(POLL)).status_code == 200
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _digest(operator: OperatorEnd) -> str:
    """Of what team-a's app may know, which is its namespace's routes."""
    current = operator.channel.current
    assert current is not None
    return current.rendering.digest


async def test_many_parked_polls_are_answered_over_half_a_second(operator: OperatorEnd) -> None:
    waits: list[float] = []
    operator.channel._jitter = lambda: waits.append(1.0) or 0.0  # type: ignore[func-returns-value]
    for number in range(JITTERED_ABOVE + 1):
        operator.kube.reviews[f"gateway-{number}"] = review_of(pod_uid=f"pod-{number}")
    async with operator.http() as http:
        polls = [
            asyncio.create_task(
                http.get(
                    f"{POLL}?known=1.1&wait=50", headers={"Authorization": f"Bearer gateway-{n}"}
                )
            )
            for n in range(JITTERED_ABOVE + 1)
        ]
        while operator.channel.connected_count() <= JITTERED_ABOVE:  # noqa: ASYNC110
            await asyncio.sleep(0)
        operator.publish("1.2", snapshot())
        answers = await asyncio.gather(*polls)
    assert {answer.status_code for answer in answers} == {200}
    assert len(waits) > 0


async def test_a_gateway_does_not_wait_for_a_crowd_of_sidecars(operator: OperatorEnd) -> None:
    waits: list[float] = []
    operator.channel._jitter = lambda: waits.append(1.0) or 0.0  # type: ignore[func-returns-value]
    known = f"{POLL}?wait=50&known=1.1&digest={_digest(operator)}"
    async with operator.http("sidecar") as sidecar, operator.http() as gateway:
        crowd = [asyncio.create_task(sidecar.get(known)) for _ in range(JITTERED_ABOVE + 1)]
        await until(lambda: operator.server._polls["team-a"] == len(crowd))
        waiting = asyncio.create_task(gateway.get(f"{POLL}?known=1.1&wait=50"))
        await until(lambda: operator.channel.connected_count() == 1)
        operator.publish("1.2", snapshot(route("one", generation=2)))
        assert {answer.status_code for answer in await asyncio.gather(waiting, *crowd)} == {200}
    assert len(waits) == len(crowd), "each of the sidecars, and not the gateway"


@pytest.mark.parametrize("token", ["gateway", "sidecar"])
async def test_a_pod_that_is_gone_waits_no_longer(operator: OperatorEnd, token: str) -> None:
    async with operator.listening(), operator.client(token) as client:
        poll = asyncio.create_task(client.poll(version("1.1"), _digest(operator), 50))
        await until(lambda: operator.server._polls.total() == 1)
        poll.cancel()
        await until(lambda: operator.server._polls.total() == 0)
    assert operator.channel.connected_count() == 0


async def test_what_is_remembered_for_older_data_planes_is_bounded(operator: OperatorEnd) -> None:
    for number in range(2, MAX_ANSWERS + 10):
        operator.publish(f"1.{number}", snapshot(route("one", generation=number)))
        lines = await _older_update(operator, "known=1.1")
        assert lines is not None
        assert json.loads(lines[3])["generation"] == number
    assert len(operator.server._older._answers) == MAX_ANSWERS


@pytest.mark.parametrize(("path", "status"), [("/v1/report", b"204"), ("/v1/ack", b"408")])
async def test_a_body_of_anybody_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, status: bytes
) -> None:
    """A tenant's report is not even read."""
    monkeypatch.setattr("bucketroute_operator.shell.config_server.BODY_SECONDS", 0.1)
    operator = OperatorEnd(tmp_path)
    operator.publish("1.1", snapshot(route("one")))
    context = ssl.create_default_context(cafile=str(operator.ca_file))
    async with operator.listening(), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("localhost", operator.port, ssl=context)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sidecar\r\n"
        writer.write(f"{head}content-length: 100\r\n\r\n{{".encode())
        assert (await reader.readline()).split()[1] == status
        writer.close()


async def test_bodies_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bucketroute_operator.shell.config_server.MAX_BODIES_BYTES", 1000)
    operator = OperatorEnd(tmp_path)
    operator.publish("1.1", snapshot(route("one")))
    ack = json.dumps({"version": "1.1", "status": "applied"})
    async with operator.http() as http:
        assert (await http.post("/v1/ack", content=ack + " " * 1000)).status_code == 503
        assert (await http.post("/v1/ack", content=ack)).status_code == 204
