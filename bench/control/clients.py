"""The other data planes: clients of the config channel that acknowledge whatever comes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx

from bench.processes import BenchmarkError
from bench.requests import Credentials
from bucketroute_dataplane.shell.config_client import ChannelError, ConfigClient, OperatorAddress
from bucketroute_snapshot.update import ACK_PATH, decode_update_header

_WAIT_SECONDS = 55
_FIELD = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)<")


async def acknowledge(directory: Path, number: int, config_port: int) -> None:
    """Polls with the token of pod `number`, until it is cancelled.

    It decodes nothing but the version: ten whole data planes would be measuring this machine.
    """
    client = ConfigClient(
        OperatorAddress(
            url=f"https://localhost:{config_port}",
            token_file=directory / f"token-{number}",
            ca_file=directory / "ca.crt",
        )
    )
    known, digest = None, ""
    while True:
        try:
            lines = await client.poll(known, digest, _WAIT_SECONDS)
            if lines is None:
                continue
            header = decode_update_header(lines[0])
            known, digest = header.version, header.digest
            body = {"version": str(known), "digest": digest, "status": "applied", "rejected": []}
            await client.post(ACK_PATH, body)
        except ChannelError:  # the operator is being restarted
            await asyncio.sleep(0.2)


async def log_in(port: int, token: str) -> Credentials:
    """A session of a service account, as an SDK gets one. Raises: BenchmarkError."""
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::000000000000:role/bench",
        "RoleSessionName": "bench",
        "WebIdentityToken": token,
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"http://127.0.0.1:{port}/",
            content=urlencode(form),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    if not answer.is_success:
        raise BenchmarkError(f"the login was refused: {answer.text[:300]}")
    found = dict(_FIELD.findall(answer.text))
    return Credentials(
        access_key_id=found["AccessKeyId"],
        secret_access_key=found["SecretAccessKey"],
        session_token=found["SessionToken"],
    )
