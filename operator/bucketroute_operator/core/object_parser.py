"""Metadata, and the core kinds that routes refer to: Namespace, Secret, ConfigMap.

These come from an API server or from manifest files; in files, much of the metadata is missing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from bucketroute_operator.core.fields import FieldReader
from bucketroute_operator.core.findings import FieldProblem, ObjectRef
from bucketroute_operator.core.resources import (
    API_VERSION,
    NAMESPACE_NAME_LABEL,
    ConfigMapObject,
    Metadata,
    NamespaceObject,
    SecretObject,
)
from bucketroute_operator.core.text_rules import OBJECT_NAME
from bucketroute_snapshot import Secret

RawObject = Mapping[str, object]

# Manifests carry no creation time; one fixed value keeps their snapshots stable.
UNKNOWN_CREATION_TIME = "1970-01-01T00:00:00Z"
DEFAULT_NAMESPACE = "default"
CLUSTER_SCOPED_KINDS = frozenset({"BucketRouteClass", "Namespace"})


class UnnamedObjectError(ValueError):
    """The object has no usable kind or name, so nothing can be said about it but this."""


def parse_metadata(raw: RawObject) -> Metadata:
    """Raises: UnnamedObjectError if kind, name or namespace is missing or malformed."""
    kind = raw.get("kind")
    if not isinstance(kind, str) or not kind:
        raise UnnamedObjectError("the object has no kind")
    problems: list[FieldProblem] = []
    reader = FieldReader(raw, "", problems).nested("metadata")
    name = reader.text("name", OBJECT_NAME)
    namespace = ""
    if kind not in CLUSTER_SCOPED_KINDS:
        namespace = reader.text("namespace", OBJECT_NAME, default=DEFAULT_NAMESPACE)
    if problems:
        raise UnnamedObjectError("; ".join(f"{item.field} {item.message}" for item in problems))
    ref = ObjectRef(kind=kind, namespace=namespace, name=name)
    return _metadata_of(raw.get("metadata"), ref)


def spec_reader(raw: RawObject, problems: list[FieldProblem]) -> FieldReader:
    """The reader of a whole object of our API; its `spec` is required."""
    reader = FieldReader(raw, "", problems)
    for name in ("kind", "metadata", "status"):
        reader.has(name)
    if reader.has("apiVersion") and raw["apiVersion"] != API_VERSION:
        reader.problem("apiVersion", f"must be {API_VERSION}")
    return reader


def _metadata_of(values: object, ref: ObjectRef) -> Metadata:
    fields: Mapping[object, object] = values if isinstance(values, Mapping) else {}
    generation = fields.get("generation")
    return Metadata(
        ref=ref,
        uid=_text_or(fields.get("uid"), f"{ref.namespace}/{ref.name}"),
        generation=generation if type(generation) is int else 1,
        created_at=_text_or(fields.get("creationTimestamp"), UNKNOWN_CREATION_TIME),
    )


def parse_namespace(raw: RawObject) -> NamespaceObject:
    """Raises: UnnamedObjectError."""
    metadata = parse_metadata(raw)
    fields = raw.get("metadata")
    labels = fields.get("labels") if isinstance(fields, Mapping) else None
    return NamespaceObject(
        metadata=metadata, labels={**_text_values(labels), NAMESPACE_NAME_LABEL: metadata.name}
    )


def parse_secret(raw: RawObject) -> SecretObject:
    """`stringData` wins over `data`, as at the API server. Values that do not decode are left out.

    Raises: UnnamedObjectError.
    """
    decoded = {key: _decode(value) for key, value in _text_values(raw.get("data")).items()}
    values = {key: value for key, value in decoded.items() if value is not None}
    values.update(_text_values(raw.get("stringData")))
    return SecretObject(
        metadata=parse_metadata(raw),
        type=_text_or(raw.get("type"), "Opaque"),
        values={key: Secret(value) for key, value in values.items()},
    )


def parse_config_map(raw: RawObject) -> ConfigMapObject:
    """Raises: UnnamedObjectError."""
    return ConfigMapObject(metadata=parse_metadata(raw), values=_text_values(raw.get("data")))


def _text_or(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) and value else otherwise


def _text_values(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key): item for key, item in value.items() if isinstance(item, str)}


def _decode(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
