"""What the operator reads beside its own kinds, and what it writes for others."""

import json
from pathlib import Path

import pytest

from bucketroute_operator.core.findings import ObjectRef
from bucketroute_operator.core.resources import ClassObject, Metadata
from bucketroute_operator.settings import OperatorSettings
from bucketroute_operator.shell.cluster_keys import ClusterKeys
from bucketroute_operator.shell.default_class import ensure_default_class, refresh_endpoint
from bucketroute_operator.shell.events import Events, transitions
from bucketroute_operator.shell.gateway_pods import GatewayPod, GatewayPods, gateway_pods
from bucketroute_operator.shell.injector_settings import InjectorSettings
from bucketroute_operator.shell.kube_api import (
    BACKENDS,
    CLASSES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    ROUTES,
    SECRETS,
    SERVICES,
    ForbiddenError,
    Json,
    KubeError,
    Resource,
)
from bucketroute_operator.shell.references import References, wanted_references
from bucketroute_operator.shell.store import ObjectStore
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import (
    OPERATOR_NAMESPACE,
    raw_class,
    raw_route,
    ready_slice,
)


def _store() -> ObjectStore:
    """A backend with a Secret and a CA, and a route with an access key, all in team-a."""
    store = ObjectStore()
    auth = {"type": "Static", "staticCredentials": {"secretName": "keys"}}
    backend = {"auth": auth, "region": "eu-west-1", "tls": {"caConfigMapName": "ca"}}
    metadata = {"namespace": "team-a", "name": "minio", "uid": "b"}
    store.event(BACKENDS, "ADDED", {"metadata": metadata, "spec": backend})
    route = raw_route(uid="r")
    route["spec"]["access"] = [
        {"subjects": [{"kind": "AccessKey", "name": "robot"}], "permissions": ["Read"]}
    ]
    store.event(ROUTES, "ADDED", route)
    return store


def _secret(kube: FakeKube, name: str, value: str) -> None:
    metadata = {"namespace": "team-a", "name": name}
    kube.put(SECRETS, {"metadata": metadata, "stringData": {"accessKeyID": value}})


def test_only_what_an_object_names_is_wanted() -> None:
    assert set(wanted_references(_store())) == {
        (SECRETS, "team-a", "keys"),
        (CONFIG_MAPS, "team-a", "ca"),
        (SECRETS, "team-a", "robot"),
    }


async def test_new_references_are_read_at_once_and_known_ones_by_the_minute() -> None:
    kube, store = FakeKube(), _store()
    _secret(kube, "keys", "one")
    references = References(kube)
    assert await references.refresh(store, only_new=True)
    assert not await references.refresh(store, only_new=True)
    assert kube.calls["get", "Secret"] == 2
    _secret(kube, "keys", "two")
    assert await references.refresh(store, only_new=False)
    assert [item.metadata.name for item in references.objects()] == ["keys"]


async def test_what_rbac_does_not_grant_counts_as_absent() -> None:
    kube, store = FakeKube(), _store()
    _secret(kube, "keys", "one")
    kube.fault = lambda verb, resource, name: ForbiddenError(403, name)
    references = References(kube)
    await references.refresh(store, only_new=True)
    assert references.objects() == []


async def test_an_api_server_that_is_away_takes_no_secret_away() -> None:
    kube, store = FakeKube(), _store()
    _secret(kube, "keys", "one")
    references = References(kube)
    await references.refresh(store, only_new=True)
    kube.fault = lambda verb, resource, name: KubeError(0, "away")
    assert not await references.refresh(store, only_new=False)
    assert len(references.objects()) == 1


async def test_what_could_not_be_read_yet_is_not_taken_for_absent() -> None:
    kube, store = FakeKube(), _store()
    _secret(kube, "keys", "one")
    kube.fault = lambda verb, resource, name: KubeError(429, "later")
    references = References(kube)
    await references.refresh(store, only_new=True)
    missed = [references.may_be_missed]
    kube.fault = lambda verb, resource, name: None
    await references.refresh(store, only_new=True)
    assert [*missed, references.may_be_missed] == [True, False]
    assert [item.metadata.name for item in references.objects()] == ["keys"]


async def test_a_request_that_is_refused_for_good_counts_as_absent() -> None:
    kube = FakeKube()
    references = References(kube)
    kube.fault = lambda verb, resource, name: KubeError(400, "never")
    await references.refresh(_store(), only_new=True)
    assert not references.may_be_missed
    assert references.objects() == []


async def test_a_reference_that_is_gone_is_forgotten() -> None:
    kube, store = FakeKube(), _store()
    _secret(kube, "keys", "one")
    references = References(kube)
    await references.refresh(store, only_new=True)
    assert await references.refresh(ObjectStore(), only_new=True)
    assert references.objects() == []


def _endpoint(uid: str, *, ready: bool | None, kind: str = "Pod") -> Json:
    conditions = {} if ready is None else {"ready": ready}
    return {"conditions": conditions, "targetRef": {"kind": kind, "uid": uid}}


def test_the_pods_of_a_class_are_those_of_all_its_slices_once() -> None:
    one, two = ready_slice("a", "b"), ready_slice("b")
    two["endpoints"] += [
        _endpoint("unready", ready=False),
        _endpoint("unsaid", ready=None),
        _endpoint("node", ready=True, kind="Node"),
        {"conditions": {"ready": True}},
    ]
    other = ready_slice("c", class_name="other")
    found = gateway_pods([one, two, other])
    assert found["default"] == (
        GatewayPod("gateway-a", "a", is_ready=True),
        GatewayPod("gateway-b", "b", is_ready=True),
        GatewayPod("unready", "unready", is_ready=False),
        GatewayPod("unsaid", "unsaid", is_ready=True),
    )
    assert found["other"] == (GatewayPod("gateway-c", "c", is_ready=True),)


def test_a_pod_that_one_slice_calls_ready_is_ready() -> None:
    one, two = ready_slice(), ready_slice()
    one["endpoints"], two["endpoints"] = (
        [_endpoint("a", ready=True)],
        [_endpoint("a", ready=False)],
    )
    for slices in ([one, two], [two, one]):
        assert gateway_pods(slices)["default"] == (GatewayPod("a", "a", is_ready=True),)


async def test_slices_of_tenants_do_not_count() -> None:
    kube = FakeKube()
    foreign = ready_slice("intruder")
    foreign["metadata"]["namespace"] = "team-a"
    kube.put(ENDPOINT_SLICES, foreign)
    pods = GatewayPods(kube, OPERATOR_NAMESPACE)
    assert not await pods.refresh()
    kube.put(ENDPOINT_SLICES, ready_slice("pod-1"))
    assert await pods.refresh()
    assert pods.ready("default") == {"pod-1"}
    assert pods.of("default") == (GatewayPod("gateway-pod-1", "pod-1", is_ready=True),)
    assert pods.ready("other") == frozenset()


async def test_token_keys_are_canonical_and_stay_when_they_cannot_be_read() -> None:
    kube = FakeKube()
    keys = ClusterKeys(kube)
    assert not await keys.refresh()
    kube.raws = {
        "/.well-known/openid-configuration": b'{"issuer": "https://cluster"}',
        "/openid/v1/jwks": b'{"keys": [{"kty": "RSA", "kid": "1"}]}',
    }
    assert await keys.refresh()
    kube.raws["/openid/v1/jwks"] = b'{"keys": [{"kid": "1", "kty": "RSA"}]}'
    assert not await keys.refresh()
    kube.raws = {}
    assert not await keys.refresh()
    assert (keys.issuer, keys.jwks) == (
        "https://cluster",
        '{"keys":[{"kid":"1","kty":"RSA"}]}',
    )


async def test_token_keys_are_missed_until_they_were_read_or_refused_for_good() -> None:
    kube = FakeKube()
    keys = ClusterKeys(kube)
    kube.raw_fault = KubeError(500, "later")
    await keys.refresh()
    missed = [keys.may_be_missed]
    kube.raw_fault = None
    await keys.refresh()  # 404: this cluster has none
    assert [*missed, keys.may_be_missed] == [True, False]


def _settings(file: Path | None = None) -> OperatorSettings:
    return OperatorSettings(namespace=OPERATOR_NAMESPACE, identity="one", default_class_file=file)


def _put_service(kube: FakeKube, address: str) -> None:
    metadata = {"namespace": OPERATOR_NAMESPACE, "name": "bucketroute-gateway"}
    ports = [{"name": "admin", "port": 9090}, {"name": "s3", "port": 80}]
    kube.put(SERVICES, {"metadata": metadata, "spec": {"clusterIP": address, "ports": ports}})


def _default_endpoint(kube: FakeKube) -> str:
    return str(kube.peek(CLASSES, "", "default")["spec"]["dataPlane"]["endpoint"])


async def test_the_default_class_is_what_the_chart_says_and_points_at_its_gateway(
    tmp_path: Path,
) -> None:
    kube = FakeKube()
    _put_service(kube, "10.96.0.9")
    file = tmp_path / "class.yaml"
    file.write_text("bucketNamePattern: '${namespace}.*'\n")
    await ensure_default_class(kube, _settings(file))
    spec = kube.peek(CLASSES, "", "default")["spec"]
    assert spec == {
        "bucketNamePattern": "${namespace}.*",
        "dataPlane": {
            "mode": "Shared",
            "serviceAccountRef": {"namespace": OPERATOR_NAMESPACE, "name": "bucketroute-gateway"},
            "endpoint": "http://10.96.0.9:80",
        },
    }


async def test_the_default_class_follows_its_service() -> None:
    """A chart that was uninstalled leaves the class, with the address of a Service that is gone."""
    kube = FakeKube()
    _put_service(kube, "10.96.0.9")
    await ensure_default_class(kube, _settings())
    _put_service(kube, "10.96.0.77")
    await ensure_default_class(kube, _settings())
    assert _default_endpoint(kube) == "http://10.96.0.77:80"
    _put_service(kube, "10.96.0.78")
    await refresh_endpoint(kube, _settings())
    assert _default_endpoint(kube) == "http://10.96.0.78:80"
    await refresh_endpoint(kube, _settings())
    assert kube.calls["replace", CLASSES.kind] == 2


@pytest.mark.parametrize(("port", "expected"), [(443, ""), (8443, ":8443")])
async def test_with_tls_the_default_class_names_the_service(port: int, expected: str) -> None:
    """As a certificate does; the address is in none."""
    kube = FakeKube()
    _put_service(kube, "10.96.0.9")
    await ensure_default_class(kube, _settings())
    service = kube.peek(SERVICES, OPERATOR_NAMESPACE, "bucketroute-gateway")
    ports = [{"name": "s3", "port": port, "appProtocol": "https"}]
    kube.put(SERVICES, {**service, "spec": {**service["spec"], "ports": ports}})
    await refresh_endpoint(kube, _settings())
    name = f"https://bucketroute-gateway.{OPERATOR_NAMESPACE}.svc{expected}"
    assert _default_endpoint(kube) == name


async def test_an_endpoint_that_an_admin_chose_stays() -> None:
    kube = FakeKube()
    _put_service(kube, "10.96.0.9")
    await ensure_default_class(kube, _settings())
    edited = kube.peek(CLASSES, "", "default")
    edited["spec"]["dataPlane"]["endpoint"] = "https://s3.example.com"
    kube.put(CLASSES, edited)
    _put_service(kube, "10.96.0.77")
    await ensure_default_class(kube, _settings())
    assert _default_endpoint(kube) == "https://s3.example.com"


async def test_a_class_that_an_admin_wrote_stays() -> None:
    kube = FakeKube()
    written = raw_class()
    written["spec"]["dataPlane"]["endpoint"] = "http://10.96.0.9:80"
    kube.put(CLASSES, written)
    _put_service(kube, "10.96.0.77")
    await ensure_default_class(kube, _settings())
    assert _default_endpoint(kube) == "http://10.96.0.9:80"


async def test_a_service_that_cannot_be_read_takes_no_endpoint_away() -> None:
    kube = FakeKube()
    _put_service(kube, "10.96.0.9")
    await ensure_default_class(kube, _settings())
    kube.fault = lambda verb, resource, name: (
        ForbiddenError(403, name) if resource is SERVICES else None
    )
    await refresh_endpoint(kube, _settings())
    assert _default_endpoint(kube) == "http://10.96.0.9:80"


@pytest.mark.parametrize("kind", [SERVICES, CLASSES], ids=["service", "class"])
async def test_no_default_class_is_created_from_half_of_what_it_needs(kind: Resource) -> None:
    """It would never be completed: the operator changes no class that is there."""
    kube = FakeKube()
    kube.fault = lambda verb, resource, name: KubeError(500, "later") if resource is kind else None
    with pytest.raises(KubeError):
        await ensure_default_class(kube, _settings())
    assert kube.names(CLASSES) == []


@pytest.mark.parametrize("text", ["[]", "{", "plain"])
async def test_a_default_class_that_cannot_be_read_stops_nothing(tmp_path: Path, text: str) -> None:
    kube = FakeKube()
    file = tmp_path / "class.yaml"
    file.write_text(text)
    await ensure_default_class(kube, _settings(file))
    assert kube.names(CLASSES) == []


def _classes() -> list[ClassObject]:
    store = ObjectStore()
    raw = raw_class()
    raw["spec"]["dataPlane"]["endpoint"] = "http://10.96.0.9"
    store.event(CLASSES, "ADDED", raw)
    stored = store.of(CLASSES)["", "default"].parsed
    assert isinstance(stored, ClassObject)
    return [stored]


async def test_the_injector_is_told_of_each_class_once() -> None:
    kube = FakeKube()
    settings = InjectorSettings(kube, OPERATOR_NAMESPACE)
    await settings.write(_classes())
    await settings.write(_classes())
    data = kube.peek(CONFIG_MAPS, OPERATOR_NAMESPACE, "bucketroute-injector")["data"]
    assert json.loads(data["classes.json"]) == {
        "default": {
            "client_audience": "bucketroute",
            "endpoint": "http://10.96.0.9",
            "region": "us-east-1",
            "sts_audience": "sts.amazonaws.com",
        }
    }
    assert kube.calls["get", "ConfigMap"] == 1


def _status(**conditions: str) -> Json:
    return {
        "conditions": [
            {"type": kind, "status": status, "reason": f"{kind}{status}", "message": "So."}
            for kind, status in conditions.items()
        ]
    }


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, _status(Accepted="True", Programmed="True"), ["ProgrammedTrue"]),
        ({}, _status(Accepted="False"), ["AcceptedFalse"]),
        (_status(Accepted="True"), _status(Accepted="True"), []),
        (_status(Programmed="False"), _status(Programmed="True"), ["ProgrammedTrue"]),
        (_status(CredentialReady="True"), _status(CredentialReady="False"), None),
        (_status(CredentialReady="Unknown"), _status(CredentialReady="True"), []),
        (_status(Ready="True"), _status(Ready="False"), []),
    ],
    ids=["new", "refused", "same", "recovered", "failed", "known-now", "summary"],
)
def test_events_tell_of_transitions(before: Json, after: Json, told: list[str] | None) -> None:
    expected = ["CredentialReadyFalse"] if told is None else told
    assert [item["reason"] for item in transitions(before, after)] == expected


async def test_events_are_limited_in_number_and_repetition() -> None:
    kube, now = FakeKube(), [0.0]
    events = Events(kube, "one", clock=lambda: now[0])
    refused, fine = _status(Accepted="False"), _status(Accepted="True")

    async def flap(name: str) -> None:
        ref = ObjectRef(kind="BucketRoute", namespace="team-a", name=name)
        metadata = Metadata(ref=ref, uid=name, generation=1, created_at="")
        await events.transitions(metadata, fine, refused)

    await flap("one")
    await flap("one")
    assert len(kube.names(EVENTS)) == 1
    for number in range(100):
        await flap(f"route-{number}")
    assert len(kube.names(EVENTS)) == 50
    now[0] = 400.0
    await flap("one")
    assert len(kube.names(EVENTS)) == 51


async def test_an_event_that_is_refused_stops_nothing() -> None:
    kube = FakeKube()
    kube.fault = lambda verb, resource, name: ForbiddenError(403, "no Events")
    ref = ObjectRef(kind="BucketRoute", namespace="team-a", name="one")
    metadata = Metadata(ref=ref, uid="u", generation=1, created_at="")
    await Events(kube, "one").transitions(metadata, {}, _status(Accepted="False"))
    assert kube.calls["create", "Event"] == 1
