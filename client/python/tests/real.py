"""The gateway itself, and a relay before it that can stall."""

from __future__ import annotations

import atexit
import functools
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.request
from typing import IO, Any

from .fake import PATIENCE, ClientTest

_REPOSITORY = pathlib.Path(__file__).parents[3]


class RealTest(ClientTest):
    """Tests with a gateway of the real binary: STATE_GATEWAY_BINARY, or one that is built for them."""

    def gateway(self, **settings: Any) -> "RealGateway":
        """Starts a gateway on free ports that it will have again after a restart."""
        binary = os.environ.get("STATE_GATEWAY_BINARY") or _built(self.need("go"))
        gateway = RealGateway(binary, {"ENABLE_LOG": "false", **settings})
        self.addCleanup(gateway.close)
        gateway.start()
        return gateway


@functools.lru_cache(maxsize=None)
def _built(go: str) -> str:
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory)
    binary = os.path.join(directory, "state-gateway")
    subprocess.run([go, "build", "-o", binary, "./cmd/state-gateway"], cwd=_REPOSITORY, check=True)
    return binary


class RealGateway:
    """A gateway process."""

    def __init__(self, binary: str, settings: dict[str, Any]) -> None:
        self.binary = binary
        # Below the ports that systems give to outgoing connections, so that they are still free for the restart.
        self.udp, self._http = random.sample(range(20_000, 32_000), 2)
        self._settings = {f"VLLM_STATE_GATEWAY_{name}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[str] | None = None
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http}"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self._http)

    def start(self) -> None:
        """Starts the process and waits until it says that it has started."""
        first = self._process is None
        while True:
            environment = {
                **self._settings,
                "VLLM_STATE_GATEWAY_BIND_ADDRESS": "127.0.0.1",
                "VLLM_STATE_GATEWAY_UDP_PORT": str(self.udp),
                "VLLM_STATE_GATEWAY_HTTP_ADDRESS": f"127.0.0.1:{self._http}",
                "VLLM_STATE_GATEWAY_MESSAGE_FORMAT": "json",
            }
            self._process = subprocess.Popen([self.binary], env=environment, stderr=subprocess.PIPE, text=True)
            assert self._process.stderr is not None
            said = []
            for line in self._process.stderr:
                said.append(line)
                if "state gateway started" in line:
                    threading.Thread(target=_drain, args=(self._process.stderr,), daemon=True).start()
                    return
            self.kill()
            if not first or not any("already in use" in line for line in said):
                raise AssertionError(f"the gateway did not start: {said}")
            self.udp, self._http = random.sample(range(20_000, 32_000), 2)

    def kill(self) -> None:
        """Ends the process as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Stops it cleanly."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE)

    def close(self) -> None:
        self.kill()
        self._sender.close()

    def push(self, state: dict[str, Any]) -> None:
        """Sends a state as an agent does."""
        self._sender.sendto(json.dumps(state).encode(), ("127.0.0.1", self.udp))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return json.load(answer)


def _drain(stderr: IO[str]) -> None:
    with stderr:
        stderr.read()


class Relay:
    """Passes TCP connections on, until it is told to pass nothing more and close nothing."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.flows = threading.Event()
        self.flows.set()
        self.accepted = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.flows.set()
        for sock in [self._listener, *self._sockets]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while True:
                data = source.recv(1 << 16)
                self.flows.wait()
                if not data:
                    break
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
