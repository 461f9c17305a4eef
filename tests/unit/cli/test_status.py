"""`bucketroute status`: rows, reasons and the exit status, from the statuses of live objects."""

import json

import pytest

from bucketroute_cli import status as command
from bucketroute_cli.status import show_status
from bucketroute_operator.shell.kube_api import (
    CLASSES,
    NAMESPACES,
    ROUTES,
    ForbiddenError,
    Json,
    KubeError,
    Resource,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.live_cluster import Condition, arguments, hide, on, status
from bucketroute_testing.operator_objects import raw_class, raw_route

Capture = pytest.CaptureFixture[str]
REFUSED: Condition = ("CredentialReady", "False", "AccessDenied")
NOT_READY: Condition = ("Ready", "False", "AccessDenied")
SYNCED = {"name": "gateway-a", "state": "Synced", "ready": True, "configVersion": "3.7"}


def class_with(*pods: Json, connected: int = 2, synced: str = "True") -> Json:
    said = status(("Synced", synced, "Synced" if synced == "True" else "Rejected"))
    said["conditions"] = [
        item for item in said["conditions"] if item["type"] in ("Accepted", "Synced")
    ]
    said["routes"] = {"total": 2, "accepted": 2, "programmed": 2}
    said["dataPlanes"] = {"connected": connected, "synced": 2, "rejecting": 0, "pods": list(pods)}
    return {**raw_class(), "status": said}


@pytest.fixture
def kube() -> FakeKube:
    fake = FakeKube()
    fake.put(ROUTES, {**raw_route(), "status": status(bucket="reports")})
    fake.put(CLASSES, class_with(SYNCED, {**SYNCED, "name": "gateway-b"}))
    return fake


async def shown(kube: FakeKube, capsys: Capture, *given: str) -> tuple[int, list[list[str]]]:
    """The exit status, and the words of each line."""
    code = await show_status(on(kube), arguments(command, *given))
    return code, [line.split() for line in capsys.readouterr().out.splitlines() if line]


async def test_all_is_ready(kube: FakeKube, capsys: Capture) -> None:
    code, lines = await shown(kube, capsys)
    assert code == 0
    assert lines == [
        ["CLASS", "MODE", "ACCEPTED", "SYNCED", "ROUTES", "VERSION"],
        ["default", "Shared", "True", "True", "2/2", "3.7"],
        ["POD", "CLASS", "STATE", "READY", "VERSION", "REJECTED", "ROUTES"],
        ["gateway-a", "default", "SYNCED", "True", "3.7", "-"],
        ["gateway-b", "default", "SYNCED", "True", "3.7", "-"],
        ["NAMESPACE", "ROUTE", "BUCKET", "CLASS", "READY", "REASON", "CREDENTIALS", "VERSION"],
        ["team-a", "reports", "reports", "default", "True", "Ready", "Exchanged", "3.7"],
    ]


async def test_a_route_that_is_not_ready_says_which_condition_keeps_it(
    kube: FakeKube, capsys: Capture
) -> None:
    kube.put(ROUTES, {**raw_route("wrong"), "status": status(REFUSED, NOT_READY)})
    assert await show_status(on(kube), arguments(command)) == 1
    output = capsys.readouterr().out
    assert "team-a/wrong: CredentialReady=False AccessDenied: AccessDenied it is." in output
    assert "team-a/reports:" not in output
    assert "docs/conditions.md" in output


async def test_json_is_for_scripts(kube: FakeKube, capsys: Capture) -> None:
    kube.put(ROUTES, {**raw_route("wrong"), "status": status(REFUSED, NOT_READY)})
    assert await show_status(on(kube), arguments(command, "-o", "json")) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] is False
    assert [(item["name"], item["ready"], item["reason"]) for item in found["routes"]] == [
        ("reports", "True", "Ready"),
        ("wrong", "False", "AccessDenied"),
    ]
    assert found["routes"][1]["why"][0]["type"] == "CredentialReady"
    assert found["classes"][0]["pods"][0] == {
        "name": "gateway-a",
        "state": "SYNCED",
        "ready": True,
        "version": "3.7",
        "rejectedRoutes": 0,
    }


@pytest.mark.parametrize(
    ("pod", "state"),
    [
        ({**SYNCED, "state": "Behind", "configVersion": "3.6"}, "BEHIND"),
        ({**SYNCED, "state": "Rejecting", "configVersion": "3.6"}, "REJECTING"),
        ({"name": "gateway-a", "state": "Offline"}, "OFFLINE"),
        ({**SYNCED, "ready": False}, "SYNCED"),
        ({**SYNCED, "rejectedRoutes": 2}, "SYNCED"),
    ],
    ids=["behind", "rejecting", "offline", "not-ready", "lacks-routes"],
)
async def test_a_pod_that_is_not_well_is_shown_and_found(
    kube: FakeKube, capsys: Capture, pod: Json, state: str
) -> None:
    kube.put(CLASSES, class_with(pod))
    code, lines = await shown(kube, capsys)
    assert code == 1
    (row,) = [line for line in lines if line[0] == "gateway-a"]
    assert row[2] == state


async def test_a_class_that_is_not_synced_says_why(kube: FakeKube, capsys: Capture) -> None:
    kube.put(CLASSES, class_with(synced="False"))
    assert await show_status(on(kube), arguments(command)) == 1
    output = capsys.readouterr().out
    assert "BucketRouteClass default: Synced=False Rejected: Rejected it is." in output


async def test_a_list_of_pods_that_was_cut_says_how_many_there_are(
    kube: FakeKube, capsys: Capture
) -> None:
    kube.put(CLASSES, class_with(SYNCED, connected=40))
    assert await show_status(on(kube), arguments(command)) == 0
    assert "Class default has 39 more pods, none of them worse." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "reason"),
    [({}, "NoStatus"), ({"status": status(generation=4)}, "Outdated")],
    ids=["nobody-looked", "an-older-generation"],
)
async def test_what_no_operator_has_looked_at_is_not_ready(
    kube: FakeKube, capsys: Capture, said: Json, reason: str
) -> None:
    kube.put(ROUTES, {**raw_route("new", generation=5), **said})
    code, lines = await shown(kube, capsys, "new")
    assert code == 1
    (row,) = [line for line in lines if line[:2] == ["team-a", "new"]]
    assert row[4:6] == ["Unknown", reason]


async def test_a_suspended_route_is_as_somebody_wants_it(kube: FakeKube, capsys: Capture) -> None:
    said = status(("Accepted", "False", "Suspended"), ("Ready", "False", "Suspended"))
    kube.put(ROUTES, {**raw_route("parked"), "status": said})
    code, _ = await shown(kube, capsys)
    assert code == 0


async def test_a_name_that_another_route_exports_is_told_though_the_route_is_ready(
    kube: FakeKube, capsys: Capture
) -> None:
    said = status(("Exported", "False", "BucketNameConflict"))
    kube.put(ROUTES, {**raw_route("local"), "status": said})
    assert await show_status(on(kube), arguments(command)) == 0
    assert "team-a/local: Exported=False BucketNameConflict" in capsys.readouterr().out


async def test_namespaces(kube: FakeKube, capsys: Capture) -> None:
    kube.put(ROUTES, {**raw_route(namespace="team-b"), "status": status()})
    _, lines = await shown(kube, capsys)
    assert [line[0] for line in lines if line[1] == "reports"] == ["team-a"]
    _, lines = await shown(kube, capsys, "-A")
    assert [line[0] for line in lines if line[1] == "reports"] == ["team-a", "team-b"]


NOT_SHOWN = "No BucketRoute in namespace team-a; -A looks in all of them.\n"


@pytest.mark.parametrize("given", [(), ("-o", "json")], ids=["text", "json"])
async def test_a_namespace_without_routes_says_so_and_is_fine(
    capsys: Capture, given: tuple[str, ...]
) -> None:
    kube = FakeKube()
    kube.put(NAMESPACES, {"metadata": {"name": "team-a"}})
    assert await show_status(on(kube), arguments(command, *given)) == 0
    assert capsys.readouterr().err == NOT_SHOWN
    assert await show_status(on(kube), arguments(command, "-A", *given)) == 0
    assert capsys.readouterr().err == "No BucketRoute in any namespace.\n"


async def test_a_namespace_that_does_not_exist_is_an_error(capsys: Capture) -> None:
    kube = FakeKube()
    for other in ("team-b", "billing"):
        kube.put(NAMESPACES, {"metadata": {"name": other}})
    for given in ([], ["-o", "json"], ["reports"]):
        assert await show_status(on(kube), arguments(command, *given)) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.endswith(": no such namespace: team-a (did you mean team-b?)\n")


async def test_who_may_not_see_the_namespace_is_told_of_its_routes_only(capsys: Capture) -> None:
    kube = FakeKube()
    hide(kube, NAMESPACES)
    assert await show_status(on(kube), arguments(command)) == 0
    assert capsys.readouterr().err == NOT_SHOWN


async def test_who_may_not_list_namespaces_is_told_without_a_guess(capsys: Capture) -> None:
    kube = FakeKube()
    kube.put(NAMESPACES, {"metadata": {"name": "team-b"}})

    def fault(verb: str, resource: Resource, name: str) -> KubeError | None:
        is_hidden = (verb, resource) == ("list", NAMESPACES)
        return ForbiddenError(403, "not for you") if is_hidden else None

    kube.fault = fault
    assert await show_status(on(kube), arguments(command)) == 2
    assert capsys.readouterr().err.endswith(": no such namespace: team-a\n")


async def test_a_route_that_does_not_exist_is_an_error(kube: FakeKube, capsys: Capture) -> None:
    assert await show_status(on(kube), arguments(command, "absent")) == 2
    assert capsys.readouterr().err.endswith(": no BucketRoute team-a/absent\n")
    assert await show_status(on(kube), arguments(command, "reprots")) == 2
    assert "team-a/reprots (did you mean reports?)" in capsys.readouterr().err


async def test_without_the_right_to_read_classes_routes_are_shown(
    kube: FakeKube, capsys: Capture
) -> None:
    hide(kube, CLASSES)
    code, lines = await shown(kube, capsys)
    assert code == 0
    assert " ".join(lines[0]).startswith("Classes and gateway pods are not shown: RBAC")
    assert lines[-1][:2] == ["team-a", "reports"]


def test_names_and_all_namespaces_exclude_each_other(capsys: Capture) -> None:
    assert command.run(arguments(command, "-A", "reports")) == 2
    assert "-A" in capsys.readouterr().err
