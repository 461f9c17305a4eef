"""Who a caller is, and whether a subject of an access rule means them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from bucketroute_snapshot import (
    AccessKeySubject,
    AnonymousSubject,
    NamespaceSubject,
    OIDCSubject,
    ServiceAccountSubject,
    Subject,
)
from bucketroute_snapshot.glob import matches_glob


class IdentityKind(Enum):
    ANONYMOUS = "anonymous"
    ACCESS_KEY = "accesskey"
    SERVICE_ACCOUNT = "system:serviceaccount"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An authenticated caller (or nobody in particular: `ANONYMOUS`).

    `name` is the service account, the access key's Secret, or the OIDC subject. `namespace` is
    where bucket names are looked up first; an external OIDC caller has none.
    """

    kind: IdentityKind
    name: str = ""
    namespace: str | None = None
    issuer: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case IdentityKind.ANONYMOUS:
                return "anonymous"
            case IdentityKind.ACCESS_KEY:
                return f"accesskey:{self.namespace}/{self.name}"
            case IdentityKind.SERVICE_ACCOUNT:
                return f"system:serviceaccount:{self.namespace}:{self.name}"
            case IdentityKind.OIDC:
                return f"oidc:{self.issuer}#{self.name}"

    def placeholders(self) -> dict[str, str | None]:
        """Values of the placeholders in rule prefixes; None means that it matches nothing."""
        is_service_account = self.kind is IdentityKind.SERVICE_ACCOUNT
        subject = str(self) if is_service_account else self.name
        return {
            "${namespace}": self.namespace,
            "${serviceAccount}": self.name if is_service_account else None,
            "${subject}": subject or None,
        }


ANONYMOUS = Identity(kind=IdentityKind.ANONYMOUS)


def access_key_identity(namespace: str, secret_name: str) -> Identity:
    return Identity(kind=IdentityKind.ACCESS_KEY, namespace=namespace, name=secret_name)


def service_account_identity(namespace: str, name: str) -> Identity:
    return Identity(kind=IdentityKind.SERVICE_ACCOUNT, namespace=namespace, name=name)


def oidc_identity(issuer: str, subject: str) -> Identity:
    return Identity(kind=IdentityKind.OIDC, issuer=issuer, name=subject)


def subject_matches(subject: Subject, identity: Identity) -> bool:
    """Whether a rule's subject means this caller. An anonymous grant means everybody."""
    match subject:
        case AnonymousSubject():
            return True
        case AccessKeySubject():
            return identity == access_key_identity(subject.namespace, subject.name)
        case NamespaceSubject():
            is_service_account = identity.kind is IdentityKind.SERVICE_ACCOUNT
            return is_service_account and identity.namespace == subject.name
        case ServiceAccountSubject():
            return (
                identity.kind is IdentityKind.SERVICE_ACCOUNT
                and identity.namespace == subject.namespace
                and subject.name in ("*", identity.name)
            )
        case OIDCSubject():
            return (
                identity.kind is IdentityKind.OIDC
                and identity.issuer == subject.issuer
                and matches_glob(subject.subject, identity.name)
            )
        case _:
            assert_never(subject)
