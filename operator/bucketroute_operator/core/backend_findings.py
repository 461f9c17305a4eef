"""All that is wrong with one BucketBackend, whether or not a route refers to it."""

from __future__ import annotations

from collections.abc import Iterator

from bucketroute_operator.core.backend_resolver import ca_bundle
from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.compilation import finding_of, findings_of_problems
from bucketroute_operator.core.findings import Finding, Severity, may_follow_from
from bucketroute_operator.core.objects import ObjectSet
from bucketroute_operator.core.resources import BackendObject
from bucketroute_operator.core.secret_values import static_secret


def findings_of_backend(item: BackendObject, objects: ObjectSet) -> tuple[Finding, ...]:
    """What it lacks is a warning here, and an error of each route that needs it."""
    ref = item.metadata.ref
    return (
        *findings_of_problems(ref, item.problems),
        *(
            finding_of(ref, refusal, Severity.WARNING)
            for refusal in _dangling(item, objects)
            if not may_follow_from(refusal.field, item.problems)
        ),
    )


def _dangling(item: BackendObject, objects: ObjectSet) -> Iterator[Refusal]:
    namespace, spec = item.metadata.namespace, item.draft
    if spec.auth.secret_name is not None:
        field = "spec.auth.staticCredentials.secretName"
        secret = static_secret(objects, namespace, spec.auth.secret_name, field=field)
        if isinstance(secret, Refusal):
            yield secret
    bundle = ca_bundle(
        namespace, spec.ca_config_map_name, objects, field="spec.tls.caConfigMapName"
    )
    if isinstance(bundle, Refusal):
        yield bundle
