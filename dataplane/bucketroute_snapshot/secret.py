"""A string that does not show itself."""

from __future__ import annotations

import hmac


class Secret:
    """Holds a secret value; `reveal()` is the only way to it, called where the value is used.

    `repr`, `str` and format give a fixed mask, so a secret that reaches a log line, an error or a
    dataclass `repr` by accident shows nothing. Equality is constant-time.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)
