"""`bucketroute-dataplane`, the pod's process, under test: as a gateway or as a pod's sidecar."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bucketroute_testing.processes import ChildProcess
from bucketroute_testing.signing import AccessKey

PROGRAM = str(Path(sys.executable).with_name("bucketroute-dataplane"))
_LISTENING = re.compile(r"listening s3=(\S+) probes=(\S+)\"")
_APPLICATION_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A running data plane and the addresses that it listens on."""

    process: ChildProcess
    s3: str
    probes: str

    @property
    def endpoint(self) -> str:
        return f"http://{self.s3}"

    def probe(self, name: str) -> int:
        """The exit code of the exec probe."""
        return subprocess.run([PROGRAM, name, self.probes], check=False, timeout=10).returncode


@contextmanager
def running_pod(
    folder: Path, *arguments: str, exit_status: int = 0, **settings: str
) -> Iterator[Pod]:
    """`settings` are BUCKETROUTE_ variables. Its log is pod.log; it ends on SIGTERM, if not before,
    and must do so with `exit_status`."""
    environment = {
        "PATH": os.environ["PATH"],
        "BUCKETROUTE_LISTEN": "127.0.0.1:0",
        "BUCKETROUTE_ADMIN_LISTEN": "127.0.0.1:0",
        "BUCKETROUTE_DRAIN_SECONDS": "5",
        **{f"BUCKETROUTE_{name.upper()}": value for name, value in settings.items()},
    }
    process = ChildProcess([PROGRAM, *arguments], log=folder / "pod.log", environment=environment)
    before = len(_LISTENING.findall(process.log_text()))
    process.wait_started(
        lambda: len(_LISTENING.findall(process.log_text())) > before, what="the pod listens"
    )
    s3, probes = _LISTENING.findall(process.log_text())[-1]
    try:
        yield Pod(process=process, s3=s3, probes=probes)
    finally:
        status = process.stop()
    assert status == exit_status, process.log_text()[-4000:]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarFiles:
    """The volumes of a pod with a sidecar, in a folder."""

    folder: Path

    @property
    def authorization(self) -> Path:
        return self.folder / "credentials" / "token"

    def create(self, *, config_token: str, sts_token: str) -> None:
        """As kubelet does before the first container starts."""
        for name in ("tokens", "credentials", "state"):
            (self.folder / name).mkdir()
        (self.folder / "tokens" / "config").write_text(config_token)
        (self.folder / "tokens" / "sts").write_text(sts_token)

    @contextmanager
    def running(self, *, operator_port: int, ca: str) -> Iterator[Pod]:
        """The sidecar. `ca` is PEM text, which is how a pod of any namespace can be given it."""
        with running_pod(
            self.folder,
            "--mode=sidecar",
            config_url=f"https://localhost:{operator_port}",
            ca_pem=ca,
            config_token_file=str(self.folder / "tokens" / "config"),
            sts_token_file=str(self.folder / "tokens" / "sts"),
            authorization_token_file=str(self.authorization),
            state_dir=str(self.folder / "state"),
            pod_uid="pod-9",
        ) as pod:
            yield pod

    def application_environment(self, pod: Pod) -> dict[str, str]:
        """What an application of the pod has, and no credential."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL_S3": pod.endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{pod.endpoint}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.authorization),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def run(self, pod: Pod, program: str, **environment: str) -> str:
        """What an application of the pod printed, its errors included."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**self.application_environment(pod), **environment},
            check=False,
            timeout=_APPLICATION_SECONDS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def credentials(self, pod: Pod) -> AccessKey:
        """As an SDK asks for them."""
        status, answer = ask(pod, self.authorization.read_text())
        assert status == 200, answer
        return AccessKey(
            access_key_id=answer["AccessKeyId"],
            secret_access_key=answer["SecretAccessKey"],
            session_token=answer["Token"],
        )


def ask(
    pod: Pod, authorization: str | None, *, method: str = "GET"
) -> tuple[int, Mapping[str, Any]]:
    """The credentials endpoint's status and JSON."""
    headers = {} if authorization is None else {"Authorization": authorization}
    request = urllib.request.Request(
        f"{pod.endpoint}/v1/credentials", headers=headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
