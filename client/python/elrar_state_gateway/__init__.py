"""The states of LLM engines, from a State Gateway, in the memory of the router that reads them.

    from elrar_state_gateway import get_state_gateway

    states = get_state_gateway().get_engine_states_dict()

README.md beside the package says what is promised.
"""

from .gateway import StateGateway, get_state_gateway
from .state import Engine, EngineState

__all__ = ["Engine", "EngineState", "StateGateway", "get_state_gateway"]
