"""Objects as the API server hands them out, and snapshots, for tests of the operator."""

from bucketroute_operator.shell.kube_api import Json
from bucketroute_snapshot import (
    AccessRule,
    Backend,
    ClassSettings,
    NamespaceSubject,
    Route,
    RouteState,
    ServiceAccountSubject,
    Snapshot,
    Subject,
    UnsignedAuth,
    WebIdentityAuth,
)
from bucketroute_snapshot.update import ConfigVersion

ROLE = "arn:aws:iam::111122223333:role/bucketroute/team-a/reports"
OPERATOR_NAMESPACE = "bucketroute-system"
GATEWAY = "bucketroute-gateway"


def version(text: str) -> ConfigVersion:
    return ConfigVersion.parse(text)


def route(
    name: str = "reports",
    *,
    namespace: str = "team-a",
    bucket: str = "",
    uid: str = "",
    subjects: tuple[Subject, ...] = (),
    signs: bool = True,
    generation: int = 1,
) -> Route:
    """A compiled route; `signs` decides between a role and no signature."""
    auth = WebIdentityAuth(
        role_arn=ROLE,
        sts_endpoint="https://sts.eu-west-1.amazonaws.com",
        session_name=f"{namespace}.abc",
        audience="sts.amazonaws.com",
    )
    return Route(
        namespace=namespace,
        name=name,
        bucket=bucket or name,
        uid=uid or f"uid-{namespace}-{name}",
        generation=generation,
        created_at="2026-01-01T00:00:00Z",
        state=RouteState.ACTIVE,
        exported=True,
        backend=Backend(
            endpoint="https://s3.eu-west-1.amazonaws.com",
            bucket="acme",
            region="eu-west-1",
            auth=auth if signs else UnsignedAuth(),
        ),
        access=(AccessRule(subjects=subjects, actions=("s3:GetObject",)),) if subjects else (),
    )


def snapshot(*routes: Route, region: str = "us-east-1") -> Snapshot:
    ordered = sorted(routes, key=lambda item: (item.namespace, item.name))
    return Snapshot(settings=ClassSettings(name="default", region=region), routes=tuple(ordered))


def service_account(namespace: str, name: str) -> ServiceAccountSubject:
    return ServiceAccountSubject(namespace=namespace, name=name)


def namespace_subject(name: str) -> NamespaceSubject:
    return NamespaceSubject(name=name)


def raw_route(
    name: str = "reports", *, namespace: str = "team-a", role: str = ROLE, **metadata: object
) -> Json:
    return {
        "metadata": {"namespace": namespace, "name": name, **metadata},
        "spec": {
            "backend": {"bucket": "acme-reports", "region": "eu-west-1", "roleARN": role},
            "access": [{"serviceAccounts": ["reporter"], "permissions": ["Read"]}],
        },
    }


def raw_class(**spec: object) -> Json:
    data_plane = {
        "mode": "Shared",
        "serviceAccountRef": {"namespace": OPERATOR_NAMESPACE, "name": GATEWAY},
    }
    return {
        "metadata": {"name": "default"},
        "spec": {
            "dataPlane": data_plane,
            "identity": {"allowedRoleARNs": ["arn:*:iam::*:role/bucketroute/*/*"]},
            **spec,
        },
    }


def raw_static_backend() -> Json:
    """The backend `minio` of team-a with the keys of the Secret `keys`."""
    auth = {"type": "Static", "staticCredentials": {"secretName": "keys"}}
    metadata = {"namespace": "team-a", "name": "minio"}
    return {"metadata": metadata, "spec": {"region": "eu-west-1", "auth": auth}}


def review_of(
    namespace: str = OPERATOR_NAMESPACE, name: str = GATEWAY, *, pod_uid: str | None = "pod-1"
) -> Json:
    """The status of a TokenReview that was granted."""
    extra = {} if pod_uid is None else {"authentication.kubernetes.io/pod-uid": [pod_uid]}
    username = f"system:serviceaccount:{namespace}:{name}"
    return {
        "authenticated": True,
        "audiences": ["bucketroute-config"],
        "user": {"username": username, "extra": extra},
    }


def ready_slice(*pod_uids: str, class_name: str = "default") -> Json:
    """An EndpointSlice of a gateway Service."""
    return {
        "metadata": {
            "namespace": OPERATOR_NAMESPACE,
            "name": "gateway-1",
            "labels": {"bucketroute.io/class": class_name},
        },
        "endpoints": [
            {
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "uid": uid, "name": f"gateway-{uid}"},
            }
            for uid in pod_uids
        ],
    }
