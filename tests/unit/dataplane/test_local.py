"""Operations that the snapshot alone answers: who sees which bucket, and what is refused."""

import pytest

from bucketroute_dataplane.core import xml
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import ANONYMOUS, Identity, service_account_identity
from bucketroute_dataplane.core.local import local_answer
from bucketroute_dataplane.core.messages import Response
from bucketroute_dataplane.core.resolve import RouteIndex
from bucketroute_dataplane.core.sealing import SealingRing
from bucketroute_snapshot import AnonymousSubject, NamespaceSubject, RouteState
from bucketroute_testing.heads import CALLER, refusal, route, route_index, rule, s3_request

RING = SealingRing([b"k" * 32], bytes)
STRANGER = service_account_identity("team-b", "other")
INDEX = route_index(
    route("logs", exported=False),
    route("photos", rule("GetObject", prefixes=["deep/"])),
    route("public", rule("GetObject", subjects=[AnonymousSubject()])),
    route("shared", rule("PutObject", subjects=[NamespaceSubject(name="team-b")])),
)


def answer(
    method: str, target: str, identity: Identity = CALLER, index: RouteIndex = INDEX
) -> Response:
    return local_answer(s3_request(method, target), index, identity, RING)


def refused(
    method: str, target: str, identity: Identity = CALLER, index: RouteIndex = INDEX
) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        answer(method, target, identity, index)
    return refusal(caught)


def names(identity: Identity) -> list[str | None]:
    root = xml.parse(answer("GET", "/", identity).body)
    return [element.text for element in root.findall("Buckets/Bucket/Name")]


@pytest.mark.rule("3.7.15", "3.10.16")
def test_a_caller_lists_the_buckets_that_a_rule_gives_it() -> None:
    assert names(CALLER) == ["logs", "photos", "public"]
    assert names(STRANGER) == ["public", "shared"]


@pytest.mark.rule("3.10.16")
def test_nobody_lists_buckets_anonymously() -> None:
    assert refused("GET", "/", ANONYMOUS) == (403, "AccessDenied")


@pytest.mark.rule("3.6.5")
def test_documents_are_xml() -> None:
    for target in ("/", "/photos?location", "/photos?versioning", "/photos?acl"):
        found = answer("GET", target)
        assert (found.status, found.headers) == (200, ((b"content-type", b"application/xml"),))
        xml.parse(found.body)


def test_head_bucket_needs_any_permission_and_tells_the_region() -> None:
    found = answer("HEAD", "/photos")
    assert (found.status, found.body) == (200, b"")
    assert found.headers == ((b"x-amz-bucket-region", b"eu-west-1"),)
    assert answer("HEAD", "/public", ANONYMOUS).status == 200
    assert refused("HEAD", "/shared") == (403, "AccessDenied")
    assert refused("HEAD", "/nowhere") == (404, "NoSuchBucket")


def test_the_location_is_the_classes_region() -> None:
    assert xml.parse(answer("GET", "/photos?location").body).text == "eu-west-1"


def test_versioning_and_acl_are_read_only_answers() -> None:
    assert xml.parse(answer("GET", "/photos?versioning").body).tag == "VersioningConfiguration"
    assert xml.parse(answer("GET", "/photos?acl").body).tag == "AccessControlPolicy"
    for target in ("/photos?location", "/photos?versioning", "/photos?acl"):
        assert refused("GET", target, STRANGER) == (403, "AccessDenied")


@pytest.mark.rule("3.3.11")
def test_creating_a_bucket_is_answered_as_owned_only_to_who_may_write() -> None:
    assert refused("PUT", "/shared", STRANGER) == (409, "BucketAlreadyOwnedByYou")
    assert refused("PUT", "/logs") == (409, "BucketAlreadyOwnedByYou")
    for target in ("/photos", "/shared", "/nowhere"):
        assert refused("PUT", target) == (405, "MethodNotAllowed")


@pytest.mark.rule("3.3.8")
def test_a_bucket_is_never_deleted() -> None:
    assert refused("DELETE", "/logs") == (405, "MethodNotAllowed")
    assert refused("DELETE", "/shared") == (403, "AccessDenied")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("bucket", ["public", "photos", "nowhere"])
def test_nobody_makes_or_removes_a_bucket_anonymously(method: str, bucket: str) -> None:
    assert refused(method, f"/{bucket}", ANONYMOUS) == (403, "AccessDenied")


def test_the_bucket_of_an_inactive_route_answers_503() -> None:
    suspended = route_index(route("photos", state=RouteState.SUSPENDED))
    unresolved = route_index(route("photos", state=RouteState.UNRESOLVED, backend=None, access=()))
    for index in (suspended, unresolved):
        assert refused("HEAD", "/photos", index=index) == (503, "ServiceUnavailable")
        assert refused("GET", "/photos?location", index=index)[0] == 503
    assert refused("HEAD", "/photos", STRANGER, suspended) == (403, "AccessDenied")
