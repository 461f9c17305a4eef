"""What a sidecar answers an SDK that asks for the pod's credentials.

The credentials are a session of the pod's service account, sealed by a key that this sidecar alone
has: they are worth nothing at any other data plane, and nothing at the backend.
Source: AWS SDKs and Tools Reference Guide, "Container credential provider".
"""

from __future__ import annotations

import json
from hmac import compare_digest

from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.messages import RequestHead
from bucketroute_dataplane.core.session import Session
from bucketroute_snapshot import Secret

# No bucket has so short a name, so this is no object's path.
CREDENTIALS_PATH = b"/v1/credentials"
OPERATION = "GetContainerCredentials"
# SDKs ask again minutes before the end. As long as a login lasts by default.
DURATION_SECONDS = 3600


def is_credentials_request(head: RequestHead) -> bool:
    return head.raw_path == CREDENTIALS_PATH


def check_credentials_request(head: RequestHead, authorization: Secret) -> None:
    """The token keeps the credentials from whoever can only make the application send a request.

    Raises: S3Error MethodNotAllowed, AccessDenied.
    """
    if head.method != b"GET":
        raise s3_error("MethodNotAllowed")
    given = head.get(b"authorization") or b""
    if not compare_digest(given, authorization.reveal().encode()):
        raise s3_error(
            "AccessDenied",
            "The Authorization header is not the content of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
            " in this pod.",
        )


def credentials_document(session: Session, sealed: str) -> bytes:
    """The answer in JSON; `sealed` is the session token."""
    return _json(
        {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key.reveal(),
            "Token": sealed,
            "Expiration": session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


def credentials_error_document(error: S3Error) -> bytes:
    """SDKs show both fields to the user."""
    return _json({"code": error.code, "message": error.message})


def _json(value: dict[str, str]) -> bytes:
    return json.dumps(value).encode() + b"\n"
