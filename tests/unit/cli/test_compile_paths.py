"""Manifests on disk become a snapshot, and every fault a finding with its file and line."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bucketroute_cli.compile import Compiled, compile_paths
from bucketroute_snapshot import (
    NetworkScope,
    Route,
    RouteState,
    Secret,
    StaticAuth,
    WebIdentityAuth,
)

ROUTE = """\
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  backend:
    bucket: acme
    endpoint: http://127.0.0.1:9000
    roleARN: arn:minio:iam:::role/x
    {extra}
"""


def route(name: str, namespace: str = "team-a", extra: str = "") -> str:
    return ROUTE.format(name=name, namespace=namespace, extra=extra)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def names(compiled: Compiled) -> list[str]:
    return [item.name for item in compiled.snapshot.routes]


def only_route(compiled: Compiled) -> Route:
    (found,) = compiled.snapshot.routes
    return found


def test_the_built_in_class_allows_a_backend_on_this_machine(tmp_path: Path) -> None:
    compiled = compile_paths([write(tmp_path, a=route("data"))])
    assert compiled.findings == ()
    found = only_route(compiled)
    assert found.backend is not None
    assert found.backend.network_scope is NetworkScope.LOOPBACK
    assert isinstance(found.backend.auth, WebIdentityAuth)
    assert found.backend.auth.sts_endpoint == "http://127.0.0.1:9000"


def test_the_built_in_class_uses_awss_sts_for_aws(tmp_path: Path) -> None:
    text = route("data").replace("endpoint: http://127.0.0.1:9000", "region: eu-west-1")
    found = only_route(compile_paths([write(tmp_path, a=text)]))
    assert found.backend is not None
    assert found.backend.endpoint == "https://s3.eu-west-1.amazonaws.com"
    assert isinstance(found.backend.auth, WebIdentityAuth)
    assert found.backend.auth.sts_endpoint == "https://sts.eu-west-1.amazonaws.com"


def test_a_class_in_the_manifests_replaces_the_built_in_one(tmp_path: Path) -> None:
    own_class = """\
apiVersion: bucketroute.io/v1alpha1
kind: BucketRouteClass
metadata: {name: default}
spec:
  dataPlane: {mode: Sidecar}
  endpoints: {allowed: ['*'], insecureHTTP: Allow}
  identity: {allowedRoleARNs: ['*']}
"""
    compiled = compile_paths([write(tmp_path, a=own_class, b=route("data"))])
    assert [item.reason for item in compiled.findings] == ["EndpointNotPermitted"]
    private = own_class.replace("Allow}", "Allow, privateNetworks: Allow}")
    assert compile_paths([write(tmp_path, a=private)]).findings == ()


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_secrets_of_the_manifests_are_read_encoded_or_plain(tmp_path: Path, field: str) -> None:
    def value(text: str) -> str:
        return base64.b64encode(text.encode()).decode() if field == "data" else text

    text = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: team-a}}
{field}: {{accessKeyID: {value("minio")}, secretAccessKey: {value("not-a-secret")}}}
---
apiVersion: bucketroute.io/v1alpha1
kind: BucketBackend
metadata: {{name: minio, namespace: team-a}}
spec:
  endpoint: http://minio:9000
  auth: {{type: Static, staticCredentials: {{secretName: keys}}}}
---
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {{name: data, namespace: team-a}}
spec: {{backend: {{bucket: acme, ref: {{name: minio}}}}}}
"""
    compiled = compile_paths([write(tmp_path, a=text)])
    assert compiled.findings == ()
    found = only_route(compiled)
    assert found.backend is not None
    assert found.backend.auth == StaticAuth(namespace="team-a", secret_name="keys")
    (secret,) = compiled.secrets.static
    assert secret.access_key_id == "minio"
    assert secret.secret_access_key == Secret("not-a-secret")


def test_sealing_keys_travel_with_the_secrets(tmp_path: Path) -> None:
    key = Secret(base64.b64encode(bytes(32)).decode())
    compiled = compile_paths([write(tmp_path, a=route("data"))], sealing_keys=(key,))
    assert compiled.secrets.sealing_keys == (key,)


def test_a_finding_names_file_line_object_and_field(tmp_path: Path) -> None:
    text = "# first\n" + route("good") + "---\n" + route("bad", extra="prefix: /x")
    compiled = compile_paths([write(tmp_path, a=text)])
    (finding,) = {(item.path, item.line, item.object, item.field) for item in compiled.findings}
    assert finding == (tmp_path / "a.yaml", 20, "BucketRoute team-a/bad", "spec.backend.prefix")
    assert str(compiled.findings[0]).startswith(f"{tmp_path}/a.yaml:20: Error: BucketRoute")


def test_a_file_that_breaks_keeps_what_it_last_held(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a=route("data"), b=route("other"))])
    second = compile_paths([write(tmp_path, a="kind: [")], previous=first)
    assert second.snapshot == first.snapshot
    (finding,) = second.findings
    assert (finding.path, finding.reason) == (tmp_path / "a.yaml", "UnreadableManifest")
    # Once more, so that the memory outlives one reload.
    assert compile_paths([tmp_path], previous=second).snapshot == first.snapshot
    assert names(compile_paths([write(tmp_path, a=route("new"))], previous=second)) == [
        "new",
        "other",
    ]


def test_a_route_that_is_removed_is_gone(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a=route("data"), b=route("other"))])
    (tmp_path / "a.yaml").unlink()
    assert names(compile_paths([tmp_path], previous=first)) == ["other"]


def test_a_route_that_is_edited_to_nonsense_keeps_its_name(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a=route("data"))])
    second = compile_paths([write(tmp_path, a=route("data", extra="prefix: /"))], previous=first)
    found = only_route(second)
    assert (found.bucket, found.state, found.exported) == ("data", RouteState.UNRESOLVED, True)


def test_the_holder_of_a_name_keeps_it_over_reloads(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a=route("data", namespace="team-b"))])
    second = compile_paths([write(tmp_path, b=route("data", namespace="team-a"))], previous=first)
    exported = {item.namespace: item.exported for item in second.snapshot.routes}
    assert exported == {"team-a": False, "team-b": True}


def test_a_class_that_breaks_keeps_the_last_snapshot(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a=route("data"))])
    broken = (
        "apiVersion: bucketroute.io/v1alpha1\nkind: BucketRouteClass\nmetadata: {name: default}"
    )
    second = compile_paths([write(tmp_path, b=broken)], previous=first)
    assert (second.snapshot, second.secrets) == (first.snapshot, first.secrets)
    assert names(compile_paths([tmp_path])) == []


def test_of_two_objects_of_one_name_the_first_file_wins(tmp_path: Path) -> None:
    files = {"a": route("data"), "b": route("data").replace("bucket: acme", "bucket: other")}
    compiled = compile_paths([write(tmp_path, **files)])
    found = only_route(compiled)
    assert found.backend is not None
    assert found.backend.bucket == "acme"
    (finding,) = compiled.findings
    assert (finding.path, finding.line) == (tmp_path / "b.yaml", 1)
    assert f"{tmp_path}/a.yaml:1" in finding.message


def test_a_duplicate_stands_in_when_the_first_is_removed(tmp_path: Path) -> None:
    files = {"a": route("data"), "b": route("data").replace("bucket: acme", "bucket: other")}
    first = compile_paths([write(tmp_path, **files)])
    (tmp_path / "a.yaml").unlink()
    second = compile_paths([tmp_path], previous=first)
    assert second.findings == ()
    found = only_route(second)
    assert found.backend is not None
    assert found.backend.bucket == "other"


def test_problems_of_a_file_that_did_not_change_are_told_again(tmp_path: Path) -> None:
    first = compile_paths([write(tmp_path, a="- a list", b=route("data"))])
    assert compile_paths([tmp_path], previous=first).findings == first.findings


def test_lists_json_and_other_kinds_may_stand_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "bucketroute.io/v1alpha1",'
        ' "kind": "BucketRoute", "metadata": {"name": "data", "creationTimestamp":'
        ' "2026-01-01T00:00:00Z"}, "spec": {"backend": {"bucket": "acme", "region": "eu-west-1",'
        ' "signing": "Unsigned"}}}]}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest: [")
    (tmp_path / ".hidden.yaml").write_text("not a manifest: [")
    others = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\n---\n"
    foreign = "apiVersion: example.com/v1\nkind: BucketRoute\nmetadata: {name: y}\n"
    compiled = compile_paths([write(tmp_path, others=others + foreign)])
    assert compiled.findings == ()
    found = only_route(compiled)
    assert (found.namespace, found.created_at) == ("default", "2026-01-01T00:00:00Z")


def test_a_kind_of_ours_that_does_not_exist_is_a_finding(tmp_path: Path) -> None:
    text = "apiVersion: bucketroute.io/v1alpha1\nkind: BucketRoot\nmetadata: {name: x}\n"
    (finding,) = compile_paths([write(tmp_path, a=text)]).findings
    assert finding.reason == "UnreadableManifest"
    assert "BucketRoot is none of BucketRoute, BucketBackend, BucketRouteClass" in str(finding)


def test_timestamps_stay_text_as_in_json(tmp_path: Path) -> None:
    text = route("data").replace(
        "namespace: team-a", "namespace: team-a, creationTimestamp: 2026-01-01T00:00:00Z"
    )
    assert only_route(compile_paths([write(tmp_path, a=text)])).created_at == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("- just\n- a list\n", "UnreadableManifest", 1),
        ("kind: Secret\napiVersion: v1\nmetadata: {}\n", "InvalidSpec", 3),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: '../x'}\n", "InvalidSpec", 3),
        (
            "kind: Secret\napiVersion: v1\nmetadata: {name: abc, namespace: 'a/b'}\n",
            "InvalidSpec",
            3,
        ),
        ("a: 1\nb: [\n", "UnreadableManifest", 3),
        ("a:\n- b: 1\n  c: 2\n  b: 3\n", "UnreadableManifest", 4),
    ],
    ids=["list", "no name", "bad name", "bad namespace", "syntax", "repeated key"],
)
def test_what_is_no_object_is_a_finding(tmp_path: Path, text: str, reason: str, line: int) -> None:
    (finding,) = compile_paths([write(tmp_path, a=text)]).findings
    assert (finding.reason, finding.line) == (reason, line)


def test_a_block_is_found_where_its_key_stands(tmp_path: Path) -> None:
    text = "kind: BucketRoute\nmetadata: {name: data}\nspec:\n  backend:\n    bucket: acme\n"
    found = compile_paths([write(tmp_path, a=text)]).findings
    assert {(item.line, item.field) for item in found} == {(4, "spec.backend")}


def test_a_file_that_was_never_whole_serves_its_whole_documents(tmp_path: Path) -> None:
    text = route("one") + "---\nkind: [\n---\n" + route("two")
    first = compile_paths([write(tmp_path, a=text)])
    assert names(first) == ["one", "two"]
    assert [(item.line, item.reason) for item in first.findings] == [(12, "UnreadableManifest")]
    # From now on it has a last good content, and keeps it whole.
    text = "kind: [\n---\n" + route("one")
    second = compile_paths([write(tmp_path, a=text)], previous=first)
    assert names(second) == ["one", "two"]


def test_an_alias_that_leads_back_to_itself_stops_nothing(tmp_path: Path) -> None:
    looping = "kind: BucketRoute\nmetadata: {name: loop}\nspec: &spec {backend: *spec}\n"
    compiled = compile_paths([write(tmp_path, a=looping, b=route("data"))])
    assert "data" in names(compiled)
    assert {item.object for item in compiled.findings} == {"BucketRoute default/loop"}


def test_a_file_that_is_not_text_or_not_there_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    compiled = compile_paths([tmp_path, tmp_path / "absent.yaml"])
    assert [(item.path, item.reason) for item in compiled.findings] == [
        (tmp_path / "a.yaml", "UnreadableManifest"),
        (tmp_path / "absent.yaml", "UnreadableManifest"),
    ]
