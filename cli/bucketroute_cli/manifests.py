"""Manifest files: YAML (or JSON) documents with the file and line that each came from.

A file that cannot be read keeps the content that it had when it last could: an editor that has
saved half a file must not take its routes down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bucketroute_operator.core.near_match import did_you_mean, near_match
from bucketroute_operator.core.objects import KINDS
from bucketroute_operator.core.resources import API_VERSION

RawObject = Mapping[str, object]

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_CORE_KINDS = frozenset({"Namespace", "Secret", "ConfigMap"})
_OUR_GROUP = "bucketroute.io/"
_OUR_KINDS = ("BucketRoute", "BucketBackend", "BucketRouteClass")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time: the C loader is ten times faster
    """Safe loader that leaves timestamps as the strings that JSON would have."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object and where it stands; `node` is its YAML tree, for the lines of its fields."""

    raw: RawObject
    path: Path
    node: yaml.Node

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace and name, as far as they can be told."""
        metadata = self.raw.get("metadata")
        fields = metadata if isinstance(metadata, Mapping) else {}
        return (
            str(self.raw.get("kind")),
            str(fields.get("namespace", "default")),
            str(fields.get("name")),
        )

    def line_of(self, field: str) -> int:
        """The 1-based line where a field such as `spec.access[0]` begins, or its nearest parent."""
        node = place = self.node
        for step in field_steps(field):
            key, child = _child(node, step)
            if child is None:
                break
            node, place = child, key or child
        return place.start_mark.line + 1


def field_steps(field: str) -> list[str]:
    """The names and indexes of a field path such as `spec.access[0].subjects`."""
    return re.findall(r"[^.\[\]]+", field)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """Something wrong with a file, rather than with one field of an object."""

    path: Path
    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """What a file held when it could last be read."""

    text: str
    manifests: tuple[Manifest, ...]
    problems: tuple[FileProblem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedManifests:
    """All manifests, in the order of the files' names, each object once."""

    manifests: tuple[Manifest, ...]
    problems: tuple[FileProblem, ...]
    files: Mapping[Path, FileContent]


def load_manifests(
    paths: Sequence[Path], previous: LoadedManifests | None = None
) -> LoadedManifests:
    """Read all manifests in the files, and in the folders' files (not in their sub-folders).

    Kinds that BucketRoute does not read are skipped. Of two objects of one name the first stands.
    """
    known = {} if previous is None else previous.files
    files: dict[Path, FileContent] = {}
    problems: list[FileProblem] = []
    for path in manifest_files(paths):
        last = known.get(path)
        try:
            files[path] = _read_file(path, last)
            problems.extend(files[path].problems)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
            problems.append(_unreadable(path, exc))
            if last is not None:
                files[path] = last
    manifests, duplicates = _without_duplicates(files)
    return LoadedManifests(manifests=manifests, problems=(*problems, *duplicates), files=files)


def manifest_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files to read, sorted; a path that does not exist is among them."""
    files: set[Path] = set()
    for path in paths:
        if path.is_dir():
            files.update(
                item
                for item in path.iterdir()
                if item.suffix in _SUFFIXES and not item.name.startswith(".") and item.is_file()
            )
        else:
            files.add(path)
    return tuple(sorted(files))


def _read_file(path: Path, last: FileContent | None) -> FileContent:
    text = path.read_text(encoding="utf-8")
    if last is not None and last.text == text:
        return last  # parsing YAML is what takes the time when one of many files changes
    manifests: list[Manifest] = []
    problems: list[FileProblem] = []
    try:
        manifests.extend(_documents(path, text, problems))
    except yaml.YAMLError:
        if last is not None:
            raise
        # It never was as it should be: one bad document is no reason to be silent of the others.
        manifests, problems = _readable_documents(path, text)
    return FileContent(text=text, manifests=tuple(manifests), problems=tuple(problems))


def _documents(path: Path, text: str, problems: list[FileProblem]) -> Iterator[Manifest]:
    """Raises: yaml.YAMLError."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            problems.extend(_repeated_keys(path, node))
            yield from _manifests_of(path, node, loader.construct_document(node), problems)
    finally:
        loader.dispose()


def _readable_documents(path: Path, text: str) -> tuple[list[Manifest], list[FileProblem]]:
    """Document by document. Nothing but a marker may start a line with `---` (YAML 1.2, 9.1.2)."""
    manifests: list[Manifest] = []
    problems: list[FileProblem] = []
    line_count = 0
    for document in re.split(r"^(?=---(?:\s|$))", text, flags=re.MULTILINE):
        try:
            # Empty lines before it keep the numbers of its lines.
            manifests.extend(_documents(path, "\n" * line_count + document, problems))
        except yaml.YAMLError as exc:
            problems.append(_unreadable(path, exc))
        line_count += document.count("\n")
    return manifests, problems


def _manifests_of(
    path: Path, node: yaml.Node, value: Any, problems: list[FileProblem]
) -> Iterable[Manifest]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        message = "The document is not an object with apiVersion, kind and metadata."
        problems.append(FileProblem(path=path, line=node.start_mark.line + 1, message=message))
        return
    items = value.get("items")
    _, items_node = _child(node, "items")
    if value.get("kind") == "List" and isinstance(items, list) and items_node is not None:
        for item_node, item in zip(items_node.value, items, strict=True):
            yield from _manifests_of(path, item_node, item, problems)
    elif _is_read(value):
        yield Manifest(raw=value, path=path, node=node)
    else:
        message = _slip(str(value.get("apiVersion", "")), str(value.get("kind")))
        if message:
            problems.append(FileProblem(path=path, line=node.start_mark.line + 1, message=message))


def _slip(api_version: str, kind: str) -> str:
    """Any other group is somebody else's; in ours, or one like it, a slip would go unnoticed."""
    if api_version.startswith(_OUR_GROUP):
        hint = did_you_mean(kind, _OUR_KINDS)
        return f"The kind {kind} is none of {', '.join(_OUR_KINDS)}{hint}."
    group, our_group = api_version.partition("/")[0], API_VERSION.partition("/")[0]
    if kind in _OUR_KINDS and near_match(group, (our_group,)) is not None:
        return f"The apiVersion {api_version} is not {API_VERSION}, so the {kind} is not read."
    return ""


def _repeated_keys(path: Path, root: yaml.Node) -> list[FileProblem]:
    """YAML forbids them, but the loader would silently take the last one."""
    repeated: list[yaml.Node] = []
    pending, visited = [root], {id(root)}  # an alias may lead to the same node again
    while pending:
        node = pending.pop()
        children = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            names = [str(key.value) for key, _ in node.value]
            children = [value for _, value in node.value]
            repeated += [key for at, (key, _) in enumerate(node.value) if key.value in names[:at]]
        new = [child for child in children if id(child) not in visited]
        visited.update(map(id, new))
        pending += new
    return [
        FileProblem(
            path=path,
            line=key.start_mark.line + 1,
            message=f"The key {key.value} is repeated.",
        )
        for key in sorted(repeated, key=lambda key: key.start_mark.line)
    ]


def _is_read(value: RawObject) -> bool:
    api_version, kind = str(value.get("apiVersion", "")), value.get("kind")
    if kind in _CORE_KINDS:
        return api_version == "v1"
    return kind in KINDS and (not api_version or api_version.startswith(_OUR_GROUP))


def _without_duplicates(
    files: Mapping[Path, FileContent],
) -> tuple[tuple[Manifest, ...], list[FileProblem]]:
    first_of: dict[tuple[str, str, str], Manifest] = {}
    duplicates: list[FileProblem] = []
    for manifest in (item for content in files.values() for item in content.manifests):
        first = first_of.setdefault(manifest.key, manifest)
        if first is not manifest:
            kind, namespace, name = manifest.key
            message = (
                f"{kind} {namespace}/{name} stands already at {first.path}:"
                f"{first.line_of('')}; this one is ignored."
            )
            line = manifest.line_of("")
            duplicates.append(FileProblem(path=manifest.path, line=line, message=message))
    return tuple(first_of.values()), duplicates


def _child(node: yaml.Node, step: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """An item, or a key and its value; what there is not is None."""
    if isinstance(node, yaml.SequenceNode) and step.isdigit():
        return None, node.value[int(step)] if int(step) < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), (None, None))
    return None, None


def _unreadable(path: Path, exc: Exception) -> FileProblem:
    mark = getattr(exc, "problem_mark", None)
    what = getattr(exc, "problem", None) or getattr(exc, "strerror", None) or str(exc)
    line = 1 if mark is None else mark.line + 1
    return FileProblem(path=path, line=line, message=f"The file cannot be read: {what}.")
