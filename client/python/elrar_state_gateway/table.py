"""What the gateways say of the engines, and which of them is believed."""

from __future__ import annotations

import threading
from typing import Iterable, Mapping

from .state import Held

# Gateways that have heard of an engine within this many seconds of each other are compared by the state's timestamp;
# one that is further behind has lost the engine, and what it holds may be from before the engine's clock was set back.
# It is five pushes of the usual 200 ms, and a clock that was set back is believed after three.
_AGREEMENT = 1.0


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


class Table:
    """The engines of all gateways.

    view is for readers: whoever takes it has a mapping that will never change, and needs no lock. The methods are for
    the threads that follow the gateways, each of which has a part of the table, numbered from 0.
    """

    def __init__(self, parts: int) -> None:
        self.view: Mapping[str, Held] = {}
        self._parts: list[dict[str, Held]] = [{} for _ in range(parts)]
        self._lock = threading.Lock()

    def update(self, part: int, engines: dict[str, Held]) -> None:
        """Takes the newest of some engines."""
        with self._lock:
            self._parts[part].update(engines)
            self._publish(engines)

    def replace(self, part: int, engines: dict[str, Held], now: float) -> None:
        """Takes all that a gateway holds.

        What it does not hold is kept until it is stale: a gateway that has just started has not heard of everybody.
        """
        with self._lock:
            mine = self._parts[part]
            gone = [engine_id for engine_id, held in mine.items() if engine_id not in engines and held.stale_at < now]
            for engine_id in gone:
                del mine[engine_id]
            mine.update(engines)
            self._publish([*gone, *engines])

    def remove(self, part: int, engine_ids: Iterable[str]) -> None:
        """Drops engines that a gateway has dropped."""
        with self._lock:
            gone = [engine_id for engine_id in engine_ids if self._parts[part].pop(engine_id, None)]
            self._publish(gone)

    def renew_lock(self) -> None:
        """Makes the table usable in a process forked from one in which a thread may have held the lock."""
        self._lock = threading.Lock()

    def _publish(self, engine_ids: Iterable[str]) -> None:
        view = dict(self.view)
        for engine_id in engine_ids:
            told = [part[engine_id] for part in self._parts if engine_id in part]
            if told:
                view[engine_id] = newest(told)
            else:
                view.pop(engine_id, None)
        self.view = view
