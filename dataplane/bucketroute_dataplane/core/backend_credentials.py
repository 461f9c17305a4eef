"""What a request to a backend is signed with.

Where credentials come from is elsewhere: `sts.py` (exchange), `credential_state.py` (their life).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bucketroute_snapshot import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Keys of a backend.

    `session_token` is None for long-lived ones. `expires_at` is in epoch seconds; None means that
    they do not expire.
    """

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    expires_at: float | None = None


class Unsigned(Enum):
    """The one value that says: this backend is asked without a signature, on purpose.

    It is no None, so that credentials which are late can never be taken for a public bucket.
    """

    UNSIGNED = "unsigned"


UNSIGNED = Unsigned.UNSIGNED
