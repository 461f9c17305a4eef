"""The AWS CLI as its users run it."""

import urllib.request
from contextlib import closing
from pathlib import Path

from bucketroute_testing.client_runs import CLIENT_FRONTS, contents
from bucketroute_testing.gateway import BUCKET, Gateway
from bucketroute_testing.tools import AWS_CLI, client_environment, run_client


def aws(gateway: Gateway, directory: Path, *arguments: str) -> str:
    environment = client_environment(gateway.endpoint, gateway.key, ca=gateway.ca)
    return run_client(
        AWS_CLI.program("aws"), *arguments, environment=environment, directory=directory
    )


@CLIENT_FRONTS
def test_aws_cli_copies_syncs_moves_and_removes(
    front: Gateway, source: Path, tmp_path: Path
) -> None:
    there, back = f"s3://{BUCKET}/cli", tmp_path / "back"
    aws(front, tmp_path, "s3", "cp", "--recursive", str(source), there)
    aws(front, tmp_path, "s3", "sync", there, str(back))
    assert contents(back) == contents(source)
    assert aws(front, tmp_path, "s3", "sync", str(source), there) == ""
    aws(front, tmp_path, "s3", "mv", f"{there}/big", f"{there}/moved +big")
    listed = aws(front, tmp_path, "s3", "ls", "--recursive", f"{there}/")
    assert "cli/moved +big" in listed
    assert "cli/big" not in listed
    aws(front, tmp_path, "s3", "rm", "--recursive", there)
    with closing(front.client()) as client:
        assert client.list_objects_v2(Bucket=BUCKET, Prefix="cli/")["KeyCount"] == 0


def test_aws_cli_presigns(gateway: Gateway, tmp_path: Path) -> None:
    with closing(gateway.client()) as client:
        client.put_object(Bucket=BUCKET, Key="presigned by cli", Body=b"shared")
    # In us-east-1 the CLI presigns with SigV2, which is not supported; in newer regions with SigV4.
    arguments = ("--region", "eu-central-1", "s3", "presign", f"s3://{BUCKET}/presigned by cli")
    url = aws(gateway, tmp_path, *arguments).strip()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"shared"
