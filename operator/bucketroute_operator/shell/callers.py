"""Who calls the config server: a projected service-account token, checked by TokenReview.

The audience is the config channel's own, so the token is worth nothing at the API server. Answers
are remembered by the token's hash for a minute at most and never past the token's own end.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic, time

from bucketroute_operator.shell.kube_api import TOKEN_REVIEWS, Json, Kube
from bucketroute_snapshot.update import CONFIG_AUDIENCE

CACHE_SECONDS = 60.0
_CACHE_ENTRIES = 10_000
_MAX_TOKEN_LENGTH = 16_384
_POD_UID = "authentication.kubernetes.io/pod-uid"
_USER_PREFIX = "system:serviceaccount:"


class UnauthenticatedError(Exception):
    """The token is missing, refused, or not for this channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`pod_uid` is None for a token that is bound to no pod."""

    namespace: str
    service_account: str
    pod_uid: str | None


class Callers:
    """Checks tokens, and remembers the answers."""

    def __init__(
        self,
        kube: Kube,
        *,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], float] = time,
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._now = now
        self._known: dict[bytes, tuple[Caller, float]] = {}

    async def authenticate(self, authorization: str | None) -> Caller:
        """Raises: UnauthenticatedError; KubeError if the API server cannot say."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN_LENGTH:
            raise UnauthenticatedError("a bearer token is needed")
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] > self._clock():
            return known[0]
        body = {"metadata": {}, "spec": {"token": token, "audiences": [CONFIG_AUDIENCE]}}
        review = await self._kube.create(TOKEN_REVIEWS, body)
        caller = caller_of(review.get("status") or {})
        self._remember(digest, caller, _seconds_left(token, self._now()))
        return caller

    def _remember(self, digest: bytes, caller: Caller, seconds_left: float) -> None:
        if len(self._known) >= _CACHE_ENTRIES:
            now = self._clock()
            self._known = {key: item for key, item in self._known.items() if item[1] > now}
        if len(self._known) < _CACHE_ENTRIES:
            self._known[digest] = (caller, self._clock() + min(CACHE_SECONDS, seconds_left))


def caller_of(status: Json) -> Caller:
    """Raises: UnauthenticatedError."""
    if status.get("authenticated") is not True:
        raise UnauthenticatedError("the API server refuses the token")
    # An authenticator that knows nothing of audiences leaves them out.
    if CONFIG_AUDIENCE not in (status.get("audiences") or []):
        raise UnauthenticatedError(f"the token is not for the audience {CONFIG_AUDIENCE}")
    user = status.get("user") or {}
    username = str(user.get("username", ""))
    namespace, colon, name = username.removeprefix(_USER_PREFIX).partition(":")
    if not username.startswith(_USER_PREFIX) or not colon or not namespace or not name:
        raise UnauthenticatedError("the token is not a service account's")
    pods = (user.get("extra") or {}).get(_POD_UID)
    pod_uid = str(pods[0]) if isinstance(pods, list) and len(pods) == 1 else None
    return Caller(namespace=namespace, service_account=name, pod_uid=pod_uid)


def _seconds_left(token: str, now: float) -> float:
    """By the token's own `exp`, whose signature the API server has just verified."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return max(0.0, float(claims["exp"]) - now)
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return 0.0
