"""Which resolved addresses a backend may be dialled at, by the class's network scope."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from bucketroute_dataplane.shell.addresses import (
    ForbiddenAddressError,
    Resolver,
    check_addresses,
    system_look_up,
)
from bucketroute_snapshot import NetworkScope
from bucketroute_testing.names import ScriptedNames

PUBLIC, PRIVATE, LOOPBACK = NetworkScope.PUBLIC, NetworkScope.PRIVATE, NetworkScope.LOOPBACK
EVERY = (PUBLIC, PRIVATE, LOOPBACK)

# Address → the scopes that allow it.
ADDRESSES: dict[str, tuple[NetworkScope, ...]] = {
    "52.218.0.1": EVERY,
    "2a05:d018::1": EVERY,
    "10.0.0.1": (PRIVATE, LOOPBACK),
    "172.16.0.1": (PRIVATE, LOOPBACK),
    "192.168.1.1": (PRIVATE, LOOPBACK),
    "100.64.0.1": (PRIVATE, LOOPBACK),  # shared address space (RFC 6598)
    "fd12:3456::1": (PRIVATE, LOOPBACK),
    "fec0::1": (PRIVATE, LOOPBACK),  # site-local, the deprecated form of the former
    "127.0.0.1": (LOOPBACK,),
    "127.8.8.8": (LOOPBACK,),
    "::1": (LOOPBACK,),
    # Never: link-local (the node's metadata service), metadata services elsewhere, no host at all.
    "169.254.169.254": (),
    "169.254.170.2": (),
    "fe80::1": (),
    "fe80::1%eth0": (),
    "fd00:ec2::254": (),
    "fd00:ec2::23": (),
    "100.100.100.200": (),
    "0.0.0.0": (),
    "::": (),
    "224.0.0.1": (),
    "ff02::1": (),
    "255.255.255.255": (),
    "240.0.0.1": (),
    # An IPv4 address inside an IPv6 one counts as itself.
    "::ffff:169.254.169.254": (),
    "::ffff:127.0.0.1": (LOOPBACK,),
    "::ffff:10.0.0.1": (PRIVATE, LOOPBACK),
    "::ffff:52.218.0.1": EVERY,
    "64:ff9b::a9fe:a9fe": (),
    "64:ff9b::7f00:1": (LOOPBACK,),
    "64:ff9b::34da:1": EVERY,
    "2002:a9fe:a9fe::1": (),
    "2002:7f00:1::1": (LOOPBACK,),
    # Where it cannot be told which IPv4 address is reached, none is.
    "::7f00:1": (),  # IPv4-compatible (RFC 4291 §2.5.5.1)
    "::ffff:0:7f00:1": (),  # IPv4-translated (RFC 2765)
    "64:ff9b:1::a9fe:a9fe": (),  # a NAT64 of one's own (RFC 8215)
    "2001:0:7f00:1::1": (),  # Teredo
}


@pytest.mark.parametrize("scope", EVERY, ids=str)
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_allowed_in_its_scopes_only(address: str, scope: NetworkScope) -> None:
    if scope in ADDRESSES[address]:
        check_addresses([address], scope)
    else:
        with pytest.raises(ForbiddenAddressError):
            check_addresses([address], scope)


def test_one_forbidden_address_among_many_refuses_the_name() -> None:
    with pytest.raises(ForbiddenAddressError, match=r"169\.254\.169\.254"):
        check_addresses(["52.218.0.1", "169.254.169.254"], PUBLIC)


async def test_a_name_is_checked_where_it_resolves_to() -> None:
    resolver = Resolver()
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("127.0.0.1", 80, PUBLIC)
    assert await resolver.resolve("127.0.0.1", 80, LOOPBACK) == ["127.0.0.1"]


async def test_a_name_that_comes_to_lead_elsewhere_is_refused_from_then_on() -> None:
    names = ScriptedNames(store_test=[["52.218.0.1"], ["52.218.0.1", "10.0.0.1"]])
    resolver = Resolver(names)
    assert await resolver.resolve("store.test", 443, PUBLIC) == ["52.218.0.1"]
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1"):
        await resolver.resolve("store.test", 443, PUBLIC)


@pytest.mark.parametrize("address", ["10.96.0.1", "::ffff:10.96.0.1", "64:ff9b::a60:1"])
async def test_the_api_server_is_refused_where_private_addresses_are_allowed(address: str) -> None:
    resolver = Resolver(
        ScriptedNames(evil_test=[[address]], store_test=[["10.96.0.2"]]),
        denied=[ip_address("10.96.0.1")],
    )
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("evil.test", 443, PRIVATE)
    assert await resolver.resolve("store.test", 443, PRIVATE) == ["10.96.0.2"]


async def test_a_name_is_looked_up_once_for_all_who_wait() -> None:
    """So a slow name server holds one thread of the resolver and not all of them."""
    release = asyncio.Event()
    asked = 0

    async def slow(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        await release.wait()
        return ["52.218.0.1"]

    resolver = Resolver(slow)
    waiting = [asyncio.ensure_future(resolver.resolve("slow.test", 443, PUBLIC)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # it who asked first goes away; the others get their answer
    await asyncio.sleep(0)
    release.set()
    assert await asyncio.gather(*waiting[1:]) == [["52.218.0.1"]] * 19
    assert asked == 1
    await resolver.resolve("slow.test", 443, PUBLIC)
    assert asked == 2  # nothing is kept: the name may lead elsewhere by now


async def test_a_name_that_does_not_resolve_says_so_to_everybody() -> None:
    resolver = Resolver(ScriptedNames())
    waiting = [asyncio.ensure_future(resolver.resolve("no.test", 1, PUBLIC)) for _ in range(2)]
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, OSError)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2a05:d018::1"])
async def test_an_address_is_not_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait behind names in a thread, and come back in another order."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("socket.getaddrinfo", asked)
    assert await system_look_up(host, 80) == [host]


async def test_a_name_is_looked_up() -> None:
    assert set(await system_look_up("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        await system_look_up("no-such-name.invalid", 80)
