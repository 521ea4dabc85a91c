"""A gateway whose every byte a test decides, and what tests of the client share."""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import socket
import ssl
import threading
import time
import unittest
from typing import Any, Callable

from elrar_state_gateway import StateGateway

# How long a test waits for what must happen: never decisive unless it does not happen.
PATIENCE = 30.0

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def engine(engine_id: str, timestamp_ms: int = 1, **fields: Any) -> dict[str, Any]:
    """Returns an engine object as /v1/watch has it."""
    return {
        "engine_id": engine_id,
        "timestamp_ms": timestamp_ms,
        "latency_pred_ms": 21.253122228102537,
        "scheduling_mode": "latency_optimized",
        "pending_tokens_total": 0,
        "kv_cache_free_blocks": -1,
        "kv_cache_total_blocks": -1,
        "engine_capacity": 59768.2749641796,
        "status": "fresh",
        "fresh": True,
        "age_ms": 0.5,
        "load_timestamp_ms": timestamp_ms,
        "stale_after_ms": 60_000,
        **fields,
    }


def state(engine_id: str, timestamp_ms: int = 1, **fields: Any) -> dict[str, Any]:
    """Returns the eight fields that a router should get of it."""
    return dict(list(engine(engine_id, timestamp_ms, **fields).items())[:8])


def event(name: str, **data: Any) -> bytes:
    retry = "retry: 1000\n" if name == "snapshot" else ""
    return f"event: {name}\n{retry}id: 1-1\ndata: {json.dumps(data)}\n\n".encode()


def states_event(name: str, *engines: dict[str, Any], **data: Any) -> bytes:
    data.setdefault("server_time_ms", time.time_ns() // 1_000_000)
    return event(name, revision=1, states={e["engine_id"]: e for e in engines}, **data)


def snapshot(*engines: dict[str, Any]) -> bytes:
    return states_event("snapshot", *engines)


def update(*engines: dict[str, Any]) -> bytes:
    return states_event("update", *engines)


BOOKMARK = event("bookmark", revision=1)


class Connection:
    """One connection that a client made, with the head of its request."""

    def __init__(self, sock: socket.socket, request: str) -> None:
        self.request = request
        self._socket = sock

    def send(self, *chunks: bytes) -> None:
        """Sends, if the client is still there."""
        try:
            for chunk in chunks:
                self._socket.sendall(chunk)
        except OSError:
            pass

    def closed_by_client(self) -> bool:
        """Waits until the client has closed the connection, and says whether it did."""
        self._socket.settimeout(PATIENCE)
        try:
            while self._socket.recv(4096):
                pass
        except socket.timeout:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


class FakeGateway:
    """Accepts connections on the loopback address and hands them to the test, one after the other."""

    def __init__(self, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._context = context
        self._connections: queue.Queue[Connection] = queue.Queue()
        self._all: list[Connection] = []
        self.accepted = 0
        scheme = "http" if context is None else "https"
        name = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{name}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def next(self) -> Connection:
        """Waits for the client's next connection."""
        return self._connections.get(timeout=PATIENCE)

    def next_stream(self, *engines: dict[str, Any]) -> Connection:
        """Waits for the next connection, answers it and sends a snapshot."""
        connection = self.next()
        connection.send(OK, snapshot(*engines))
        return connection

    def close(self) -> None:
        """Stops listening and closes every connection."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # so that accept returns
        except OSError:
            pass
        self._listener.close()
        for connection in self._all:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            sock.settimeout(PATIENCE)
            try:
                if self._context is not None:
                    sock = self._context.wrap_socket(sock, server_side=True)
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = sock.recv(4096)
                    if not piece:
                        raise OSError("no request")
                    request += piece
            except OSError:
                sock.close()
                continue
            connection = Connection(sock, request.decode("latin-1"))
            self._all.append(connection)
            self._connections.put(connection)


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


class ClientTest(unittest.TestCase):
    """What tests of a running client need."""

    def setUp(self) -> None:
        self.records = Records()
        log = logging.getLogger("elrar_state_gateway")
        log.addHandler(self.records)
        log.setLevel(logging.INFO)
        log.propagate = False
        self.addCleanup(log.removeHandler, self.records)

    def fake(self, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> FakeGateway:
        fake = FakeGateway(host, context)
        self.addCleanup(fake.close)
        return fake

    def follow(self, *urls: str, include_stale: bool | None = None) -> StateGateway:
        gateway = StateGateway(list(urls), include_stale)
        self.addCleanup(gateway.shutdown)
        return gateway

    def need(self, command: str) -> str:
        """Returns the path of a program, or skips the test; STATE_REQUIRE_ALL makes it fail instead."""
        path = shutil.which(command)
        if path is None:
            if os.environ.get("STATE_REQUIRE_ALL"):
                self.fail(f"{command} is not installed")
            self.skipTest(f"{command} is not installed")
        return path

    def wait_for(self, what: str, condition: Callable[[], Any]) -> float:
        """Waits until a condition holds, fails if it does not, and returns the seconds that it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > PATIENCE:
                self.fail(f"{what}: not within {PATIENCE:g} s; the client said: {self.records.lines}")
            time.sleep(0.005)
        return time.monotonic() - began
