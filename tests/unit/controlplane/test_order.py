"""The order of the input never matters, and no object's fault reaches another."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bucketroute_operator.core.compilation import Compilation
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.objects import object_set, parse_object
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


def compiled(manifests: list[dict[str, Any]]) -> Compilation:
    return compile_snapshot(
        CompileInputs(
            objects=object_set(map(parse_object, manifests)),
            aws_endpoints=lambda region: f"https://s3.{region}.amazonaws.com",
        )
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
