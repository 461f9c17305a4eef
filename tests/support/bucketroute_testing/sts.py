"""A fake STS: AssumeRoleWithWebIdentity by the book, or slow, refusing, garbage or silent.
silent by script.

It counts its calls and writes them into the shared journal (source `sts`). It looks at no signature
of the token: whether a true exchange works is shown with MinIO. It can be mounted on a recording
backend's own port, as MinIO and Ceph answer, or stand alone with `StsServer`.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from bucketroute_testing.journal import Journal
from bucketroute_testing.wire_server import Decision, WireServer
from bucketroute_testing.wire_types import Answer, Headers, ReadPlan, RecordedRequest, RequestHead

_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"
# Longer than every deadline of the program under test, shorter than a hung test run.
_HANG_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StsCall:
    """One exchange that was asked for: the decoded form of the request."""

    form: dict[str, str]

    @property
    def session_policy(self) -> str | None:
        return self.form.get("Policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class StsBehaviour:
    """How the next calls are answered.

    `error_code` with `status` answers STS's error document (Throttling: 400, AccessDenied: 403).
    `body` replaces the whole answer, `hangs` never answers, `lifetime_seconds` sets how long
    credentials live.
    """

    delay_seconds: float = 0.0
    lifetime_seconds: int = 3600
    status: int = 200
    error_code: str | None = None
    body: bytes | None = None
    hangs: bool = False
    headers: Headers = ()


class FakeSts:
    """The deciding half of the fake: give it a behaviour, ask it for its calls."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._calls: list[StsCall] = []
        self.behaviour = StsBehaviour()

    @property
    def calls(self) -> tuple[StsCall, ...]:
        with self._lock:
            return tuple(self._calls)

    def decide(self, head: RequestHead) -> Decision:
        """Implements `Responder`."""
        self._journal.record("sts", "head", head.target)
        return Decision(read=ReadPlan(), answer=self._answer)

    def _answer(self, request: RecordedRequest) -> Answer:
        query = request.head.target.partition("?")[2]
        form = dict(parse_qsl(request.body.decode() or query, keep_blank_values=True))
        with self._lock:
            self._calls.append(StsCall(form=form))
            serial = len(self._calls)
        self._journal.record("sts", "call", form.get("RoleArn", ""))
        behaviour = self.behaviour
        if behaviour.hangs:
            return Answer(status=200, delay_seconds=_HANG_SECONDS)
        status, body = _document(behaviour, form, serial)
        return Answer(
            status=status,
            headers=(("Content-Type", "text/xml"), *behaviour.headers),
            body=body,
            delay_seconds=behaviour.delay_seconds,
        )


class StsServer:
    """The fake STS on a port of its own."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.sts = FakeSts(self.journal)
        self._server = WireServer(self.sts, self.journal, name="sts-http")

    @property
    def endpoint(self) -> str:
        return self._server.endpoint

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, trace)


def _document(behaviour: StsBehaviour, form: dict[str, str], serial: int) -> tuple[int, bytes]:
    if behaviour.body is not None:
        return behaviour.status, behaviour.body
    if behaviour.error_code is not None:
        status = behaviour.status if behaviour.status != 200 else 400
        return status, _error(behaviour.error_code)
    if form.get("Action") != "AssumeRoleWithWebIdentity":
        return 400, _error("InvalidAction")
    for name in ("RoleArn", "RoleSessionName", "WebIdentityToken"):
        if not form.get(name):
            return 400, _error("ValidationError")
    return 200, _success(form, behaviour.lifetime_seconds, serial)


def _error(code: str) -> bytes:
    return (
        f'<ErrorResponse xmlns="{_XMLNS}"><Error><Type>Sender</Type><Code>{escape(code)}</Code>'
        "<Message>told by the script, not for clients</Message></Error>"
        "<RequestId>sts-request</RequestId></ErrorResponse>"
    ).encode()


def _success(form: dict[str, str], lifetime_seconds: int, serial: int) -> bytes:
    expiration = datetime.now(UTC) + timedelta(seconds=lifetime_seconds)
    arn = escape(f"{form['RoleArn']}/{form['RoleSessionName']}")
    return (
        f'<AssumeRoleWithWebIdentityResponse xmlns="{_XMLNS}"><AssumeRoleWithWebIdentityResult>'
        f"<Credentials><AccessKeyId>ASIAFAKE{serial:012d}</AccessKeyId>"
        f"<SecretAccessKey>{secret_key_of(serial)}</SecretAccessKey>"
        f"<SessionToken>fake-session-token-{serial}</SessionToken>"
        f"<Expiration>{expiration.strftime('%Y-%m-%dT%H:%M:%SZ')}</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROAFAKE:{serial}</AssumedRoleId><Arn>{arn}</Arn>"
        "</AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
        "<ResponseMetadata><RequestId>sts-request</RequestId></ResponseMetadata>"
        "</AssumeRoleWithWebIdentityResponse>"
    ).encode()


def secret_key_of(serial: int) -> str:
    """The secret access key that the fake gave out with its `serial`th credentials (from 1)."""
    return f"fake-secret-access-key-{serial:017d}"
