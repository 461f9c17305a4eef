"""A pod that stops talking says so by no word: its channel notices."""

import asyncio

from bucketroute_operator.core.delta import render
from bucketroute_operator.core.resources import ServiceAccountRef
from bucketroute_operator.shell.callers import Caller
from bucketroute_operator.shell.channel import SILENT_AFTER_SECONDS, ClassChannel
from bucketroute_snapshot import SnapshotSecrets
from bucketroute_testing.operator_objects import GATEWAY, OPERATOR_NAMESPACE, snapshot, version

POD = Caller(namespace=OPERATOR_NAMESPACE, service_account=GATEWAY, pod_uid="pod-1")
NOW = version("1.1")


class Heard:
    """A channel that has published, its clock, and the words that it passed on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.words = 0
        self.channel = ClassChannel("default", on_word=self._word, clock=lambda: self.now)
        self.channel.gateway = ServiceAccountRef(namespace=OPERATOR_NAMESPACE, name=GATEWAY)
        self.channel.publish(NOW, render(snapshot()), SnapshotSecrets())

    def _word(self) -> None:
        self.words += 1

    def told_by_a_second(self) -> int:
        """The words of one look around."""
        before = self.words
        self.channel.note_silence()
        return self.words - before


async def test_a_pod_that_polls_is_connected_however_long_it_waits() -> None:
    heard = Heard()
    poll = asyncio.create_task(heard.channel.newer(POD, NOW, "", 3600))
    await asyncio.sleep(0)
    heard.now += 55
    assert heard.channel.is_connected("pod-1")
    heard.channel.release()
    await poll
    heard.now += SILENT_AFTER_SECONDS
    assert heard.channel.is_connected("pod-1"), "it is about to poll again"
    heard.now += 1
    assert not heard.channel.is_connected("pod-1")


async def test_silence_and_its_end_are_told_once_each() -> None:
    heard = Heard()
    heard.now += SILENT_AFTER_SECONDS + 1
    await heard.channel.newer(POD, NOW, "", 0)
    assert heard.told_by_a_second() == 1
    assert heard.told_by_a_second() == 0
    heard.now += SILENT_AFTER_SECONDS + 1
    assert heard.told_by_a_second() == 1
    assert heard.told_by_a_second() == 0
    await heard.channel.newer(POD, NOW, "", 0)
    assert heard.told_by_a_second() == 1


def test_a_new_leader_gives_pods_a_moment_and_then_tells() -> None:
    heard = Heard()
    assert heard.channel.is_connected("never-heard")
    heard.told_by_a_second()
    heard.now += SILENT_AFTER_SECONDS + 1
    assert not heard.channel.is_connected("never-heard")
    assert heard.told_by_a_second() == 1
