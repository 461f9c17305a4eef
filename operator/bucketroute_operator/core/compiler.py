"""Compiles all objects into one snapshot per class, with findings and conditions.

Pure and total: equal objects in any order give equal results, and whatever is wrong with one
object, every other compiles as if it were not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bucketroute_operator.core.backend_findings import findings_of_backend
from bucketroute_operator.core.backend_resolver import Surroundings
from bucketroute_operator.core.class_compiler import (
    ClassInputs,
    CompiledClass,
    compile_class,
    wanted_access_keys,
)
from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.compilation import (
    BackendResult,
    ClassResult,
    Compilation,
    RouteResult,
    accepted,
    findings_of_problems,
    invalid_spec,
)
from bucketroute_operator.core.conflicts import NameHolder
from bucketroute_operator.core.endpoints import AwsEndpoints
from bucketroute_operator.core.findings import (
    Condition,
    Finding,
    Reason,
)
from bucketroute_operator.core.objects import ObjectSet
from bucketroute_operator.core.resources import (
    CONTROLLER_NAME,
    BackendObject,
    ClassObject,
    RouteObject,
)
from bucketroute_operator.core.route_compiler import CompiledRoute, compile_route
from bucketroute_operator.core.route_findings import RouteInputs
from bucketroute_operator.core.secret_values import access_key_secrets
from bucketroute_operator.core.standalone import standalone_class
from bucketroute_snapshot import Secret, SnapshotSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileInputs:
    """All that compiling looks at.

    `holders` come from the last published snapshots (`conflicts.holders_of`). `allows_loopback` is
    for a data plane on one's own machine. `sealing_keys` are per class, newest first.
    `cluster_issuer` and `cluster_jwks` (JSON text) go into every class's settings as they are.
    `former` is what came out last time: it saves work and changes nothing.
    """

    objects: ObjectSet
    aws_endpoints: AwsEndpoints
    holders: tuple[NameHolder, ...] = ()
    allows_loopback: bool = False
    cluster_issuer: str | None = None
    cluster_jwks: str | None = None
    sealing_keys: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict)
    former: Compilation | None = None


def compile_snapshot(inputs: CompileInputs) -> Compilation:
    """Compile every class of this controller, and say of every route why it is or is not served."""
    ours = {
        name: item
        for name, item in sorted(inputs.objects.classes.items())
        if item.spec is None or item.spec.controller_name == CONTROLLER_NAME
    }
    routes = _routes_by_class(inputs.objects)
    classes: list[ClassResult] = []
    by_class: dict[str, CompiledClass] = {}
    results: list[RouteResult] = []
    findings: list[Finding] = []
    for name, item in ours.items():
        if item.spec is None:
            classes.append(_invalid_class(item, len(routes.get(name, ()))))
            findings.extend(findings_of_problems(item.metadata.ref, item.problems))
            continue
        compiled = compile_class(_class_inputs(inputs, item, routes.get(name, [])), item.spec)
        by_class[name] = compiled
        classes.append(compiled.result)
        results.extend(compiled.routes)
        findings.extend(compiled.findings)
    for orphan in _orphans(inputs, ours, routes):
        results.append(orphan.result)
        findings.extend(filter(_is_said_without_class, orphan.findings))
    backends = _backend_results(inputs.objects, results)
    findings.extend(_backend_findings(inputs.objects))
    return Compilation(
        classes=tuple(classes),
        routes=tuple(sorted(results, key=lambda result: result.metadata.ref)),
        backends=backends,
        findings=tuple(sorted(findings, key=_finding_order)),
        compiled=by_class,
    )


def _class_inputs(
    inputs: CompileInputs, item: ClassObject, routes: list[RouteObject]
) -> ClassInputs:
    name = item.metadata.name
    return ClassInputs(
        class_object=item,
        routes=tuple(routes),
        objects=inputs.objects,
        holders=tuple(holder for holder in inputs.holders if holder.class_name == name),
        aws_endpoints=inputs.aws_endpoints,
        allows_loopback=inputs.allows_loopback,
        cluster_issuer=inputs.cluster_issuer,
        cluster_jwks=inputs.cluster_jwks,
        sealing_keys=inputs.sealing_keys.get(name, ()),
        former=None if inputs.former is None else inputs.former.compiled.get(name),
    )


def _routes_by_class(objects: ObjectSet) -> dict[str, list[RouteObject]]:
    routes: dict[str, list[RouteObject]] = {}
    for _, route in sorted(objects.routes.items()):
        routes.setdefault(route.class_name, []).append(route)
    return routes


def _orphans(
    inputs: CompileInputs,
    ours: Mapping[str, ClassObject],
    routes: Mapping[str, list[RouteObject]],
) -> Iterator[CompiledRoute]:
    """Routes whose class is absent or broken; those of another controller are not ours to judge."""
    objects = inputs.objects
    for class_name, members in sorted(routes.items()):
        found = objects.classes.get(class_name)
        if found is not None and (class_name not in ours or found.spec is not None):
            continue
        what = "does not exist" if found is None else "is not valid"
        message = f"BucketRouteClass {class_name} {what}."
        refusal = Refusal(reason=Reason.CLASS_NOT_FOUND, field="spec.className", message=message)
        around = _anywhere(inputs)
        access_keys = access_key_secrets(objects, wanted_access_keys(members))
        for route in members:
            yield compile_route(
                RouteInputs(
                    route=route,
                    refusal=refusal,
                    placement=None,
                    access_keys=access_keys,
                    around=around,
                )
            )


def _anywhere(inputs: CompileInputs) -> Surroundings:
    """With the most permissive class: what is found is wrong whatever class the route will have."""
    class_spec = standalone_class().spec
    assert class_spec is not None
    return Surroundings(
        objects=inputs.objects,
        class_spec=class_spec,
        aws_endpoints=inputs.aws_endpoints,
        allows_loopback=True,
    )


def _is_said_without_class(finding: Finding) -> bool:
    """Only a class tells which issuers there are."""
    return finding.reason is not Reason.ISSUER_NOT_PERMITTED


def _invalid_class(item: ClassObject, route_count: int) -> ClassResult:
    return ClassResult(
        metadata=item.metadata,
        accepted=invalid_spec(item.problems),
        route_count=route_count,
        accepted_route_count=0,
        snapshot=None,
        secrets=SnapshotSecrets(),
    )


def _backend_results(
    objects: ObjectSet, routes: Iterable[RouteResult]
) -> tuple[BackendResult, ...]:
    attached = Counter(route.resolved.backend_ref for route in routes if route.resolved)
    return tuple(
        BackendResult(
            metadata=item.metadata,
            accepted=_backend_condition(item),
            attached_routes=attached[f"{item.metadata.namespace}/{item.metadata.name}"],
        )
        for _, item in sorted(objects.backends.items())
    )


def _backend_condition(item: BackendObject) -> Condition:
    return invalid_spec(item.problems) if item.problems else accepted("BucketBackend")


def _backend_findings(objects: ObjectSet) -> list[Finding]:
    return [
        finding
        for item in objects.backends.values()
        for finding in findings_of_backend(item, objects)
    ]


def _finding_order(finding: Finding) -> tuple[object, ...]:
    return (finding.object, finding.field, finding.reason.value, finding.message)
