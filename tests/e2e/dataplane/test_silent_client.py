"""A client that falls silent in its upload is answered after a minute."""

from contextlib import closing

import pytest

from bucketroute_testing.clients import RawClient
from bucketroute_testing.gateway import BUCKET, Gateway


@pytest.mark.minio
@pytest.mark.rule("3.13", "3.2.8")
def test_a_client_that_falls_silent_is_told_so(
    minio_gateway: Gateway, silent_upload: RawClient
) -> None:
    answer = silent_upload.read_response("PUT")
    assert (answer.status, answer.error_code) == (400, "RequestTimeout")
    assert silent_upload.is_closed_by_peer()
    with closing(minio_gateway.client()) as client:
        assert client.list_objects_v2(Bucket=BUCKET, Prefix="silent")["KeyCount"] == 0
