"""What the strings in manifests must look like; the same patterns stand in the CRDs."""

from __future__ import annotations

import re
from typing import Final

from bucketroute_operator.core.endpoints import ENDPOINT_PATTERN
from bucketroute_operator.core.fields import TextRule

OBJECT_NAME: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"),
    expected="a lower-case DNS name",
)
NAMESPACE: Final = TextRule(
    max_length=63,
    pattern=re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"),
    expected="a namespace name",
)
SERVICE_ACCOUNT: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[*]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?"),
    expected='a service account name, or "*" for all',
)
CLASS_NAME: Final = TextRule(
    max_length=63,
    pattern=re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"),
    expected="a lower-case DNS name",
)
VIRTUAL_BUCKET: Final = TextRule(
    min_length=3,
    max_length=63,
    pattern=re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]"),
    expected="lower-case letters, digits, '.' and '-', with a letter or digit at both ends",
)
BACKEND_BUCKET: Final = TextRule(
    min_length=3,
    max_length=255,
    pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    expected="letters, digits, '.', '_' and '-', with a letter or digit first",
)
PREFIX: Final = TextRule(min_length=0, max_length=512)
RULE_PREFIX: Final = TextRule(
    max_length=256,
    pattern=re.compile(
        r"([^$]|[$][{](namespace|serviceAccount|subject)[}]|[$]+([^${]|$))*", re.DOTALL
    ),
    expected="a prefix whose only placeholders are ${namespace}, ${serviceAccount}, ${subject}",
)
REQUIRED_PREFIX: Final = TextRule(
    max_length=256, pattern=re.compile(r".*/", re.DOTALL), expected="a prefix that ends in '/'"
)
ENDPOINT: Final = TextRule(
    max_length=253,
    pattern=ENDPOINT_PATTERN,
    expected="http(s)://<lower-case host>[:port] with nothing after it",
)
REGION: Final = TextRule(
    max_length=32,
    pattern=re.compile(r"[a-z0-9][a-z0-9-]*"),
    expected="lower-case letters, digits and '-'",
)
ROLE_ARN: Final = TextRule(
    max_length=2048,
    pattern=re.compile(r"arn:[a-z0-9-]+:iam::[0-9]{0,12}:role/[A-Za-z0-9+=,.@_/-]+"),
    expected="arn:<partition>:iam::<account>:role/<path and name>",
)
QUANTITY: Final = TextRule(
    max_length=20,
    pattern=re.compile(r"[1-9][0-9]{0,15}(Ki|Mi|Gi|Ti)?"),
    expected="a whole number of bytes with an optional Ki, Mi, Gi or Ti",
)
DURATION: Final = TextRule(
    max_length=12,
    pattern=re.compile(r"([0-9]{1,5}(ms|s|m))+"),
    expected="a duration such as 500ms, 3s or 1m30s",
)
ISSUER: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"https://[^\s?#@]+"),
    expected="an https:// URL without query, fragment or user information",
)
OIDC_SUBJECT: Final = TextRule(max_length=255)
AUDIENCE: Final = TextRule(max_length=253)
CORS_ORIGIN: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[^*\s]*[*]?[^*\s]*"),
    expected="an origin with at most one '*'",
)
CORS_HEADER: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"),
    expected="a header name, in which '*' is a wildcard",
)
CORS_EXPOSED_HEADER: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+"),
    expected="a header name",
)
LABEL_KEY: Final = TextRule(max_length=317)
LABEL_VALUE: Final = TextRule(min_length=0, max_length=63)
BUCKET_GLOB: Final = TextRule(max_length=255)
HOST_GLOB: Final = TextRule(max_length=253)
ROLE_GLOB: Final = TextRule(max_length=512)
NAME_PATTERN: Final = TextRule(min_length=0, max_length=128)
STS_ENDPOINT: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[$][{]endpoint[}]|https?://[^\s?#@]+"),
    expected="${endpoint}, or an http(s) URL that may hold ${region}",
)
CLIENT_ENDPOINT: Final = TextRule(
    max_length=253, pattern=re.compile(r"https?://[^\s?#@]+"), expected="an http(s) URL"
)
DOMAIN: Final = TextRule(
    max_length=253,
    pattern=re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*"),
    expected="a lower-case DNS name without a wildcard",
)

_SIZE_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SECONDS_OF: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def size_bytes(quantity: str) -> int:
    """`5Gi` → 5368709120; the text must satisfy QUANTITY."""
    unit = quantity[-2:]
    if unit in _SIZE_UNITS:
        return int(quantity[:-2]) * _SIZE_UNITS[unit]
    return int(quantity)


def duration_seconds(duration: str) -> float:
    """`1m30s` → 90.0; the text must satisfy DURATION."""
    parts = re.findall(r"([0-9]+)(ms|s|m)", duration)
    return float(sum(int(number) * _SECONDS_OF[unit] for number, unit in parts))
