"""Specs that together hold every field of the CRDs, and the smallest ones that are valid."""

from __future__ import annotations

from typing import Any

# One object per kind and variant; together they must hold every field of the CRD.
SAMPLES: dict[str, list[dict[str, Any]]] = {
    "BucketRoute": [
        {
            "className": "default",
            "bucket": "team-a-events",
            "state": "Active",
            "backend": {
                "bucket": "acme",
                "prefix": "a/",
                "endpoint": "https://s3.example.com",
                "region": "eu-west-1",
                "roleARN": "arn:aws:iam::111122223333:role/x",
                "signing": "SigV4",
                "profile": "MinIO",
            },
            "access": [
                {
                    "serviceAccounts": ["app"],
                    "permissions": ["Read"],
                    "actions": ["s3:PutObject"],
                    "prefixes": ["in/"],
                },
                {
                    "subjects": [
                        {"kind": "ServiceAccount", "name": "app", "namespace": "team-b"},
                        {"kind": "OIDC", "issuer": "https://id.example.com", "subject": "u:*"},
                    ],
                    "permissions": ["Read"],
                },
            ],
            "cors": [
                {
                    "allowedOrigins": ["https://*.example.com"],
                    "allowedMethods": ["GET"],
                    "allowedHeaders": ["*"],
                    "exposeHeaders": ["ETag"],
                    "maxAgeSeconds": 60,
                }
            ],
            "limits": {
                "maxConcurrentRequests": 1,
                "requestsPerSecond": 1,
                "maxObjectSize": "5Gi",
            },
            "timeouts": {"connect": "3s", "idle": "60s"},
        },
        {"backend": {"bucket": "acme", "ref": {"name": "lake", "namespace": "platform"}}},
    ],
    "BucketBackend": [
        {
            "endpoint": "https://s3.example.com",
            "region": "eu-west-1",
            "addressingStyle": "Path",
            "profile": "Ceph",
            "auth": {
                "type": "WebIdentity",
                "webIdentity": {
                    "roleARN": "arn:aws:iam::111122223333:role/x",
                    "durationSeconds": 900,
                },
            },
            "tls": {"caConfigMapName": "ca"},
            "allowedRoutes": {
                "namespaces": {
                    "from": "Selector",
                    "selector": {
                        "matchLabels": {"a": "b"},
                        "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                    },
                },
                "buckets": ["acme-*"],
                "requiredPrefix": "${namespace}/",
            },
        },
        {"region": "x", "auth": {"type": "Static", "staticCredentials": {"secretName": "s"}}},
    ],
    "BucketRouteClass": [
        {
            "controllerName": "bucketroute.io/operator",
            "dataPlane": {
                "mode": "Shared",
                "serviceAccountRef": {"namespace": "system", "name": "dataplane"},
                "endpoint": "http://10.0.0.1",
            },
            "domains": ["s3.example.com"],
            "region": "eu-west-1",
            "allowedNamespaces": {
                "from": "Selector",
                "selector": {
                    "matchLabels": {"a": "b"},
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                },
            },
            "bucketNamePattern": "${namespace}.*",
            "endpoints": {
                "allowed": ["*"],
                "insecureHTTP": "Allow",
                "privateNetworks": "Allow",
                "inline": "Deny",
            },
            "identity": {
                "audience": "sts.amazonaws.com",
                "stsEndpoint": "https://sts.${region}.amazonaws.com",
                "allowedRoleARNs": ["*"],
                "sessionPolicy": "Disabled",
            },
            "clientAudience": "bucketroute",
            "clientIssuers": [{"issuer": "https://id.example.com", "audiences": ["x"]}],
            "limits": {"maxRoutesPerNamespace": 5},
            "signatureDiagnostics": "Enabled",
        }
    ],
}

MINIMAL: dict[str, dict[str, Any]] = {
    "BucketRoute": {"backend": {"bucket": "acme", "ref": {"name": "lake"}}},
    "BucketBackend": {
        "region": "eu-west-1",
        "auth": {"type": "WebIdentity", "webIdentity": {"roleARN": "arn:aws:iam::1:role/x"}},
    },
    "BucketRouteClass": {"dataPlane": {"mode": "Sidecar"}},
}
