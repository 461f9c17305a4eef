"""An OIDC issuer for tests: a key, discovery and JWKS on loopback, tokens, and files as kubelet
projects them.
"""

import json
import os
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_KEY_BITS = 2048
_FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


class OidcIssuer:
    """Mints tokens and serves the documents with which they are verified; `with OidcIssuer() as
    issuer:`.
    """

    def __init__(self) -> None:
        self._key, self._kid = _new_key(), uuid.uuid4().hex
        self._http = _DocumentServer(("127.0.0.1", 0), _DocumentHandler)
        self._http.documents = {
            "/.well-known/openid-configuration": self._discovery(),
            "/openid/v1/jwks": self._jwks(),
        }
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True, name="oidc")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def discovery_url(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def rotate(self) -> None:
        """Signs with a new key from now on, and publishes that one only."""
        self._key, self._kid = _new_key(), uuid.uuid4().hex
        self._http.documents = {**self._http.documents, "/openid/v1/jwks": self._jwks()}

    def forge(self, subject: str, audience: str) -> str:
        """A token that is good in all but its signature: another's, under the ID of the key."""
        claims = jwt.decode(self.mint(subject, audience), options={"verify_signature": False})
        return jwt.encode(claims, _new_key(), algorithm="RS256", headers={"kid": self._kid})

    def mint(self, subject: str, audience: str, *, lifetime: timedelta = timedelta(hours=1)) -> str:
        """A signed token; a negative lifetime makes one that has expired already."""
        now = datetime.now(UTC)
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": [audience],
            "iat": min(now, now + lifetime) - timedelta(seconds=1),
            "nbf": min(now, now + lifetime) - timedelta(seconds=1),
            "exp": now + lifetime,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._kid})

    def _discovery(self) -> bytes:
        document = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return json.dumps(document).encode()

    def _jwks(self) -> bytes:
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self._kid, "use": "sig"}]}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def unverified_token() -> str:
    """A token in a JWT's shape, for fakes that verify none: signed with a key that nobody keeps."""
    claims = {"sub": "system:serviceaccount:default:default", "exp": _FAR_FUTURE}
    return jwt.encode(claims, uuid.uuid4().hex, algorithm="HS256")


class _DocumentServer(ThreadingHTTPServer):
    documents: dict[str, bytes]


class _DocumentHandler(BaseHTTPRequestHandler):
    server: _DocumentServer

    def do_GET(self) -> None:
        body = self.server.documents.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the default prints every request on stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedToken:
    """A token file laid out as kubelet lays out a projected volume.

    `token` is a link through `..data` to a directory that a rotation replaces by an atomic rename,
    so a reader sees the old token or the new one, and an open file keeps the old.
    """

    directory: Path

    @property
    def path(self) -> Path:
        return self.directory / "token"

    def rotate(self, token: str) -> None:
        """Put a token in place, the first one or the next."""
        self.directory.mkdir(parents=True, exist_ok=True)
        generation = self.directory / f"..{uuid.uuid4().hex}"
        generation.mkdir()
        (generation / "token").write_text(token)
        pending = self.directory / "..data_tmp"
        pending.symlink_to(generation.name)
        os.replace(pending, self.directory / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/token")
