"""Certificates from files: an authority, a client certificate and its key; and what is said of a file that is none."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from amili_arm_async import ArmClient, ConfigurationError, RetryPolicy
from amili_arm_async.certificates import tls_context

from ..support.http_server import HttpServer, Request, reply

pytestmark = pytest.mark.quick

PASSWORD = "hunter2-of-the-key"


async def answer(request: Request) -> bool:
    await request.body()
    request.send(reply(200, {"customers": [{"customerNo": "7"}]}))
    return True


class Files:
    """The files of an authority, and of a client that it knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        client, other = self.authority.issue_cert("client"), self.authority.issue_cert("other")
        private = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
        locked = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(PASSWORD.encode())
        )
        chain = b"".join(pem.bytes() for pem in client.cert_chain_pems)
        self.ca = self.write("ca.pem", self.authority.cert_pem.bytes())
        self.cert = self.write("client.pem", chain)
        self.key = self.write("client.key", client.private_key_pem.bytes())
        self.both = self.write("both.pem", client.private_key_pem.bytes() + chain)
        self.locked = self.write("locked.key", locked)
        self.other = self.write("other.key", other.private_key_pem.bytes())
        self.text = self.write("text.pem", b"no certificate\n")
        self.empty = self.write("empty.pem", b"")

    def write(self, name: str, text: bytes) -> str:
        (self.folder / name).write_bytes(text)
        return str(self.folder / name)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def api(files: Files) -> AsyncIterator[HttpServer]:
    """A server that wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files.authority.issue_cert("127.0.0.1").configure_cert(context)
    files.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with HttpServer(answer, context=context) as server:
        yield server


@pytest.mark.parametrize(
    ("names", "password"),
    [
        ({"client_cert": "cert", "client_key": "key"}, None),
        ({"client_cert": "both"}, None),
        ({"client_cert": "cert", "client_key": "locked"}, PASSWORD),
        ({"client_cert": "both"}, "not needed"),
    ],
)
async def test_a_client_certificate_from_files(api: HttpServer, files: Files, names: dict[str, str], password: str | None) -> None:
    given: dict[str, Any] = {name: Path(getattr(files, value)) for name, value in names.items()}
    arm = ArmClient(
        2218, auth="t", base_url=api.base_url, retry=RetryPolicy(attempts=1), ca_file=files.ca, client_key_password=password, **given
    )
    async with arm:
        assert (await arm.customers.get("7")).customer_no == "7"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ca_file": "nowhere"}, "ca_file nowhere can't be read: No such file"),
        ({"ca_file": "a\0b"}, r"ca_file a\?b can't be read"),
        ({"ca_file": "{text}"}, "holds no certificate in PEM form"),
        ({"ca_file": "{empty}"}, "holds no certificate in PEM form"),
        ({"client_cert": "nowhere", "client_key": "{key}"}, "client_cert nowhere can't be read"),
        ({"client_cert": "{cert}", "client_key": "nowhere"}, "client_key nowhere can't be read"),
        ({"client_cert": "{cert}"}, "client_cert .* holds no private key in PEM form: give the key as client_key"),
        ({"client_cert": "{cert}", "client_key": "{cert}"}, "client_key .* holds no private key in PEM form$"),
        ({"client_cert": "{cert}", "client_key": "{other}"}, "client_key .*other.key is not the private key of client_cert .*client.pem"),
        ({"client_cert": "{text}", "client_key": "{key}"}, "client_cert .* holds no certificate in PEM form"),
        ({"client_cert": "{cert}", "client_key": "{locked}"}, "is encrypted: give its password as client_key_password"),
        ({"client_cert": "{cert}", "client_key": "{locked}", "client_key_password": "hunter2"}, "can't be opened with client_key_password"),
        ({"client_key": "{key}"}, "belong to client_cert"),
        ({"client_key_password": "hunter2"}, "belong to client_cert"),
    ],
)
def test_what_can_not_be_used_is_named(files: Files, given: dict[str, str], words: str) -> None:
    given = {name: value.format_map(vars(files)) for name, value in given.items()}
    with pytest.raises(ConfigurationError, match=words) as raised:
        ArmClient(2218, auth="t", base_url="https://api.example", **given)  # type: ignore[arg-type]
    assert "hunter2" not in str(raised.value)


def test_one_way_to_give_certificates(files: Files) -> None:
    with pytest.raises(ConfigurationError, match="load them into that context"):
        ArmClient(2218, auth="t", base_url="https://api.example", ssl=ssl.create_default_context(), ca_file=files.ca)


def test_only_the_authorities_of_the_file_are_trusted(files: Files) -> None:
    context = tls_context(ca_file=files.ca)
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert tls_context() is None
    assert tls_context(ca_file=files.folder) is not None
