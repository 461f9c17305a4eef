"""Which addresses a backend's name may resolve to, checked where the connection is made.

A name that was harmless when the route was compiled may resolve to the node's metadata service
when it is dialled (DNS rebinding), so the check is on the resolved address and the connection
goes to exactly that address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from bucketroute_snapshot import NetworkScope

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Cloud metadata and credential endpoints that are not link-local.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd00:ec2::23", "100.100.100.200"))
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """The name resolves to an address that the class does not allow."""


async def resolve(host: str, port: int, scope: NetworkScope) -> list[str]:
    """The addresses of a host, all of them allowed.

    Raises: ForbiddenAddressError if any is not; OSError if the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    check_addresses(addresses, scope)
    return addresses


def check_addresses(addresses: Iterable[str], scope: NetworkScope) -> None:
    """Raises: ForbiddenAddressError if one address is outside the scope."""
    for address in addresses:
        # A zone index ("%eth0") only occurs on link-local addresses, which are never allowed.
        if not _is_allowed(ipaddress.ip_address(address.partition("%")[0]), scope):
            raise ForbiddenAddressError(f"{address} is not an allowed {scope.value} address")


def _is_allowed(address: IPAddress, scope: NetworkScope) -> bool:
    embedded = _embedded_ipv4(address)
    if embedded is not None:
        return _is_allowed(embedded, scope)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address in _METADATA or (address.is_reserved and not address.is_loopback):
        return False
    if address.is_loopback:
        return scope is NetworkScope.LOOPBACK
    if address.is_global:
        return True
    return scope in (NetworkScope.PRIVATE, NetworkScope.LOOPBACK)


def _embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
