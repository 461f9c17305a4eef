"""Permissions of the API, and the S3 actions that each stands for.

Source: AWS "Actions, resources, and condition keys for Amazon S3". Uploading in parts is
`s3:PutObject` there; only aborting an upload and listing its parts have actions of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final


class Permission(Enum):
    """What an access rule grants by name."""

    READ = "Read"
    LIST = "List"
    WRITE = "Write"
    DELETE = "Delete"
    READ_VERSION = "ReadVersion"
    DELETE_VERSION = "DeleteVersion"


class Action(Enum):
    """The S3 actions that a rule may name one by one."""

    ABORT_MULTIPART_UPLOAD = "s3:AbortMultipartUpload"
    DELETE_OBJECT = "s3:DeleteObject"
    DELETE_OBJECT_TAGGING = "s3:DeleteObjectTagging"
    DELETE_OBJECT_VERSION = "s3:DeleteObjectVersion"
    GET_OBJECT = "s3:GetObject"
    GET_OBJECT_ATTRIBUTES = "s3:GetObjectAttributes"
    GET_OBJECT_TAGGING = "s3:GetObjectTagging"
    GET_OBJECT_VERSION = "s3:GetObjectVersion"
    GET_OBJECT_VERSION_ATTRIBUTES = "s3:GetObjectVersionAttributes"
    GET_OBJECT_VERSION_TAGGING = "s3:GetObjectVersionTagging"
    LIST_BUCKET = "s3:ListBucket"
    LIST_BUCKET_MULTIPART_UPLOADS = "s3:ListBucketMultipartUploads"
    LIST_BUCKET_VERSIONS = "s3:ListBucketVersions"
    LIST_MULTIPART_UPLOAD_PARTS = "s3:ListMultipartUploadParts"
    PUT_OBJECT = "s3:PutObject"
    PUT_OBJECT_TAGGING = "s3:PutObjectTagging"


ACTIONS_OF: Final[dict[Permission, frozenset[Action]]] = {
    Permission.READ: frozenset(
        {Action.GET_OBJECT, Action.GET_OBJECT_ATTRIBUTES, Action.GET_OBJECT_TAGGING}
    ),
    Permission.LIST: frozenset(
        {Action.LIST_BUCKET, Action.LIST_BUCKET_VERSIONS, Action.LIST_BUCKET_MULTIPART_UPLOADS}
    ),
    Permission.WRITE: frozenset(
        {
            Action.PUT_OBJECT,
            Action.PUT_OBJECT_TAGGING,
            Action.DELETE_OBJECT_TAGGING,
            Action.ABORT_MULTIPART_UPLOAD,
            Action.LIST_MULTIPART_UPLOAD_PARTS,
        }
    ),
    Permission.DELETE: frozenset({Action.DELETE_OBJECT}),
    Permission.READ_VERSION: frozenset(
        {
            Action.GET_OBJECT_VERSION,
            Action.GET_OBJECT_VERSION_ATTRIBUTES,
            Action.GET_OBJECT_VERSION_TAGGING,
        }
    ),
    Permission.DELETE_VERSION: frozenset({Action.DELETE_OBJECT_VERSION}),
}

# What anybody without a credential may be given. Of the permissions Read and List, the data plane
# gives such a caller these actions and no others.
ANONYMOUS_PERMISSIONS: Final = frozenset({Permission.READ, Permission.LIST})
ANONYMOUS_ACTIONS: Final = frozenset({Action.GET_OBJECT, Action.LIST_BUCKET})

# Actions on the bucket itself; all others act on objects.
BUCKET_ACTIONS: Final = ACTIONS_OF[Permission.LIST]


def granted_actions(
    permissions: Iterable[Permission], actions: Iterable[Action]
) -> tuple[str, ...]:
    """The names of all actions that a rule grants, sorted."""
    granted = set(actions).union(*(ACTIONS_OF[permission] for permission in permissions))
    return tuple(sorted(action.value for action in granted))
