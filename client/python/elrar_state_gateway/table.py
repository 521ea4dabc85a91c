"""What the gateways say of the engines, and which of them is believed."""

from __future__ import annotations

import threading
from typing import Callable, Iterable, Mapping

from .state import Held

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
