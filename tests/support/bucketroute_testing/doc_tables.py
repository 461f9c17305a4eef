"""The tables of docs/ that are made from the code, so that neither can change alone.

    python tests/support/bucketroute_testing/doc_tables.py    # writes them anew

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`; the text around it is
written by hand. `tests/unit/architecture/test_docs.py` compares.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bucketroute_dataplane.core.classify import SUBRESOURCES
from bucketroute_dataplane.core.errors import ERRORS, ErrorSpec
from bucketroute_dataplane.core.login_errors import STS_ERRORS
from bucketroute_dataplane.core.operations import OPERATIONS, Answer, BodyMode, Level, Operation
from bucketroute_dataplane.settings import _HELP as POD_SETTINGS
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_dataplane.shell.metrics import Metrics
from bucketroute_operator.settings import HELP as OPERATOR_SETTINGS
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_operator.shell.metrics import Metrics as OperatorMetrics
from bucketroute_operator.webhook_settings import HELP as INJECTOR_SETTINGS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_PATH_OF = {Level.SERVICE: "/", Level.BUCKET: "/BUCKET", Level.OBJECT: "/BUCKET/KEY"}
_ANSWERED_BY = {
    Answer.STREAM: "the backend, streamed",
    Answer.XML: "the backend, its names replaced",
    Answer.LIST: "the backend, its keys and tokens replaced",
    Answer.BATCH_DELETE: "the backend, after each key is authorised",
    Answer.LOCAL: "BucketRoute itself",
}
_CRDS = {
    "bucketroute": "bucketroutes",
    "bucketbackend": "bucketbackends",
    "bucketrouteclass": "bucketrouteclasses",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table; ends in a newline."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell for cell in line) + " |\n" for line in lines)


def errors_table(errors: Mapping[str, ErrorSpec]) -> str:
    rows = [(f"`{code}`", str(spec.status), spec.message) for code, spec in errors.items()]
    return table(("code", "status", "message, where nothing more exact is known"), rows)


def metrics_table() -> str:
    return table(("metric", "type", "labels", "what it counts"), _metrics_rows(Metrics()))


def _metrics_rows(metrics: Metrics) -> Iterator[Sequence[str]]:
    metrics.observe(
        AccessRecord(
            request_id="1",
            method="GET",
            client_address="127.0.0.1",
            started=1.0,
            backend_sent=1.0,
            first_byte=2.0,
            ended=3.0,
        )
    )
    yield from _family_rows(metrics.registry)


def _family_rows(registry: CollectorRegistry) -> Iterator[Sequence[str]]:
    for family in registry.collect():
        assert family.samples, f"{family.name} has no samples, so its labels are not known"
        labels = [name for name in family.samples[0].labels if name != "le"]
        suffix = "_total" if family.type == "counter" else ""
        shown = ", ".join(f"`{name}`" for name in labels) or "none"
        yield f"`{family.name}{suffix}`", family.type, shown, family.documentation


def control_plane_metrics_table(metrics: OperatorMetrics | InjectorMetrics) -> str:
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            _give_a_sample(metric)
    rows = _family_rows(metrics.registry)
    return table(("metric", "type", "labels", "what it tells"), rows)


def _give_a_sample(metric: Counter | Gauge | Histogram) -> None:
    """One that has labels has no samples, and so no names of labels, until it is given values."""
    (family,) = metric.collect()
    for count in range(1, 5):
        if not family.samples:
            with suppress(ValueError):  # another number of labels
                metric.labels(*["value"] * count)


def settings_table(settings: Mapping[str, str]) -> str:
    rows = [
        (f"`BUCKETROUTE_{name.upper()}`", f"`--{name.replace('_', '-')}`", text)
        for name, text in settings.items()
    ]
    return table(("variable", "flag", "what it is"), rows)


def operations_table() -> str:
    head = ("operation", "request", "action it needs", "with `versionId`", "body", "answered by")
    return table(head, [_operation_row(operation) for operation in OPERATIONS])


def _operation_row(operation: Operation) -> Sequence[str]:
    request = f"{operation.method.decode()} {_PATH_OF[operation.level]}"
    if operation.name == "ListObjectsV2":
        request += "?list-type=2"
    elif operation.subresource is not None:
        request += f"?{operation.subresource.decode()}"
    if operation.is_copy:
        request += " with x-amz-copy-source"
    if operation.body is BodyMode.BUFFERED:
        limit = operation.body_limit_bytes // 1024
        shown = f"{limit // 1024} MiB" if limit >= 1024 else f"{limit} KiB"
        body = f"buffered, at most {shown}"
    else:
        body = operation.body.value
    return (
        operation.name,
        f"`{request}`",
        f"`{operation.action}`" if operation.action else "any on the route",
        f"`{operation.versioned_action}`" if operation.versioned_action else "",
        body,
        _ANSWERED_BY[operation.answer],
    )


def subresources_table() -> str:
    """Names of sub-resources of which no operation is supported."""
    known = {operation.subresource for operation in OPERATIONS}
    names = sorted(name.decode() for name in SUBRESOURCES - known)
    return ", ".join(f"`{name}`" for name in names) + "\n"


def fields_table(kind: str) -> str:
    """The fields of a kind's spec, from its CRD."""
    rows = _field_rows(_schema(kind, "spec"), "")
    return table(("field", "type", "default", "what it is"), rows)


def status_table(kind: str) -> str:
    """The fields of a kind's status, which the operator writes; conditions have a page."""
    rows = [
        (field, type_, text)
        for field, type_, _, text in _field_rows(_schema(kind, "status"), "")
        if not field.startswith("`conditions[].")
    ]
    return table(("field", "type", "what it is"), rows)


def _schema(kind: str, part: str) -> Mapping[str, Any]:
    text = (ROOT / "crds" / f"{_CRDS[kind]}.yaml").read_text()
    schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: Mapping[str, Any] = schema["properties"][part]
    return found


def _field_rows(schema: Mapping[str, Any], path: str) -> Iterator[Sequence[str]]:
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        element = child.get("items", child)
        suffix = "[]" if "items" in child else ""
        default = "required" if name in required else ""
        if child.get("default") not in (None, {}):
            default = f"`{_shown(child['default'])}`"
        yield f"`{here}{suffix}`", _type_of(child), _cell(default), _cell(_described(child))
        yield from _field_rows(element, here + suffix)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _type_of(schema: Mapping[str, Any]) -> str:
    if "items" in schema:
        return f"list of {_type_of(schema['items'])}"
    if "enum" in schema:
        return "one of the values" if len(schema["enum"]) > 1 else str(schema["enum"][0])
    kind = str(schema["type"])
    bounds = [f"{schema[key]}" for key in ("minimum", "maximum") if key in schema]
    return f"{kind}, {' to '.join(bounds)}" if len(bounds) == 2 else kind


def _described(schema: Mapping[str, Any]) -> str:
    values = schema.get("items", schema).get("enum", ())
    choice = f" ({', '.join(f'`{value}`' for value in values)})" if values else ""
    return f"{schema.get('description', '')}{choice}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


TABLES = {
    "errors": lambda: errors_table(ERRORS),
    "sts-errors": lambda: errors_table(STS_ERRORS),
    "metrics": metrics_table,
    "operator-metrics": lambda: control_plane_metrics_table(OperatorMetrics()),
    "injector-metrics": lambda: control_plane_metrics_table(InjectorMetrics()),
    "pod-settings": lambda: settings_table(POD_SETTINGS),
    "operator-settings": lambda: settings_table(OPERATOR_SETTINGS),
    "injector-settings": lambda: settings_table(INJECTOR_SETTINGS),
    "operations": operations_table,
    "subresources": subresources_table,
    **{kind: lambda kind=kind: fields_table(kind) for kind in _CRDS},  # type: ignore[misc]
    **{
        f"{kind}-status": lambda kind=kind: status_table(kind)  # type: ignore[misc]
        for kind in _CRDS
    },
}


def with_tables(text: str) -> str:
    """The document with every table as the code has it. Raises KeyError for an unknown name."""
    return _BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


def table_names(text: str) -> list[str]:
    """The names of the document's tables, in order."""
    return [found[2] for found in _BLOCK.finditer(text)]


if __name__ == "__main__":
    for document in DOCS.glob("*.md"):
        document.write_text(with_tables(document.read_text()))
