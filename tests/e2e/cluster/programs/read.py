"""Runs in a workload's pod: unmodified boto3; reads BUCKET/KEY and prints what came."""

import hashlib
import json
import os

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    try:
        found = boto3.client("s3").get_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"])
        print(json.dumps({"sha256": hashlib.sha256(found["Body"].read()).hexdigest()}))
    except ClientError as exc:
        status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
        print(json.dumps({"error": {"status": status, **exc.response["Error"]}}))


main()
