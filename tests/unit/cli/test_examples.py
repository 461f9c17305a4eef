"""The folders of examples/: valid, served in full, and doing what they say."""

from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml

from bucketroute_cli.__main__ import main
from bucketroute_operator.core import rollout
from bucketroute_operator.core.compilation import BackendResult, RouteResult
from bucketroute_operator.core.conditions import (
    ClassOutcome,
    RouteOutcome,
    backend_status,
    class_status,
    route_status,
)
from bucketroute_operator.core.findings import Condition, ConditionType, ObjectRef, Reason
from bucketroute_operator.core.resources import Metadata
from bucketroute_operator.core.rollout import Outcome
from bucketroute_snapshot import RouteState
from bucketroute_testing.admission import injected

EXAMPLES = Path(__file__).parents[3] / "examples"
FOLDERS = ("anonymous-read-only", "cross-namespace", "sidecar-job", "simplest")
COLLECTOR = "system:serviceaccount:team-a:collector"
SPARK = "system:serviceaccount:analytics:spark"
NIGHTLY = "system:serviceaccount:team-a:nightly"
REPORTER = "system:serviceaccount:team-a:reporter"
Capture = pytest.CaptureFixture[str]


def test_every_folder_is_tested_and_told_of() -> None:
    found = {path.parent.name for path in EXAMPLES.rglob("*.yaml")}
    assert found == {*FOLDERS, "argocd", "flux"}
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"{name})" in readme for name in found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_is_served_in_full(folder: str, capsys: Capture) -> None:
    assert main(["check", "-f", str(EXAMPLES / folder)]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "1 of 1 routes would be served in full.\n"


@pytest.mark.parametrize(
    ("folder", "subject", "request_", "is_allowed"),
    [
        ("simplest", REPORTER, "PUT s3://reports/x", True),
        ("simplest", REPORTER, "DELETE s3://reports/x", False),
        ("cross-namespace", COLLECTOR, "PUT s3://team-a-events/x", True),
        ("cross-namespace", SPARK, "GET s3://team-a-events/published/x", True),
        ("cross-namespace", SPARK, "GET s3://team-a-events/x", False),
        ("sidecar-job", NIGHTLY, "PUT s3://ledger/x --class sidecars", True),
        ("sidecar-job", REPORTER, "PUT s3://ledger/x --class sidecars", False),
        ("anonymous-read-only", "anonymous", "GET s3://downloads/public/x", True),
        ("anonymous-read-only", "anonymous", "GET s3://downloads/x", False),
        ("anonymous-read-only", "anonymous", "PUT s3://downloads/public/x", False),
    ],
)
def test_an_example_grants_what_it_says(
    folder: str, subject: str, request_: str, is_allowed: bool
) -> None:
    arguments = ["--as", subject, *request_.split(), "-f", str(EXAMPLES / folder)]
    assert main(["explain", *arguments]) == (0 if is_allowed else 1)


def test_the_platforms_backend_gives_a_namespace_its_own_prefix_only(
    tmp_path: Path, capsys: Capture
) -> None:
    for file in (EXAMPLES / "cross-namespace").iterdir():
        text = file.read_text().replace("prefix: team-a/events/", "prefix: team-b/events/")
        (tmp_path / file.name).write_text(text)
    assert main(["check", "-f", str(tmp_path)]) == 1
    assert "RefNotPermitted" in capsys.readouterr().out


def test_the_job_is_given_a_sidecar_of_its_class() -> None:
    cron = yaml.safe_load((EXAMPLES / "sidecar-job" / "cronjob.yaml").read_text())
    pod = injected(cron["spec"]["jobTemplate"]["spec"]["template"])
    (sidecar,) = pod["spec"]["initContainers"]
    assert {"name": "BUCKETROUTE_CLASS", "value": "sidecars"} in sidecar["env"]


def metadata(kind: str) -> Metadata:
    ref = ObjectRef(kind=kind, namespace="team-a", name="x")
    return Metadata(ref=ref, uid="u", generation=3, created_at="2026-01-01T00:00:00Z")


def condition(kind: ConditionType, status: bool, reason: Reason) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message="So.")


ACCEPTED = condition(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
RESOLVED = condition(ConditionType.RESOLVED_REFS, True, Reason.RESOLVED_REFS)
REFUSED = Outcome(status="False", reason="AccessDenied", message="No.")


def of_route(
    *conditions: Condition,
    programmed: Outcome = rollout.PROGRAMMED,
    credential_ready: Outcome = rollout.NOT_NEEDED,
) -> dict[str, object]:
    """A status as the operator writes it."""
    result = RouteResult(
        metadata=metadata("BucketRoute"),
        class_name="default",
        bucket="x",
        state=RouteState.ACTIVE,
        conditions=conditions or (ACCEPTED, RESOLVED),
    )
    outcome = RouteOutcome(result=result, programmed=programmed, credential_ready=credential_ready)
    return route_status(outcome, {}, "2026-01-01T00:00:00Z")


def of_backend(accepted: Condition) -> dict[str, object]:
    result = BackendResult(metadata=metadata("BucketBackend"), accepted=accepted, attached_routes=0)
    return backend_status(result, {}, "2026-01-01T00:00:00Z")


def of_class(synced: Outcome, accepted: Condition = ACCEPTED) -> dict[str, object]:
    outcome = ClassOutcome(
        generation=3,
        accepted=accepted,
        synced=synced,
        version="1.1",
        digest="d",
        total_count=0,
        accepted_count=0,
        programmed_count=0,
        connected_count=0,
        synced_count=0,
        rejecting_count=0,
    )
    return class_status(outcome, {}, "2026-01-01T00:00:00Z")


def outcome(status: str, reason: str) -> Outcome:
    return Outcome(status=status, reason=reason, message="So.")


INVALID = condition(ConditionType.ACCEPTED, False, Reason.INVALID_SPEC)
SUSPENDED = condition(ConditionType.ACCEPTED, False, Reason.SUSPENDED)


def argo_health(kind: str, obj: dict[str, Any]) -> tuple[str, str]:
    """What Argo CD shows of an object by the example's script."""
    config = yaml.safe_load((EXAMPLES / "gitops/argocd/argocd-cm.yaml").read_text())
    script = config["data"][f"resource.customizations.health.bucketroute.io_{kind}"]
    lua = lupa.LuaRuntime()
    found = lua.eval(f"function(obj) {script} end")(lua.table_from(obj, recursive=True))
    return found["status"], found["message"]


@pytest.mark.parametrize(
    ("kind", "status", "health"),
    [
        ("BucketRoute", None, "Progressing"),
        ("BucketRoute", of_route(), "Healthy"),
        ("BucketRoute", {**of_route(), "observedGeneration": 2}, "Progressing"),
        ("BucketRoute", of_route(programmed=rollout.NOT_PUBLISHED), "Progressing"),
        ("BucketRoute", of_route(credential_ready=REFUSED), "Degraded"),
        ("BucketRoute", of_route(INVALID, RESOLVED), "Degraded"),
        ("BucketRoute", of_route(SUSPENDED, RESOLVED), "Suspended"),
        ("BucketBackend", None, "Progressing"),
        ("BucketBackend", of_backend(ACCEPTED), "Healthy"),
        ("BucketBackend", of_backend(INVALID), "Degraded"),
        ("BucketRouteClass", None, "Progressing"),
        ("BucketRouteClass", of_class(outcome("True", "Synced")), "Healthy"),
        ("BucketRouteClass", of_class(outcome("False", "Pending")), "Progressing"),
        ("BucketRouteClass", of_class(outcome("False", "Rejected")), "Degraded"),
        ("BucketRouteClass", of_class(outcome("True", "Synced"), INVALID), "Degraded"),
    ],
)
def test_argo_cd_shows_the_health_that_the_status_says(
    kind: str, status: dict[str, object] | None, health: str
) -> None:
    obj: dict[str, Any] = {"metadata": {"generation": 3}}
    if status is not None:
        obj["status"] = status
    shown, message = argo_health(kind, obj)
    assert shown == health
    assert message


def test_argo_cd_tells_why() -> None:
    obj = {"metadata": {"generation": 3}, "status": of_route(credential_ready=REFUSED)}
    assert argo_health("BucketRoute", obj) == ("Degraded", "AccessDenied: No.")


def test_flux_waits_for_a_folder_that_exists() -> None:
    found = yaml.safe_load((EXAMPLES / "gitops/flux/kustomization.yaml").read_text())
    assert found["spec"]["wait"] is True
    assert (EXAMPLES.parent / found["spec"]["path"]).is_dir()
