"""Key pairs out of Secrets: backend credentials and callers' access keys.

Messages name keys of a Secret, never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bucketroute_operator.core.class_policy import Refusal
from bucketroute_operator.core.findings import Reason
from bucketroute_operator.core.objects import Key, ObjectSet
from bucketroute_operator.core.resources import ACCESS_KEY_SECRET_TYPE, SecretObject
from bucketroute_snapshot import AccessKeySecret, Secret, StaticSecret

_ACCESS_KEY_ID: Final = "accessKeyID"
_SECRET_ACCESS_KEY: Final = "secretAccessKey"  # noqa: S105  # the name of a key
_SESSION_TOKEN: Final = "sessionToken"  # noqa: S105  # the name of a key
# A credential scope is split at "/", so an ID cannot hold one.
_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_.=+@-]{3,128}")
_MIN_SECRET_LENGTH: Final = 8


def static_secret(
    objects: ObjectSet, namespace: str, name: str, *, field: str
) -> StaticSecret | Refusal:
    """The backend credentials in a Secret, or why there are none."""
    found = objects.secrets.get((namespace, name))
    # Routes of other namespaces see this message, so it does not name the Secret.
    pair = _key_pair(found, "The BucketBackend's Secret", field)
    if isinstance(pair, Refusal):
        return pair
    values: Mapping[str, Secret] = {} if found is None else found.values
    return StaticSecret(
        namespace=namespace,
        name=name,
        access_key_id=pair[0],
        secret_access_key=pair[1],
        session_token=values.get(_SESSION_TOKEN),
    )


def access_key_secrets(
    objects: ObjectSet, wanted: Iterable[Key]
) -> dict[Key, AccessKeySecret | Refusal]:
    """Each wanted access key, or why its holder cannot log in.

    Two Secrets with one access key ID would make callers ambiguous: the older Secret keeps it.
    """
    keys: dict[Key, AccessKeySecret | Refusal] = {}
    taken: set[str] = set()
    for key in sorted(set(wanted), key=lambda key: _age(objects, key)):
        secret = _access_key_secret(objects, key)
        if isinstance(secret, AccessKeySecret) and secret.access_key_id in taken:
            secret = _invalid(f"Secret {key[1]}", "has an access key ID that is in use already", "")
        if isinstance(secret, AccessKeySecret):
            taken.add(secret.access_key_id)
        keys[key] = secret
    return keys


def _age(objects: ObjectSet, key: Key) -> tuple[str, Key]:
    found = objects.secrets.get(key)
    return ("" if found is None else found.metadata.created_at, key)


def _access_key_secret(objects: ObjectSet, key: Key) -> AccessKeySecret | Refusal:
    namespace, name = key
    label = f"Secret {name}"
    found = objects.secrets.get(key)
    if found is not None and found.type != ACCESS_KEY_SECRET_TYPE:
        return _invalid(label, f"must have the type {ACCESS_KEY_SECRET_TYPE}", "")
    pair = _key_pair(found, label, "")
    if isinstance(pair, Refusal):
        return pair
    if len(pair[1].reveal()) < _MIN_SECRET_LENGTH:
        message = f"must have at least {_MIN_SECRET_LENGTH} characters in {_SECRET_ACCESS_KEY}"
        return _invalid(label, message, "")
    return AccessKeySecret(
        namespace=namespace, name=name, access_key_id=pair[0], secret_access_key=pair[1]
    )


def _key_pair(found: SecretObject | None, label: str, field: str) -> tuple[str, Secret] | Refusal:
    if found is None:
        message = f"{label} was not found."
        return Refusal(reason=Reason.SECRET_NOT_FOUND, field=field, message=message)
    access_key_id = found.values.get(_ACCESS_KEY_ID)
    secret_access_key = found.values.get(_SECRET_ACCESS_KEY)
    if not access_key_id or not secret_access_key:
        message = f"must have the keys {_ACCESS_KEY_ID} and {_SECRET_ACCESS_KEY}, as text"
        return _invalid(label, message, field)
    if _ID_PATTERN.fullmatch(access_key_id.reveal()) is None:
        message = f"must have an {_ACCESS_KEY_ID} of 3 to 128 letters, digits and _.=+@-"
        return _invalid(label, message, field)
    if not secret_access_key.reveal().isprintable():
        message = f"must have no control characters in {_SECRET_ACCESS_KEY} (a final newline?)"
        return _invalid(label, message, field)
    return access_key_id.reveal(), secret_access_key


def _invalid(label: str, what: str, field: str) -> Refusal:
    return Refusal(reason=Reason.SECRET_INVALID, field=field, message=f"{label} {what}.")
