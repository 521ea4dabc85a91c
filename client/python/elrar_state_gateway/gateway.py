"""What a router calls."""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
import weakref
from typing import Any, Callable, Mapping, Sequence

from .follower import Follower
from .state import Engine, EngineState, Held
from .stream import parse_urls
from .table import Table

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
