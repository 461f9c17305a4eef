"""A pod's settings: flags before environment before defaults, and all that is wrong at once."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from bucketroute_dataplane.settings import SettingsError, load_settings

ENVIRONMENT = {
    "BUCKETROUTE_MODE": "gateway",
    "BUCKETROUTE_CONFIG_URL": "https://bucketroute-operator.bucketroute-system.svc:9443",
    "BUCKETROUTE_CONFIG_CA": "/etc/bucketroute/ca/ca.crt",
    "BUCKETROUTE_CONFIG_TOKEN_FILE": "/var/run/secrets/bucketroute.io/tokens/config",
}


SIDECAR = {
    **{name: value for name, value in ENVIRONMENT.items() if name != "BUCKETROUTE_CONFIG_CA"},
    "BUCKETROUTE_MODE": "sidecar",
    "BUCKETROUTE_CA_PEM": "pem",
    "BUCKETROUTE_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/bucketroute.io/credentials/token",
}


def problems(environment: dict[str, str], *arguments: str, platform: str = "linux") -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(arguments, environment, platform=platform)
    return str(caught.value).splitlines()


def test_what_the_chart_sets_is_enough() -> None:
    settings = load_settings([], ENVIRONMENT)
    dataplane = settings.dataplane
    assert (dataplane.listen_host, dataplane.listen_port) == ("0.0.0.0", 9000)
    assert (dataplane.admin_host, dataplane.admin_port) == ("0.0.0.0", 9090)
    assert dataplane.prefetch_credentials
    assert settings.class_name == "default"
    assert settings.config_ca == Path("/etc/bucketroute/ca/ca.crt")
    assert settings.state_directory is None


def test_a_flag_beats_the_environment() -> None:
    environment = {**ENVIRONMENT, "BUCKETROUTE_LISTEN": "0.0.0.0:1", "BUCKETROUTE_CLASS": "a"}
    settings = load_settings(["--listen", "[::1]:2"], environment)
    assert (settings.dataplane.listen_host, settings.dataplane.listen_port) == ("::1", 2)
    assert settings.class_name == "a"


def test_everything_else_is_read(tmp_path: Path) -> None:
    settings = load_settings(
        [
            *("--state-dir", str(tmp_path), "--log-level", "DEBUG"),
            *("--lame-duck-seconds", "10", "--drain-seconds", "7.5"),
        ],
        {
            **ENVIRONMENT,
            "BUCKETROUTE_STS_TOKEN_FILE": "/tokens/sts",
            "BUCKETROUTE_BOOT_DIR": "/boot",
            "BUCKETROUTE_POD_UID": "uid-1",
        },
    )
    assert settings.dataplane.token_file == Path("/tokens/sts")
    waits = (settings.dataplane.lame_duck_seconds, settings.dataplane.drain_seconds)
    assert waits == (10.0, 7.5)
    assert (settings.state_directory, settings.boot_directory) == (tmp_path, Path("/boot"))
    assert (settings.pod_uid, settings.log_level) == ("uid-1", "DEBUG")


@pytest.mark.parametrize(
    ("host", "denied"),
    [
        ("10.96.0.1", (IPv4Address("10.96.0.1"),)),
        ("fd00::1", (IPv6Address("fd00::1"),)),
        ("[fd00::1]", (IPv6Address("fd00::1"),)),
        ("kubernetes.example.com", ()),
        ("", ()),
    ],
)
def test_the_api_servers_address_is_denied_to_backends(host: str, denied: object) -> None:
    settings = load_settings([], {**ENVIRONMENT, "KUBERNETES_SERVICE_HOST": host})
    assert settings.dataplane.denied_addresses == denied


def test_what_the_injector_sets_is_enough_for_a_sidecar() -> None:
    settings = load_settings(["--mode=sidecar", "--listen=127.0.0.1:9000"], SIDECAR)
    dataplane = settings.dataplane
    assert (dataplane.listen_host, dataplane.listen_port) == ("127.0.0.1", 9000)
    assert (settings.config_ca, settings.config_ca_pem) == (None, "pem")
    assert settings.authorization_token_file == Path(
        "/var/run/secrets/bucketroute.io/credentials/token"
    )
    assert not dataplane.prefetch_credentials
    assert dataplane.drain_seconds == 20


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"])
def test_a_sidecar_listens_on_loopback(listen: str) -> None:
    assert load_settings(["--listen", listen], SIDECAR).dataplane.listen_port == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "localhost", "::ffff:10.0.0.7"])
def test_a_sidecar_listens_nowhere_else(host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    assert problems(SIDECAR, "--listen", f"{shown}:9000") == [
        f"--listen: a sidecar listens on a loopback address, not on {host}"
    ]


def test_a_sidecar_must_know_where_its_applications_look_for_the_token() -> None:
    environment = dict(SIDECAR)
    del environment["BUCKETROUTE_AUTHORIZATION_TOKEN_FILE"]
    assert problems(environment) == [
        "--authorization-token-file or BUCKETROUTE_AUTHORIZATION_TOKEN_FILE is needed"
    ]


def test_a_gateway_hands_out_no_pod_s_credentials() -> None:
    assert problems({**SIDECAR, "BUCKETROUTE_MODE": "gateway"}) == [
        "--authorization-token-file goes with --mode=sidecar"
    ]


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    found = problems(
        {},
        *("--mode", "server", "--listen", "9000", "--admin-listen", "host:99999"),
        *("--tls-certificate", missing, "--state-dir", missing),
        *("--drain-seconds", "nan", "--log-level", "LOUD"),
    )
    assert found == [
        "--mode is 'server', not one of gateway, sidecar",
        "--listen is '9000', not HOST:PORT",
        "--admin-listen is 'host:99999', not HOST:PORT",
        f"--tls-certificate: there is no file {missing}",
        "--tls-certificate and --tls-key go together",
        "--drain-seconds is 'nan', not a number of seconds",
        "--config-ca or BUCKETROUTE_CA_PEM is needed",
        "--config-url or BUCKETROUTE_CONFIG_URL is needed",
        "--config-token-file or BUCKETROUTE_CONFIG_TOKEN_FILE is needed",
        f"--state-dir: there is no folder {missing}",
        "--log-level is 'LOUD', not one of INFO, DEBUG, WARNING, ERROR",
    ]


def test_a_pod_has_one_worker_unless_it_is_told_otherwise() -> None:
    assert load_settings([], ENVIRONMENT).dataplane.workers == 1
    four = load_settings([], {**ENVIRONMENT, "BUCKETROUTE_WORKERS": "4"}, platform="linux")
    assert four.dataplane.workers == 4
    two = load_settings(["--workers=2"], {**ENVIRONMENT, "BUCKETROUTE_WORKERS": "4"})
    assert two.dataplane.workers == 2


@pytest.mark.parametrize("workers", ["0", "-1", "65", "auto", "1.5", "²", "99999999"])
def test_workers_are_a_bounded_number(workers: str) -> None:
    assert problems(ENVIRONMENT, f"--workers={workers}") == [
        f"--workers is {workers!r}, not a number from 1 to 64"
    ]


def test_a_sidecar_is_one_process() -> None:
    assert load_settings(["--workers=1"], SIDECAR).dataplane.workers == 1
    assert problems(SIDECAR, "--workers=2") == [
        "--workers: a sidecar serves one pod, with one process"
    ]


def test_only_linux_shares_a_port_out() -> None:
    assert load_settings(["--workers=1"], ENVIRONMENT, platform="darwin").dataplane.workers == 1
    assert problems(ENVIRONMENT, "--workers=2", platform="darwin") == [
        "--workers: more than one needs Linux, which shares a port out"
    ]


@pytest.mark.parametrize(
    "url", ["http://operator:9443", "operator:9443", "https://", "https://operator/path"]
)
def test_the_operator_is_reached_over_tls_only(url: str) -> None:
    assert problems({**ENVIRONMENT, "BUCKETROUTE_CONFIG_URL": url}) == [
        f"--config-url is {url!r}, not https://HOST[:PORT]"
    ]


@pytest.mark.parametrize("seconds", ["-1", "soon", "inf", "86401"])
def test_a_drain_is_a_bounded_number(seconds: str) -> None:
    environment = {**ENVIRONMENT, "BUCKETROUTE_DRAIN_SECONDS": seconds}
    assert problems(environment) == [f"--drain-seconds is {seconds!r}, not a number of seconds"]
