"""The environment: every setting of the connection, secrets in files and keyrings, and a misspelt name."""

from __future__ import annotations

import os
import ssl
import sys
import types
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from amili_arm_async import DEFAULT, ArmClient, ClientCredentials, ConfigurationError, Limits, RetryPolicy, Timeout, TokenFile
from amili_arm_async.cli.settings_schema import KNOWN
from amili_arm_async.environment import _names

pytestmark = pytest.mark.quick

SECRET = "hunter2-the-secret"
ENVIRONMENT = {"AMILI_ARM_CLIENT_NO": "2218", "AMILI_ARM_BASE_URL": "https://api.example", "AMILI_ARM_TOKEN": "from-env"}
CREDENTIALS = {
    "AMILI_ARM_CLIENT_NO": "2218",
    "AMILI_ARM_BASE_URL": "https://api.example",
    "AMILI_ARM_CLIENT_ID": "id",
    "AMILI_ARM_IDENTITY_URL": "https://auth.example",
}


def made(**variables: str) -> Any:
    """The transport of a client with these variables besides those of the environment."""
    arm = ArmClient.from_env({**ENVIRONMENT, **{f"AMILI_ARM_{name.upper()}": value for name, value in variables.items()}})
    return arm._context.transport


def test_the_library_and_the_command_line_know_the_same_names() -> None:
    known = {one.variable for one in KNOWN.values() if one.table.startswith("connection") and one.variable is not None}
    assert set(_names()) == known


def test_the_numbers_of_the_connection() -> None:
    transport = made(timeout_connect="1", timeout_read="2.5", timeout_exchange="9", retry_attempts="2", limits_connections="3")
    assert transport.timeout == Timeout(connect=1, read=2.5, exchange=9)
    assert transport.retry == RetryPolicy(attempts=2)
    assert transport.limits == Limits(connections=3)
    assert made(timeout_total="none").timeout.total is None
    assert made(timeout_total="default").timeout.total is DEFAULT
    assert made(timeout_total="7").timeout.total == 7
    assert made(timeout_total=" ").timeout.total is DEFAULT
    assert made(limits_requests_per_second="2.5").limits.requests_per_second == 2.5


def test_a_table_that_is_given_overrides_its_variables() -> None:
    arm = ArmClient.from_env({**ENVIRONMENT, "AMILI_ARM_TIMEOUT_READ": "1"}, timeout=Timeout(connect=3))
    assert arm._context.transport.timeout == Timeout(connect=3)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("timeout_read", "soon", "AMILI_ARM_TIMEOUT_READ must be a number$"),
        ("timeout_total", "soon", "AMILI_ARM_TIMEOUT_TOTAL must be a number, 'none' or 'default'$"),
        ("timeout_read", "0", "AMILI_ARM_TIMEOUT_READ must be greater than 0, not 0"),
        ("timeout_read", "nan", "AMILI_ARM_TIMEOUT_READ must be a finite number"),
        ("retry_attempts", "1.5", "AMILI_ARM_RETRY_ATTEMPTS must be an integer"),
        ("limits_requests_per_second", "-1", "AMILI_ARM_LIMITS_REQUESTS_PER_SECOND must be greater than 0"),
        ("proxy", "proxy:3128", "proxy must be an address"),
        ("ca_file", "nowhere.pem", "ca_file nowhere.pem can't be read"),
        ("ca_file", "$NO_SUCH_VARIABLE/ca.pem", r"AMILI_ARM_CA_FILE names \$NO_SUCH_VARIABLE"),
        ("client_key", "nowhere.pem", "belong to client_cert"),
        ("token_file", "/nowhere", "AMILI_ARM_TOKEN and AMILI_ARM_TOKEN_FILE are both set"),
        ("token_keyring", "no-colon", "AMILI_ARM_TOKEN_KEYRING must be SERVICE:USER"),
    ],
)
def test_a_fault_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        made(**{name: text})


def test_a_proxy_of_the_environment_that_is_given() -> None:
    variables = {**ENVIRONMENT, "HTTPS_PROXY": "http://proxy.example:1"}
    assert ArmClient.from_env(variables)._context.transport._connections._proxies.shown == "http://proxy.example:1"
    for none in ({"AMILI_ARM_PROXY": "none"}, {"NO_PROXY": "api.example"}):
        arm = ArmClient.from_env({**variables, **none})
        assert arm._context.transport._connections._proxies.of("https://api.example") is None
    arm = ArmClient.from_env({**variables, "AMILI_ARM_PROXY": "http://mine.example:2", "NO_PROXY": "*"})
    assert arm._context.transport._connections._proxies.of("https://api.example") == "http://mine.example:2"


# --- secrets in files -------------------------------------------------------------------------------------------------------------


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", [SECRET, SECRET + "\n", f"\ufeff{SECRET}\r\n"])
def test_a_secret_from_a_file(tmp_path: Path, text: str) -> None:
    """As systemd hands it over."""
    written(tmp_path / "secret", text)
    variables = {**CREDENTIALS, "AMILI_ARM_CLIENT_SECRET_FILE": "$CREDENTIALS_DIRECTORY/secret", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    auth = ArmClient.from_env(variables)._context.transport.credentials
    assert isinstance(auth, ClientCredentials)
    assert auth._secret.reveal() == SECRET
    assert SECRET not in repr(auth) + repr(auth._file)


async def test_a_token_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "token", "from-file\n")
    variables = {**ENVIRONMENT, "AMILI_ARM_TOKEN": "", "AMILI_ARM_TOKEN_FILE": str(path)}
    auth = ArmClient.from_env(variables)._context.transport._auth
    assert isinstance(auth, TokenFile)
    assert await auth.acquire() == "from-file"


@pytest.mark.parametrize("text", ["", " \n", "a\nb", "a b", "Bearer x"])
def test_a_file_without_a_token(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "token", text)
    with pytest.raises(ConfigurationError, match=r"^AMILI_ARM_TOKEN_FILE: "):
        ArmClient.from_env({**ENVIRONMENT, "AMILI_ARM_TOKEN": "", "AMILI_ARM_TOKEN_FILE": str(path)})


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_who_else_can_use_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "token", "t", 0o602)
    variables = {**ENVIRONMENT, "AMILI_ARM_TOKEN": "", "AMILI_ARM_TOKEN_FILE": str(path)}
    with pytest.raises(ConfigurationError, match=r"can be written by every user of this machine: chmod 600"):
        ArmClient.from_env(variables)
    path.chmod(0o644)
    with pytest.warns(UserWarning, match="AMILI_ARM_TOKEN_FILE: .* can be read by every user") as told:
        ArmClient.from_env(variables)
    assert told[0].filename == __file__
    path.chmod(0o640)
    ArmClient.from_env(variables)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_mount_of_kubernetes_is_made_to_be_read(tmp_path: Path) -> None:
    written(tmp_path / "..2026" / "token", "t", 0o644)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "token").symlink_to("..data/token")
    ArmClient.from_env({**ENVIRONMENT, "AMILI_ARM_TOKEN": "", "AMILI_ARM_TOKEN_FILE": str(tmp_path / "token")})


def test_one_way_to_give_credentials(tmp_path: Path) -> None:
    path = written(tmp_path / "secret", SECRET)
    for given in ({}, {"client_secret": SECRET, "client_secret_file": path}):
        with pytest.raises(ConfigurationError, match="client_secret or client_secret_file, one of them"):
            ClientCredentials(client_id="id", identity_url="https://auth.example", **given)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must be the path of a file, not int"):
        TokenFile(5)  # type: ignore[arg-type]


# --- keyrings ---------------------------------------------------------------------------------------------------------------------


class Keyring(types.ModuleType):
    """The package, as far as it is used."""

    def __init__(self, failure: str | None = None) -> None:
        super().__init__("keyring")
        self.errors: Any = types.ModuleType("keyring.errors")
        self.errors.KeyringError = type("KeyringError", (Exception,), {})
        self.errors.NoKeyringError = type("NoKeyringError", (self.errors.KeyringError,), {})
        self.failure = failure

    def get_password(self, service: str, user: str) -> str | None:
        if self.failure is not None:
            raise getattr(self.errors, self.failure, OSError)(SECRET)
        return {("https://arm:1", "night"): SECRET, ("arm", "token"): "from-keyring"}.get((service, user))


def with_keyring(monkeypatch: pytest.MonkeyPatch, failure: str | None = None) -> None:
    made = Keyring(failure)
    monkeypatch.setitem(sys.modules, "keyring", made)
    monkeypatch.setitem(sys.modules, "keyring.errors", made.errors)


async def test_secrets_from_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keyring(monkeypatch)
    auth = ArmClient.from_env({**CREDENTIALS, "AMILI_ARM_CLIENT_SECRET_KEYRING": "https://arm:1:night"})._context.transport.credentials
    assert auth is not None
    assert auth._secret.reveal() == SECRET
    variables = {**ENVIRONMENT, "AMILI_ARM_TOKEN": "", "AMILI_ARM_TOKEN_KEYRING": "arm:token"}
    assert await ArmClient.from_env(variables)._context.transport._auth.acquire() == "from-keyring"


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (None, "has no secret for the service arm and the user nobody"),
        ("NoKeyringError", "has no keyring"),
        ("KeyringError", "unlock it"),
        ("an error of its own", r"can't be read \(OSError\)"),
    ],
)
def test_a_keyring_without_the_secret(monkeypatch: pytest.MonkeyPatch, failure: str | None, words: str) -> None:
    with_keyring(monkeypatch, failure)
    with pytest.raises(ConfigurationError, match=rf"AMILI_ARM_CLIENT_SECRET_KEYRING: .*{words}") as raised:
        ArmClient.from_env({**CREDENTIALS, "AMILI_ARM_CLIENT_SECRET_KEYRING": "arm:nobody"})
    assert SECRET not in str(raised.value)


def test_a_keyring_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"AMILI_ARM_TOKEN_KEYRING needs a package: pip install \"amili-arm-async\[keyring\]\""):
        made(token="", token_keyring="arm:token")


# --- names ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [("CLIENT_NR", "CLIENT_NO"), ("TIMEOUT_TOTALS", "TIMEOUT_TOTAL"), ("CLIENT_SECRET_FIL", "CLIENT_SECRET_FILE"), ("CAFILE", "CA_FILE")],
)
def test_a_misspelt_name_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.warns(UserWarning, match=f"AMILI_ARM_{name} in the environment is not a setting: did you mean AMILI_ARM_{near}") as told:
        made(**{name: "x"})
    assert told[0].filename == __file__


def test_other_names_are_the_callers_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(bulk_max_records="5", nightly_journal="x", config="x", company="x")


def test_a_missing_setting_that_was_misspelt() -> None:
    variables = {name: value for name, value in ENVIRONMENT.items() if name != "AMILI_ARM_CLIENT_NO"}
    with (
        pytest.raises(ConfigurationError, match="set AMILI_ARM_CLIENT_NO"),
        pytest.warns(UserWarning, match="did you mean AMILI_ARM_CLIENT_NO"),
    ):
        ArmClient.from_env({**variables, "AMILI_ARM_CLENT_NO": "2218"})


def test_every_argument_of_certificates_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def context(**arguments: Any) -> ssl.SSLContext:
        given.update(arguments)
        return ssl.create_default_context()

    monkeypatch.setattr("amili_arm_async.client.tls_context", context)
    made(ca_file="a", client_cert="b", client_key="c", client_key_password="d")
    assert given == {"ca_file": "a", "client_cert": "b", "client_key": "c", "client_key_password": "d"}
    assert {one.name for one in fields(Limits)} <= {name.removeprefix("AMILI_ARM_LIMITS_").lower() for name in _names()}
