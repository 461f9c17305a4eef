"""Sealed sessions: what a login hands out, and what every data plane of the class can open.

A session says who the caller is, never what they may do: that is looked up in the live snapshot at
each request. Nothing is stored. The secret access key travels inside the seal, so that whoever
holds the ring can verify a signature made with it.
"""

from __future__ import annotations

import json
from base64 import b32encode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bucketroute_dataplane.core.errors import s3_error
from bucketroute_dataplane.core.identity import Identity, IdentityKind
from bucketroute_dataplane.core.sealing import SealError, SealingRing
from bucketroute_snapshot import Secret

# SDKs and log scrubbers know temporary keys by this prefix; 20 characters in all, as AWS has them.
ACCESS_KEY_PREFIX = "ASIA"
_ACCESS_KEY_RANDOM_BYTES = 10
_SECRET_RANDOM_BYTES = 30  # 40 characters of base64, as AWS's
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session; `expires_at` is in whole epoch seconds."""

    identity: Identity
    session_name: str
    access_key_id: str
    secret_access_key: Secret
    expires_at: int

    @property
    def expiration(self) -> datetime:
        return datetime.fromtimestamp(self.expires_at, UTC)


def new_session(
    identity: Identity,
    session_name: str,
    *,
    expires_at: int,
    random: Callable[[int], bytes],
) -> Session:
    """A session with a key pair of its own; `random` returns that many unpredictable bytes."""
    return Session(
        identity=identity,
        session_name=session_name,
        access_key_id=ACCESS_KEY_PREFIX + b32encode(random(_ACCESS_KEY_RANDOM_BYTES)).decode(),
        secret_access_key=Secret(b64encode(random(_SECRET_RANDOM_BYTES)).decode()),
        expires_at=expires_at,
    )


class SessionSealer:
    """Session ⇄ session token, for one class: another class's sessions do not open."""

    __slots__ = ("_purpose", "_ring")

    def __init__(self, ring: SealingRing, class_name: str) -> None:
        self._ring = ring
        self._purpose = b"session " + class_name.encode()

    @property
    def is_empty(self) -> bool:
        """Whether no keys have come yet, so that nothing can be sealed or opened."""
        return self._ring.is_empty

    def seal(self, session: Session) -> str:
        """Raises: S3Error ServiceUnavailable while there are no keys."""
        identity = session.identity
        content = [
            _FORMAT,
            identity.kind.value,
            identity.name,
            identity.namespace,
            identity.issuer,
            session.session_name,
            session.access_key_id,
            session.secret_access_key.reveal(),
            session.expires_at,
        ]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        return self._ring.seal(text.encode(), self._purpose)

    def open(self, token: bytes, now: datetime) -> Session:
        """Raises: S3Error InvalidToken for what this class's keys did not seal (or was altered),
        ExpiredToken, ServiceUnavailable while there are no keys."""
        if self._ring.is_empty:
            raise s3_error("ServiceUnavailable")
        try:
            content = json.loads(self._ring.open(token.decode("latin-1"), self._purpose))
        except SealError:
            raise s3_error("InvalidToken") from None
        if content[0] != _FORMAT:  # sealed by a newer data plane during an upgrade
            raise s3_error("InvalidToken")
        _, kind, name, namespace, issuer, session_name, access_key_id, secret, expires_at = content
        if now.timestamp() >= expires_at:
            raise s3_error("ExpiredToken")
        return Session(
            identity=Identity(
                kind=IdentityKind(kind), name=name, namespace=namespace, issuer=issuer
            ),
            session_name=session_name,
            access_key_id=access_key_id,
            secret_access_key=Secret(secret),
            expires_at=expires_at,
        )
