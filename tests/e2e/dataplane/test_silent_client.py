"""A client that falls silent in its upload is answered after a minute."""

import pytest

from bucketroute_testing.clients import RawClient


@pytest.mark.rule("3.13", "3.2.8")
def test_a_client_that_falls_silent_is_told_so(silent_upload: RawClient) -> None:
    answer = silent_upload.read_response("PUT")
    assert (answer.status, answer.error_code) == (400, "RequestTimeout")
    assert silent_upload.is_closed_by_peer()
