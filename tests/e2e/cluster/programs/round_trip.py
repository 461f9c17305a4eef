"""Runs in a workload's pod: unmodified boto3, with nothing but what is in the environment.

Uploads SIZE random bytes to BUCKET/KEY, large ones in parts of 8 MiB, downloads them again and
prints what went both ways; or the error that it got.
"""

import hashlib
import io
import json
import os

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1024 * 1024


def main() -> None:
    bucket, key = os.environ["BUCKET"], os.environ["KEY"]
    body = os.urandom(int(os.environ.get("SIZE", "4096")))
    client = boto3.client("s3")
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=8 * MIB)
    found = io.BytesIO()
    try:
        client.upload_fileobj(io.BytesIO(body), bucket, key, Config=parts)
        client.download_fileobj(bucket, key, found, Config=parts)
    except ClientError as exc:
        status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
        print(json.dumps({"error": {"status": status, **exc.response["Error"]}}))
        return
    assert found.getvalue() == body
    print(json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}))


main()
