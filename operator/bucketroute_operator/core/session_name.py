"""The role session name of a route: it shows the tenant to the cloud's trust policies."""

from __future__ import annotations

import hashlib

_MAX_LENGTH = 64  # AWS STS: RoleSessionName is 2 to 64 characters of [\w+=,.@-]
_HASH_LENGTH = 12


def session_name(*, namespace: str, route_name: str) -> str:
    """`<namespace>.<hash of namespace and route>`, at most 64 characters.

    A namespace name cannot hold a dot, so a trust policy may require
    `StringLike sts:RoleSessionName team-a.*` and no other namespace can match it.
    """
    digest = hashlib.sha256(f"{namespace}/{route_name}".encode()).hexdigest()
    room = _MAX_LENGTH - len(namespace) - 1
    return f"{namespace}.{digest[: min(_HASH_LENGTH, room)]}"
