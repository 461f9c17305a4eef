"""The inline session policy that narrows a role to one route.

STS grants the intersection of the role's policy and this one, so a fault in the data plane cannot
reach beyond the route. Sources: AWS STS AssumeRoleWithWebIdentity (`Policy`, at most 2,048
characters); AWS "Actions, resources, and condition keys for Amazon S3".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bucketroute_operator.core.permissions import BUCKET_ACTIONS, Action

MAX_LENGTH: Final = 2048
_BUCKET_ACTION_NAMES: Final = frozenset(action.value for action in BUCKET_ACTIONS)
_MULTIPART_LISTING: Final = Action.LIST_BUCKET_MULTIPART_UPLOADS.value
# In a policy `*` and `?` are wildcards and `${` begins a variable, and there is no escape that all
# backends know: `?`, which stands for any one character, is the narrowest pattern that they share.
_LITERAL: Final = str.maketrans("*$", "??")

JSONObject = Mapping[str, object]


def session_policy(
    *, bucket: str, prefix: str, actions: Iterable[str], role_arn: str, allows_kms: bool
) -> str:
    """The policy as compact JSON text, at most 2,048 characters.

    `prefix` is empty or ends in `/`. A policy that would be too long covers the whole bucket
    instead. `allows_kms` adds the keys of encrypted buckets, used through S3 only. No actions give
    a policy that denies everything.
    """
    names = sorted(set(actions))
    partition = _partition_of(role_arn)
    statements = _statements(f"arn:{partition}:s3:::{bucket}", prefix, names)
    kms = [_kms_statement()] if allows_kms and names else []
    text = _policy_text([*statements, *kms])
    if len(text) > MAX_LENGTH:
        text = _policy_text([*_statements(f"arn:{partition}:s3:::{bucket}", "", names), *kms])
    return text


def _statements(bucket_arn: str, prefix: str, names: Sequence[str]) -> list[JSONObject]:
    pattern = f"{prefix.translate(_LITERAL)}*"
    on_objects = [name for name in names if name not in _BUCKET_ACTION_NAMES]
    # AWS has no s3:prefix for this action, and MinIO refuses a policy that joins the two.
    on_uploads = [name for name in names if name == _MULTIPART_LISTING and prefix]
    on_keys = [name for name in names if name in _BUCKET_ACTION_NAMES and name not in on_uploads]
    statements = []
    if on_objects:
        statements.append(_allow(on_objects, f"{bucket_arn}/{pattern}"))
    if on_keys:
        condition = {"Condition": {"StringLike": {"s3:prefix": pattern}}} if prefix else {}
        statements.append({**_allow(on_keys, bucket_arn), **condition})
    if on_uploads:
        statements.append(_allow(on_uploads, bucket_arn))
    return statements or [{"Effect": "Deny", "Action": ["s3:*"], "Resource": ["*"]}]


def _allow(actions: Sequence[str], resource: str) -> JSONObject:
    return {"Effect": "Allow", "Action": list(actions), "Resource": [resource]}


def _kms_statement() -> JSONObject:
    """Without it, the intersection would lock a role out of every bucket encrypted with SSE-KMS."""
    return {
        **_allow(["kms:Decrypt", "kms:GenerateDataKey"], "*"),
        "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
    }


def _partition_of(role_arn: str) -> str:
    """AWS's partition of the role; other stores (`arn:minio:…`) name buckets under `aws`."""
    partition = role_arn.split(":")[1]
    return partition if partition.startswith("aws") else "aws"


def _policy_text(statements: Sequence[JSONObject]) -> str:
    policy = {"Version": "2012-10-17", "Statement": statements}
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)
