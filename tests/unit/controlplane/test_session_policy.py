"""The inline session policy of a route."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_operator.core.permissions import Action, Permission, granted_actions
from bucketroute_operator.core.session_name import session_name
from bucketroute_operator.core.session_policy import MAX_LENGTH, session_policy

ROLE = "arn:aws:iam::111122223333:role/x"
ALL = [action.value for action in Action]
LIST = list(granted_actions([Permission.LIST], []))


def statements(
    *actions: str, prefix: str = "", role_arn: str = ROLE, kms: bool = False
) -> list[dict[str, Any]]:
    text = session_policy(
        bucket="acme", prefix=prefix, actions=actions, role_arn=role_arn, allows_kms=kms
    )
    policy = json.loads(text)
    assert policy["Version"] == "2012-10-17"
    result: list[dict[str, Any]] = policy["Statement"]
    return result


def test_objects_are_limited_to_the_prefix() -> None:
    assert statements("s3:GetObject", "s3:PutObject", prefix="a/") == [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::acme/a/*"],
        }
    ]


def test_listing_uploads_stands_apart_from_the_prefix_condition() -> None:
    # MinIO refuses s3:prefix on ListBucketMultipartUploads, and AWS has no such key for it.
    assert statements(*LIST, prefix="a/") == [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
            "Resource": ["arn:aws:s3:::acme"],
            "Condition": {"StringLike": {"s3:prefix": "a/*"}},
        },
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucketMultipartUploads"],
            "Resource": ["arn:aws:s3:::acme"],
        },
    ]


def test_without_a_prefix_there_is_no_condition() -> None:
    (only,) = statements(*LIST)
    assert only["Action"] == LIST
    assert "Condition" not in only


def test_a_route_that_grants_nothing_denies_everything() -> None:
    assert statements() == [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["*"]}]


@pytest.mark.parametrize(
    ("role_arn", "partition"),
    [
        (ROLE, "aws"),
        ("arn:aws-cn:iam::1:role/x", "aws-cn"),
        ("arn:minio:iam:::role/x", "aws"),
    ],
)
def test_buckets_are_named_in_the_partition_of_the_role(role_arn: str, partition: str) -> None:
    (only,) = statements("s3:GetObject", role_arn=role_arn)
    assert only["Resource"] == [f"arn:{partition}:s3:::acme/*"]


def test_keys_of_encrypted_buckets_are_usable_through_s3_only() -> None:
    *_, kms = statements("s3:GetObject", kms=True)
    assert kms["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert kms["Condition"] == {"StringLike": {"kms:ViaService": "s3.*"}}


def test_wildcards_and_variables_in_a_prefix_match_one_character_each() -> None:
    (only,) = statements("s3:GetObject", prefix="a*/${aws:username}/")
    assert only["Resource"] == ["arn:aws:s3:::acme/a?/?{aws:username}/*"]


def test_a_policy_that_is_too_long_covers_the_whole_bucket() -> None:
    prefix = "p" * 511 + "/"
    text = session_policy(
        bucket="b" * 255, prefix=prefix, actions=ALL, role_arn=ROLE, allows_kms=True
    )
    assert len(text) <= MAX_LENGTH
    assert "ppp" not in text
    assert set(ALL) <= {name for item in json.loads(text)["Statement"] for name in item["Action"]}


@given(
    bucket=st.text("abc.-", min_size=3, max_size=255),
    prefix=st.text(max_size=511).map(lambda text: f"{text}/" if text else ""),
    actions=st.sets(st.sampled_from(ALL)),
    kms=st.booleans(),
)
def test_a_policy_is_never_too_long_and_always_json(
    bucket: str, prefix: str, actions: set[str], kms: bool
) -> None:
    text = session_policy(
        bucket=bucket, prefix=prefix, actions=actions, role_arn=ROLE, allows_kms=kms
    )
    assert len(text) <= MAX_LENGTH
    assert json.loads(text)["Statement"]


@pytest.mark.parametrize("namespace", ["a", "team-a", "n" * 50, "n" * 63])
def test_a_session_name_begins_with_the_namespace_and_a_dot(namespace: str) -> None:
    name = session_name(namespace=namespace, route_name="reports")
    assert name.startswith(f"{namespace}.")
    assert 2 <= len(name) <= 64


def test_two_routes_have_two_session_names() -> None:
    names = {session_name(namespace="team-a", route_name=name) for name in ("reports", "events")}
    assert len(names) == 2
