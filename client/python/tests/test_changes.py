"""Being told of changes, waiting, and all that is known of an engine."""

import asyncio
import os
import pathlib
import subprocess
import sys
import threading
import unittest
from unittest import mock

from elrar_state_gateway import Engine, EngineState, StateGateway

from .fake import PATIENCE, ClientTest, engine, event, state, update

PACKAGE = pathlib.Path(__file__).parent.parent


class Engines(ClientTest):
    def test_what_is_known_of_an_engine(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url, include_stale=True)
        fake.next_stream(
            engine("a", status="idle", conflict=True, load_timestamp_ms=7),
            engine("b", status="initializing", load_timestamp_ms=None, conflict=False),
            engine("c", age_ms=90_000),
        )
        self.wait_for("the snapshot", gateway.get_engines)
        got = gateway.get_engines()
        a, b, c = got["a"], got["b"], got["c"]
        self.assertEqual(a, Engine(EngineState(**state("a")), "idle", a.age, True, 7))
        self.assertEqual((b.status, b.conflict, b.load_timestamp_ms), ("initializing", False, None))
        self.assertEqual(c.status, "stale")  # by this process's clock, whatever the gateway said
        self.assertTrue(0 <= a.age < 60 and c.age >= 90)
        a.state.pending_tokens_total = 5
        self.assertEqual(gateway.get_engines()["a"].state, EngineState(**state("a")))

    def test_stale_ones_are_left_out(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("a"), engine("b", age_ms=90_000))
        self.wait_for("the snapshot", gateway.get_engines)
        self.assertEqual(set(gateway.get_engines()), {"a"})


class Waiting(ClientTest):
    def test_ready_with_the_first_snapshot(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        self.assertFalse(gateway.wait_ready(0.01))
        fake.next_stream()  # of no engines: that is an answer, too
        self.assertTrue(gateway.wait_ready(PATIENCE))
        fake.close()
        self.assertTrue(gateway.wait_ready(0))  # once is enough

    def test_nobody_waits_for_what_is_shut_down(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        ready: "list[bool]" = []
        waiting = threading.Thread(target=lambda: ready.append(gateway.wait_ready()), daemon=True)
        waiting.start()
        fake.next()
        gateway.shutdown()
        waiting.join(PATIENCE)
        self.assertEqual(ready, [False])

    def test_a_context_ends_the_thread(self) -> None:
        fake = self.fake()
        with StateGateway(fake.url) as gateway:
            fake.next_stream(engine("a"))
            self.assertTrue(gateway.wait_ready(PATIENCE))
        names = [thread.name for thread in threading.enumerate()]
        self.assertFalse([name for name in names if name.startswith("state-gateway")])


class Callbacks(ClientTest):
    def test_every_change_is_told(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        told: "list[set[str]]" = []
        end = gateway.on_change(lambda: told.append(set(gateway.get_engine_states_dict())))
        connection = fake.next_stream(engine("a"))
        self.wait_for("the snapshot", lambda: {"a"} in told)
        connection.send(update(engine("b")))
        self.wait_for("another engine", lambda: {"a", "b"} in told)
        connection.send(event("removed", revision=2, engine_ids=["a"]))
        self.wait_for("its removal", lambda: {"b"} in told)
        count = len(told)
        connection.close()
        self.wait_for("the loss of the gateway", lambda: len(told) > count)
        end()
        count = len(told)
        fake.next_stream(engine("c"))
        self.wait_for("the gateway again", lambda: "c" in gateway.get_engine_states_dict())
        self.assertEqual(len(told), count)

    def test_turning_stale_is_a_change(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        told: "list[int]" = []
        gateway.on_change(lambda: told.append(gateway.get_active_engines_count()))
        connection = fake.next_stream(engine("a", stale_after_ms=300))
        self.wait_for("the snapshot", lambda: 1 in told)

        def beat() -> bool:
            connection.send(event("bookmark", revision=1))
            return told[-1] == 0

        self.wait_for("the engine's silence", beat)

    def test_a_callback_that_fails(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        gateway.on_change(lambda: 1 / 0)
        connection = fake.next_stream(engine("a"))
        connection.send(update(engine("b")))
        self.wait_for("the states", lambda: gateway.get_total_engines_count() == 2)
        self.assertTrue(any("callback" in line for line in self.records.lines))


class Asyncio(ClientTest):
    def test_the_example(self) -> None:
        fake = self.fake()
        environ = {**os.environ, "VLLM_STATE_GATEWAY_URL": fake.url, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"}
        example = subprocess.Popen(
            [sys.executable, str(PACKAGE / "examples" / "asyncio_router.py")],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(example.wait)
        self.addCleanup(example.kill)
        assert example.stdout is not None and example.stderr is not None
        self.addCleanup(example.stdout.close)
        self.addCleanup(example.stderr.close)
        connection = fake.next_stream(engine("a"))
        while (line := example.stdout.readline()) != "1 engines\n":
            self.assertIn(line, ("0 engines\n",), line)
        connection.send(update(engine("b")))
        while (line := example.stdout.readline()) != "2 engines\n":
            self.assertEqual(line, "1 engines\n")


class Capacity(ClientTest):
    """Engines whose capacity is not known yet, and routers that divide by it."""

    def choose(self, gateway: StateGateway) -> str:
        """The choice of the first gateway's users: the engine that is soonest done with a request of 100 tokens."""
        states = gateway.get_engine_states_dict()

        def speed(engine_id: str) -> float:
            capacity: float = states[engine_id]["engine_capacity"]
            pending: int = states[engine_id]["pending_tokens_total"]
            return capacity / (pending + 100)

        return max(states, key=speed)

    def work(self, fill: str) -> "dict[str, int]":
        """Gives 200 requests to a fleet whose third engine has just begun; returns how many each engine got."""
        fake = self.fake()
        gateway = StateGateway(fake.url, fill_capacity=fill)
        self.addCleanup(gateway.shutdown)
        pending = {"a": 0, "b": 0, "new": 0}
        capacity = {"a": 1000.0, "b": 3000.0, "new": 0.0}

        def engines() -> "list[dict[str, object]]":
            turn = sum(pending.values()) + 1
            return [engine(e, turn, pending_tokens_total=pending[e], engine_capacity=capacity[e]) for e in pending]

        connection = fake.next_stream(*engines())
        self.assertTrue(gateway.wait_ready(PATIENCE))
        got = dict.fromkeys(pending, 0)
        for _ in range(200):
            chosen = self.choose(gateway)
            got[chosen] += 1
            pending[chosen] += 100
            connection.send(update(*engines()))
            self.wait_for("the states", lambda: gateway.get_engine_states_dict()[chosen]["pending_tokens_total"] == pending[chosen])
        return got

    def test_none_without(self) -> None:
        self.assertEqual(self.work("")["new"], 0)

    def test_its_part_with_the_median(self) -> None:
        got = self.work("median")
        self.assertEqual(got, {"a": 33, "b": 100, "new": 67})  # as 1000 to 3000 to their median, 2000

    def test_one_engine_and_no_capacity(self) -> None:
        fake = self.fake()
        with mock.patch.dict(os.environ, {"VLLM_STATE_GATEWAY_FILL_CAPACITY": " Median"}):
            gateway = self.follow(fake.url)
        connection = fake.next_stream(engine("a", engine_capacity=0))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        self.assertEqual(gateway.get_engine_states_dict()["a"]["engine_capacity"], 0)
        connection.send(update(engine("b", engine_capacity=5), engine("stale", engine_capacity=50, age_ms=90_000)))
        self.wait_for("another engine", lambda: gateway.get_engine_state("b"))
        one = gateway.get_engine_state("a")
        assert one is not None
        self.assertEqual(one.engine_capacity, 5)
        self.assertEqual(gateway.get_engines()["a"].state.engine_capacity, 5)

    def test_another_word(self) -> None:
        gateway = StateGateway("http://127.0.0.1:1", fill_capacity="mean")
        self.addCleanup(gateway.shutdown)
        self.assertTrue(any("VLLM_STATE_GATEWAY_FILL_CAPACITY='mean'" in line for line in self.records.lines))


if __name__ == "__main__":
    unittest.main()
