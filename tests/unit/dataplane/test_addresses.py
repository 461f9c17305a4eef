"""Which resolved addresses a backend may be dialled at, by the class's network scope."""

import pytest

from bucketroute_dataplane.shell.addresses import (
    ForbiddenAddressError,
    check_addresses,
    resolve,
)
from bucketroute_snapshot import NetworkScope

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
    with pytest.raises(ForbiddenAddressError):
        await resolve("127.0.0.1", 80, PUBLIC)
    assert await resolve("127.0.0.1", 80, LOOPBACK) == ["127.0.0.1"]
