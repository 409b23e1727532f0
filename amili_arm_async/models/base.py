"""What all models share: camelCase on the wire, a `repr` without personal data, and the record that is read with tolerance."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType, field

from . import listing

__all__ = [
    "CurrencyAmounts",
    "CurrencyAmountsRecord",
    "Input",
    "Model",
    "OptionalDate",
    "OptionalDecimal",
    "OptionalInt",
    "OptionalStr",
    "OptionalStrs",
    "PageSummary",
    "PydanticModel",
    "Record",
    "input_of",
]

InputT = TypeVar("InputT", bound="Input")


class PydanticModel(Protocol):
    """A record that is a pydantic model."""

    def model_dump(self, *, by_alias: bool | None = None) -> dict[str, Any]:
        """Returns its fields by their names, or their aliases."""
        ...


OptionalStr: TypeAlias = str | UnsetType | None
OptionalInt: TypeAlias = int | UnsetType | None
OptionalDecimal: TypeAlias = Decimal | UnsetType | None
OptionalStrs: TypeAlias = list[str] | UnsetType | None

if TYPE_CHECKING:
    # A date is cleared by a blank. msgspec has no type `date | ""`, and it does not look at types when it encodes: so the
    # type checker sees the blank and msgspec does not, which costs nothing. The codec reads a blank back (codec.read_input).
    OptionalDate: TypeAlias = date | Literal[""] | UnsetType | None
else:
    OptionalDate: TypeAlias = date | UnsetType | None


class Model(Struct, kw_only=True, rename="camel", gc=False):
    """Base of every object on the wire: snake_case attributes, camelCase names, and no personal data in its `repr`."""

    _shown: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Gives only the fields that identify the record, for rich and for `repr`."""
        return [(name, value) for name in self._shown if (value := getattr(self, name)) is not UNSET and value is not None]

    def __repr__(self) -> str:
        """Returns the class and the fields that identify the record; the rest may be personal data and stays out of logs."""
        given = sum(getattr(self, name) is not UNSET and getattr(self, name) is not None for name in self.__struct_fields__)
        return listing.brief(self, self.__rich_repr__(), listing.counted(given))

    def to_dict(self) -> dict[str, Any]:
        """Returns its fields by the API's own names, with dates as `datetime.date` and numbers with a fraction as `Decimal`.

        Of a record to send, the fields that are given. Of a record that came back, every field, None where it is absent: so the dicts
        of many records make a table. A value that could not be read as the type of its field is there as it came.

        Returns:
            A new dictionary, of dictionaries and lists for what is inside.
        """
        found: dict[str, Any] = listing.plain(self)
        return found

    def show(self) -> None:
        """Prints its fields, personal data included, one a line; those that are absent are left out."""
        listing.print_listing(self)


class Input(Model, kw_only=True, gc=False):
    """Base of what is sent. The fields stand in the order of their names on the wire: so the text of two equal records is the same,
    however they were given, and nothing has to be sorted for that.

    A field that is not given (`UNSET`) is not sent. `None` is sent as null, which *keeps* what is stored;
    blank (`""`, `[]`) *clears* it (https://docs.amili.dev/put-update-one-customer-3942678e0)."""


class Record(Model, kw_only=True, gc=False):
    """Base of what comes back. A field that is absent, null or, where it is no text, blank is None.

    Attributes:
        unread: the values that are not of the type their field has, by their name on the wire, as they came: such a field is None.
            None (as nearly always) where there are no such values.
    """

    # No name on the wire can meet this one, so no answer can fill it.
    unread: dict[str, Any] | None = field(default=None, name="(unread)")

    def to_input(self) -> Input:
        """Returns what can be sent of it.

        Returns:
            The record without the fields that only the service sets.

        Raises:
            NotImplementedError: records of this kind can't be sent.
        """
        raise NotImplementedError(f"{type(self).__name__} can't be sent")


def input_of(record: Record, cls: type[InputT]) -> InputT:
    """Returns what can be sent of `record` as a `cls`: the fields of `cls` that are there."""
    return cls(**{name: _plain(value) for name in cls.__struct_fields__ if (value := getattr(record, name)) is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_input()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


class CurrencyAmounts(Input, kw_only=True, gc=False):
    """Amounts in the document's currency, in its main unit (kroner, not øre).

    Attributes:
        excl_vat: the amount without VAT.
        vat: the VAT.
        incl_vat: the amount with VAT.
    """

    excl_vat: OptionalDecimal = UNSET
    incl_vat: OptionalDecimal = UNSET
    vat: OptionalDecimal = UNSET


class CurrencyAmountsRecord(Record, kw_only=True, gc=False):
    """The amounts of a document or a line as the service gives them; see `CurrencyAmounts`."""

    excl_vat: Decimal | None = None
    vat: Decimal | None = None
    incl_vat: Decimal | None = None

    def to_input(self) -> CurrencyAmounts:
        """Returns the amounts to send.

        Returns:
            A copy that can be changed and sent.
        """
        return input_of(self, CurrencyAmounts)


class PageSummary(Record, kw_only=True, gc=False):
    """The `summary` of a list (https://docs.amili.dev/get-a-list-of-customers-3942679e0).

    Attributes:
        page_no: number of this page, from 1.
        current_page_size: records on this page.
        page_size_limit: the maximum number of records on a page.
        total_pages: pages of the whole list.
        total_count: records of the whole list.
        maximum_count: the maximum number of records that the query returns.
        next_page: address of the next page; None, absent or blank on the last one.
        last_page: address of the last page.
        query_id: names the query, for its further pages.
    """

    page_no: int | None = None
    current_page_size: int | None = None
    page_size_limit: int | None = None
    total_pages: int | None = None
    total_count: int | None = None
    maximum_count: int | None = None
    next_page: str | None = None
    last_page: str | None = None
    query_id: str | None = None
