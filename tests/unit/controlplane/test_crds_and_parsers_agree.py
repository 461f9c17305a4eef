"""The CRDs and the parsers know the same fields and refuse the same values."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bucketroute_operator.core.object_parser import UnnamedObjectError
from bucketroute_operator.core.objects import parse_object
from bucketroute_testing.compiling import problem_fields
from bucketroute_testing.crd_samples import MINIMAL, SAMPLES

CRDS = Path(__file__).parents[3] / "crds"
PLURALS = {
    "BucketRoute": "bucketroutes",
    "BucketBackend": "bucketbackends",
    "BucketRouteClass": "bucketrouteclasses",
}

Path_ = tuple[str | int, ...]


class RecordingMapping(dict[str, object]):
    """Notes the names that somebody asks for."""

    def __init__(self, values: Mapping[str, object], path: Path_, asked: set[Path_]) -> None:
        super().__init__(values)
        self._path, self._asked = path, asked

    def get(self, name: str, default: object = None) -> object:
        self._asked.add((*self._path, name))
        return super().get(name, default)


def recording(value: Any, path: Path_, asked: set[Path_]) -> Any:
    if isinstance(value, dict):
        children = {key: recording(item, (*path, key), asked) for key, item in value.items()}
        return RecordingMapping(children, path, asked)
    if isinstance(value, list):
        return [recording(item, (*path, "[]"), asked) for item in value]
    return value


def schema_of(kind: str) -> dict[str, Any]:
    crd = yaml.safe_load((CRDS / f"{PLURALS[kind]}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def spec_schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = schema_of(kind)["properties"]["spec"]
    return schema


def field_paths(schema: Mapping[str, Any], path: Path_ = ()) -> Iterator[Path_]:
    for name, child in schema.get("properties", {}).items():
        yield (*path, name)
        yield from field_paths(child, (*path, name))
    if "items" in schema:
        yield from field_paths(schema["items"], (*path, "[]"))


def manifest(kind: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bucketroute.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sample", "namespace": "team-a"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("kind", "spec"),
    [(kind, spec) for kind, specs in SAMPLES.items() for spec in specs],
    ids=[f"{kind}-{index}" for kind, specs in SAMPLES.items() for index in range(len(specs))],
)
def test_every_field_of_the_samples_is_known(kind: str, spec: dict[str, Any]) -> None:
    assert problem_fields(kind, spec) == []


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_crd_has_exactly_the_fields_that_the_parser_asks_for(kind: str) -> None:
    asked: set[Path_] = set()
    for spec in SAMPLES[kind]:
        parse_object(manifest(kind, recording(spec, (), asked)))
    assert asked == set(field_paths(spec_schema(kind)))


# The API server gives every object what the schema has a default for. An operator that is older
# than the CRDs refuses a field that it does not know, so with one more here it would refuse all
# objects of the kind. The parser gives defaults, too: a new field has its own there alone.
DEFAULTS_IN_THE_SCHEMA = {
    "BucketRoute": "className state",
    "BucketBackend": "auth.webIdentity.durationSeconds allowedRoutes allowedRoutes.namespaces.from",
    "BucketRouteClass": (
        "controllerName region allowedNamespaces bucketNamePattern endpoints endpoints.allowed"
        " endpoints.insecureHTTP endpoints.privateNetworks endpoints.inline identity"
        " identity.audience identity.stsEndpoint identity.allowedRoleARNs identity.sessionPolicy"
        " clientAudience limits limits.maxRoutesPerNamespace signatureDiagnostics"
    ),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_new_field_has_a_default_in_the_schema(kind: str) -> None:
    def with_default(schema: Mapping[str, Any], path: Path_) -> Iterator[Path_]:
        for name, child in schema.get("properties", {}).items():
            if "default" in child:
                yield (*path, name)
            yield from with_default(child, (*path, name))
        if "items" in schema:
            yield from with_default(schema["items"], (*path, "[]"))

    found = {".".join(map(str, path)) for path in with_default(spec_schema(kind), ())}
    assert found == set(DEFAULTS_IN_THE_SCHEMA[kind].split())


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_field_has_a_description_for_kubectl_explain(kind: str) -> None:
    standard = {"apiVersion", "kind", "metadata", "conditions", "selector", "type"}

    def undescribed(schema: Mapping[str, Any], path: Path_) -> Iterator[Path_]:
        for name, child in schema.get("properties", {}).items():
            if name in standard and not path:
                continue
            if "description" not in child:
                yield (*path, name)
            if name not in ("selector", "conditions"):
                yield from undescribed(child, (*path, name))
        if "items" in schema:
            yield from undescribed(schema["items"], (*path, "[]"))

    assert list(undescribed(schema_of(kind), ())) == []


def matches_crd(pattern: str, text: str) -> bool:
    """As the API server does, where `$` is the end of the text and nothing else."""
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    return re.fullmatch(pattern[1:-1], text) is not None


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:
    """Values that break one keyword of the schema each, with the keyword."""
    match schema["type"]:
        case "string":
            yield "type", 7
            if "enum" in schema:
                yield "enum", "Nonsense"
            if "maxLength" in schema and "enum" not in schema:
                yield "maxLength", str(value) + "a" * schema["maxLength"]
            if schema.get("minLength"):
                yield "minLength", ""
            if "pattern" in schema:
                candidates = ("${", "\x00", "a b", "A_", "**", "-a", f"{value}\n", f"{value}\x00")
                wrong = [text for text in candidates if not matches_crd(schema["pattern"], text)]
                assert wrong, schema["pattern"]
                yield from ((f"pattern {text!r}", text) for text in wrong)
        case "integer":
            yield "type", "7"
            if "minimum" in schema:
                yield "minimum", schema["minimum"] - 1
            if "maximum" in schema:
                yield "maximum", schema["maximum"] + 1
        case "array":
            yield "type", {}
            yield "maxItems", value * (schema["maxItems"] + 1)
            if schema.get("minItems"):
                yield "minItems", []
            if schema.get("x-kubernetes-list-type") == "set":
                yield "set", [value[0], value[0]]
        case "object":
            yield "type", []
            if "minProperties" in schema:
                yield "minProperties", {}
            for name in schema.get("required", ()):
                yield f"required {name}", {k: v for k, v in value.items() if k != name}
            if "additionalProperties" not in schema:
                yield "unknown field", {**value, "surprise": 1}


Case = tuple[str, str, dict[str, Any]]


def putting(
    put: Callable[[Any], dict[str, Any]], value: dict[str, Any], name: str
) -> Callable[[Any], dict[str, Any]]:
    return lambda bad: put({**value, name: bad})


def broken_specs(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for spec in SAMPLES[kind]:

        def walk(
            schema: Mapping[str, Any], value: Any, label: str, put: Callable[[Any], dict[str, Any]]
        ) -> Iterator[tuple[str, dict[str, Any]]]:
            for keyword, bad in violations(schema, value):
                yield f"{label} {keyword}", put(bad)
            if schema["type"] == "object":
                for name, child in schema.get("properties", {}).items():
                    if name in value:
                        yield from walk(
                            child,
                            value[name],
                            f"{label}.{name}",
                            putting(put, value, name),
                        )
            if schema["type"] == "array":
                yield from walk(
                    schema["items"],
                    value[0],
                    f"{label}[0]",
                    lambda bad: put([bad, *value[1:]]),
                )

        yield from walk(spec_schema(kind), spec, "spec", lambda bad: copy.deepcopy(bad))


BROKEN: list[Case] = [(kind, label, spec) for kind in SAMPLES for label, spec in broken_specs(kind)]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [(kind, spec) for kind, _, spec in BROKEN],
    ids=[f"{kind} {label}" for kind, label, _ in BROKEN],
)
def test_what_the_crd_refuses_the_parser_refuses(kind: str, spec: Any) -> None:
    assert problem_fields(kind, spec)


def test_there_are_violations_of_every_kind_of_keyword() -> None:
    keywords = {label.split(" ", 1)[1].split(" ")[0] for _, label, _ in BROKEN}
    assert keywords == {
        "type",
        "enum",
        "maxLength",
        "minLength",
        "pattern",
        "minimum",
        "maximum",
        "maxItems",
        "minItems",
        "set",
        "minProperties",
        "required",
        "unknown",
    }


def defaults_in(schema: Mapping[str, Any], path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if "default" in schema and schema["default"] != {}:
        yield path, schema["default"]
    for name, child in schema.get("properties", {}).items():
        yield from defaults_in(child, (*path, name))


def with_value(spec: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    place: Any = changed
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value
    return changed


DEFAULTS = [
    (kind, path, value) for kind in SAMPLES for path, value in defaults_in(spec_schema(kind))
]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    DEFAULTS,
    ids=[f"{kind} {'.'.join(map(str, path))}" for kind, path, _ in DEFAULTS],
)
def test_a_default_of_the_crd_is_what_the_parser_assumes(
    kind: str, path: Path_, value: Any
) -> None:
    minimal = MINIMAL[kind]
    explicit = parse_object(manifest(kind, with_value(minimal, path, value)))
    assert explicit == parse_object(manifest(kind, minimal))


def test_an_object_without_a_name_is_refused() -> None:
    with pytest.raises(UnnamedObjectError, match=r"metadata\.name is required"):
        parse_object({"kind": "BucketRoute", "metadata": {}, "spec": {}})
