"""Label selectors, with the meaning that Kubernetes gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from bucketroute_operator.core.resources import LabelRequirement, LabelSelector, SelectorOperator


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    return all(_holds(requirement, labels) for requirement in selector.requirements)


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case SelectorOperator.IN:
            return value in requirement.values
        case SelectorOperator.NOT_IN:
            return value not in requirement.values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None
        case _:
            assert_never(requirement.operator)
