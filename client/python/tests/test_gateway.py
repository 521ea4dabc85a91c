import os
import ssl
import subprocess
import tempfile
import threading
import traceback
import unittest
from unittest import mock

import elrar_state_gateway
from elrar_state_gateway import EngineState, StateGateway, follower, stream, table
from elrar_state_gateway.state import FIELDS
from elrar_state_gateway.table import Table

from .fake import BOOKMARK, OK, ClientTest, Connection, FakeGateway, engine, event, snapshot, state, states_event, update


def following_threads() -> "list[str]":
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("state-gateway")]


class Interface(ClientTest):
    """What the first gateway's users call."""

    def test_a_stream(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        self.assertEqual(gateway.get_engine_states_dict(), {})
        self.assertIsNone(gateway.get_engine_state("a"))
        connection = fake.next_stream(engine("a"), engine("b"))
        self.assertIn("GET /v1/watch?fields=engines&stale=include HTTP/1.1\r\n", connection.request)
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a"), "b": state("b")})
        connection.send(update(engine("b", 2, pending_tokens_total=7), engine("c")))
        self.wait_for("the update", lambda: gateway.get_total_engines_count() == 3)
        want = {"a": state("a"), "b": state("b", 2, pending_tokens_total=7), "c": state("c")}
        self.assertEqual(gateway.get_engine_states_dict(), want)
        connection.send(event("removed", revision=2, engine_ids=["a", "unknown"]), event("a new kind", x=1), BOOKMARK)
        self.wait_for("the removal", lambda: gateway.get_total_engines_count() == 2)
        self.assertIsNone(gateway.get_engine_state("a"))
        connection.send(snapshot(engine("c", 3)))
        self.wait_for("another snapshot", lambda: gateway.get_engine_states_dict()["c"]["timestamp_ms"] == 3)
        self.assertEqual(fake.accepted, 1)

    def test_copies_are_the_callers_own(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        states = gateway.get_engine_states_dict()
        states["a"]["pending_tokens_total"] += 1000
        states["a"]["more"] = 1
        states["b"] = {}
        one = gateway.get_engine_state("a")
        assert one is not None
        one.pending_tokens_total = 5
        self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a")})
        self.assertEqual(gateway.get_engine_state("a"), EngineState(**state("a")))

    def test_one_engine(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("a", 9))
        self.wait_for("the snapshot", lambda: gateway.get_engine_state("a"))
        one = gateway.get_engine_state("a")
        self.assertEqual({name: getattr(one, name) for name in FIELDS}, state("a", 9))
        self.assertIsNone(gateway.get_engine_state("b"))

    def test_statistics(self) -> None:
        fake, nobody = self.fake(), self.fake()
        nobody.close()
        gateway = self.follow(fake.url, nobody.url)
        stats = gateway.get_stats()
        first = {"total_received": 0, "valid_states": 0, "invalid_states": 0, "valid_rate": "0.00%", "last_received": 0.0}
        first |= {"active_engines": 0, "total_engines": 0, "connected": False, "reconnects": 0, "last_event_age": None}
        unknown = ("unicast_received", "broadcast_received", "network_mode", "bind_address", "udp_port", "stale_threshold_ms")
        first |= dict.fromkeys(unknown)
        self.assertEqual({k: v for k, v in stats.items() if k != "gateways"}, first)
        connection = fake.next_stream(engine("a"), engine("b", age_ms=70_000))
        connection.send(update(engine("c"), {"engine_id": "d"}))
        self.wait_for("the update", lambda: gateway.get_stats()["total_received"] == 4)
        self.wait_for("a refusal", lambda: gateway.get_stats()["gateways"][1]["problem"])
        stats = gateway.get_stats()
        want = {"valid_states": 3, "invalid_states": 1, "valid_rate": "75.00%", "active_engines": 2, "total_engines": 3}
        self.assertEqual({k: stats[k] for k in want}, want)
        self.assertTrue(stats["connected"])
        self.assertGreater(stats["last_received"], 1e9)
        self.assertGreaterEqual(stats["last_event_age"], 0)
        of_one, of_other = stats["gateways"]
        self.assertEqual((of_one["url"], of_one["connected"], of_one["problem"]), (fake.url, True, None))
        self.assertEqual((of_other["connected"], of_other["problem"]), (False, "Connection refused"))
        self.assertIsNone(of_other["last_event_age"])
        self.assertEqual((gateway.get_active_engines_count(), gateway.get_total_engines_count()), (2, 3))

    def test_singleton(self) -> None:
        fake = self.fake()
        with mock.patch.dict(os.environ, {"VLLM_STATE_GATEWAY_URL": f" {fake.url} ,, "}):
            found: "list[StateGateway]" = []
            threads = [
                threading.Thread(target=lambda: found.append(elrar_state_gateway.get_state_gateway())) for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.addCleanup(found[0].shutdown)
            self.assertEqual([f is found[0] for f in found], [True] * 20)
            fake.next_stream(engine("a"))
            self.wait_for("the snapshot", found[0].get_engine_states_dict)
            found[0].shutdown()
            second = elrar_state_gateway.get_state_gateway()
            self.addCleanup(second.shutdown)
            self.assertIsNot(second, found[0])
            fake.next_stream(engine("b"))
            self.wait_for("its snapshot", second.get_engine_states_dict)

    def test_environment(self) -> None:
        stale = engine("a", age_ms=5000, stale_after_ms=2000)
        for value, shown in {"": 0, "false": 0, "0": 0, "true": 1, "YES": 1, "on": 1, "1": 1}.items():
            with self.subTest(value=value):
                fake = self.fake()
                environment = {"VLLM_STATE_GATEWAY_URL": fake.url, "VLLM_STATE_GATEWAY_INCLUDE_STALE": value}
                with mock.patch.dict(os.environ, environment):
                    gateway = StateGateway()
                self.addCleanup(gateway.shutdown)
                fake.next_stream(stale)
                self.wait_for("the snapshot", gateway.get_total_engines_count)
                self.assertEqual(len(gateway.get_engine_states_dict()), shown)

    def test_the_default_is_this_machine(self) -> None:
        for value in ("", " "):
            with mock.patch.dict(os.environ, {"VLLM_STATE_GATEWAY_URL": value}):
                gateway = StateGateway()
            gateway.shutdown()
            self.assertEqual([g["url"] for g in gateway.get_stats()["gateways"]], ["http://127.0.0.1:8080"])

    def test_shutdown(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        connection = fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        gateway.shutdown()
        gateway.shutdown()
        self.assertTrue(connection.closed_by_client())
        self.assertEqual(following_threads(), [])
        self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a")})
        self.assertFalse(gateway.get_stats()["connected"])
        self.assertEqual(fake.accepted, 1)

    def test_shutdown_between_two_attempts(self) -> None:
        with mock.patch.object(follower, "Stream") as attempts, mock.patch.object(follower, "longest_pause", return_value=1e6):
            attempts.return_value.events.side_effect = OSError
            gateway = self.follow("http://127.0.0.1")
            self.wait_for("an attempt", lambda: attempts.return_value.events.called)
            gateway.shutdown()
            self.wait_for("the thread's end", lambda: not following_threads())
            self.assertEqual(attempts.call_count, 1)

    def test_shutdown_before_an_attempt(self) -> None:
        follower_ = follower.Follower("http://127.0.0.1", Table(1), 0)
        with mock.patch.object(follower, "Stream", side_effect=lambda _: follower_.stop()) as attempts:
            follower_.start()
            self.wait_for("the thread's end", lambda: not following_threads())
        attempts.assert_called_once()
        self.assertIsNone(follower_.problem)  # it did not use what it got

    def test_no_thread_to_be_had(self) -> None:
        fake = self.fake()
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            gateway = StateGateway(fake.url)
            self.addCleanup(gateway.shutdown)
            self.assertEqual(gateway.get_engine_states_dict(), {})
            self.assertEqual(gateway.get_stats()["gateways"][0]["problem"], "can't start new thread")
        self.assertEqual(gateway.get_engine_states_dict(), {})  # this read has started it
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)


class Ages(ClientTest):
    def test_silence_makes_stale_and_news_makes_fresh(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        all_of_them = self.follow(fake.url, include_stale=True)
        news = engine("a", age_ms=100, stale_after_ms=400), engine("b")
        connections = fake.next_stream(*news), fake.next_stream(*news)
        for follower_ in gateway, all_of_them:
            self.wait_for("the snapshot", follower_.get_total_engines_count)
        self.wait_for("a to be stale", lambda: set(gateway.get_engine_states_dict()) == {"b"})
        for connection in connections:
            connection.send(BOOKMARK)  # which is no news of anybody
        self.wait_for("a to be stale there, too", lambda: all_of_them.get_active_engines_count() == 1)
        self.assertEqual(set(all_of_them.get_engine_states_dict()), {"a", "b"})
        self.assertIsNone(gateway.get_engine_state("a"))
        self.assertIsNotNone(all_of_them.get_engine_state("a"))
        self.assertEqual((gateway.get_active_engines_count(), gateway.get_total_engines_count()), (1, 2))
        for connection in connections:
            connection.send(update(engine("a", 2)))
        self.wait_for("a to be back", lambda: set(gateway.get_engine_states_dict()) == {"a", "b"})

    def test_what_a_lost_gateway_told_is_forgotten(self) -> None:
        """With nobody left who could say that it is gone."""
        fake = self.fake()
        gateway = self.follow(fake.url, include_stale=True)
        fake.next_stream(engine("a", stale_after_ms=100))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        with mock.patch.object(table, "FORGET_AFTER", 0.1):
            fake.close()
            self.wait_for("its end", lambda: not gateway.get_engine_states_dict())
        self.assertEqual(gateway.get_total_engines_count(), 0)

    def test_the_age_at_the_gateway_counts(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("old", age_ms=60_001, stale_after_ms=60_000), engine("new", age_ms=0, stale_after_ms=60_000))
        self.wait_for("the snapshot", gateway.get_total_engines_count)
        self.assertEqual(set(gateway.get_engine_states_dict()), {"new"})

    def test_states_outlive_the_stream_until_they_are_stale(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("short", stale_after_ms=500), engine("long"))
        self.wait_for("the snapshot", gateway.get_total_engines_count)
        fake.close()
        self.wait_for("the break", lambda: not gateway.get_stats()["connected"])
        self.assertIn("long", gateway.get_engine_states_dict())
        self.wait_for("the short-lived to be stale", lambda: set(gateway.get_engine_states_dict()) == {"long"})

    def test_a_restarted_gateway_has_not_heard_of_everybody(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("a"), engine("b")).close()
        fake.next_stream(engine("b", 2))
        self.wait_for("the new stream", lambda: gateway.get_stats()["reconnects"] == 1)
        self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a"), "b": state("b", 2)})


class Faults(ClientTest):
    """Whatever a gateway does, reading goes on, the log says so once, and the next good answer is taken."""

    def check_fault(self, problem: str, *answer: bytes) -> None:
        fake = self.fake()
        self.records.lines.clear()
        with mock.patch.multiple(follower, _STEADY=0.0, LONGEST_PAUSE=0.02):
            gateway = self.follow(fake.url)
            for _ in range(3):
                connection = fake.next()
                connection.send(*answer)
                connection.close()
                self.assertEqual(gateway.get_engine_states_dict(), {})
            connection = fake.next_stream(engine("a"))
            connection.send(BOOKMARK)
            self.wait_for("a good answer", gateway.get_engine_states_dict)
            self.wait_for("the good news", lambda: len(self.records.lines) == 2)
        gateway.shutdown()
        said = f"WARNING state gateway {fake.url}: {problem}; what it told grows stale"
        self.assertEqual(self.records.lines, [said, f"INFO state gateway {fake.url}: following it"])

    def test_answers(self) -> None:
        def answer(status: str, *headers: str) -> bytes:
            return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 2", "", "{}"]).encode()

        json_answer = "Content-Type: application/json"
        half = snapshot(engine("a"))[:-1]
        for problem, sent in {
            "it answers 500 Internal Server Error": answer("500 Internal Server Error", json_answer),
            "it answers 404 Not Found": answer("404 Not Found"),
            "it answers 204 No Content": answer("204 No Content"),
            "it answers 503 ?": answer("503 \x1b"),
            "it answers 302 Found (redirects are not followed)": answer("302 Found", "Location: http://127.0.0.1:1/"),
            "it answers with application/json, not with an event stream": answer("200 OK", json_answer),
            "it answers with text/plain, not with an event stream": answer("200 OK"),
            "what it answers is not HTTP": b"\x00\xff" * 5000 + b"\r\n\r\n",
            "the gateway ended the stream": OK + half,
            "the gateway ended the stream: going": OK + event("end", reason="x", detail="going"),
        }.items():
            with self.subTest(problem=problem):
                self.check_fault(problem, sent)

    def test_a_gateway_that_says_nothing(self) -> None:
        self.check_fault("what it answers is not HTTP")

    def test_events_that_are_none(self) -> None:
        for sent in (b"[1]", b"{", b"nonsense", b'{"states": NaN}', b"\xff", b"[" * 100_000, b'"x"'):
            with self.subTest(sent=sent[:20]):
                self.check_fault("an event is not a JSON object", OK + b"event: snapshot\ndata: " + sent + b"\n\n")

    def test_events_that_lack_something(self) -> None:
        self.check_fault("an event lacks its states", OK + event("snapshot", revision=1))
        self.check_fault("an event lacks its states", OK + event("update", states=[]))
        self.check_fault("an event lacks its engine_ids", OK + event("removed", engine_ids="a"))

    def test_an_event_without_end(self) -> None:
        with mock.patch.object(stream.Parser.__init__, "__defaults__", (100_000,)):
            self.check_fault("an event is longer than 100000 bytes", OK + b"data: ", *[b"x" * 10_000] * 11)

    def test_engines_that_are_none(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        connection = fake.next_stream(engine("a"), engine("b", scheduling_mode=1), engine("c\n", engine_capacity=None))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        connection.send(update(engine("b", age_ms=None), engine("d")))
        self.wait_for("the update", lambda: "d" in gateway.get_engine_states_dict())
        self.assertEqual(set(gateway.get_engine_states_dict()), {"a", "d"})
        self.assertEqual(gateway.get_stats()["invalid_states"], 3)
        self.assertEqual(len([line for line in self.records.lines if "not understood" in line]), 1)

    def test_silence(self) -> None:
        with mock.patch.object(stream, "SILENCE", 0.3):
            fake = self.fake()
            gateway = self.follow(fake.url)
            fake.next()  # which says nothing at all
            fake.next().send(OK)
            fake.next_stream(engine("a"))
            fake.next_stream(engine("a")).send(BOOKMARK, BOOKMARK)
            fake.next()
            self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a")})
        self.assertEqual(self.records.lines, [f"WARNING state gateway {fake.url}: no event for 0.3 s; what it told grows stale"])

    def test_bytes_without_an_event_are_silence(self) -> None:
        for drops, pause in ((b"x", 0.02), (b": a comment\n\n", 0.02), (b"event: bookmark\n", 0.02), (b":\n\n" * 10_000, 0.0)):
            with self.subTest(drops=drops[:20]), mock.patch.object(stream, "SILENCE", 0.3):
                fake = self.fake()
                self.follow(fake.url)
                connection = fake.next_stream(engine("a"))
                stopped = threading.Event()

                def drip() -> None:
                    while not stopped.wait(pause):
                        connection.send(drops)

                trickle = threading.Thread(target=drip)
                trickle.start()
                try:
                    fake.next()
                finally:
                    stopped.set()
                    trickle.join()

    def test_events_that_come_late(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        connection = fake.next()
        times = (1_000_000, 1_000_001, 5_000_000, 4_999_900, 4_998_000)  # its clock is set, forwards and back
        connection.send(OK, *[states_event("snapshot", engine("a"), server_time_ms=ms) for ms in times])
        connection.send(states_event("update", engine("a", 2), server_time_ms=4_996_000))
        fake.next()
        self.assertEqual(gateway.get_engine_states_dict(), {"a": state("a", 1)})
        self.assertEqual(len(self.records.lines), 1)
        self.assertIn("its events come more than 3 s late", self.records.lines[0])

    def test_a_log_that_fails(self) -> None:
        with mock.patch.object(self.records, "emit", side_effect=OSError("no space left")) as failing:
            fake = self.fake()
            gateway = self.follow(fake.url)
            fake.next().close()
            fake.next_stream(engine("a"), {"engine_id": "b"})
            self.wait_for("the snapshot", gateway.get_engine_states_dict)
            self.wait_for("two messages", lambda: failing.call_count == 2)

    def test_urls_that_are_none(self) -> None:
        """They are refused, all that come with them too: nothing is started."""
        for urls in ("nonsense", "", " , ", [], ["http://h", "http://h:0"], "http://h,ftp://h"):
            with self.subTest(urls=urls), self.assertRaises(ValueError):
                StateGateway(urls)
        with mock.patch.dict(os.environ, {"VLLM_STATE_GATEWAY_URL": " , "}), self.assertRaises(ValueError):
            StateGateway()
        self.assertEqual(following_threads(), [])

    def test_elements_that_do_not_count(self) -> None:
        gateway = self.follow("http://127.0.0.1:1, ", "http://127.0.0.1:2,http://127.0.0.1:1,,")
        shown = [g["url"] for g in gateway.get_stats()["gateways"]]
        self.assertEqual(shown, ["http://127.0.0.1:1", "http://127.0.0.1:2"])

    def test_a_password_is_nowhere(self) -> None:
        for urls in (
            "http://me:sec,ret@gateway",
            "http://a:1,http://me:sec,ret@gateway,",
            "http://me:sec@ret@gateway:99999",
            "http://me:sec@ret,http://ret@gateway",
            ["http://me:1,sec@ret"],
        ):
            with self.subTest(urls=urls):
                with self.assertRaises(ValueError) as raised:
                    StateGateway(urls)
                shown = "".join(traceback.format_exception_only(ValueError, raised.exception)) + str(self.records.lines)
                for piece in ("sec", "ret", "me:"):
                    self.assertNotIn(piece, shown)

    def test_ports(self) -> None:
        for port in ("0", "65536", "99999", "x", "-1"):
            with self.assertRaisesRegex(ValueError, "1 to 65535"):
                stream.parse_address("http://gateway:" + port)
        self.assertEqual(stream.parse_address("http://gateway:65535").port, 65535)

    def test_a_list_with_empty_places(self) -> None:
        fake = self.fake()
        gateway = StateGateway(f",{fake.url},, {fake.url},")
        self.addCleanup(gateway.shutdown)
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        self.assertEqual([g["url"] for g in gateway.get_stats()["gateways"]], [fake.url])
        self.assertEqual(fake.accepted, 1)

    def test_it_is_back_within_two_seconds(self) -> None:
        """By its arithmetic, since a busy machine proves nothing: an attempt that hangs, and the longest pause."""
        self.assertLess(stream.CONNECT + follower.LONGEST_PAUSE, 2)
        pauses = [follower.longest_pause(attempt) for attempt in (0, 1, 2, 3, 4, 5, 1000, 10**9)]
        self.assertEqual(pauses, [0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8])


class SeveralGateways(ClientTest):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.fake(), self.fake()
        self.gateway = self.follow(self.one.url, self.other.url)

    def wait_for_timestamp(self, timestamp_ms: int) -> None:
        def arrived() -> bool:
            return self.gateway.get_engine_states_dict().get("a", {}).get("timestamp_ms") == timestamp_ms

        self.wait_for(f"timestamp {timestamp_ms}", arrived)

    def test_the_newest_wins(self) -> None:
        one, other = self.one.next_stream(engine("a", 1)), self.other.next_stream(engine("a", 2), engine("b"))
        self.wait_for_timestamp(2)
        one.send(update(engine("a", 3), engine("c")))
        self.wait_for_timestamp(3)
        other.send(update(engine("a", 2, pending_tokens_total=1), engine("d")))
        self.wait_for("d", lambda: "d" in self.gateway.get_engine_states_dict())
        self.wait_for_timestamp(3)
        self.assertEqual(set(self.gateway.get_engine_states_dict()), {"a", "b", "c", "d"})

    def test_one_is_lost_and_the_engines_clock_set_back(self) -> None:
        self.one.next_stream(engine("a", 9_000_000))
        other = self.other.next_stream(engine("a", 8_999_999))
        self.wait_for_timestamp(9_000_000)
        self.one.close()
        # One that was heard more than a second later than the lost one's last: five pushes have gone by.
        other.send(update(engine("a", 5, age_ms=-1)))
        self.wait_for("the other one's", lambda: self.updated(other, 5))

    def updated(self, connection: Connection, timestamp_ms: int) -> bool:
        connection.send(update(engine("a", timestamp_ms)))
        return bool(self.gateway.get_engine_states_dict()["a"]["timestamp_ms"] == timestamp_ms)


class Transports(ClientTest):
    def test_chunks(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        connection = fake.next()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
        text = snapshot(engine("a")) + update(engine("b"))
        for start in range(0, len(text), 100):
            piece = text[start : start + 100]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wait_for("both events", lambda: len(gateway.get_engine_states_dict()) == 2)
        connection.send(b"0\r\n\r\n")
        fake.next_stream(engine("c"))
        self.wait_for("the next stream", lambda: len(gateway.get_engine_states_dict()) == 3)

    def test_a_path_before_ours(self) -> None:
        fake = self.fake()
        self.follow(fake.url + "/elrar/")
        self.assertIn("GET /elrar/v1/watch?", fake.next().request)

    def test_ipv6(self) -> None:
        try:
            fake = self.fake("::1")
        except OSError:
            self.skipTest("this machine has no IPv6 loopback")
        gateway = self.follow(fake.url)
        connection = fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        self.assertIn(f"\r\nHost: {fake.url[7:]}\r\n", connection.request)


    def test_tls(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            key, certificate = os.path.join(directory, "key"), os.path.join(directory, "certificate")
            curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            name = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
            files = ["-keyout", key, "-out", certificate]
            subprocess.run([self.need("openssl"), "req", "-x509", *curve, *name, *files], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            fake = self.fake(context=context)
            gateway = self.follow(fake.url)
            self.wait_for("the refusal of an unknown certificate", lambda: self.records.lines)
            self.assertIn("certificate", self.records.lines[0].lower())
            with mock.patch.dict(os.environ, {"SSL_CERT_FILE": certificate}):  # what makes it a known one
                connection = fake.next_stream(engine("a"))
                self.wait_for("the snapshot", gateway.get_engine_states_dict)
                gateway.shutdown()
                self.assertTrue(connection.closed_by_client())
                self.assertEqual(following_threads(), [])


class ManyReaders(ClientTest):
    def test_readers_see_whole_states(self) -> None:
        """Twenty threads read while every engine changes; each state they see is one that was sent, in order."""
        fake = self.fake()
        gateway = self.follow(fake.url)
        engines, rounds = 50, 200
        wrong: "list[object]" = []
        done = threading.Event()

        def sent(number: int, round_: int) -> "dict[str, object]":
            return engine(f"e{number}", round_, pending_tokens_total=round_ * 1000 + number, kv_cache_free_blocks=round_)

        def read() -> None:
            newest: "dict[str, int]" = {}
            try:
                while not done.is_set():
                    for engine_id, seen in gateway.get_engine_states_dict().items():
                        round_, number = seen["timestamp_ms"], int(engine_id[1:])
                        if seen != dict(list(sent(number, round_).items())[:8]) or round_ < newest.get(engine_id, 0):
                            wrong.append(seen)
                        newest[engine_id] = round_
                        seen["pending_tokens_total"] = -1  # it is ours
                    gateway.get_engine_state("e1")
                    gateway.get_stats()
                    done.wait(0.001)  # or twenty of them leave the thread that follows too little of the interpreter
            except Exception as error:
                wrong.append(error)

        connection = fake.next_stream()
        readers = [threading.Thread(target=read) for _ in range(20)]
        for reader in readers:
            reader.start()
        for round_ in range(1, rounds + 1):
            connection.send((snapshot if round_ % 50 == 0 else update)(*[sent(number, round_) for number in range(engines)]))
        try:
            self.wait_for("the last round", lambda: gateway.get_stats()["total_received"] == engines * rounds)
        finally:
            done.set()
            for reader in readers:
                reader.join()
        self.assertEqual(wrong[:3], [])
        self.assertEqual(gateway.get_engine_states_dict()["e7"]["timestamp_ms"], rounds)


if __name__ == "__main__":
    unittest.main()
