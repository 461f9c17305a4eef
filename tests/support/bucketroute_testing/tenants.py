"""The gateway that the tests on MinIO share: routes of two tenants, a public folder, versions.

Tenant A is the namespace `team-a` with the writer and the bucket `data` of every gateway, and with
a bucket that keeps versions. Tenant B is the namespace `team-b`, whose route maps to the same
backend bucket under another prefix: only the gateway keeps the two apart.
"""

from bucketroute_testing.gateway import BACKEND_BUCKET, BACKEND_NAME, GatewayOptions, random_key
from bucketroute_testing.manifests import (
    AccessRule,
    Manifest,
    RouteBackend,
    WebIdentity,
    access_key_secret,
    bucket_backend,
    bucket_route,
)
from bucketroute_testing.minio import Minio

VERSIONED = "versioned"
BACKEND_VERSIONED = "acme-backend-versions"
PUBLIC = "public/"
# May read and list tenant A's buckets, but no version and no write.
READER = random_key()
TENANT_B = "team-b"
TENANT_B_BUCKET = "other"
TENANT_B_PREFIX = "tenants/two/"
TENANT_B_KEY = random_key()


def tenant_options(minio: Minio) -> GatewayOptions:
    """What that gateway has beside the route `data`."""
    reader = AccessRule(access_keys=["reader"], permissions=["Read", "List"])
    anyone = AccessRule(is_anonymous=True, permissions=["Read", "List"], prefixes=[PUBLIC])
    return GatewayOptions(access=[reader, anyone], manifests=_manifests(minio, reader))


def _manifests(minio: Minio, reader: AccessRule) -> tuple[Manifest, ...]:
    versioned = RouteBackend(ref=BACKEND_NAME, bucket=BACKEND_VERSIONED, prefix="v/")
    other = RouteBackend(ref="store-b", bucket=BACKEND_BUCKET, prefix=TENANT_B_PREFIX)
    identity = WebIdentity(role_arn=minio.role_arn)
    writer = AccessRule(access_keys=["writer"])
    return (
        access_key_secret("reader", READER),
        bucket_route(VERSIONED, versioned, [writer, reader]),
        access_key_secret("writer-b", TENANT_B_KEY, namespace=TENANT_B),
        bucket_backend("store-b", minio.endpoint, identity, namespace=TENANT_B, profile="MinIO"),
        bucket_route(
            TENANT_B_BUCKET, other, [AccessRule(access_keys=["writer-b"])], namespace=TENANT_B
        ),
    )
