"""A route's two names for the same bucket and keys, and how keys look on the wire.

Clients know the virtual bucket; the backend knows its own bucket and, in front of every key, a
prefix. Nothing that goes to a client may hold the backend's names: `mentions_backend` is the
check for text of unknown content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from bucketroute_dataplane.core.errors import s3_error

MAX_KEY_BYTES = 1024  # AWS "Object key naming guidelines"

# Substitution leaves text with nothing to encode as it is, and beats urllib's quote on the rest.
_replace_in_key = re.compile(rb"[^A-Za-z0-9\-._~/]").sub
_replace_in_value = re.compile(rb"[^A-Za-z0-9\-._~]").sub
_ESCAPES = {bytes((byte,)): b"%%%02X" % byte for byte in range(256)}
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_is_plain = re.compile(rb"[A-Za-z0-9\-._~/]+").fullmatch
_DOT_SEGMENT = re.compile(rb"(?:^|/)\.\.?(?:/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketNames:
    """What a route's bucket and keys are called on either side.

    `prefix` stands in front of every key at the backend: empty, or ending in `/`. `backend_host`
    is the backend's `host[:port]`, empty where it is not known.
    """

    virtual_bucket: str
    backend_bucket: str
    prefix: str
    backend_host: str = ""

    def to_backend_key(self, key: str) -> str:
        return self.prefix + key

    def from_backend_key(self, key: str) -> str | None:
        """The client's name of a backend key; None where it is not under the route's prefix."""
        return key[len(self.prefix) :] if key.startswith(self.prefix) else None

    def reveals(self, text: str) -> bool:
        """Whether text of the backend names itself, or the role and the account that requests are
        signed as."""
        return self.mentions_backend(text) or "arn:" in text.lower()

    def mentions_backend(self, text: str) -> bool:
        """Whether the text holds the backend's bucket, prefix or host, also percent-encoded."""
        plain = text.lower()
        decoded = unquote(plain)
        return any(name in plain or name in decoded for name in self._backend_names())

    def _backend_names(self) -> list[str]:
        host = self.backend_host.rpartition(":")[0] or self.backend_host
        folder = self.prefix.rstrip("/")
        names = [self.prefix, host]
        if self.backend_bucket != self.virtual_bucket:
            names.append(self.backend_bucket)
        # A folder of one or two letters is part of nearly every text; with its slash it is not.
        names += [folder] if len(folder) > 2 else []
        return [name.lower() for name in names if name]


def encode_key(key: bytes) -> bytes:
    """Percent-encode all but `A-Z a-z 0-9 - . _ ~ /`, once, with upper-case digits.

    Source: AWS "Create a signed AWS API request", UriEncode.
    """
    return _replace_in_key(_escape, key)


def encode_query_value(value: bytes) -> bytes:
    """Like `encode_key`, but `/` is encoded too, so that a value can inject no parameter."""
    return _replace_in_value(_escape, value)


def _escape(match: re.Match[bytes]) -> bytes:
    return _ESCAPES[match[0]]


def is_plain_key(key: bytes) -> bool:
    """Whether a key as it stands in a path is its own name, and beyond doubt one to accept."""
    return _is_plain(key) is not None and b"/." not in key and key[0] != ord(".")


def check_key(key: bytes) -> None:
    """Accepts `a//b` and `dir/`; refuses what cannot be signed or shown unambiguously.

    Raises: S3Error KeyTooLongError, InvalidRequest.
    """
    if len(key) > MAX_KEY_BYTES:
        raise s3_error("KeyTooLongError")
    if _CONTROL.search(key) or (b"." in key and _DOT_SEGMENT.search(key)):
        raise s3_error("InvalidRequest", "The key holds a control character or a dot segment.")
