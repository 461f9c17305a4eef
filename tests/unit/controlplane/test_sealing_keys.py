"""Sealing keys are known to all before they seal, and open until the next rotation."""

from datetime import UTC, datetime, timedelta

import pytest

from bucketroute_operator.shell.kube_api import SECRETS
from bucketroute_operator.shell.sealing_keys import (
    ROTATED_EVERY,
    SECRET_NAME,
    USED_AFTER,
    SealingKeys,
    rotated,
)
from bucketroute_testing.kube import FakeKube
from bucketroute_testing.operator_objects import OPERATOR_NAMESPACE

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_a_ring_is_not_rotated_before_it_is_due() -> None:
    ring = rotated(None, START)
    assert rotated(ring, START + ROTATED_EVERY - MINUTE) is ring


def test_a_new_key_is_handed_out_first_and_used_an_hour_later() -> None:
    ring = rotated(None, START)
    due = START + ROTATED_EVERY
    announced = rotated(ring, due)
    assert announced.in_use == ring.in_use
    assert announced.other not in (ring.in_use, ring.other)
    assert rotated(announced, due + USED_AFTER - MINUTE) is announced
    used = rotated(announced, due + USED_AFTER)
    assert (used.in_use, used.other) == (announced.other, ring.in_use)


def test_classes_have_keys_of_their_own() -> None:
    ring = rotated(None, START)
    assert ring.of_class("a") == ring.of_class("a")
    assert not set(ring.of_class("a")) & set(ring.of_class("b"))
    assert ring.in_use not in ring.of_class("a")


async def test_replicas_share_one_ring_and_a_second_look_changes_nothing() -> None:
    kube = FakeKube()
    one, two = SealingKeys(kube, OPERATOR_NAMESPACE), SealingKeys(kube, OPERATOR_NAMESPACE)
    assert await one.refresh()
    assert await two.refresh()
    assert one.ring == two.ring
    assert not await one.refresh()
    assert kube.calls["create", "Secret"] == 1


async def test_the_empty_secret_of_the_chart_is_filled_without_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kube = FakeKube()
    kube.put(SECRETS, {"metadata": {"namespace": OPERATOR_NAMESPACE, "name": SECRET_NAME}})
    assert await SealingKeys(kube, OPERATOR_NAMESPACE).refresh()
    assert set(kube.peek(SECRETS, OPERATOR_NAMESPACE, SECRET_NAME)["data"]) >= {"in-use", "other"}
    assert not caplog.records


async def test_a_damaged_ring_is_made_anew() -> None:
    kube = FakeKube()
    metadata = {"namespace": OPERATOR_NAMESPACE, "name": SECRET_NAME}
    kube.put(SECRETS, {"metadata": metadata, "data": {"in-use": "c2hvcnQ="}})
    keys = SealingKeys(kube, OPERATOR_NAMESPACE)
    assert await keys.refresh()
    assert set(kube.peek(SECRETS, OPERATOR_NAMESPACE, SECRET_NAME)["data"]) >= {"in-use", "other"}
