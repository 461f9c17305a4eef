"""What makes a data plane a pod's own: its key, and whose pod it is.

The key is random, made at the first start, and kept in the pod's private memory: a container that
is restarted takes up the sessions of the one before, whose credentials applications still hold.
Everything that a sidecar seals or demands is derived from it.
"""

from __future__ import annotations

import hmac
import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bucketroute_dataplane.core.errors import BackendUnavailableError
from bucketroute_dataplane.core.identity import Identity
from bucketroute_dataplane.core.identity_token import service_account_of
from bucketroute_dataplane.core.web_identity_token import WebIdentityTokenError
from bucketroute_dataplane.shell.replaced_file import replace_file
from bucketroute_dataplane.shell.tokens import TokenFile
from bucketroute_snapshot import Secret

KEY_BYTES = 32
KEY_FILE = "pod-key"
# Applications run under any user ID; the folder is mounted into none but this pod's containers.
_AUTHORIZATION_MODE = 0o444

_LOGGER = logging.getLogger("bucketroute.dataplane.sidecar")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """`sealing_key` seals sessions and list tokens; `authorization` is what an application must
    show to get credentials. `tokens` is the token that the operator has been shown.
    """

    sealing_key: bytes = field(repr=False)
    authorization: Secret
    tokens: TokenFile = field(compare=False)

    def identity(self) -> Identity:
        """The pod's service account, as its token has it.

        Nothing is verified here: kubelet has put the token there, and the operator had it reviewed
        before it sent the configuration that this pod serves.
        Raises: BackendUnavailableError ServiceUnavailable.
        """
        try:
            subject = self.tokens.read().subject
        except WebIdentityTokenError as error:
            raise BackendUnavailableError("ServiceUnavailable", str(error)) from error
        identity = service_account_of(subject)
        if identity is None:
            detail = "the subject of the pod's token is no service account"
            raise BackendUnavailableError("ServiceUnavailable", detail)
        return identity


def open_sidecar(
    *, state: Path | None, authorization: Path, tokens: TokenFile, random: Callable[[int], bytes]
) -> Sidecar:
    """Takes up the pod's key or makes it, and leaves the token that applications must show.

    `state` is a folder in memory that no other container mounts; None makes a new key at every
    start. Raises: OSError.
    """
    key = random(KEY_BYTES) if state is None else _pod_key(state / KEY_FILE, random)
    token = urlsafe_b64encode(_derived(key, b"authorization")).rstrip(b"=")
    replace_file(authorization, token, mode=_AUTHORIZATION_MODE)
    return Sidecar(
        sealing_key=_derived(key, b"sealing"), authorization=Secret(token.decode()), tokens=tokens
    )


def _pod_key(path: Path, random: Callable[[int], bytes]) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) != KEY_BYTES:
        key = random(KEY_BYTES)
        replace_file(path, key)
        _LOGGER.info("made the pod's key")
    return key


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"bucketroute sidecar " + purpose, "sha256")
