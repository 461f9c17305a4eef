"""Set up MinIO for the tests: buckets, the one role policy, and a wait until it knows its role.

    setup.py BUCKET[,BUCKET...] SUBJECT[,SUBJECT...]

Runs in the cluster with the root user's name and password in the environment, which nothing else
has: everyone else, the gateway included, gets in by a token exchange or not at all. The policy
allows everything to the subjects that are named, and nothing to any other token of the cluster.
"""

import os
import sys
import time

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from minio import MinioAdmin
from minio.credentials import StaticProvider

ENDPOINT = "minio.minio.svc.cluster.local:9000"
POLICY = "bucketroute"
ROLE = "arn:minio:iam:::role/MHR2BeH2-q1dHO2yx5U9Mf-tP9Q"  # of the client ID "minio"
OPENID_READY_SECONDS = 60


def role_policy(subjects: list[str]) -> dict[str, object]:
    """Return the policy that lets the tokens of these subjects do everything with S3."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:*"],
                "Resource": ["arn:aws:s3:::*"],
                "Condition": {"StringEquals": {"jwt:sub": subjects}},
            }
        ],
    }


def create_buckets(names: list[str], *, user: str, password: str) -> None:
    """Create the buckets that aren't there yet."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{ENDPOINT}",
        region_name="us-east-1",
        aws_access_key_id=user,
        aws_secret_access_key=password,
    )
    for name in names:
        try:
            client.create_bucket(Bucket=name)
        except client.exceptions.BucketAlreadyOwnedByYou:
            continue


def await_openid() -> None:
    """Wait until MinIO has read the cluster's discovery document.

    It calls itself ready before that, and until then refuses every exchange because it does not
    know the role. This token is refused in any case; what counts is why.
    """
    client = boto3.client(
        "sts",
        endpoint_url=f"http://{ENDPOINT}",
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    deadline = time.monotonic() + OPENID_READY_SECONDS
    while True:
        try:
            client.assume_role_with_web_identity(
                RoleArn=ROLE, RoleSessionName="setup", WebIdentityToken="not-a-token"
            )
        except ClientError as exc:
            if "is not defined" not in str(exc):
                return
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def main() -> None:
    buckets, subjects = (argument.split(",") for argument in sys.argv[1:3])
    user, password = os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
    root = StaticProvider(user, password)
    admin = MinioAdmin(endpoint=ENDPOINT, credentials=root, secure=False)
    admin.policy_add(POLICY, policy=role_policy(subjects))
    create_buckets(buckets, user=user, password=password)
    await_openid()
    print(f"role {ROLE}, buckets {', '.join(buckets)}, for {', '.join(subjects)}")


if __name__ == "__main__":
    main()
