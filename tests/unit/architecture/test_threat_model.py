"""docs/threat-model.md: every threat has a test that exists, or says what risk is left."""

import re

import pytest

from bucketroute_testing.doc_tables import DOCS, ROOT

THREATS = [f"T{number}" for number in range(1, 21)]
ROWS = {
    cells[1].strip(): cells
    for line in (DOCS / "threat-model.md").read_text().splitlines()
    if len(cells := line.split("|")) == 6 and re.fullmatch(r" T\d+ ", cells[1])
}
TESTS = sorted(
    {name for cells in ROWS.values() for name in re.findall(r"`([^`]+::[^`]+)`", cells[4])}
)
DATAPLANE = ROOT / "dataplane" / "bucketroute_dataplane"


def test_every_threat_has_its_row() -> None:
    assert list(ROWS) == THREATS


@pytest.mark.parametrize("threat", THREATS)
def test_a_threat_has_a_control_and_a_test_or_a_risk_that_is_left(threat: str) -> None:
    _, _, what, control, shown, _ = ROWS[threat]
    assert what.strip()
    assert control.strip()
    assert "::" in shown or "Left: " in shown


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    source = (ROOT / "tests" / path).read_text()
    assert re.search(rf"^(?:async )?def {re.escape(function)}\(", source, re.MULTILINE)


@pytest.mark.parametrize(
    ("pattern", "modules"),
    [
        # The token for STS is read in one place, and that for the operator in one; a sidecar looks
        # into the latter for the subject.
        (r"\bTokenFile\(settings\.token_file\)", {"shell/server.py"}),
        (r"\bTokenFile\(", {"shell/server.py", "shell/pod.py"}),
        (r"\btoken_file\.read", {"shell/config_client.py"}),
        # What was read has a type of its own, and is taken out of it where the form is made.
        (
            r"web_identity_token import (?:\([^)]*|[^\n]*)\bWebIdentityToken\b",
            {"core/sts.py", "shell/tokens.py", "shell/web_identity.py"},
        ),
        (r"\btoken\.value\.reveal\(", {"core/sts.py"}),
        # The form goes to the STS's client and to nobody else.
        (r"\bexchange_form\(", {"core/sts.py", "shell/web_identity.py"}),
    ],
)
def test_only_the_exchange_reveals_the_gateways_token(pattern: str, modules: set[str]) -> None:
    """No other line of the data plane has the token to send: to a backend, a client or a log."""
    found = {
        str(path.relative_to(DATAPLANE))
        for path in DATAPLANE.rglob("*.py")
        if re.search(pattern, path.read_text())
    }
    assert found == modules
