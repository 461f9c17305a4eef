"""What a reference may have meant that leads nowhere: a name like it, or one of another namespace.

Conditions say nothing of the kind, since those who read them may not see what else there is. Who
has the files may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from bucketroute_cli.manifests import field_steps
from bucketroute_operator.core.findings import Finding, Reason
from bucketroute_operator.core.near_match import did_you_mean
from bucketroute_operator.core.objects import ParsedObject

Names = frozenset[tuple[str, str, str]]  # kind, namespace, name

# The kind that a field refers to, if this is what is wrong with it.
_KINDS: Final[Mapping[tuple[Reason, str], str]] = {
    (Reason.CLASS_NOT_FOUND, "className"): "BucketRouteClass",
    (Reason.BACKEND_NOT_FOUND, "ref"): "BucketBackend",
    (Reason.REF_NOT_PERMITTED, "ref"): "BucketBackend",
    (Reason.SECRET_NOT_FOUND, "subjects"): "Secret",
    (Reason.SECRET_NOT_FOUND, "secretName"): "Secret",
    (Reason.CONFIG_MAP_NOT_FOUND, "caConfigMapName"): "ConfigMap",
}


def names_of(objects: Iterable[ParsedObject]) -> Names:
    refs = (item.metadata.ref for item in objects)
    return frozenset((ref.kind, ref.namespace, ref.name) for ref in refs)


def reference_hint(finding: Finding, raw: Mapping[str, object], names: Names) -> str:
    """The hint to put behind the finding's message; `raw` is the object that it is about."""
    steps = field_steps(finding.field)
    last_name = next((step for step in reversed(steps) if not step.isdigit()), "")
    kind = _KINDS.get((finding.reason, last_name))
    value = _value_at(raw, steps)
    fields = value if isinstance(value, Mapping) else {"name": value}
    name, namespace = fields.get("name"), fields.get("namespace") or finding.object.namespace
    if kind is None or not isinstance(name, str):
        return ""
    if kind == "BucketRouteClass":
        namespace = ""
    if (kind, namespace, name) in names:
        return ""  # it is there, and something else is wrong with it
    near = did_you_mean(name, (item[2] for item in names if item[:2] == (kind, namespace)))
    elsewhere = sorted(item[1] for item in names if (item[0], item[2]) == (kind, name))
    return near or (f" (there is one in namespace {elsewhere[0]})" if elsewhere else "")


def _value_at(raw: Mapping[str, object], steps: Iterable[str]) -> object:
    value: object = raw
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
