"""A cluster for the CLI's commands: an API server in memory, statuses, and what RBAC hides."""

import argparse
from typing import Any

from bucketroute_cli.__main__ import Command
from bucketroute_cli.cluster import Cluster
from bucketroute_operator.shell.kube_api import ForbiddenError, Json, KubeError, Resource
from bucketroute_testing.kube import FakeKube

Condition = tuple[str, str, str]
READY: tuple[Condition, ...] = (
    ("Accepted", "True", "Accepted"),
    ("ResolvedRefs", "True", "ResolvedRefs"),
    ("Exported", "True", "Exported"),
    ("Programmed", "True", "Programmed"),
    ("CredentialReady", "True", "Exchanged"),
    ("Ready", "True", "Ready"),
)


def status(*changed: Condition, generation: int = 1, **fields: Any) -> Json:
    """A status in which everything holds but what is `changed`."""
    conditions = {kind: (kind, word, reason) for kind, word, reason in (*READY, *changed)}
    return {
        "observedGeneration": generation,
        "configVersion": "3.7",
        "conditions": [
            {
                "type": kind,
                "status": word,
                "reason": reason,
                "message": f"{reason} it is.",
                "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind, word, reason in conditions.values()
        ],
        **fields,
    }


def hide(kube: FakeKube, *resources: Resource, only_all_namespaces: bool = False) -> None:
    """RBAC does not grant reading them; or, of all namespaces at once only."""
    kinds = {resource.kind for resource in resources}
    asked: set[str] = set()

    def fault(verb: str, resource: Resource, name: str) -> KubeError | None:
        is_second = resource.kind in asked
        asked.add(resource.kind)
        if resource.kind not in kinds or (only_all_namespaces and is_second):
            return None
        return ForbiddenError(403, f"GET {resource.path()}: 403 not for you")

    kube.fault = fault


def on(kube: FakeKube, namespace: str = "team-a") -> Cluster:
    return Cluster(kube=kube, namespace=namespace)


def arguments(command: Command, *given: str) -> argparse.Namespace:
    """As `bucketroute COMMAND GIVEN…` parses them."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    parser.set_defaults(prog="bucketroute test")
    return parser.parse_args(given)
