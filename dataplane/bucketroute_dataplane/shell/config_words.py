"""What a data plane says to the operator: the bodies of acknowledgements and reports."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bucketroute_dataplane.shell.backend_credentials import RouteHealth
from bucketroute_dataplane.shell.config_store import HeldConfig
from bucketroute_snapshot import SnapshotFormatError
from bucketroute_snapshot.update import ConfigVersion, decode_update_header


def acknowledgement(held: HeldConfig, *, status: str) -> dict[str, object]:
    """`status` is applied or rejected; routes that were left out are named in both."""
    return {
        "version": str(held.version),
        "digest": held.digest,
        "status": status,
        "rejected": [{"route": item.route, "code": item.code} for item in held.rejected],
    }


def refusal(version: ConfigVersion) -> dict[str, object]:
    """Of an update that could not be read at all."""
    return {"version": str(version), "status": "rejected", "rejected": []}


def report_entry(health: RouteHealth) -> dict[str, object]:
    return {
        "route": health.route,
        "uid": health.uid,
        "generation": health.generation,
        "state": health.state,
        "code": health.code,
        "at": health.at,
        "bucket": health.bucket,
    }


def report_entries(content: bytes) -> list[RouteHealth]:
    """Those of a report. Raises: ValueError, KeyError or TypeError if it is none."""
    return [
        RouteHealth(
            route=item["route"],
            uid=item["uid"],
            generation=item["generation"],
            state=item["state"],
            code=item["code"],
            at=item["at"],
            bucket=item["bucket"],
        )
        for item in json.loads(content)["credentials"]
    ]


def version_of(lines: Sequence[bytes]) -> ConfigVersion | None:
    """Of an update, however damaged the rest of it is."""
    try:
        return decode_update_header(lines[0]).version
    except (SnapshotFormatError, IndexError):
        return None
