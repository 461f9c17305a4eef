"""The programs of the optional peers, built by each language's ordinary client into the cache.

Versions are pinned: a run of today can be compared with one of last month. What is there is not
built again.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.programs import CACHE, HERE, ProgramMissingError

VERSITYGW_VERSION = "1.8.0"
S3PROXY_VERSION = "4.1.0"
BUILD_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    repository: str
    tag: str
    commit: str


# Neither can be had from a registry: the first is no module of its repository's name, and of the
# second only the libraries are published as crates.
SIGV4_PROXY = _Source(
    repository="https://github.com/awslabs/aws-sigv4-proxy",
    tag="v1.11.1",
    commit="ed72b374b7ba88f52ed012a60f98e05d1d39e7a0",
)
MULTISTORE = _Source(
    repository="https://github.com/developmentseed/multistore",
    tag="v0.7.2",
    commit="9d15cd277df31d6422dc0fee152ea4d6615a52ff",
)


def versitygw() -> Path:
    """Raises: ProgramMissingError, as all of these do."""
    module = f"github.com/versity/versitygw/cmd/versitygw@v{VERSITYGW_VERSION}"
    folder = CACHE / f"versitygw-{VERSITYGW_VERSION}"
    if not (folder / "versitygw").exists():
        _tool("go", "versitygw")
        environment = {"GOBIN": str(folder), "CGO_ENABLED": "0"}
        _done(["go", "install", module], "versitygw", cwd=CACHE, more=environment)
    return folder / "versitygw"


def s3proxy() -> Path:
    """The folder of its jars; peers/s3proxy-pom.xml has the version."""
    folder = CACHE / f"s3proxy-{S3PROXY_VERSION}"
    if not (folder / f"s3proxy-{S3PROXY_VERSION}.jar").exists():
        for name in ("java", "mvn"):
            _tool(name, "s3proxy")
        pom = ["-f", str(HERE / "peers" / "s3proxy-pom.xml"), f"-Ds3proxy={S3PROXY_VERSION}"]
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        quiet = ["--quiet", "--batch-mode", "--strict-checksums"]
        _done(["mvn", *quiet, *pom, *copy, f"-DoutputDirectory={folder}"], "s3proxy", cwd=CACHE)
    return folder


def sigv4_proxy() -> Path:
    name = "aws-sigv4-proxy"
    command = ["go", "build", "-mod=vendor", f"./cmd/{name}"]
    return _from_source(name, SIGV4_PROXY, command, built=name)


def multistore() -> Path:
    name = "multistore"
    # Its lock file is not that of the release, so this can't be --locked.
    command = ["cargo", "build", "--release", "--package", "multistore-server"]
    return _from_source(name, MULTISTORE, command, built="target/release/multistore-server")


def _from_source(name: str, source: _Source, command: Sequence[str], *, built: str) -> Path:
    """Fetches one commit of a repository, builds, and keeps nothing but the program."""
    program = CACHE / f"{name}-{source.tag.removeprefix('v')}" / Path(built).name
    if program.exists():
        return program
    for tool in ("git", command[0]):
        _tool(tool, name)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}-") as directory:
        folder = Path(directory) / name
        clone = ["git", "-c", "advice.detachedHead=false", "clone", "--quiet", "--depth", "1"]
        clone += ["--branch", source.tag, source.repository, str(folder)]
        _done(clone, name, cwd=CACHE, more={"GIT_TERMINAL_PROMPT": "0"})
        head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        found = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
        if found != source.commit:
            why = f"{source.repository}: {source.tag} is {found}, not {source.commit}."
            raise ProgramMissingError(f"{why} {own(name)}")
        here = {"CGO_ENABLED": "0", "CARGO_TARGET_DIR": str(folder / "target")}
        _done(command, name, cwd=folder, more=here)
        program.parent.mkdir(exist_ok=True)
        (folder / built).replace(program)
    return program


def _tool(tool: str, peer: str) -> None:
    if shutil.which(tool) is None:
        raise ProgramMissingError(f"{peer} is built with {tool}, which is not here. {own(peer)}")


def _done(
    command: Sequence[str], peer: str, *, cwd: Path, more: Mapping[str, str] | None = None
) -> None:
    print(f"{peer}: {' '.join(command)}", file=sys.stderr, flush=True)
    cwd.mkdir(parents=True, exist_ok=True)
    environment = os.environ | dict(more or {})
    try:
        subprocess.run(
            command, cwd=cwd, env=environment, stdout=sys.stderr, check=True, timeout=BUILD_SECONDS
        )
    except (subprocess.SubprocessError, OSError) as exc:
        why = f"{peer} could not be built: `{' '.join(command)}` failed."
        raise ProgramMissingError(f"{why} {own(peer)}") from exc


def own(peer: str) -> str:
    """What to do where a peer can't be built."""
    return f"Name a program of your own: --peer-binary {peer}=PATH"
