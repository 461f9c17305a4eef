"""The projected token's file. kubelet replaces it, so it is read at every exchange.

Read on the event loop: it is at most 64 KiB on a tmpfs, once an exchange.
"""

from __future__ import annotations

from pathlib import Path

from bucketroute_dataplane.core.web_identity_token import (
    WebIdentityToken,
    WebIdentityTokenError,
    parse_web_identity_token,
)

# A projected token is about 1 KiB; kubelet's own bound on a token is far below this.
MAX_TOKEN_BYTES = 64 * 1024


class TokenFile:
    """Reads a web identity token from a path that may be replaced, or not be there yet."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> WebIdentityToken:
        """Raises: WebIdentityTokenError that names the file and what is wrong with it."""
        if self._path is None:
            raise WebIdentityTokenError("no web identity token file is configured")
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_TOKEN_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise WebIdentityTokenError(
                f"the web identity token file {self._path} cannot be read: {reason}"
            ) from error
        if len(content) > MAX_TOKEN_BYTES:
            raise WebIdentityTokenError(
                f"the web identity token file {self._path} is larger than {MAX_TOKEN_BYTES} bytes"
            )
        try:
            # Latin-1 reads any byte; what is not ASCII is no token and is refused there.
            return parse_web_identity_token(content.decode("latin-1"))
        except WebIdentityTokenError as error:
            raise WebIdentityTokenError(f"{error} ({self._path})") from None
