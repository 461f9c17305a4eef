"""Whose token is taken, whose is not, and in which order that is found out."""

import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import jwt
import pytest

from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import oidc_identity, service_account_identity
from bucketroute_dataplane.core.identity_token import (
    MAX_TOKEN_LENGTH,
    VerifiedToken,
    admit,
    identify,
    read_token,
    trusted_issuers,
)
from bucketroute_dataplane.core.jwk import parse_jwks
from bucketroute_snapshot import ClassSettings, ClientIssuer
from bucketroute_testing.identity_tokens import (
    AUDIENCE,
    CLUSTER,
    EXTERNAL,
    NOW,
    NOW_SECONDS,
    SUBJECT,
    TokenMint,
    class_settings,
    ec_key,
    jwk,
    jwks,
    rsa_key,
)

SETTINGS = class_settings()
KEYS = parse_jwks(jwks(jwk(rsa_key()), jwk(ec_key(), "e1")))


def verified(text: str, settings: ClassSettings = SETTINGS) -> VerifiedToken:
    token = read_token(text)
    issuer = admit(token, trusted_issuers(settings))
    return identify(token, KEYS.get(token.key_id), issuer, NOW)


def refused(text: str, settings: ClassSettings = SETTINGS) -> S3Error:
    with pytest.raises(S3Error) as caught:
        verified(text, settings)
    return caught.value


def test_a_service_account_is_who_its_token_says() -> None:
    assert verified(TokenMint().mint()) == VerifiedToken(
        identity=service_account_identity("team-a", "reporter"),
        subject=SUBJECT,
        audience=AUDIENCE,
        issuer=CLUSTER,
    )


def test_es256_is_taken_too() -> None:
    token = TokenMint(key=ec_key(), key_id="e1").mint()
    assert verified(token).identity == service_account_identity("team-a", "reporter")


def test_an_external_subject_is_never_a_service_account() -> None:
    token = TokenMint(issuer=EXTERNAL).mint(aud="s3")
    assert verified(token).identity == oidc_identity(EXTERNAL, SUBJECT)


@pytest.mark.rule("3.12.8")
@pytest.mark.parametrize(
    ("audience", "is_taken"),
    [
        ("s3", True),
        (["other", "backup"], True),
        ("other", False),
        (["s30"], False),
        ([], False),
        ("", False),
        (None, False),
        ([["s3"]], False),
        ({"s3": 1}, False),
    ],
)
def test_any_overlap_of_audiences_passes(audience: Any, is_taken: bool) -> None:
    token = TokenMint(issuer=EXTERNAL).mint(aud=audience)
    if is_taken:
        assert verified(token).audience in ("s3", "backup")
    else:
        assert refused(token).message == "Incorrect token audience"


@pytest.mark.rule("3.12.7")
@pytest.mark.parametrize("audiences", [(), ("",)])
def test_an_issuer_without_audiences_accepts_nothing(audiences: tuple[str, ...]) -> None:
    issuer = ClientIssuer(issuer=EXTERNAL, audiences=audiences)
    settings = replace(SETTINGS, client_issuers=(issuer,))
    for claimed in ("", [], [""], None, "s3"):
        error = refused(TokenMint(issuer=EXTERNAL).mint(aud=claimed), settings)
        assert error.code == "InvalidIdentityToken"


def test_the_cluster_s_tokens_are_for_the_class_s_audience_only() -> None:
    settings = replace(SETTINGS, client_audience="other")
    assert refused(TokenMint().mint(), settings).message == "Incorrect token audience"


def test_the_cluster_stays_the_cluster_when_it_is_listed_as_an_issuer_as_well() -> None:
    listed = ClientIssuer(issuer=CLUSTER, audiences=("anything",))
    settings = replace(SETTINGS, client_issuers=(listed,))
    assert refused(TokenMint().mint(aud="anything"), settings).code == "InvalidIdentityToken"


@pytest.mark.rule("3.12.7")
@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW_SECONDS - 59}, None),
        ({"exp": NOW_SECONDS - 60}, "ExpiredTokenException"),
        ({"exp": NOW_SECONDS - 60.5}, "ExpiredTokenException"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"exp": "never"}, "InvalidIdentityToken"),
        ({"exp": True}, "InvalidIdentityToken"),
        ({"exp": float("nan")}, "InvalidIdentityToken"),
        ({"exp": float("inf")}, "InvalidIdentityToken"),
        ({"nbf": NOW_SECONDS + 60}, None),
        ({"nbf": NOW_SECONDS + 61}, "InvalidIdentityToken"),
        ({"nbf": "soon"}, "InvalidIdentityToken"),
        ({"nbf": None}, None),
    ],
)
def test_times_count_with_a_minute_of_skew(claims: dict[str, Any], code: str | None) -> None:
    token = TokenMint().mint(**claims)
    if code is None:
        assert verified(token).subject == SUBJECT
    else:
        assert (refused(token).code, refused(token).status) == (code, 400)


@pytest.mark.parametrize(
    "subject",
    [
        None,
        "",
        7,
        "system:serviceaccount:team-a",
        "system:serviceaccount::reporter",
        "system:serviceaccount:team-a:",
        "system:serviceaccount:team-a:re:porter",
        "system:serviceaccount:Team-A:reporter",
        "system:serviceaccount:team-a:reporter\n",
        "system:serviceaccount:" + "a" * 64 + ":reporter",
        "system:node:worker-1",
        "system:anonymous",
    ],
)
def test_only_service_accounts_of_the_cluster_log_in(subject: Any) -> None:
    # pyjwt would refuse to write a subject that is no text.
    claims = {"iss": CLUSTER, "sub": subject, "aud": AUDIENCE, "exp": NOW_SECONDS + 60}
    claims = {name: value for name, value in claims.items() if value is not None}
    token = jwt.api_jws.encode(
        json.dumps(claims).encode(),
        rsa_key(),
        algorithm="RS256",
        headers={"kid": "k1"},
    )
    assert refused(token).code == "InvalidIdentityToken"


@pytest.mark.parametrize("subject", ["a" * 256, "with\nline", "with\x00nul"])
def test_an_external_subject_is_bounded_and_printable(subject: str) -> None:
    token = TokenMint(issuer=EXTERNAL).mint(aud="s3", sub=subject)
    assert refused(token).code == "InvalidIdentityToken"


def test_a_forged_signature_is_refused() -> None:
    forged = TokenMint(key=rsa_key("two")).mint()
    assert "signature" in refused(forged).message


def test_changed_claims_are_refused() -> None:
    head, _, tail = TokenMint().mint().split(".")
    other = TokenMint().mint(sub="system:serviceaccount:team-b:admin").split(".")[1]
    assert "signature" in refused(f"{head}.{other}.{tail}").message


def test_a_key_that_the_issuer_has_deleted_is_unknown() -> None:
    assert "verification key" in refused(TokenMint(key_id="gone").mint()).message


def test_a_key_is_good_for_its_own_algorithm_only() -> None:
    token = TokenMint(key=ec_key(), key_id="k1").mint()
    assert "verification key" in refused(token).message


@pytest.mark.rule("3.12.6")
def test_an_untrusted_issuer_is_refused_before_a_key_is_asked_for() -> None:
    token = read_token(TokenMint(issuer="https://evil.example.com").mint())
    with pytest.raises(S3Error, match="No OpenIDConnect provider"):
        admit(token, trusted_issuers(SETTINGS))


@pytest.mark.rule("3.12.6")
@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "rs256", "PS256"])
def test_another_algorithm_is_refused_before_a_key_is_asked_for(algorithm: str) -> None:
    head = urlsafe_b64encode(f'{{"alg": "{algorithm}", "kid": "k1"}}'.encode()).rstrip(b"=")
    token = read_token(f"{head.decode()}.{TokenMint().mint().partition('.')[2]}")
    with pytest.raises(S3Error, match="RS256 or ES256"):
        admit(token, trusted_issuers(SETTINGS))


@pytest.mark.rule("3.12.5")
def test_the_issuer_is_judged_before_the_algorithm_and_the_key_before_the_audience() -> None:
    stranger = TokenMint(key=ec_key(), issuer="https://evil.example.com").mint(exp=0)
    assert "No OpenIDConnect" in refused(stranger).message
    assert "verification key" in refused(TokenMint(key_id="gone").mint(aud="x", exp=0)).message
    assert "signature" in refused(TokenMint(key=rsa_key("two")).mint(aud="x", exp=0)).message
    assert "audience" in refused(TokenMint().mint(aud="x", exp=0)).message
    assert refused(TokenMint().mint(sub="x", exp=0)).code == "ExpiredTokenException"


@pytest.mark.rule("3.12.7")
@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"crit": ["b64"]}, {"typ": "logout+jwt"}])
def test_another_type_of_token_is_refused(header: dict[str, Any]) -> None:
    assert "header" in refused(TokenMint().mint(header=header)).message


def test_the_type_may_be_in_lower_case() -> None:
    assert verified(TokenMint().mint(header={"typ": "jwt"})).subject == SUBJECT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        "....",
        "e30.e30.",
        "e30.W10.c2ln",
        "W10.e30.c2ln",
        "e30.bm8.c2ln",
        "e30.!!.c2ln",
        "e30.é.c2ln",
        "e30." + "A" * MAX_TOKEN_LENGTH + ".c2ln",
    ],
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    error = refused(text)
    assert error.code == "InvalidIdentityToken"
    assert not text or text not in error.message


def test_the_reasons_never_hold_the_token() -> None:
    token = TokenMint(key=rsa_key("two")).mint()
    assert not any(part in str(refused(token)) for part in token.split("."))
    assert SUBJECT not in repr(read_token(token))
