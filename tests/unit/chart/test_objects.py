"""The other objects of the chart, its CRDs, values and monitoring."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from bucketroute_dataplane.shell.metrics import Metrics as DataplaneMetrics
from bucketroute_operator.shell.injector_metrics import InjectorMetrics
from bucketroute_operator.shell.metrics import Metrics as OperatorMetrics
from bucketroute_testing.chart import CASES, CHART, REPOSITORY, Json, of_kind


@pytest.mark.parametrize("case", CASES)
def test_selectors_select_their_own_pods_only(case: str) -> None:
    labels = {
        name: item["spec"]["template"]["metadata"]["labels"]
        for name, item in of_kind(case, "Deployment").items()
    }
    selectors = {
        **{name: item["spec"]["selector"] for name, item in of_kind(case, "Service").items()},
        **{
            name: item["spec"]["selector"]["matchLabels"]
            for name, item in of_kind(case, "Deployment").items()
        },
    }
    for name, selector in selectors.items():
        assert [pod for pod in labels if selector.items() <= labels[pod].items()] == [name]


def test_the_gateways_service_names_its_class() -> None:
    service = of_kind("default", "Service")["bucketroute-gateway"]
    assert service["metadata"]["labels"]["bucketroute.io/class"] == "default"
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("s3", 80)]
    secure = of_kind("everything", "Service")["bucketroute-gateway"]
    assert [(port["name"], port["port"]) for port in secure["spec"]["ports"]] == [("s3", 443)]


def test_the_crds_are_those_of_the_repository_and_outlive_the_release() -> None:
    originals = {file.name: file.read_bytes() for file in (REPOSITORY / "crds").glob("*.yaml")}
    copies = {file.name: file.read_bytes() for file in (CHART / "files/crds").glob("*.yaml")}
    assert copies == originals
    installed = of_kind("default", "CustomResourceDefinition")
    for text in originals.values():
        original = yaml.safe_load(text)
        crd = installed.pop(original["metadata"]["name"])
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        kept = {"helm.sh/resource-policy": "keep"} | original["metadata"].get("annotations", {})
        assert crd["metadata"] == original["metadata"] | {"annotations": kept}
        assert crd["spec"] == original["spec"]
    assert not installed


def test_the_default_class_is_what_the_values_say() -> None:
    config = of_kind("everything", "ConfigMap")["bucketroute-default-class"]
    spec = yaml.safe_load(config["data"]["spec.yaml"])
    assert spec["identity"]["audience"] == "minio"
    assert spec["dataPlane"] == {
        "endpoint": "https://bucketroute-gateway.bucketroute-system.svc.cluster.local"
    }
    config = of_kind("default", "ConfigMap")["bucketroute-default-class"]
    assert yaml.safe_load(config["data"]["spec.yaml"]) == {}
    assert not of_kind("own-classes", "ConfigMap")


def test_dashboard_and_alerts_use_metrics_that_exist() -> None:
    dashboard = of_kind("everything", "ConfigMap")["bucketroute-dashboard"]["data"]
    panels = json.loads(dashboard["bucketroute.json"])["panels"]
    rules = of_kind("everything", "PrometheusRule")["bucketroute"]["spec"]["groups"][0]["rules"]
    expressions = [
        *(target["expr"] for panel in panels for target in panel["targets"]),
        *(rule["expr"] for rule in rules),
    ]
    used = set(re.findall(r"bucketroute_\w+", " ".join(expressions)))
    registries = [made().registry for made in (OperatorMetrics, InjectorMetrics, DataplaneMetrics)]
    families = [family for registry in registries for family in registry.collect()]
    known = {
        name + suffix
        for family in families
        for name, suffixes in ((family.name, _SUFFIXES[family.type]),)
        for suffix in suffixes
    }
    assert used
    assert used <= known


_SUFFIXES = {
    "gauge": ("",),
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
}


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def unknown(at: str, value: object, node: Json) -> Iterator[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        properties = node.get("properties")
        if not isinstance(value, dict) or properties is None:
            return
        assert node["additionalProperties"] is False, at
        yield from (f"{at}.{key}" for key in value.keys() - properties.keys())
        yield from (f"{at}.{key}, no default" for key in properties.keys() - value.keys())
        for key in value.keys() & properties.keys():
            yield from unknown(f"{at}.{key}", value[key], properties[key])

    assert set(unknown("", values, schema)) <= {
        ".global, no default",
        ".operator.resources.limits.cpu, no default",
    }
