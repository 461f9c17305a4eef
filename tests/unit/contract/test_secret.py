"""A secret shows itself to `reveal()` alone."""

import logging
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_snapshot import AccessKeySecret, Secret, SnapshotSecrets, StaticSecret

VALUE = "wJalrXUtnFEMI"
SECRET = Secret(VALUE)


@dataclass(frozen=True, slots=True)
class Holder:
    secret: Secret


def raised() -> str:
    try:
        raise ValueError(SECRET)
    except ValueError:
        return traceback.format_exc()


SHOWN = {
    "repr": repr(SECRET),
    "str": str(SECRET),
    "f-string": f"{SECRET}",
    "f-string repr": f"{SECRET!r}",
    "joined": " ".join(map(str, [SECRET])),
    "f-string ascii": f"{SECRET!a}",
    "dataclass": repr(Holder(SECRET)),
    "containers": repr([{"a": (SECRET,)}]),
    "traceback": raised(),
    "static": repr(
        StaticSecret(
            namespace="n",
            name="s",
            access_key_id="k",
            secret_access_key=SECRET,
            session_token=SECRET,
        )
    ),
    "snapshot": repr(
        SnapshotSecrets(
            access_keys=(
                AccessKeySecret(
                    namespace="n", name="s", access_key_id="k", secret_access_key=SECRET
                ),
            ),
            sealing_keys=(SECRET,),
        )
    ),
}


@pytest.mark.rule("3.10.17")
@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_no_text_form_shows_the_value(shown: str) -> None:
    assert VALUE not in shown
    assert "***" in shown


@pytest.mark.rule("3.10.17")
def test_a_log_record_does_not_show_the_value(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("the key is %s, %r", SECRET, Holder(SECRET))
    assert VALUE not in caplog.text
    assert "***" in caplog.text


def test_the_value_is_revealed_on_request() -> None:
    assert SECRET.reveal() == VALUE


@given(st.text(), st.text())
def test_secrets_are_equal_when_their_values_are(one: str, other: str) -> None:
    assert Secret(one) == Secret(one)
    assert hash(Secret(one)) == hash(Secret(one))
    assert (Secret(one) == Secret(other)) is (one == other)


def test_a_secret_is_no_string() -> None:
    assert SECRET != VALUE
    assert not Secret("")
    assert SECRET
