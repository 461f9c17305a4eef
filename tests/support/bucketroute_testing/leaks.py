"""Nothing of a backend may show in what a client sees: not its bucket, prefix, address or software.

Every response that passes the raw client or the boto3 client of a `Gateway` goes through a
`LeakCheck`, so a test has to do nothing for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What MinIO, moto and the recording backend say of themselves, in lower case.
_BACKEND_HEADERS = ("x-amz-id-2", "x-minio-", "x-rgw-", "via", "set-cookie", "location")
_BACKEND_WORDS = (b"backend-host-id", b"BACKENDREQUESTID", b"backend-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakCheck:
    """Knows the texts that belong to one backend: its bucket, prefix and `host:port`."""

    secrets: tuple[str, ...]

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """AssertionError with what leaked where."""
        leaked = [
            f"{name}: {value}"
            for name, value in headers.items()
            if name.lower().startswith(_BACKEND_HEADERS)
            or self._mentions(f"{name}: {value}".encode("latin-1", "replace"))
            or (name.lower() == "server" and value != "BucketRoute")
        ]
        # Of an object only the length is looked at: its bytes are the client's own.
        is_document = "xml" in headers.get("content-type", headers.get("Content-Type", ""))
        if is_document and self._mentions(body):
            leaked.append(body[:2000].decode(errors="replace"))
        assert not leaked, f"the backend shows: {leaked}"

    def watch(self, client: Any) -> Any:
        """Check every response of a boto3 client too; returns the client."""
        client.meta.events.register("before-parse.s3", self._on_response)
        return client

    def _on_response(self, response_dict: dict[str, Any], **_: object) -> None:
        body = response_dict["body"]
        headers = {name.lower(): value for name, value in response_dict["headers"].items()}
        self.check(headers, body if isinstance(body, bytes) else b"")

    def _mentions(self, text: bytes) -> bool:
        secrets = (*(secret.encode() for secret in self.secrets), *_BACKEND_WORDS)
        return any(secret in text for secret in secrets)
