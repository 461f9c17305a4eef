"""A sidecar's credentials endpoint, on the S3 address: what AWS_CONTAINER_CREDENTIALS_FULL_URI
names.
"""

from __future__ import annotations

import os

from bucketroute_dataplane.core.container_credentials import (
    DURATION_SECONDS,
    OPERATION,
    check_credentials_request,
    credentials_document,
    credentials_error_document,
)
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.session import new_session
from bucketroute_dataplane.shell.answers import Answering
from bucketroute_dataplane.shell.sidecar import Sidecar

SESSION_NAME = "sidecar"
_HEADERS: list[Header] = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


def answer_credentials(answering: Answering, sidecar: Sidecar) -> None:
    """Serves a request that `is_credentials_request`."""
    record = answering.record
    record.operation = OPERATION
    try:
        status, body = 200, _credentials(answering, sidecar)
    except S3Error as error:
        record.error_code = error.code
        if error.detail is not None:
            record.detail = error.detail
        status, body = error.status, credentials_error_document(error)
    answering.respond(status, _HEADERS, body)


def _credentials(answering: Answering, sidecar: Sidecar) -> bytes:
    services = answering.services
    check_credentials_request(answering.client.head, sidecar.authorization)
    if services.store.index is None:
        # Until the operator has taken the pod's token, it is nobody's.
        raise s3_error("ServiceUnavailable", "The sidecar has no configuration yet.")
    identity = sidecar.identity()
    answering.record.caller = str(identity)
    session = new_session(
        identity,
        SESSION_NAME,
        expires_at=int(services.epoch()) + DURATION_SECONDS,
        random=os.urandom,
    )
    return credentials_document(session, services.trust.sessions.seal(session))
