"""Runs in a workload's pod: unmodified boto3, with nothing but AWS_* variables and a token file.

Uploads SIZE random bytes to BUCKET/KEY, large ones in parts of 8 MiB, and prints what it sent.
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
    try:
        client.upload_fileobj(io.BytesIO(body), bucket, key, Config=parts)
        etag = client.head_object(Bucket=bucket, Key=key)["ETag"]
    except ClientError as exc:
        status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
        answer = {"status": status, **exc.response["Error"]}
        print(json.dumps({"error": answer}))
        return
    print(json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "etag": etag}))


main()
