"""The program itself: it listens once it has a certificate, and ends when it is told to."""

import re
import sys
from pathlib import Path

import httpx

from bucketroute_testing.admission import raw_pod, review
from bucketroute_testing.injector_mounts import Mounted
from bucketroute_testing.processes import ChildProcess, wait_until

PROGRAM = [sys.executable, "-m", "bucketroute_operator.injector"]
SECONDS = 30.0


def test_it_serves_from_its_first_certificate_on_until_sigterm(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path)
    mounted.write_classes("default")
    child = ChildProcess([*PROGRAM, *mounted.arguments], log=tmp_path / "log")
    try:
        child.wait_started(lambda: "no new certificate" in child.log_text(), what="waiting")
        assert "webhook listens" not in child.log_text()
        trusted = mounted.write_certificate().client_context()
        wait_until(
            lambda: "webhook listens" in child.log_text(), deadline_seconds=SECONDS, what="serving"
        )
        (port,) = re.findall(r"webhook listens host=\S+ port=(\d+)", child.log_text())
        url = f"https://127.0.0.1:{port}/inject"
        answer = httpx.post(url, json=review(raw_pod("env")), verify=trusted, trust_env=False)
        assert answer.json()["response"]["patchType"] == "JSONPatch"
    finally:
        status = child.stop()
    assert status == 0


def test_wrong_settings_are_exit_status_2(tmp_path: Path) -> None:
    child = ChildProcess([*PROGRAM, "--listen", "nowhere"], log=tmp_path / "log")
    wait_until(lambda: child.exit_status is not None, deadline_seconds=SECONDS, what="its end")
    assert child.stop() == 2
    assert "--listen" in child.log_text()


def test_an_address_that_cannot_be_had_is_exit_status_1(tmp_path: Path) -> None:
    child = ChildProcess([*PROGRAM, "--admin-listen", "192.0.2.1:9090"], log=tmp_path / "log")
    wait_until(lambda: child.exit_status is not None, deadline_seconds=SECONDS, what="its end")
    assert child.stop() == 1
    assert "cannot listen" in child.log_text()
