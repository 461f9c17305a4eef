"""Tokens of an external issuer whose keys must be fetched: by login, and as bearer with a request.

The data plane runs in this process, so that the issuer can be a script. What is decided here needs
no backend.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
import pytest_asyncio

from bucketroute_dataplane.core.jwk import KeySet, parse_jwks
from bucketroute_dataplane.settings import DataplaneSettings
from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.issuer_keys import IssuerKeys
from bucketroute_dataplane.shell.jwks import JwksUnavailableError
from bucketroute_dataplane.shell.limits import BufferBudget
from bucketroute_dataplane.shell.server import DataplaneServer, dataplane
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_snapshot import (
    AccessRule,
    Backend,
    OIDCSubject,
    Route,
    RouteState,
    Secret,
    Snapshot,
    SnapshotSecrets,
    UnsignedAuth,
)
from bucketroute_testing.identity_tokens import EXTERNAL, class_settings, jwk, jwks, rsa_key

ROUTE = Route(
    namespace="team-a",
    name="data",
    bucket="data",
    uid="uid-1",
    generation=1,
    created_at="2026-01-01T00:00:00Z",
    state=RouteState.ACTIVE,
    exported=True,
    backend=Backend(
        endpoint="http://127.0.0.1:1", bucket="acme", region="us-east-1", auth=UnsignedAuth()
    ),
    access=(
        AccessRule(
            subjects=(OIDCSubject(issuer=EXTERNAL, subject="repo:acme/*"),),
            actions=("s3:ListBucket",),
        ),
    ),
)
SECRETS = SnapshotSecrets(sealing_keys=(Secret("c2Vzc2lvbi1rZXktb2YtMzItYnl0ZXMtLS0tLS0tLS0="),))
BATCH = b"<Delete><Object><Key>k</Key></Object></Delete>"


MiB = 1024 * 1024


@dataclass
class ScriptedIssuer:
    """Implements `KeyFetcher`; `keys` None is an outage. Notes when it is asked."""

    keys: KeySet | None = field(default_factory=lambda: parse_jwks(jwks(jwk(rsa_key()))))
    asked: list[str] = field(default_factory=list)

    async def fetch(self, issuer: str) -> KeySet:
        self.asked.append(issuer)
        if self.keys is None:
            raise JwksUnavailableError("an outage")
        return self.keys

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Bench:
    issuer: ScriptedIssuer
    port: int
    budget: BufferBudget

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def request(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and document of one request on a connection of its own."""
        reader, writer = await self.connect()
        writer.write(_encoded(head, len(body)) + body)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]

    async def log_in(self, token: str) -> tuple[int, bytes]:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": "arn:aws:iam::000000000000:role/ci",
            "WebIdentityToken": token,
        }
        head = "POST / HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        return await self.request(head, urlencode(form).encode())


def _encoded(head: str, length: int) -> bytes:
    return f"{head}host: gateway\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n".encode()


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    issuer, store = ScriptedIssuer(), SnapshotStore()
    async with dataplane(DataplaneSettings(listen_port=0), store) as services:
        await services.issuer_keys.close()
        services.issuer_keys = IssuerKeys(issuer, clock=SystemClock())
        await store.swap(Snapshot(settings=class_settings(), routes=(ROUTE,)), SECRETS)
        server = DataplaneServer(services)
        await server.start()
        yield Bench(issuer, server.address[1], services.buffer_budget)
        await server.stop()


def minted(**claims: Any) -> str:
    now = int(datetime.now(UTC).timestamp())
    merged = {"iss": EXTERNAL, "sub": "repo:acme/app", "aud": "s3", "exp": now + 600, **claims}
    return jwt.encode(merged, rsa_key(), algorithm="RS256", headers={"kid": "k1"})


def bearer(method: str, target: str, token: str) -> str:
    return f"{method} {target} HTTP/1.1\r\nauthorization: Bearer {token}\r\n"


async def test_an_external_subject_logs_in_with_keys_that_are_fetched_once(bench: Bench) -> None:
    for _ in range(3):
        status, body = await bench.log_in(minted())
        assert status == 200
        assert b"<SubjectFromWebIdentityToken>repo:acme/app<" in body
        assert f"<Provider>{EXTERNAL}<".encode() in body
        assert b"assumed-role/repo_acme_app/session<" in body
    assert bench.issuer.asked == [EXTERNAL]


async def test_a_session_outlives_the_token_that_it_was_had_for(bench: Bench) -> None:
    now = datetime.now(UTC)
    _, body = await bench.log_in(minted(exp=int(now.timestamp()) + 30))
    expiration = re.search(rb"<Expiration>(.+?)Z</", body)
    assert expiration is not None
    lifetime = datetime.fromisoformat(expiration[1].decode() + "+00:00") - now
    assert timedelta(seconds=3590) < lifetime < timedelta(seconds=3610)


@pytest.mark.rule("3.12.6")
async def test_an_unlisted_issuer_is_never_asked(bench: Bench) -> None:
    status, body = await bench.log_in(minted(iss="https://evil.example.com"))
    assert (status, b"InvalidIdentityToken" in body) == (400, True)
    assert bench.issuer.asked == []


async def test_an_issuer_that_does_not_answer_is_told_in_each_protocol_s_words(
    bench: Bench,
) -> None:
    bench.issuer.keys = None
    status, body = await bench.log_in(minted())
    assert (status, b"<Code>IDPCommunicationError<" in body) == (400, True)
    status, body = await bench.request(bearer("GET", "/data?location", minted()))
    assert (status, b"<Code>ServiceUnavailable<" in body) == (503, True)


async def test_a_bearer_token_is_proved_with_fetched_keys(bench: Bench) -> None:
    status, _ = await bench.request(bearer("HEAD", "/data", minted()))
    assert status == 200
    status, _ = await bench.request(bearer("HEAD", "/data", minted(sub="repo:other/app")))
    assert status == 403
    assert bench.issuer.asked == [EXTERNAL]


async def test_a_small_body_is_read_before_the_issuer_is_asked(bench: Bench) -> None:
    reader, writer = await bench.connect()
    writer.write(_encoded(bearer("POST", "/data?delete", minted()), len(BATCH)) + BATCH[:-1])
    await writer.drain()
    # Another request on its own connection is served in between: the first has been looked at.
    assert (await bench.request("HEAD /data HTTP/1.1\r\n"))[0] == 403
    assert bench.issuer.asked == []
    writer.write(BATCH[-1:])
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert bench.issuer.asked == [EXTERNAL]
    # Whoever has no delete permission is told so key by key, by a body that arrived whole.
    assert b"AccessDenied" in answer


async def test_strangers_take_little_room_and_leave_the_rest_to_the_proved(bench: Bench) -> None:
    """Connections that declare a body, with a token that anybody could write, and send nothing."""
    connections = [await bench.connect() for _ in range(16)]
    forged = bearer("POST", "/x/y?uploadId=1", minted())
    for _, writer in connections:
        writer.write(_encoded(forged, 4 * MiB))
    refused = asyncio.gather(
        *(asyncio.wait_for(reader.readline(), 10) for reader, _ in connections[1:])
    )
    assert {line.split()[1] for line in await refused} == {b"503"}
    with bench.budget.hold(56 * MiB):
        status, _ = await bench.log_in(minted())
    assert status == 200
    for _, writer in connections:
        writer.close()


async def test_a_body_that_a_stranger_declares_too_large_is_not_waited_for(bench: Bench) -> None:
    reader, writer = await bench.connect()
    writer.write(_encoded(bearer("POST", "/x/y?uploadId=1", minted()), 5 * MiB))
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()


@pytest.mark.rule("3.12.2")
@pytest.mark.parametrize("length", [64 * 1024 + 1, 100_000])
async def test_a_form_that_is_too_large_is_s3_s_to_refuse(bench: Bench, length: int) -> None:
    head = "POST / HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    status, body = await bench.request(head, b"x" * length)
    assert (status, b"<ErrorResponse" in body) == (501, False)


async def test_a_form_of_another_action_is_refused_as_sts_does(bench: Bench) -> None:
    head = "POST / HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    status, body = await bench.request(head, b"Action=AssumeRole&Version=2011-06-15")
    assert (status, b"<Code>InvalidAction<" in body) == (400, True)


async def test_the_query_form_of_a_login_works_without_a_body(bench: Bench) -> None:
    query = urlencode(
        {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": "arn:aws:iam::000000000000:role/ci",
            "RoleSessionName": "ci",
            "WebIdentityToken": minted(),
        }
    )
    status, body = await bench.request(f"GET /?{query} HTTP/1.1\r\n")
    assert (status, b"<SessionToken>" in body) == (200, True)
