"""Manifests on disk → snapshot, secrets and findings, with the operator's own compiler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bucketroute_cli.manifests import LoadedManifests, Manifest, load_manifests
from bucketroute_cli.reference_hints import names_of, reference_hint
from bucketroute_operator.core.compilation import Compilation, findings_of_problems
from bucketroute_operator.core.compiler import CompileInputs, compile_snapshot
from bucketroute_operator.core.conflicts import holders_of
from bucketroute_operator.core.findings import Finding, ObjectRef, Severity
from bucketroute_operator.core.object_parser import UnnamedObjectError
from bucketroute_operator.core.objects import ParsedObject, object_set, parse_object
from bucketroute_operator.core.resources import BackendObject, ClassObject, RouteObject
from bucketroute_operator.core.standalone import standalone_class
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_snapshot import ClassSettings, Secret, Snapshot, SnapshotSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFinding:
    """A finding and where it is in the files. `object` and `field` may be empty."""

    severity: Severity
    path: Path | None
    line: int
    object: str
    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        where = "" if self.path is None else f"{self.path}:{self.line}: "
        subject = " ".join(part for part in (self.object, self.field) if part)
        prefix = f"{subject}: " if subject else ""
        return f"{where}{self.severity.value}: {prefix}{self.message} [{self.reason}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What one reading of the manifests gives.

    `snapshot` and `secrets` are those of the class that was asked for. If its manifest is broken,
    they are the previous ones, or empty if there were none.
    """

    snapshot: Snapshot
    secrets: SnapshotSecrets
    findings: tuple[FileFinding, ...]
    compilation: Compilation
    manifests: LoadedManifests


def compile_paths(
    paths: Sequence[Path],
    class_name: str = "default",
    previous: Compiled | None = None,
    *,
    sealing_keys: tuple[Secret, ...] = (),
) -> Compiled:
    """Read and compile all manifests. Names held in `previous` stay with their holders.

    Never raises for what is in the files: a file or object that is wrong becomes findings.
    """
    manifests = load_manifests(paths, None if previous is None else previous.manifests)
    objects, places, findings = _parse(manifests)
    if class_name not in {item.metadata.name for item in objects if isinstance(item, ClassObject)}:
        objects.append(standalone_class(class_name))
    compilation = compile_snapshot(
        CompileInputs(
            objects=object_set(objects),
            aws_endpoints=aws_s3_endpoint,
            holders=() if previous is None else holders_of(previous.snapshot),
            allows_loopback=True,
            sealing_keys={class_name: sealing_keys},
        )
    )
    names = names_of(objects)
    for finding in compilation.findings:
        manifest = places.get(finding.object)
        hint = "" if manifest is None else reference_hint(finding, manifest.raw, names)
        findings.append(_located(finding, manifest, hint))
    snapshot, secrets = _of_class(compilation, class_name, previous)
    return Compiled(
        snapshot=snapshot,
        secrets=secrets,
        findings=tuple(sorted(findings, key=_order)),
        compilation=compilation,
        manifests=manifests,
    )


def _parse(
    manifests: LoadedManifests,
) -> tuple[list[ParsedObject], dict[ObjectRef, Manifest], list[FileFinding]]:
    objects: list[ParsedObject] = []
    places: dict[ObjectRef, Manifest] = {}
    findings = [
        _file_finding(problem.path, problem.line, "", "UnreadableManifest", problem.message)
        for problem in manifests.problems
    ]
    for manifest in manifests.manifests:
        try:
            item = parse_object(manifest.raw)
        except UnnamedObjectError as exc:
            findings.extend(_findings_of_unnamed(manifest, exc))
            continue
        objects.append(item)
        places[item.metadata.ref] = manifest
    return objects, places, findings


def _findings_of_unnamed(manifest: Manifest, exc: UnnamedObjectError) -> Iterator[FileFinding]:
    """That it has no usable name, and what is wrong with the rest of it."""
    kind, line = str(manifest.raw.get("kind")), manifest.line_of("metadata")
    yield _file_finding(manifest.path, line, kind, "InvalidSpec", f"{exc}.")
    named = parse_object({**manifest.raw, "metadata": {"name": "unnamed"}})
    if isinstance(named, RouteObject | BackendObject | ClassObject):
        for finding in findings_of_problems(named.metadata.ref, named.problems):
            yield replace(_located(finding, manifest, ""), object=kind)


def _file_finding(path: Path, line: int, what: str, reason: str, message: str) -> FileFinding:
    return FileFinding(
        severity=Severity.ERROR,
        path=path,
        line=line,
        object=what,
        field="",
        reason=reason,
        message=message,
    )


def _located(finding: Finding, manifest: Manifest | None, hint: str) -> FileFinding:
    return FileFinding(
        severity=finding.severity,
        path=None if manifest is None else manifest.path,
        line=0 if manifest is None else manifest.line_of(finding.field),
        object=str(finding.object),
        field=finding.field,
        reason=finding.reason.value,
        message=f"{finding.message.removesuffix('.')}{hint}.",
    )


def _order(finding: FileFinding) -> tuple[str, int, str]:
    return (str(finding.path or ""), finding.line, finding.field)


def _of_class(
    compilation: Compilation, class_name: str, previous: Compiled | None
) -> tuple[Snapshot, SnapshotSecrets]:
    result = compilation.of_class(class_name)
    if result is not None and result.snapshot is not None:
        return result.snapshot, result.secrets
    if previous is not None:
        return previous.snapshot, previous.secrets
    return Snapshot(settings=ClassSettings(name=class_name, region="us-east-1")), SnapshotSecrets()
