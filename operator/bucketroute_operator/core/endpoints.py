"""Endpoint URLs of backends: their syntax, what kind of host they name, and AWS's own hosts.

Nothing is resolved here. A name that resolves to a forbidden address is the data plane's to refuse
when it connects; this module refuses what can be seen from the text alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bucketroute_snapshot import NetworkScope

# The S3 endpoint URL of a region, or None for a region that does not exist.
AwsEndpoints = Callable[[str], str | None]

ENDPOINT_PATTERN: Final = re.compile(
    r"https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?/?"
)
_AWS_SUFFIXES: Final = (
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".api.aws",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
)
_AWS_REGION_IN_HOST: Final = re.compile(r"s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-[0-9]+)\.")
# Instance and task metadata outside the link-local range (AWS IMDS over IPv6).
_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd00:ec2::23")
)
_SCOPE_ORDER: Final = (NetworkScope.PUBLIC, NetworkScope.PRIVATE, NetworkScope.LOOPBACK)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


MAX_LABEL_LENGTH = 63


class EndpointError(ValueError):
    """The text is not an endpoint that any class may allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A parsed endpoint. `host` is a name or an address without brackets; `address` only if one."""

    url: str
    scheme: str
    host: str
    address: IPAddress | None

    @property
    def is_aws(self) -> bool:
        return self.host.endswith(_AWS_SUFFIXES)

    @property
    def region(self) -> str | None:
        """The region that an AWS host name spells out."""
        found = _AWS_REGION_IN_HOST.match(self.host) if self.is_aws else None
        return found.group(1) if found else None


def parse_endpoint(text: str) -> Endpoint:
    """Parse `http(s)://host[:port][/]`; the result's URL has no trailing slash.

    Raises: EndpointError for other syntax, a port outside 1-65535, a label that is empty or of more
    than 63 characters (RFC 1035 §2.3.4), or a host that some resolvers would read as an address
    although it is no canonical dotted quad.
    """
    match = ENDPOINT_PATTERN.fullmatch(text)
    if match is None:
        raise EndpointError("must be http(s)://<lower-case host>[:port] with nothing after it")
    host, port = match.group(1), match.group(3)
    if any(len(label) > MAX_LABEL_LENGTH for label in host.split(".")):
        raise EndpointError(f"must have no label of more than {MAX_LABEL_LENGTH} characters")
    if port is not None and not 1 <= int(port[1:]) <= 65535:
        raise EndpointError("must have a port between 1 and 65535")
    return Endpoint(
        url=text.rstrip("/"),
        scheme=text.partition(":")[0],
        host=host.strip("[]"),
        address=_address_of(host),
    )


def needed_scope(endpoint: Endpoint) -> NetworkScope | None:
    """The narrowest scope that allows the host as it is written; None when no scope does.

    A name counts as public here, but for `localhost`: what it resolves to is seen at connect time.
    """
    address = endpoint.address
    if address is None:
        is_local = endpoint.host == "localhost" or endpoint.host.endswith(".localhost")
        return NetworkScope.LOOPBACK if is_local else NetworkScope.PUBLIC
    if address in _METADATA_ADDRESSES or _is_never_allowed(address):
        return None
    if address.is_loopback:
        return NetworkScope.LOOPBACK
    return NetworkScope.PUBLIC if address.is_global else NetworkScope.PRIVATE


def scope_allows(scope: NetworkScope, needed: NetworkScope) -> bool:
    return _SCOPE_ORDER.index(needed) <= _SCOPE_ORDER.index(scope)


def _is_never_allowed(address: IPAddress) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_reserved
    # Forms that carry an IPv4 address inside, so that a check of the outer address says nothing.
    nat64 = ipaddress.ip_network("64:ff9b::/96")
    return bool(address.ipv4_mapped or address.sixtofour or address.teredo or address in nat64)


def _address_of(host: str) -> IPAddress | None:
    if host.startswith("["):
        return _parse_address(host.strip("[]"))
    labels = host.split(".")
    if "" in labels:
        raise EndpointError("must not have an empty label in its host")
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return None
    # inet_aton reads 2130706433, 0x7f.1 and 127.1 as 127.0.0.1; ipaddress only dotted quads.
    return _parse_address(host)


def _parse_address(text: str) -> IPAddress:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise EndpointError("must have a name or a canonical IP address as its host") from None
