"""One line of JSON a request: what it holds, and that it is JSON whatever a client sends."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.shell.access_log import (
    MAX_WAITING_LINES,
    AccessLog,
    AccessRecord,
    milliseconds,
)

RECORD = AccessRecord(
    request_id="00000000000000AB",
    method="PUT",
    client_address="10.0.0.1",
    started=1.0,
    bucket="photos",
    key="a/b",
    operation="PutObject",
    route="team-a/photos",
    caller="system:serviceaccount:team-a:app",
    status=200,
    authorized=1.001,
    credentials_ready=1.003,
    backend_sent=1.004,
    first_byte=1.104,
    ended=1.25,
    bytes_in=11,
    bytes_out=7,
)
TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.rule("3.1.5")
def test_a_line_says_who_did_what_to_what_and_how_it_ended() -> None:
    assert json.loads(RECORD.line("2026-01-02T03:04:05.000Z")) == {
        "time": "2026-01-02T03:04:05.000Z",
        "requestId": "00000000000000AB",
        "client": "10.0.0.1",
        "caller": "system:serviceaccount:team-a:app",
        "route": "team-a/photos",
        "operation": "PutObject",
        "method": "PUT",
        "bucket": "photos",
        "key": "a/b",
        "status": 200,
        "bytesIn": 11,
        "bytesOut": 7,
        "durationMs": 250.0,
        "authMs": 1.0,
        "credentialsMs": 2.0,
        "backendMs": 100.0,
    }


def test_what_did_not_happen_is_left_out_and_what_did_is_there() -> None:
    buffered = replace(
        RECORD, body_read=1.002, error_code="NoSuchKey", backend_request_id='TX"1', detail="why"
    )
    said = json.loads(buffered.line("t"))
    assert (said["bodyMs"], said["credentialsMs"]) == (1.0, 1.0)
    assert (said["errorCode"], said["backendRequestId"], said["detail"]) == (
        "NoSuchKey",
        'TX"1',
        "why",
    )
    assert {"bodyMs", "errorCode", "detail"}.isdisjoint(json.loads(RECORD.line("t")))


@pytest.mark.rule("3.1.8")
def test_server_timing_has_the_phases_that_were_gone_through() -> None:
    assert RECORD.server_timing(1.2) == (
        b"total;dur=200.0, auth;dur=1.0, credentials;dur=2.0, backend;dur=100.0"
    )
    refused = replace(RECORD, authorized=0.0, credentials_ready=0.0, first_byte=0.0)
    assert refused.server_timing(1.002) == b"total;dur=2.0"


@given(bucket=TEXT, key=TEXT, caller=TEXT, detail=TEXT, method=TEXT)
def test_no_text_breaks_the_line(
    bucket: str, key: str, caller: str, detail: str, method: str
) -> None:
    record = replace(
        RECORD, bucket=bucket, key=key, caller=caller, detail=detail or None, method=method
    )
    line = record.line("t")
    assert "\n" not in line
    assert "\r" not in line
    said = json.loads(line)
    assert (said["bucket"], said["key"], said["caller"]) == (bucket, key, caller)
    assert (said["method"], said.get("detail", "")) == (method, detail)
    assert said["status"] == 200


async def test_lines_are_written_in_batches_and_none_is_lost() -> None:
    written: list[str] = []
    log = AccessLog(written.append, now=lambda: 1_767_323_045.5)
    for _ in range(MAX_WAITING_LINES + 1):
        log.write(RECORD)
    assert len(written) == 1
    log.flush()
    assert len(written) == 2
    lines = "".join(written).splitlines()
    assert len(lines) == MAX_WAITING_LINES + 1
    assert {json.loads(line)["time"] for line in lines} == {"2026-01-02T03:04:05.500Z"}


async def test_flushing_nothing_writes_nothing() -> None:
    written: list[str] = []
    AccessLog(written.append, now=lambda: 0.0).flush()
    assert not written


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0"),
        (0.00004, "0.0"),
        (0.00006, "0.1"),
        (0.0123, "12.3"),
        (0.19994, "199.9"),
        (0.2, "200.0"),
        (0.99996, "1000.0"),
        (75.25, "75250.0"),
        (-0.002, "-2.0"),
    ],
)
def test_durations_have_one_digit_behind_the_point(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text
