"""The projected token: read at every exchange, refused when it is none, its text never shown."""

import base64
from pathlib import Path

import pytest

from bucketroute_dataplane.core.web_identity_token import (
    WebIdentityTokenError,
    parse_web_identity_token,
)
from bucketroute_dataplane.shell.tokens import MAX_TOKEN_BYTES, TokenFile
from bucketroute_testing.oidc import ProjectedToken
from bucketroute_testing.web_identity import SIGNATURE, SUBJECT, projected_token


def _jwt(claims: str) -> str:
    return f"e30.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.{SIGNATURE}"


def test_the_subject_and_times_are_read_without_verifying() -> None:
    token = parse_web_identity_token(f"{projected_token()}\n")
    assert token.value.reveal() == projected_token()
    assert token.subject == SUBJECT
    assert (token.issued_at, token.expires_at) == (1_800_000_000.0, 1_800_003_600.0)


def test_a_token_may_have_no_times() -> None:
    token = parse_web_identity_token(_jwt('{"sub": "a", "exp": "soon"}'))
    assert (token.issued_at, token.expires_at) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("hunter2-hunter2", "not a JWT"),
        ("hunter2.hunter2", "not a JWT"),
        ("hunter2.hunter2 and.more", "not a JWT"),
        ("hunter2.hünter.more", "not a JWT"),
        ("hunter2.hunter2.hunter2", "not JSON in base64url"),
        ("e30.a.hunter2", "not JSON in base64url"),
        (_jwt("[1]"), "not JSON in base64url"),
        (_jwt('{"aud": "hunter2"}'), "names no subject"),
        (_jwt('{"sub": ""}'), "names no subject"),
        (_jwt('{"sub": 7}'), "names no subject"),
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(WebIdentityTokenError, match=message) as caught:
        parse_web_identity_token(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_token_does_not_show_itself() -> None:
    assert SIGNATURE not in repr(parse_web_identity_token(projected_token()))


def test_the_file_is_read_again_each_time(tmp_path: Path) -> None:
    volume = ProjectedToken(directory=tmp_path / "volume")
    volume.rotate(projected_token("first"))
    tokens = TokenFile(volume.path)
    assert tokens.read().subject == "first"
    volume.rotate(projected_token("second"))
    assert tokens.read().subject == "second"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WebIdentityTokenError, match=r"token cannot be read: No such file"):
        TokenFile(tmp_path / "token").read()


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(WebIdentityTokenError, match=rf"is empty \({tmp_path}/token\)"):
        TokenFile(tmp_path / "token").read()


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a" * (MAX_TOKEN_BYTES + 1))
    with pytest.raises(WebIdentityTokenError, match="larger than 65536 bytes"):
        TokenFile(tmp_path / "token").read()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe.\x00.\x01")
    with pytest.raises(WebIdentityTokenError, match="not a JWT"):
        TokenFile(tmp_path / "token").read()


def test_with_no_file_configured_the_error_says_so() -> None:
    with pytest.raises(WebIdentityTokenError, match="no web identity token file is configured"):
        TokenFile(None).read()
