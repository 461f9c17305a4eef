"""Client programs in Go as their users run them: mc (minio-go) and rclone (AWS's SDK for Go)."""

import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from bucketroute_testing.client_runs import CLIENT_FRONTS, contents
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tools import built_program, client_environment, run_client


def go_environment(gateway: Gateway, directory: Path) -> Mapping[str, str]:
    """`br` names the gateway to both programs; their own files stay in the test's folder."""
    scheme, _, address = gateway.endpoint.partition("://")
    key = gateway.key
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Minio",
        "ENDPOINT": gateway.endpoint,
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": key.access_key_id,
        "SECRET_ACCESS_KEY": key.secret_access_key,
        "UPLOAD_CUTOFF": "5Mi",
        "CHUNK_SIZE": "5Mi",
    }
    return {
        **client_environment(gateway.endpoint, key, ca=gateway.ca),
        "MC_HOST_br": f"{scheme}://{key.access_key_id}:{key.secret_access_key}@{address}",
        "MC_CONFIG_DIR": str(directory / "mc"),
        "RCLONE_CONFIG": str(directory / "rclone.conf"),
        "RCLONE_CACHE_DIR": str(directory / "rclone"),
        **{f"RCLONE_CONFIG_BR_{name}": value for name, value in remote.items()},
    }


def run(program: str, gateway: Gateway, directory: Path, *arguments: str) -> str:
    return run_client(
        built_program(program),
        *arguments,
        environment=go_environment(gateway, directory),
        directory=directory,
    )


def assert_empty(gateway: Gateway, prefix: str) -> None:
    with closing(gateway.client()) as client:
        assert client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 0


@pytest.mark.mc
@CLIENT_FRONTS
def test_mc_copies_mirrors_moves_shares_and_removes(
    front: Gateway, source: Path, tmp_path: Path
) -> None:
    there, back = f"br/{BUCKET}/mc", tmp_path / "back"

    def mc(*arguments: str) -> str:
        return run("mc", front, tmp_path, "--quiet", *arguments)

    mc("cp", "--recursive", f"{source}/", there)
    mc("mirror", there, str(back))
    assert contents(back) == contents(source)
    mc("mv", f"{there}/big", f"{there}/moved +big")
    listed = mc("ls", "--recursive", f"{there}/")
    assert "moved +big" in listed
    assert " big" not in listed
    assert "moved +big" in mc("stat", f"{there}/moved +big")
    if front.ca is None:
        shared = mc("share", "download", f"{there}/moved +big")
        url = shared.partition("Share: ")[2].split()[0]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == (source / "big").read_bytes()
    mc("rm", "--recursive", "--force", there)
    assert_empty(front, "mc")


@pytest.mark.rclone
@CLIENT_FRONTS
def test_rclone_copies_checks_syncs_moves_and_purges(
    front: Gateway, source: Path, tmp_path: Path
) -> None:
    there, back = f"br:{BUCKET}/rclone", tmp_path / "back"

    def rclone(*arguments: str) -> str:
        return run("rclone", front, tmp_path, *arguments)

    rclone("copy", str(source), there)
    rclone("check", "--download", str(source), there)
    rclone("sync", there, str(back))
    assert contents(back) == contents(source)
    rclone("moveto", f"{there}/big", f"{there}/moved +big")
    assert "moved +big" in rclone("lsf", there)
    rclone("purge", there)
    assert_empty(front, "rclone")
