"""What sidecars may see, and what it costs: a part is made once, and kept while nothing changes."""

import asyncio
import gzip
from dataclasses import replace

import pytest

from bucketroute_operator.core.delta import changed_keys, render
from bucketroute_operator.core.parts import NamespaceRoutes, part_for, routes_by_namespace
from bucketroute_operator.shell.callers import Caller
from bucketroute_operator.shell.parts import Parts
from bucketroute_operator.shell.publication import Answer, Publication
from bucketroute_snapshot import (
    AnonymousSubject,
    CABundle,
    ClassSettings,
    ClientIssuer,
    Route,
    Snapshot,
    SnapshotSecrets,
    WebIdentityAuth,
)
from bucketroute_testing.operator_objects import (
    namespace_subject,
    route,
    service_account,
    snapshot,
    version,
)

APP = Caller(namespace="team-a", service_account="app", pod_uid=None)
OTHER = Caller(namespace="team-a", service_account="other", pod_uid=None)


def _part(whole: Snapshot, namespace: str, account: str) -> tuple[Route, ...]:
    candidates = routes_by_namespace(whole).get(namespace, NamespaceRoutes()).routes
    return part_for(whole, candidates, namespace, account).routes


def _names(routes: tuple[Route, ...]) -> list[str]:
    return [f"{item.namespace}/{item.name}" for item in routes]


def test_a_sidecar_sees_routes_that_name_it_or_its_namespace_and_no_others() -> None:
    whole = snapshot(
        route("own"),
        route("granted", namespace="team-b", subjects=(service_account("team-a", "app"),)),
        route("everyone", namespace="team-b", subjects=(service_account("team-a", "*"),)),
        route("namespace", namespace="team-b", subjects=(namespace_subject("team-a"),)),
        route("colleague", namespace="team-b", subjects=(service_account("team-a", "other"),)),
        route("stranger", namespace="team-b", subjects=(namespace_subject("team-c"),)),
        route("public", namespace="team-b", subjects=(AnonymousSubject(),)),
    )
    assert _names(_part(whole, "team-a", "app")) == [
        "team-a/own",
        "team-b/everyone",
        "team-b/granted",
        "team-b/namespace",
    ]


def test_a_sidecar_is_not_told_who_else_has_access() -> None:
    mine, theirs = service_account("team-a", "app"), service_account("team-c", "secret-project")
    whole = snapshot(route("shared", namespace="team-b", subjects=(mine, theirs)))
    (shared,) = _part(whole, "team-a", "app")
    assert [rule.subjects for rule in shared.access] == [(mine,)]


def test_a_namespace_that_nothing_names_gets_nothing() -> None:
    assert _part(snapshot(route()), "team-z", "app") == ()


def test_a_route_that_is_wholly_the_callers_own_is_not_copied() -> None:
    own = route("own", subjects=(service_account("team-a", "app"),))
    assert _part(snapshot(own), "team-a", "app")[0] is own


def with_bundles(item: Route, *, own: str | None = None, sts: str | None = None) -> Route:
    assert item.backend is not None
    assert isinstance(item.backend.auth, WebIdentityAuth)
    auth = replace(item.backend.auth, sts_ca_bundle=sts)
    return replace(item, backend=replace(item.backend, ca_bundle=own, auth=auth))


def test_a_sidecar_is_not_told_of_logins_or_of_other_tenants_authorities() -> None:
    settings = ClassSettings(
        name="default",
        region="eu-west-1",
        domains=("s3.example.com",),
        client_issuers=(ClientIssuer(issuer="https://id.team-c.example", audiences=("x",)),),
        cluster_issuer="https://cluster",
        cluster_jwks="{}",
        ca_bundles=tuple(CABundle(name=name, pem=name) for name in ("mine", "sts", "theirs")),
    )
    mine = with_bundles(route("mine"), own="mine", sts="sts")
    theirs = with_bundles(route("theirs", namespace="team-c"), own="theirs")
    unresolved = replace(route("unresolved"), backend=None)
    whole = replace(snapshot(mine, theirs, unresolved), settings=settings)
    candidates = routes_by_namespace(whole)["team-a"].routes
    part = part_for(whole, candidates, "team-a", "app")
    assert part.settings == ClassSettings(
        name="default",
        region="eu-west-1",
        domains=("s3.example.com",),
        ca_bundles=(CABundle(name="mine", pem="mine"), CABundle(name="sts", pem="sts")),
    )


# -- what is kept ---------------------------------------------------------------------------------


class Class:
    """A class's publications, and the parts that are asked of the newest."""

    def __init__(self, *, max_kept_bytes: int = 10**6) -> None:
        self.parts = Parts(max_kept_bytes=max_kept_bytes)
        self.current: Publication | None = None
        self._counter = 0

    def publish(self, whole: Snapshot) -> None:
        before = None if self.current is None else self.current.rendering
        rendering = render(whole, before)
        self._counter += 1
        self.parts.published(rendering, changed_keys(before, rendering))
        self.current = Publication(
            version=version(f"1.{self._counter}"),
            rendering=rendering,
            secrets=SnapshotSecrets(),
            published_at=0.0,
        )

    async def ask(self, caller: Caller = APP, digest: str = "") -> Answer | None:
        assert self.current is not None
        return await self.parts.answer(self.current, caller, digest)

    async def part(self, caller: Caller = APP) -> Answer:
        answer = await self.ask(caller)
        assert answer is not None
        return answer


def digest_of(answer: Answer) -> str:
    header = gzip.decompress(answer.body).splitlines()[0].decode()
    return header.partition('"digest":"')[2].partition('"')[0]


@pytest.fixture
def published() -> Class:
    found = Class()
    found.publish(snapshot(route("own"), route("foreign", namespace="team-c")))
    return found


async def test_a_part_is_kept_while_no_route_of_its_namespace_changes(published: Class) -> None:
    first = await published.part()
    published.publish(snapshot(route("own"), route("foreign", namespace="team-c", generation=2)))
    assert await published.part() is first


@pytest.mark.parametrize(
    "following",
    [
        snapshot(route("own", generation=2)),
        snapshot(route("own"), route("new")),
        snapshot(),
        snapshot(
            route("own"),
            route("granted", namespace="team-b", subjects=(service_account("team-a", "app"),)),
        ),
        snapshot(route("own"), region="eu-west-1"),
    ],
    ids=["changed", "added", "removed", "granted", "class"],
)
async def test_a_part_is_made_anew_when_it_differs(published: Class, following: Snapshot) -> None:
    first = await published.part()
    published.publish(following)
    second = await published.part()
    assert digest_of(second) != digest_of(first)
    assert second.version == version("1.2")


async def test_a_route_that_no_longer_names_the_namespace_is_taken_away() -> None:
    granted = route("granted", namespace="team-b", subjects=(service_account("team-a", "app"),))
    found = Class()
    found.publish(snapshot(granted))
    first = await found.part()
    found.publish(snapshot(replace(granted, access=())))
    assert digest_of(await found.part()) != digest_of(first)


async def test_new_keys_of_the_cluster_wake_no_sidecar(published: Class) -> None:
    digest = digest_of(await published.part())
    whole = snapshot(route("own"))
    published.publish(replace(whole, settings=replace(whole.settings, cluster_jwks='{"keys":[]}')))
    assert await published.ask(digest=digest) is None


async def test_accounts_that_no_rule_names_share_one_part() -> None:
    found = Class()
    named = route("named", subjects=(service_account("team-a", "app"), namespace_subject("team-a")))
    found.publish(snapshot(named))
    somebody = replace(OTHER, service_account="somebody")
    assert await found.part(OTHER) is await found.part(somebody)
    assert await found.part(APP) is not await found.part(OTHER)


async def test_many_sidecars_that_ask_at_once_have_it_made_once(
    published: Class,
) -> None:
    answers = await asyncio.gather(*(published.part() for _ in range(100)))
    assert len(set(map(id, answers))) == 1


async def test_what_is_kept_is_bounded_and_digests_stay() -> None:
    found = Class(max_kept_bytes=1)
    found.publish(snapshot(route("one"), route("two", namespace="team-b")))
    elsewhere = Caller(namespace="team-b", service_account="app", pod_uid=None)
    first, second = await found.part(), await found.part(elsewhere)
    assert found.parts._kept_bytes == len(second.body)
    assert await found.ask(digest=digest_of(first)) is None
    again = await found.part()
    assert again is not first
    assert again.body == first.body
    assert found.parts._kept_bytes == len(again.body)


async def test_what_was_made_of_an_older_publication_is_not_kept(published: Class) -> None:
    older = published.current
    assert older is not None
    published.publish(snapshot(route("own", generation=2)))
    late = await published.parts.answer(older, APP, "")
    assert late is not None
    assert digest_of(late) != digest_of(await published.part())


async def test_a_namespace_that_nothing_names_is_answered_with_no_route(published: Class) -> None:
    stranger = Caller(namespace="team-z", service_account="app", pod_uid=None)
    lines = gzip.decompress((await published.part(stranger)).body).splitlines()
    assert len(lines) == 3
