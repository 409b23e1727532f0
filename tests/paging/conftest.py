"""The faulty server and a client of it."""

from ..support.faulty_fixtures import arm, nothing_left, server

__all__ = ["arm", "nothing_left", "server"]
