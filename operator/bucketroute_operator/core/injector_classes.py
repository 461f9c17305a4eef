"""What the injector has to know of each class: written by the operator, read by the injector.

Both ends are here, so that they cannot differ. The text travels in a ConfigMap; it holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from bucketroute_operator.core.resources import ClassObject

DEFAULT_CLASS = "default"


class InjectorClassesError(Exception):
    """The text is not what `encode_classes` writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectorClass:
    """endpoint: where workloads reach the gateway, None for a class of sidecars only.
    client_audience: of the token that a workload logs in with at the gateway.
    sts_audience: of the token that a sidecar takes to the backends' STS.
    """

    endpoint: str | None
    region: str
    client_audience: str
    sts_audience: str


def encode_classes(classes: Iterable[ClassObject]) -> str:
    """JSON by class; the same classes give the same text."""
    found = {
        item.metadata.name: asdict(
            InjectorClass(
                endpoint=item.spec.data_plane.endpoint,
                region=item.spec.region,
                client_audience=item.spec.client_audience,
                sts_audience=item.spec.identity.audience,
            )
        )
        for item in classes
        if item.spec is not None
    }
    return json.dumps(found, sort_keys=True, indent=1)


def decode_classes(text: str) -> Mapping[str, InjectorClass]:
    """Fields that a newer operator may add are passed over. Raises: InjectorClassesError."""
    try:
        return {
            str(name): InjectorClass(
                endpoint=None if item["endpoint"] is None else _text(item["endpoint"]),
                region=_text(item["region"]),
                client_audience=_text(item["client_audience"]),
                sts_audience=_text(item["sts_audience"]),
            )
            for name, item in json.loads(text).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise InjectorClassesError(f"the classes cannot be read: {type(exc).__name__}") from exc


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value
