"""Matching of the globs in BucketRouteClass and BucketBackend.

`*` is the only wildcard. What it may match differs: a host glob stays within one label, a role ARN
glob within one part. A host or role glob that is `*` alone matches everything. Matching takes
linear time: tenants write some of these globs, so a regular expression would be a way in.
"""

from __future__ import annotations

import re

_NAMESPACE = "${namespace}"


def expand_namespace(template: str, *, namespace: str) -> str:
    return template.replace(_NAMESPACE, namespace)


def matches_name(glob: str, name: str, *, namespace: str) -> bool:
    """Whether a bucket name matches; `*` is any run of characters."""
    return _matches(expand_namespace(glob, namespace=namespace), name)


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
    return len(globs) == len(values) and all(map(_matches, globs, values))


def _matches(glob: str, value: str) -> bool:
    """Place each literal between wildcards leftmost: if any placement fits, this one does."""
    head, *rest = glob.split("*")
    if not rest:
        return glob == value
    *middle, tail = rest
    if not value.startswith(head):
        return False
    position = len(head)
    for literal in middle:
        found = value.find(literal, position)
        if found < 0:
            return False
        position = found + len(literal)
    return len(value) - len(tail) >= position and value.endswith(tail)
