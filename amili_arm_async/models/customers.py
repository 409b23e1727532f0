"""Customers: `Customer` is sent, `CustomerRecord` comes back.

Fields: the samples of https://docs.amili.dev/put-update-a-batch-of-customers-3942677e0 and
https://docs.amili.dev/get-a-list-of-customers-3942679e0. The pages give no further meaning to most of them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

from msgspec import UNSET, UnsetType

from .base import Input, OptionalDate, OptionalDecimal, OptionalInt, OptionalStr, OptionalStrs, Record, input_of

__all__ = ["Customer", "CustomerRecord", "Distribution", "DistributionRecord", "PostalAddress", "PostalAddressRecord"]


class PostalAddress(Input, kw_only=True, gc=False):
    """A postal address. It changes as a group: when one field is sent, the fields that are not sent are changed to blank.

    Attributes:
        address_line1: first line of the address.
        address_line2: second line of the address.
        address_line3: third line of the address.
        postal_code: postal code, for example `"1234"`.
        city_name: town, for example `"Oslo"`.
        country_text: the country's name, for example `"Norway"`.
        country_code: the country, two letters, for example `"NO"`.
    """

    address_line1: OptionalStr = UNSET
    address_line2: OptionalStr = UNSET
    address_line3: OptionalStr = UNSET
    city_name: OptionalStr = UNSET
    country_code: OptionalStr = UNSET
    country_text: OptionalStr = UNSET
    postal_code: OptionalStr = UNSET


class Distribution(Input, kw_only=True, gc=False):
    """How documents are distributed.

    Attributes:
        type: kind of distribution, a code; the samples show `"M"` and `"H"`.
        einvoice_code: code of the e-invoice; the samples show 0, 2 and 90.
        peppol_endpoint_id: the customer's address in Peppol.
        peppol_endpoint_id_scheme: the scheme of that address, for example `"0192"`.
    """

    einvoice_code: OptionalInt = UNSET
    peppol_endpoint_id: OptionalStr = UNSET
    peppol_endpoint_id_scheme: OptionalStr = UNSET
    type: OptionalStr = UNSET


class Customer(Input, kw_only=True, gc=False):
    """A customer to create or update. Only what is given is sent: a field that is left out, or None, keeps what is stored; a blank
    (`""`, `[]`) clears it, a date too. Except: the postal address changes as a group (see `PostalAddress`).

    Attributes:
        customer_no: your number for the customer; it names the record.
        name: the customer's name.
        postal_address: the postal address.
        customer_category: category, a code, for example `"CONS"`.
        email_address_document: addresses that documents go to.
        secondary_email_address: further addresses.
        phone_no: phone number.
        secondary_phone_no: further phone number.
        organization_no: organisation number.
        organization_no_scheme: scheme of the organisation number, for example `"0192"`.
        date_of_birth: date of birth.
        year_of_birth: year, four digits.
        ssn: national identity number.
        ssn_country: country of the identity number, two letters.
        informal_name: informal name.
        customer_group_code: customer group, a code, for example `"VIP"`.
        price_net_or_gross: whether prices are net or gross, a code, for example `"B"`.
        language: language, two letters, for example `"no"`.
        currency: currency, three letters, for example `"NOK"`.
        distribution: how documents are distributed.
        seller_reference: the seller's reference.
        buyer_reference: the buyer's reference.
        bank_account_no: bank account number.
        stop_reminder_until: no reminders until this date.
        stop_debt_collection_until: no debt collection until this date.
        stop_interest_calc_until: no interest until this date.
        efaktura_block_ids: blocked eFaktura ids.
        peppol_block_ids: blocked Peppol ids.
        digipost_block_ids: blocked Digipost ids.
        due_days: days until an invoice is due.
        vat_liable: whether the customer is liable to VAT.
        ar_rules: rules, for example `["NoBalFwd"]`.
        nace_codes: industry codes.
        district_codes: district codes.
        parent_customer_no: the parent's customer number.
        parent_organization_no: the parent's organisation number.
        discount_rate: discount, a number; 5.5 in the sample.
        active_status_web: status on the web, for example `"Passive"`.
        customer_message: a message to the customer.
        limit_amount: a limit, in the customer's currency.
    """

    _shown: ClassVar[tuple[str, ...]] = ("customer_no",)

    active_status_web: OptionalStr = UNSET
    ar_rules: OptionalStrs = UNSET
    bank_account_no: OptionalStr = UNSET
    buyer_reference: OptionalStr = UNSET
    currency: OptionalStr = UNSET
    customer_category: OptionalStr = UNSET
    customer_group_code: OptionalStr = UNSET
    customer_message: OptionalStr = UNSET
    customer_no: OptionalStr = UNSET
    date_of_birth: OptionalDate = UNSET
    digipost_block_ids: OptionalStrs = UNSET
    discount_rate: OptionalDecimal = UNSET
    distribution: Distribution | UnsetType | None = UNSET
    district_codes: OptionalStrs = UNSET
    due_days: OptionalInt = UNSET
    efaktura_block_ids: OptionalStrs = UNSET
    email_address_document: OptionalStrs = UNSET
    informal_name: OptionalStr = UNSET
    language: OptionalStr = UNSET
    limit_amount: OptionalDecimal = UNSET
    nace_codes: OptionalStrs = UNSET
    name: OptionalStr = UNSET
    organization_no: OptionalStr = UNSET
    organization_no_scheme: OptionalStr = UNSET
    parent_customer_no: OptionalStr = UNSET
    parent_organization_no: OptionalStr = UNSET
    peppol_block_ids: OptionalStrs = UNSET
    phone_no: OptionalStr = UNSET
    postal_address: PostalAddress | UnsetType | None = UNSET
    price_net_or_gross: OptionalStr = UNSET
    secondary_email_address: OptionalStrs = UNSET
    secondary_phone_no: OptionalStr = UNSET
    seller_reference: OptionalStr = UNSET
    ssn: OptionalStr = UNSET
    ssn_country: OptionalStr = UNSET
    stop_debt_collection_until: OptionalDate = UNSET
    stop_interest_calc_until: OptionalDate = UNSET
    stop_reminder_until: OptionalDate = UNSET
    vat_liable: bool | UnsetType | None = UNSET
    year_of_birth: OptionalInt = UNSET


class PostalAddressRecord(Record, kw_only=True, gc=False):
    """A postal address as the service gives it; see `PostalAddress`."""

    address_line1: str | None = None
    address_line2: str | None = None
    address_line3: str | None = None
    postal_code: str | None = None
    city_name: str | None = None
    country_text: str | None = None
    country_code: str | None = None

    def to_input(self) -> PostalAddress:
        """Returns the address to send.

        Returns:
            A copy that can be changed and sent.
        """
        return input_of(self, PostalAddress)


class DistributionRecord(Record, kw_only=True, gc=False):
    """How documents are distributed, as the service gives it; see `Distribution`."""

    type: str | None = None
    einvoice_code: int | None = None
    peppol_endpoint_id: str | None = None
    peppol_endpoint_id_scheme: str | None = None

    def to_input(self) -> Distribution:
        """Returns the distribution to send.

        Returns:
            A copy that can be changed and sent.
        """
        return input_of(self, Distribution)


class CustomerRecord(Record, kw_only=True, gc=False):
    """A customer as the service gives it: the fields of `Customer`, and those that only the service sets.

    Attributes:
        client_no: the client number.
        account_no: the account number in the AR ledger.
        postal_return_status: a code; 100 and 0 in the sample.
        postal_return_date: date of the postal return.
        using_language: a language, for example `"no"`.
        registration_status_code: a code.
        registration_status_date: date of that status.
        postal_address_changed: date when the postal address was last changed.
        customer_kid: the customer's KID (Norwegian payment identifier).
        balance_total: the balance, in the customer's currency.
    """

    _shown: ClassVar[tuple[str, ...]] = ("customer_no",)

    client_no: int | None = None
    account_no: int | None = None
    customer_no: str | None = None
    name: str | None = None
    postal_address: PostalAddressRecord | None = None
    postal_return_status: int | None = None
    postal_return_date: date | None = None
    customer_category: str | None = None
    email_address_document: list[str] | None = None
    secondary_email_address: list[str] | None = None
    phone_no: str | None = None
    secondary_phone_no: str | None = None
    organization_no: str | None = None
    organization_no_scheme: str | None = None
    date_of_birth: date | None = None
    year_of_birth: int | None = None
    ssn: str | None = None
    ssn_country: str | None = None
    informal_name: str | None = None
    customer_group_code: str | None = None
    price_net_or_gross: str | None = None
    language: str | None = None
    using_language: str | None = None
    currency: str | None = None
    distribution: DistributionRecord | None = None
    seller_reference: str | None = None
    buyer_reference: str | None = None
    bank_account_no: str | None = None
    stop_reminder_until: date | None = None
    stop_debt_collection_until: date | None = None
    stop_interest_calc_until: date | None = None
    efaktura_block_ids: list[str] | None = None
    peppol_block_ids: list[str] | None = None
    digipost_block_ids: list[str] | None = None
    due_days: int | None = None
    vat_liable: bool | None = None
    ar_rules: list[str] | None = None
    nace_codes: list[str] | None = None
    district_codes: list[str] | None = None
    parent_customer_no: str | None = None
    parent_organization_no: str | None = None
    discount_rate: Decimal | None = None
    active_status_web: str | None = None
    customer_message: str | None = None
    limit_amount: Decimal | None = None
    registration_status_code: str | None = None
    registration_status_date: date | None = None
    postal_address_changed: date | None = None
    customer_kid: str | None = None
    balance_total: Decimal | None = None

    def to_input(self) -> Customer:
        """Returns the customer to change and send.

        Returns:
            What the service has, without the fields that only it sets; what is missing there is not sent.
        """
        return input_of(self, Customer)
