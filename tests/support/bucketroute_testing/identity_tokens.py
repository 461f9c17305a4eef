"""Callers' tokens at a fixed time, signed with keys that a test chooses, and their JWK Sets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from bucketroute_snapshot import ClassSettings, ClientIssuer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
CLUSTER = "https://kubernetes.default.svc.cluster.local"
EXTERNAL = "https://id.example.com"
AUDIENCE = "bucketroute"
SUBJECT = "system:serviceaccount:team-a:reporter"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name throughout a run: making one takes a tenth of a second."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    del name
    return ec.generate_private_key(ec.SECP256R1())


# JSON: Any is what jwt's functions take and give.
def jwk(key: PrivateKey, key_id: str | None = "k1", **extra: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    named = {} if key_id is None else {"kid": key_id}
    return {**public, **named, **extra}


def jwks(*keys: Mapping[str, Any]) -> str:
    return json.dumps({"keys": list(keys)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMint:
    """Signs tokens; `claims` replaces claims of a good one, and None leaves a claim out."""

    key: PrivateKey = field(default_factory=rsa_key)
    key_id: str = "k1"
    issuer: str = CLUSTER

    def mint(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        merged = {
            "iss": self.issuer,
            "sub": SUBJECT,
            "aud": [AUDIENCE],
            "iat": NOW_SECONDS - 10,
            "nbf": NOW_SECONDS - 10,
            "exp": NOW_SECONDS + 3600,
            **claims,
        }
        algorithm = "RS256" if isinstance(self.key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(
            {name: value for name, value in merged.items() if value is not None},
            self.key,
            algorithm=algorithm,
            headers={"kid": self.key_id, **(header or {})},
        )


def class_settings(document: str | None = None) -> ClassSettings:
    """A class that trusts the cluster (with the key `k1`) and one external issuer."""
    return ClassSettings(
        name="default",
        region="eu-west-1",
        client_issuers=(ClientIssuer(issuer=EXTERNAL, audiences=("s3", "backup")),),
        cluster_issuer=CLUSTER,
        cluster_jwks=jwks(jwk(rsa_key())) if document is None else document,
    )
