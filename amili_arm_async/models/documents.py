"""Documents (invoices): `Document` is sent, `DocumentRecord` comes back.

Fields: the sample of https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0. What GET document answers is on no public
page, so `DocumentRecord` has the fields that can be sent, and `other` holds the rest as it came.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from msgspec import UNSET, UnsetType, field

from .base import (
    CurrencyAmounts,
    CurrencyAmountsRecord,
    Input,
    OptionalDate,
    OptionalDecimal,
    OptionalInt,
    OptionalStr,
    OptionalStrs,
    Record,
    input_of,
)
from .customers import Distribution, DistributionRecord

__all__ = ["Document", "DocumentLine", "DocumentLineRecord", "DocumentRecord", "EinvoiceAddress", "EinvoiceAddressRecord"]


class EinvoiceAddress(Input, kw_only=True, gc=False):
    """Where an electronic invoice goes.

    Attributes:
        address: address of the electronic invoice.
        address_scheme: scheme of that address, for example `"0192"`.
        operator: the operator that receives it.
    """

    address: OptionalStr = UNSET
    address_scheme: OptionalStr = UNSET
    operator: OptionalStr = UNSET


class DocumentLine(Input, kw_only=True, gc=False):
    """A line of a document.

    Attributes:
        line_no: number of the line, from 1.
        line_type: kind of line, a code; the sample shows `"PLH"` (with amounts) and `"TXT"` (text).
        article_no: article number.
        article_name: article name.
        line_text: text of the line.
        quantity_unit: unit of the quantity, for example `"kg"`.
        quantity: quantity, a decimal number.
        volume_unit: unit of the volume.
        volume: volume, a decimal number.
        price: price of one unit, in the document's currency.
        item_group1: first item group.
        item_group2: second item group.
        item_group3: third item group.
        currency_amounts: the line's amounts.
    """

    article_name: OptionalStr = UNSET
    article_no: OptionalStr = UNSET
    currency_amounts: CurrencyAmounts | UnsetType | None = UNSET
    item_group1: OptionalStr = UNSET
    item_group2: OptionalStr = UNSET
    item_group3: OptionalStr = UNSET
    line_no: OptionalInt = UNSET
    line_text: OptionalStr = UNSET
    line_type: OptionalStr = UNSET
    price: OptionalDecimal = UNSET
    quantity: OptionalDecimal = UNSET
    quantity_unit: OptionalStr = UNSET
    volume: OptionalDecimal = UNSET
    volume_unit: OptionalStr = UNSET


class Document(Input, kw_only=True, gc=False):
    """A document to create. Only what is given is sent.

    Attributes:
        document_type: kind of document, a code; `"IN"` (invoice) in the sample.
        customer_no: the customer's number.
        document_no: your number for the document; it names the record. Without it an unknown outcome can't be looked up.
        document_date: date of the document.
        due_date: when it is to be paid.
        currency: currency, three letters, for example `"NOK"`.
        language: language, two letters, for example `"en"`.
        kid: the document's KID (Norwegian payment identifier).
        marketing_message_code: code of a marketing message.
        customer_message: a message to the customer.
        sales_order_id: sales order.
        purchase_order_id: purchase order.
        seller_reference: the seller's reference.
        buyer_reference: the buyer's reference.
        additional_reference: a further reference.
        sub_customer_no: number of a customer below the customer.
        ledger_note: a note for the AR ledger.
        currency_amounts: the document's amounts.
        distribution: how it is distributed.
        einvoice_address: where an electronic invoice goes.
        email_address: addresses that it goes to.
        attachment_files: attachments.
        attachment_codes: codes of attachments.
        custom_codes: codes of your own.
        document_lines: the lines.
    """

    _shown: ClassVar[tuple[str, ...]] = ("document_no",)

    additional_reference: OptionalStr = UNSET
    attachment_codes: list[Any] | UnsetType | None = UNSET
    attachment_files: list[Any] | UnsetType | None = UNSET
    buyer_reference: OptionalStr = UNSET
    currency: OptionalStr = UNSET
    currency_amounts: CurrencyAmounts | UnsetType | None = UNSET
    custom_codes: list[Any] | UnsetType | None = UNSET
    customer_message: OptionalStr = UNSET
    customer_no: OptionalStr = UNSET
    distribution: Distribution | UnsetType | None = UNSET
    document_date: OptionalDate = UNSET
    document_lines: list[DocumentLine] | UnsetType | None = UNSET
    document_no: OptionalStr = UNSET
    document_type: OptionalStr = UNSET
    due_date: OptionalDate = UNSET
    einvoice_address: EinvoiceAddress | UnsetType | None = UNSET
    email_address: OptionalStrs = UNSET
    kid: OptionalStr = UNSET
    language: OptionalStr = UNSET
    ledger_note: OptionalStr = UNSET
    marketing_message_code: OptionalStr = UNSET
    purchase_order_id: OptionalStr = UNSET
    sales_order_id: OptionalStr = UNSET
    seller_reference: OptionalStr = UNSET
    sub_customer_no: OptionalStr = UNSET


class EinvoiceAddressRecord(Record, kw_only=True, gc=False):
    """Where an electronic invoice goes, as the service gives it; see `EinvoiceAddress`."""

    address: str | None = None
    address_scheme: str | None = None
    operator: str | None = None

    def to_input(self) -> EinvoiceAddress:
        """Returns the address to send.

        Returns:
            A copy that can be changed and sent.
        """
        return input_of(self, EinvoiceAddress)


class DocumentLineRecord(Record, kw_only=True, gc=False):
    """A line of a document as the service gives it; see `DocumentLine`."""

    line_no: int | None = None
    line_type: str | None = None
    article_no: str | None = None
    article_name: str | None = None
    line_text: str | None = None
    quantity_unit: str | None = None
    quantity: Decimal | None = None
    volume_unit: str | None = None
    volume: Decimal | None = None
    price: Decimal | None = None
    item_group1: str | None = None
    item_group2: str | None = None
    item_group3: str | None = None
    currency_amounts: CurrencyAmountsRecord | None = None

    def to_input(self) -> DocumentLine:
        """Returns the line to send.

        Returns:
            A copy that can be changed and sent.
        """
        return input_of(self, DocumentLine)


class DocumentRecord(Record, kw_only=True, gc=False):
    """A document as the service gives it: the fields of `Document`, each None where it is absent.

    Attributes:
        other: what came beside these fields, by its name on the wire; the shape of this answer is on no public page.
    """

    _shown: ClassVar[tuple[str, ...]] = ("document_no",)

    document_type: str | None = None
    customer_no: str | None = None
    document_no: str | None = None
    document_date: date | None = None
    due_date: date | None = None
    currency: str | None = None
    language: str | None = None
    kid: str | None = None
    marketing_message_code: str | None = None
    customer_message: str | None = None
    sales_order_id: str | None = None
    purchase_order_id: str | None = None
    seller_reference: str | None = None
    buyer_reference: str | None = None
    additional_reference: str | None = None
    sub_customer_no: str | None = None
    ledger_note: str | None = None
    currency_amounts: CurrencyAmountsRecord | None = None
    distribution: DistributionRecord | None = None
    einvoice_address: EinvoiceAddressRecord | None = None
    email_address: list[str] | None = None
    attachment_files: list[Any] | None = None
    attachment_codes: list[Any] | None = None
    custom_codes: list[Any] | None = None
    document_lines: list[DocumentLineRecord] | None = None
    # No name on the wire can meet this one, so no answer can fill it.
    other: dict[str, Any] = field(default_factory=dict, name="(other)")

    def to_input(self) -> Document:
        """Returns a document like this one to send, for example to create a similar one.

        Returns:
            What the service has; what is missing there is not sent.
        """
        return input_of(self, Document)
