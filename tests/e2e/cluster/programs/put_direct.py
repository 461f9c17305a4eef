"""Runs in a workload's pod: tries MinIO itself with the workload's own token of its audience."""

import json
import os
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = "http://minio.minio.svc.cluster.local:9000"


def main() -> None:
    sts = boto3.client("sts", endpoint_url=ENDPOINT, config=Config(signature_version=UNSIGNED))
    found = sts.assume_role_with_web_identity(
        RoleArn=os.environ["BACKEND_ROLE_ARN"],
        RoleSessionName="direct",
        WebIdentityToken=Path(os.environ["TOKEN_FILE"]).read_text(),
    )["Credentials"]
    client = boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )
    try:
        client.put_object(Bucket=os.environ["BUCKET"], Key="stolen", Body=b"x")
    except ClientError as exc:
        print(json.dumps({"error": exc.response["Error"]}))
        return
    print(json.dumps({"error": None}))


main()
