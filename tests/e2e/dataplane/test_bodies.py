"""Bodies that are not what was declared never become an object: short, long, other bytes."""

import pytest

from bucketroute_testing.chunk_forms import CHUNK_FORMS, ChunkedUpload, ChunkForm
from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BACKEND_BUCKET, BUCKET, Gateway
from bucketroute_testing.processes import wait_until
from bucketroute_testing.wire import WireBackend
from bucketroute_testing.wire_types import KiB

LENGTH = 300 * KiB


@pytest.mark.rule("3.2.17")
def test_a_body_that_ends_early_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", shared_gateway.put_headers("k", b"x" * LENGTH))
        raw.send(b"x" * (LENGTH // 2))
        wait_until(lambda: bool(recorded.server.heads), deadline_seconds=5, what="the head")
    wait_until(lambda: bool(recorded.requests("PUT")), deadline_seconds=10, what="its end")
    assert not recorded.only_request("PUT").is_complete
    assert recorded.store.keys(BACKEND_BUCKET) == []


def test_bytes_beyond_the_declared_length_are_no_part_of_the_object(
    recorded: WireBackend, shared_gateway: Gateway
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", shared_gateway.put_headers("k", b"x" * 10))
        raw.send(b"x" * 10 + b"surplus\r\n\r\n")
        assert raw.read_response("PUT").status in (200, 400)
    # Refused as a whole or stored as declared, as the surplus comes before the answer or after.
    stored = {each.body for each in recorded.store.buckets.get(BACKEND_BUCKET, {}).values()}
    assert stored <= {b"x" * 10}


@pytest.mark.parametrize("claimed", [LENGTH - 1, LENGTH + 1], ids=["too-long", "too-short"])
@pytest.mark.parametrize("form", CHUNK_FORMS.values(), ids=CHUNK_FORMS)
def test_a_chunked_body_of_another_length_than_declared_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway, form: ChunkForm, claimed: int
) -> None:
    wrong = ChunkedUpload(
        form=form,
        key=shared_gateway.key,
        bucket=BUCKET,
        payload=payload(LENGTH),
        decoded_length=claimed,
    )
    answer = wrong.send(shared_gateway.endpoint)
    assert answer.status == 400, answer.body
    assert recorded.store.keys(BACKEND_BUCKET) == []
    assert all(not request.is_complete for request in recorded.requests("PUT"))


@pytest.mark.rule("3.10.4")
@pytest.mark.parametrize("size", [10, LENGTH], ids=["short", "long"])
def test_a_body_with_another_sha256_never_becomes_an_object(
    recorded: WireBackend, shared_gateway: Gateway, size: int
) -> None:
    with shared_gateway.raw() as raw:
        raw.send_head("PUT", f"/{BUCKET}/k", shared_gateway.put_headers("k", b"x" * size))
        raw.send(b"y" * size)
        answer = raw.read_response("PUT")
    assert (answer.status, answer.error_code) == (400, "XAmzContentSHA256Mismatch")
    assert recorded.store.keys(BACKEND_BUCKET) == []
