"""A backend's names, and texts that hold them: what no answer may show a client."""

from hypothesis import strategies as st

from bucketroute_dataplane.core.names import BucketNames

NAMES = BucketNames(
    virtual_bucket="data",
    backend_bucket="acme-prod-7",
    prefix="tenants/red/",
    backend_host="s3.backend.example:9443",
)

TEXT = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Z")), max_size=20)
SECRET = st.sampled_from(
    [
        "acme-prod-7",
        "Acme-Prod-7",
        "tenants/red/",
        "tenants%2Fred%2Fkey",
        "s3.backend.example",
        "https://acme-prod-7.s3.backend.example:9443/tenants/red/k",
    ]
)
TAG = st.sampled_from(
    (
        "ArgumentValue",
        "Bucket",
        "BucketName",
        "CanonicalRequest",
        "Condition",
        "Endpoint",
        "HostId",
        "Key",
        "Location",
        "Message",
        "Method",
        "Region",
        "RequestId",
        "Resource",
        "StringToSign",
        "Unknown",
    )
)


def assert_no_backend_name(document: bytes) -> None:
    shown = document.lower()
    for name in (b"acme-prod-7", b"tenants/red", b"tenants%2fred", b"s3.backend.example"):
        assert name not in shown
