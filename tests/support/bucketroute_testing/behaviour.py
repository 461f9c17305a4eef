"""docs/behaviour.md: the rules of tests/rules.toml, each with the tests that prove it or a reason.

    PYTHONPATH=tests/support python -m bucketroute_testing.behaviour    # writes the document anew

Which rules a test proves stands in its `@pytest.mark.rule(...)`, read from the source without
importing it. `tests/unit/architecture/test_behaviour.py` compares.
"""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bucketroute_testing.doc_tables import table

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
RULES = TESTS / "rules.toml"
DOCUMENT = ROOT / "docs" / "behaviour.md"

_INTRODUCTION = """\
# Behaviour

What the data plane does with a request, rule by rule. This page is made from
[`tests/rules.toml`](../tests/rules.toml) and from the tests: every rule names the files whose tests
prove it (`@pytest.mark.rule`), or says why no test can. To change a rule, change the file and its
tests, then run `PYTHONPATH=tests/support python -m bucketroute_testing.behaviour`.

**C**: kept as S3 proxies commonly have it. **F**: corrected, where they commonly are wrong.
*Here:* what BucketRoute does otherwise on purpose.

This page says nothing of configuration ([configuration.md](configuration.md)), of the operations
and their permissions ([operations.md](operations.md)) or of each error code
([errors.md](errors.md)).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`mark` is C or F. `reason` says why no test proves the rule; `difference` what is done
    otherwise.
    """

    id: str
    mark: str
    text: str
    reason: str | None = None
    difference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    id: str
    title: str
    rules: tuple[Rule, ...]


def sections() -> list[Section]:
    """The rules in their order."""
    document = tomllib.loads(RULES.read_text())
    return [
        Section(
            id=section["id"],
            title=section["title"],
            rules=tuple(Rule(**rule) for rule in section["rules"]),
        )
        for section in document["sections"]
    ]


def proofs() -> dict[str, list[Path]]:
    """Rule ID to the files with a test that proves it, relative to tests/, sorted."""
    found: defaultdict[str, set[Path]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for identifier in marked(path.read_text()):
            found[identifier].add(path.relative_to(TESTS))
    return {identifier: sorted(paths) for identifier, paths in found.items()}


def marked(source: str) -> Iterator[str]:
    """The rule IDs in the marks of one file. Raises ValueError for one that is no literal."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rule":
            for argument in node.args:
                if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                    raise ValueError(f"a rule is named by a text, not {ast.unparse(argument)}")
                yield argument.value


def unproved(known: list[Section], proved: Mapping[str, object]) -> list[str]:
    """The rules that have neither a test nor a reason."""
    return [
        rule.id
        for section in known
        for rule in section.rules
        if rule.id not in proved and rule.reason is None
    ]


def render(known: list[Section], proved: Mapping[str, list[Path]]) -> str:
    """The document."""
    parts = [_INTRODUCTION]
    for section in known:
        rows = [(rule.id, rule.mark, _text(rule), _proof(rule, proved)) for rule in section.rules]
        heading = f"\n## {section.id} {section.title}\n\n"
        parts.append(heading + table(("rule", "", "what holds", "proved by"), rows))
    return "".join(parts)


def _text(rule: Rule) -> str:
    return f"{rule.text} *Here:* {rule.difference}" if rule.difference else rule.text


def _proof(rule: Rule, proved: Mapping[str, list[Path]]) -> str:
    if rule.id not in proved:
        return f"*no test:* {rule.reason}"
    return ", ".join(map(_link, proved[rule.id]))


def _link(path: Path) -> str:
    """`unit/dataplane/test_body.py` as `body`, and of the end-to-end tests as `e2e body`."""
    name = path.stem.removeprefix("test_")
    return f"[{'e2e ' if path.parts[0] == 'e2e' else ''}{name}](../tests/{path.as_posix()})"


if __name__ == "__main__":
    DOCUMENT.write_text(render(sections(), proofs()))
