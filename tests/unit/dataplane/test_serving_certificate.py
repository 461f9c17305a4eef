"""A certificate that is renewed under a running listener."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bucketroute_dataplane.shell.serving_certificate import ServingCertificate
from bucketroute_testing.tls import CertificateFiles, make_certificate


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path / "served")


def replace_by(files: CertificateFiles, other: CertificateFiles, *names: str) -> None:
    for name in names:
        getattr(files, name).write_bytes(getattr(other, name).read_bytes())


@asynccontextmanager
async def listening(certificate: ServingCertificate) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def shown(port: int) -> bytes:
    """The certificate of a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


def written(files: CertificateFiles) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


async def test_new_handshakes_get_the_certificate_that_is_there_now(
    files: CertificateFiles, tmp_path: Path
) -> None:
    certificate = ServingCertificate(files.certificate, files.key)
    async with listening(certificate) as port:
        assert await shown(port) == written(files)
        replace_by(files, make_certificate(tmp_path / "renewed"), "certificate", "key")
        await certificate.refresh()
        assert await shown(port) == written(files)


async def test_a_half_written_pair_leaves_the_old_one_and_is_taken_when_it_is_whole(
    files: CertificateFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, before = ServingCertificate(files.certificate, files.key), written(files)
    renewed = make_certificate(tmp_path / "renewed")
    async with listening(certificate) as port:
        replace_by(files, renewed, "certificate")
        await certificate.refresh()
        assert "the old one stays" in caplog.text
        assert await shown(port) == before
        replace_by(files, renewed, "key")
        await certificate.refresh()
        assert await shown(port) == written(renewed)


async def test_files_that_are_gone_leave_the_old_certificate(files: CertificateFiles) -> None:
    certificate, before = ServingCertificate(files.certificate, files.key), written(files)
    files.key.unlink()
    async with listening(certificate) as port:
        await certificate.refresh()
        assert await shown(port) == before


def test_a_first_pair_that_does_not_fit_is_an_error(
    files: CertificateFiles, tmp_path: Path
) -> None:
    replace_by(files, make_certificate(tmp_path / "other"), "key")
    with pytest.raises(ssl.SSLError):
        ServingCertificate(files.certificate, files.key)
