"""One exchange from end to end: the token's file, the form, the STS, its answer."""

from __future__ import annotations

from dataclasses import dataclass

from bucketroute_dataplane.core.backend_credentials import Credentials
from bucketroute_dataplane.core.sts import (
    ExchangeFailure,
    StsUnavailable,
    exchange_form,
    parse_sts_answer,
)
from bucketroute_dataplane.core.web_identity_token import WebIdentityToken, WebIdentityTokenError
from bucketroute_dataplane.shell.clock import Clock
from bucketroute_dataplane.shell.sts_client import StsClient, StsUnreachableError
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_snapshot import WebIdentityAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What came of an exchange, and whose token it was (None: there was none to read)."""

    outcome: Credentials | ExchangeFailure
    token: WebIdentityToken | None


class WebIdentityExchanger:
    """Turns the projected token into a role's credentials."""

    def __init__(self, *, tokens: TokenFile, sts: StsClient, clock: Clock) -> None:
        self._tokens = tokens
        self._sts = sts
        self._clock = clock

    async def exchange(self, auth: WebIdentityAuth) -> Exchange:
        """Ask the STS once. Failures are values: each of them is a normal thing to happen."""
        try:
            token = self._tokens.read()
        except WebIdentityTokenError as error:
            failure = StsUnavailable(detail=str(error), code="TokenUnreadable")
            return Exchange(outcome=failure, token=None)
        try:
            answer = await self._sts.post(
                auth.sts_endpoint, exchange_form(auth, token), ca_bundle=auth.sts_ca_bundle
            )
        except StsUnreachableError as error:
            return Exchange(outcome=StsUnavailable(detail=str(error)), token=token)
        outcome = parse_sts_answer(answer, now=self._clock.now())
        return Exchange(outcome=outcome, token=token)
