"""What a shape remembers of rules: having no prefixes is not having some that match nothing."""

import pytest

from bucketroute_dataplane.core.authorize import authorize
from bucketroute_dataplane.core.messages import Deadlines
from bucketroute_dataplane.core.shapes import ShapeRoute
from bucketroute_testing.heads import CALLER, route_entry, rule, s3_request

UNKNOWN = "${unknown}/"  # never replaced, so such a prefix matches nothing


@pytest.mark.parametrize(
    ("prefixes", "admitted"),
    [
        ([None], {b"a/k", b"b/k"}),
        ([["a/"]], {b"a/k"}),
        ([["a/"], [UNKNOWN]], {b"a/k"}),
        ([[UNKNOWN], ["a/"]], {b"a/k"}),
        ([["a/"], None], {b"a/k", b"b/k"}),
    ],
    ids=str,
)
def test_a_shape_admits_what_the_rules_grant(
    prefixes: list[list[str] | None], admitted: set[bytes]
) -> None:
    rules = [rule(prefixes=given) if given is not None else rule() for given in prefixes]
    plan = authorize(s3_request("GET", "/photos/a/k"), route_entry(*rules), CALLER)
    route = ShapeRoute(plan, Deadlines(60, 30))
    assert {key for key in (b"a/k", b"b/k") if route.admits(key)} == admitted
