"""What `serve` keeps between runs: the key that seals list tokens."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from bucketroute_snapshot import Secret

KEY_BYTES = 32


def state_directory() -> Path:
    """`$XDG_STATE_HOME/bucketroute`, by default below ~/.local/state (XDG Base Directory)."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(root) / "bucketroute"


def sealing_key() -> Secret:
    """The key of earlier runs, so that a listing may go on after a restart; made when missing."""
    path = state_directory() / "sealing-key"
    try:
        text = path.read_text().strip()
        if len(base64.b64decode(text, validate=True)) == KEY_BYTES:
            return Secret(text)
    except (OSError, ValueError):
        pass
    text = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError:  # a read-only home: the key lives as long as the process
        pass
    return Secret(text)
