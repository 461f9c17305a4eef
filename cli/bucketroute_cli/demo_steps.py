"""The demo's steps: what an application does with S3, each checked, and a look behind the route."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from bucketroute_cli.demo_files import BACKEND_BUCKET, BACKEND_PREFIX, BUCKET
from bucketroute_cli.demo_processes import DemoError

MiB: Final = 1024 * 1024
OBJECT_BYTES: Final = 64 * MiB
PART_BYTES: Final = 8 * MiB
_BIG: Final = "backups/disk.img"
_COPY: Final = "archive/disk.img"
_REPORTS: Final = tuple(f"reports/{month}.csv" for month in ("january", "february", "march"))
_TRANSFER: Final = TransferConfig(
    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4
)

# Given what is moved and its size in bytes: something to tell how many more bytes have moved.
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`act` does it and gives the result in words. Raises: DemoError, or what boto3 raises."""

    name: str
    what: str
    act: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """boto3 clients of the data plane, but for `behind`, which goes round it to the backend.

    `stranger` knows the application's access key ID and not the secret.
    """

    application: Any
    stranger: Any
    behind: Any


class Tour:
    """All steps, in an order in which each finds what those before it left."""

    def __init__(self, clients: Clients, backend_log: Path, progress: Progress) -> None:
        self._clients = clients
        self._client = clients.application
        self._backend_log = backend_log
        self._progress = progress
        self._content = os.urandom(OBJECT_BYTES)

    def steps(self) -> Iterator[Step]:
        size, parts = f"{OBJECT_BYTES // MiB} MiB", OBJECT_BYTES // PART_BYTES
        url = f"s3://{BUCKET}"
        yield Step(name="upload", what=f"{size} in {parts} parts to {url}/{_BIG}", act=self._upload)
        yield Step(name="download", what=f"the same {size}, by ranges", act=self._download)
        yield Step(name="list", what=f"three new objects in {url}/reports/", act=self._list)
        yield Step(name="copy", what=f"on the backend, to {url}/{_COPY}", act=self._copy)
        yield Step(name="batch delete", what="two of the reports, in one request", act=self._delete)
        yield Step(name="refuse", what="a wrong secret access key", act=self._refuse)
        yield Step(name="look behind", what="the names that the backend has", act=self._look_behind)
        yield Step(name="exchange", what="the token for credentials, at STS", act=self._exchanges)

    def stored(self) -> list[tuple[str, str, int]]:
        """Of each object: the client's name, the backend's name, bytes."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [
            (
                f"s3://{BUCKET}/{item['Key']}",
                f"s3://{BACKEND_BUCKET}/{BACKEND_PREFIX}{item['Key']}",
                int(item["Size"]),
            )
            for page in pages
            for item in page.get("Contents", ())
        ]

    def _upload(self) -> str:
        with self._progress("upload", OBJECT_BYTES) as advance:
            self._client.upload_fileobj(
                io.BytesIO(self._content), BUCKET, _BIG, Config=_TRANSFER, Callback=advance
            )
        head = self._client.head_object(Bucket=BUCKET, Key=_BIG)
        _expect(head["ContentLength"] == OBJECT_BYTES, f"it has {head['ContentLength']} bytes")
        return f"ETag {head['ETag']}"

    def _download(self) -> str:
        return f"SHA-256 {self._checked(_BIG, 'download')[:16]}…, as uploaded"

    def _list(self) -> str:
        for key in _REPORTS:
            self._client.put_object(Bucket=BUCKET, Key=key, Body=b"day,bytes\n1,4096\n")
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix="reports/")
        keys = [item["Key"] for item in listed.get("Contents", ())]
        _expect(keys == sorted(_REPORTS), f"the listing has {keys}")
        return f"{len(keys)} keys, in order"

    def _copy(self) -> str:
        source = {"Bucket": BUCKET, "Key": _BIG}
        self._client.copy_object(Bucket=BUCKET, Key=_COPY, CopySource=source)
        self._checked(_COPY, "check the copy")
        return "the copy has the same bytes"

    def _delete(self) -> str:
        gone = [{"Key": key} for key in _REPORTS[1:]]
        answer = self._client.delete_objects(Bucket=BUCKET, Delete={"Objects": gone})
        _expect("Errors" not in answer, f"it answered {answer.get('Errors')}")
        left = self._client.list_objects_v2(Bucket=BUCKET, Prefix="reports/")["KeyCount"]
        _expect(left == 1, f"{left} reports are left")
        return f"{len(answer['Deleted'])} deleted, 1 left"

    def _refuse(self) -> str:
        try:
            self._clients.stranger.get_object(Bucket=BUCKET, Key=_BIG)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            _expect(code == "SignatureDoesNotMatch", f"it was refused with {code}")
            return f"403 {code}"
        raise DemoError("it was allowed")

    def _look_behind(self) -> str:
        listed = self._clients.behind.list_objects_v2(Bucket=BACKEND_BUCKET).get("Contents", ())
        real = {f"s3://{BACKEND_BUCKET}/{item['Key']}" for item in listed}
        expected = {backend_name for _, backend_name, _ in self.stored()}
        _expect(real == expected, f"the backend has {sorted(real)}")
        return f"{len(real)} objects under s3://{BACKEND_BUCKET}/{BACKEND_PREFIX}"

    def _exchanges(self) -> str:
        """Counted in the backend's own log: S3 requests name a bucket, those to STS are to `/`."""
        lines = self._backend_log.read_text(errors="replace").splitlines()
        requests = [line for line in lines if " HTTP/1." in line]
        exchanges = sum('"POST / HTTP/' in line for line in requests)
        _expect(exchanges == 1, f"{exchanges} exchanges were made")
        return f"1 exchange for {len(requests) - exchanges} backend requests"

    def _checked(self, key: str, label: str) -> str:
        """The SHA-256 of the object, which is the uploaded one's."""
        received = io.BytesIO()
        with self._progress(label, OBJECT_BYTES) as advance:
            self._client.download_fileobj(BUCKET, key, received, Config=_TRANSFER, Callback=advance)
        digest = hashlib.sha256(received.getbuffer()).hexdigest()
        _expect(digest == hashlib.sha256(self._content).hexdigest(), f"{key} has other bytes")
        return digest


def s3_client(endpoint: str, access_key_id: str, secret_access_key: str) -> Any:
    """A boto3 client as an application has it, but for deadlines."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        ),
    )


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)
