#!/usr/bin/env python3
"""What the client costs a router, in CPU: python3 measure.py [URL]

The gateway at the URL should hold as many engines, and get as many states a second, as the figure is to be for.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time

from elrar_state_gateway import StateGateway

READS, BATCHES, QUIET = 50, 20, 5.0


def main() -> int:
    gateway = StateGateway(sys.argv[1:] or None)
    deadline = time.monotonic() + 10
    while not gateway.get_stats()["connected"]:
        if time.monotonic() > deadline:
            print(f"no gateway: {gateway.get_stats()['gateways']}", file=sys.stderr)
            return 1
        time.sleep(0.01)
    time.sleep(1)

    told = gateway.get_stats()["total_received"]
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(QUIET)
    cpu, elapsed = time.process_time() - cpu, time.monotonic() - began
    told = gateway.get_stats()["total_received"] - told

    reads = []
    for _ in range(BATCHES):
        began = time.thread_time()
        for _ in range(READS):
            engines = len(gateway.get_engine_states_dict())
        reads.append((time.thread_time() - began) / READS * 1000)
    print(f"Python {platform.python_version()}, {engines} engines")
    print(f"one read: {statistics.median(reads):.3f} ms of CPU (least {min(reads):.3f}, most {max(reads):.3f})")
    print(f"following: {100 * cpu / elapsed:.2f} % of one CPU at {told / elapsed:.0f} states/s", end="")
    print(f", {1e6 * cpu / told:.1f} µs each" if told else "")
    gateway.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
