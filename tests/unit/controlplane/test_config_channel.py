"""The config channel with both ends in one process, over real TLS."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import repeat
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import (
    ConfigChannel,
    ConfigFiles,
    ConfigSource,
)
from bucketroute_dataplane.shell.config_client import ChannelError, ConfigClient
from bucketroute_dataplane.shell.credential_reporter import CredentialReporter
from bucketroute_operator.core.delta import full_update, render
from bucketroute_operator.core.rollout import CredentialState
from bucketroute_operator.core.route_words import Revision
from bucketroute_operator.shell.callers import Caller
from bucketroute_snapshot import Secret, SnapshotSecrets
from bucketroute_snapshot.update import NO_SECRETS, BucketState
from bucketroute_testing.clock import FakeClock
from bucketroute_testing.config_channel import OperatorEnd, RecordingTarget
from bucketroute_testing.operator_objects import (
    GATEWAY,
    OPERATOR_NAMESPACE,
    route,
    service_account,
    snapshot,
    version,
)

SECRETS = SnapshotSecrets(sealing_keys=(Secret("c2VhbGluZw=="),))
ONE = snapshot(route("one"))
TWO = snapshot(route("one", generation=2), route("two"))


@pytest_asyncio.fixture
async def operator(tmp_path: Path) -> AsyncIterator[OperatorEnd]:
    end = OperatorEnd(tmp_path)
    async with end.listening():
        yield end


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that another task does; fails after two seconds."""
    end = monotonic() + 2
    for pause in repeat(0.002):
        if condition():
            return
        assert monotonic() < end, "nothing happened within two seconds"
        await asyncio.sleep(pause)


@asynccontextmanager
async def running(channel: ConfigChannel) -> AsyncIterator[None]:
    task = asyncio.create_task(channel.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def make_channel(
    client: ConfigClient, target: RecordingTarget, files: ConfigFiles | None = None
) -> ConfigChannel:
    return ConfigChannel(
        client, target, files or ConfigFiles(), clock=SystemClock(), jitter=lambda: 0.0
    )


async def test_a_gateway_gets_its_class_with_secrets_and_acknowledges(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", ONE, SECRETS)
    target = RecordingTarget()
    async with operator.client() as client:
        channel = make_channel(client, target)
        async with running(channel):
            await until(lambda: _applied(operator) == "1.1")
    assert target.served == [(ONE, SECRETS)]
    assert channel.source is ConfigSource.OPERATOR


async def test_a_publication_answers_the_parked_poll_with_a_delta(operator: OperatorEnd) -> None:
    operator.publish("1.1", ONE, SECRETS)
    target = RecordingTarget()
    async with operator.client() as client, running(make_channel(client, target)):
        await until(lambda: operator.channel.connected_count() == 1)
        operator.publish("1.2", TWO, SECRETS)
        await until(lambda: target.snapshot == TWO)
        operator.publish("1.3", snapshot(), SECRETS)
        await until(lambda: target.snapshot == snapshot())
    state = operator.channel.state_of("pod-1")
    assert state is not None
    assert [item[0] for item in target.served] == [ONE, TWO, snapshot()]
    answered = operator.metrics.polls
    assert answered.labels("default", "full")._value.get() == 1
    assert answered.labels("default", "delta")._value.get() == 2


async def test_a_change_of_secrets_alone_reaches_the_gateway(operator: OperatorEnd) -> None:
    operator.publish("1.1", ONE)
    target = RecordingTarget()
    async with operator.client() as client, running(make_channel(client, target)):
        await until(lambda: target.snapshot == ONE)
        operator.publish("1.2", ONE, SECRETS)
        await until(lambda: len(target.served) == 2)
    assert target.served[-1] == (ONE, SECRETS)


async def test_a_sidecar_gets_its_own_part_and_no_secret(operator: OperatorEnd) -> None:
    mine = route("mine", namespace="team-b", subjects=(service_account("team-a", "app"),))
    operator.publish("1.1", snapshot(mine, route("other", namespace="team-c")), SECRETS)
    target = RecordingTarget()
    async with operator.client("sidecar") as client, running(make_channel(client, target)):
        await until(lambda: bool(target.served))
    assert target.served == [(snapshot(mine), SnapshotSecrets())]
    assert operator.channel.state_of("pod-9") is None


async def test_a_sidecar_sleeps_through_changes_that_do_not_concern_it(
    operator: OperatorEnd,
) -> None:
    own = route("own")
    operator.publish("1.1", snapshot(own))
    target = RecordingTarget()
    async with operator.client("sidecar") as client, running(make_channel(client, target)):
        await until(lambda: bool(target.served))
        operator.publish("1.2", snapshot(own, route("other", namespace="team-c")))
        operator.publish("1.3", snapshot(own, route("new")))
        await until(lambda: len(target.served) == 2)
    assert target.snapshot == snapshot(own, route("new"))


async def test_a_snapshot_that_cannot_be_served_is_refused_and_the_old_one_stays(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", ONE)
    target = RecordingTarget()
    async with operator.client() as client:
        channel = make_channel(client, target)
        async with running(channel):
            await until(lambda: target.snapshot == ONE)
            target.refuses = True
            operator.publish("1.2", TWO)
            await until(lambda: _rejected(operator) == "1.2")
            target.refuses = False
            operator.publish("1.3", TWO)
            await until(lambda: _rejected(operator) is None)
    assert target.snapshot == TWO


def _applied(operator: OperatorEnd) -> str | None:
    state = operator.channel.state_of("pod-1")
    return str(state.applied) if state is not None and state.applied is not None else None


def _rejected(operator: OperatorEnd) -> str | None:
    state = operator.channel.state_of("pod-1")
    return str(state.rejected) if state is not None and state.rejected is not None else None


async def test_a_follower_is_passed_over_until_one_leads(operator: OperatorEnd) -> None:
    operator.publish("1.1", ONE)
    operator.channels.is_leading = False
    async with operator.client() as client:
        with pytest.raises(ChannelError, match="no replica of the operator leads"):
            await client.poll(None, "", 0)
        operator.channels.is_leading = True
        assert await client.poll(None, "", 0) is not None


async def test_nobody_waits_for_a_leader_that_stops(operator: OperatorEnd) -> None:
    """Not even who was admitted while it led, and begins to wait only then."""
    operator.publish("1.1", ONE)
    caller = Caller(namespace=OPERATOR_NAMESPACE, service_account=GATEWAY, pod_uid="pod-1")
    poll = operator.channel.newer(caller, version("1.1"), "", 60)
    operator.channels.stop_leading()
    async with asyncio.timeout(1):
        assert await poll is None


async def test_the_token_and_the_authority_are_read_anew_for_each_request(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", ONE)
    address = operator.address("stranger")
    client = ConfigClient(address)
    with pytest.raises(ChannelError, match="401: the API server refuses the token"):
        await client.poll(None, "", 0)
    address.token_file.write_text("gateway")
    assert await client.poll(None, "", 0) is not None
    operator.new_certificates()
    assert await client.poll(None, "", 0) is not None
    await client.close()


async def test_a_poll_that_is_cancelled_in_its_handshake_leaves_no_socket(
    operator: OperatorEnd,
) -> None:
    closed = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # ends when the client closes
        closed.set()
        writer.close()

    server = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    operator.port = server.sockets[0].getsockname()[1]
    async with operator.client() as client:
        poll = asyncio.create_task(client.poll(None, "", 0))
        await asyncio.sleep(0.1)
        poll.cancel()
        await asyncio.wait([poll])
        async with asyncio.timeout(2):
            await closed.wait()
    server.close()


async def test_an_operator_of_another_authority_is_not_trusted(
    operator: OperatorEnd, tmp_path: Path
) -> None:
    operator.publish("1.1", ONE)
    ours = operator.ca_file.read_text()
    operator.new_certificates()
    operator.ca_file.write_text(ours)
    async with operator.client() as client:
        with pytest.raises(ChannelError, match="ConnectError"):
            await client.poll(None, "", 0)


async def test_an_unknown_token_key_is_asked_for_once_and_the_answer_is_pushed(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", ONE)
    target = RecordingTarget()
    async with operator.client() as client:
        channel = make_channel(client, target)
        async with running(channel):
            await until(lambda: target.snapshot == ONE)
            await until(lambda: operator.channel.connected_count() == 1)
            channel.ask_now()
            channel.ask_now()
            await until(lambda: operator.fresh == 1)
            operator.publish("1.2", TWO)
            await until(lambda: target.snapshot == TWO)
    assert operator.fresh == 1


async def test_a_sidecar_cannot_make_the_operator_look(operator: OperatorEnd) -> None:
    operator.publish("1.1", ONE)
    async with operator.client("sidecar") as client:
        await client.poll(None, "", 0, fresh=True)
    assert operator.fresh == 0


async def test_a_pod_that_is_ahead_makes_a_restored_operator_begin_a_later_epoch(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", ONE)
    async with operator.client() as client:
        assert await client.poll(version("7.40"), "", 0) is None
    assert operator.channel.required_epoch == 7
    assert operator.words == 2  # it runs 7.40, and that is later than ours


async def test_a_data_plane_that_was_restarted_serves_from_disk_while_the_operator_is_away(
    operator: OperatorEnd, tmp_path: Path
) -> None:
    operator.publish("1.1", ONE, SECRETS)
    files = ConfigFiles(state=tmp_path / "state.gz")
    async with operator.client() as client:
        async with running(make_channel(client, RecordingTarget(), files)):
            await until(lambda: (tmp_path / "state.gz").exists())
        target = RecordingTarget()
        channel = make_channel(client, target, files)
        await channel.start()
    assert target.served == [(ONE, SECRETS)]
    assert channel.source is ConfigSource.DISK


class FakeHealth:
    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.generation = 2

    def __call__(self) -> list[RouteHealth]:
        return [
            RouteHealth(
                route=name,
                uid=f"uid-{name.replace('/', '-')}",
                generation=self.generation,
                state=state,
                code="NotTried" if state == "Unknown" else "Exchanged",
                at=1.0,
            )
            for name, state in self.states.items()
        ]


async def test_a_pod_that_booted_from_the_newest_version_still_asks_for_its_secrets(
    operator: OperatorEnd, tmp_path: Path
) -> None:
    boot = tmp_path / "boot.gz"
    boot.write_bytes(gzip.compress(full_update(version("1.1"), render(ONE), NO_SECRETS)))
    operator.publish("1.1", ONE, SECRETS)
    target = RecordingTarget()
    files = ConfigFiles(boot=boot)
    async with operator.client() as client, running(make_channel(client, target, files)):
        await until(lambda: len(target.served) == 2)
    assert target.served == [(ONE, SnapshotSecrets()), (ONE, SECRETS)]


async def test_credentials_are_reported_on_change_and_again_to_a_new_leader(
    operator: OperatorEnd,
) -> None:
    operator.publish("1.1", TWO)
    health, clock = FakeHealth(), FakeClock()
    async with operator.client() as client:
        channel = make_channel(client, RecordingTarget())
        async with running(channel):
            await until(lambda: channel.held is not None)
        reporter = CredentialReporter(client, channel, health, clock=clock)
        health.states = {"team-a/one": "True", "team-a/two": "Unknown"}
        reporter.changed()
        assert await reporter.tell()
        assert _said(operator) == {"team-a/one": "True"}
        health.states["team-a/two"] = "False"
        assert await reporter.tell()
        assert _said(operator) == {"team-a/one": "True", "team-a/two": "False"}
        reports = operator.words
        assert not await reporter.tell()
        assert operator.words == reports, "nothing had changed"
        health.states["team-a/one"] = "Unknown"
        assert await reporter.tell()
        assert _said(operator)["team-a/one"] == "Unknown", "another role, say"
        operator.publish("2.1", TWO)
        async with running(channel):
            await until(lambda: channel.held is not None and channel.held.version.epoch == 2)
        before = operator.words
        await reporter.tell()
        assert operator.words == before + 1


async def test_an_edited_route_is_told_of_again_once_it_was_tried(operator: OperatorEnd) -> None:
    """Until then nothing is: a report is followed by a pause."""
    operator.publish("1.1", TWO)
    health = FakeHealth()
    async with operator.client() as client:
        channel = make_channel(client, RecordingTarget())
        async with running(channel):
            await until(lambda: channel.held is not None)
        reporter = CredentialReporter(client, channel, health, clock=FakeClock())
        health.states = {"team-a/one": "True"}
        assert await reporter.tell()
        health.generation, health.states["team-a/one"] = 3, "Unknown"
        assert not await reporter.tell()
        health.states["team-a/one"] = "True"
        assert await reporter.tell()
    state = operator.channel.state_of("pod-1")
    assert state is not None
    assert state.credentials["team-a/one"].about == Revision(uid="uid-team-a-one", generation=3)


def _said(operator: OperatorEnd) -> dict[str, str]:
    state = operator.channel.state_of("pod-1")
    assert state is not None
    return {name: said.status for name, said in state.credentials.items()}


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ({"bucket": "NotFound"}, BucketState.NOT_FOUND),
        ({}, BucketState.UNKNOWN),
        ({"bucket": "Haunted"}, BucketState.UNKNOWN),
        ({"bucket": ["Found"]}, BucketState.UNKNOWN),
    ],
    ids=["told", "an older data plane", "a newer one", "nonsense"],
)
async def test_a_report_tells_of_buckets(
    operator: OperatorEnd, said: dict[str, object], understood: BucketState
) -> None:
    operator.publish("1.1", ONE)
    entry = {"route": "team-a/one", "state": "True", "code": "Exchanged", "at": 1, **said}
    async with operator.client() as client:
        await client.post("/v1/report", {"credentials": [entry]})
    state = operator.channel.state_of("pod-1")
    assert state is not None
    assert state.credentials["team-a/one"].bucket is understood


async def test_a_route_of_the_same_name_inherits_no_word(operator: OperatorEnd) -> None:
    operator.publish("1.1", TWO)
    said = CredentialState(status="True", code="Exchanged", bucket=BucketState.FOUND)
    operator.channel.reported("pod-1", dict.fromkeys(("team-a/one", "team-a/two"), said))
    operator.publish("1.2", ONE)
    operator.publish("1.3", TWO)
    state = operator.channel.state_of("pod-1")
    assert state is not None
    assert set(state.credentials) == {"team-a/one"}


@pytest.mark.parametrize(
    ("about", "counts"),
    [
        ({"uid": "uid-team-a-one", "generation": 2}, True),
        ({"uid": "uid-team-a-one", "generation": 1}, False),
        ({"uid": "another", "generation": 2}, False),
        ({}, True),
        ({"uid": 1, "generation": "2"}, True),
    ],
    ids=["this", "before the edit", "another route", "an older data plane", "nonsense"],
)
async def test_what_was_said_before_an_edit_of_the_backend_does_not_count(
    operator: OperatorEnd, about: dict[str, object], counts: bool
) -> None:
    entry = {"route": "team-a/one", "state": "True", "code": "Exchanged", "at": 1, **about}
    edited = snapshot(route("one", generation=2, signs=False))
    async with operator.client() as client:
        operator.publish("1.1", ONE)
        await client.post("/v1/report", {"credentials": [entry]})
        operator.publish("1.2", edited)
        assert _said(operator) == ({"team-a/one": "True"} if counts else {}), "it was said before"
        await client.post("/v1/report", {"credentials": [entry]})
        assert _said(operator) == ({"team-a/one": "True"} if counts else {}), "and came after"


async def test_a_report_names_only_routes_that_are_published(operator: OperatorEnd) -> None:
    operator.publish("1.1", ONE)
    async with operator.client() as client:
        entries = [
            {"route": "team-a/one", "state": "False", "code": "Access Denied: <b>", "at": 1},
            {"route": "team-z/none", "state": "True", "code": "Exchanged", "at": 1},
        ]
        await client.post("/v1/report", {"credentials": entries})
    state = operator.channel.state_of("pod-1")
    assert state is not None
    assert {name: said.code for name, said in state.credentials.items()} == {
        "team-a/one": "UnknownCode"
    }
