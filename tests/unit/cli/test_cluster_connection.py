"""Which cluster a command asks, and what it says when that does not answer: one line, no traceback.

The API server is a small one on loopback, asked with the real Kubernetes client.
"""

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from bucketroute_cli.__main__ import kubectl_main, main
from bucketroute_testing.live_cluster import status
from bucketroute_testing.operator_objects import raw_route
from bucketroute_testing.processes import free_port

Capture = pytest.CaptureFixture[str]
_ROUTES = "/apis/bucketroute.io/v1alpha1/namespaces/{}/bucketroutes"


class ApiServer(ThreadingHTTPServer):
    """Has a route in namespace `team-x`; other paths get `refusal`. `release` ends what hangs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusal = (403, 'User "jane" cannot list resource "bucketrouteclasses"')
        self.is_hanging = False
        self.release = threading.Event()
        self.tokens: set[str] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what a test wants; its traceback would be another's output."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self.server.tokens.add(self.headers.get("Authorization", ""))
        if self.server.is_hanging:
            self.server.release.wait(30)
        route = {**raw_route(namespace="team-x"), "status": status()}
        route["metadata"]["generation"] = 1
        code, message = self.server.refusal
        body: dict[str, object] = {"kind": "Status", "message": message}
        if self.path.partition("?")[0] == _ROUTES.format("team-x"):
            code, body = 200, {"items": [route]}
        elif self.path.partition("?")[0] == _ROUTES.format("empty"):
            code, body = 200, {"items": []}
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.release.set()
        running.shutdown()
        thread.join()


def kubeconfig(folder: Path, url: str) -> str:
    """Contexts `x` (namespace team-x, current), `empty` and `plain` (none)."""
    contexts = [
        {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team-x"}},
        {"name": "empty", "context": {"cluster": "c", "user": "u", "namespace": "empty"}},
        {"name": "plain", "context": {"cluster": "c", "user": "u"}},
    ]
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": contexts,
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "a-token"}}],
            }
        )
    )
    return str(path)


def test_the_current_context_and_its_namespace_are_used(
    server: ApiServer, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["status", "--kubeconfig", kubeconfig(tmp_path, server.url)]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[-1].split()[:2] == ["team-x", "reports"]
    assert "Classes and gateway pods are not shown" in output.out
    assert server.tokens == {"Bearer a-token"}


def test_kubeconfig_of_the_environment_another_context_and_namespace(
    server: ApiServer, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, server.url))
    assert main(["status", "--context", "empty"]) == 0
    assert "No BucketRoute in namespace empty" in capsys.readouterr().err
    assert main(["status", "--context", "empty", "-n", "team-x"]) == 0
    assert "team-x" in capsys.readouterr().out


def test_as_a_plugin_of_kubectl_it_calls_itself_so(
    server: ApiServer, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kubeconfig(tmp_path, server.url)
    given = ["kubectl-bucketroute", "status", "absent", "--kubeconfig", config]
    monkeypatch.setattr(sys, "argv", given)
    assert kubectl_main() == 2
    assert capsys.readouterr().err == ("kubectl bucketroute status: no BucketRoute team-x/absent\n")


def refused(capsys: Capture, *given: str) -> str:
    """What a command that could not ask says, in its one line."""
    assert main(["status", *given]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("bucketroute status: ")
    return line.removeprefix("bucketroute status: ")


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (
            (403, 'bucketroutes is forbidden: User "jane" cannot list'),
            '^RBAC does not grant it: User "jane" cannot list$',
        ),
        ((403, "no such words"), "RBAC does not grant it: GET /apis/.*no such words"),
        ((401, "Unauthorized"), "does not know who you are; log in"),
        ((404, "the server could not find"), "not found: .*is BucketRoute installed"),
        ((500, "etcd is away"), "the API server refuses: .*500 etcd is away"),
    ],
    ids=["forbidden", "forbidden-by-others", "unauthorized", "no-crd", "failing"],
)
def test_a_refusal_is_one_line(
    server: ApiServer, tmp_path: Path, capsys: Capture, refusal: tuple[int, str], says: str
) -> None:
    server.refusal = refusal
    line = refused(capsys, "--kubeconfig", kubeconfig(tmp_path, server.url), "-n", "other")
    assert_matches(says, line)


def assert_matches(pattern: str, line: str) -> None:
    assert re.search(pattern, line), line


def test_a_server_that_does_not_answer_is_given_up(
    server: ApiServer, tmp_path: Path, capsys: Capture
) -> None:
    server.is_hanging = True
    config = kubeconfig(tmp_path, server.url)
    line = refused(capsys, "--kubeconfig", config, "--request-timeout", "0.2")
    assert "no answer from the API server: GET /apis/" in line
    assert "Timeout" in line


def test_a_server_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    config = kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert "no answer from the API server: " in refused(capsys, "--kubeconfig", config)


def test_no_kubeconfig(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refused(capsys) == "no kubeconfig: set KUBECONFIG, or give --kubeconfig FILE"
    assert refused(capsys, "--kubeconfig", "/absent") == "no such kubeconfig: /absent"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert refused(capsys).startswith("no access to an API server: ")
    (tmp_path / ".kube").mkdir()
    config = Path(kubeconfig(tmp_path, "http://127.0.0.1:1"))
    config.rename(tmp_path / ".kube/config")
    assert "no answer from the API server: " in refused(capsys)


@pytest.mark.parametrize("text", ["[]", "{", "contexts: 7"], ids=["list", "broken", "wrong"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, capsys: Capture, text: str) -> None:
    file = tmp_path / "broken"
    file.write_text(text)
    assert refused(capsys, "--kubeconfig", str(file)).startswith(f"{file} cannot be used: ")


def test_a_context_that_does_not_exist(server: ApiServer, tmp_path: Path, capsys: Capture) -> None:
    config = kubeconfig(tmp_path, server.url)
    assert "absent" in refused(capsys, "--kubeconfig", config, "--context", "absent")


def test_without_the_kubernetes_client_it_says_what_to_install(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bucketroute_operator.shell.kube", raising=False)
    monkeypatch.setitem(sys.modules, "kubernetes.aio", None)
    assert "pip install 'bucketroute[operator]'" in refused(capsys)
