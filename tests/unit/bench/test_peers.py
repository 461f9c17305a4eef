"""The optional peers: their configurations are filled in; what can't be built has a way out."""

import re
from pathlib import Path

import pytest

from bench import peer_programs
from bench.peers import PEERS
from bench.programs import ProgramMissingError
from bench.targets import Signer, Surroundings, Target, environment


def _targets(name: str, directory: Path) -> list[Target]:
    around = Surroundings(directory=directory, stub_port=18000)
    return [configure(Path("/opt/peer"), around) for configure in PEERS[name].configured]


@pytest.mark.parametrize("name", PEERS)
def test_nothing_is_left_to_fill_in(name: str, tmp_path: Path) -> None:
    for target in _targets(name, tmp_path):
        assert target.name.startswith(name)
        assert any("18000" in word for word in (*target.argv, *_texts(tmp_path)))
    assert not re.findall(r"@[A-Z_]+@", "".join(_texts(tmp_path)))


def _texts(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.iterdir()]


def test_multistore_is_measured_as_shipped_and_without_its_signer(tmp_path: Path) -> None:
    shipped, unsigned = _targets("multistore", tmp_path)
    assert (shipped.name, shipped.signer) == ("multistore", Signer.BACKEND)
    assert (unsigned.name, unsigned.signer) == ("multistore-unsigned", Signer.NOBODY)
    assert 'skip_signature = "true"' in (tmp_path / "multistore-unsigned.toml").read_text()
    assert "secret_access_key" in (tmp_path / "multistore.toml").read_text()


@pytest.mark.parametrize("name", PEERS)
def test_where_a_peer_cannot_be_built_the_error_says_how_to_name_ones_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_programs, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissingError, match=f"--peer-binary {name}=PATH"):
        PEERS[name].program()


def test_the_callers_own_settings_for_aws_do_not_reach_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/mine.pem")
    names = {name for name in environment() if name.startswith("AWS_")}
    assert names == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
