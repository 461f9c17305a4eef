"""What somebody may have meant by a word that is not one of those that can stand there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

# One slip in a word of three letters is near enough (0.67), two in one of four are not (0.5).
_MIN_RATIO: Final = 0.6


def near_match(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that is most like `word`, whatever the case of its letters."""
    by_lower_case = {item.casefold(): item for item in sorted(words)}
    found = difflib.get_close_matches(word.casefold(), by_lower_case, n=1, cutoff=_MIN_RATIO)
    return by_lower_case[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The hint to put behind what a message says; empty where nothing is near."""
    found = near_match(word, words)
    return "" if found is None else f" (did you mean {found}?)"
