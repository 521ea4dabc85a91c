"""The states of LLM engines, from a State Gateway, in the memory of the router that reads them.

This file is the package elrar_state_gateway in one piece, for those who would rather replace a file than install a
package: it takes the place of vllm_router/services/state_gateway/gateway.py. It is generated; do not edit it.
VLLM_STATE_GATEWAY_URL says where the gateway is.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import math
import os
import random
import re
import socket
import ssl
import statistics
import sys
import threading
import time
import urllib.parse
import weakref
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterable, Iterator, Mapping, NamedTuple, Sequence


# state.py


@dataclass
class EngineState:
    """The eight fields of an engine's newest state. The protocol says what they mean."""

    engine_id: str
    timestamp_ms: int
    latency_pred_ms: float
    scheduling_mode: str
    pending_tokens_total: int
    kv_cache_free_blocks: int
    kv_cache_total_blocks: int
    engine_capacity: float


FIELDS = tuple(EngineState.__dataclass_fields__)


@dataclass
class Engine:
    """What is known of an engine."""

    state: EngineState
    status: str  # "initializing", "fresh", "idle" or "stale"; stale by this process's clock, the others by the gateway's word
    age: float  # seconds since its gateway heard of it last
    conflict: bool  # several senders use its engine_id
    load_timestamp_ms: int | None  # of its last real state, on the engine's clock; None if there was none


# The types of the eight values as JSON gives them: a number may have been written as an integer. A bool is neither.
_TYPES = {
    (str, int, latency, str, int, int, int, capacity) for latency in (int, float) for capacity in (int, float)
}


class Held(NamedTuple):
    """An engine as one gateway told of it. Nobody changes the state; readers get copies. Times are time.monotonic()'s."""

    state: dict[str, Any]
    known: bool  # the gateway has had a real state of it: its capacity is not a heartbeat's 0
    heard: float  # when the gateway last heard of it
    stale_at: float  # when it will have been silent for too long
    status: str = "fresh"  # the gateway's word
    conflict: bool = False
    load_timestamp_ms: int | None = None


def hold(engine_id: str, engine: Any, at: float) -> Held:
    """Reads an engine object of an event that came at the given moment.

    Raises KeyError, TypeError, ValueError or ArithmeticError if it is none.
    """
    state = {name: engine[name] for name in FIELDS}
    if tuple(map(type, state.values())) not in _TYPES:
        raise TypeError("a field is of a wrong type")
    if state["engine_id"] != engine_id:
        raise ValueError("it is another engine's")
    # A gateway that goes by the senders' clocks may find a state younger than new; the excess would outlive it here.
    heard = at - max(0, engine["age_ms"]) / 1000
    loaded = engine["load_timestamp_ms"]
    held = Held(
        state,
        loaded is not None,
        heard,
        heard + engine["stale_after_ms"] / 1000,
        engine["status"],
        bool(engine.get("conflict")),
        loaded,
    )
    if type(held.status) is not str or type(loaded) not in (int, type(None)):
        raise TypeError("a field is of a wrong type")
    if not math.isfinite(state["latency_pred_ms"] + state["engine_capacity"] + held.stale_at):
        raise ValueError("a number is out of range")
    return held


# table.py


# Gateways that have heard of an engine within this many seconds of each other are compared by the state's timestamp;
# one that is further behind has lost the engine, and what it holds may be from before the engine's clock was set back.
# It is five pushes of the usual 200 ms, and a clock that was set back is believed after three.
_AGREEMENT = 1.0

# Seconds for which an engine that only lost gateways told of is held when it is stale: as long as a gateway holds one that
# is silent (REMOVE_AFTER). Until then the gateway may come back and tell of it again.
FORGET_AFTER = 300.0


def newest(told: list[Held]) -> Held:
    """Returns the newest of what several gateways tell of one engine; the first of those that are equal.

    The last to hear of it and those not far behind are asked. A gateway that has had a real state of the engine is
    believed before one that has not (it has just started, and shows no capacity); then the higher timestamp counts,
    which is the same sender's clock in all of them. The engine lives as long as it does for any gateway.
    """
    if len(told) == 1:
        return told[0]
    last = max(held.heard for held in told)
    recent = [held for held in told if held.heard >= last - _AGREEMENT]
    best = max(recent, key=lambda held: (held.known, held.state["timestamp_ms"], held.heard))
    return best._replace(heard=last, stale_at=max(held.stale_at for held in told))


class _Part:
    """What one gateway tells."""

    def __init__(self) -> None:
        self.engines: dict[str, Held] = {}
        self.ageing: set[str] = set()  # those that the gateway is not known to hold: all of them while it is lost
        self.lost = False


class Table:
    """The engines of all gateways.

    view is for readers: whoever takes it has a mapping that will never change, and needs no lock. The methods are for
    the threads that follow the gateways, each of which has a part of the table, numbered from 0. changed is called
    after each change, without the lock.
    """

    def __init__(self, parts: int, changed: Callable[[], None] = lambda: None) -> None:
        self.view: Mapping[str, Held] = {}
        self.told = False  # a gateway has told of all its engines once
        self._parts = [_Part() for _ in range(parts)]
        self._changed = changed
        self._aged = float("-inf")  # until when ages were looked at
        self._lock = threading.Lock()

    def update(self, part: int, engines: dict[str, Held]) -> None:
        """Takes the newest of some engines."""
        with self._lock:
            self._take(self._parts[part], engines)
            self._publish(engines)
        self._changed()

    def replace(self, part: int, engines: dict[str, Held], now: float) -> None:
        """Takes all that a gateway holds.

        What it does not hold is kept until it is stale: a gateway that has just started has not heard of everybody.
        """
        with self._lock:
            mine = self._parts[part]
            mine.lost = False
            mine.ageing.update(mine.engines)
            self._take(mine, engines)
            self.told = True
            self._publish([*self._forget(mine, now), *engines])
        self._changed()

    def remove(self, part: int, engine_ids: Iterable[str]) -> None:
        """Drops engines that a gateway has dropped."""
        with self._lock:
            mine = self._parts[part]
            gone = [engine_id for engine_id in engine_ids if mine.engines.pop(engine_id, None)]
            mine.ageing.difference_update(gone)
            self._publish(gone)
        self._changed()

    def lose(self, part: int) -> None:
        """Notes that a gateway tells nothing any more."""
        with self._lock:
            mine = self._parts[part]
            mine.ageing.update(mine.engines)
            if mine.lost:
                return
            mine.lost = True
        self._changed()

    def age(self, now: float) -> None:
        """Does what time alone does: engines turn stale, and some are forgotten. Looks at most every 0.1 s."""
        with self._lock:
            if now < self._aged + 0.1:
                return
            gone = [engine_id for part in self._parts for engine_id in self._forget(part, now)]
            if gone:
                self._publish(gone)
            changed = gone or any(self._aged <= held.stale_at < now for held in self.view.values())
            self._aged = max(self._aged, now)
        if changed:
            self._changed()

    def renew_lock(self) -> None:
        """Makes the table usable in a process forked from one in which a thread may have held the lock."""
        self._lock = threading.Lock()

    @staticmethod
    def _take(part: _Part, engines: dict[str, Held]) -> None:
        part.engines.update(engines)
        part.ageing.difference_update(engines)

    @staticmethod
    def _forget(part: _Part, now: float) -> list[str]:
        """Drops what a gateway does not hold and is stale; what a lost one told, some time later. Returns their ids."""
        if part.lost:
            now -= FORGET_AFTER
        gone = [engine_id for engine_id in part.ageing if part.engines[engine_id].stale_at < now]
        for engine_id in gone:
            del part.engines[engine_id]
        part.ageing.difference_update(gone)
        return gone

    def _publish(self, engine_ids: Iterable[str]) -> None:
        view = dict(self.view)
        for engine_id in engine_ids:
            told = [part.engines[engine_id] for part in self._parts if engine_id in part.engines]
            if told:
                view[engine_id] = newest(told)
            else:
                view.pop(engine_id, None)
        self.view = view


# stream.py


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


# follower.py


# Seconds between attempts: none at first, then at random up to a bound that doubles, so that a thousand routers do not
# come back at one moment. A gateway that returns is tried within LONGEST_PAUSE, or, when its whole host was gone,
# within CONNECT + LONGEST_PAUSE, which is less than two seconds.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.8

# Seconds that a stream must have stood before it counts as mended: one that breaks at once is none.
_STEADY = 1.0

_log = logging.getLogger(__name__)


def longest_pause(attempt: int) -> float:
    """Returns the upper bound of the pause after so many failed attempts."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10)))


class Follower:
    """Keeps one gateway's part of a table, whatever that gateway does. Its attributes are for reading."""

    def __init__(self, url: str, table: Table, part: int) -> None:
        """Makes the follower of the gateway at a URL, or raises ValueError."""
        self._address = parse_address(url)
        self.url = url
        self.connected = False
        self.streams = 0  # that began with a snapshot
        self.states = 0  # engine objects that came, and how many of them could not be read
        self.invalid = 0
        self.last_state = 0.0  # Unix seconds, 0 = never
        self.last_event: float | None = None  # time.monotonic()
        self.problem: str | None = None
        self._said: str | None = ""
        self._table = table
        self._part = part
        self._stream: Stream | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread. RuntimeError if there can be none now."""
        if self._thread is not None:
            return
        thread = threading.Thread(
            target=self._run, args=(self._stop,), name=f"state-gateway-{self._part}", daemon=True
        )
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Tells the thread to end."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.abort()

    def join(self, timeout: float) -> None:
        """Waits for the thread's end, which may be long in coming if the system looks up a name."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def fork(self) -> None:
        """Makes the follower of a forked process ready to be started there: it has the attributes and no thread."""
        if self._stream is not None:
            self._stream.abandon()
        self._stream = None
        self._thread = None
        self._stop = threading.Event()
        self.connected = False

    def silent_for(self) -> float | None:
        """Returns the seconds since the last event, or None before the first."""
        return None if self.last_event is None else max(0.0, time.monotonic() - self.last_event)

    def _run(self, stop: threading.Event) -> None:
        pauses = random.Random()
        attempt = 0
        while True:
            began = time.monotonic()
            try:
                self._follow(stop)
            except Exception as error:  # whatever it is, the router must go on and the next attempt may be better
                self.problem = _describe(error)
            self._stream = None
            self.connected = False
            if stop.is_set():
                return
            self._table.lose(self._part)
            self._table.age(time.monotonic())
            self._say(self.problem)
            attempt = 0 if time.monotonic() - began > SILENCE else attempt + 1
            if stop.wait(pauses.uniform(0, longest_pause(attempt))):
                return

    def _follow(self, stop: threading.Event) -> None:
        self._stream = Stream(self._address)
        if stop.is_set():  # before stop could have seen the stream
            return
        opened = math.inf
        earliest = math.inf  # the smallest difference between the clock here and the gateway's in this stream
        with contextlib.closing(self._stream.events()) as events:
            for event in events:
                if stop.is_set():
                    return
                sent = event.data.get("server_time_ms")
                if isinstance(sent, int):
                    difference = event.at - sent / 1000
                    earliest = min(earliest, difference)
                    # Bookmarks that come regularly, but late, hide a view that is as late. A wall clock set back at
                    # the gateway looks the same, and costs one new stream.
                    if difference - earliest > SILENCE:
                        raise StreamError(f"its events come more than {SILENCE:g} s late")
                self._apply(event)
                self._table.age(event.at)
                self.last_event = event.at
                opened = min(opened, event.at)
                if event.at - opened >= _STEADY:
                    self._say(None)

    def _apply(self, event: Event) -> None:
        if event.name in ("snapshot", "update"):
            engines = self._engines(event)
            if event.name == "snapshot":
                self._table.replace(self._part, engines, event.at)
                if not self.connected:
                    self.streams += 1
                    self.connected = True
                    self.problem = None
            else:
                self._table.update(self._part, engines)
        elif event.name == "removed":
            self._table.remove(self._part, [i for i in _list(event, "engine_ids") if isinstance(i, str)])
        elif event.name == "end":
            raise StreamError(f"the gateway ended the stream: {event.data.get('detail')}")

    def _engines(self, event: Event) -> dict[str, Held]:
        states = event.data.get("states")
        if not isinstance(states, dict):
            raise StreamError("an event lacks its states")
        engines = {}
        for engine_id, engine in states.items():
            try:
                engines[engine_id] = hold(engine_id, engine, event.at)
            except (KeyError, TypeError, ValueError, ArithmeticError):
                if not self.invalid:
                    self._report(logging.WARNING, f"what it tells of {engine_id[:300]!r} is not understood")
                self.invalid += 1
        if states:
            self.states += len(states)
            self.last_state = time.time()
        return engines

    def _say(self, problem: str | None) -> None:
        """Logs what has changed: a problem, or None for a stream that stands."""
        if problem == self._said:
            return
        self._said = problem
        if problem is None:
            self._report(logging.INFO, "following it")
        else:
            self._report(logging.WARNING, problem + "; what it told grows stale")

    def _report(self, level: int, text: str) -> None:
        with contextlib.suppress(Exception):  # the router's handlers are not ours to trust
            _log.log(level, "state gateway %s: %s", self.url, text)


def _list(event: Event, name: str) -> list[Any]:
    value = event.data.get(name)
    if not isinstance(value, list):
        raise StreamError(f"an event lacks its {name}")
    return value


def _describe(error: Exception) -> str:
    """Returns one short line, whatever the gateway put into the error."""
    if isinstance(error, StreamError):
        text = str(error)
    elif isinstance(error, http.client.HTTPException):
        text = "what it answers is not HTTP"
    elif isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
    else:
        text = f"{type(error).__name__}: {error}"
    return "".join(c if c.isprintable() else "?" for c in text[:200])


# gateway.py


_URL_VARIABLE = "VLLM_STATE_GATEWAY_URL"
_STALE_VARIABLE = "VLLM_STATE_GATEWAY_INCLUDE_STALE"
_FILL_VARIABLE = "VLLM_STATE_GATEWAY_FILL_CAPACITY"
_DEFAULT_URL = "http://127.0.0.1:8080"

_log = logging.getLogger(__name__)


class StateGateway:
    """The states of all engines, kept in memory by a background thread for each gateway, normally one.

    The methods are safe for any number of threads. All but shutdown only look at memory; none raises an exception,
    whatever the gateways do. An engine that its gateway has not heard of for too long, or that a lost gateway has not
    told of for too long, is not shown, unless include_stale is set.
    """

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        include_stale: bool | None = None,
        fill_capacity: str | None = None,
    ) -> None:
        """Starts following the gateways at urls, a list or a string with commas.

        With fill_capacity "median", an engine whose capacity is not known yet (0) is shown with the fleet's median.

        What is None comes from VLLM_STATE_GATEWAY_URL (http://127.0.0.1:8080), VLLM_STATE_GATEWAY_INCLUDE_STALE (false)
        and VLLM_STATE_GATEWAY_FILL_CAPACITY (""). ValueError if a URL is none, or if there is
        none: nothing is started then. The README has the rules.
        """
        if urls is None:
            urls = os.environ.get(_URL_VARIABLE, "").strip() or _DEFAULT_URL
        urls = parse_urls(urls if isinstance(urls, str) else ",".join(urls))
        if include_stale is None:
            include_stale = os.environ.get(_STALE_VARIABLE, "").strip().lower() in ("1", "true", "yes", "on")
        if fill_capacity is None:
            fill_capacity = os.environ.get(_FILL_VARIABLE, "")
        fill_capacity = fill_capacity.strip().lower()
        if fill_capacity not in ("", "median"):
            _log.warning("%s=%r is not known and left alone; it may be median", _FILL_VARIABLE, fill_capacity[:100])
        self._include_stale = include_stale
        self._fills = fill_capacity == "median"
        self._snapshot = threading.Event()
        self._watchers: tuple[Callable[[], object], ...] = ()
        self._table = Table(len(urls), self._changed)
        self._followers = [Follower(url, self._table, part) for part, url in enumerate(urls)]
        self._lock = threading.RLock()
        self._started = False
        self._shut_down = False
        _instances.add(self)
        self._start()

    def get_engine_states_dict(self) -> dict[str, dict[str, Any]]:
        """Returns engine_id → the eight fields, in dictionaries that are the caller's own."""
        engines = self._engines()
        if self._include_stale:
            states = {engine_id: held.state.copy() for engine_id, held in engines.items()}
        else:
            now = time.monotonic()
            states = {engine_id: held.state.copy() for engine_id, held in engines.items() if held.stale_at >= now}
        if self._fills and any(state["engine_capacity"] == 0 for state in states.values()):
            fill = self._fill(engines)
            for state in states.values():
                state["engine_capacity"] = state["engine_capacity"] or fill
        return states

    def get_engine_state(self, engine_id: str) -> EngineState | None:
        """Returns one engine's state, the caller's own, or None."""
        engines = self._engines()
        held = engines.get(engine_id)
        if held is None or not (self._include_stale or held.stale_at >= time.monotonic()):
            return None
        return self._state(held, self._fill(engines))

    def get_engines(self) -> dict[str, Engine]:
        """Returns engine_id → what is known of each engine that get_engine_states_dict shows, the caller's own."""
        now = time.monotonic()
        engines = self._engines()
        fill = self._fill(engines)
        return {
            engine_id: Engine(
                self._state(held, fill),
                "stale" if held.stale_at < now else held.status,
                max(0.0, now - held.heard),
                held.conflict,
                held.load_timestamp_ms,
            )
            for engine_id, held in engines.items()
            if self._include_stale or held.stale_at >= now
        }

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Waits until a gateway has told of its engines once, timeout seconds at most; returns whether one has. shutdown ends it."""
        self._engines()  # in a forked process this starts the threads
        self._snapshot.wait(timeout)
        return self._table.told

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Has callback called after every change: states that came, engines that came, went or turned stale (within 2 s),
        gateways lost and found. Returns a function that ends it.

        It is called by a background thread, which follows a gateway and must not be kept; at most every 50 ms for each
        gateway. What it raises is logged. A forked process has none of its parent's.
        """
        with self._lock:
            self._watchers = (*self._watchers, callback)
        self._engines()

        def end() -> None:
            with self._lock:
                self._watchers = tuple(w for w in self._watchers if w is not callback)

        return end

    def __enter__(self) -> StateGateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def get_active_engines_count(self) -> int:
        """Returns the number of engines that are not stale."""
        now = time.monotonic()
        return sum(held.stale_at >= now for held in self._engines().values())

    def get_total_engines_count(self) -> int:
        """Returns the number of engines held, stale ones included, whether they are shown or not."""
        return len(self._engines())

    def get_stats(self) -> dict[str, Any]:
        """Returns the first gateway's keys, None where only the gateway knows, and this client's own. README.md has all."""
        followers = self._followers
        received = sum(f.states for f in followers)
        invalid = sum(f.invalid for f in followers)
        silences = [silence for silence in (f.silent_for() for f in followers) if silence is not None]
        return {
            "total_received": received,
            "valid_states": received - invalid,
            "invalid_states": invalid,
            "valid_rate": f"{100 * (received - invalid) / received if received else 0:.2f}%",
            "last_received": max(f.last_state for f in followers),
            "active_engines": self.get_active_engines_count(),
            "total_engines": self.get_total_engines_count(),
            "unicast_received": None,
            "broadcast_received": None,
            "network_mode": None,
            "bind_address": None,
            "udp_port": None,
            "stale_threshold_ms": None,
            "connected": any(f.connected for f in followers),
            "reconnects": sum(max(0, f.streams - 1) for f in followers),
            "last_event_age": min(silences, default=None),
            "gateways": [
                {
                    "url": f.url,
                    "connected": f.connected,
                    "reconnects": max(0, f.streams - 1),
                    "last_event_age": f.silent_for(),
                    "problem": f.problem,
                }
                for f in followers
            ],
        }

    def shutdown(self) -> None:
        """Stops following; what is held grows stale. The next get_state_gateway() starts anew."""
        global _singleton
        with _singleton_lock:
            if _singleton is self:
                _singleton = None
        with self._lock:
            self._shut_down = True
        for follower in self._followers:
            follower.stop()
        for follower in self._followers:
            follower.join(2.0)
        self._snapshot.set()  # nobody need wait for one any more

    def _engines(self) -> Mapping[str, Held]:
        view = self._table.view
        if not self._started:
            self._start()
        return view

    @staticmethod
    def _state(held: Held, fill: float) -> EngineState:
        state = EngineState(**held.state)
        state.engine_capacity = state.engine_capacity or fill
        return state

    def _fill(self, engines: Mapping[str, Held]) -> float:
        """Returns what stands for a capacity of 0: the median of those that are known of engines that are not stale, if any."""
        if not self._fills:
            return 0.0
        now = time.monotonic()
        known = [held.state["engine_capacity"] for held in engines.values() if held.stale_at >= now]
        return float(statistics.median([capacity for capacity in known if capacity > 0] or [0.0]))

    def _changed(self) -> None:
        if self._table.told:
            self._snapshot.set()
        for watcher in self._watchers:
            try:
                watcher()
            except Exception:  # whatever it is, the next states must come
                _log.exception("a callback of on_change failed")

    def _start(self) -> None:
        """Starts the threads, if they are not running: at first, and when the first reader of a forked process comes."""
        with self._lock:
            if self._started:
                return
            try:
                if not self._shut_down:
                    for follower in self._followers:
                        follower.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending: the next reader tries again
                for follower in self._followers:
                    follower.problem = str(error)
            else:
                self._started = True

    def _fork(self) -> None:
        """Makes a forked process's copy usable: it has the states and the settings, and neither threads nor sockets."""
        self._lock = threading.RLock()
        ready = self._snapshot.is_set()
        self._snapshot = threading.Event()  # another thread may have held its lock
        if ready:
            self._snapshot.set()
        self._watchers = ()  # they are the parent's: an event loop's would wake the parent
        self._table.renew_lock()
        for follower in self._followers:
            follower.fork()
        self._started = False


_instances: weakref.WeakSet[StateGateway] = weakref.WeakSet()
_singleton: StateGateway | None = None
_singleton_lock = threading.RLock()


def get_state_gateway() -> StateGateway:
    """Returns the process's one StateGateway, set by the environment, and makes it if there is none."""
    global _singleton
    with _singleton_lock:
        if _singleton is None:
            _singleton = StateGateway()
        _singleton._start()
        return _singleton


def _after_fork() -> None:
    global _singleton_lock
    _singleton_lock = threading.RLock()
    for gateway in list(_instances):
        gateway._fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


if __name__ == "__main__":
    print(
        "The state gateway is a program now, state-gateway, and this file is what a router reads its states with.\n"
        "Start the gateway with: state-gateway serve",
        file=sys.stderr,
    )
    sys.exit(64)
