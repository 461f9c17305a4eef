"""What the demo shows: progress on a terminal, a table at the end, and lines to try."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from bucketroute_cli.demo_files import ACCESS_KEY_NAME, BUCKET, NAMESPACE, DemoFiles

_PIPED_WIDTH: Final = 120
MiB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of the table."""

    step: str
    what: str
    seconds: float
    result: str
    is_ok: bool


class Screen:
    """Writes to standard output; when that is no terminal, only what stays."""

    def __init__(self) -> None:
        console = Console(highlight=False)
        self._console = console if console.is_terminal else Console(
            highlight=False, width=_PIPED_WIDTH
        )  # fmt: skip

    def say(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner on a terminal."""
        if self._console.is_terminal:
            with self._console.status(escape(text)):
                yield
        else:
            yield

    @contextmanager
    def progress(self, label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """A bar that the yielded function moves on by bytes; it disappears when it is full."""
        columns = (
            TextColumn("  {task.description:16}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as bar:
            task = bar.add_task(label, total=total_bytes)
            yield lambda moved: bar.advance(task, moved)

    def summary(self, outcomes: Sequence[Outcome]) -> None:
        table = Table(title="What was done through BucketRoute", title_justify="left")
        table.add_column("step", no_wrap=True)
        table.add_column("what")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("result")
        for item in outcomes:
            mark = "[green]ok[/green]  " if item.is_ok else "[red]FAILED[/red]  "
            table.add_row(
                item.step, escape(item.what), f"{item.seconds:.2f} s", mark + escape(item.result)
            )
        self._console.print(table)

    def stored(self, objects: Sequence[tuple[str, str, int]]) -> None:
        """`objects`: the client's name, the backend's name, bytes."""
        table = Table(title="Who calls it what", title_justify="left")
        table.add_column("the application says", overflow="fold")
        table.add_column("the backend stores", overflow="fold")
        table.add_column("size", justify="right", no_wrap=True)
        for client_name, backend_name, size in objects:
            shown = f"{size // MiB} MiB" if size >= MiB else f"{size} B"
            table.add_row(escape(client_name), escape(backend_name), shown)
        self._console.print(table)

    def lines_to_try(self, endpoint: str, files: DemoFiles, log: Path) -> None:
        aws = f"aws --endpoint-url {endpoint}"
        self.say(f"""
BucketRoute serves s3://{BUCKET} on {endpoint}. In another terminal:

  export AWS_ACCESS_KEY_ID={files.access_key_id} AWS_DEFAULT_REGION=us-east-1
  export AWS_SECRET_ACCESS_KEY={files.secret_access_key}

  {aws} s3 ls --recursive s3://{BUCKET}/
  {aws} s3 cp {files.manifests} s3://{BUCKET}/
  {aws} s3api get-object-tagging --bucket {BUCKET} --key reports/january.csv
  curl {endpoint}/-/metrics

  # which route, rule and backend key, without sending anything
  bucketroute explain --as accesskey:{NAMESPACE}/{ACCESS_KEY_NAME} \\
    GET s3://{BUCKET}/reports/january.csv -f {files.manifests}

The route is in {files.manifests}: take Delete out of its permissions,
save, and a second later deletes are refused. Requests are logged to
{log}.

Ctrl-C ends everything and removes these files.""")
