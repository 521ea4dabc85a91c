"""Follows the gateway in an asyncio program: python3 examples/asyncio_router.py

It prints the number of living engines whenever something changes, until it is interrupted.
"""

from __future__ import annotations

import asyncio
from typing import AsyncIterator

from elrar_state_gateway import StateGateway


async def changes(gateway: StateGateway) -> AsyncIterator[None]:
    """Yields at once, and again after something has changed. Changes during the caller's work are one."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    end = gateway.on_change(lambda: loop.call_soon_threadsafe(changed.set))
    try:
        while True:
            changed.clear()
            yield
            await changed.wait()
    finally:
        end()


async def main() -> None:
    with StateGateway() as gateway:
        # Waiting and reading are not the same: reading looks at memory, and needs no thread.
        if not await asyncio.to_thread(gateway.wait_ready, 5.0):
            print("no gateway has answered within 5 s; going on, and it may come")
        async for _ in changes(gateway):
            print(gateway.get_active_engines_count(), "engines", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
