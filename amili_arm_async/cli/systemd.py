"""What systemd is told of a run: READY, STATUS, WATCHDOG and STOPPING, as datagrams to `$NOTIFY_SOCKET`."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

__all__ = ["SystemdNotifier"]

_LONGEST_STATUS: Final = 500


class SystemdNotifier:
    """Tells systemd how a run goes, where systemd wants to know: without `$NOTIFY_SOCKET` nothing happens. Nothing is ever raised.

    Args:
        variables: the environment.

    Attributes:
        watchdog: seconds after which systemd takes a silent process to hang; None where it does not watch this one.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        address = variables.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace of Linux; no other kinds are known here.
        self._address = "\0" + address[1:] if address.startswith("@") else address if address.startswith("/") else None
        self._status = ""
        self.watchdog = _watchdog(variables) if self.is_active else None

    @property
    def is_active(self) -> bool:
        """Whether systemd listens."""
        return self._address is not None and hasattr(socket, "AF_UNIX")

    def ready(self) -> None:
        """Says that the work begins."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Says how far the work is, unless it has been said.

        Args:
            text: one line, for people.
        """
        if text != self._status:
            self._status = text
            # A line break would begin another message.
            self._send(f"STATUS={' '.join(text[:_LONGEST_STATUS].split())}")

    def alive(self) -> None:
        """Says that the process does not hang."""
        if self.watchdog is not None:
            self._send("WATCHDOG=1")

    def stopping(self, seconds: float) -> None:
        """Says that the process is about to end.

        Args:
            seconds: how long it may take until then.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _send(self, message: str) -> None:
        if self._address is None or not self.is_active:
            return
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # A full queue on the other side must not hold the work up.
            sender.setblocking(False)
            sender.sendto(message.encode("utf-8", "replace"), self._address)


def _watchdog(variables: Mapping[str, str]) -> float | None:
    with contextlib.suppress(ValueError):
        microseconds = int(variables.get("WATCHDOG_USEC", ""))
        if microseconds > 0 and int(variables.get("WATCHDOG_PID") or os.getpid()) == os.getpid():
            return microseconds / 1e6
    return None
