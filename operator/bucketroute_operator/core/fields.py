"""Reads one untyped JSON object into typed values and remembers each problem with its field path.

A reader never raises on bad input: it notes the problem and hands out a stand-in, so that one
pass finds everything that is wrong. Whoever reads must look at the problems before using the
values. Fields that nobody asked for are problems too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from bucketroute_operator.core.findings import Fault, FieldProblem
from bucketroute_operator.core.near_match import did_you_mean

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """What a string must look like. `pattern` matches the whole; `expected` says it in words."""

    max_length: int
    min_length: int = 1
    pattern: re.Pattern[str] | None = None
    expected: str = ""

    def fault_of(self, value: str) -> str | None:
        if not self.min_length <= len(value) <= self.max_length:
            return f"must have {self.min_length} to {self.max_length} characters"
        if self.pattern is not None and not self.pattern.fullmatch(value):
            return f"must be {self.expected}"
        return None


class FieldReader:
    """The fields of one JSON object. A field that is null counts as absent, as in Kubernetes."""

    __slots__ = ("_asked", "_children", "_problems", "_values", "path")

    def __init__(self, values: object, path: str, problems: list[FieldProblem]) -> None:
        self.path = path
        self._problems = problems
        self._asked: set[str] = set()
        self._children: list[FieldReader] = []
        self._values: Mapping[str, object] = {}
        if isinstance(values, Mapping):
            self._values = values
        else:
            self._unread("", f"must be an object, not {_json_type(values)}")
            self._problems = []  # one problem is enough: what it should hold is not missing too

    def has(self, name: str) -> bool:
        self._asked.add(name)
        return self._values.get(name) is not None

    def problem(self, name: str, message: str, fault: Fault = Fault.VALUE) -> None:
        """Note a problem with the field `name`, or with the object itself if it is empty."""
        field = self._path_of(name)
        self._problems.append(FieldProblem(field=field, message=message, fault=fault))

    def text(self, name: str, rule: TextRule, *, default: str | None = None) -> str:
        """A string; required unless there is a default."""
        if not self.has(name):
            if default is None:
                self._unread(name, "is required")
            return default or ""
        return self._check_text(self._values[name], name, rule)

    def optional_text(self, name: str, rule: TextRule) -> str | None:
        return self.text(name, rule) if self.has(name) else None

    def texts(
        self, name: str, rule: TextRule, *, max_items: int, min_items: int = 0
    ) -> tuple[str, ...]:
        """A list of strings without duplicates; absent is empty."""
        items = self._items(name, min_items=min_items, max_items=max_items)
        values = tuple(
            self._check_text(item, f"{name}[{index}]", rule) for index, item in enumerate(items)
        )
        if len(set(values)) != len(values):
            self.problem(name, "must not hold the same value twice")
        return values

    def text_map(
        self, name: str, *, max_items: int, key_rule: TextRule, value_rule: TextRule
    ) -> Mapping[str, str]:
        """An object with free keys and string values; absent is empty."""
        if not self.has(name):
            return {}
        value = self._values[name]
        if not isinstance(value, Mapping):
            self._unread(name, f"must be an object, not {_json_type(value)}")
            return {}
        if len(value) > max_items:
            self.problem(name, f"must have at most {max_items} entries")
        return {
            self._check_text(key, f"{name}.{key}", key_rule): self._check_text(
                item, f"{name}.{key}", value_rule
            )
            for key, item in value.items()
        }

    def choice(self, name: str, options: type[E], *, default: E | None = None) -> E:
        """One member of an enum by its value; required unless there is a default."""
        if default is not None and not self.has(name):
            return default
        found = self.choice_or_none(name, options)
        return (default or next(iter(options))) if found is None else found

    def choice_or_none(self, name: str, options: type[E]) -> E | None:
        """One member of an enum by its value, with no stand-in, for those on which others depend.

        It is required: None is a problem that has been noted.
        """
        members = {member.value: member for member in options}
        if not self.has(name):
            self._unread(name, "is required")
            return None
        value = self._values[name]
        if not isinstance(value, str) or value not in members:
            self._unread(name, _no_member(value, members))
            return None
        return members[value]

    def choices(self, name: str, options: type[E], *, max_items: int) -> tuple[E, ...]:
        """A list of members of an enum, without duplicates; absent is empty."""
        members = {member.value: member for member in options}
        values = self.texts(name, TextRule(max_length=253), max_items=max_items, min_items=1)
        for index, value in enumerate(values):
            if value and value not in members:
                self._unread(f"{name}[{index}]", _no_member(value, members))
        return tuple(members[value] for value in values if value in members)

    def optional_integer(self, name: str, *, minimum: int, maximum: int) -> int | None:
        if not self.has(name):
            return None
        value = self._values[name]
        if type(value) is not int:
            self._unread(name, f"must be an integer, not {_json_type(value)}")
            return None
        if not minimum <= value <= maximum:
            self.problem(name, f"must be between {minimum} and {maximum}")
        return value

    def nested(self, name: str) -> FieldReader:
        """A nested object; an absent one reads as empty (its required fields are then missing)."""
        value = self._values[name] if self.has(name) else {}
        return self._child(value, name)

    def required_object(self, name: str) -> FieldReader:
        if self.has(name):
            return self.nested(name)
        self._unread(name, "is required")
        return FieldReader({}, self._path_of(name), [])

    def optional_object(self, name: str, *, min_properties: int = 0) -> FieldReader | None:
        if not self.has(name):
            return None
        value = self._values[name]
        if isinstance(value, Mapping) and len(value) < min_properties:
            self.problem(name, "must not be empty")
        return self._child(value, name)

    def objects(self, name: str, *, max_items: int, min_items: int = 0) -> tuple[FieldReader, ...]:
        """A list of objects; absent is empty."""
        items = self._items(name, min_items=min_items, max_items=max_items)
        return tuple(self._child(item, f"{name}[{index}]") for index, item in enumerate(items))

    def refuse_unknown_fields(self) -> None:
        """Note every field that was never asked for, here and in all nested objects."""
        for name in self._values:
            if name not in self._asked:
                hint = did_you_mean(str(name), self._asked)
                self.problem(str(name), f"is not a known field{hint}", Fault.UNKNOWN)
        for child in self._children:
            child.refuse_unknown_fields()

    def _unread(self, name: str, message: str) -> None:
        self.problem(name, message, Fault.UNREAD)

    def _path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else self.path or name

    def _child(self, value: object, name: str) -> FieldReader:
        child = FieldReader(value, self._path_of(name), self._problems)
        self._children.append(child)
        return child

    def _check_text(self, value: object, name: str, rule: TextRule) -> str:
        if not isinstance(value, str):
            self._unread(name, f"must be a string, not {_json_type(value)}")
            return ""
        fault = rule.fault_of(value)
        if fault is not None:
            self.problem(name, fault)
        return value

    def _items(self, name: str, *, min_items: int, max_items: int) -> Sequence[object]:
        if not self.has(name):
            return ()
        value = self._values[name]
        if not isinstance(value, list | tuple):
            self._unread(name, f"must be a list, not {_json_type(value)}")
            return ()
        if not min_items <= len(value) <= max_items:
            self._unread(name, f"must have {min_items} to {max_items} items")
        return value


def _no_member(value: object, members: Mapping[str, object]) -> str:
    hint = did_you_mean(value, members) if isinstance(value, str) else ""
    return f"must be one of {', '.join(members)}{hint}"


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "a list"
