"""Where everything is sent to: nginx when it is there, else the bundled server; in a process of its own, whose time does not count.

Both read every body to its end, answer it with 202 and a batchUuid, have a result for every batch, and lists of customers in pages. With
latency, or an entry for each record in the result, it is always the bundled server.
"""

import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from . import nginx
from .records import PAGES, one_customer, page


@dataclass
class Served:
    """A sink.

    Attributes:
        address: what to give as `base_url`.
        trust: what to give as `ssl`; None without TLS.
        certificate: file with the certificate of the authority; None without TLS.
        received: number of bytes of all requests, heads included; known when the sink has ended.
    """

    address: str
    trust: ssl.SSLContext | None
    certificate: Path | None
    received: int = 0


def kind() -> str:
    """What serves, for the foot of the table."""
    return nginx.version() if nginx.find() else "the bundled server"


@contextmanager
def sink(latency: float = 0.0, *, entries: bool = False) -> Iterator[str]:
    """The address of a sink that waits so many seconds before each answer."""
    with serve(latency, entries=entries) as served:
        yield served.address


@contextmanager
def serve(latency: float = 0.0, *, entries: bool = False, tls: bool = False, bundled: bool = False) -> Iterator[Served]:
    """A sink; `tls`: with a certificate made for it; `entries`: results have an entry for each record; `bundled`: never nginx."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_pages(folder)
        own, authority, trust = _make_certificates(folder) if tls else (None, None, None)
        scheme = "https" if tls else "http"
        if nginx.find() and not (latency or entries or bundled):
            with nginx.nginx(folder, own) as port:
                served = Served(f"{scheme}://127.0.0.1:{port}/arm/v1", trust, authority)
                yield served
            served.received = sum(map(int, (folder / "lengths").read_text().split()))
            return
        command = [sys.executable, "-m", "benchmarks.server", f"--latency={latency}", f"--pages={folder}"]
        command += ["--entries"] * entries + [f"--certificate={own}"] * tls
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            served = Served(f"{scheme}://127.0.0.1:{int(process.stdout.readline())}/arm/v1", trust, authority)
            try:
                yield served
            finally:
                process.stdin.close()
                served.received = int(process.stdout.readline())


def _write_pages(folder: Path) -> None:
    for number in range(1, PAGES + 1):
        (folder / f"page-{number}.json").write_bytes(page(number))
    (folder / "customer.json").write_bytes(one_customer())


def _make_certificates(folder: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate with its key in one file, that of the authority in another, and a context that trusts it."""
    authority = trustme.CA()
    own, above = folder / "certificate.pem", folder / "authority.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(above))
    return own, above, ssl.create_default_context(cafile=str(above))
