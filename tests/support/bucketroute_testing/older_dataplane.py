"""A data plane of the snapshot schema before today's, as a process of its own.

`tests/e2e/tools/older-dataplane.sh` builds it from a commit of this repository.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx

from bucketroute_testing.processes import ChildProcess, free_port

_SCRIPT = Path(__file__).parents[2] / "e2e" / "tools" / "older-dataplane.sh"


def older_program() -> str:
    """Its path. Outside of a cluster it is built if need be."""
    done = subprocess.run([_SCRIPT], check=True, capture_output=True, text=True, timeout=300)
    return done.stdout.strip()


class OlderDataplane:
    """`with OlderDataplane(...) as older:`; what it holds is in `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        class_name: str,
        config_url: str,
        ca_file: Path,
        token_file: Path,
        boot_directory: Path | None = None,
    ) -> None:
        self._port, self._admin_port = free_port(), free_port()
        state = directory / "state"
        state.mkdir(parents=True)
        environment = {
            "PATH": os.environ["PATH"],
            "BUCKETROUTE_LISTEN": f"127.0.0.1:{self._port}",
            "BUCKETROUTE_ADMIN_LISTEN": f"127.0.0.1:{self._admin_port}",
            "BUCKETROUTE_CLASS": class_name,
            "BUCKETROUTE_CONFIG_URL": config_url,
            "BUCKETROUTE_CONFIG_CA": str(ca_file),
            "BUCKETROUTE_CONFIG_TOKEN_FILE": str(token_file),
            "BUCKETROUTE_STATE_DIR": str(state),
            "BUCKETROUTE_DRAIN_SECONDS": "0",
        }
        if boot_directory is not None:
            environment["BUCKETROUTE_BOOT_DIR"] = str(boot_directory)
        self._child = ChildProcess(
            [older_program()], log=directory / "older.log", environment=environment
        )

    def __enter__(self) -> OlderDataplane:
        self._child.wait_started(self.is_ready, what="the older data plane is ready")
        return self

    def __exit__(self, *exc: object) -> None:
        self._child.stop()

    def is_ready(self) -> bool:
        try:
            return self._get(self._admin_port, "/-/ready").is_success
        except httpx.HTTPError:
            return False

    def serves(self, bucket: str) -> bool:
        """Whether anybody may list the bucket: HeadBucket is answered from the snapshot."""
        answer = httpx.head(f"http://127.0.0.1:{self._port}/{bucket}", timeout=10, trust_env=False)
        return answer.status_code == httpx.codes.OK

    def log_text(self) -> str:
        return self._child.log_text()

    def _get(self, port: int, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5, trust_env=False)
