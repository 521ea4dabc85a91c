"""One gateway's /v1/watch: where it is, and the events that come from there."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
import urllib.parse
from typing import Any, Generator, Iterator, NamedTuple

# Seconds without an event after which a stream is broken. A bookmark comes every second at least: two may be late.
SILENCE = 3.0

# Seconds to connect to one address. A SYN that was lost is repeated after one.
CONNECT = 1.0

# The longest event taken, in bytes. An engine is about 600, and 1,200 at its longest: ten thousand are 12 MB.
LARGEST_EVENT = 32 << 20

_READ = 64 << 10

_HEADERS = {"Accept": "text/event-stream", "Cache-Control": "no-store", "User-Agent": "elrar-state-gateway-python"}


class StreamError(Exception):
    """A stream cannot be had or is not to be trusted any more. The text says why, in the same words each time."""


class Address(NamedTuple):
    """Where a gateway's /v1/watch is."""

    secure: bool
    host: str
    port: int
    target: str


class Event(NamedTuple):
    """One event. Its data is a JSON object; at is when it began to arrive, on time.monotonic()."""

    name: str
    data: dict[str, Any]
    at: float


# What an error shows as right.
_EXAMPLE = "http://127.0.0.1:8080"

# A host, and perhaps a port, as the Go client takes them: a name in which nothing is escaped, or an address in brackets.
_HOST = re.compile(r"(\[[^]%]*(%25[^]]*)?\]|[^][%\\^`{|}:]*)(:.*)?")


def parse_urls(urls: str) -> list[str]:
    """Reads the URLs of gateways, with commas between.

    What is empty between two commas does not count, and neither does a URL that was there before. There is one at least,
    or ValueError, whose text has neither a password nor a query in it.
    """
    found = dict.fromkeys(url for url in map(str.strip, urls.split(",")) if url)
    if not found:
        raise ValueError(f"there is no URL: a gateway's is one such as {_EXAMPLE}")
    for url in found:
        problem = _address(url)
        if isinstance(problem, Address):
            continue
        if "@" in urls or "%40" in urls:  # anywhere: a password may have commas in it
            raise ValueError(
                "what has an @ in it, and so perhaps a password, is not shown: "
                f"a gateway's URL is one such as {_EXAMPLE}, without a user"
            )
        shown = "".join(re.split("([?#])", url, maxsplit=1)[:2]) + ("…" if re.search("[?#]", url) else "")
        if "//" not in url and not url.startswith(("http:", "https:")) and isinstance(_address("http://" + url), Address):
            raise ValueError(f"{shown!r} is no URL; did you mean http://{shown}?")
        raise ValueError(f"{shown!r} is no gateway's URL: {problem}")
    return list(found)


def parse_address(url: str) -> Address:
    """Reads the URL of a gateway: http or https, and a path if it is behind a proxy that wants one. Or ValueError."""
    address = _address(url)
    if not isinstance(address, Address):
        raise ValueError(address)
    return address


def _address(url: str) -> Address | str:
    """Returns the address, or why there is none. The reason has nothing of the URL in it."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError:
        return f"it is one such as {_EXAMPLE}"
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.query or parts.fragment:
        return f"it is one such as {_EXAMPLE}, without user, query and fragment"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it is not printable ASCII without spaces"
    if not _HOST.fullmatch(parts.netloc):
        return "its host is neither a name nor an address"
    if re.search("%(?![0-9A-Fa-f]{2})", parts.path):
        return "a % in its path escapes nothing"
    secure = parts.scheme == "https"
    digits = parts.netloc.rpartition("]")[2].partition(":")[2]
    if digits and not re.fullmatch("0*[0-9]{1,5}", digits) or digits and not 1 <= int(digits) <= 65535:
        return "its port is not from 1 to 65535"
    port = int(digits) if digits else 443 if secure else 80
    # All engines, since an engine turns stale here by itself, and as engine objects, which have the ages.
    return Address(secure, host, port, parts.path.rstrip("/") + "/v1/watch?fields=engines&stale=include")


class Parser:
    """Cuts a stream of server-sent events into (name, data, moment of its first byte)."""

    def __init__(self, largest: int = LARGEST_EVENT) -> None:
        self._largest = largest
        self._size = 0  # bytes held in all
        self._began = 0.0
        self._rest: list[bytes] = []  # of a line that has no end yet
        self._name = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes, at: float) -> Iterator[tuple[str, bytes, float]]:
        """Takes the bytes that came at a moment and yields the events that they complete."""
        first, *others = chunk.split(b"\n")
        self._take(first, at)
        for following in others:
            line = b"".join(self._rest)
            self._rest.clear()
            if line in (b"", b"\r"):
                if self._data:
                    yield self._name.decode("utf-8", "replace"), b"\n".join(self._data), self._began
                self._name, self._data, self._size = b"", [], 0
            else:
                self._line(line)
            self._take(following, at)

    def _take(self, piece: bytes, at: float) -> None:
        if piece and not self._size:
            self._began = at
        self._size += len(piece)
        if self._size > self._largest:
            raise StreamError(f"an event is longer than {self._largest} bytes")
        self._rest.append(piece)

    def _line(self, line: bytes) -> None:
        field, _, value = line.rstrip(b"\r").partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"event":
            self._name = value
        elif field == b"data":
            self._data.append(value)


class Stream:
    """A connection to /v1/watch. It is one thread's; only abort and abandon are for others."""

    def __init__(self, address: Address) -> None:
        self._target = address.target
        self._aborted = False
        self._socket: socket.socket | None = None
        if address.secure:
            context = ssl.create_default_context()
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                address.host, address.port, timeout=CONNECT, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(address.host, address.port, timeout=CONNECT)

    def events(self) -> Generator[Event, None, None]:
        """Connects and yields the events as they come. It ends by an exception only: StreamError, OSError,
        http.client.HTTPException."""
        response = None
        try:
            self._connection.connect()
            self._socket = self._connection.sock
            self._socket.settimeout(SILENCE)
            if self._aborted:
                raise StreamError("aborted")
            self._connection.request("GET", self._target, headers=_HEADERS)
            response = self._connection.getresponse()
            _check(response)
            yield from self._read(response, self._socket)
        except socket.timeout:
            raise StreamError("no connection in time" if self._socket is None else f"no event for {SILENCE:g} s") from None
        finally:
            if response is not None:
                response.close()
            self._connection.close()
            self._socket = None

    def abort(self) -> None:
        """Ends the stream from another thread."""
        self._aborted = True
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # an SSLSocket's own is not for another thread

    def abandon(self) -> None:
        """Drops a forked process's copy of the socket, so that the connection ends when its owner ends it."""
        if self._socket is not None:
            descriptor = self._socket.detach()
            if descriptor >= 0:
                os.close(descriptor)

    @staticmethod
    def _read(response: http.client.HTTPResponse, sock: socket.socket) -> Iterator[Event]:
        parser = Parser()
        last = time.monotonic()
        while True:
            # The time limit is for a whole event, not for each read: a trickle of bytes is silence, too.
            sock.settimeout(max(0.001, last + SILENCE - time.monotonic()))
            chunk = response.read1(_READ)
            if not chunk:
                raise StreamError("the gateway ended the stream")
            now = time.monotonic()
            for name, data, began in parser.feed(chunk, now):
                last = now
                yield Event(name, _object(data), began)
            if now - last > SILENCE:
                raise socket.timeout


def _check(response: http.client.HTTPResponse) -> None:
    if response.status != 200:
        note = " (redirects are not followed)" if 300 <= response.status < 400 else ""
        raise StreamError(f"it answers {response.status} {response.reason}{note}")
    kind = response.headers.get_content_type()
    if kind != "text/event-stream":
        raise StreamError(f"it answers with {kind}, not with an event stream")


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = _JSON.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise StreamError("an event is not a JSON object")
    return value


def _refuse(name: str) -> None:
    raise ValueError(name + " is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse)
