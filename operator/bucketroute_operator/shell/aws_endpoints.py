"""AWS's regional S3 endpoints, from botocore's own endpoint data."""

from __future__ import annotations

from functools import cache


@cache
def aws_s3_endpoint(region: str) -> str | None:
    """The S3 endpoint URL of a region of any partition; None where no partition has such a region.

    us-east-1 gives its regional endpoint, not the global one, which answers for other regions too.
    """
    # Imported late: it costs 0.2 s, and manifests without an AWS region never need it.
    import botocore.session
    from botocore.exceptions import UnknownRegionError
    from botocore.regions import EndpointResolver

    resolver = EndpointResolver(botocore.session.Session().get_data("endpoints"))
    try:
        partition = resolver.get_partition_for_region(region)
    except UnknownRegionError:
        return None
    endpoint = resolver.construct_endpoint("s3", region, partition)
    return None if endpoint is None else f"https://{endpoint['hostname']}"
