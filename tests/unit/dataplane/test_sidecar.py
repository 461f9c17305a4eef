"""A sidecar: who is given the pod's credentials, what they are good for, and its key."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from bucketroute_dataplane.core.errors import BackendUnavailableError, S3Error
from bucketroute_dataplane.core.identity import service_account_identity
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.server import dataplane
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.sidecar import KEY_FILE, Sidecar, open_sidecar
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_snapshot import ClassSettings, ClientIssuer, Secret, Snapshot, SnapshotSecrets
from bucketroute_testing.front import Answer, ask
from bucketroute_testing.web_identity import projected_token

SUBJECT = "system:serviceaccount:team-a:app"
PATH = "/v1/credentials"
SETTINGS = ClassSettings(
    name="default",
    region="eu-west-1",
    cluster_issuer="https://cluster",
    cluster_jwks='{"keys": []}',
    client_issuers=(ClientIssuer(issuer="https://id.example.com", audiences=("a",)),),
)
SNAPSHOT = Snapshot(settings=SETTINGS)


class Volumes:
    """The folders of a pod; `random` gives other bytes at each call."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.token = root / "config-token"
        self.authorization = root / "authorization"
        self.state.mkdir()
        self.token.write_text(projected_token(SUBJECT))
        self._drawn = 0

    def open(self, *, is_kept: bool = True) -> Sidecar:
        return open_sidecar(
            state=self.state if is_kept else None,
            authorization=self.authorization,
            tokens=TokenFile(self.token),
            random=self._random,
        )

    def _random(self, size: int) -> bytes:
        self._drawn += 1
        return sha256(str(self._drawn).encode()).digest()[:size]


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(tmp_path)


@asynccontextmanager
async def serving(
    sidecar: Sidecar, snapshot: Snapshot | None = SNAPSHOT
) -> AsyncIterator[Services]:
    async with dataplane(DataplaneSettings(), SnapshotStore(), sidecar=sidecar) as services:
        if snapshot is not None:
            await services.store.swap(snapshot, SnapshotSecrets())
        yield services


async def credentials(services: Services, authorization: str | None) -> Answer:
    given = () if authorization is None else ((b"authorization", authorization.encode()),)
    return await ask(services, "GET", PATH, *given)


async def granted(services: Services, volumes: Volumes) -> dict[str, str]:
    answer = await credentials(services, volumes.authorization.read_text())
    assert answer.status == 200, answer.body
    found: dict[str, str] = json.loads(answer.body)
    return found


async def test_an_sdk_is_given_what_it_looks_for(volumes: Volumes) -> None:
    async with serving(volumes.open()) as services:
        answer = await credentials(services, volumes.authorization.read_text())
    document = json.loads(answer.body)
    assert set(document) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    left = datetime.fromisoformat(document["Expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.record["operation"] == "GetContainerCredentials"
    assert answer.record["caller"] == SUBJECT


async def test_the_credentials_are_the_pod_s_service_account_and_each_time_others(
    volumes: Volumes,
) -> None:
    async with serving(volumes.open()) as services:
        first, second = [await granted(services, volumes) for _ in range(2)]
        session = services.trust.sessions.open(first["Token"].encode(), datetime.now(UTC))
    assert session.identity == service_account_identity("team-a", "app")
    assert session.access_key_id == first["AccessKeyId"]
    assert session.secret_access_key == Secret(first["SecretAccessKey"])
    assert first["SecretAccessKey"] != second["SecretAccessKey"]


@pytest.mark.parametrize("given", [None, "", "guess", "Bearer {}", "{} ", "{}x"])
async def test_without_the_pod_s_token_there_are_no_credentials(
    volumes: Volumes, given: str | None
) -> None:
    async with serving(volumes.open()) as services:
        right = volumes.authorization.read_text()
        answer = await credentials(services, None if given is None else given.format(right))
    assert answer.status == 403
    assert json.loads(answer.body)["code"] == "AccessDenied"
    assert answer.record["errorCode"] == "AccessDenied"
    assert right not in json.dumps(answer.record) + answer.body.decode()


@pytest.mark.parametrize("method", ["HEAD", "PUT", "POST", "DELETE"])
async def test_credentials_are_only_read(volumes: Volumes, method: str) -> None:
    async with serving(volumes.open()) as services:
        right = (b"authorization", volumes.authorization.read_bytes())
        answer = await ask(services, method, PATH, right)
    assert answer.status == 405


async def test_before_the_operator_has_taken_the_token_there_are_none(volumes: Volumes) -> None:
    async with serving(volumes.open(), snapshot=None) as services:
        answer = await credentials(services, volumes.authorization.read_text())
    assert answer.status == 503
    assert json.loads(answer.body) == {
        "code": "ServiceUnavailable",
        "message": "The sidecar has no configuration yet.",
    }


@pytest.mark.parametrize("token", [None, projected_token("somebody@example.com")])
async def test_a_pod_whose_service_account_is_not_known_has_none(
    volumes: Volumes, token: str | None
) -> None:
    if token is None:
        volumes.token.unlink()
    else:
        volumes.token.write_text(token)
    async with serving(volumes.open()) as services:
        answer = await credentials(services, volumes.authorization.read_text())
    assert answer.status == 503
    assert json.loads(answer.body)["message"] == "Service unavailable"
    assert answer.record["detail"]


async def test_a_gateway_has_no_such_endpoint() -> None:
    async with dataplane(DataplaneSettings(), SnapshotStore()) as services:
        await services.store.swap(SNAPSHOT, SnapshotSecrets())
        answer = await ask(services, "GET", PATH)
    assert answer.code == "NoSuchBucket"


async def test_nobody_logs_in_at_a_sidecar_whatever_the_class_says(volumes: Volumes) -> None:
    async with serving(volumes.open()) as services:
        assert services.trust.issuers == {}


async def test_what_one_sidecar_seals_no_other_opens(tmp_path: Path) -> None:
    tokens: list[str] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        volumes = Volumes(tmp_path / name)
        volumes._drawn = len(tokens)
        async with serving(volumes.open()) as services:
            for token in tokens:
                with pytest.raises(S3Error, match="InvalidToken"):
                    services.trust.sessions.open(token.encode(), datetime.now(UTC))
            tokens.append((await granted(services, volumes))["Token"])


# -- the key --------------------------------------------------------------------------------------


def test_a_restarted_container_has_the_same_key(volumes: Volumes) -> None:
    first = volumes.open()
    shown = volumes.authorization.read_text()
    assert volumes.open() == first
    assert volumes.authorization.read_text() == shown == first.authorization.reveal()
    assert (volumes.state / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert volumes.authorization.stat().st_mode & 0o777 == 0o444


def test_without_a_folder_to_keep_it_in_each_start_has_a_key_of_its_own(volumes: Volumes) -> None:
    first, second = volumes.open(is_kept=False), volumes.open(is_kept=False)
    assert first.sealing_key != second.sealing_key
    assert list(volumes.state.iterdir()) == []


def test_a_damaged_key_is_replaced(volumes: Volumes) -> None:
    first = volumes.open()
    (volumes.state / KEY_FILE).write_bytes(b"half")
    second = volumes.open()
    assert second.sealing_key != first.sealing_key
    assert volumes.open() == second


def test_what_is_sealed_with_is_not_what_is_shown(volumes: Volumes) -> None:
    """An application reads the token; the key must not follow from it."""
    sidecar = volumes.open()
    kept = (volumes.state / KEY_FILE).read_bytes()
    assert len({kept, sidecar.sealing_key, sidecar.authorization.reveal().encode()}) == 3
    assert repr(sidecar.sealing_key) not in repr(sidecar)


def test_a_folder_that_cannot_be_written_stops_the_start(volumes: Volumes, tmp_path: Path) -> None:
    volumes.authorization = tmp_path / "missing" / "token"
    with pytest.raises(OSError, match="missing"):
        volumes.open()


def test_the_identity_is_read_anew_and_a_wrong_one_is_told_to_the_log(volumes: Volumes) -> None:
    sidecar = volumes.open()
    assert sidecar.identity() == service_account_identity("team-a", "app")
    volumes.token.write_text("no token")
    with pytest.raises(BackendUnavailableError) as caught:
        sidecar.identity()
    assert "config-token" in caught.value.detail
