"""The published protocol, its theory, and advice on annotation."""

from rmspace.paper import advice, protocol, theory

__all__ = ["advice", "protocol", "theory"]
