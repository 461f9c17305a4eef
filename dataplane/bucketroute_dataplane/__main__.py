"""`bucketroute-dataplane`: the pod's process, and its probes `ready` and `live`.

kubelet runs a probe as a new process in the container's CPU share every few seconds, so the probes
import nothing but sockets: the program itself takes half a second to import.
"""

import os
import socket
import sys

PROBE_SECONDS = 4.0
DEFAULT_ADMIN_LISTEN = "127.0.0.1:9090"
_PROBES = ("ready", "live")
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # looked up


def main() -> None:
    """Exit codes: 0 stopped by a signal or probe passed, 1 failed, 2 wrong settings or usage."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in _PROBES:
        sys.exit(_probe(*arguments[:2]))
    from bucketroute_dataplane.settings import SettingsError, load_settings

    try:
        settings = load_settings(arguments, os.environ)
    except SettingsError as exc:
        print(f"bucketroute-dataplane: {exc}", file=sys.stderr)
        sys.exit(2)
    if settings.dataplane.workers > 1:
        from bucketroute_dataplane.shell.supervisor import run_supervisor

        sys.exit(run_supervisor(settings, arguments))
    from bucketroute_dataplane.shell.pod import run

    sys.exit(run(settings))


def _probe(name: str, address: str = "") -> int:
    """Asks the process in this pod; `address` is HOST:PORT where it is not in the environment."""
    address = address or os.environ.get("BUCKETROUTE_ADMIN_LISTEN") or DEFAULT_ADMIN_LISTEN
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        target = (_ANY_ADDRESS.get(host, host), int(port))
        with socket.create_connection(target, timeout=PROBE_SECONDS) as connection:
            request = f"GET /-/{name} HTTP/1.0\r\nhost: probe\r\n\r\n"
            connection.sendall(request.encode())
            status = connection.recv(64).split(b" ", 2)[1:2]
    except (OSError, ValueError) as exc:
        print(f"{name}: {address}: {exc}", file=sys.stderr)
        return 1
    return 0 if status == [b"200"] else 1


if __name__ == "__main__":
    main()
