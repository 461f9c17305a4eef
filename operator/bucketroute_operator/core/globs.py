"""Matching of the globs in BucketRouteClass and BucketBackend.

`*` is the only wildcard. What it may match differs: a host glob stays within one label, a role ARN
glob within one part. A host or role glob that is `*` alone matches everything.
"""

from __future__ import annotations

import re

from bucketroute_snapshot.glob import matches_glob

_NAMESPACE = "${namespace}"


def expand_namespace(template: str, *, namespace: str) -> str:
    return template.replace(_NAMESPACE, namespace)


def matches_name(glob: str, name: str, *, namespace: str) -> bool:
    """Whether a bucket name matches; `*` is any run of characters."""
    return matches_glob(expand_namespace(glob, namespace=namespace), name)


def matches_host(glob: str, host: str) -> bool:
    """Whether a host name matches, label by label."""
    return glob == "*" or _all_match(glob.split("."), host.split("."))


def matches_role_arn(glob: str, role_arn: str, *, namespace: str) -> bool:
    """Whether an ARN matches, part by part: `*` never crosses `/` or `:`."""
    return glob == "*" or _all_match(
        re.split("([:/])", expand_namespace(glob, namespace=namespace)),
        re.split("([:/])", role_arn),
    )


def _all_match(globs: list[str], values: list[str]) -> bool:
    return len(globs) == len(values) and all(map(matches_glob, globs, values))
