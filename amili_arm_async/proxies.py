"""Pure: which address is reached through which proxy: what was given, or the variables that curl reads, with the rules of `NO_PROXY`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

from .config import is_loopback
from .errors import ConfigurationError

__all__ = ["PROXY_VARIABLES", "Proxies", "bypasses", "check_proxy", "proxies_of", "without_credentials"]

PROXY_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
"""The variables that say which proxy is used, and for which hosts none is. (`HTTP_PROXY` is for plain http, which is only spoken here.)"""


class Proxies:
    """The proxy of a client, if it has one. Its credentials show nowhere.

    Args:
        url: address of the proxy; None: no proxy.
        no_proxy: the hosts that are reached without it, as `NO_PROXY` names them; None: there is none, not even this machine.
        variable: the environment variable that named the proxy; None where it was given as a setting.
    """

    def __init__(self, url: str | None = None, no_proxy: str | None = None, variable: str | None = None) -> None:
        self._url = url
        self._no_proxy = no_proxy
        self._variable = variable

    def __repr__(self) -> str:
        return f"<Proxies: {self.shown or 'none'}>"

    @property
    def shown(self) -> str | None:
        """The address of the proxy without credentials, for messages; None where there is no proxy."""
        return without_credentials(self._url) if self._url is not None else None

    @property
    def setting(self) -> str:
        """The name of the setting that names the proxy, for messages."""
        return self._variable or "proxy"

    @property
    def host(self) -> str | None:
        """The host of the proxy, in lower case; None where there is no proxy."""
        return urlsplit(self._url).hostname if self._url is not None else None

    def of(self, address: str) -> str | None:
        """Returns the proxy through which an address is reached, with its credentials; None: it is reached directly.

        Args:
            address: begins with scheme, host and port.

        Raises:
            ConfigurationError: the environment names a proxy that can't be used.
        """
        if self._url is None:
            return None
        if self._no_proxy is not None:
            parts = urlsplit(address)
            host = (parts.hostname or "").rstrip(".")
            if is_loopback(host) or bypasses(self._no_proxy, host, parts.port or (80 if parts.scheme == "http" else 443)):
                return None
        return check_proxy(self._url, self.setting)


def proxies_of(variables: Mapping[str, str]) -> Proxies:
    """Returns the proxy that the environment names. As for curl, a name in lower case comes first, and a blank value counts as not set.

    Args:
        variables: the environment.
    """

    def first(*names: str) -> tuple[str, str] | None:
        return next(((name, value) for name in names if (value := variables.get(name, "").strip())), None)

    found = first(*PROXY_VARIABLES[:4])
    if found is None:
        return Proxies()
    name, url = found
    excepted = first(*PROXY_VARIABLES[4:])
    return Proxies(url if "://" in url else f"http://{url}", excepted[1] if excepted is not None else "", name)


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Returns whether a host is reached without a proxy.

    Args:
        no_proxy: names and addresses, separated by commas or blanks. `example.com`, `.example.com` and `*.example.com` are that domain and
            all below it; `10.0.0.0/8` and `fd00::/8` are networks; with a port, only that port is meant; `*` is every host.
        host: name or address, in lower case.
        port: the port.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        name, its_port = _parts(entry)
        if entry == "*":
            return True
        if its_port and its_port != str(port):
            continue
        if address is not None:
            if _is_in(address, name):
                return True
        elif (name := _domain(name)) and (host == name or host.endswith("." + name)):
            return True
    return False


def _parts(entry: str) -> tuple[str, str]:
    """Splits an entry into its name or network, and its port, which may be blank."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _domain(name: str) -> str:
    name = name.removeprefix("*").strip(".")
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def check_proxy(proxy: object, name: str = "proxy") -> str:
    """Refuses what is no address of a proxy; `name` names the setting. The address is not in the message: it may hold a password."""
    try:
        url = URL(proxy) if isinstance(proxy, str) else None
    except ValueError:
        url = None
    if not isinstance(proxy, str) or url is None or url.scheme not in {"http", "https"} or not url.host:
        socks = ": a SOCKS proxy can't be used" if isinstance(proxy, str) and proxy.lower().startswith("socks") else ""
        raise ConfigurationError(f"{name} must be an address such as 'http://proxy.example:3128'{socks}")
    return proxy


def without_credentials(url: str) -> str:
    """Returns scheme, host and port of an address, for messages."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port is not None else "")
    except ValueError:
        return "***"
