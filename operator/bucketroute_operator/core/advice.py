"""What a condition says of a refusal: where it is, what is wrong, and what to do about it.

`bucketroute check` shows the field apart and has the manual at hand; whoever reads a condition may
have nothing else. docs/conditions.md says more of each reason.
"""

from __future__ import annotations

from collections.abc import Mapping

from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.findings import Reason

# Where a reason is missing, the message itself says it.
ADVICE: Mapping[Reason, str] = {
    Reason.CLASS_NOT_FOUND: "className cannot be changed: create the class, or the route anew.",
    Reason.UNKNOWN_FIELD: "If the CRDs have it, the operator is older than they are: upgrade it.",
    Reason.NOT_ALLOWED_BY_CLASS: "Follow that, or ask the class's administrator.",
    Reason.BUCKET_NAME_CONFLICT: "Delete the route and create it with another name.",
    Reason.QUOTA_EXCEEDED: "Delete routes, or have limits.maxRoutesPerNamespace raised.",
    Reason.BACKEND_NOT_FOUND: "Create it in this namespace, or correct the reference.",
    Reason.REF_NOT_PERMITTED: "Ask its owner for allowedRoutes, or correct the reference.",
    Reason.ROLE_NOT_PERMITTED: "Have it listed in the class's identity.allowedRoleARNs.",
    Reason.ENDPOINT_NOT_PERMITTED: "Have it allowed by the class's endpoints, or use another.",
    Reason.ISSUER_NOT_PERMITTED: "Have it listed in the class's clientIssuers.",
    Reason.SECRET_NOT_FOUND: "Create it, and have the operator allowed to read it.",
    Reason.SECRET_INVALID: "Correct the Secret.",
    Reason.CONFIG_MAP_NOT_FOUND: "Create it, and have the operator allowed to read it.",
}


def told(refusal: Refusal) -> str:
    """The message of a condition."""
    is_placed = not refusal.field or refusal.message.startswith(refusal.field)
    where = "" if is_placed else f"{refusal.field}: "
    return f"{where}{refusal.message} {ADVICE.get(refusal.reason, '')}".rstrip()
