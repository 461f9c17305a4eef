"""Snapshots and secrets as bytes: what is encoded comes back, and nothing else is accepted."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_snapshot import (
    ClassSettings,
    Route,
    Snapshot,
    SnapshotDecoder,
    SnapshotFormatError,
    SnapshotSecrets,
    decode_secrets,
    decode_snapshot,
    encode_secrets,
    encode_snapshot,
)
from bucketroute_testing.heads import route
from bucketroute_testing.snapshot_values import ROUTES, SECRETS, SETTINGS

SNAPSHOT = Snapshot(settings=ClassSettings(name="default", region="r"), routes=(route("photos"),))
LINES = encode_snapshot(SNAPSHOT).splitlines()


def changed(line: bytes, *path: Any, value: Any) -> bytes:
    """The line with one value replaced, or added where it was not."""
    document = json.loads(line)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(document).encode()


def without(line: bytes, name: str) -> bytes:
    document = json.loads(line)
    del document[name]
    return json.dumps(document).encode()


def refused(*lines: bytes) -> str:
    with pytest.raises(SnapshotFormatError) as caught:
        decode_snapshot(b"\n".join(lines))
    return str(caught.value)


@settings(max_examples=60)
@given(SETTINGS, st.lists(ROUTES, max_size=2))
def test_every_snapshot_comes_back_as_it_was(class_: ClassSettings, routes: list[Route]) -> None:
    snapshot = Snapshot(settings=class_, routes=tuple(routes))
    body = encode_snapshot(snapshot)
    assert decode_snapshot(body) == snapshot
    assert len(body.splitlines()) == 1 + len(routes)
    assert encode_snapshot(decode_snapshot(body)) == body


@given(SECRETS)
def test_secrets_come_back_as_they_were(secrets: SnapshotSecrets) -> None:
    assert decode_secrets(encode_secrets(secrets)) == secrets


def test_a_field_at_its_default_takes_no_room() -> None:
    """So that a default that is added later changes no digest."""
    assert "exported" in json.loads(LINES[1])
    assert {"cors", "limits", "timeouts"}.isdisjoint(json.loads(LINES[1]))


def test_names_are_in_camel_case_and_lines_are_canonical() -> None:
    document = json.loads(LINES[1])
    assert "createdAt" in document
    assert LINES[1] == json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def test_a_decoder_takes_the_lines_one_by_one() -> None:
    decoder = SnapshotDecoder()
    for line in LINES:
        decoder.feed_line(line)
    assert decoder.finish() == SNAPSHOT


BROKEN = {
    "nothing": [],
    "no header": [LINES[1]],
    "a route is missing": LINES[:1],
    "a route too many": [*LINES, LINES[1]],
    "no JSON": [LINES[0], b"{"],
    "no UTF-8": [LINES[0], b'"\xff"'],
    "too deep": [LINES[0], b"[" * 200_000],
    "an empty line": [LINES[0], b"", LINES[1]],
    "no object": [LINES[0], b"[]"],
    "null": [LINES[0], b"null"],
    "header is a list": [b"[]", LINES[1]],
    "header with another field": [changed(LINES[0], "more", value=1), LINES[1]],
    "an unknown field": [LINES[0], changed(LINES[1], "more", value=1)],
    "an unknown field deep inside": [LINES[0], changed(LINES[1], "backend", "more", value=1)],
    "a snake case field": [LINES[0], changed(LINES[1], "created_at", value="x")],
    "a field is missing": [LINES[0], without(LINES[1], "uid")],
    "a number for a text": [LINES[0], changed(LINES[1], "uid", value=1)],
    "a text for a number": [LINES[0], changed(LINES[1], "generation", value="1")],
    "a truth for a number": [LINES[0], changed(LINES[1], "generation", value=True)],
    "a number for a truth": [LINES[0], changed(LINES[1], "exported", value=1)],
    "a fraction for a whole": [LINES[0], changed(LINES[1], "generation", value=1.5)],
    "a text for a list": [LINES[0], changed(LINES[1], "access", value="s3:*")],
    "an object for a list": [LINES[0], changed(LINES[1], "access", value={})],
    "null for a text": [LINES[0], changed(LINES[1], "uid", value=None)],
    "an unknown value": [LINES[0], changed(LINES[1], "state", value="Paused")],
    "a list for a value": [LINES[0], changed(LINES[1], "state", value=[])],
    "an unknown kind": [LINES[0], changed(LINES[1], "backend", "auth", "kind", value="Magic")],
    "no kind": [LINES[0], changed(LINES[1], "backend", "auth", value={"namespace": "n"})],
    "no object with a kind": [LINES[0], changed(LINES[1], "backend", "auth", value="Static")],
    "a field of another kind": [
        LINES[0],
        changed(LINES[1], "backend", "auth", "roleArn", value="arn"),
    ],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN)
def test_what_is_not_a_snapshot_is_refused(lines: list[bytes]) -> None:
    assert refused(*lines)


@pytest.mark.parametrize("version", [0, 3, "1", True, 1.0, None], ids=repr)
def test_another_schema_version_is_refused(version: object) -> None:
    assert refused(changed(LINES[0], "schemaVersion", value=version), LINES[1])


@pytest.mark.parametrize("count", ["1", True, 1.0, None, 2, 0, -1], ids=repr)
def test_the_header_counts_the_routes(count: object) -> None:
    assert refused(changed(LINES[0], "routeCount", value=count), LINES[1])


def test_a_whole_number_of_seconds_is_a_number_of_seconds() -> None:
    line = changed(LINES[1], "timeouts", value={"idleSeconds": 30})
    assert decode_snapshot(b"\n".join([LINES[0], line])).routes[0].timeouts.idle_seconds == 30.0


def test_a_backend_may_be_null() -> None:
    line = changed(LINES[1], "backend", value=None)
    assert decode_snapshot(b"\n".join([LINES[0], line])).routes[0].backend is None


BROKEN_SECRETS = [
    b"TOPSECRET",
    b'"TOPSECRET"',
    b'{"sealingKeys":"TOPSECRET"}',
    b'{"sealingKeys":[["TOPSECRET"]]}',
    b'{"static":[{"secretAccessKey":"TOPSECRET"}]}',
    b'{"accessKeys":[{"namespace":"n","name":1,"accessKeyId":"k","secretAccessKey":"TOPSECRET"}]}',
    b"[" * 200_000 + b"TOPSECRET",
    b'{"static":["TOPSECRET"]}\xff',
]


@pytest.mark.parametrize("body", BROKEN_SECRETS, ids=range(len(BROKEN_SECRETS)))
def test_the_refusal_of_secrets_never_quotes_them(body: bytes) -> None:
    with pytest.raises(SnapshotFormatError) as caught:
        decode_secrets(body)
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "TOPSECRET" not in str(shown)
        shown = shown.__cause__
