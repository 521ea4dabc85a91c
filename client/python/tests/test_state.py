import unittest
from typing import Any

from elrar_state_gateway.state import FIELDS, hold

from .fake import engine, state


class Hold(unittest.TestCase):
    def test_what_is_held(self) -> None:
        held = hold("a", engine("a", 7, age_ms=500.5, stale_after_ms=2000), 100.0)
        self.assertEqual(held.state, state("a", 7))
        self.assertEqual(tuple(held.state), FIELDS)
        self.assertTrue(held.known)
        self.assertAlmostEqual(held.heard, 99.4995)
        self.assertAlmostEqual(held.stale_at, 101.4995)

    def test_numbers_written_as_integers(self) -> None:
        held = hold("a", engine("a", latency_pred_ms=0, engine_capacity=1000, age_ms=3), 1.0)
        self.assertEqual((held.state["latency_pred_ms"], held.state["engine_capacity"]), (0, 1000))

    def test_an_engine_without_a_real_state(self) -> None:
        self.assertFalse(hold("a", engine("a", load_timestamp_ms=None), 1.0).known)

    def test_a_sender_ahead_of_the_gateway(self) -> None:
        held = hold("a", engine("a", age_ms=-600_000, stale_after_ms=2000), 100.0)
        self.assertEqual((held.heard, held.stale_at), (100.0, 102.0))

    def test_what_is_no_engine(self) -> None:
        without = [{k: v for k, v in engine("a").items() if k != name} for name in (*FIELDS, "age_ms", "stale_after_ms")]
        wrong: list[Any] = [
            *without,
            None,
            1,
            "a",
            [],
            {},
            engine("b"),
            engine("a") | {"timestamp_ms": "1"},
            engine("a") | {"timestamp_ms": 1.0},
            engine("a", pending_tokens_total=True),
            engine("a", scheduling_mode=None),
            engine("a", latency_pred_ms=float("inf")),
            engine("a", engine_capacity=10**400),
            engine("a", age_ms=None),
            engine("a", age_ms="1"),
            engine("a", age_ms=10**400),
            engine("a", age_ms=float("inf")),
            engine("a", stale_after_ms=float("inf")),
            engine("a", stale_after_ms=[]),
        ]
        for value in wrong:
            with self.subTest(value=value):
                with self.assertRaises((KeyError, TypeError, ValueError, ArithmeticError)):
                    hold("a", value, 1.0)
