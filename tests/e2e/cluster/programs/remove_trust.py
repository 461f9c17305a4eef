"""Runs beside MinIO as its root user: removes the role's policy, so that STS refuses everybody."""

import json
import os

from minio import MinioAdmin
from minio.credentials import StaticProvider


def main() -> None:
    root = StaticProvider(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    endpoint = "minio.minio.svc.cluster.local:9000"
    MinioAdmin(endpoint=endpoint, credentials=root, secure=False).policy_remove("bucketroute")
    print(json.dumps({}))


main()
