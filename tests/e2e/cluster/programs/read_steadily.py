"""Runs in a pod without any credential: GETs one public object over and over, for SECONDS seconds,
or until there is a file /tmp/stop.

PER_SECOND requests a second over CONNECTIONS connections that are kept; prints how many were sent,
and what every one that was not a 200 with the whole body got. It never tries twice.
"""

import http.client
import json
import os
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

SECONDS = float(os.environ["SECONDS"])
CONNECTIONS = int(os.environ.get("CONNECTIONS", "8"))
INTERVAL = CONNECTIONS / float(os.environ.get("PER_SECOND", "500"))
HOST = urlsplit(os.environ["ENDPOINT"]).netloc
PATH = os.environ["OBJECT"]
SIZE = int(os.environ["SIZE"])
STOP = Path("/tmp/stop")

sent = [0] * CONNECTIONS
failures: list[str] = []


def get(connection: http.client.HTTPConnection) -> str | None:
    """Return what is wrong with the answer."""
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        size = len(answer.read())
    except (OSError, http.client.HTTPException) as exc:
        connection.close()
        return repr(exc)
    return None if (answer.status, size) == (200, SIZE) else f"{answer.status}, {size} bytes"


def work(number: int, end: float) -> None:
    connection = http.client.HTTPConnection(HOST, timeout=10)
    due = time.monotonic()
    while due < end and not STOP.exists():
        time.sleep(max(0.0, due - time.monotonic()))
        failure = get(connection)
        sent[number] += 1
        if failure is not None:
            failures.append(failure)
        due = max(due + INTERVAL, time.monotonic() - 1)


def main() -> None:
    end = time.monotonic() + SECONDS
    threads = [threading.Thread(target=work, args=(n, end)) for n in range(CONNECTIONS)]
    print("begun", file=sys.stderr, flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"sent": sum(sent), "failed": len(failures), "failures": failures[:5]}))


main()
