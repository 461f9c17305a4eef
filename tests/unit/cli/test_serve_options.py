"""The options of `bucketroute serve` that say whose service accounts may log in."""

import argparse
from pathlib import Path

import pytest

from bucketroute_cli.serve import ClassOverrides, add_arguments, overridden, run
from bucketroute_snapshot import ClassSettings, Snapshot
from bucketroute_testing.identity_tokens import CLUSTER, class_settings, jwk, jwks, rsa_key


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["-f", "routes.yaml", *given])


def refusal(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    assert run(arguments(*given)) == 2
    return capsys.readouterr().err


def test_the_issuer_and_its_keys_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "go together" in refusal(capsys, "--cluster-issuer", CLUSTER)
    assert "go together" in refusal(capsys, "--cluster-jwks", str(tmp_path / "jwks"))


def test_keys_that_cannot_be_read_are_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "jwks.json"
    options = ("--cluster-issuer", CLUSTER, "--cluster-jwks", str(file))
    assert str(file) in refusal(capsys, *options)
    file.write_text("no keys")
    assert "JWK Set" in refusal(capsys, *options)


def test_the_command_line_stands_beside_the_class() -> None:
    document = jwks(jwk(rsa_key(), "k2"))
    snapshot = Snapshot(settings=ClassSettings(name="default", region="r", domains=("a.test",)))
    settings = overridden(
        snapshot,
        ClassOverrides(domains=("b.test", "a.test"), cluster_issuer=CLUSTER, cluster_jwks=document),
    ).settings
    assert settings.domains == ("a.test", "b.test")
    assert (settings.cluster_issuer, settings.cluster_jwks) == (CLUSTER, document)


def test_without_options_the_class_stays_as_it_is() -> None:
    snapshot = Snapshot(settings=class_settings())
    assert overridden(snapshot, ClassOverrides()) == snapshot


def test_serve_is_one_process_and_says_what_has_several(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments("--workers", "1").workers == 1
    with pytest.raises(SystemExit):
        arguments("--workers", "2")
    assert "bucketroute-dataplane --workers" in capsys.readouterr().err
