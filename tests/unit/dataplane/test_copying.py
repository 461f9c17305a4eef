"""Copies: both ends are authorised, and the destination's credentials must reach the source."""

import pytest

from bucketroute_dataplane.core.authorize import CopySourcePlan, authorize
from bucketroute_dataplane.core.copying import copy_source
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.resolve import RouteEntry, RouteIndex
from bucketroute_snapshot import (
    Backend,
    NamespaceSubject,
    Route,
    RouteState,
    StaticAuth,
    UnsignedAuth,
    WebIdentityAuth,
)
from bucketroute_testing.heads import CALLER, backend, refusal, route, route_index, rule, s3_request


def web_identity(role: str = "r", policy: str | None = None) -> WebIdentityAuth:
    return WebIdentityAuth(
        role_arn=f"arn:aws:iam::111122223333:role/{role}",
        sts_endpoint="https://sts.test",
        session_name="s",
        audience="a",
        session_policy=policy,
    )


def ends(source: Route, destination: Route) -> tuple[RouteIndex, RouteEntry]:
    index = route_index(source, destination)
    return index, index.entries[1]


def copied(source: Backend, destination: Backend) -> CopySourcePlan:
    index, into = ends(route("in", backend=source), route("out", backend=destination))
    request = s3_request("PUT", "/out/b", (b"x-amz-copy-source", b"/in/a%20b"))
    return copy_source(request, index, into, CALLER)


def refused(source: Backend, destination: Backend) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        copied(source, destination)
    return refusal(caught)


@pytest.mark.rule("3.9.1", "3.9.3")
def test_a_copy_within_one_route_names_its_source() -> None:
    index = route_index(route("in"))
    request = s3_request("PUT", "/in/b", (b"x-amz-copy-source", b"in/a%20b?versionId=3"))
    plan = copy_source(request, index, index.entries[0], CALLER)
    assert (plan.key, plan.version_id, plan.target) == (b"a b", b"3", index.entries[0].target)


SHARED = [
    (StaticAuth(namespace="n", secret_name="k"), StaticAuth(namespace="n", secret_name="k")),
    (web_identity(), web_identity()),
    (web_identity(policy="{}"), web_identity()),
]


@pytest.mark.rule("3.9.3", "3.9.10")
@pytest.mark.parametrize(("source", "destination"), SHARED, ids=["secret", "role", "narrow-source"])
def test_two_routes_of_one_identity_copy_between_each_other(
    source: StaticAuth | WebIdentityAuth, destination: StaticAuth | WebIdentityAuth
) -> None:
    plan = copied(backend(auth=source, bucket="src"), backend(auth=destination, bucket="dst"))
    assert plan.key == b"a b"
    assert plan.target.backend.bucket == "src"


FOREIGN = [
    (StaticAuth(namespace="n", secret_name="k"), StaticAuth(namespace="n", secret_name="other")),
    (StaticAuth(namespace="n", secret_name="k"), StaticAuth(namespace="m", secret_name="k")),
    (web_identity("r"), web_identity("other")),
    (web_identity(), web_identity(policy="{}")),
    (web_identity(), StaticAuth(namespace="n", secret_name="k")),
    (UnsignedAuth(), UnsignedAuth()),
    (UnsignedAuth(), web_identity()),
]


@pytest.mark.rule("3.9.4", "3.9.10")
@pytest.mark.parametrize(("source", "destination"), FOREIGN)
def test_credentials_that_need_not_reach_the_source_are_refused(
    source: StaticAuth | WebIdentityAuth | UnsignedAuth,
    destination: StaticAuth | WebIdentityAuth | UnsignedAuth,
) -> None:
    assert refused(backend(auth=source), backend(auth=destination)) == (403, "AccessDenied")


@pytest.mark.rule("3.9.3", "3.9.10")
def test_a_copy_between_backends_is_never_a_silent_download() -> None:
    for other in (backend(endpoint="http://else:9000"), backend(region="us-east-1")):
        assert refused(other, backend()) == (501, "NotImplemented")


@pytest.mark.rule("3.9.1")
def test_both_ends_are_authorised() -> None:
    readable = route("in", rule("GetObject", prefixes=["free/"]))
    index, into = ends(readable, route("out", rule("GetObject")))
    denied = s3_request("PUT", "/out/b", (b"x-amz-copy-source", b"in/secret"))
    with pytest.raises(S3Error) as caught:
        copy_source(denied, index, into, CALLER)
    assert refusal(caught) == (403, "AccessDenied")
    request = s3_request("PUT", "/out/b", (b"x-amz-copy-source", b"in/free/a"))
    source = copy_source(request, index, into, CALLER)
    with pytest.raises(S3Error) as caught:
        authorize(request, into, CALLER, copy_source=source)
    assert refusal(caught) == (403, "AccessDenied")


def test_a_source_that_the_caller_cannot_see_does_not_exist() -> None:
    hidden = route("in", namespace="team-b", exported=False)
    index, into = ends(hidden, route("out"))
    request = s3_request("PUT", "/out/b", (b"x-amz-copy-source", b"in/a"))
    with pytest.raises(S3Error) as caught:
        copy_source(request, index, into, CALLER)
    assert refusal(caught) == (404, "NoSuchBucket")


@pytest.mark.rule("3.9.5")
@pytest.mark.parametrize("state", [RouteState.SUSPENDED, RouteState.UNRESOLVED])
def test_a_source_whose_backend_is_not_there_is_unavailable(state: RouteState) -> None:
    place = backend() if state is RouteState.SUSPENDED else None
    index, into = ends(route("in", state=state, backend=place), route("out"))
    request = s3_request("PUT", "/out/b", (b"x-amz-copy-source", b"in/a"))
    with pytest.raises(S3Error) as caught:
        copy_source(request, index, into, CALLER)
    assert refusal(caught) == (503, "ServiceUnavailable")


def test_a_stranger_gets_no_source() -> None:
    theirs = route("in", rule(subjects=[NamespaceSubject(name="team-b")]))
    index, into = ends(theirs, route("out"))
    request = s3_request("PUT", "/out/b?partNumber=1&uploadId=u", (b"x-amz-copy-source", b"in/a"))
    with pytest.raises(S3Error) as caught:
        copy_source(request, index, into, CALLER)
    assert refusal(caught) == (403, "AccessDenied")
