"""The pages of docs/clients/: their Python compiles, and one list has the variables they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bucketroute_testing.doc_tables import DOCS, ROOT

CLIENTS = DOCS / "clients"
INDEX = CLIENTS / "README.md"
PAGES = sorted(set(CLIENTS.glob("*.md")) - {INDEX})
INJECTED = ROOT / "tests/unit/controlplane/injection"
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
# Words of that form that nobody sets: fields of DuckDB, an error of AWS's C++ SDK, the JVM's place.
_OTHERS = {"KEY_ID", "SESSION_TOKEN", "URL_STYLE", "USE_SSL", "ACCESS_DENIED", "JAVA_HOME"}


def python_blocks(page: Path) -> list[str]:
    """The fenced blocks of Python, with the indentation of a list taken off."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", page.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def listed_variables() -> dict[str, str]:
    """Each variable of the index's list, and the modes in which the injector sets it."""
    _, _, table = INDEX.read_text().partition("| variable | set by the injector |")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.M)
    return {name: modes for names, modes in rows for name in _VARIABLE.findall(names)}


def injected_variables(case: str) -> set[str]:
    """What the webhook really adds to the containers of a pod that has nothing."""
    spec = json.loads((INJECTED / f"{case}.out.json").read_text())["pod"]["spec"]
    return {variable["name"] for each in spec["containers"] for variable in each["env"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_in_the_pages_compiles(page: Path) -> None:
    for text in python_blocks(page):
        compile(text, page.name, "exec")


def test_there_is_python_to_compile() -> None:
    with_python = {page.stem for page in PAGES if python_blocks(page)}
    assert with_python == {"boto3", "duckdb", "pandas", "spark"}


@pytest.mark.parametrize("page", [INDEX, *PAGES], ids=lambda page: page.stem)
def test_the_list_has_every_variable_that_a_page_names(page: Path) -> None:
    named = set(_VARIABLE.findall(page.read_text())) - _OTHERS
    assert named <= listed_variables().keys()


@pytest.mark.parametrize(
    ("mode", "case"), [("env", "env-bare"), ("sidecar", "sidecar-job")], ids=["env", "sidecar"]
)
def test_the_list_says_what_the_injector_sets(mode: str, case: str) -> None:
    told = {name for name, modes in listed_variables().items() if f"`{mode}`" in modes}
    assert told == injected_variables(case)


def test_the_index_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", INDEX.read_text()))
    assert linked == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_was_tried_and_what_cannot_be_done(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"^Tried: ", text, re.M)
    assert "## TLS" in text
    assert "## Limits" in text
