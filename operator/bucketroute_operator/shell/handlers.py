"""kopf, used as the watch and for nothing else: events go into the inbox, nobody else sees kopf.

It runs in a thread and loop of its own, because it cancels all tasks of its loop when it ends. No
handler that writes (kopf's create and update handlers annotate every object), no finalizer, no
peering, no posting of events.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import kopf

from bucketroute_operator.shell.kube_api import Json, Resource

# For peering, which is off. By default kopf asks for the user's name, and ends where the image has
# none for the pod's user (getpass.getuser: KeyError).
_IDENTITY: Any = "bucketroute-operator"

# It ends its streams in well under a second; the process ends without it if it does not.
_STOP_SECONDS = 5.0

Inbox = Callable[[Resource, "str | None", Json], None]


class Watch:
    """`inbox` is called in the loop that called `start`, in the order of the events.

    `failed` is done when the watch has ended by itself: kopf ends on errors that it cannot retry,
    and a process that no longer sees changes has to start again.
    """

    def __init__(self, resources: Iterable[Resource], inbox: Inbox) -> None:
        self._registry = _registry(resources, self._deliver)
        self._inbox = inbox
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.failed: asyncio.Future[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.failed = self._loop.create_future()
        # It warns of every stream that had events left when it stops, one line an object.
        logging.getLogger("kopf").setLevel(logging.ERROR)
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is None:
            return
        await asyncio.to_thread(self._thread.join, _STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry,
                    settings=_settings(),
                    identity=_IDENTITY,
                    standalone=True,
                    clusterwide=True,
                    stop_flag=self._stop,
                )
            )
        finally:
            self._call(self._ended)

    def _ended(self) -> None:
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(None)

    def _deliver(self, resource: Resource, kind: str | None, raw: Json) -> None:
        self._call(self._inbox, resource, kind, raw)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _registry(resources: Iterable[Resource], deliver: Inbox) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for resource in resources:
        kopf.on.event(
            resource.group, resource.version, resource.plural, registry=registry, id=resource.kind
        )(_handler(resource, deliver))
    return registry


def _handler(resource: Resource, deliver: Inbox) -> Callable[..., object]:
    async def seen(event: kopf.RawEvent, **_: object) -> None:
        # Copied: the event is kopf's. Without managedFields, the larger half of it.
        metadata = {
            name: value
            for name, value in event["object"]["metadata"].items()
            if name != "managedFields"
        }
        deliver(resource, event["type"], {**event["object"], "metadata": metadata})

    return seen


async def _login(**arguments: Any) -> kopf.ConnectionInfo | None:  # kopf's own handler shape
    return kopf.login_with_kubeconfig(**arguments) or kopf.login_with_service_account(**arguments)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # its peering freezes all of equal priority
    settings.posting.enabled = False
    settings.scanning.disabled = True  # it needs list and watch of CRDs otherwise
    settings.persistence.finalizer = "bucketroute.io/unused"
    settings.watching.server_timeout = 300  # by default a watch may live for ever, and go stale
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = 500  # the first LIST, page by page
    settings.networking.request_timeout = 30
    # Per object it keeps a task that waits for more events of it: no longer than a burst lasts.
    settings.queueing.idle_timeout = 0.1
    return settings
