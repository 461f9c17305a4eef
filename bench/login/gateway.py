"""`bucketroute serve` with the keys of a cluster, and the requests of those who log in to it.

No backend is needed: HeadBucket is answered from the snapshot.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench.processes import BenchmarkError, Cores, pinned
from bucketroute_dataplane.core.sigv4 import (
    EMPTY_SHA256,
    SigningCredentials,
    SigningKeys,
    UnsignedRequest,
    format_amz_date,
    sign_headers,
)

ISSUER = "https://kubernetes.default.svc.cluster.local"
START_SECONDS = 20.0

_MANIFEST = """
apiVersion: bucketroute.io/v1alpha1
kind: BucketRoute
metadata: {name: data, namespace: team-a}
spec:
  backend:
    bucket: acme
    endpoint: http://127.0.0.1:1
    region: us-east-1
    roleARN: arn:aws:iam::111122223333:role/data
  access:
  - subjects: [{kind: Namespace, name: team-a}]
    permissions: [Read]
"""
_FIELD = re.compile(rb"<(AccessKeyId|SecretAccessKey|SessionToken)>([^<]+)<")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `bucketroute serve` and who may log in to it."""

    port: int
    pid: int
    key: rsa.RSAPrivateKey

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time so far. Source: proc_pid_stat(5), fields 14 and 15, in ticks."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def login_request(self, number: int) -> bytes:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": f"system:serviceaccount:team-a:app-{number}",
            "aud": ["bucketroute"],
            "exp": now + 3600,
            "nbf": now - 1,
        }
        token = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "k1"})
        form = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": f"arn:aws:iam::000000000000:role/team-a.app-{number}",
                "RoleSessionName": f"pod-{number}",
                "WebIdentityToken": token,
            }
        )
        head = (
            f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nconnection: close\r\n"
            "content-type: application/x-www-form-urlencoded; charset=utf-8\r\n"
            f"content-length: {len(form)}\r\n\r\n{form}"
        )
        return head.encode()

    def head_bucket(self, session: SigningCredentials) -> bytes:
        """A request signed with that session."""
        host = f"127.0.0.1:{self.port}".encode()
        added = sign_headers(
            UnsignedRequest(b"HEAD", b"/data", b"", [(b"host", host)], EMPTY_SHA256),
            credentials=session,
            region=b"us-east-1",
            amz_date=format_amz_date(datetime.now(UTC)),
            keys=SigningKeys(maxsize=1),
        )
        lines = [b"%s: %s\r\n" % header for header in [(b"host", host), *added]]
        return b"HEAD /data HTTP/1.1\r\nconnection: close\r\n%s\r\n" % b"".join(lines)


def session_of(answer: bytes) -> SigningCredentials:
    """What a login's answer holds."""
    found = {name.decode(): value.decode() for name, value in _FIELD.findall(answer)}
    return SigningCredentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


@contextmanager
def running_gateway(directory: Path, cores: Cores) -> Iterator[Gateway]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "k1"}]}))
    (directory / "route.yaml").write_text(_MANIFEST)
    ready = directory / "ready"
    program = str(Path(sys.executable).with_name("bucketroute"))
    arguments = ("serve", "-f", str(directory / "route.yaml"), "--listen", "127.0.0.1:0")
    cluster = ("--cluster-issuer", ISSUER, "--cluster-jwks", str(directory / "jwks.json"))
    process = subprocess.Popen(
        pinned(cores.proxy, (program, *arguments, *cluster, "--once-ready", str(ready))),
        env={**os.environ, "XDG_STATE_HOME": str(directory)},
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not (ready.is_file() and ready.read_text()):
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError("bucketroute serve does not start")
            time.sleep(0.05)
        yield Gateway(int(ready.read_text().rpartition(":")[2]), process.pid, key)
    finally:
        process.terminate()
        process.wait()
