import subprocess
import threading
import time
from typing import Any

from .fake import state
from .real import RealGateway, RealTest, Relay
from .router import HandMade, Router, choices


class Agents:
    """Engines that push a state every 50 ms until they are stopped, each with its push's number as its timestamp."""

    def __init__(self, gateway: RealGateway, *engine_ids: str) -> None:
        self.pushes = 0
        self._gateway = gateway
        self._engine_ids = engine_ids
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._push)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _push(self) -> None:
        while not self._stopped.wait(0.05):
            self.pushes += 1
            for engine_id in self._engine_ids:
                self._gateway.push(state(engine_id, self.pushes))


class Readers:
    """Threads that do nothing but read, and keep what went wrong."""

    def __init__(self, gateway: Any, threads: int) -> None:
        self.wrong: "list[object]" = []
        self.reads = 0
        self._gateway = gateway
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        try:
            while not self._stopped.wait(0.001):
                for engine_id, seen in self._gateway.get_engine_states_dict().items():
                    if seen["engine_id"] != engine_id or len(seen) != 8:
                        self.wrong.append(seen)
                self._gateway.get_engine_state("a")
                self._gateway.get_active_engines_count()
                self._gateway.get_stats()
                self.reads += 1
        except Exception as error:
            self.wrong.append(error)


class Restarts(RealTest):
    def test_killed_and_restarted(self) -> None:
        """kill -9 under twenty readers: no exception, nothing frozen is shown, and it goes on by itself."""
        gateway = self.gateway()
        client = self.follow(gateway.url)
        agents = Agents(gateway, "a", "b", "c")
        self.addCleanup(agents.stop)
        readers = Readers(client, 20)
        self.addCleanup(readers.stop)
        self.wait_for("the engines", lambda: len(client.get_engine_states_dict()) == 3)
        for _ in range(2):
            gateway.kill()
            gone = self.wait_for("the states to age out", lambda: not client.get_engine_states_dict())
            self.assertEqual((client.get_active_engines_count(), client.get_total_engines_count()), (0, 3))
            self.assertFalse(client.get_stats()["connected"])
            before = agents.pushes
            gateway.start()
            back = self.wait_for("the engines to be back", lambda: len(client.get_engine_states_dict()) == 3)
            self.assertTrue(all(s["timestamp_ms"] >= before for s in client.get_engine_states_dict().values()))
            print(f"killed: nothing shown any more after {gone:.2f} s; restarted: states are back after {back:.2f} s")
        readers.stop()
        self.assertEqual(readers.wrong, [])
        self.assertEqual(client.get_stats()["reconnects"], 2)

    def test_a_short_stop_is_not_seen(self) -> None:
        """A clean stop and a start at once: the engines stay, and so do those that beat only every two seconds."""
        gateway = self.gateway(STALE_THRESHOLD=60_000)
        client = self.follow(gateway.url)
        agents = Agents(gateway, "busy")
        self.addCleanup(agents.stop)
        gateway.push(state("quiet", 1))
        self.wait_for("the engines", lambda: len(client.get_engine_states_dict()) == 2)
        gateway.terminate()
        self.wait_for("the end", lambda: not client.get_stats()["connected"])
        self.assertEqual(len(client.get_engine_states_dict()), 2)
        gateway.start()
        self.wait_for("the next stream", lambda: client.get_stats()["reconnects"] == 1)
        self.assertEqual(client.get_engine_states_dict()["quiet"], state("quiet", 1))

    def test_a_relay_that_stalls(self) -> None:
        """Nothing is closed and nothing comes: the missing bookmark shows it."""
        gateway = self.gateway()
        relay = Relay(gateway.address)
        self.addCleanup(relay.close)
        client = self.follow(relay.url)
        agents = Agents(gateway, "a")
        self.addCleanup(agents.stop)
        self.wait_for("the engine", client.get_engine_states_dict)
        relay.flows.clear()
        noticed = self.wait_for("another attempt", lambda: relay.accepted >= 2)
        self.assertEqual(client.get_stats()["gateways"][0]["problem"], "no event for 3 s")
        self.assertEqual(client.get_engine_states_dict(), {})
        self.assertEqual(client.get_total_engines_count(), 1)
        relay.flows.set()
        back = self.wait_for("the engine to be back", client.get_engine_states_dict)
        print(f"stalled: noticed after {noticed:.2f} s; flowing again: states are back after {back:.2f} s")

    def test_an_idle_gateway_is_not_silent(self) -> None:
        """Without any engine the bookmarks keep the stream."""
        gateway = self.gateway()
        client = self.follow(gateway.url)
        moments: "set[object]" = set()

        def three_events() -> bool:
            moments.add(client._followers[0].last_event)
            return len(moments - {None}) > 2

        self.wait_for("the snapshot and two bookmarks", three_events)
        self.assertEqual((client.get_stats()["connected"], client.get_stats()["reconnects"]), (True, 0))


class Contents(RealTest):
    def test_a_load_of_a_thousand_engines(self) -> None:
        """Twenty threads read while a thousand engines push; in the end the client holds what the gateway holds."""
        gateway = self.gateway(STALE_THRESHOLD=60_000)
        client = self.follow(gateway.url)
        readers = Readers(client, 20)
        self.addCleanup(readers.stop)
        load = [gateway.binary, "load", f"--target=127.0.0.1:{gateway.udp}", "--engines=1000", "--rate=2000", "--for=1s"]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        readers.stop()
        self.assertEqual(readers.wrong[:3], [])
        self.assertGreater(readers.reads, 0)
        self.assertEqual(gateway.get("/stats")["total_engines"], 1000)
        held = gateway.get("/v1/engine-states")
        self.wait_for("the same states", lambda: client.get_engine_states_dict() == held)
        self.assertEqual(client.get_stats()["invalid_states"], 0)
        began = time.process_time()
        for _ in range(100):
            client.get_engine_states_dict()
        print(f"a thousand states are read in {(time.process_time() - began) * 10:.2f} ms of CPU")

    def test_heartbeats_keep_an_engine(self) -> None:
        """An engine that only beats gets no new state under load, and is not stale for it."""
        gateway = self.gateway(STALE_THRESHOLD=60_000)
        client = self.follow(gateway.url)
        gateway.push(state("a", 1000, pending_tokens_total=5))
        self.wait_for("the state", client.get_engine_states_dict)
        received = client.get_stats()["total_received"]
        beat = {"latency_pred_ms": 0.0, "engine_capacity": 0.0, "pending_tokens_total": 0}
        gateway.push(state("a", 1500, **beat))
        self.wait_for("the heartbeat", lambda: client.get_stats()["total_received"] > received)
        self.assertEqual(client.get_engine_states_dict(), {"a": state("a", 1000, pending_tokens_total=5)})
        self.wait_for("an engine of heartbeats", lambda: self.beats(gateway, client, state("b", 1, **beat)))
        self.assertEqual(client.get_engine_states_dict()["b"], state("b", 1, **beat))

    @staticmethod
    def beats(gateway: RealGateway, client: Any, beat: "dict[str, Any]") -> bool:
        gateway.push(beat)
        return "b" in client.get_engine_states_dict()

    def test_two_gateways(self) -> None:
        """An engine that sends to both is followed through the one that is left."""
        gateways = self.gateway(), self.gateway()
        client = self.follow(*(gateway.url for gateway in gateways))
        all_agents = [Agents(gateway, "a", f"only {number}") for number, gateway in enumerate(gateways)]
        for agents in all_agents:
            self.addCleanup(agents.stop)
        self.wait_for("all engines", lambda: set(client.get_engine_states_dict()) == {"a", "only 0", "only 1"})
        gateways[0].kill()
        self.wait_for("those of the other one", lambda: set(client.get_engine_states_dict()) == {"a", "only 1"})
        pushes = all_agents[1].pushes
        self.wait_for("news", lambda: client.get_engine_states_dict()["a"]["timestamp_ms"] > pushes)


class Routing(RealTest):
    ENGINES = [f"http://10.0.0.{number}:8000" for number in range(8)]
    STEPS = 25

    def test_the_same_choices(self) -> None:
        """A router that is given states by hand and one that gets them from the client choose alike."""
        by_hand = Router(self.ENGINES)
        want = choices(HandMade(), by_hand, self.ENGINES, self.STEPS)
        self.assertGreater(by_hand.ties, 20)
        self.assertGreater(by_hand.returns, 20)
        self.assertEqual(set(want), set(self.ENGINES))
        without = choices(HandMade(), Router(self.ENGINES, compensates=False), self.ENGINES, self.STEPS)
        self.assertNotEqual(want, without)  # what it keeps itself makes a difference

        gateway = self.gateway(STALE_THRESHOLD=60_000)
        got = choices(ThroughTheGateway(self, gateway), Router(self.ENGINES), self.ENGINES, self.STEPS)
        self.assertEqual(got, want)


class ThroughTheGateway:
    """Pushes states to a gateway and reads them from the client, once they have arrived there."""

    def __init__(self, test: RealTest, gateway: RealGateway) -> None:
        self._test = test
        self._gateway = gateway
        self._client = test.follow(gateway.url)
        self._pushed: "dict[str, int]" = {}

    def push(self, state: "dict[str, Any]", is_beat: bool) -> None:
        received = self._client.get_stats()["total_received"]
        self._gateway.push(state)
        if is_beat:
            self._test.wait_for("the heartbeat", lambda: self._client.get_stats()["total_received"] > received)
        else:
            self._pushed[state["engine_id"]] = state["timestamp_ms"]

    def states(self) -> "dict[str, dict[str, Any]]":
        def arrived() -> bool:
            held = self._client.get_engine_states_dict()
            return {engine_id: state["timestamp_ms"] for engine_id, state in held.items()} == self._pushed

        self._test.wait_for("what was pushed", arrived)
        return self._client.get_engine_states_dict()
