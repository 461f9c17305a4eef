"""What the images hold: an environment of each lock, and the size of those that were built."""

import json
import os
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

from bench.processes import BenchmarkError
from bench.programs import HERE

_REPOSITORY = HERE.parent
_PLACES = HERE / "build" / "start"
_INSTALL_SECONDS = 300.0
MiB = 1024**2


def programs_of(image: str) -> Path:
    """The folder of the programs, in an environment of `requirements/IMAGE.lock` and this checkout.

    As the Dockerfiles make it, the data plane with its compiled modules: what else the benchmark's
    own environment has must not be imported. Raises: BenchmarkError.
    """
    lock = _REPOSITORY / "requirements" / f"{image}.lock"
    place = _PLACES / f"{image}-{sha256(lock.read_bytes()).hexdigest()[:12]}"
    python = str(place / "bin" / "python")
    if not (place / "complete").exists():
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(place))
        options = ("--require-hashes", "--only-binary", ":all:", "-r", str(lock))
        _run(*_pip("--python", python, "install"), *options)
        (place / "complete").touch()
    wheels = _PLACES / "wheels"
    build = ("wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(_REPOSITORY))
    _run(*_pip(*build), BUCKETROUTE_COMPILE=str(int(image == "dataplane")))
    wheel = max(wheels.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    _run(*_pip("--python", python, "install"), "--force-reinstall", "--no-deps", str(wheel))
    return place / "bin"


def image_bytes(image: str) -> int | None:
    """What its layers hold over the base, uncompressed; None where no archive of it was built."""
    cache = os.environ.get("BUCKETROUTE_CACHE", str(Path.home() / ".cache" / "bucketroute"))
    archive = Path(cache) / "images" / f"bucketroute-{image}.tar"
    if not archive.exists():
        return None
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        # The first layer is the base, which images.sh makes in one piece.
        layers = json.load(manifest)[0]["Layers"][1:]
        return sum(tar.getmember(layer).size for layer in layers)


def _pip(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*argv: str, **environment: str) -> None:
    try:
        subprocess.run(
            argv,
            check=True,
            timeout=_INSTALL_SECONDS,
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        said = str(exc.stderr)[-2000:]
        raise BenchmarkError(f"{' '.join(argv[:6])} …: {exc}\n{said}") from exc
