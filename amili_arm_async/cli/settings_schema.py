"""Every setting of the commands: its table and key in a file, its variable in the environment, its type and its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

from ..bulk.report import expectation_of
from ..config import BatchWords, BulkOptions, Limits, RetryPolicy, Timeout, check_int, check_origin
from ..endpoints import with_paths
from ..errors import ConfigurationError

__all__ = ["KNOWN", "SECRETS", "Setting", "SettingKind", "parse_share"]

SettingKind: TypeAlias = Literal["text", "path", "integer", "number", "yes or no", "share", "words", "texts"]
"""What a value is. A share is a number of records or a part of them, words are a list of them, texts a table of them."""

SECRETS: Final = ("connection.client_secret", "connection.token")
"""What is never shown. Each can also be in a file of its own, whose path is the setting with `_file` at its end."""

_IN_WORDS: Final[Mapping[SettingKind, str]] = {
    "text": "a text",
    "path": "the path of a file, as a text",
    "integer": "an integer",
    "number": "a number",
    "yes or no": "true or false",
    "share": "a number of records, or a share such as 0.05 or '5%'",
    "words": "a list of words",
    "texts": "a table of texts",
}
_YES_OR_NO: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        key: its place in a file: the tables and the name, with dots between them.
        kind: what its value is.
        default: its value where nobody gives one.
        check: raises ConfigurationError for a value of the right type that can't work.
    """

    key: str
    kind: SettingKind
    default: Any = None
    check: Callable[[Any], object] | None = None

    @property
    def table(self) -> str:
        """The table, or tables with dots between them."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The name in its table."""
        return self.key.rpartition(".")[2]

    @property
    def variable(self) -> str | None:
        """The variable of the environment; None for what does not fit into one."""
        if self.kind in {"words", "texts"}:
            return None
        return "AMILI_ARM_" + self.key.removeprefix("connection.").replace(".", "_").upper()

    @property
    def is_secret(self) -> bool:
        """Whether its value is never shown."""
        return self.key in SECRETS

    def checked(self, value: object, where: str) -> Any:
        """The value, if it is of the right type and can work.

        Args:
            value: as the file has it.
            where: the words for its place in a message. The value is in no message but that of a number.

        Raises:
            ConfigurationError: it is not.
        """
        if not _is(self.kind, value):
            raise ConfigurationError(f"{where} must be {_IN_WORDS[self.kind]}, not {_type_in_words(value)}")
        if isinstance(value, str) and (not value.strip() or not value.isprintable()):
            raise ConfigurationError(f"{where} is blank, or holds a control character")
        if self.kind == "share" and isinstance(value, str):
            value = parse_share(value, where)
        if self.check is not None:
            try:
                self.check(value)
            except ConfigurationError as exc:
                # Its first word is the name of the argument.
                said = str(exc).partition(" ")[2]
                raise ConfigurationError(f"{where}{':' if self.kind == 'texts' else ''} {said}") from None
        return value

    def parse(self, text: str, where: str) -> Any:
        """The value of a text, as the environment and the command line have it.

        Raises:
            ConfigurationError: it is none.
        """
        value: object = text.strip()
        try:
            if self.kind == "integer":
                value = int(text)
            elif self.kind == "number":
                value = float(text)
            elif self.kind == "yes or no":
                value = _YES_OR_NO[text.strip().casefold()]
        except (ValueError, KeyError):
            raise ConfigurationError(f"{where} must be {'a number' if self.kind == 'integer' else _IN_WORDS[self.kind]}") from None
        return self.checked(value, where)


def parse_share(text: str, where: str) -> int | float:
    """A number of records, or a share of them.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise ConfigurationError(f"{where} is a number such as 100, or a share such as 5% or 0.05") from None


def _is(kind: SettingKind, value: object) -> bool:
    if kind in {"text", "path"}:
        return isinstance(value, str)
    if kind == "yes or no":
        return isinstance(value, bool)
    if kind == "words":
        return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)
    if kind == "texts":
        return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    if kind == "share" and isinstance(value, str):
        return True
    return not isinstance(value, bool) and isinstance(value, int if kind == "integer" else (int, float))


def _type_in_words(value: object) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time") + (" with other things in it" if isinstance(value, (list, dict)) else "")


# --- the settings -----------------------------------------------------------------------------------------------------------


def _of(table: str, made: type[Any], **kinds: SettingKind) -> list[Setting]:
    """Settings that are fields of a value object, which checks them and knows their defaults."""
    defaults = {one.name: one.default for one in fields(made)}

    def check(name: str) -> Callable[[Any], object]:
        return lambda value: made(**{name: value})

    return [Setting(f"{table}.{name}", kind, defaults[name], check(name)) for name, kind in kinds.items()]


_WORDS: Final = BatchWords()

_SETTINGS: Final = (
    Setting("connection.base_url", "text", check=lambda url: check_origin("base_url", url)),
    Setting("connection.client_no", "integer", check=lambda number: check_int("client_no", number, least=1)),
    Setting("connection.identity_url", "text", check=lambda url: check_origin("identity_url", url)),
    Setting("connection.client_id", "text"),
    Setting("connection.client_secret", "text"),
    Setting("connection.client_secret_file", "path"),
    Setting("connection.token", "text"),
    Setting("connection.token_file", "path"),
    Setting("connection.user_id", "text"),
    Setting("connection.language", "text"),
    *_of("connection.timeout", Timeout, connect="number", read="number", exchange="number", total="number"),
    *_of("connection.retry", RetryPolicy, attempts="integer", base_delay="number", max_delay="number"),
    *_of("connection.limits", Limits, connections="integer", bytes_in_flight="integer", open_batches="integer"),
    # Whether a word is in two sets can only be seen when all sets are known.
    *(
        Setting(f"connection.batch_words.{name}", "words", sorted(getattr(_WORDS, name)))
        for name in ("pending", "succeeded", "failed", "partial", "done")
    ),
    Setting("connection.paths", "texts", check=with_paths),
    *_of(
        "bulk",
        BulkOptions,
        max_records="integer",
        max_bytes="integer",
        concurrency="integer",
        results="text",
        deadline="number",
        patience="number",
        bisect="text",
        compression="text",
        stop_after_failures="share",
        require_document_no="yes or no",
        resend_known="yes or no",
    ),
    *(
        Setting(f"nightly.{name}", "path")
        for name in (
            "customers",
            "documents",
            "state",
            "journal",
            "dead_letter_customers",
            "dead_letter_documents",
            "report",
            "html",
            "failures",
        )
    ),
    Setting("nightly.at_least_customers", "share", check=lambda least: expectation_of(least, has_state=True)),
    Setting("nightly.at_least_documents", "integer", check=lambda least: expectation_of(least, has_state=False)),
    Setting("sync.at_least", "share", check=lambda least: expectation_of(least, has_state=True)),
)

KNOWN: Final[Mapping[str, Setting]] = {setting.key: setting for setting in _SETTINGS}
"""Every setting by its key, in the order in which they are shown."""
