"""What can be asked for, and what is refused with a reason."""

from pathlib import Path

import pytest

from bench.options import Options, parser, read_options
from bench.scenarios import FULL_GOALS


def _read(*argv: str) -> Options:
    return read_options(parser().parse_args(argv), parser())


def test_a_full_run_is_nginx_envoy_and_bucketroute_in_five_rounds() -> None:
    options = _read("full")
    assert options.targets == ("nginx", "envoy", "bucketroute")
    assert (options.rounds, options.peers, options.commands) == (5, (), {})
    assert options.matrix.compares_route_counts


def test_peers_are_added_by_name() -> None:
    options = _read("full", "--peer", "versitygw", "--peer", "multistore", "--peer", "versitygw")
    assert options.peers == ("versitygw", "multistore")


def test_a_program_of_ones_own_adds_its_peer(tmp_path: Path) -> None:
    options = _read("full", "--peer-binary", f"multistore={tmp_path}")
    assert options.peers == ("multistore",)
    assert options.binaries == {"multistore": tmp_path}


def test_a_command_of_ones_own_replaces_the_built_in_one_of_that_name() -> None:
    options = _read("quick", "--peer", "bucketroute=serve --port {port}")
    assert options.targets == ("nginx",)
    assert options.commands == {"bucketroute": "serve --port {port}"}


def test_a_choice_of_scenarios_keeps_their_goals_only() -> None:
    options = _read("full", "--scenarios", "slow")
    assert {goal.scenario for goal in options.matrix.goals} == set(options.matrix.scenarios)
    assert 0 < len(options.matrix.goals) < len(FULL_GOALS)
    assert not options.matrix.compares_route_counts


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        pytest.param(["--peer", "nosuch"], "unknown peers: nosuch; there are versitygw", id="peer"),
        pytest.param(["--peer", "mine="], "--peer takes NAME or NAME=COMMAND", id="no-command"),
        pytest.param(["--peer-binary", "multistore"], "takes NAME=PATH", id="no-path"),
        pytest.param(
            ["--peer-binary", "multistore=/none/such"], "there is no /none/such", id="no-file"
        ),
        pytest.param(["--peer-binary", "nginx=/"], "unknown peers: nginx", id="not-optional"),
        pytest.param(["--targets", "nginx,apache"], "unknown targets: apache", id="target"),
        pytest.param(["--scenarios", "2 TiB"], "no scenario's name contains", id="scenario"),
        pytest.param(["--rounds", "0"], "at least 1", id="rounds"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(
    argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        _read("full", *argv)
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err
