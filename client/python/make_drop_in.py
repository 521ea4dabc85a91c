#!/usr/bin/env python3
"""Makes drop_in/gateway.py, the package as one file: python3 make_drop_in.py

A test compares the file with what this makes.
"""

from __future__ import annotations

import ast
import pathlib

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE / "elrar_state_gateway"
DROP_IN = HERE / "drop_in" / "gateway.py"

# In the order in which they need each other.
MODULES = ["state", "table", "stream", "follower", "gateway"]

HEAD = '''"""The states of LLM engines, from a State Gateway, in the memory of the router that reads them.

This file is the package elrar_state_gateway in one piece, for those who would rather replace a file than install a
package: it takes the place of vllm_router/services/state_gateway/gateway.py. It is generated; do not edit it.
VLLM_STATE_GATEWAY_URL says where the gateway is.
"""

from __future__ import annotations

'''

# The first gateway was started as python gateway.py. 64 is EX_USAGE.
TAIL = '''

if __name__ == "__main__":
    print(
        "The state gateway is a program now, state-gateway, and this file is what a router reads its states with.\\n"
        "Start the gateway with: state-gateway serve",
        file=sys.stderr,
    )
    sys.exit(64)
'''


def drop_in() -> str:
    """Returns the text of the file: the modules one after the other, and what they import above them."""
    modules: set[str] = {"sys"}
    names: dict[str, set[str]] = {}
    parts: list[str] = []
    for name in MODULES:
        text = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
        docstring, *rest = ast.parse(text).body
        lines = text.splitlines()
        blank(lines, docstring)
        for node in rest:
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                if not node.level and node.module:
                    names.setdefault(node.module, set()).update(alias.name for alias in node.names)
            else:
                continue
            blank(lines, node)
        parts.append(f"# {name}.py\n\n\n" + "\n".join(lines).strip())
    names.pop("__future__")
    imports = [f"import {module}" for module in sorted(modules)]
    imports += [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    return HEAD + "\n".join(imports) + "\n\n\n" + "\n\n\n".join(parts) + "\n" + TAIL


def blank(lines: list[str], node: ast.stmt) -> None:
    for number in range(node.lineno - 1, node.end_lineno or node.lineno):
        lines[number] = ""


if __name__ == "__main__":
    DROP_IN.write_text(drop_in(), encoding="utf-8")
