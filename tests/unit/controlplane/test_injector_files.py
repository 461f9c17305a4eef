"""The mounted files are followed, a bad one changes nothing; the settings are checked at start."""

import asyncio
import json
import logging
from pathlib import Path

import httpx
import pytest

from bucketroute_operator.core.injection import Result
from bucketroute_operator.core.injector_classes import (
    InjectorClassesError,
    decode_classes,
)
from bucketroute_operator.settings import SettingsError
from bucketroute_operator.shell.injector_app import InjectorApp
from bucketroute_operator.shell.injector_files import MAX_FILE_BYTES
from bucketroute_operator.shell.listeners import listening
from bucketroute_operator.webhook_settings import load_webhook_settings
from bucketroute_testing.admission import decide, raw_pod, review
from bucketroute_testing.injector_mounts import RAW_CLASS, Mounted
from bucketroute_testing.tls import CertificateFiles


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


async def test_it_is_complete_with_certificate_classes_and_authority(mounted: Mounted) -> None:
    for write in (
        lambda: None,
        mounted.write_certificate,
        lambda: mounted.write_classes("default"),
    ):
        write()
        await mounted.files.refresh()
        assert not mounted.files.is_complete
    mounted.ca.write_text("a certificate")
    await mounted.files.refresh()
    assert mounted.files.is_complete
    pod = raw_pod("sidecar")
    assert decide(pod, mounted.files.injector).result is Result.INJECTED


async def test_classes_are_followed(mounted: Mounted) -> None:
    mounted.write_classes("default")
    await mounted.files.refresh()
    pod = raw_pod("env")
    pod["metadata"]["labels"]["bucketroute.io/class"] = "fast"
    assert decide(pod, mounted.files.injector).result is Result.MISSED
    mounted.write_classes("default", "fast")
    await mounted.files.refresh()
    assert decide(pod, mounted.files.injector).result is Result.INJECTED
    assert mounted.metrics.registry.get_sample_value("bucketroute_injector_classes") == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"default": {}}', " " * (MAX_FILE_BYTES + 1)])
async def test_a_file_that_makes_no_sense_changes_nothing_and_is_told_once(
    mounted: Mounted, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    mounted.write_classes("default")
    mounted.write_certificate()
    mounted.ca.write_text("a certificate")
    await mounted.files.refresh()
    mounted.classes.write_text(text)
    with caplog.at_level(logging.WARNING):
        await mounted.files.refresh()
        await mounted.files.refresh()
    assert len([line for line in caplog.messages if line.startswith("no new classes")]) == 1
    assert decide(raw_pod("env"), mounted.files.injector).result is Result.INJECTED


async def test_a_new_certificate_is_served_without_a_restart(mounted: Mounted) -> None:
    first = mounted.write_certificate()
    mounted.write_classes("default")
    await mounted.files.refresh()
    app = InjectorApp(mounted.files, mounted.metrics).app
    async with listening(app, "127.0.0.1", 0, context=mounted.files.context) as (host, port):
        url = f"https://{host}:{port}/inject"
        assert await status_of(url, first) == 200
        second = mounted.write_certificate()
        await mounted.files.refresh()
        assert await status_of(url, second) == 200
        with pytest.raises(httpx.ConnectError):
            await status_of(url, first)


async def status_of(url: str, trusted: CertificateFiles) -> int:
    async with httpx.AsyncClient(verify=trusted.client_context(), trust_env=False) as http:
        return (await http.post(url, json=review(raw_pod("env")))).status_code


@pytest.mark.parametrize(
    "changes",
    [{"endpoint": 1}, {"endpoint": ""}, {"region": None}, {"sts_audience": ""}],
    ids=str,
)
def test_a_class_that_is_damaged_is_not_taken(changes: dict[str, object]) -> None:
    with pytest.raises(InjectorClassesError):
        decode_classes(json.dumps({"default": {**RAW_CLASS, **changes}}))


def test_all_settings_that_are_wrong_are_told_at_once() -> None:
    environment = {
        "BUCKETROUTE_LISTEN": "nowhere",
        "BUCKETROUTE_SIDECAR_IMAGE": "dataplane:1",
        "BUCKETROUTE_SIDECAR_RESOURCES": "[]",
        "BUCKETROUTE_SIDECAR_PULL_POLICY": "Sometimes",
    }
    with pytest.raises(SettingsError) as raised:
        load_webhook_settings([], environment)
    assert [line.split()[0] for line in str(raised.value).splitlines()] == [
        "--listen",
        "--sidecar-pull-policy",
        "--sidecar-config-url",
        "--sidecar-resources",
    ]


def test_without_an_image_there_are_no_sidecars_and_nothing_more_is_needed() -> None:
    settings = load_webhook_settings([], {})
    assert (settings.sidecar_image, settings.port, settings.admin_port) == (None, 8443, 9090)
    assert settings.classes_file == Path("/etc/bucketroute/injector/classes.json")


async def test_who_holds_connections_open_uses_up_no_more_than_its_share(mounted: Mounted) -> None:
    app = InjectorApp(mounted.files, mounted.metrics).app
    async with (
        listening(app, "127.0.0.1", 0, max_connections=3) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as http,
    ):
        body = review(raw_pod("other"))
        assert (await http.post("/inject", json=body)).status_code == 200
        held = [await asyncio.open_connection(host, port) for _ in range(2)]
        assert (await http.post("/inject", json=body)).status_code == 503
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
