"""A router as the first gateway's users have them, and a fleet of emulated engines for it to load."""

from __future__ import annotations

import json
import math
import random
from typing import Any, Sequence

# Two of the three modes that agents send, and what a router may think of them.
MODES = {"latency_optimized": 1.0, "throughput_optimized": 0.0}


class Router:
    """Chooses the engine with the highest score, the first in its own list among equals.

    A score is of the predicted latency, the time that the queue will take, the mode, and whether the engine has served the
    session before. Tokens sent to an engine count as queued there until its state has a new timestamp.
    """

    def __init__(self, engines: Sequence[str], compensates: bool = True) -> None:
        self._engines = engines
        self._compensates = compensates
        self._timestamps: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._sessions: dict[str, str] = {}
        self._turn = 0
        self.ties = 0
        self.returns = 0  # to the engine that had served the session

    def route(self, states: dict[str, dict[str, Any]], session: str | None, tokens: int) -> str:
        """Returns the engine for one request. It keeps its accounts in the states given, as those routers do."""
        if not states:
            self._turn += 1
            return self._engines[self._turn % len(self._engines)]
        for engine_id, state in states.items():
            if self._timestamps.get(engine_id) != state["timestamp_ms"]:
                self._timestamps[engine_id] = state["timestamp_ms"]
                self._sent[engine_id] = 0
            state["pending_tokens_total"] += self._sent[engine_id]
        usual = self._sessions.get(session or "")
        scores = {e: self._score(states[e]) + (e == usual) for e in self._engines if e in states}
        best = max(scores.values())
        equals = [e for e, score in scores.items() if score == best]
        self.ties += len(equals) > 1
        chosen = equals[0]
        self.returns += chosen == usual
        if session:
            self._sessions[session] = chosen
        if self._compensates:
            self._sent[chosen] += tokens
        return chosen

    @staticmethod
    def _score(state: dict[str, Any]) -> float:
        capacity = float(state["engine_capacity"])
        wait: float = state["pending_tokens_total"] / capacity if capacity > 0 else 0.0
        latency: float = max(0.0, 1.0 - state["latency_pred_ms"] / 50.0)
        return latency + 1.0 - math.tanh(wait) + MODES.get(state["scheduling_mode"], 0.5)


class Engine:
    """An emulated engine with its agent: what is sent to it is queued, and a part of the queue is done in every step."""

    def __init__(self, engine_id: str, rng: random.Random) -> None:
        self.engine_id = engine_id
        self.pending = 0
        self._rng = rng
        self._now = 1_755_532_567_000 + rng.randrange(10_000)
        self._capacity = rng.choice([40_000.0, 59_768.2749641796])
        self._mode = "latency_optimized"

    def step(self) -> dict[str, Any]:
        """Does some work and returns the state that the agent pushes."""
        self._now += 200
        self.pending = max(0, self.pending - int(self._capacity * 0.2))
        if self._rng.random() < 0.1:
            self._mode = self._rng.choice([*MODES, "latency_optimized", "balanced"])
        # Coarse, as engines that batch alike have like latencies: there must be ties.
        latency = 5.0 * (self.pending // 10_000) + 20.25
        return self._state(latency, self._mode, self.pending, self._capacity)

    def beat(self) -> dict[str, Any]:
        """Returns the heartbeat that the agent pushes between two states, its queue being empty for a moment."""
        self._now += 1
        return self._state(0.0, "latency_optimized", 0, 0.0)

    def _state(self, latency: float, mode: str, pending: int, capacity: float) -> dict[str, Any]:
        return {
            "engine_id": self.engine_id,
            "timestamp_ms": self._now,
            "latency_pred_ms": latency,
            "scheduling_mode": mode,
            "pending_tokens_total": pending,
            "kv_cache_free_blocks": -1,
            "kv_cache_total_blocks": -1,
            "engine_capacity": capacity,
        }


class HandMade:
    """What a router is given by hand: the newest real state of each engine."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, Any]] = {}

    def push(self, state: dict[str, Any], is_beat: bool) -> None:
        if not is_beat:
            self._states[state["engine_id"]] = state

    def states(self) -> dict[str, dict[str, Any]]:
        copies: dict[str, dict[str, Any]] = json.loads(json.dumps(self._states))
        return copies


def choices(world: Any, router: Router, engine_ids: Sequence[str], steps: int) -> list[str]:
    """Lets a router load emulated engines and returns its choices. world is a HandMade or something like it."""
    rng = random.Random(28)
    engines = {engine_id: Engine(engine_id, rng) for engine_id in engine_ids}
    chosen = [router.route(world.states(), None, 100)]  # nobody has said anything yet
    for _ in range(steps):
        for engine in engines.values():
            world.push(engine.step(), False)
        for part in range(2):
            if part == 1:
                world.push(rng.choice(list(engines.values())).beat(), True)
            for _ in range(8):
                session = rng.choice([None, None, None, *"abcdef"])
                tokens = rng.randrange(100, 3000)
                chosen.append(router.route(world.states(), session, tokens))
                engines[chosen[-1]].pending += tokens
    return chosen
