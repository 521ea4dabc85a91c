import os
import signal
import threading
import unittest
from unittest import mock

from elrar_state_gateway import gateway as gateway_module
from elrar_state_gateway import get_state_gateway

from .fake import ClientTest, engine, event, snapshot, update


@unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
class Fork(ClientTest):
    """Servers that load the router and then fork their workers: gunicorn --preload, uwsgi, multiprocessing."""


    def test_callbacks_are_the_parents(self) -> None:
        """An event loop's, called in a worker, would write into the parent's."""
        fake = self.fake()
        gateway = self.follow(fake.url)
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        gateway.on_change(lambda: os.write(writing, str(os.getpid()).encode() + b" "))
        child = os.fork()
        if child == 0:
            try:
                gateway._changed()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        gateway.shutdown()
        os.close(writing)
        said = b""
        while piece := os.read(reading, 1000):
            said += piece
        self.assertEqual(set(said.split()), {str(os.getpid()).encode()})

    def test_a_worker_follows_by_itself(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        of_parent = fake.next_stream(engine("a", 1))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)

        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                inherited = gateway.get_engine_states_dict()["a"]["timestamp_ms"]  # this read starts the thread
                os.write(writing, f"{inherited},".encode())
                self.wait_for("news", lambda: gateway.get_engine_states_dict()["a"]["timestamp_ms"] == 2)
                os.write(writing, b"2,")
                self.wait_for("the end", lambda: not gateway.get_stats()["connected"])
                gateway.shutdown()
                os.write(writing, b"end")
            finally:
                os._exit(0)
        os.close(writing)
        self.addCleanup(os.close, reading)
        try:
            of_child = fake.next()
            of_child.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", snapshot(engine("a", 2)))
            said = b""
            while not said.endswith(b"2,"):
                piece = os.read(reading, 100)
                self.assertTrue(piece, f"the child ended after {said!r}")
                said += piece
            self.assertEqual(said, b"1,2,")
            # The parent's stream is its own: it goes on, and ends when the parent ends it, though the child lives.
            self.assertEqual(gateway.get_engine_states_dict()["a"]["timestamp_ms"], 1)
            of_parent.send(update(engine("a", 3)))
            self.wait_for("the parent's news", lambda: gateway.get_engine_states_dict()["a"]["timestamp_ms"] == 3)
            gateway.shutdown()
            self.assertTrue(of_parent.closed_by_client())
            self.assertEqual(os.waitpid(child, os.WNOHANG)[0], 0)
            of_child.send(event("end", reason="stopping", detail="stopping"))
            of_child.close()
            self.assertEqual(os.read(reading, 100), b"end")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def test_a_child_that_does_not_read_does_not_connect(self) -> None:
        fake = self.fake()
        gateway = self.follow(fake.url)
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        stream = gateway._followers[0]._stream
        assert stream is not None and stream._socket is not None
        descriptor = stream._socket.fileno()
        child = os.fork()
        if child == 0:
            gateway.shutdown()
            try:
                os.fstat(descriptor)  # the parent's; a copy of it would keep the connection when the parent has closed it
            except OSError:
                os._exit(0 if gateway.get_engine_states_dict() else 1)
            os._exit(2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertTrue(gateway.get_stats()["connected"])
        self.assertEqual(fake.accepted, 1)

    def test_locks_that_others_held(self) -> None:
        """A thread that has a lock at the moment of the fork is not there in the child to release it."""
        fake = self.fake()
        with mock.patch.dict(os.environ, {"VLLM_STATE_GATEWAY_URL": fake.url}):
            gateway = get_state_gateway()
        self.addCleanup(gateway.shutdown)
        fake.next_stream(engine("a"))
        self.wait_for("the snapshot", gateway.get_engine_states_dict)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with gateway._lock, gateway._table._lock, gateway_module._singleton_lock:
                held.set()
                release.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                self.wait_for("news", lambda: get_state_gateway().get_engine_states_dict()["a"]["timestamp_ms"] == 2)
                os._exit(0)
            finally:
                os._exit(1)
        release.set()
        holder.join()
        try:
            fake.next_stream(engine("a", 2))
        finally:
            self.assertEqual(os.waitpid(child, 0)[1], 0)
