"""Client programs that cannot share the tests' own environment: from the package index, each in a
virtual environment made on demand, or built once by tests/e2e/tools/build.sh.

The AWS CLI and s3fs pin botocore. An environment is named after the hash of what is in it, so a
changed pin makes a new one, and an unfinished one (no marker) is made again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bucketroute_testing.signing import AccessKey

_CACHE = Path("~/.cache/bucketroute/clients")
_BUILT_CACHE = "~/.cache/bucketroute"
_INSTALL_TIMEOUT_SECONDS = 600
_RUN_TIMEOUT_SECONDS = 180
_MARKER = ".complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    """A program from the package index: a name for its folder and pinned requirements."""

    name: str
    requirements: tuple[str, ...]

    def directory(self) -> Path:
        """The environment, made now when it is not there yet.

        Raises:
            RuntimeError: it could not be installed; the message holds the installer's output.
        """
        made_of = "\n".join((sys.version, *self.requirements))
        digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
        directory = _CACHE.expanduser() / f"{self.name}-{digest}"
        if not (directory / _MARKER).exists():
            shutil.rmtree(directory, ignore_errors=True)
            self._install(directory)
            (directory / _MARKER).touch()
        return directory

    def program(self, name: str = "python") -> Path:
        return self.directory() / "bin" / name

    def _install(self, directory: Path) -> None:
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        for command in ([sys.executable, "-m", "venv", str(directory)], [*pip, *self.requirements]):
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                timeout=_INSTALL_TIMEOUT_SECONDS,
            )
            if done.returncode != 0:
                raise RuntimeError(f"{self.name} cannot be installed:\n{done.stdout}{done.stderr}")


AWS_CLI = ClientTool(name="awscli", requirements=("awscli==1.46.3",))
S3FS = ClientTool(name="s3fs", requirements=("s3fs==2026.9.0",))
MINIO_PY = ClientTool(name="minio", requirements=("minio==7.2.20",))
PYARROW = ClientTool(name="pyarrow", requirements=("pyarrow==26.0.1",))
# DuckDB fetches its extensions when it runs; as a package, this one is of a known version.
DUCKDB = ClientTool(
    name="duckdb", requirements=("duckdb==1.4.4", "duckdb-ext-httpfs==1.4.4.20260205")
)


class ProgramMissingError(Exception):
    """A program that is built once is not on this machine; the message says how to get it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no {name}: set {_variable(name)} to it, or build it with "
            f"`tests/e2e/tools/build.sh {name}`"
        )


def built_program(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The program that `BUCKETROUTE_<NAME>` names, or the one in the cache folder.

    Raises:
        ProgramMissingError: neither is an executable file.
    """
    named = environment.get(_variable(name))
    cache = Path(environment.get("BUCKETROUTE_CACHE") or _BUILT_CACHE)
    candidate = Path(named) if named else cache.expanduser() / "bin" / name
    if shutil.which(candidate) is None:
        raise ProgramMissingError(name)
    return candidate


def _variable(name: str) -> str:
    return f"BUCKETROUTE_{name.upper()}"


def client_environment(
    endpoint: str, key: AccessKey, *, ca: Path | None = None
) -> Mapping[str, str]:
    """The variables from which AWS tools take endpoint, region, credentials and trust, and no
    others.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    if ca is not None:
        environment |= {"AWS_CA_BUNDLE": str(ca), "SSL_CERT_FILE": str(ca)}
    return environment


def run_client(
    program: Path, *arguments: str, environment: Mapping[str, str], directory: Path
) -> str:
    """Run it to its end; what it printed.

    Raises:
        RuntimeError: it failed; the message holds its output.
    """
    done = subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=dict(environment),
        cwd=directory,
        timeout=_RUN_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{program.name} {' '.join(arguments)[:200]} ended with {done.returncode}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout
