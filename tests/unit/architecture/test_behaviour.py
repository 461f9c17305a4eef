"""Every behaviour rule has a test or a reason, and docs/behaviour.md says which."""

import pytest

from bucketroute_testing.behaviour import (
    DOCUMENT,
    Rule,
    Section,
    marked,
    proofs,
    render,
    sections,
    unproved,
)

RULES = [rule for section in sections() for rule in section.rules]


def test_every_rule_has_a_test_or_a_reason() -> None:
    assert unproved(sections(), proofs()) == []


def test_no_rule_has_both_a_test_and_a_reason_why_there_is_none() -> None:
    proved = proofs()
    assert [rule.id for rule in RULES if rule.reason and rule.id in proved] == []


def test_every_mark_names_a_rule() -> None:
    known = {rule.id for rule in RULES}
    assert {name: paths for name, paths in proofs().items() if name not in known} == {}


def test_the_document_is_what_rules_and_tests_say() -> None:
    """Run `PYTHONPATH=tests/support python -m bucketroute_testing.behaviour`."""
    assert DOCUMENT.read_text() == render(sections(), proofs())


def test_rules_are_named_once_in_their_section() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for section in sections():
        for rule in section.rules:
            assert rule.id == section.id or rule.id.startswith(f"{section.id}.")
            assert rule.mark in ("C", "F")
            assert rule.text.endswith(".")
            assert "|" not in f"{rule.text}{rule.reason}{rule.difference}"


def test_marks_are_read_wherever_they_stand() -> None:
    source = (
        '@pytest.mark.rule("1.1", "1.2")\ndef test_a(): ...\n'
        'CASES = [pytest.param(1, marks=pytest.mark.rule("1.3"))]\n'
    )
    assert sorted(marked(source)) == ["1.1", "1.2", "1.3"]


def test_a_mark_must_be_readable_without_running_the_test() -> None:
    with pytest.raises(ValueError, match="NAME"):
        list(marked("@pytest.mark.rule(NAME)\ndef test_a(): ..."))


def test_a_rule_without_test_and_reason_is_found() -> None:
    rules = (
        Rule(id="9.1", mark="C", text="Proved."),
        Rule(id="9.2", mark="C", text="Explained.", reason="Because."),
        Rule(id="9.3", mark="F", text="Forgotten."),
    )
    known = [Section(id="9", title="Nine", rules=rules)]
    assert unproved(known, {"9.1": []}) == ["9.3"]
