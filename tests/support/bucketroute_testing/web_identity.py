"""An STS in process (httpx.MockTransport), tokens and auths for unit tests of backend credentials.

`sts.py` beside this is the STS of end-to-end tests, on a socket.
"""

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs

import httpx

from bucketroute_snapshot import NetworkScope, WebIdentityAuth
from bucketroute_testing.clock import FakeClock

STS_ENDPOINT = "https://sts.eu-central-1.amazonaws.com"
SUBJECT = "system:serviceaccount:bucketroute:gateway"
SIGNATURE = "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"


def projected_token(subject: str = SUBJECT, *, issued_at: int = 1_800_000_000) -> str:
    """The shape of a service account's token; its signature is nobody's."""
    header = {"alg": "RS256", "kid": "key-1"}
    claims = {"sub": subject, "aud": ["sts"], "iat": issued_at, "exp": issued_at + 3600}
    return f"{_segment(header)}.{_segment(claims)}.{SIGNATURE}"


def _segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def web_identity_auth(
    *,
    role: str = "uploads",
    sts_endpoint: str = "http://sts.test:9000",
    session_policy: str | None = None,
    sts_ca_bundle: str | None = None,
    session_name: str = "team-a.uploads",
) -> WebIdentityAuth:
    return WebIdentityAuth(
        role_arn=f"arn:aws:iam::123456789012:role/{role}",
        sts_endpoint=sts_endpoint,
        session_name=session_name,
        audience="sts.amazonaws.com",
        session_policy=session_policy,
        sts_ca_bundle=sts_ca_bundle,
    )


def credentials_document(
    serial: int = 1,
    *,
    expires_at: float,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    expiration: str | None = None,
) -> bytes:
    """The answer of AWS to AssumeRoleWithWebIdentity; an empty text leaves that element empty."""
    moment = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = {
        "AccessKeyId": f"ASIA{serial:016d}" if access_key_id is None else access_key_id,
        "SecretAccessKey": secret_of(serial) if secret_access_key is None else secret_access_key,
        "SessionToken": f"session-token-{serial}" if session_token is None else session_token,
        "Expiration": moment if expiration is None else expiration,
    }
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials>{fields}</Credentials>"
        "<Provider>arn:aws:iam::123456789012:oidc-provider/k8s</Provider>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    ).encode()


def secret_of(serial: int) -> str:
    return f"secret-access-key-{serial}"


def error_document(code: str, message: str = "told by the STS, for the log only") -> bytes:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    ).encode()


def streamed(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """An answer as the network gives it: httpx takes `content=` for one that was read already."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def refusing(
    code: str, *, status: int = 400, retry_after: str | None = None
) -> Callable[[int], httpx.Response]:
    """An answer for `ScriptedSts`: the STS's error document."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return lambda _serial: streamed(status, error_document(code), headers)


@dataclass(kw_only=True)
class ScriptedSts:
    """Answers exchanges; `answer` is None for credentials, else called with the call's serial.

    `delay_seconds` of the fake clock pass before each answer.
    """

    clock: FakeClock
    lifetime_seconds: float = 3600.0
    delay_seconds: float = 0.0
    answer: Callable[[int], httpx.Response] | None = None
    forms: list[dict[str, str]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return len(self.forms)

    def transport(self, _context: ssl.SSLContext, _scope: NetworkScope) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(self.handle)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode(), strict_parsing=True)
        self.forms.append({name: values[0] for name, values in form.items()})
        self.requests.append(request)
        self.times.append(self.clock.now())
        serial = self.calls
        if self.delay_seconds:
            await self.clock.sleep(self.delay_seconds)
        if self.answer is not None:
            return self.answer(serial)
        expires_at = self.clock.now() + self.lifetime_seconds
        return streamed(200, credentials_document(serial, expires_at=expires_at))
