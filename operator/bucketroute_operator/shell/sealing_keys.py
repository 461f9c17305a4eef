"""The keys that seal sessions and list tokens: two, in a Secret, one of them in use.

A new key is handed out first and used an hour later, when every data plane knows it; the one before
it opens what it sealed until the next rotation. Each class gets keys derived for it alone, so that
one class's gateway cannot forge another's sessions.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bucketroute_operator.shell.kube_api import SECRETS, ConflictError, Json, Kube, NotFoundError
from bucketroute_snapshot import Secret

log = logging.getLogger("bucketroute.operator.sealing_keys")

SECRET_NAME = "bucketroute-sealing-keys"  # noqa: S105  # a name
# A session lives 12 hours at most, so a key that is a week old has nothing left to open.
ROTATED_EVERY = timedelta(days=7)
USED_AFTER = timedelta(hours=1)
_KEY_BYTES = 32
_PURPOSE = b"bucketroute sealing key v1 "
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """`in_use` seals. `other` is older than it, or the next one if `is_next`."""

    in_use: Secret
    other: Secret
    is_next: bool
    changed_at: datetime

    def of_class(self, name: str) -> tuple[Secret, Secret]:
        return (_derive(self.in_use, name), _derive(self.other, name))


def rotated(ring: KeyRing | None, now: datetime) -> KeyRing:
    """The same value if nothing is due."""
    if ring is None:
        return KeyRing(in_use=_new(), other=_new(), is_next=False, changed_at=now)
    age = now - ring.changed_at
    if ring.is_next and age >= USED_AFTER:
        return KeyRing(in_use=ring.other, other=ring.in_use, is_next=False, changed_at=now)
    if not ring.is_next and age >= ROTATED_EVERY:
        return KeyRing(in_use=ring.in_use, other=_new(), is_next=True, changed_at=now)
    return ring


class SealingKeys:
    """The ring as the cluster has it."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self.ring: KeyRing | None = None

    async def refresh(self) -> bool:
        """Reads, rotates where due. Returns whether the keys differ. Raises: KubeError."""
        for _ in range(_ATTEMPTS):
            try:
                secret = await self._kube.get(SECRETS, self._namespace, SECRET_NAME)
            except NotFoundError:
                secret = None
            known = None if secret is None else _ring(secret)
            ring = rotated(known, datetime.now(UTC))
            if ring != known:
                try:
                    await self._write(secret, ring)
                except ConflictError:
                    continue
                log.info("sealing keys rotated")
            differs, self.ring = ring != self.ring, ring
            return differs
        raise ConflictError(409, f"Secret {SECRET_NAME} kept changing")

    async def _write(self, secret: Json | None, ring: KeyRing) -> None:
        values = {
            "in-use": ring.in_use.reveal(),
            "other": ring.other.reveal(),
            "other-is-next": str(ring.is_next).lower(),
            "changed-at": ring.changed_at.isoformat(),
        }
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        if secret is not None:
            await self._kube.replace(SECRETS, {**secret, "data": data})
            return
        metadata = {"namespace": self._namespace, "name": SECRET_NAME}
        await self._kube.create(SECRETS, {"metadata": metadata, "data": data})


def _ring(secret: Json) -> KeyRing | None:
    """None if it is empty, as the chart makes it, or damaged: new keys end open sessions, which
    log in again."""
    data = secret.get("data") or {}
    if not data:
        return None
    try:
        values = {name: base64.b64decode(value).decode() for name, value in data.items()}
        ring = KeyRing(
            in_use=Secret(values["in-use"]),
            other=Secret(values["other"]),
            is_next=values["other-is-next"] == "true",
            changed_at=datetime.fromisoformat(values["changed-at"]).astimezone(UTC),
        )
        for key in (ring.in_use, ring.other):
            if len(base64.b64decode(key.reveal(), validate=True)) != _KEY_BYTES:
                raise ValueError("a sealing key has 32 bytes")
    except (KeyError, ValueError, binascii.Error):
        log.warning("Secret %s is damaged; its keys are made anew", SECRET_NAME)
        return None
    return ring


def _new() -> Secret:
    return Secret(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())


def _derive(key: Secret, class_name: str) -> Secret:
    digest = hmac.digest(base64.b64decode(key.reveal()), _PURPOSE + class_name.encode(), "sha256")
    return Secret(base64.b64encode(digest).decode())
