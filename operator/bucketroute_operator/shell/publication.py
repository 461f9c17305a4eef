"""One published version of a class, and the bodies made of it, compressed once for all."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bucketroute_operator.core.delta import (
    Rendering,
    RouteKey,
    Step,
    delta_update,
    full_update,
    part_for,
    render,
    routes_by_namespace,
)
from bucketroute_operator.shell.callers import Caller
from bucketroute_snapshot import Route, SnapshotSecrets, encode_secrets
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion

PART_CACHE_ENTRIES = 256
_COMPRESSION_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A gzipped update. `kind` is full, delta or part."""

    version: ConfigVersion
    kind: str
    body: bytes


@dataclass(slots=True, kw_only=True)
class Publication:
    """`secrets` is None for what a former leader published: their values are stored nowhere.

    `published_at` is monotonic, in seconds.
    """

    version: ConfigVersion
    rendering: Rendering
    secrets: SnapshotSecrets | None
    published_at: float
    _by_namespace: Mapping[str, list[Route]] | None = None
    _updates: dict[ConfigVersion | None, bytes] = field(default_factory=dict)
    _parts: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)

    def full(self) -> Answer:
        """Everything, for a gateway."""
        if None not in self._updates:
            update = full_update(self.version, self.rendering, self._secrets_line())
            self._updates[None] = _compressed(update)
        return Answer(version=self.version, kind="full", body=self._updates[None])

    def delta(self, base: ConfigVersion, changed: Collection[RouteKey]) -> Answer:
        """What changed since `base`, for a gateway."""
        if base not in self._updates:
            step = Step(base=base, version=self.version, changed=changed)
            update = delta_update(step, self.rendering, self._secrets_line())
            self._updates[base] = _compressed(update)
        return Answer(version=self.version, kind="delta", body=self._updates[base])

    def part(self, caller: Caller) -> tuple[str, Answer]:
        """What one service account may know, and the digest of that. Never a secret."""
        key = (caller.namespace, caller.service_account)
        if key not in self._parts:
            if len(self._parts) >= PART_CACHE_ENTRIES:
                self._parts.clear()
            self._parts[key] = self._make_part(*key)
        digest, body = self._parts[key]
        return digest, Answer(version=self.version, kind="part", body=body)

    def _make_part(self, namespace: str, service_account: str) -> tuple[str, bytes]:
        snapshot = self.rendering.snapshot
        if self._by_namespace is None:
            self._by_namespace = routes_by_namespace(snapshot)
        candidates = self._by_namespace.get(namespace, [])
        rendering = render(part_for(snapshot, candidates, namespace, service_account))
        update = full_update(self.version, rendering, NO_SECRETS)
        return rendering.digest, _compressed(update)

    def _secrets_line(self) -> bytes:
        return NO_SECRETS if self.secrets is None else encode_secrets(self.secrets)


def _compressed(update: bytes) -> bytes:
    return gzip.compress(update, _COMPRESSION_LEVEL, mtime=0)
