"""The order of the input never matters, and no object's fault reaches another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bucketroute_operator.core.compilation import Compilation
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.objects import ObjectSet, ParsedObject, object_set, parse_object
from bucketroute_snapshot import Route, encode_secrets, snapshot_digest

NAMESPACES = ("team-a", "team-b", "team-c")
BUCKETS = ("shared", "reports", "events")
CREATED = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")

MODES: tuple[dict[str, Any], ...] = (
    {"bucket": "acme", "region": "eu-west-1", "signing": "Unsigned"},
    {"bucket": "acme", "ref": {"name": "lake", "namespace": "team-a"}},
    {"bucket": "acme", "ref": {"name": "keyed"}},
    {"bucket": "acme", "region": "eu-west-1", "roleARN": "arn:aws:iam::1:role/x"},
    {"bucket": "acme", "prefix": "../"},
)


def manifest(kind: str, name: str, namespace: str = "", **fields: Any) -> dict[str, Any]:
    created = fields.pop("created", CREATED[0])
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"kind": kind, "metadata": metadata, **fields}


CLASS = manifest(
    "BucketRouteClass",
    "default",
    spec={"dataPlane": {"mode": "Sidecar"}, "limits": {"maxRoutesPerNamespace": 3}},
)
SURROUNDINGS = [
    CLASS,
    manifest(
        "BucketBackend",
        "lake",
        "team-a",
        spec={
            "region": "eu-west-1",
            "auth": {"type": "Unsigned"},
            "allowedRoutes": {"namespaces": {"from": "All"}},
        },
    ),
    *(
        manifest(
            "BucketBackend",
            "keyed",
            namespace,
            spec={
                "region": "eu-west-1",
                "auth": {"type": "Static", "staticCredentials": {"secretName": "key"}},
            },
        )
        for namespace in NAMESPACES
    ),
    *(
        manifest(
            "Secret",
            "key",
            namespace,
            type="bucketroute.io/access-key",
            stringData={"accessKeyID": "SAME", "secretAccessKey": "not-a-secret"},
        )
        for namespace in NAMESPACES
    ),
]


@st.composite
def routes(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True))
    return [
        manifest(
            "BucketRoute",
            f"route-{name}",
            draw(st.sampled_from(NAMESPACES)),
            created=draw(st.sampled_from(CREATED)),
            spec={
                "bucket": draw(st.sampled_from(BUCKETS)),
                "backend": draw(st.sampled_from(MODES)),
                "access": [
                    {"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}
                ],
            },
        )
        for name in names
    ]


def aws_endpoints(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com"


def compiled(manifests: list[dict[str, Any]]) -> Compilation:
    return compile_snapshot(
        CompileInputs(objects=object_set(map(parse_object, manifests)), aws_endpoints=aws_endpoints)
    )


def wire(compilation: Compilation) -> tuple[str, bytes]:
    result = compilation.of_class("default")
    assert result is not None
    assert result.snapshot is not None
    return snapshot_digest(result.snapshot), encode_secrets(result.secrets)


@given(manifests=routes(), data=st.data())
def test_the_order_of_the_input_never_changes_the_result(
    manifests: list[dict[str, Any]], data: st.DataObject
) -> None:
    everything = [*SURROUNDINGS, *manifests]
    shuffled = data.draw(st.permutations(everything))
    first, second = compiled(everything), compiled(shuffled)
    assert wire(first) == wire(second)
    assert first == second


# What a route may depend on, otherwise than in SURROUNDINGS; None takes the object away.
OTHER_REGION = {**SURROUNDINGS[1]["spec"], "region": "eu-west-2"}
OTHER_SURROUNDINGS = [
    (1, None),
    (
        1,
        manifest(
            "BucketBackend",
            "lake",
            "team-a",
            spec={**SURROUNDINGS[1]["spec"], "region": "eu-west-2"},
        ),
    ),
    (0, manifest("BucketRouteClass", "default", spec={"dataPlane": {"mode": "Sidecar"}})),
    (5, None),
    (5, {**SURROUNDINGS[5], "stringData": {"accessKeyID": "OTHER", "secretAccessKey": "other"}}),
]


@settings(deadline=None)
@given(first=routes(), second=routes(), data=st.data())
def test_what_is_taken_over_from_the_last_compilation_changes_nothing(
    first: list[dict[str, Any]], second: list[dict[str, Any]], data: st.DataObject
) -> None:
    """As in the operator: an object that did not change is the very same parsed object."""
    parsed: dict[str, ParsedObject] = {}

    def objects(manifests: list[dict[str, Any]]) -> ObjectSet:
        return object_set(
            parsed.setdefault(json.dumps(item, sort_keys=True), parse_object(item))
            for item in manifests
        )

    around = list(SURROUNDINGS)
    if data.draw(st.booleans()):
        number, other = data.draw(st.sampled_from(OTHER_SURROUNDINGS))
        around[number : number + 1] = [] if other is None else [other]
    kept = [item for item in first if data.draw(st.booleans())]
    names = {item["metadata"]["name"] for item in kept}
    following = [*kept, *(item for item in second if item["metadata"]["name"] not in names)]
    former = compile_snapshot(
        CompileInputs(objects=objects([*SURROUNDINGS, *first]), aws_endpoints=aws_endpoints)
    )
    inputs = CompileInputs(objects=objects([*around, *following]), aws_endpoints=aws_endpoints)
    fresh, again = compile_snapshot(inputs), compile_snapshot(replace(inputs, former=former))
    assert again == fresh
    assert wire(again) == wire(fresh)


def test_a_route_that_depends_on_nothing_new_is_not_compiled_again() -> None:
    before, after = compiled_twice([plain("kept"), plain("edited")], [plain("edited", prefix="x/")])
    assert [one is other for one, other in zip(before, after, strict=True)] == [False, True]


def test_a_route_that_loses_its_name_to_another_is_compiled_again() -> None:
    rival = plain("older", "team-b", bucket="kept", created=CREATED[0])
    _, after = compiled_twice([plain("kept", created=CREATED[1])], [rival])
    assert [(route.name, route.exported) for route in after] == [("kept", False), ("older", True)]


def test_a_route_that_is_beyond_the_quota_now_is_compiled_again() -> None:
    older = [plain(name, created=CREATED[0]) for name in ("one", "six", "two")]
    before, after = compiled_twice([plain("kept", created=CREATED[1])], older)
    assert [route.name for route in before] == ["kept"]
    assert [route.name for route in after] == ["one", "six", "two"]


def plain(
    name: str, namespace: str = "team-a", *, bucket: str = "", created: str = "", prefix: str = ""
) -> ParsedObject:
    access = [{"subjects": [{"kind": "AccessKey", "name": "key"}], "permissions": ["Read"]}]
    backend = {**MODES[0], "prefix": prefix}
    spec = {"bucket": bucket or name, "backend": backend, "access": access}
    created = created or CREATED[0]
    return parse_object(manifest("BucketRoute", name, namespace, created=created, spec=spec))


def compiled_twice(
    routes_: list[ParsedObject], more: list[ParsedObject]
) -> tuple[list[Route], list[Route]]:
    """What is served at first, and with more routes the second time."""
    first = [*map(parse_object, SURROUNDINGS), *routes_]
    inputs = CompileInputs(objects=object_set(first), aws_endpoints=aws_endpoints)
    former = compile_snapshot(inputs)
    following = replace(inputs, objects=object_set([*first, *more]), former=former)
    return snapshot_routes(former), snapshot_routes(compile_snapshot(following))


@given(manifests=routes())
def test_a_bucket_name_is_exported_once_and_held_once_in_a_namespace(
    manifests: list[dict[str, Any]],
) -> None:
    served = snapshot_routes(compiled([*SURROUNDINGS, *manifests]))
    exported = [route.bucket for route in served if route.exported]
    assert len(set(exported)) == len(exported)
    local = [(route.namespace, route.bucket) for route in served]
    assert len(set(local)) == len(local)


@given(
    broken=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["bucket", "backend", "access", "subjects", "kind", "limits", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_a_route_of_any_shape_stops_no_other(broken: Any) -> None:
    good = manifest("BucketRoute", "good", "team-a", spec={"backend": MODES[0]})
    bad = manifest("BucketRoute", "bad", "team-b", spec=broken)
    alone = snapshot_routes(compiled([CLASS, good]))
    together = snapshot_routes(compiled([CLASS, good, bad]))
    assert [route for route in together if route.namespace == "team-a"] == alone


def snapshot_routes(compilation: Compilation) -> list[Route]:
    result = compilation.of_class("default")
    assert result is not None
    assert result.snapshot is not None
    return list(result.snapshot.routes)
