"""Client programs as their users run them: the AWS CLI, s3fs, minio-py."""

import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from bucketroute_testing.corpus import payload
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tools import AWS_CLI, MINIO_PY, S3FS, client_environment, run_client
from bucketroute_testing.wire_types import MiB

FILES = {"empty": 0, "one": 1, "below": 5 * MiB - 1, "nested/+ ü": 5 * MiB + 1, "big": 20 * MiB}

S3FS_PROGRAM = """
import sys, s3fs
source, copy, bucket = sys.argv[1:]
fs = s3fs.S3FileSystem(anon=False, use_listings_cache=False)
fs.put(source, f"{bucket}/s3fs", recursive=True)
assert fs.exists(f"{bucket}/s3fs/one") and not fs.exists(f"{bucket}/s3fs/none")
fs.get(f"{bucket}/s3fs", copy, recursive=True)
with fs.open(f"{bucket}/s3fs/written", "wb") as out:
    out.write(b"w" * 100)
fs.mv(f"{bucket}/s3fs/written", f"{bucket}/s3fs/moved")
assert fs.cat_file(f"{bucket}/s3fs/moved", start=10, end=20) == b"w" * 10
fs.rm(f"{bucket}/s3fs", recursive=True)
assert fs.find(f"{bucket}/s3fs") == []
"""

MINIO_PROGRAM = """
import os, sys, io, pathlib
from urllib.parse import urlsplit
import minio, urllib3
from minio.deleteobjects import DeleteObject
source, copy, bucket = sys.argv[1:]
url = urlsplit(os.environ["AWS_ENDPOINT_URL"])
http = urllib3.PoolManager(ca_certs=os.environ.get("SSL_CERT_FILE"))
client = minio.Minio(
    url.netloc,
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    secure=url.scheme == "https",
    region="us-east-1",
    http_client=http,
)
files = [path for path in pathlib.Path(source).rglob("*") if path.is_file()]
names = [str(path.relative_to(source)) for path in files]
for path, name in zip(files, names):
    client.fput_object(bucket, f"minio-py/{name}", str(path), part_size=5 * 1024 * 1024)
    client.fget_object(bucket, f"minio-py/{name}", f"{copy}/{name}")
client.put_object(bucket, "minio-py/stream", io.BytesIO(b"s" * 6_000_000), -1, part_size=5_242_880)
listed = {each.object_name for each in client.list_objects(bucket, "minio-py/", recursive=True)}
assert listed == {f"minio-py/{name}" for name in [*names, "stream"]}, listed
wrong = list(client.remove_objects(bucket, [DeleteObject(name) for name in listed]))
assert not wrong, wrong
assert not list(client.list_objects(bucket, "minio-py/", recursive=True))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of files of many sizes."""
    folder = tmp_path / "source"
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload(size))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def aws(gateway: Gateway, directory: Path, *arguments: str) -> str:
    environment = client_environment(gateway.endpoint, gateway.key, ca=gateway.ca)
    return run_client(
        AWS_CLI.program("aws"), *arguments, environment=environment, directory=directory
    )


def test_aws_cli_copies_syncs_moves_and_removes(
    front: Gateway, source: Path, tmp_path: Path
) -> None:
    there, back = f"s3://{BUCKET}/cli", tmp_path / "back"
    aws(front, tmp_path, "s3", "cp", "--recursive", str(source), there)
    aws(front, tmp_path, "s3", "sync", there, str(back))
    assert contents(back) == contents(source)
    assert aws(front, tmp_path, "s3", "sync", str(source), there) == ""
    aws(front, tmp_path, "s3", "mv", f"{there}/big", f"{there}/moved +big")
    listed = aws(front, tmp_path, "s3", "ls", "--recursive", f"{there}/")
    assert "cli/moved +big" in listed
    assert "cli/big" not in listed
    aws(front, tmp_path, "s3", "rm", "--recursive", there)
    with closing(front.client()) as client:
        assert client.list_objects_v2(Bucket=BUCKET, Prefix="cli/")["KeyCount"] == 0


def test_aws_cli_presigns(gateway: Gateway, tmp_path: Path) -> None:
    with closing(gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key="presigned by cli", Body=b"shared")
    # In us-east-1 the CLI presigns with SigV2, which is not supported; in newer regions with SigV4.
    arguments = ("--region", "eu-central-1", "s3", "presign", f"s3://{BUCKET}/presigned by cli")
    url = aws(gateway, tmp_path, *arguments).strip()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"shared"


def test_s3fs_works_as_a_file_system(front: Gateway, source: Path, tmp_path: Path) -> None:
    check_program(front, S3FS.program(), S3FS_PROGRAM, source, tmp_path)


def test_minio_py_streams_signed_chunks(front: Gateway, source: Path, tmp_path: Path) -> None:
    check_program(front, MINIO_PY.program(), MINIO_PROGRAM, source, tmp_path)


def check_program(
    gateway: Gateway, python: Path, program: str, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    environment = client_environment(gateway.endpoint, gateway.key, ca=gateway.ca)
    arguments = ("-c", program, str(source), str(copy), BUCKET)
    run_client(python, *arguments, environment=environment, directory=tmp_path)
    assert contents(copy) == contents(source)
