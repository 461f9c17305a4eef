"""One published version of a class, and the bodies made of it, compressed once for all."""

from __future__ import annotations

import gzip
from collections.abc import Collection
from dataclasses import dataclass, field

from bucketroute_operator.core.delta import (
    Rendering,
    RouteKey,
    Step,
    delta_update,
    full_update,
)
from bucketroute_snapshot import SnapshotSecrets, encode_secrets
from bucketroute_snapshot.update import NO_SECRETS, ConfigVersion

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
    _updates: dict[ConfigVersion | None, bytes] = field(default_factory=dict)

    def full(self) -> Answer:
        """Everything, for a gateway."""
        if None not in self._updates:
            update = full_update(self.version, self.rendering, self._secrets_line())
            self._updates[None] = compressed(update)
        return Answer(version=self.version, kind="full", body=self._updates[None])

    def delta(self, base: ConfigVersion, changed: Collection[RouteKey]) -> Answer:
        """What changed since `base`, for a gateway."""
        if base not in self._updates:
            step = Step(base=base, version=self.version, changed=changed)
            update = delta_update(step, self.rendering, self._secrets_line())
            self._updates[base] = compressed(update)
        return Answer(version=self.version, kind="delta", body=self._updates[base])

    def _secrets_line(self) -> bytes:
        return NO_SECRETS if self.secrets is None else encode_secrets(self.secrets)


def compressed(update: bytes) -> bytes:
    """Equal bytes for equal updates."""
    return gzip.compress(update, _COMPRESSION_LEVEL, mtime=0)
