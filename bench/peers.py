"""The optional peers, by name: `--peer NAME`. Their configurations are in peers/."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench import peer_programs
from bench.requests import BACKEND, CLIENT, REGION
from bench.targets import Signer, Surroundings, Target, filled_in, free_port

Configure = Callable[[Path, Surroundings], Target]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`program` builds it unless it is there; each of `configured` is one target of it."""

    program: Callable[[], Path]
    configured: tuple[Configure, ...]


def _versitygw(program: Path, around: Surroundings) -> Target:
    port = free_port()
    keys = ("--access", CLIENT.access_key_id, "--secret", CLIENT.secret_access_key)
    backend_keys = ("--access", BACKEND.access_key_id, "--secret", BACKEND.secret_access_key)
    backend = ("s3", "--endpoint", f"http://127.0.0.1:{around.stub_port}", "--region", REGION)
    # Without these its SDK sends checksums in trailers, chunked, which the stub refuses.
    plain = ("--use-path-style", "--disable-checksum", "--disable-data-integrity-check")
    return Target(
        name="versitygw",
        argv=(
            *(str(program), *keys, "--region", REGION, "--port", f"127.0.0.1:{port}", "--quiet"),
            *(*backend, *backend_keys, *plain),
        ),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
    )


def _s3proxy(program: Path, around: Surroundings) -> Target:
    """`program` is the folder of its jars, or an executable that takes the same options.

    No PUT: over http its SDK sends every body aws-chunked, which the stub does not take.
    """
    port = free_port()
    settings = filled_in("s3proxy.properties", port, around)
    quiet = filled_in("s3proxy-logback.xml", port, around)
    java = ("java", "-Xmx2g", f"-Dlogback.configurationFile={quiet}", "-cp", f"{program}/*")
    start = (*java, "org.gaul.s3proxy.Main") if program.is_dir() else (str(program),)
    return Target(
        name="s3proxy",
        argv=(*start, "--properties", str(settings)),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
        warm_up_factor=6.0,
        methods=("GET",),
    )


def _sigv4_proxy(program: Path, around: Surroundings) -> Target:
    port = free_port()
    backend = ("--host", f"127.0.0.1:{around.stub_port}", "--upstream-url-scheme", "http")
    signing = ("--name", "s3", "--region", REGION, "--unsigned-payload")
    return Target(
        name="aws-sigv4-proxy",
        argv=(str(program), "--port", f"127.0.0.1:{port}", *backend, *signing),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=False,
    )


def _multistore(program: Path, around: Surroundings) -> Target:
    id_, secret = BACKEND.access_key_id, BACKEND.secret_access_key
    keys = f'access_key_id = "{id_}"\nsecret_access_key = "{secret}"'
    return _multistore_that(program, around, name="multistore", signing=keys)


def _multistore_unsigned(program: Path, around: Surroundings) -> Target:
    """What multistore costs without its signer, which it makes anew for each request."""
    signing = 'skip_signature = "true"'
    target = _multistore_that(program, around, name="multistore-unsigned", signing=signing)
    return replace(target, signer=Signer.NOBODY)


def _multistore_that(program: Path, around: Surroundings, *, name: str, signing: str) -> Target:
    port = free_port()
    more = {"SIGNING": signing}
    config = filled_in("multistore.toml", port, around, more, into=f"{name}.toml")
    return Target(
        name=name,
        argv=(str(program), "--config", str(config), "--listen", f"127.0.0.1:{port}"),
        port=port,
        signer=Signer.BACKEND,
        checks_signatures=True,
    )


PEERS = {
    "versitygw": Peer(program=peer_programs.versitygw, configured=(_versitygw,)),
    "s3proxy": Peer(program=peer_programs.s3proxy, configured=(_s3proxy,)),
    "aws-sigv4-proxy": Peer(program=peer_programs.sigv4_proxy, configured=(_sigv4_proxy,)),
    "multistore": Peer(
        program=peer_programs.multistore, configured=(_multistore, _multistore_unsigned)
    ),
}
