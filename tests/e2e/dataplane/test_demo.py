"""`bucketroute demo` as somebody runs it who has just installed the package."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bucketroute_cli.__main__ import main
from bucketroute_testing.processes import ChildProcess, wait_until

DEADLINE_SECONDS = 120
STEPS = ("upload", "download", "list", "copy", "batch delete", "refuse", "look behind", "exchange")


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("bucketroute")), "demo", *arguments]


def test_once_does_every_step_shows_the_real_names_and_leaves_nothing(tmp_path: Path) -> None:
    # A user's own AWS settings, proxies and home must not lead the demo anywhere.
    hostile = {
        "AWS_PROFILE": "missing",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        command("--once", "--listen", "127.0.0.1:0"),
        env={**os.environ, **hostile},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in STEPS:
        assert re.search(rf"│ {step} +│ .* │ ok  ", done.stdout), (step, done.stdout)
    assert "s3://acme-objects-eu1/team-a/demo/backups/disk.img" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_it_stays_up_until_interrupted_and_takes_its_children_along(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = ChildProcess(
        command("--listen", "127.0.0.1:0"), log=tmp_path / "demo.log", environment=environment
    )
    try:
        demo.wait_started(lambda: "Ctrl-C" in demo.log_text(), what="the demo invites to try")
        endpoint = re.search(r"aws --endpoint-url http://127\.0\.0\.1:(\d+) ", demo.log_text())
        assert endpoint is not None
        port = int(endpoint[1])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    finally:
        status = demo.stop(signal.SIGINT)
    assert status == 0, demo.log_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_an_interrupted_tour_ends_its_children(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = ChildProcess(
        command("--listen", "127.0.0.1:0"), log=tmp_path / "demo.log", environment=environment
    )
    try:
        wait_until(
            lambda: any(tmp_path.glob("bucketroute-demo-*/*.ready")),
            deadline_seconds=DEADLINE_SECONDS,
            what="a child serves",
        )
    finally:
        status = demo.stop(signal.SIGTERM)
    assert status == 130, demo.log_text()
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]


def test_a_port_that_is_taken_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["demo", "--listen", address]) == 2
    message = capsys.readouterr().err
    assert f"cannot listen on {address}" in message
    assert "--listen 127.0.0.1:9001" in message


def test_without_the_extra_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["demo", "--listen", "127.0.0.1:0"]) == 2
    assert "pip install 'bucketroute[demo]'" in capsys.readouterr().err
