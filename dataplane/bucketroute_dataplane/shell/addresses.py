"""Which addresses a name may resolve to, checked where the connection is made.

A name that was harmless when the route was compiled may resolve to the node's metadata service
when it is dialled (DNS rebinding), so the check is on the resolved address and the connection
goes to exactly that address. Backends, their STS and the issuers of callers' tokens are all
reached through here: each of their names may be a tenant's or a stranger's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bucketroute_snapshot import NetworkScope

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
LookUp = Callable[[str, int], Awaitable[list[str]]]

# Cloud metadata and credential endpoints that are not link-local.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd00:ec2::23", "100.100.100.200"))
)
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="names")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_TEREDO = ipaddress.ip_network("2001::/32")


class ForbiddenAddressError(OSError):
    """The name resolves to an address that the class does not allow."""


async def system_look_up(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver gives, in its order (RFC 6724).

    In threads of its own: uvloop looks up in two, and two names whose servers are silent would keep
    everybody else's waiting, the operator's too.

    Raises: OSError if the name does not resolve.
    """
    if is_address(host):
        return [host]
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_THREADS, look_up)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_address(host: str) -> bool:
    """Whether there is nothing to look up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Resolver:
    """Resolves names to addresses that may be dialled.

    `denied` are addresses that no name may resolve to, whatever the class allows: the API
    server's. One question for a name is asked at a time, and all who want the name wait for it: a
    tenant's slow name server must not take all threads.
    """

    def __init__(
        self, look_up: LookUp = system_look_up, *, denied: Collection[IPAddress] = ()
    ) -> None:
        self._look_up = look_up
        self._denied = frozenset(denied)
        self._asking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str, port: int, scope: NetworkScope) -> list[str]:
        """The addresses of a host, all of them allowed.

        Raises: ForbiddenAddressError if any is not; OSError if the name does not resolve.
        """
        asking = self._asking.get((host, port))
        if asking is None:
            asking = asyncio.ensure_future(self._look_up(host, port))
            self._asking[host, port] = asking
            asking.add_done_callback(lambda done: self._answered(host, port, done))
        # A caller that gives up must not take the answer from the others.
        addresses = await asyncio.shield(asking)
        check_addresses(addresses, scope, denied=self._denied)
        return addresses

    def _answered(self, host: str, port: int, done: asyncio.Future[list[str]]) -> None:
        del self._asking[host, port]
        if not done.cancelled():
            # Everybody may have given up; fetched, so that asyncio does not complain.
            done.exception()


def check_addresses(
    addresses: Iterable[str], scope: NetworkScope, *, denied: Collection[IPAddress] = ()
) -> None:
    """Raises: ForbiddenAddressError if one address is outside the scope or denied."""
    for address in addresses:
        # A zone index ("%eth0") only occurs on link-local addresses, which are never allowed.
        parsed = ipaddress.ip_address(address.partition("%")[0])
        plain = _embedded_ipv4(parsed) or parsed
        if plain in denied or not _is_allowed(plain, scope):
            raise ForbiddenAddressError(f"{address} is not an allowed {scope.value} address")


def _is_allowed(address: IPAddress, scope: NetworkScope) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    # Reserved are also the forms of RFC 4291 §2.5.5.1 and RFC 8215, which hide an IPv4 address.
    if address.is_reserved and not address.is_loopback:
        return False
    if address in _METADATA or address in _TEREDO:
        return False
    if address.is_loopback:
        return scope is NetworkScope.LOOPBACK
    if address.is_global and not (
        isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    ):
        return True
    return scope in (NetworkScope.PRIVATE, NetworkScope.LOOPBACK)


def _embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one.

    Sources: RFC 4291 §2.5.5.2, RFC 3056 §2, RFC 6052 §2.1.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
