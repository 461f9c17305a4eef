"""A gateway that boots from a snapshot on disk, as after a restart without an operator."""

from __future__ import annotations

import asyncio

from bench.control.programs import program
from bench.control.snapshots import held_config
from bench.targets import Signer, Surroundings, Target, free_port
from bucketroute_dataplane.shell.config_store import save_config


def booted(name: str, around: Surroundings, *options: str, routes: int) -> Target:
    """It never finds its operator. The last route is the load generator's bucket; `options` are
    more of the program's."""
    directory = around.directory / name.replace(" ", "-")
    directory.mkdir()
    asyncio.run(
        save_config(
            directory / "snapshot.ndjson.gz", held_config(routes, stub_port=around.stub_port)
        )
    )
    for file in ("ca.crt", "token"):
        (directory / file).write_text("none")
    port, admin_port = free_port(), free_port()
    argv = (
        *(program("bucketroute-dataplane"), "--listen", f"127.0.0.1:{port}"),
        *("--admin-listen", f"127.0.0.1:{admin_port}", "--config-url", "https://localhost:1"),
        *("--config-ca", str(directory / "ca.crt")),
        *("--config-token-file", str(directory / "token")),
        *("--state-dir", str(directory), "--log-level", "ERROR", *options),
    )
    return Target(
        name=name,
        argv=argv,
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
        ready_port=admin_port,
    )
