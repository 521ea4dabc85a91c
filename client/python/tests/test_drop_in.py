import ast
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import make_drop_in

from .fake import ClientTest, engine, state

USER = """
import sys, time
from vllm_router.services.state_gateway.gateway import EngineState, StateGateway, get_state_gateway

deadline = time.monotonic() + 30
while not get_state_gateway().get_engine_states_dict():
    assert time.monotonic() < deadline, get_state_gateway().get_stats()
    time.sleep(0.005)
gateway = get_state_gateway()
assert isinstance(gateway, StateGateway)
assert isinstance(gateway.get_engine_state("a"), EngineState)
print(gateway.get_engine_states_dict())
gateway.shutdown()
assert not [m for m in sys.modules if m.startswith("elrar")]
"""


class DropIn(ClientTest):
    def test_it_is_the_package(self) -> None:
        self.assertEqual(
            make_drop_in.DROP_IN.read_bytes(),
            make_drop_in.drop_in().encode(),
            "drop_in/gateway.py is not what the package is: run python3 make_drop_in.py",
        )

    def test_in_its_place(self) -> None:
        """The file alone, where the first gateway's was, in a process that has no package of ours."""
        fake = self.fake()
        with tempfile.TemporaryDirectory() as directory:
            place = pathlib.Path(directory, "vllm_router", "services", "state_gateway")
            place.mkdir(parents=True)
            shutil.copy(make_drop_in.DROP_IN, place / "gateway.py")
            user = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", USER],
                cwd=directory,
                env={"VLLM_STATE_GATEWAY_URL": fake.url, "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            fake.next_stream(engine("a", 5))
            out, err = user.communicate(timeout=60)
        self.assertEqual((user.returncode, err), (0, ""))
        self.assertEqual(ast.literal_eval(out), {"a": state("a", 5)})


class Program(unittest.TestCase):
    def test_it_is_no_gateway(self) -> None:
        """The first gateway was started as python gateway.py."""
        run = subprocess.run([sys.executable, make_drop_in.DROP_IN, "--port", "9999"], capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (64, ""))
        self.assertIn("state-gateway serve", run.stderr)


class Imports(unittest.TestCase):
    @unittest.skipUnless(hasattr(sys, "stdlib_module_names"), "Python 3.10 and later know their own modules")
    def test_the_standard_library_alone(self) -> None:
        for node in ast.walk(ast.parse(make_drop_in.drop_in())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                self.assertIn(name.split(".")[0], sys.stdlib_module_names)

    def test_python_3_9_can_read_it(self) -> None:
        for path in (*make_drop_in.PACKAGE.glob("*.py"), make_drop_in.DROP_IN):
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))
