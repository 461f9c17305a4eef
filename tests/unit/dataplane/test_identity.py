"""Who a caller is, how they are named, and which subjects of a rule mean them."""

import pytest

from bucketroute_dataplane.core.identity import (
    ANONYMOUS,
    Identity,
    access_key_identity,
    oidc_identity,
    service_account_identity,
    subject_matches,
)
from bucketroute_snapshot import (
    AccessKeySubject,
    AnonymousSubject,
    NamespaceSubject,
    OIDCSubject,
    ServiceAccountSubject,
    Subject,
)

ISSUER = "https://ci.example"
APP = service_account_identity("team-a", "app")
OTHER_APP = service_account_identity("team-b", "app")
KEY = access_key_identity("team-a", "app")
JOB = oidc_identity(ISSUER, "repo:acme/site:ref:main")
EVERYBODY = {"app": APP, "other": OTHER_APP, "key": KEY, "job": JOB, "nobody": ANONYMOUS}

SUBJECTS = [
    (ServiceAccountSubject(namespace="team-a", name="app"), {"app"}),
    (ServiceAccountSubject(namespace="team-a", name="*"), {"app"}),
    (ServiceAccountSubject(namespace="team-a", name="ap"), set()),
    (ServiceAccountSubject(namespace="team-b", name="app"), {"other"}),
    (NamespaceSubject(name="team-a"), {"app"}),
    (NamespaceSubject(name="team"), set()),
    (AccessKeySubject(namespace="team-a", name="app"), {"key"}),
    (AccessKeySubject(namespace="team-b", name="app"), set()),
    (OIDCSubject(issuer=ISSUER, subject="repo:acme/site:ref:main"), {"job"}),
    (OIDCSubject(issuer=ISSUER, subject="repo:acme/*"), {"job"}),
    (OIDCSubject(issuer=ISSUER, subject="repo:*:ref:main"), {"job"}),
    (OIDCSubject(issuer=ISSUER, subject="*"), {"job"}),
    (OIDCSubject(issuer="https://else.example", subject="*"), set()),
    (AnonymousSubject(), set(EVERYBODY)),
]


@pytest.mark.rule("3.10.11")
@pytest.mark.parametrize(("subject", "meant"), SUBJECTS, ids=[repr(s) for s, _ in SUBJECTS])
def test_a_subject_means_exactly_its_callers(subject: Subject, meant: set[str]) -> None:
    found = {name for name, caller in EVERYBODY.items() if subject_matches(subject, caller)}
    assert found == meant


GLOBS = [
    ("*", "anything", True),
    ("repo:acme/*", "repo:acme/", True),
    ("repo:acme/*", "xrepo:acme/site", False),
    ("*:main", "repo:main", True),
    ("*:main", "repo:main:x", False),
    ("a*b*c", "abc", True),
    ("a*b*c", "axbxbxc", True),
    ("a*b*c", "acb", False),
    ("ab*ba", "aba", False),
    ("a.c", "abc", False),
    ("a[b]c", "abc", False),
    ("", "x", False),
    ("*", "line\nend", True),
    # A regular expression of it would not come to an end.
    ("*" * 30 + "!", "repo:acme/" + "a" * 245, False),
    ("*a" * 100 + "!", "a" * 255, False),
]


@pytest.mark.rule("3.12.9")
@pytest.mark.parametrize(("pattern", "subject", "matches"), GLOBS)
def test_a_star_matches_any_run_and_nothing_else_is_special(
    pattern: str, subject: str, matches: bool
) -> None:
    rule = OIDCSubject(issuer=ISSUER, subject=pattern)
    assert subject_matches(rule, oidc_identity(ISSUER, subject)) is matches


NAMES = [
    (APP, "system:serviceaccount:team-a:app"),
    (KEY, "accesskey:team-a/app"),
    (JOB, "oidc:https://ci.example#repo:acme/site:ref:main"),
    (ANONYMOUS, "anonymous"),
]


@pytest.mark.parametrize(("identity", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_caller_has_one_name_in_logs(identity: Identity, name: str) -> None:
    assert str(identity) == name


PLACEHOLDERS = [
    (APP, ("team-a", "app", "system:serviceaccount:team-a:app")),
    (KEY, ("team-a", None, "app")),
    (JOB, (None, None, "repo:acme/site:ref:main")),
    (ANONYMOUS, (None, None, None)),
]


@pytest.mark.parametrize(
    ("identity", "values"), PLACEHOLDERS, ids=[str(identity) for identity, _ in PLACEHOLDERS]
)
def test_only_what_is_known_of_a_caller_fills_a_placeholder(
    identity: Identity, values: tuple[str | None, ...]
) -> None:
    names = ("${namespace}", "${serviceAccount}", "${subject}")
    assert identity.placeholders() == dict(zip(names, values, strict=True))
