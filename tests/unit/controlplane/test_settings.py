"""The operator's settings: flag before environment before default, and all errors at once."""

import pytest

from bucketroute_operator.settings import SettingsError, load_settings

NEEDED = {"BUCKETROUTE_NAMESPACE": "bucketroute-system", "BUCKETROUTE_IDENTITY": "one"}


def test_defaults_are_those_of_a_pod() -> None:
    settings = load_settings([], NEEDED)
    assert (settings.config_port, settings.admin_port) == (9443, 9090)
    assert settings.serving_names[0] == "bucketroute-operator.bucketroute-system.svc"
    assert settings.kubeconfig is None


def test_a_flag_comes_before_the_environment() -> None:
    environment = {**NEEDED, "BUCKETROUTE_CONFIG_LISTEN": "127.0.0.1:1"}
    settings = load_settings(["--config-listen", "[::1]:2"], environment)
    assert (settings.config_host, settings.config_port) == ("::1", 2)


def test_more_names_go_into_the_certificate() -> None:
    names = load_settings(["--extra-names", "localhost,127.0.0.1"], NEEDED).serving_names
    assert names[-2:] == ("localhost", "127.0.0.1")


def test_all_errors_are_told_at_once() -> None:
    arguments = [
        "--config-listen", "nowhere",
        "--log-level", "LOUD",
        "--list-seconds", "0",
        "--default-class", "perhaps",
        "--tls-key", "/does/not/exist",
    ]  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        load_settings(arguments, {})
    lines = str(raised.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "--namespace",
        "--config-listen",
        "--default-class",
        "--tls-key:",
        "--list-seconds",
        "--log-level",
        "tls-certificate,",
    ]
