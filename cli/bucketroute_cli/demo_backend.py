"""The demo's backend: moto's S3 and STS in a process of its own.

`python -m bucketroute_cli.demo_backend FILE` listens on a free loopback port, writes HOST:PORT to
FILE and serves until it gets SIGTERM or its standard input ends, so it never outlives the demo.
moto accepts any signature and any token; whether BucketRoute's are right is shown by the tests
against a real MinIO.
"""

from __future__ import annotations

import sys
from pathlib import Path

from moto.moto_server.threaded_moto_server import ThreadedMotoServer


def main(ready_file: Path) -> None:
    """Serves until standard input ends."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    ready_file.write_text(f"{host}:{port}\n")
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
