"""Standard output that nobody reads: the log is lost, the service is not."""

import http.client
import re
import signal
import subprocess
from pathlib import Path

from bucketroute_testing.processes import ServeOptions, wait_until

MANIFEST = """
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {name: data, namespace: team-a}
spec:
  backend: {bucket: acme, endpoint: "http://127.0.0.1:1", region: us-east-1}
  access:
  - subjects: [{kind: Anonymous}]
    permissions: [Read]
"""
# Each makes a line of more than a kilobyte: several pipes full, and more than is kept.
REQUESTS = 6000
KEY = "k" * 1000


def test_requests_are_answered_though_nobody_reads_the_log(tmp_path: Path) -> None:
    manifest, ready = tmp_path / "route.yaml", tmp_path / "ready"
    manifest.write_text(MANIFEST)
    command = ServeOptions(manifests=(manifest,)).arguments(ready)
    with (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    try:
        wait_until(
            lambda: ready.is_file() and ready.read_text() != "",
            deadline_seconds=20,
            what="bucketroute serve is ready",
        )
        connection = http.client.HTTPConnection(ready.read_text().strip(), timeout=10)
        for _ in range(REQUESTS):
            connection.request("GET", f"/nowhere/{KEY}")
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 0) == (404, True)
        connection.request("GET", "/-/metrics")
        metrics = connection.getresponse().read().decode()
        connection.close()
        dropped = re.search(
            r"^bucketroute_dataplane_access_log_dropped_lines_total (\S+)", metrics, re.M
        )
        assert dropped is not None
        assert 0 < float(dropped[1]) < REQUESTS
        process.send_signal(signal.SIGTERM)
        # It ends although its log hangs.
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()
