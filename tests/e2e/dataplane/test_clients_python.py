"""Python libraries as their users call them: s3fs, minio-py, pyarrow, DuckDB."""

from pathlib import Path

from bucketroute_testing.client_runs import CLIENT_FRONTS, contents
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tools import (
    DUCKDB,
    MINIO_PY,
    PYARROW,
    S3FS,
    client_environment,
    run_client,
)

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

# What Spark and pandas do with Parquet: many ranges of one object, through AWS's C++ SDK.
PYARROW_PROGRAM = """
import os, sys
from urllib.parse import urlsplit
import pyarrow as pa
from pyarrow import dataset, fs, parquet
source, copy, bucket = sys.argv[1:]
url = urlsplit(os.environ["AWS_ENDPOINT_URL"])
s3 = fs.S3FileSystem(
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    endpoint_override=url.netloc,
    scheme=url.scheme,
    region="us-east-1",
    tls_ca_file_path=os.environ.get("SSL_CERT_FILE"),
)
local = fs.LocalFileSystem()
fs.copy_files(source, f"{bucket}/arrow", source_filesystem=local, destination_filesystem=s3)
fs.copy_files(f"{bucket}/arrow", copy, source_filesystem=s3, destination_filesystem=local)
table = pa.table({"n": range(1_000_000), "part": [number % 2 for number in range(1_000_000)]})
there = f"{bucket}/arrow/table"
dataset.write_dataset(table, there, filesystem=s3, format="parquet", partitioning=["part"])
read = dataset.dataset(there, filesystem=s3, partitioning=["part"])
assert read.count_rows(filter=dataset.field("n") < 1000) == 1000
parquet.write_table(table, f"{bucket}/arrow/one.parquet", filesystem=s3)
one = parquet.read_table(f"{bucket}/arrow/one.parquet", columns=["n"], filesystem=s3)
assert one.num_rows == 1_000_000
s3.move(f"{bucket}/arrow/one.parquet", f"{bucket}/arrow/moved +.parquet")
assert s3.get_file_info(f"{bucket}/arrow/moved +.parquet").is_file
s3.delete_dir(f"{bucket}/arrow")
assert not s3.get_file_info(f"{bucket}/arrow/one").is_file
"""

# Its own S3 client (httpfs): multipart uploads, ranges, lists by glob, HEAD before each read.
DUCKDB_PROGRAM = """
import os, pathlib, sys
from urllib.parse import urlsplit
import duckdb, duckdb_ext
[bucket] = sys.argv[1:]
url = urlsplit(os.environ["AWS_ENDPOINT_URL"])
[extension] = pathlib.Path(next(iter(duckdb_ext.__path__))).rglob("httpfs.duckdb_extension")
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
if "SSL_CERT_FILE" in os.environ:
    db.execute(f"SET ca_cert_file = '{os.environ['SSL_CERT_FILE']}'")
    db.execute("SET enable_server_cert_verification = true")
key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
db.execute(
    f"CREATE SECRET (TYPE s3, URL_STYLE 'path', REGION 'us-east-1', ENDPOINT '{url.netloc}', "
    f"KEY_ID '{key}', SECRET '{secret}', USE_SSL {url.scheme == 'https'})"
)
there = f"s3://{bucket}/duck-{url.scheme}"
rows = "SELECT n, n % 2 AS part, md5(n::VARCHAR) AS text FROM range(400_000) AS numbers(n)"
db.execute(f"COPY ({rows}) TO '{there}/one.parquet' (FORMAT parquet)")
db.execute(f"COPY ({rows}) TO '{there}/parts' (FORMAT parquet, PARTITION_BY part)")
some = db.execute(f"SELECT count(*), sum(n) FROM '{there}/one.parquet' WHERE n < 1000").fetchone()
assert some == (1000, 499500), some
half = db.execute(f"SELECT count(*) FROM '{there}/parts/*/*.parquet' WHERE part = 1").fetchone()
assert half == (200_000,), half
db.execute(f"COPY (SELECT 1 AS one) TO '{there}/a +.csv'")
assert db.execute(f"SELECT one FROM '{there}/a +.csv'").fetchone() == (1,)
"""


@CLIENT_FRONTS
def test_s3fs_works_as_a_file_system(front: Gateway, source: Path, tmp_path: Path) -> None:
    check_program(front, S3FS.program(), S3FS_PROGRAM, source, tmp_path)


@CLIENT_FRONTS
def test_minio_py_streams_signed_chunks(front: Gateway, source: Path, tmp_path: Path) -> None:
    check_program(front, MINIO_PY.program(), MINIO_PROGRAM, source, tmp_path)


@CLIENT_FRONTS
def test_pyarrow_writes_and_reads_tables(front: Gateway, source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    check_program(front, PYARROW.program(), PYARROW_PROGRAM, source, tmp_path)


@CLIENT_FRONTS
def test_duckdb_writes_and_reads_tables_with_its_own_client(front: Gateway, tmp_path: Path) -> None:
    environment = client_environment(front.endpoint, front.key, ca=front.ca)
    python = DUCKDB.program()
    run_client(python, "-c", DUCKDB_PROGRAM, BUCKET, environment=environment, directory=tmp_path)


def check_program(
    gateway: Gateway, python: Path, program: str, source: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    environment = client_environment(gateway.endpoint, gateway.key, ca=gateway.ca)
    arguments = ("-c", program, str(source), str(copy), BUCKET)
    run_client(python, *arguments, environment=environment, directory=tmp_path)
    assert contents(copy) == contents(source)
