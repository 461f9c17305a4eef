"""Routes that come, change and go, and how many changes that were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bucketroute_testing.cluster import Cluster, Json


def churned_route(name: str, namespace: str, class_name: str, *, revision: int = 0) -> Json:
    """A route that needs no credentials to be ready; each revision has another prefix."""
    backend = {
        "bucket": "acme-objects",
        "region": "eu-west-1",
        "prefix": f"{namespace}/{name}/{revision}/",
        "signing": "Unsigned",
    }
    return {
        "apiVersion": "bucketroute.io/v1alpha1",
        "kind": "BucketRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "className": class_name,
            "backend": backend,
            "access": [{"serviceAccounts": ["reader"], "permissions": ["Read"]}],
        },
    }


class Churn:
    """Changes routes of one namespace by kubectl. `changes` counts them by route."""

    def __init__(self, cluster: Cluster, namespace: str, class_name: str) -> None:
        self.changes: Counter[str] = Counter()
        self.alive: set[str] = set()
        self._cluster = cluster
        self._namespace = namespace
        self._class_name = class_name
        self._revision = 0

    def put(self, *names: str) -> None:
        """Creates them, or changes them to a revision of their own. Raises: CommandError."""
        self._revision += 1
        self._cluster.apply(
            *(
                churned_route(name, self._namespace, self._class_name, revision=self._revision)
                for name in names
            )
        )
        self.changes.update(names)
        self.alive.update(names)

    def remove(self, *names: str) -> None:
        """At once: routes have no finalizer, and kubectl would look again for each. Raises:
        CommandError.
        """
        self._delete(*names)
        self.alive.difference_update(names)

    def clear(self) -> None:
        """Removes all routes of the namespace, in one go. Raises: CommandError."""
        self._delete("--all")
        self.alive.clear()

    def _delete(self, *which: str) -> None:
        where = ("--namespace", self._namespace, "--wait=false")
        self._cluster.kubectl("delete", "bucketroutes", *which, *where)

    def alive_of(self, prefix: str) -> set[str]:
        return {name for name in self.alive if name.startswith(f"{prefix}-")}

    def run(self, prefix: str) -> None:
        """Creates, changes, deletes, and makes one anew under the name of one that went."""
        first = names(prefix, 6)
        self.put(*first)
        self.put(*first[:3])
        self.remove(*first[2:4])
        self.put(first[2], f"{prefix}-late")
        self.put(first[0])


def names(prefix: str, count: int) -> Sequence[str]:
    return [f"{prefix}-{number}" for number in range(count)]
