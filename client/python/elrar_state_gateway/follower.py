"""The thread that follows one gateway."""

from __future__ import annotations

import contextlib
import http.client
import logging
import math
import random
import threading
import time
from typing import Any

from .state import Held, hold
from .stream import SILENCE, Event, Stream, StreamError, parse_address
from .table import Table

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
