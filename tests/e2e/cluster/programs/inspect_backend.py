"""Runs beside MinIO as its root user: prints key → SHA-256, size and ETag of what BUCKET holds."""

import hashlib
import json
import os

import boto3


def main() -> None:
    client = boto3.client(
        "s3",
        endpoint_url="http://minio.minio.svc.cluster.local:9000",
        region_name="us-east-1",
        aws_access_key_id=os.environ["MINIO_ROOT_USER"],
        aws_secret_access_key=os.environ["MINIO_ROOT_PASSWORD"],
    )
    bucket = os.environ["BUCKET"]
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            answer = client.get_object(Bucket=bucket, Key=item["Key"])
            digest = hashlib.sha256()
            for chunk in answer["Body"].iter_chunks(1024 * 1024):
                digest.update(chunk)
            found[item["Key"]] = {
                "sha256": digest.hexdigest(),
                "size": answer["ContentLength"],
                "etag": answer["ETag"],
            }
    print(json.dumps(found))


main()
