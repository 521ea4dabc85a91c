"""What is held of one engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple


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
