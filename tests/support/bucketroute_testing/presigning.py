"""Presigned URLs made by hand, so that a test can choose their date, their lifetime and their
mistakes.

Source: AWS "Authenticating requests: using query parameters".
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bucketroute_testing.signing import AccessKey
from bucketroute_testing.wire_types import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Presigner:
    """Presigns as one caller. `age` lets the signature have been made that long ago."""

    key: AccessKey
    age: timedelta = timedelta()
    expires_seconds: int = 3600
    region: str = "us-east-1"

    def target(self, method: str, url: str, *, query: Headers = (), headers: Headers = ()) -> str:
        """Path and query of the presigned URL; `headers` are signed and must be sent too."""
        timestamp = (datetime.now(UTC) - self.age).strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": urlsplit(url).netloc, **{name.lower(): value for name, value in headers}}
        scope = f"{timestamp[:8]}/{self.region}/s3/aws4_request"
        pairs = [
            *query,
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.key.access_key_id}/{scope}"),
            ("X-Amz-Date", timestamp),
            ("X-Amz-Expires", str(self.expires_seconds)),
            ("X-Amz-SignedHeaders", ";".join(sorted(sent))),
        ]
        credentials = Credentials(self.key.access_key_id, self.key.secret_access_key)
        auth = S3SigV4QueryAuth(credentials, "s3", self.region)
        request = AWSRequest(method=method, url=url, params=pairs, headers=sent)
        request.context["timestamp"] = timestamp
        to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        pairs.append(("X-Amz-Signature", auth.signature(to_sign, request)))
        encoded = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
        return f"{urlsplit(url).path}?{encoded}"
