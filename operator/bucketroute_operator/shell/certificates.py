"""Certificates of our own listeners: an authority of the operator's own, and what to renew when.

Pure but for randomness: the clock is an argument. `certificate_store.py` keeps the result in the
cluster. A new authority is trusted long before it signs, because sidecars are given the bundle
once, when their pod is created.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
AUTHORITY_RENEWED_BEFORE = timedelta(days=730)
NEW_AUTHORITY_SIGNS_AFTER = timedelta(days=365)
SERVING_LIFETIME = timedelta(days=90)
SERVING_RENEWED_BEFORE = timedelta(days=30)
# Clocks of nodes differ by seconds, of badly kept ones by minutes.
_BACKDATED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and its private key, PEM. The key is in no `repr`."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "KeyPair('***')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """`next_authority` is trusted already and signs once it is old enough."""

    authority: KeyPair
    serving: KeyPair
    next_authority: KeyPair | None = None

    @property
    def bundle(self) -> str:
        """What clients trust."""
        following = "" if self.next_authority is None else self.next_authority.certificate
        return self.authority.certificate + following


def renewed(
    certificates: Certificates | None, names: tuple[str, ...], now: datetime
) -> Certificates:
    """The same value if nothing is due; otherwise what replaces it."""
    if certificates is None:
        authority = _new_authority(now)
        return Certificates(authority=authority, serving=_serving(authority, names, now))
    current = _with_due_authority(certificates, now)
    serving = serving_renewed(current.serving, current.authority, names, now)
    return current if serving == current.serving else replace(current, serving=serving)


def serving_renewed(
    serving: KeyPair | None, authority: KeyPair, names: tuple[str, ...], now: datetime
) -> KeyPair:
    """The same value if it is good for a while; otherwise one that the authority signs."""
    if serving is None:
        return _serving(authority, names, now)
    certificate = _parse(serving)
    is_due = certificate.not_valid_after_utc - now < SERVING_RENEWED_BEFORE
    is_ours = certificate.issuer == _parse(authority).subject
    if is_due or not is_ours or _names_of(certificate) != set(names):
        return _serving(authority, names, now)
    return serving


def expires_at(pair: KeyPair) -> datetime:
    """Raises: ValueError if it is not a certificate."""
    return _parse(pair).not_valid_after_utc


def _with_due_authority(certificates: Certificates, now: datetime) -> Certificates:
    following = certificates.next_authority
    if following is None:
        left = expires_at(certificates.authority) - now
        if left >= AUTHORITY_RENEWED_BEFORE:
            return certificates
        return replace(certificates, next_authority=_new_authority(now))
    age = now - _parse(following).not_valid_before_utc
    if age < NEW_AUTHORITY_SIGNS_AFTER and expires_at(certificates.authority) > now:
        return certificates
    return replace(certificates, authority=following, next_authority=None)


def _new_authority(now: datetime) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The serial in the name tells two authorities apart where a client sees both.
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"bucketroute-operator-ca-{serial % 10**8:08}")]
    )
    certificate = (
        _builder(name, name, key.public_key(), now + AUTHORITY_LIFETIME, now)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def _serving(authority: KeyPair, names: tuple[str, ...], now: datetime) -> KeyPair:
    signer = serialization.load_pem_private_key(authority.key.encode(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = _parse(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    until = min(now + SERVING_LIFETIME, issuer.not_valid_after_utc)
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), until, now)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return _pair(certificate, key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    until: datetime,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_names(names: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _names_of(certificate: x509.Certificate) -> set[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def _parse(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.encode())
