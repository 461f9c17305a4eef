"""What a data plane says, out of the bodies of acknowledgements and reports.

Other versions than ours send them: what is not understood is passed over.
"""

from __future__ import annotations

import re
from typing import Any

from bucketroute_operator.core.rollout import CredentialState
from bucketroute_operator.core.route_words import Revision
from bucketroute_snapshot.update import BucketState

MAX_REJECTED_ROUTES = 500
_ROUTE_NAME = re.compile(r"[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}")
# Becomes a condition's reason, which the API server checks against a pattern like this.
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_STATES = ("True", "False", "Unknown")


def rejected_routes(body: dict[str, Any]) -> dict[str, str]:
    """The code of each route (`namespace/name`) that was left out; no more than 500 of them."""
    return {
        item["route"]: _code(item.get("code"))
        for item in _items(body, "rejected")[:MAX_REJECTED_ROUTES]
    }


def credential_states(body: dict[str, Any]) -> dict[str, CredentialState]:
    """By route (`namespace/name`)."""
    return {
        item["route"]: CredentialState(
            status=item["state"],
            code=_code(item.get("code")),
            bucket=_bucket(item),
            about=_revision(item),
        )
        for item in _items(body, "credentials")
        if item.get("state") in _STATES
    }


def _bucket(item: dict[str, Any]) -> BucketState:
    """UNKNOWN from a data plane that is older, or so much newer that it has other words."""
    try:
        return BucketState(item.get("bucket"))
    except ValueError:
        return BucketState.UNKNOWN


def _revision(item: dict[str, Any]) -> Revision | None:
    """None from a data plane that is older."""
    uid, generation = item.get("uid"), item.get("generation")
    if isinstance(uid, str) and isinstance(generation, int):
        return Revision(uid=uid, generation=generation)
    return None


def _items(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The items that name a route."""
    items = body.get(name)
    return [
        item
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
        and isinstance(item.get("route"), str)
        and _ROUTE_NAME.fullmatch(item["route"])
    ]


def _code(value: object) -> str:
    is_code = isinstance(value, str) and _CODE.fullmatch(value)
    return str(value) if is_code else "UnknownCode"
