"""The settings of the commands as one Struct: tables, keys, types and defaults; each has a variable in the environment too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta, Struct

from .. import environment
from ..bulk.report import expectation_of
from ..config import DEFAULT, BatchWords, BulkOptions, Default, Limits, RetryPolicy, Timeout, check_int, check_origin
from ..database.url import shown
from ..endpoints import with_paths
from ..errors import ConfigurationError
from ..proxies import check_proxy, without_credentials
from ..sources.mapping import FieldMap

__all__ = ["KNOWN", "SECRETS", "Setting", "SettingsSchema", "parse_share"]

SECRETS: Final = tuple(f"connection.{name}" for name in environment.SECRETS)
"""Settings that are never shown. Each can also be in a file or a keyring, which the setting with `_file` or `_keyring` at its end names."""

PROXY: Final = "connection.proxy"
"""The setting whose value may hold credentials: they are never shown."""


# --- the schema ---------------------------------------------------------------------------------------------------------

_PATH: Final = "path"
_BULK: Final = BulkOptions()

FilePath: TypeAlias = Annotated[str, Meta(title=_PATH)]
"""A path, in which `~` and environment variables are expanded."""

Total: TypeAlias = float | Literal["none", "default"]
"""Seconds, or one of two words: `"none"`, no limit; `"default"`, that of the library. (TOML and the environment have no None.)"""

_WORDS: Final[Mapping[object, Default | None]] = {"none": None, "default": DEFAULT}

Share: TypeAlias = int | float | str
"""A number of records, or a share of them, such as 0.05 or "5%"."""


class ConnectionSettings(Struct, frozen=True):
    """[connection]: which service, client and identity."""

    base_url: str | None = None
    client_no: int | None = None
    identity_url: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_secret_file: FilePath | None = None
    client_secret_keyring: str | None = None
    token: str | None = None
    token_file: FilePath | None = None
    token_keyring: str | None = None
    user_id: str | None = None
    language: str | None = None
    proxy: str | None = None
    ca_file: FilePath | None = None
    client_cert: FilePath | None = None
    client_key: FilePath | None = None
    client_key_password: str | None = None
    client_key_password_file: FilePath | None = None
    client_key_password_keyring: str | None = None
    timeout: Timeout = Timeout()
    retry: RetryPolicy = RetryPolicy()
    limits: Limits = Limits()
    batch_words: BatchWords = BatchWords()
    paths: dict[str, str] | None = None


class BulkSettings(Struct, frozen=True):
    """[bulk]: how bulk runs send; see `BulkOptions`."""

    max_records: int = _BULK.max_records
    max_bytes: int = _BULK.max_bytes
    concurrency: int | None = _BULK.concurrency
    results: str = _BULK.results
    deadline: float = _BULK.deadline
    patience: float = _BULK.patience
    bisect: str = _BULK.bisect
    compression: str | None = _BULK.compression
    stop_after_failures: Share | None = _BULK.stop_after_failures
    require_document_no: bool = _BULK.require_document_no
    resend_known: bool = _BULK.resend_known


class SourceSettings(Struct, frozen=True):
    """[source]: how files are read: the defaults of the options with the same names."""

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    clear: str | None = None
    extra_columns: bool = False


class ColumnsSettings(Struct, frozen=True):
    """[columns.customers] and so on: for names of columns, the field that each is."""

    customers: dict[str, str] | None = None
    documents: dict[str, str] | None = None
    lines: dict[str, str] | None = None


class ConstantsSettings(Struct, frozen=True):
    """[constants.customers] and [constants.documents]: for fields, the value that each has in every record."""

    customers: dict[str, str] | None = None
    documents: dict[str, str] | None = None


class NightlySettings(Struct, frozen=True):
    """[nightly]: the files of `amili-arm nightly`."""

    customers: FilePath | None = None
    documents: FilePath | None = None
    lines: FilePath | None = None
    state: FilePath | None = None
    journal: FilePath | None = None
    dead_letter_customers: FilePath | None = None
    dead_letter_documents: FilePath | None = None
    report: FilePath | None = None
    html: FilePath | None = None
    failures: FilePath | None = None
    at_least_customers: Share | None = None
    at_least_documents: int | None = None
    on_end: str | None = None
    metrics: FilePath | None = None


class SyncSettings(Struct, frozen=True):
    """[sync]: defaults of `amili-arm sync`."""

    at_least: Share | None = None
    on_end: str | None = None
    metrics: FilePath | None = None


class PushSettings(Struct, frozen=True):
    """[push]: defaults of `amili-arm push`."""

    on_end: str | None = None
    metrics: FilePath | None = None


class ReconcileSettings(Struct, frozen=True):
    """[reconcile]: defaults of `amili-arm reconcile`."""

    on_end: str | None = None
    metrics: FilePath | None = None


class ReplaySettings(Struct, frozen=True):
    """[replay]: defaults of `amili-arm replay`."""

    on_end: str | None = None


class SettingsSchema(Struct, frozen=True):
    """All settings, by table."""

    connection: ConnectionSettings = ConnectionSettings()
    bulk: BulkSettings = BulkSettings()
    source: SourceSettings = SourceSettings()
    columns: ColumnsSettings = ColumnsSettings()
    constants: ConstantsSettings = ConstantsSettings()
    nightly: NightlySettings = NightlySettings()
    sync: SyncSettings = SyncSettings()
    push: PushSettings = PushSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    replay: ReplaySettings = ReplaySettings()


def _check_decimal(sign: str) -> None:
    if sign not in {",", "."}:
        raise ConfigurationError('decimal must be "," or "."')


_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "connection.base_url": lambda url: check_origin("base_url", url),
    "connection.client_no": lambda number: check_int("client_no", number, least=1),
    "connection.identity_url": lambda url: check_origin("identity_url", url),
    "connection.paths": with_paths,
    "connection.proxy": lambda proxy: check_proxy(proxy) if proxy != "none" else None,
    "source.decimal": _check_decimal,
    "columns.customers": lambda columns: FieldMap("customers", columns),
    "columns.documents": lambda columns: FieldMap("documents", columns),
    "columns.lines": lambda columns: FieldMap("documents", columns, part="lines"),
    "constants.customers": lambda constants: FieldMap("customers", constants=constants),
    "constants.documents": lambda constants: FieldMap("documents", constants=constants),
    "nightly.at_least_customers": lambda least: expectation_of(least, has_state=True),
    "nightly.at_least_documents": lambda least: expectation_of(least, has_state=False),
    "sync.at_least": lambda least: expectation_of(least, has_state=True),
}
"""What refuses a value of the right type that can't work."""

_CHECKED_BY: Final[Mapping[str, type[Any]]] = {
    "connection.timeout": Timeout,
    "connection.retry": RetryPolicy,
    "connection.limits": Limits,
    "bulk": BulkOptions,
}
"""Tables whose values are checked one by one, by a class with the same fields. (The sets of `BatchWords` are only checked together.)"""


# --- one setting --------------------------------------------------------------------------------------------------------

_TYPE_NAMES: Final[Mapping[str, str]] = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "list": "a list",
    "object": "a table",
    "dict": "a table",
    "float | str": "a number, 'none' or 'default'",
    "int | float | str": "a number of records, or a share such as 0.05 or '5%'",
}
_MISMATCH: Final = re.compile(r"Expected `(.+?)`, got `(.+?)`(?: - at `\$(.+)`)?")
_BOOLEANS: Final[Mapping[str, str]] = {"yes": "true", "on": "true", "no": "false", "off": "false"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: its place in a file: the tables and the name, separated by dots.
        type: of its value.
        default: its value where none is given.
        check: raises ConfigurationError for a value of the right type that can't work; None: any value works.
    """

    key: str
    type: Any
    default: Any = None
    check: Callable[[Any], object] | None = None

    @property
    def table(self) -> str:
        """The table, or tables separated by dots."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The name in its table."""
        return self.key.rpartition(".")[2]

    @property
    def variable(self) -> str | None:
        """The environment variable; None for lists and tables."""
        if self.type in {frozenset[str], dict[str, str]}:
            return None
        return "AMILI_ARM_" + self.key.removeprefix("connection.").replace(".", "_").upper()

    def argument(self, value: Any) -> Any:
        """Returns a value of this setting as the classes of the library take it.

        Args:
            value: the value.

        Returns:
            The value; for a word, what it stands for.
        """
        return _WORDS.get(value, value) if self.type == Total else value

    @property
    def is_path(self) -> bool:
        """Whether it is a path, to be expanded."""
        return bool(self.type == FilePath)

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        return self.key in SECRETS

    def shown(self, value: Any) -> Any:
        """Returns a value as it is shown: a secret is masked, and so are the credentials of a proxy.

        Args:
            value: a value of this setting, or None.

        Returns:
            The value, or what stands in its place.
        """
        if self.is_secret and value is not None:
            return "***"
        if self.is_path and isinstance(value, str):
            return shown(value)
        return without_credentials(value) if self.key == PROXY and isinstance(value, str) and value != "none" else value

    def checked(self, value: object, where: str) -> Any:
        """Returns a value from a file, if it has the right type and can work.

        Args:
            value: as the file has it.
            where: names its place in a message. The value itself is in no message, unless it is a number.

        Returns:
            The value; a share is parsed.

        Raises:
            ConfigurationError: it has the wrong type, or can't work.
        """
        try:
            msgspec.convert(value, self.type)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(_describe(exc, where)) from None
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (not text.strip() or not text.isprintable()):
                raise ConfigurationError(f"{where} is blank, or holds a control character")
        if self.type == Share and isinstance(value, str):
            value = parse_share(value, where)
        if self.check is not None:
            try:
                self.check(self.argument(value))
            except ConfigurationError as exc:
                # The first word of the message is the name of the argument.
                message = str(exc).partition(" ")[2]
                raise ConfigurationError(f"{where}{':' if isinstance(value, dict) else ''} {message}") from None
        return value

    def parse(self, text: str, where: str) -> Any:
        """Returns the value of a text from the environment.

        Args:
            text: the text.
            where: names the variable in a message.

        Returns:
            The value.

        Raises:
            ConfigurationError: it has the wrong type, or can't work.
        """
        text = text.strip()
        if self.type is bool:
            text = _BOOLEANS.get(text.casefold(), text)
        try:
            value = msgspec.convert(text, self.type, strict=False)
        except msgspec.ValidationError as exc:
            # That it is a text goes without saying.
            raise ConfigurationError(_describe(exc, where).partition(", not ")[0]) from None
        return self.checked(value, where)


def _describe(error: msgspec.ValidationError, where: str) -> str:
    """Returns what is wrong with the type of a value, in the words of TOML."""
    if "enum value" in str(error):
        return f"{where} must be {_TYPE_NAMES['float | str']}"
    found = _MISMATCH.fullmatch(str(error))
    if found is None:
        return f"{where}: {error}"
    expected, got, path = found.groups()
    return f"{where}{path or ''} must be {_TYPE_NAMES.get(expected, expected)}, not {_TYPE_NAMES.get(got, 'a date or time')}"


def parse_share(text: str, where: str) -> int | float:
    """Returns a number of records, or a share of them.

    Args:
        text: such as `100`, `5%` or `0.05`.
        where: names the option or setting in the message.

    Returns:
        A number of records (int), or a share from 0 to 1 (float).

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise ConfigurationError(f"{where} is a number such as 100, or a share such as 5% or 0.05") from None


# --- all of them --------------------------------------------------------------------------------------------------------


def _walk(defaults: Any, table: str) -> Iterator[Setting]:
    """Yields the settings of a Struct or dataclass with its defaults, and of those in it."""
    for name, hint in get_type_hints(type(defaults), include_extras=True).items():
        key, default = f"{table}.{name}" if table else name, getattr(defaults, name)
        if isinstance(default, Struct) or is_dataclass(default):
            yield from _walk(default, key)
        else:
            # Nobody can give None in a file.
            yield Setting(key, _without_none(hint), sorted(default) if isinstance(default, frozenset) else default, _check_of(table, name))


def _without_none(hint: Any) -> Any:
    given = [one for one in getattr(hint, "__args__", ()) if one is not type(None)]
    if type(None) not in getattr(hint, "__args__", ()):
        return hint
    if Default in given:
        return Total
    return given[0] if len(given) == 1 else Share


def _check_of(table: str, name: str) -> Callable[[Any], object] | None:
    cls = _CHECKED_BY.get(table)
    return (lambda value: cls(**{name: value})) if cls is not None else _CHECKS.get(f"{table}.{name}")


KNOWN: Final[Mapping[str, Setting]] = {setting.key: setting for setting in _walk(SettingsSchema(), "")}
"""Every setting by its key, in the order in which they are shown."""
