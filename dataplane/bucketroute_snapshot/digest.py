"""The identity of a snapshot's content."""

from __future__ import annotations

import hashlib

from bucketroute_snapshot.codec import snapshot_lines
from bucketroute_snapshot.model import Snapshot


def snapshot_digest(snapshot: Snapshot) -> str:
    """`sha256:<64 hex digits>` over the canonical NDJSON; secrets are no part of it."""
    digest = hashlib.sha256()
    for line in snapshot_lines(snapshot):
        digest.update(line)
    return f"sha256:{digest.hexdigest()}"
