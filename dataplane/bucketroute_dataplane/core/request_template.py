"""The head of a backend request, made once a second and filled in for each request.

Key, values of forwarded headers and length are all that differs between two requests of one shape
in one second; date, scope, credentials, list of signed headers and the order of everything are the
same. What comes out is, byte for byte, what `forward.compose_…` and `forward.sign` make.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from bucketroute_dataplane.core.authorize import ForwardPlan
from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.forward import UNSIGNED_HEADERS
from bucketroute_dataplane.core.headers import forwarded_headers, has_control
from bucketroute_dataplane.core.messages import ReadyRequest
from bucketroute_dataplane.core.operations import BodyMode
from bucketroute_dataplane.core.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, SigningKeys
from bucketroute_dataplane.core.sigv4_canonical import derive_signing_key, encode_scope

# Where a value goes; no header's value holds it.
_VALUE = b"\0"


class RequestTemplate:
    """Of the requests of one shape to one backend bucket."""

    def __init__(self, plan: ForwardPlan) -> None:
        request, target = plan.request, plan.target
        forwarded = forwarded_headers(
            request.operation, request.head, backend_is_tls=target.endpoint.is_tls
        )
        is_upload = request.operation.body is BodyMode.STREAMED
        self._method = request.operation.method
        self._host = target.host
        self._region = target.backend.region.encode()
        self._forwarded = tuple([name for name, _ in forwarded])  # as they are sent
        self._sorted = tuple(sorted(self._forwarded))  # as they are signed
        self._payload_hash = UNSIGNED_PAYLOAD if is_upload else EMPTY_SHA256
        self._credentials: Credentials | None = None
        self._amz_date = b""

    def filled(
        self,
        path: bytes,
        values: Mapping[bytes, bytes],
        length: int | None,
        *,
        credentials: Credentials,
        amz_date: bytes,
        keys: SigningKeys,
    ) -> ReadyRequest | None:
        """The signed head for a percent-encoded path; None if a value may not be forwarded."""
        if credentials is not self._credentials or amz_date != self._amz_date:
            self._renew(credentials, amz_date, keys)
        forwarded = [values[name] for name in self._forwarded]
        if forwarded and has_control(b"".join(forwarded)):
            return None
        signed = self._signed_text % tuple(
            [b" ".join(values[name].split()) for name in self._sorted]
        )
        canonical = b"%s\n%s\n\n%s" % (self._method, path, signed)
        signature = self._key.sign(self._to_sign + sha256(canonical).hexdigest().encode())
        head = b"%s %s HTTP/1.1\r\nhost: %s\r\n%s%s" % (
            self._method,
            path,
            self._host,
            self._lines % (*forwarded, signature),
            b"\r\n" if length is None else b"content-length: %d\r\n\r\n" % length,
        )
        return ReadyRequest(self._method, head, length)

    def _renew(self, credentials: Credentials, amz_date: bytes, keys: SigningKeys) -> None:
        secret, token = credentials.secret_access_key.reveal(), credentials.session_token
        scope = encode_scope(amz_date[:8], self._region, b"s3")
        key = keys.get(secret, scope)
        if key is None:
            key = derive_signing_key(secret, scope)
            keys.remember(secret, scope, key)
        added = [(b"x-amz-content-sha256", self._payload_hash), (b"x-amz-date", amz_date)]
        if token is not None:
            added.append((b"x-amz-security-token", token.reveal().encode()))
        fixed = {b"host": self._host, **dict(added)}
        names = sorted((*fixed, *self._forwarded))
        signed_headers = b";".join(names)
        lines = [b"%s:%s\n" % (name, fixed.get(name, _VALUE)) for name in names]
        self._credentials, self._amz_date, self._key = credentials, amz_date, key
        self._to_sign = b"AWS4-HMAC-SHA256\n%s\n%s\n" % (amz_date, scope)
        self._signed_text = _format(
            b"%s\n%s\n%s" % (b"".join(lines), signed_headers, self._payload_hash)
        )
        authorization = b"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            credentials.access_key_id.encode(),
            scope,
            signed_headers,
            _VALUE,
        )
        headers = [
            *[(name, _VALUE) for name in self._forwarded],
            *added,
            (b"authorization", authorization),
            *UNSIGNED_HEADERS,
        ]
        self._lines = _format(b"".join([b"%s: %s\r\n" % header for header in headers]))


def _format(text: bytes) -> bytes:
    """A `%` format that takes a value wherever the text holds `_VALUE`."""
    return text.replace(b"%", b"%%").replace(_VALUE, b"%s")
