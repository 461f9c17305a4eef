"""Endpoints: their syntax, the scope that they need, AWS's hosts; and globs over them."""

from __future__ import annotations

import pytest

from bucketroute_operator.core.endpoints import (
    EndpointError,
    needed_scope,
    parse_endpoint,
    scope_allows,
)
from bucketroute_operator.core.globs import matches_host, matches_name, matches_role_arn
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_snapshot import NetworkScope

PUBLIC, PRIVATE, LOOPBACK = NetworkScope.PUBLIC, NetworkScope.PRIVATE, NetworkScope.LOOPBACK


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("s3.example.com", PUBLIC),
        ("minio", PUBLIC),
        ("52.95.110.1", PUBLIC),
        ("10.0.0.1", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("[fd12::1]", PRIVATE),
        ("127.0.0.1", LOOPBACK),
        ("127.8.9.1", LOOPBACK),
        ("[::1]", LOOPBACK),
        ("localhost", LOOPBACK),
        ("s3.localhost", LOOPBACK),
        ("169.254.169.254", None),
        ("169.254.1.1", None),
        ("[fe80::1]", None),
        ("[fd00:ec2::254]", None),
        ("[::ffff:127.0.0.1]", "syntax"),
        ("[::ffff:7f00:1]", None),
        ("[2002:7f00:1::]", None),
        ("[64:ff9b::7f00:1]", None),
        ("0.0.0.0", None),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
    ],
)
def test_an_address_needs_the_narrowest_scope_that_holds_it(
    host: str, scope: NetworkScope | str | None
) -> None:
    if scope == "syntax":
        with pytest.raises(EndpointError):
            parse_endpoint(f"http://{host}")
    else:
        assert needed_scope(parse_endpoint(f"http://{host}")) is scope


def test_each_scope_includes_the_ones_before_it() -> None:
    allowed = [(a, b) for a in NetworkScope for b in NetworkScope if scope_allows(a, b)]
    assert allowed == [
        (PUBLIC, PUBLIC),
        (PRIVATE, PUBLIC),
        (PRIVATE, PRIVATE),
        (LOOPBACK, PUBLIC),
        (LOOPBACK, PRIVATE),
        (LOOPBACK, LOOPBACK),
    ]


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "1.2.3.4.5", "a.0x", "a.7", "1.2.3.256"],
)
def test_a_host_that_a_resolver_may_read_as_a_number_is_refused(host: str) -> None:
    with pytest.raises(EndpointError, match="canonical IP address"):
        parse_endpoint(f"http://{host}")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://s3.example.com",
        f"https://{'a' * 64}.example.com",
        "https://S3.example.com",
        "https://user@s3.example.com",
        "https://s3.example.com/x",
        "https://s3.example.com?x",
        "https://s3.example.com:0",
        "https://s3.example.com:65536",
        "https://-x.com",
        "https://[::1",
        "https://",
        "https://s3.example.com\n",
    ],
)
def test_other_syntax_is_refused(text: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(text)


def test_the_url_has_no_trailing_slash() -> None:
    assert parse_endpoint("http://minio:9000/").url == "http://minio:9000"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.dualstack.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("s3.amazonaws.com", None),
        ("s3.eu-west-1.example.com", None),
    ],
)
def test_an_aws_host_tells_its_region(host: str, region: str | None) -> None:
    assert parse_endpoint(f"https://{host}").region == region


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("us-east-1", "https://s3.us-east-1.amazonaws.com"),
        ("eu-west-1", "https://s3.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://s3.us-gov-west-1.amazonaws.com"),
        ("nowhere-1", None),
    ],
)
def test_botocore_knows_the_endpoint_of_a_region(region: str, endpoint: str | None) -> None:
    assert aws_s3_endpoint(region) == endpoint


@pytest.mark.parametrize(
    ("glob", "host", "expected"),
    [
        ("*", "any.host.example.com", True),
        ("s3.*.amazonaws.com", "s3.eu-west-1.amazonaws.com", True),
        ("s3.*.amazonaws.com", "s3.a.b.amazonaws.com", False),
        ("s3.*.amazonaws.com", "s3.amazonaws.com", False),
        ("*.example.com", "example.com", False),
        ("minio-*", "minio-1", True),
        ("minio", "minio.evil.com", False),
    ],
)
def test_a_host_glob_stays_within_a_label(glob: str, host: str, expected: bool) -> None:
    assert matches_host(glob, host) is expected


@pytest.mark.parametrize(
    ("glob", "role", "expected"),
    [
        (
            "arn:*:iam::*:role/bucketroute/${namespace}/*",
            "arn:aws:iam::1:role/bucketroute/team-a/x",
            True,
        ),
        (
            "arn:*:iam::*:role/bucketroute/${namespace}/*",
            "arn:aws:iam::1:role/bucketroute/team-b/x",
            False,
        ),
        (
            "arn:*:iam::*:role/bucketroute/${namespace}/*",
            "arn:aws:iam::1:role/bucketroute/team-a/x/y",
            False,
        ),
        (
            "arn:*:iam::*:role/bucketroute/${namespace}/*",
            "arn:aws:iam::1:role/x/bucketroute/team-a/y",
            False,
        ),
        ("arn:minio:iam:::role/*", "arn:minio:iam:::role/abc", True),
        ("arn:*:iam::*:role/*", "arn:aws:iam::1:role/path/x", False),
        ("*", "arn:aws:iam::1:role/path/x", True),
    ],
)
def test_a_role_glob_never_crosses_a_separator(glob: str, role: str, expected: bool) -> None:
    assert matches_role_arn(glob, role, namespace="team-a") is expected


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("*", "anything", True),
        ("${namespace}.*", "team-a.data", True),
        ("${namespace}.*", "team-a-data", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("ab*bc", "abc", False),
        ("a", "ab", False),
        ("", "a", False),
    ],
)
def test_a_name_glob_matches_any_run(glob: str, name: str, expected: bool) -> None:
    assert matches_name(glob, name, namespace="team-a") is expected


def test_a_hostile_glob_takes_linear_time() -> None:
    assert matches_name("a*" * 64 + "b", "a" * 255, namespace="x") is False
