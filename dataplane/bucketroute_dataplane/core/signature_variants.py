"""What a client may have signed in place of what arrived: the mistakes that clients and the proxies
before us are known for, one at a time.

A signature does not tell what was signed. It can only be compared with guesses, and these are they,
in the order in which a canonical request is written. Called after a signature did not match, where
the class asks for it, and never before.
Source: AWS "Troubleshooting AWS Signature Version 4", and what SDKs and proxies do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
)
from bucketroute_dataplane.core.sigv4_canonical import (
    canonical_request,
    encode_query,
    encode_scope,
    split_query,
    string_to_sign,
)

_UNRESERVED = "-_.~"
_METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE")
_PAYLOAD_HASHES = (
    UNSIGNED_PAYLOAD,
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_UNSIGNED_TRAILER,
    STREAMING_SIGNED_TRAILER,
    b"",
)
# What proxies write anew, and what it usually was before.
_REWRITTEN: Mapping[bytes, tuple[bytes, ...]] = {
    b"accept-encoding": (b"identity", b"gzip", b"gzip, deflate", b"gzip, deflate, br"),
    b"connection": (b"keep-alive", b"Keep-Alive", b"close"),
    b"content-encoding": (b"aws-chunked",),
    b"content-length": (b"0",),
    b"content-type": (b"application/octet-stream", b"binary/octet-stream", b"application/xml"),
    b"expect": (b"100-continue",),
}
# Each parameter, or header, is one guess; no client of S3 comes near that many.
_MAX_GUESSES_OF_A_KIND = 16
_MAX_DOMAINS = 4
_percent_escapes = re.compile(rb"%[0-9A-F]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedParts:
    """All that a signature covers; `path` and `query` are canonical, `headers` in signed order."""

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    signed_headers: bytes
    payload_hash: bytes
    timestamp: bytes
    region: bytes
    service: bytes

    @property
    def scope(self) -> bytes:
        return encode_scope(self.timestamp[:8], self.region, self.service)

    @property
    def canonical_request(self) -> bytes:
        return canonical_request(
            self.method,
            self.path,
            query=self.query,
            headers=self.headers,
            signed_headers=self.signed_headers,
            payload_hash=self.payload_hash,
        )

    @property
    def string_to_sign(self) -> bytes:
        return string_to_sign(self.timestamp, self.scope, self.canonical_request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The request as it came: the raw query (without its signature) and all headers, folded."""

    raw_path: bytes
    raw_query: bytes
    headers: Mapping[bytes, bytes]
    domains: tuple[bytes, ...]
    class_region: bytes


class Variant(NamedTuple):
    """One guess: which component differs, what the client did with it, and the parts then."""

    component: str
    what: str
    parts: SignedParts


def variants(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    """All guesses but those about the secret, first things of a canonical request first."""
    yield from _methods(parts)
    yield from _paths(parts, arrived)
    yield from _queries(parts, arrived)
    yield from _hosts(parts, arrived)
    yield from _headers(parts, arrived)
    for value in (*_PAYLOAD_HASHES, parts.payload_hash.lower(), parts.payload_hash.upper()):
        if value != parts.payload_hash:
            changed = replace(parts, payload_hash=value)
            yield Variant("payload hash", f"was signed as {_shown(value)}", changed)
    yield from _scopes(parts, arrived)


def _methods(parts: SignedParts) -> Iterator[Variant]:
    for method in _METHODS:
        if method != parts.method:
            yield Variant(
                "method", f"was signed as {_shown(method)}", replace(parts, method=method)
            )


def _paths(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    path, raw = parts.path, arrived.raw_path
    guesses = (
        ("was signed as it was sent, not percent-encoded as S3 wants it", raw),
        ("was percent-encoded twice", quote_from_bytes(path, safe="/" + _UNRESERVED).encode()),
        ("was signed without percent-encoding", unquote_to_bytes(raw)),
        ('was signed with "+" for a space', path.replace(b"%20", b"+")),
        ('was signed with "%2F" for "/" in the key', _with_encoded_slashes(path)),
        ("was signed with lower-case percent-escapes", _lower_escapes(path)),
        ("was normalised before it was signed; S3 keeps empty and dot segments", _normal(path)),
        ('was signed without the "/" at its end', path.rstrip(b"/")),
        ('was signed with a "/" at its end', path + b"/"),
        ("was signed without the bucket", _without_bucket(path)),
        ("was signed empty", b""),
    )
    for what, guess in guesses:
        if guess != path:
            yield Variant("path", what, replace(parts, path=guess))


def _with_encoded_slashes(path: bytes) -> bytes:
    bucket, slash, key = path[1:].partition(b"/")
    return b"/" + bucket + slash + key.replace(b"/", b"%2F")


def _lower_escapes(text: bytes) -> bytes:
    return _percent_escapes.sub(lambda found: found[0].lower(), text)


def _normal(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4, and empty segments removed, as other services than S3 want it."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if path.endswith(b"/") and kept else b""
    return b"/" + b"/".join(kept) + end


def _without_bucket(path: bytes) -> bytes:
    return b"/" + path[1:].partition(b"/")[2]


def _queries(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    query, raw = parts.query, arrived.raw_query
    if not raw:
        return
    pairs = split_query(raw)
    encoded = [encode_query([pair]) for pair in pairs]
    guesses = [
        ("was signed as it was sent, not sorted and encoded", raw),
        ("was signed in the order in which it was sent, not sorted", b"&".join(encoded)),
        ('was signed with flags such as "uploads" without "="', _without_equals(query)),
        ('was signed with "+" for a plus sign', encode_query(split_query(_literal_plus(raw)))),
        ('was signed with "+" for a space', query.replace(b"%20", b"+")),
        ("was signed with lower-case percent-escapes", _lower_escapes(query)),
        ("was signed without percent-encoding", unquote_to_bytes(query)),
        ("was not signed at all", b""),
    ]
    for index, (name, _) in enumerate(pairs[:_MAX_GUESSES_OF_A_KIND]):
        rest = encode_query(pairs[:index] + pairs[index + 1 :])
        guesses.append((f"was signed without the parameter {_shown(name)}", rest))
    for what, guess in guesses:
        if guess != query:
            yield Variant("query", what, replace(parts, query=guess))


def _literal_plus(raw: bytes) -> bytes:
    return raw.replace(b"+", b"%2B")


def _without_equals(query: bytes) -> bytes:
    return b"&".join([part.removesuffix(b"=") for part in query.split(b"&")])


def _hosts(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    sent = arrived.headers[b"host"]
    hosts = dict.fromkeys(_other_hosts(sent, arrived))
    for host in hosts:
        if host != sent:
            what = f"was signed as {_shown(host)}; {_shown(sent)} arrived"
            yield Variant("header host", what, _with_header(parts, b"host", host))
    for host in (sent, *hosts):
        yield from _other_styles(parts, host)


def _other_styles(parts: SignedParts, host: bytes) -> Iterator[Variant]:
    """Proxies turn virtual-hosted style into path style, and the other way round."""
    bucket = parts.path[1:].partition(b"/")[0]
    if bucket:
        name = bucket + b"." + host
        what = f"was signed as {_shown(name)}, without the bucket in the path"
        changed = replace(parts, path=_without_bucket(parts.path))
        yield Variant("header host", what, _with_header(changed, b"host", name))
    label, dot, rest = host.partition(b".")
    if dot:
        what = f"was signed as {_shown(rest)}, with the bucket in the path"
        changed = replace(parts, path=b"/" + label + parts.path)
        yield Variant("header host", what, _with_header(changed, b"host", rest))


def _other_hosts(sent: bytes, arrived: Arrived) -> Iterator[bytes]:
    """Names that the client may have used: proxies change the port, or tell the name apart."""
    bare = re.sub(rb":[0-9]+\Z", b"", sent)
    names = [bare, *arrived.domains[:_MAX_DOMAINS]]
    forwarded = arrived.headers.get(b"x-forwarded-host", b"").partition(b",")[0].strip()
    if forwarded:
        names.insert(0, forwarded)
    yield sent.lower()
    for name in names:
        yield name
        yield from (name + port for port in (b":80", b":443", b":9000"))
    if forwarded and b"x-forwarded-port" in arrived.headers:
        yield forwarded + b":" + arrived.headers[b"x-forwarded-port"]


def _headers(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    ordered = tuple(sorted(parts.headers))
    if ordered != parts.headers:
        what = "stand in another order than in SignedHeaders"
        yield Variant("headers", what, replace(parts, headers=ordered))
    for name, value in parts.headers[:_MAX_GUESSES_OF_A_KIND]:
        if name == b"host":
            continue
        for what, guess in _header_values(name, value):
            if guess != value:
                changed = _with_header(parts, name, guess)
                yield Variant(f"header {name.decode()}", what, changed)


def _header_values(name: bytes, value: bytes) -> Iterable[tuple[str, bytes]]:
    yield "was signed with an empty value", b""
    yield 'was signed with ", " between its values', value.replace(b",", b", ")
    yield 'was signed with "," between its values', value.replace(b", ", b",")
    if name == b"content-type":
        bare = value.partition(b";")[0]
        for guess in (bare, bare + b"; charset=utf-8", bare + b";charset=UTF-8"):
            yield f"was signed as {_shown(guess)}", guess
    if name == b"content-encoding":
        inner = value.decode("latin-1")
        yield "was signed with aws-chunked before it", f"aws-chunked,{inner}".encode("latin-1")
    for guess in _REWRITTEN.get(name, ()):
        yield f"was signed as {_shown(guess)}", guess


def _scopes(parts: SignedParts, arrived: Arrived) -> Iterator[Variant]:
    for region in (arrived.class_region, b"us-east-1", b"auto", b""):
        if region != parts.region:
            what = f"names the region {_shown(parts.region)}; {_shown(region)} was signed with"
            yield Variant("credential scope", what, replace(parts, region=region))
    for service in (b"sts", b"execute-api", b"s3express"):
        what = f"names the service {_shown(parts.service)}; {_shown(service)} was signed with"
        yield Variant("credential scope", what, replace(parts, service=service))


def _with_header(parts: SignedParts, name: bytes, value: bytes) -> SignedParts:
    headers = tuple((known, value if known == name else old) for known, old in parts.headers)
    return replace(parts, headers=headers)


def _shown(value: bytes) -> str:
    return f'"{value.decode("utf-8", "replace")}"'
