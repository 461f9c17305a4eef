"""Static settings of a data-plane process. What changes while it runs comes by snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DataplaneSettings:
    """Times in seconds, each a deadline.

    first_byte_seconds: from the request's last byte to the response's first. S3 answers within
        seconds; 60 covers a throttled bucket.
    idle_seconds: between two bytes of a body, in either direction.
    drain_seconds: what requests in flight may still take after SIGTERM.
    prefetch_credentials: whether a new route's credentials are fetched before its first request;
        a gateway does, so that its status tells whether they can be had.
    prefetch_credentials: whether a new route's credentials are fetched before its first request;
        a gateway does, so that its status tells whether they can be had.
    trust_env: whether HTTP(S)_PROXY counts for STS; off, since a token would go there.
    """

    listen_host: str = "127.0.0.1"
    listen_port: int = 9000
    admin_host: str | None = None
    admin_port: int = 9090
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    domains: tuple[str, ...] = ()
    first_byte_seconds: float = 60.0
    idle_seconds: float = 60.0
    drain_seconds: float = 60.0
    trust_env: bool = False
    prefetch_credentials: bool = False
