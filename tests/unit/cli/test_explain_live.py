"""`bucketroute explain` on a cluster's objects: the deciding rule, the layer that refused, RBAC."""

from typing import Any

import pytest

from bucketroute_cli import explain as command
from bucketroute_cli.explain import explain_live
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    NAMESPACES,
    ROUTES,
    SECRETS,
    ForbiddenError,
    Json,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.live_cluster import arguments, hide, on, status
from bucketroute_testing.operator_objects import raw_class, raw_route

Capture = pytest.CaptureFixture[str]
REPORTER = "system:serviceaccount:team-a:reporter"
STRANGER = "system:serviceaccount:team-b:app"
RESOLVED = {"endpoint": "https://minio.example.com", "region": "us-east-1"}


def route(name: str = "reports", *, said: Json | None = None, **fields: Any) -> Json:
    """One whose status says that all is well, unless it is given."""
    return {**raw_route(name, **fields), "status": status() if said is None else said}


@pytest.fixture
def kube() -> FakeKube:
    fake = FakeKube()
    fake.put(CLASSES, raw_class())
    fake.put(ROUTES, route())
    return fake


def put_anew(kube: FakeKube, raw: Json) -> None:
    """In the place of the route of that name: an update would be of another generation."""
    kube.remove(ROUTES, raw["metadata"]["namespace"], raw["metadata"]["name"])
    kube.put(ROUTES, raw)


async def explained(kube: FakeKube, *given: str, subject: str = REPORTER) -> int:
    return await explain_live(on(kube), arguments(command, "--as", subject, *given))


async def test_the_rule_that_allows_is_named(kube: FakeKube, capsys: Capture) -> None:
    assert await explained(kube, "GET", "s3://reports/x") == 0
    assert capsys.readouterr().out.splitlines() == [
        "caller:    system:serviceaccount:team-a:reporter",
        "operation: GetObject",
        "needs:     s3:GetObject",
        "route:     BucketRoute team-a/reports (Active)",
        "backend:   s3://acme-reports/x at https://s3.eu-west-1.amazonaws.com",
        "decision:  allowed by spec.access[0]",
    ]


async def test_a_denial_says_of_each_rule_why(kube: FakeKube, capsys: Capture) -> None:
    assert await explained(kube, "PUT", "s3://reports/x") == 1
    output = capsys.readouterr().out
    assert "decision:  refused, AccessDenied: No rule of the route" in output
    assert "  spec.access[0] is for this caller, but grants Read only" in output


async def test_an_allowed_request_on_a_route_that_is_not_ready_says_so(
    kube: FakeKube, capsys: Capture
) -> None:
    said = status(("CredentialReady", "False", "AccessDenied"), ("Ready", "False", "AccessDenied"))
    kube.put(ROUTES, route(said=said))
    assert await explained(kube, "GET", "s3://reports/x") == 1
    output = capsys.readouterr().out
    assert "decision:  allowed by spec.access[0]" in output
    assert "but:       CredentialReady=False AccessDenied: AccessDenied it is." in output


async def test_no_secret_is_read_and_its_holder_is_explained_all_the_same(
    kube: FakeKube, capsys: Capture
) -> None:
    raw = route()
    raw["spec"]["access"] = [
        {"subjects": [{"kind": "AccessKey", "name": "laptop"}], "permissions": ["Read"]}
    ]
    raw["spec"]["backend"] = {"bucket": "acme", "ref": {"name": "minio"}}
    static = {"type": "Static", "staticCredentials": {"secretName": "keys"}}
    kube.put(
        BACKENDS,
        {
            "metadata": {"namespace": "team-a", "name": "minio"},
            "spec": {"region": "eu-west-1", "auth": static, "tls": {"caConfigMapName": "ca"}},
        },
    )
    put_anew(kube, raw)
    assert await explained(kube, "GET", "s3://reports/x", subject="accesskey:team-a/laptop") == 0
    assert "(Active)" in capsys.readouterr().out
    assert kube.calls["get", SECRETS.kind] == kube.calls["list", SECRETS.kind] == 0


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (
            route(namespace="team-c", said=status(("Accepted", "False", "NotAllowedByClass"))),
            "BucketRoute team-c/reports is not accepted, NotAllowedByClass",
        ),
        (route("other", namespace="team-c"), ""),
    ],
    ids=["refused-by-the-class", "another-name"],
)
async def test_a_name_that_is_not_found_says_who_has_it(
    capsys: Capture, raw: Json, says: str
) -> None:
    kube = FakeKube()
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}
    kube.put(CLASSES, raw_class(allowedNamespaces={"from": "Selector", "selector": selector}))
    kube.put(ROUTES, raw)
    assert await explained(kube, "GET", "s3://reports/x") == 1
    output = capsys.readouterr().out
    assert "decision:  refused, NoSuchBucket" in output
    assert ("but: " in output) is bool(says)
    assert says in output


async def test_a_route_of_another_class_is_told(kube: FakeKube, capsys: Capture) -> None:
    raw = route("elsewhere")
    raw["spec"]["className"] = "fast"
    kube.put(ROUTES, raw)
    assert await explained(kube, "GET", "s3://elsewhere/x") == 1
    expected = "but:       BucketRoute team-a/elsewhere is of class fast: --class"
    assert expected in capsys.readouterr().out


async def test_who_has_the_name_keeps_it_whatever_the_age(kube: FakeKube, capsys: Capture) -> None:
    older = route(namespace="team-0", said=status(("Exported", "False", "BucketNameConflict")))
    older["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    kube.put(ROUTES, older)
    assert await explained(kube, "GET", "s3://reports/x", subject=STRANGER) == 1
    assert "route:     BucketRoute team-a/reports" in capsys.readouterr().out


async def test_a_name_that_is_not_exported_serves_its_own_namespace(
    kube: FakeKube, capsys: Capture
) -> None:
    said = status(("Exported", "False", "BucketNameConflict"))
    kube.put(ROUTES, route(said=said))
    kube.put(ROUTES, route(namespace="team-z"))
    own = await explained(kube, "GET", "s3://reports/x")
    assert own == 0
    assert "team-a/reports" in capsys.readouterr().out


async def test_with_the_rights_of_a_tenant_the_operators_word_stands_in(
    kube: FakeKube, capsys: Capture
) -> None:
    raw = route(said=status(resolved=RESOLVED))
    raw["spec"]["backend"] = {
        "bucket": "lake",
        "prefix": "a/",
        "ref": {"name": "lake", "namespace": "platform"},
    }
    put_anew(kube, raw)
    hide(kube, CLASSES, NAMESPACES, BACKENDS)
    assert await explained(kube, "GET", "s3://reports/x") == 0
    output = capsys.readouterr().out
    assert "backend:   s3://lake/a/x at https://minio.example.com" in output
    assert "decision:  allowed by spec.access[0]" in output
    assert [line[:16] for line in output.splitlines()[-3:]] == [
        "note:      class",
        "note:      names",
        "note:      only ",
    ]


async def test_without_a_right_to_all_namespaces_the_own_one_is_read(
    kube: FakeKube, capsys: Capture
) -> None:
    kube.put(ROUTES, route("foreign", namespace="team-b"))
    hide(kube, ROUTES, only_all_namespaces=True)
    assert await explained(kube, "GET", "s3://reports/x") == 0
    assert "only routes of namespace team-a could be read" in capsys.readouterr().out


async def test_without_a_right_to_routes_there_is_nothing_to_explain(kube: FakeKube) -> None:
    hide(kube, ROUTES)
    with pytest.raises(ForbiddenError):
        await explained(kube, "GET", "s3://reports/x")


async def test_a_reference_that_the_operator_could_not_resolve_stays_unresolved(
    kube: FakeKube, capsys: Capture
) -> None:
    said = status(
        ("ResolvedRefs", "False", "BackendNotFound"),
        ("Ready", "False", "BackendNotFound"),
        resolved=RESOLVED,
    )
    raw = route(said=said)
    raw["spec"]["backend"] = {"bucket": "lake", "ref": {"name": "lake"}}
    put_anew(kube, raw)
    assert await explained(kube, "GET", "s3://reports/x") == 1
    output = capsys.readouterr().out
    assert "decision:  refused, ServiceUnavailable" in output
    assert "but:       ResolvedRefs=False BackendNotFound" in output


async def test_a_class_that_does_not_exist_is_said(kube: FakeKube, capsys: Capture) -> None:
    assert await explained(kube, "GET", "s3://reports/x", "--class", "absent") == 1
    assert "absent does not exist or is not valid" in capsys.readouterr().out


async def test_actions_that_make_no_permission_are_named_themselves(
    kube: FakeKube, capsys: Capture
) -> None:
    raw = route()
    raw["spec"]["access"] = [
        {"serviceAccounts": ["reporter"], "permissions": ["List"], "actions": ["s3:PutObject"]}
    ]
    put_anew(kube, raw)
    assert await explained(kube, "GET", "s3://reports/x") == 1
    assert "grants List, s3:PutObject only" in capsys.readouterr().out
