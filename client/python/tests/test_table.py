import random
import unittest

from elrar_state_gateway.state import Held
from elrar_state_gateway.table import FORGET_AFTER, Table, newest


def held(timestamp_ms: int, heard: float, known: bool = True, lives: float = 2.0) -> Held:
    return Held({"timestamp_ms": timestamp_ms}, known, heard, heard + lives)


class Newest(unittest.TestCase):
    def check(self, told: "list[Held]", want: int) -> Held:
        """Checks which of those told is chosen, in whatever order they are told."""
        for turn in range(len(told)):
            got = newest(told[turn:] + told[:turn])
            self.assertEqual(got.state, told[want].state)
        return got

    def test_one(self) -> None:
        only = held(5, 10.0)
        self.assertIs(newest([only]), only)

    def test_the_higher_timestamp(self) -> None:
        # The second one heard of it later, but of a state that is older: a datagram that the network held back.
        self.check([held(200, 10.0), held(100, 10.2)], 0)

    def test_a_clock_that_was_set_back(self) -> None:
        # The first one has lost the engine, and the engine's clock was set back since.
        self.check([held(9_000_000, 10.0), held(100, 11.5)], 1)

    def test_a_clock_that_was_set_back_and_not_believed_yet(self) -> None:
        # One gateway has just started and believes the first state it gets; the other one waits for the third.
        self.check([held(9_000_000, 10.0), held(100, 10.4)], 0)

    def test_a_gateway_that_has_just_started(self) -> None:
        # It knows of heartbeats only, and shows no capacity; their timestamps are the same in both, or a beat's newer.
        self.check([held(100, 10.0, known=False), held(100, 10.0)], 1)
        self.check([held(300, 10.2, known=False), held(100, 10.0)], 1)

    def test_a_gateway_that_has_just_started_is_believed_when_it_is_alone(self) -> None:
        self.check([held(300, 12.0, known=False), held(100, 10.0)], 0)

    def test_alive_for_one_is_alive(self) -> None:
        got = self.check([held(200, 10.0, lives=2.0), held(100, 10.1, lives=2.5)], 0)
        self.assertEqual((got.heard, got.stale_at), (10.1, 12.6))

    def test_the_first_of_equals(self) -> None:
        a, b = Held({"timestamp_ms": 1, "from": "a"}, True, 1.0, 2.0), Held({"timestamp_ms": 1, "from": "b"}, True, 1.0, 2.0)
        self.assertEqual(newest([a, b]).state["from"], "a")

    def test_three(self) -> None:
        self.check([held(9_000_000, 10.0), held(300, 11.4), held(200, 11.5)], 1)


class Tables(unittest.TestCase):
    def test_a_view_does_not_change(self) -> None:
        table = Table(1)
        table.update(0, {"a": held(1, 1.0)})
        view = table.view
        table.update(0, {"a": held(2, 2.0), "b": held(1, 2.0)})
        table.remove(0, ["a"])
        self.assertEqual({k: v.state["timestamp_ms"] for k, v in view.items()}, {"a": 1})
        self.assertEqual(set(table.view), {"b"})

    def test_a_snapshot_keeps_what_is_not_stale(self) -> None:
        table = Table(1)
        table.update(0, {"stale": held(1, 1.0), "living": held(1, 5.0), "both": held(1, 5.0)})
        table.replace(0, {"both": held(2, 6.0), "new": held(1, 6.0)}, now=6.0)
        self.assertEqual({k: v.state["timestamp_ms"] for k, v in table.view.items()}, {"living": 1, "both": 2, "new": 1})

    def test_what_one_gateway_drops_stays_for_the_other(self) -> None:
        table = Table(2)
        table.update(0, {"a": held(2, 1.0)})
        table.update(1, {"a": held(1, 1.0)})
        table.remove(0, ["a", "never"])
        self.assertEqual(table.view["a"].state["timestamp_ms"], 1)
        table.remove(1, ["a"])
        self.assertEqual(table.view, {})

    def test_a_later_state_of_the_same_gateway_counts_whatever_its_timestamp(self) -> None:
        table = Table(1)
        table.update(0, {"a": held(1000, 1.0)})
        table.update(0, {"a": held(3, 1.2)})
        self.assertEqual(table.view["a"].state["timestamp_ms"], 3)

    def test_what_no_snapshot_has_goes_when_it_is_stale(self) -> None:
        table = Table(1)
        table.replace(0, {"ghost": held(1, 1.0), "living": held(1, 1.0)}, now=1.0)
        table.replace(0, {"living": held(2, 2.0)}, now=2.0)  # the gateway has been restarted, and the ghost is not stale
        table.age(3.0)
        self.assertIn("ghost", table.view)
        table.age(3.2)
        self.assertEqual(set(table.view), {"living"})
        table.age(100.0)  # the gateway holds it, and says when it goes
        self.assertEqual(set(table.view), {"living"})

    def test_what_comes_again_stays(self) -> None:
        table = Table(1)
        table.replace(0, {"a": held(1, 1.0)}, now=1.0)
        table.replace(0, {}, now=2.0)
        table.update(0, {"a": held(2, 2.5)})
        table.age(50.0)
        self.assertIn("a", table.view)

    def test_what_only_lost_gateways_told_goes_after_five_minutes(self) -> None:
        table = Table(2)
        table.replace(0, {"a": held(1, 10.0)}, now=10.0)
        table.replace(1, {"a": held(1, 10.0), "b": held(1, 10.0)}, now=10.0)
        table.lose(0)
        table.lose(1)
        table.age(12.0 + FORGET_AFTER)
        self.assertEqual(set(table.view), {"a", "b"})
        table.replace(0, {"a": held(2, 312.0)}, now=312.0)
        table.age(12.2 + FORGET_AFTER)
        self.assertEqual(set(table.view), {"a"})

    def test_a_lost_gateway_that_returns(self) -> None:
        table = Table(1)
        table.replace(0, {"a": held(1, 10.0), "b": held(1, 10.0)}, now=10.0)
        table.lose(0)
        table.age(100.0)
        table.replace(0, {"a": held(1, 101.0)}, now=101.0)
        self.assertEqual(set(table.view), {"a"})

    def test_ids_that_come_and_go_take_no_memory(self) -> None:
        table = Table(2)
        for turn in range(50):
            now = 400.0 * turn
            table.replace(0, {f"{turn}/{i}": held(1, now) for i in range(20)}, now)
            table.lose(0)
            table.age(now + 399.0)
        self.assertEqual(table.view, {})

    def test_a_lost_gateway_that_tells_before_its_snapshot(self) -> None:
        """What came in a stream that broke before its snapshot is what a lost gateway told."""
        table = Table(1)
        table.lose(0)
        table.update(0, {"a": held(1, 10.0)})
        table.lose(0)
        table.age(12.1 + FORGET_AFTER)
        self.assertEqual(table.view, {})

    def test_changes_are_told(self) -> None:
        told: "list[None]" = []
        table = Table(1, lambda: told.append(None))

        def changes(n: int) -> None:
            self.assertEqual(len(told), n)
            told.clear()

        table.replace(0, {"a": held(1, 1.0)}, now=1.0)
        table.update(0, {"a": held(2, 1.5)})
        changes(2)
        table.age(3.0)
        changes(0)
        table.age(3.6)  # it has turned stale
        changes(1)
        table.age(4.0)
        changes(0)
        table.lose(0)
        table.lose(0)
        changes(1)
        table.age(3.7 + FORGET_AFTER)
        changes(1)
        self.assertEqual(table.view, {})

    def test_oracle(self) -> None:
        """Any sequence of operations leaves what newest says of what each gateway said last."""
        rng = random.Random(8)
        for _ in range(200):
            table = Table(3)
            said: "list[dict[str, Held]]" = [{}, {}, {}]
            for step in range(30):
                part, now = rng.randrange(3), float(step)
                ids = rng.sample("abcdef", rng.randrange(1, 4))
                news = {i: held(rng.randrange(5), now - rng.random() * 2, rng.random() < 0.8) for i in ids}
                action = rng.randrange(3)
                if action == 0:
                    table.update(part, dict(news))
                    said[part].update(news)
                elif action == 1:
                    table.replace(part, dict(news), now)
                    said[part] = {i: h for i, h in said[part].items() if h.stale_at >= now}
                    said[part].update(news)
                else:
                    table.remove(part, ids)
                    for i in ids:
                        said[part].pop(i, None)
            want = {i: newest([s[i] for s in said if i in s]) for i in "abcdef" if any(i in s for s in said)}
            self.assertEqual(table.view, want)
