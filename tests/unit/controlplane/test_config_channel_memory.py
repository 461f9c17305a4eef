"""What thousands of publications leave behind in a data plane: nothing that is never collected."""

import asyncio
import gc
from functools import partial
from pathlib import Path

from bucketroute_dataplane.shell.clock import SystemClock
from bucketroute_dataplane.shell.config_channel import ConfigChannel, ConfigFiles
from bucketroute_dataplane.shell.snapshots import SnapshotStore
from bucketroute_testing.config_channel import OperatorEnd
from bucketroute_testing.operator_objects import route, snapshot
from bucketroute_testing.transports import until

WARM_UP, MEASURED = 5, 15
# A poll over TLS leaves a hundred and more in cycles. The operator's end, which is in this process,
# has some of its own under way at each swap.
FROZEN_OBJECTS_EACH = 60


async def test_what_a_poll_leaves_is_not_frozen_with_the_snapshot(tmp_path: Path) -> None:
    operator, store = OperatorEnd(tmp_path), SnapshotStore()
    operator.publish("1.1", snapshot(route()))
    async with operator.listening(), operator.client() as client:
        channel = ConfigChannel(client, store, ConfigFiles(), clock=SystemClock())
        following = asyncio.create_task(channel.run())
        frozen = []
        for counter in range(2, 2 + WARM_UP + MEASURED):
            edited = snapshot(route(generation=counter))
            operator.publish(f"1.{counter}", edited)
            await until(partial(lambda wanted: store.snapshot == wanted, edited))
            frozen.append(gc.get_freeze_count())
        following.cancel()
        await asyncio.wait([following])
    assert (frozen[-1] - frozen[WARM_UP]) / MEASURED < FROZEN_OBJECTS_EACH
