"""The login endpoint: AssumeRoleWithWebIdentity and GetCallerIdentity on the S3 address.

The body is read first, in this task; only then may an issuer be asked for a key.
"""

from __future__ import annotations

import os
from hashlib import sha256
from hmac import compare_digest

from bucketroute_dataplane.core.authenticate import caller_of
from bucketroute_dataplane.core.errors import S3Error, s3_error
from bucketroute_dataplane.core.identity_token import VerifiedToken, admit, identify, read_token
from bucketroute_dataplane.core.login_errors import (
    in_terms_of_sts,
    sts_error,
    sts_error_document,
)
from bucketroute_dataplane.core.messages import Header
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.session import new_session
from bucketroute_dataplane.core.sigv4 import parse_authorization
from bucketroute_dataplane.core.web_identity_login import (
    ASSUME_ROLE,
    MAX_FORM_BYTES,
    Parameters,
    caller_identity_result,
    login_request,
    login_result,
    sts_action,
    sts_parameters,
)
from bucketroute_dataplane.shell.answers import Answering
from bucketroute_dataplane.shell.services import Services
from bucketroute_dataplane.shell.unproved import read_unproved, room_for_unproved


async def answer_sts(answering: Answering, index: RouteIndex) -> None:
    """Serves a request that `is_sts_request`. Raises: ClientGoneError."""
    record = answering.record
    try:
        status, body = 200, await _run(answering, index)
    except S3Error as error:
        renamed = in_terms_of_sts(error)
        record.error_code = renamed.code
        status, body = renamed.status, sts_error_document(renamed, request_id=record.request_id)
    headers: list[Header] = [
        (b"content-type", b"text/xml"),
        (b"cache-control", b"no-store"),
        (b"x-amzn-requestid", record.request_id.encode()),
    ]
    answering.respond(status, headers, body)


async def _run(answering: Answering, index: RouteIndex) -> bytes:
    form = await _read_form(answering)
    parameters = sts_parameters(answering.client.head, form)
    action = sts_action(parameters)
    answering.record.operation = action
    if action == ASSUME_ROLE:
        return await _log_in(answering, parameters)
    return _caller_identity(answering, index, form)


async def _read_form(answering: Answering) -> bytes:
    client = answering.client
    if client.head.method != b"POST":
        return b""
    services = answering.services
    with room_for_unproved(services, services.login_budget, client, MAX_FORM_BYTES):
        return await read_unproved(client, MAX_FORM_BYTES)


async def _log_in(answering: Answering, parameters: Parameters) -> bytes:
    services, record = answering.services, answering.record
    login = login_request(parameters)
    token = await _verify(services, login.token)
    record.caller = str(token.identity)
    session = new_session(
        token.identity,
        login.session_name,
        expires_at=int(services.now().timestamp()) + login.duration_seconds,
        random=os.urandom,
    )
    sealed = services.trust.sessions.seal(session)
    return login_result(token, session, sealed, request_id=record.request_id)


async def _verify(services: Services, text: str) -> VerifiedToken:
    token = read_token(text)
    issuer = admit(token, services.trust.issuers)
    key = services.issuer_keys.known(issuer, token.key_id)
    if key is None:
        key = await services.issuer_keys.find(issuer, token.key_id)
    return identify(token, key, issuer, services.now())


def _caller_identity(answering: Answering, index: RouteIndex, form: bytes) -> bytes:
    services, head = answering.services, answering.client.head
    digest = sha256(form).hexdigest().encode()
    claim = parse_authorization(
        head.method,
        head.raw_path,
        raw_query=head.raw_query,
        headers=head.headers,
        service=b"sts",
        body_sha256=digest,
    )
    if claim is None:
        raise sts_error("MissingAuthenticationToken")
    if not compare_digest(claim.payload_hash, digest):
        raise s3_error("SignatureDoesNotMatch")
    caller = caller_of(
        claim,
        index,
        now=services.now(),
        keys=services.inbound_keys,
        sessions=services.trust.sessions,
    )
    answering.record.caller = str(caller.identity)
    name = None if caller.session is None else caller.session.session_name
    return caller_identity_result(caller.identity, name, request_id=answering.record.request_id)
