"""May this caller do this? Rules, prefixes, placeholders, lists, anonymous callers, the plan."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bucketroute_dataplane.core.authorize import (
    ForwardPlan,
    authorize,
    authorize_copy_source,
    deciding_rule,
    may,
    may_anything,
    may_list,
    may_somewhere,
    prefix_matches,
)
from bucketroute_dataplane.core.errors import S3Error
from bucketroute_dataplane.core.identity import (
    ANONYMOUS,
    Identity,
    access_key_identity,
    oidc_identity,
    service_account_identity,
)
from bucketroute_dataplane.core.request import S3Request
from bucketroute_dataplane.core.resolve import RouteEntry
from bucketroute_snapshot import AnonymousSubject, NamespaceSubject, OIDCSubject, RouteState
from bucketroute_testing.heads import (
    CALLER,
    EVERY_ACTION,
    backend,
    refusal,
    route_entry,
    rule,
    s3_request,
)

OTHER = service_account_identity("team-a", "other")
PUBLIC = (AnonymousSubject(),)


def refused(request: S3Request, entry: RouteEntry, identity: Identity = CALLER) -> tuple[int, str]:
    with pytest.raises(S3Error) as caught:
        authorize(request, entry, identity)
    return refusal(caught)


PREFIXES = [
    ("", "anything", True),
    ("data", "data", True),
    ("data", "data/", True),
    ("data", "data/x", True),
    ("data", "data-private/x", False),
    ("data", "database", False),
    ("data", "dat", False),
    ("data", "x/data", False),
    ("data/", "data/x", True),
    ("data/", "data/", True),
    ("data/", "data", False),
    ("data/", "data-private/x", False),
    ("data/a", "data/a/b", True),
    ("data/a", "data/ab", False),
]


@pytest.mark.rule("3.10.12")
@pytest.mark.parametrize(("prefix", "key", "matches"), PREFIXES)
def test_prefix_without_slash_does_not_match_a_sibling(
    prefix: str, key: str, matches: bool
) -> None:
    assert prefix_matches(prefix.encode(), key.encode()) is matches


@pytest.mark.rule("3.10.12")
@given(st.binary(min_size=1), st.binary())
def test_a_prefix_reaches_itself_and_its_folder_only(prefix: bytes, rest: bytes) -> None:
    folder = prefix if prefix.endswith(b"/") else prefix + b"/"
    assert prefix_matches(prefix, folder + rest)
    assert prefix_matches(prefix, prefix)
    if not prefix.endswith(b"/") and rest and not rest.startswith(b"/"):
        assert not prefix_matches(prefix, prefix + rest)


@pytest.mark.rule("3.10.11", "3.13")
def test_a_grant_needs_subject_action_and_prefix_in_one_rule() -> None:
    entry = route_entry(
        rule("GetObject", prefixes=["in/"]),
        rule("PutObject", prefixes=["out/"]),
        rule("GetObject", subjects=[NamespaceSubject(name="team-b")]),
    )
    authorize(s3_request("GET", "/photos/in/a"), entry, CALLER)
    authorize(s3_request("PUT", "/photos/out/a"), entry, CALLER)
    for method, key in (("GET", "out/a"), ("PUT", "in/a"), ("DELETE", "in/a")):
        assert refused(s3_request(method, f"/photos/{key}"), entry) == (403, "AccessDenied")
    assert refused(s3_request("GET", "/photos/in/a"), entry, OTHER) == (403, "AccessDenied")


@pytest.mark.parametrize("action", EVERY_ACTION)
def test_without_a_rule_nothing_is_allowed(action: str) -> None:
    entry = route_entry(access=())
    assert not may(entry, CALLER, action, b"a")
    assert not may_list(entry, CALLER, action, b"")
    assert not may_somewhere(entry, CALLER, action)
    assert not may_anything(entry, CALLER)


@pytest.mark.rule("3.10.11")
def test_reading_the_current_object_grants_no_old_version() -> None:
    entry = route_entry(rule("GetObject", "DeleteObject"))
    assert refused(s3_request("GET", "/photos/a?versionId=1"), entry)[0] == 403
    assert refused(s3_request("DELETE", "/photos/a?versionId=1"), entry)[0] == 403


def test_the_first_rule_that_grants_is_the_one_that_decided() -> None:
    entry = route_entry(rule("PutObject"), rule("GetObject", prefixes=["b"]), rule("GetObject"))
    assert deciding_rule(entry, CALLER, "s3:GetObject", b"b/x") == 1
    assert deciding_rule(entry, CALLER, "s3:GetObject", b"a") == 2
    assert deciding_rule(entry, OTHER, "s3:GetObject", b"a") is None


LISTINGS = [
    ((), "", True),
    ((), "a/", True),
    (("",), "", True),
    (("data",), "data/", True),
    (("data",), "data/x", True),
    (("data",), "data", False),
    (("data",), "data-private/", False),
    (("data",), "dat", False),
    (("data",), "", False),
    (("data/",), "data/", True),
    (("data/",), "data/x", True),
    (("data/",), "data", False),
    (("data/",), "", False),
    (("a/", "b"), "b/c", True),
]


@pytest.mark.rule("3.10.13")
@pytest.mark.parametrize("subresource", ["", "list-type=2&", "versions&", "uploads&"])
@pytest.mark.parametrize(("prefixes", "asked", "allowed"), LISTINGS)
def test_a_listing_shows_nothing_beside_the_rules_folder(
    prefixes: tuple[str, ...], asked: str, allowed: bool, subresource: str
) -> None:
    entry = route_entry(rule(prefixes=prefixes))
    request = s3_request("GET", f"/photos?{subresource}prefix={asked}")
    if allowed:
        assert authorize(request, entry, CALLER).request is request
    else:
        assert refused(request, entry) == (403, "AccessDenied")


@pytest.mark.rule("3.10.13")
def test_a_listing_without_a_prefix_lists_everything() -> None:
    assert refused(s3_request("GET", "/photos"), route_entry(rule(prefixes=["data/"])))[0] == 403
    authorize(s3_request("GET", "/photos"), route_entry(rule()), CALLER)


APP = service_account_identity("team-a", "app")
EXPANSIONS = [
    ("${namespace}/", APP, "team-a/x", True),
    ("${namespace}/", APP, "team-b/x", False),
    ("${namespace}/${serviceAccount}/", APP, "team-a/app/x", True),
    ("${serviceAccount}", APP, "app/x", True),
    ("${serviceAccount}", APP, "app-private/x", False),
    ("u/${subject}/", APP, "u/system:serviceaccount:team-a:app/x", True),
    ("${serviceAccount}/", access_key_identity("team-a", "app"), "app/x", False),
    ("${serviceAccount}/", access_key_identity("team-a", "app"), "/x", False),
    ("${namespace}/", oidc_identity("https://i", "job"), "job/x", False),
    ("${subject}/", oidc_identity("https://i", "job"), "job/x", True),
    ("${other}/", APP, "${other}/x", False),
    ("${namespace}-${other}/", APP, "team-a-${other}/x", False),
]


@pytest.mark.rule("3.12.12")
@pytest.mark.parametrize(("prefix", "caller", "key", "allowed"), EXPANSIONS)
def test_a_placeholder_stands_for_the_callers_value(
    prefix: str, caller: Identity, key: str, allowed: bool
) -> None:
    every = (NamespaceSubject(name="team-a"), OIDCSubject(issuer="https://i", subject="*"))
    subjects = (*every, AnonymousSubject())
    entry = route_entry(rule("GetObject", prefixes=[prefix], subjects=subjects))
    assert may(entry, caller, "s3:GetObject", key.encode()) is allowed


UNSAFE = ["a/b", "/", "${subject}", "$", "{", "}", "a\x00", "a\nb", "\x7f", ""]


@pytest.mark.rule("3.12.12", "3.12.13")
@pytest.mark.parametrize("value", UNSAFE, ids=ascii)
def test_an_unsafe_value_matches_nothing(value: str) -> None:
    subjects = (OIDCSubject(issuer="https://i", subject="*"), AnonymousSubject())
    entry = route_entry(rule(prefixes=["${subject}/", "x${subject}"], subjects=subjects))
    caller = oidc_identity("https://i", value)
    for key in (f"{value}/x", f"x{value}", "/x", "x", "x/"):
        assert not may(entry, caller, "s3:GetObject", key.encode())
        assert not may_list(entry, caller, "s3:ListBucket", key.encode())


@pytest.mark.rule("3.12.13")
@given(st.text(min_size=1))
def test_a_value_is_expanded_once_and_reaches_one_folder_only(value: str) -> None:
    subjects = [OIDCSubject(issuer="https://i", subject="*")]
    entry = route_entry(rule("GetObject", prefixes=["${subject}/"], subjects=subjects))
    caller = oidc_identity("https://i", value)
    is_meant = not any(char in "/${}\x7f" or char < " " for char in value)
    assert may(entry, caller, "s3:GetObject", f"{value}/x".encode()) is is_meant
    assert may(entry, caller, "s3:GetObject", b"another/x") is (value == "another")


@pytest.mark.rule("3.10.10")
@pytest.mark.parametrize("action", EVERY_ACTION)
def test_anybody_may_at_most_read_and_list(action: str) -> None:
    entry = route_entry(rule(subjects=PUBLIC))
    allowed = action in ("s3:GetObject", "s3:ListBucket")
    assert may(entry, ANONYMOUS, action, b"a") is allowed
    assert may_somewhere(entry, ANONYMOUS, action) is allowed


@pytest.mark.rule("3.8.2", "3.9.2", "3.10.10")
def test_anonymous_requests_for_versions_and_batch_deletes_are_denied() -> None:
    entry = route_entry(rule(subjects=PUBLIC))
    for method, target in (
        ("GET", "/photos/a?versionId=1"),
        ("POST", "/photos?delete"),
        ("GET", "/photos?versions"),
        ("PUT", "/photos/a"),
    ):
        assert refused(s3_request(method, target), entry, ANONYMOUS) == (403, "AccessDenied")
    authorize(s3_request("GET", "/photos/a"), entry, ANONYMOUS)
    authorize(s3_request("GET", "/photos"), entry, ANONYMOUS)


@pytest.mark.rule("3.8.3")
@pytest.mark.parametrize("action", ["DeleteObject", "DeleteObjectVersion"])
def test_a_batch_delete_needs_some_grant_to_delete(action: str) -> None:
    request = s3_request("POST", "/photos?delete")
    authorize(request, route_entry(rule(action, prefixes=["deep/inside/"])), CALLER)
    assert refused(request, route_entry(rule("GetObject", "PutObject")))[0] == 403


STATES = [(RouteState.SUSPENDED, {}), (RouteState.UNRESOLVED, {"backend": None})]


@pytest.mark.parametrize(("state", "fields"), STATES, ids=[state.value for state, _ in STATES])
def test_an_inactive_route_keeps_its_name_and_answers_503(
    state: RouteState, fields: dict[str, None]
) -> None:
    entry = route_entry(state=state, **fields)
    assert refused(s3_request("GET", "/photos/a"), entry) == (503, "ServiceUnavailable")


def test_a_stranger_does_not_learn_that_a_route_is_suspended() -> None:
    entry = route_entry(state=RouteState.SUSPENDED)
    assert refused(s3_request("GET", "/photos/a"), entry, OTHER) == (403, "AccessDenied")


@pytest.mark.rule("3.13.4")
def test_a_key_that_is_too_long_behind_the_prefix_gets_no_plan() -> None:
    entry = route_entry(backend=backend(prefix="p" * 99 + "/"))
    authorize(s3_request("PUT", f"/photos/{'k' * 924}"), entry, CALLER)
    request = s3_request("PUT", f"/photos/{'k' * 925}")
    assert refused(request, entry) == (400, "KeyTooLongError")


@pytest.mark.rule("3.1.3")
@pytest.mark.parametrize("make", [ForwardPlan, lambda: type("Mine", (ForwardPlan,), {})()])
def test_a_plan_cannot_be_constructed(make: Callable[[], ForwardPlan]) -> None:
    with pytest.raises(TypeError, match="authorize"):
        make()


def test_a_plan_never_changes() -> None:
    plan = authorize(s3_request("GET", "/photos/a"), route_entry(), CALLER)
    with pytest.raises(AttributeError, match="never changes"):
        plan.request = s3_request("DELETE", "/photos/a")
    assert plan.request.operation.name == "GetObject"


@pytest.mark.rule("3.9.1", "3.9.2")
def test_the_source_of_a_copy_is_read_with_an_action_of_its_own() -> None:
    entry = route_entry(rule("GetObject", prefixes=["in/"]))
    plan = authorize_copy_source(entry, CALLER, b"in/a", None)
    assert (plan.key, plan.version_id) == (b"in/a", None)
    for key, version in ((b"out/a", None), (b"in/a", b"3")):
        with pytest.raises(S3Error) as caught:
            authorize_copy_source(entry, CALLER, key, version)
        assert refusal(caught) == (403, "AccessDenied")


@pytest.mark.rule("3.9.2")
def test_nobody_copies_anonymously() -> None:
    with pytest.raises(S3Error) as caught:
        authorize_copy_source(route_entry(rule(subjects=PUBLIC)), ANONYMOUS, b"a", None)
    assert refusal(caught) == (403, "AccessDenied")


def test_strangers_choose_no_response_headers() -> None:
    """A link to a public object could show it as a page of the gateway's host."""
    entry = route_entry(rule("GetObject", subjects=PUBLIC), rule("GetObject"))
    request = s3_request("GET", "/photos/a?response-content-type=text%2Fhtml")
    assert refused(request, entry, ANONYMOUS) == (400, "InvalidRequest")
    assert authorize(request, entry, CALLER).request is request
    assert authorize(s3_request("GET", "/photos/a"), entry, ANONYMOUS)


@pytest.mark.parametrize(
    ("method", "target"), [("PUT", "/photos/a"), ("POST", "/photos/a?uploads")]
)
def test_tags_that_come_with_an_object_take_their_own_permission(method: str, target: str) -> None:
    tagged = s3_request(method, target, (b"x-amz-tagging", b"team=a"))
    untagged = s3_request(method, target)
    entry = route_entry(rule("PutObject"))
    assert refused(tagged, entry) == (403, "AccessDenied")
    assert authorize(untagged, entry, CALLER)
    assert authorize(tagged, route_entry(rule("PutObject", "PutObjectTagging")), CALLER)
    elsewhere = route_entry(rule("PutObject"), rule("PutObjectTagging", prefixes=["b/"]))
    assert refused(tagged, elsewhere) == (403, "AccessDenied")
