"""What the operator's image carries: all that the operator imports, and what it leaves out."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from bucketroute_testing.images import imported, locked, name_of

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUP: list[str] = PROJECT["dependency-groups"]["operator"]
DOCKERFILE = (ROOT / "operator/Dockerfile").read_text()
# kopf and the Kubernetes client speak HTTP by it: it comes with them, and raises through them.
WITH_OTHERS = {"aiohttp"}
# uvicorn takes it where it is there: it parses requests in C.
TAKEN_BY_OTHERS = {"httptools"}

# Runs as in the image, where modules of `sys.argv[2]`'s folders are not, but for the folders' own.
_PROGRAM = """
import asyncio, sys
from importlib.abc import MetaPathFinder

config, *folders = sys.argv[1:]
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)

class LeftOut(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.rpartition(".")[0].replace(".", "/") in folders:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, LeftOut())
from bucketroute_operator import __main__, injector
from bucketroute_operator.shell.aws_endpoints import aws_s3_endpoint
from bucketroute_operator.shell.kube import connect
from bucketroute_operator.shell.kube_api import ROUTES, KubeError

async def ask():
    async with connect(config) as kube:
        try:
            await kube.apply_status(ROUTES, {"metadata": {"namespace": "team-a", "name": "data"}})
        except KubeError as exc:
            assert exc.status == 0, exc

asyncio.run(ask())
assert aws_s3_endpoint("eu-west-1") == "https://s3.eu-west-1.amazonaws.com"
assert aws_s3_endpoint("no-region-1") is None
print(*(name for name in opened if "/botocore/data/" in name), sep="\\n")
"""
_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


def test_the_image_has_what_the_operator_imports_and_nothing_else() -> None:
    needed = imported(ROOT / "operator") - WITH_OTHERS | TAKEN_BY_OTHERS
    assert {name_of(requirement) for requirement in GROUP} == needed


def test_the_image_has_the_ranges_of_the_project() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(GROUP) <= {*PROJECT["project"]["dependencies"], *extras["operator"]}


def test_the_lock_of_the_image_has_nothing_of_the_data_plane_alone() -> None:
    names = locked(ROOT / "requirements/operator.lock")
    assert {name_of(requirement) for requirement in GROUP} <= names
    assert names.isdisjoint({"awscrt", "boto3", "httpx", "uvloop", "watchfiles"})


def test_the_operator_needs_nothing_of_what_the_image_leaves_out(tmp_path: Path) -> None:
    folders = re.findall(r"kubernetes/[\w/]+", DOCKERFILE)
    assert "kubernetes/aio/client/models" in folders
    assert "rm -r botocore/data/*/" in DOCKERFILE
    config = tmp_path / "config"
    config.write_text(_KUBECONFIG)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(config), *folders],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    read = done.stdout.split()
    assert {Path(name).parent.name for name in read} == {"data"}, read
