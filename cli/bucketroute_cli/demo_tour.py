"""Runs the demo: backend, data plane, the steps, and then until Ctrl-C."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from bucketroute_cli.demo_files import BACKEND_BUCKET, DemoFiles, write_demo_files
from bucketroute_cli.demo_processes import Child, DemoError, forget_aws_settings
from bucketroute_cli.demo_screen import Outcome, Screen
from bucketroute_cli.demo_steps import Clients, Step, Tour, s3_client
from bucketroute_cli.exit_codes import EXIT_FINDINGS, EXIT_OK

EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
_ALIVE_POLL_SECONDS: Final = 0.5
_DRAIN_SECONDS: Final = "2"


def run_demo(listen: str, *, once: bool) -> int:
    """The exit status. What it started has ended when it returns."""
    forget_aws_settings()
    screen = Screen()
    with ExitStack() as stack:
        try:
            return _run(listen, once=once, screen=screen, stack=stack)
        except DemoError as error:
            screen.say(str(error))
            return EXIT_FINDINGS
        except KeyboardInterrupt:
            screen.say("\nInterrupted.")
            return EXIT_INTERRUPTED


def _run(listen: str, *, once: bool, screen: Screen, stack: ExitStack) -> int:
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="bucketroute-demo-")))
    with screen.waiting("starting an S3 and STS backend, and BucketRoute before it"):
        backend = Child("backend", "bucketroute_cli.demo_backend", ["{ready}"], directory)
        backend_endpoint = f"http://{stack.enter_context(backend).address()}"
        files = write_demo_files(directory, backend_endpoint)
        dataplane = Child("data-plane", "bucketroute_cli", _serve(listen, files), directory)
        endpoint = f"http://{_url_host(stack.enter_context(dataplane).address())}"
    clients = Clients(
        application=s3_client(endpoint, files.access_key_id, files.secret_access_key),
        stranger=s3_client(endpoint, files.access_key_id, "not-the-secret-access-key"),
        behind=s3_client(backend_endpoint, "demo-admin", "demo-admin"),
    )
    clients.behind.create_bucket(Bucket=BACKEND_BUCKET)
    tour = Tour(clients, backend.log, screen.progress)
    outcomes = [_outcome(step) for step in tour.steps()]
    screen.summary(outcomes)
    if not all(outcome.is_ok for outcome in outcomes):
        for child in (dataplane, backend):
            screen.say(f"\nThe last words of the {child.name}:\n{child.last_words()}")
        return EXIT_FINDINGS
    screen.stored(tour.stored())
    if once:
        return EXIT_OK
    screen.lines_to_try(endpoint, files, dataplane.log)
    return _stay_up(screen, dataplane, backend)


def _serve(listen: str, files: DemoFiles) -> list[str]:
    return [
        "serve",
        *("-f", str(files.manifests)),
        *("--listen", listen),
        *("--token-file", str(files.token)),
        *("--drain-seconds", _DRAIN_SECONDS),
        *("--once-ready", "{ready}"),
    ]


def _outcome(step: Step) -> Outcome:
    started = time.perf_counter()
    try:
        result, is_ok = step.act(), True
    except (DemoError, Boto3Error, BotoCoreError, ClientError) as error:
        result, is_ok = str(error), False
    return Outcome(
        step=step.name,
        what=step.what,
        seconds=time.perf_counter() - started,
        result=result,
        is_ok=is_ok,
    )


def _stay_up(screen: Screen, *children: Child) -> int:
    try:
        while True:
            for child in children:
                if child.has_ended:
                    raise DemoError(f"The {child.name} has ended:\n{child.last_words()}")
            time.sleep(_ALIVE_POLL_SECONDS)
    except KeyboardInterrupt:
        screen.say("\nEnding the data plane and the backend.")
        return EXIT_OK


def _url_host(address: str) -> str:
    """HOST:PORT for a URL: an address of IPv6 in brackets."""
    host, _, port = address.rpartition(":")
    return f"[{host}]:{port}" if ":" in host else address
