"""What the documents say is what the code does: tables, examples, names and links."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bucketroute_cli.__main__ import _COMMANDS
from bucketroute_cli.compile import compile_paths
from bucketroute_cli.doctor import _CHECKS
from bucketroute_dataplane.core.operations import OPERATIONS
from bucketroute_dataplane.shell import credential_health
from bucketroute_dataplane.shell.access_log import AccessRecord
from bucketroute_operator.core import conditions, rollout
from bucketroute_operator.core.data_planes import SyncState
from bucketroute_operator.core.findings import ConditionType, Reason, Severity
from bucketroute_testing.compiling import problem_fields
from bucketroute_testing.doc_tables import DOCS, ROOT, TABLES, table_names, with_tables

TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
DOCUMENTS = [
    *TOP,
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name / "README.md" for name in ("bench", "examples")),
]
KINDS = ("BucketRoute", "BucketBackend", "BucketRouteClass")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(document: Path, language: str) -> list[str]:
    """The fenced code blocks, with the indentation of a list taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", document.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def yaml_objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for document in DOCUMENTS:
        for text in blocks(document, "yaml"):
            for item in yaml.safe_load_all(text):
                if item.get("kind") in KINDS:
                    yield f"{name_of(document)} {item['kind']} {item['metadata']['name']}", item


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=name_of)
def test_tables_are_what_the_code_has(document: Path) -> None:
    text = document.read_text()
    assert text == with_tables(text), "write them anew: see bucketroute_testing/doc_tables.py"


def test_every_table_is_in_a_document_once() -> None:
    found = [name for document in DOCS.glob("*.md") for name in table_names(document.read_text())]
    assert sorted(found) == sorted(TABLES)


@pytest.mark.parametrize("item", [pytest.param(item, id=name) for name, item in yaml_objects()])
def test_examples_are_valid(item: dict[str, Any]) -> None:
    assert problem_fields(item["kind"], item["spec"]) == []


def test_every_kind_has_an_example() -> None:
    assert {item["kind"] for _, item in yaml_objects()} == set(KINDS)


def test_the_route_of_the_readme_is_served_in_full(tmp_path: Path) -> None:
    text = blocks(ROOT / "README.md", "yaml")[0]
    (tmp_path / "route.yaml").write_text(text)
    compiled = compile_paths([tmp_path])
    errors = [finding for finding in compiled.findings if finding.severity is Severity.ERROR]
    assert errors == []
    assert [route.bucket for route in compiled.snapshot.routes] == ["reports"]
    assert [key.access_key_id for key in compiled.secrets.access_keys] == ["AKLAPTOP00000001"]


def test_json_in_the_documents_is_json() -> None:
    texts = [text for document in DOCUMENTS for text in blocks(document, "json")]
    assert texts
    for text in texts:
        json.loads(text)


def test_the_readme_names_every_operation() -> None:
    text = (ROOT / "README.md").read_text()
    missing = [op.name for op in OPERATIONS if re.search(rf"\b{op.name}\b", text) is None]
    assert missing == []


def test_the_access_log_is_documented_field_by_field() -> None:
    record = AccessRecord(
        request_id="1",
        method="PUT",
        client_address="127.0.0.1",
        started=1.0,
        authorized=2.0,
        body_read=3.0,
        credentials_ready=4.0,
        backend_sent=5.0,
        first_byte=6.0,
        ended=7.0,
        error_code="SlowDown",
        detail="why",
        backend_request_id="2",
    )
    written = list(json.loads(record.line("2026-01-05T09:30:12.512+00:00")))
    rows = re.findall(r"^\| (`[^|]+) \|", (DOCS / "access-log.md").read_text(), re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(written)


def test_every_reason_of_a_condition_says_what_to_do() -> None:
    """The compiler's reasons are an enum; those of the rollout stand as texts in its modules."""
    text = (DOCS / "conditions.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, re.M)
    told = [inspect.getsource(module) for module in (rollout, conditions)]
    reasons = {found for source in told for found in re.findall(r'reason="(\w+)"', source)}
    codes = set(re.findall(r'code="(\w+)"', inspect.getsource(credential_health)))
    assert set(rows) == {reason.value for reason in Reason} | reasons | codes


def test_every_type_of_condition_is_documented() -> None:
    text = (DOCS / "conditions.md").read_text()
    headings = set(re.findall(r"^## `(\w+)`", text, re.M))
    decided_later = {"Programmed", "CredentialReady", "BucketFound", "Synced", "Ready"}
    assert headings == {kind.value for kind in ConditionType} | decided_later


def test_every_state_of_a_gateway_pod_says_what_to_do() -> None:
    told = (DOCS / "conditions.md").read_text().partition("| state | what it means")[2]
    rows = re.findall(r"^\| (\w+) \|", told, re.M)
    assert sorted(rows) == sorted(state.value for state in SyncState)


def test_every_alert_has_a_page_that_says_what_to_do() -> None:
    rules = yaml.safe_load((ROOT / "charts/bucketroute/files/alerts.yaml").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    text = (DOCS / "alerts.md").read_text()
    assert re.findall(r"^## (\w+)$", text, re.M) == alerts
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        assert re.search(r"^1\. ", section, re.M), section


def test_alerts_ask_for_metrics_that_there_are() -> None:
    rules = (ROOT / "charts/bucketroute/files/alerts.yaml").read_text()
    asked = set(re.findall(r"\bbucketroute_\w+", rules))
    documented = set(
        re.findall(r"^\| `(bucketroute_\w+)`", (DOCS / "metrics.md").read_text(), re.M)
    )
    assert asked
    assert asked <= documented


def test_every_command_and_every_check_is_documented() -> None:
    text = (DOCS / "cli.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(_COMMANDS)
    _, _, told = text.partition("| check | finds |")
    checks = re.findall(r"^\| ([\w ]+) \|", told, re.M)
    assert checks == ["API server", *_CHECKS]


def test_every_dependency_says_why_it_is_there() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    build = (ROOT / "requirements/build.in").read_text().splitlines()
    groups.append([line for line in build if not line.startswith("#")])
    groups += pyproject["dependency-groups"].values()
    names = {re.split(r"[\[<>=; ]", item)[0] for group in groups for item in group}
    text = (DOCS / "dependencies.md").read_text()
    assert set(re.findall(r"^\| `([^`]+)`", text, re.M)) == names - {"bucketroute"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
