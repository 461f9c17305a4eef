"""The one wildcard of BucketRoute: `*`, any run of characters.

Linear time: tenants write globs, and a regular expression would let them stop whoever matches.
"""

from __future__ import annotations


def matches_glob(glob: str, value: str) -> bool:
    """Places each literal between wildcards leftmost: if any placement fits, this one does."""
    head, *rest = glob.split("*")
    if not rest:
        return glob == value
    *middle, tail = rest
    if not value.startswith(head):
        return False
    position = len(head)
    for literal in middle:
        found = value.find(literal, position)
        if found < 0:
            return False
        position = found + len(literal)
    return len(value) - len(tail) >= position and value.endswith(tail)
