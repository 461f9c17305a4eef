"""Both ends of the config channel in one process, over TLS on loopback."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bucketroute_dataplane.shell.config_client import ConfigClient, OperatorAddress
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_operator.core.delta import render
from bucketroute_operator.core.resources import ServiceAccountRef
from bucketroute_operator.shell.callers import Callers
from bucketroute_operator.shell.certificates import renewed
from bucketroute_operator.shell.channel import ClassChannel
from bucketroute_operator.shell.channels import Channels
from bucketroute_operator.shell.config_server import ConfigServer
from bucketroute_operator.shell.listeners import listening
from bucketroute_operator.shell.metrics import Metrics
from bucketroute_operator.shell.serving_context import load_pair
from bucketroute_snapshot import SCHEMA_VERSION, Snapshot, SnapshotSecrets
from bucketroute_snapshot.update import SCHEMA_HEADER
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import (
    GATEWAY,
    OPERATOR_NAMESPACE,
    review_of,
    version,
)

NAMES = ("localhost", "127.0.0.1")


class OperatorEnd:
    """The operator's end: publish by `publish`, and read what the pods said from `channel`.

    Tokens: `gateway` is of pod `pod-1` of the gateway, `sidecar` of team-a's service account `app`.
    """

    def __init__(self, directory: Path) -> None:
        self.kube = FakeKube()
        self.kube.reviews["gateway"] = review_of()
        self.kube.reviews["sidecar"] = review_of("team-a", "app", pod_uid="pod-9")
        self.words = 0
        self.channels = Channels(self._said)
        self.channels.is_leading = True
        self.channel: ClassChannel = self.channels.of("default")
        self.channel.gateway = ServiceAccountRef(namespace=OPERATOR_NAMESPACE, name=GATEWAY)
        self.metrics = Metrics()
        self.fresh = 0
        self.server = ConfigServer(
            self.channels, Callers(self.kube), self.metrics, on_fresh=self._asked_fresh
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.port = 0
        self._directory = directory
        self.ca_file = directory / "ca.crt"
        self.new_certificates()

    def new_certificates(self) -> None:
        """A new authority, as if all that was known of the old one had been lost."""
        certificates = renewed(None, NAMES, datetime.now(UTC))
        load_pair(self.context, certificates.serving)
        self.ca_file.write_text(certificates.bundle)

    def publish(self, at: str, snapshot: Snapshot, secrets: SnapshotSecrets | None = None) -> None:
        previous = None if self.channel.current is None else self.channel.current.rendering
        rendering = render(snapshot, previous)
        self.channel.publish(version(at), rendering, secrets or SnapshotSecrets())

    def address(self, token: str = "gateway") -> OperatorAddress:
        token_file = self._directory / f"token-{token}"
        token_file.write_text(token)
        return OperatorAddress(
            url=f"https://localhost:{self.port}", token_file=token_file, ca_file=self.ca_file
        )

    @asynccontextmanager
    async def client(self, token: str = "gateway") -> AsyncIterator[ConfigClient]:
        client = ConfigClient(self.address(token))
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def http(
        self, token: str = "gateway", *, schema: int = SCHEMA_VERSION
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Requests straight to the application, for answers that no data plane would ask for."""
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.server.app),
            base_url="http://operator",
            headers={"Authorization": f"Bearer {token}", SCHEMA_HEADER: str(schema)},
        ) as client:
            yield client

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        server = listening(self.server.app, "127.0.0.1", port, context=self.context)
        async with server as (_, port):
            self.port = port
            yield

    def _asked_fresh(self) -> None:
        self.fresh += 1

    def _said(self) -> None:
        self.words += 1


class RecordingTarget:
    """Implements `ConfigTarget`; `refuses` makes it raise."""

    def __init__(self) -> None:
        self.served: list[tuple[Snapshot, SnapshotSecrets]] = []
        self.refuses = False

    async def serve(self, held: HeldConfig) -> None:
        if self.refuses:
            raise ValueError("this snapshot cannot be served")
        self.served.append((held.snapshot, held.secrets or SnapshotSecrets()))

    @property
    def snapshot(self) -> Snapshot | None:
        return self.served[-1][0] if self.served else None
