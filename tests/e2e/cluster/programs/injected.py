"""Runs in a workload's pod: unmodified boto3, with no endpoint, no credential and no region in it.

Uploads SIZE random bytes to BUCKET/KEY, downloads them again, and prints who it was taken for.
"""

import hashlib
import io
import json
import os

import boto3


def main() -> None:
    bucket, key = os.environ["BUCKET"], os.environ["KEY"]
    body = os.urandom(int(os.environ.get("SIZE", "4096")))
    client = boto3.client("s3")
    client.upload_fileobj(io.BytesIO(body), bucket, key)
    back = io.BytesIO()
    client.download_fileobj(bucket, key, back)
    answer = {
        "sha256": hashlib.sha256(body).hexdigest(),
        "is_same": back.getvalue() == body,
        "aws": sorted(name for name in os.environ if name.startswith("AWS_")),
    }
    if "AWS_ENDPOINT_URL_STS" in os.environ:
        answer["arn"] = boto3.client("sts").get_caller_identity()["Arn"]
    print(json.dumps(answer))


main()
