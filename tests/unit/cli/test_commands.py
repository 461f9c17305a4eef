"""`bucketroute check` and `bucketroute explain`: what they print and their exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bucketroute_cli.__main__ import main

MANIFESTS = """\
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {name: reports, namespace: team-a}
spec:
  backend:
    bucket: acme
    prefix: r/
    endpoint: http://minio:9000
    roleARN: arn:minio:iam:::role/x
  access:
  - {serviceAccounts: [reader], permissions: [Read, List], prefixes: ['${serviceAccount}/']}
  - {serviceAccounts: [writer], permissions: [Write]}
  - {subjects: [{kind: Anonymous}], permissions: [Read], prefixes: [public/]}
  - {subjects: [{kind: AccessKey, name: laptop}], permissions: [Read]}
---
apiVersion: v1
kind: Secret
metadata: {name: laptop, namespace: team-a}
type: bucketroute.io/access-key
stringData: {accessKeyID: LAPTOP, secretAccessKey: not-a-secret}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "route.yaml").write_text(MANIFESTS)
    return tmp_path


def add_route(folder: Path, backend: str, *, state: str = "Active") -> None:
    (folder / "more.yaml").write_text(
        "apiVersion: bucketroute.io/v1alpha1\nkind: BucketRoute\nmetadata: {name: more}\n"
        f"spec: {{state: {state}, backend: {{bucket: acme, {backend}}}}}\n"
    )


Capture = pytest.CaptureFixture[str]


def test_check_is_quiet_and_zero_when_all_is_well(folder: Path, capsys: Capture) -> None:
    assert main(["check", "-f", str(folder)]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "1 of 1 routes would be served in full.\n"


def test_check_is_one_when_a_route_would_not_be_accepted(folder: Path, capsys: Capture) -> None:
    add_route(folder, "prefix: /")
    assert main(["check", "-f", str(folder)]) == 1
    output = capsys.readouterr()
    assert "BucketRoute default/more spec.backend.prefix" in output.out
    assert "1 of 2 routes" in output.err


def test_check_is_one_when_a_reference_dangles(folder: Path) -> None:
    add_route(folder, "ref: {name: absent}")
    assert main(["check", "-f", str(folder)]) == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name: laptop}], perm", "name: gone}], perm", "SecretNotFound"),
        ("secretAccessKey: not-a-secret", "secretAccessKey: short", "SecretInvalid"),
        (
            "kind: AccessKey, name: laptop",
            "kind: OIDC, issuer: 'https://id.example.com', subject: x",
            "IssuerNotPermitted",
        ),
    ],
)
def test_check_is_one_when_somebody_who_is_named_could_not_come_in(
    folder: Path, capsys: Capture, old: str, new: str, reason: str
) -> None:
    text = (folder / "route.yaml").read_text()
    (folder / "route.yaml").write_text(text.replace(old, new))
    assert main(["check", "-f", str(folder)]) == 1
    output = capsys.readouterr()
    assert "Error: BucketRoute team-a/reports spec.access[3].subjects[0]: " in output.out
    assert f"[{reason}]" in output.out
    assert output.err == "0 of 1 routes would be served in full.\n"


def test_check_takes_warnings_and_suspended_routes_as_fine(folder: Path, capsys: Capture) -> None:
    add_route(folder, "region: eu-west-1, signing: Unsigned", state="Suspended")
    (folder / "backend.yaml").write_text(
        "apiVersion: bucketroute.io/v1alpha1\nkind: BucketBackend\nmetadata: {name: spare}\n"
        "spec:\n  region: eu-west-1\n"
        "  auth: {type: Static, staticCredentials: {secretName: elsewhere}}\n"
    )
    assert main(["check", "-f", str(folder)]) == 0
    output = capsys.readouterr()
    field = "spec.auth.staticCredentials.secretName"
    assert f"backend.yaml:6: Warning: BucketBackend default/spare {field}" in output.out
    assert output.err == "1 of 2 routes would be served in full, 1 suspended.\n"


EVERY_FAULT = """\
kind: BucketRoute
metadata: {name: reports, namespace: team-a}
spec:
  backend:
    ref: {name: mino}
    bucket: acme
    prefx: team-a/
  access:
  - subjects:
    - {kind: AccesKey, name: laptop}
    - {kind: AccessKey, name: latop}
    permissions: [Read, Lst]
---
kind: BucketRoute
metadata: {name: other namespace: team-a}
---
kind: BucketRoute
metadata: {namespace: Team}
spec: {className: fast, backend: {bucket: acme, region: eu-west-1, signing: unsigned}}
---
kind: BucketRoute
metadata: {name: lake, namespace: team-b}
spec:
  className: defalt
  backend: {bucket: acme, ref: {name: minio}}
  access:
  - {subjects: [{kind: OIDC, issuer: "https://id.example.com", subject: x}]}
---
kind: BucketBackend
metadata: {name: minio, namespace: team-a}
spec:
  endpoint: http://127.0.0.1:9100
  profile: Minio
  auth: {type: Static, staticCredentials: {secretName: laptp}}
  tls: {caConfigMapName: ca}
---
kind: BucketRoute
metadata: {name: narrow, namespace: team-a}
spec:
  className: narrow
  backend: {bucket: acme, endpoint: "http://10.1.2.3", roleARN: "arn:aws:iam::1:role/x"}
---
kind: BucketRouteClass
metadata: {name: narrow}
spec:
  dataPlane: {mode: Sidecar}
  bucketNamePattern: ${namespace}.*
  endpoints: {inline: Deny}
---
apiVersion: bucketroute.io/v1alpha1
kind: BucketRuote
---
apiVersion: bucketrout.io/v1alpha1
kind: BucketRoute
"""


def test_check_tells_every_fault_of_every_kind_at_once(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "all.yaml").write_text(EVERY_FAULT + MANIFESTS[MANIFESTS.index("---") :])
    assert main(["check", "-o", "json", "-f", str(tmp_path)]) == 1
    found = [
        (item["line"], item["field"], item["message"])
        for item in json.loads(capsys.readouterr().out)
    ]
    assert [(line, field) for line, field, _ in found] == [
        (5, "spec.backend.ref"),
        (7, "spec.backend.prefx"),
        (10, "spec.access[0].subjects[0].kind"),
        (11, "spec.access[0].subjects[1]"),
        (12, "spec.access[0].permissions[1]"),
        (15, ""),
        (18, ""),
        (19, "spec.backend.signing"),
        (24, "spec.className"),
        (25, "spec.backend.ref"),
        (27, "spec.access[0]"),
        (33, "spec.profile"),
        (34, "spec.auth.staticCredentials.secretName"),
        (35, "spec.tls.caConfigMapName"),
        (39, "spec.bucket"),
        (41, "spec.backend"),
        (41, "spec.backend.endpoint"),
        (41, "spec.backend.endpoint"),
        (41, "spec.backend.endpoint"),
        (41, "spec.backend.roleARN"),
        (50, ""),
        (53, ""),
    ]
    told = "\n".join(message for _, _, message in found)
    for meant in ("minio", "prefix", "AccessKey", "laptop", "List", "MinIO", "default"):
        assert f"(did you mean {meant}?)" in told
    assert "metadata.name is required; metadata.namespace must be" in told
    assert "of this name (there is one in namespace team-a)." in told
    assert "BucketRuote is none of BucketRoute, BucketBackend, BucketRouteClass (did" in told
    assert "bucketrout.io/v1alpha1 is not bucketroute.io/v1alpha1" in told


def test_check_writes_json(folder: Path, capsys: Capture) -> None:
    add_route(folder, "prefix: /")
    assert main(["check", "-o", "json", "-f", str(folder)]) == 1
    first = json.loads(capsys.readouterr().out)[0]
    assert first["file"] == str(folder / "more.yaml")
    assert (first["line"], first["severity"], first["reason"]) == (4, "Error", "InvalidSpec")


@pytest.mark.parametrize("command", [["check"], ["explain", "--as", "anonymous", "GET", "s3://x"]])
def test_a_path_that_does_not_exist_is_a_usage_error(command: list[str], capsys: Capture) -> None:
    assert main([*command, "-f", "/absent/path"]) == 2
    assert "no such file or folder: /absent/path" in capsys.readouterr().err


def explain(folder: Path, subject: str, method: str, target: str, query: str = "") -> int:
    arguments = ["--as", subject, method, target, "--query", query, "-f", str(folder)]
    return main(["explain", *arguments])


READER = "system:serviceaccount:team-a:reader"
WRITER = "system:serviceaccount:team-a:writer"


@pytest.mark.parametrize(
    ("subject", "method", "target", "query", "decision"),
    [
        (READER, "get", "s3://reports/reader/x", "", "allowed by spec.access[0]"),
        (READER, "GET", "s3://reports/other/x", "", "refused, AccessDenied"),
        (READER, "PUT", "s3://reports/reader/x", "", "refused, AccessDenied"),
        (READER, "GET", "s3://reports", "list-type=2&prefix=reader/", "allowed by spec.access[0]"),
        (READER, "GET", "s3://reports", "list-type=2", "refused, AccessDenied"),
        (READER, "HEAD", "s3://reports/", "", "allowed by spec.access[0]"),
        (WRITER, "PUT", "s3://reports/any where?", "", "allowed by spec.access[1]"),
        ("anonymous", "GET", "s3://reports/public/x", "", "allowed by spec.access[2]"),
        ("anonymous", "GET", "s3://reports/x", "", "refused, AccessDenied"),
        ("accesskey:team-a/laptop", "GET", "s3://reports/x", "", "allowed by spec.access[3]"),
        ("oidc:https://id.example.com#x", "GET", "s3://reports/x", "", "refused, AccessDenied"),
        (READER, "GET", "s3://absent/x", "", "refused, NoSuchBucket"),
        (READER, "GET", "s3://reports/x", "torrent", "refused, NotImplemented"),
    ],
)
def test_explain_tells_the_decision(
    folder: Path,
    capsys: Capture,
    subject: str,
    method: str,
    target: str,
    query: str,
    decision: str,
) -> None:
    status = explain(folder, subject, method, target, query)
    assert f"decision:  {decision}" in capsys.readouterr().out
    assert status == (0 if decision.startswith("allowed") else 1)


def test_explain_tells_the_route_and_the_backends_key(folder: Path, capsys: Capture) -> None:
    explain(folder, READER, "GET", "s3://reports/reader/a b")
    assert capsys.readouterr().out.splitlines() == [
        f"caller:    {READER}",
        "operation: GetObject",
        "needs:     s3:GetObject",
        "route:     BucketRoute team-a/reports (Active)",
        "backend:   s3://acme/r/reader/a b at http://minio:9000",
        "decision:  allowed by spec.access[0]",
    ]


def test_explain_says_that_a_route_is_out_of_order(folder: Path, capsys: Capture) -> None:
    text = (folder / "route.yaml").read_text()
    (folder / "route.yaml").write_text(text.replace("prefix: r/", "prefix: /"))
    assert explain(folder, READER, "GET", "s3://reports/reader/x") == 1
    output = capsys.readouterr().out
    assert "route:     BucketRoute team-a/reports (Unresolved)" in output
    assert "decision:  refused, ServiceUnavailable" in output
    assert "but:       Accepted=False InvalidSpec: spec.backend.prefix must" in output


DENIALS = {
    (READER, "PUT", "s3://reports/reader/x", ""): "is for this caller, but grants Read, List only",
    (READER, "GET", "s3://reports/x", ""): "but only for keys under ${serviceAccount}/",
    (READER, "GET", "s3://reports", "list-type=2&prefix=r"): (
        'but only for a listing below ${serviceAccount}/; the one asked is "r"'
    ),
    (WRITER, "GET", "s3://reports/x", ""): "is for system:serviceaccount:team-a:reader",
    ("anonymous", "PUT", "s3://reports/public/x", ""): "is for system:serviceaccount:team-a:reader",
}


@pytest.mark.parametrize("request_", DENIALS, ids=lambda request: f"{request[1]} {request[2]}")
def test_a_denial_says_of_each_rule_why(
    folder: Path, capsys: Capture, request_: tuple[str, str, str, str]
) -> None:
    assert explain(folder, *request_) == 1
    lines = capsys.readouterr().out.splitlines()
    rules = [line for line in lines if line.startswith("  spec.access[")]
    assert [line.split()[0] for line in rules] == [f"spec.access[{n}]" for n in range(4)]
    assert DENIALS[request_] in rules[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "--as", "root", "GET", "s3://x", "-f", "."],
        ["explain", "--as", "anonymous", "GET", "reports/x", "-f", "."],
        ["explain", "--as", "anonymous", "GetObject", "s3://reports/x", "-f", "."],
        ["check", "--live", "-f", "."],
        ["status", "--live"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_two(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: bucketroute" in capsys.readouterr().err


def test_no_command_shows_the_usage(capsys: Capture) -> None:
    assert main([]) == 2
    assert "usage: bucketroute" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("demo", "serve", "check", "explain", "status"))
