"""Runs with the gateway's own token, as a faulty or taken data plane would: what it can reach.

Exchanges the token with the session POLICY of a route and without one, and prints how each tries to
read and write under OWN, the prefix of that route, and OTHERS, another tenant's.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = "http://minio.minio.svc.cluster.local:9000"
BUCKET = os.environ["BUCKET"]


def client(policy: dict[str, str]) -> Any:
    sts = boto3.client("sts", endpoint_url=ENDPOINT, config=Config(signature_version=UNSIGNED))
    found = sts.assume_role_with_web_identity(
        RoleArn=os.environ["BACKEND_ROLE_ARN"],
        RoleSessionName="team-a.0123456789ab",
        WebIdentityToken=Path(os.environ["TOKEN_FILE"]).read_text(),
        **policy,
    )["Credentials"]
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )


def tries(s3: Any, prefix: str) -> list[str]:
    calls: list[Callable[[], object]] = [
        lambda: s3.put_object(Bucket=BUCKET, Key=f"{prefix}beyond", Body=b"x"),
        lambda: s3.get_object(Bucket=BUCKET, Key=f"{prefix}beyond"),
        lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix),
    ]
    results = []
    for call in calls:
        try:
            call()
            results.append("done")
        except ClientError as exc:
            results.append(exc.response["Error"]["Code"])
    return results


def main() -> None:
    found = {}
    for name, policy in (("with", {"Policy": os.environ["POLICY"]}), ("without", {})):
        s3 = client(policy)
        found[name] = {each: tries(s3, os.environ[each]) for each in ("OWN", "OTHERS")}
    print(json.dumps(found))


main()
