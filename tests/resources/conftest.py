"""A client whose requests are looked at and never leave."""

from ..support.wire import arm, wire, wire_anywhere

__all__ = ["arm", "wire", "wire_anywhere"]
