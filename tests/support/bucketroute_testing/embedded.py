"""The embedded backend: moto's server as a subprocess, S3 and STS on one port.

moto accepts any signature, any token and a wrong SHA-256: it proves nothing about signing. It takes
the keys that MinIO refuses, and it starts where there is no MinIO.
"""

import sys
from pathlib import Path

from bucketroute_testing.processes import ChildProcess, accepts_connections, free_port

ROLE_ARN = "arn:aws:iam::123456789012:role/bucketroute-test"


class EmbeddedBackend(ChildProcess):
    """A running moto server."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        super().__init__(command, log=directory / "moto.log")
        self.wait_started(lambda: accepts_connections(self.port), what="moto listens")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"
