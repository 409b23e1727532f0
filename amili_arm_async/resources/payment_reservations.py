"""Payment reservations."""

from __future__ import annotations

from ..codec import json_value
from ..config import RetryPolicy, Timeout
from ..errors import RecordError
from ..models.json_records import PaymentReservation, Reply, reservation_faults
from .caller import JsonBody, RequestContext

__all__ = ["PaymentReservations"]


class PaymentReservations:
    """`arm.payment_reservations`.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses,
    `ConfigurationError`.
    """

    def __init__(self, caller: RequestContext) -> None:
        self._caller = caller

    async def create(
        self,
        reservation: PaymentReservation | JsonBody,
        *,
        user_id: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Creates a payment reservation for an existing document's AR item, or for an existing customer.

        Its `paymentId` is yours: none is made here, and one that was sent is never sent again after a doubtful outcome
        (`OutcomeUnknownError`). The answer is on no public page: a mapping, as it came.

        Args:
            reservation: a `PaymentReservation`, a mapping by the API's own names, or bytes of JSON.
            user_id, timeout, retry: for this call.

        Raises:
            RecordError: it has no `paymentId`, or names neither a document nor a customer.

        https://docs.amili.dev/creates-a-new-payment-reservation-3942682e0
        """
        body = reservation.to_mapping() if isinstance(reservation, PaymentReservation) else reservation
        faults = reservation_faults(json_value(bytes(body)) if isinstance(body, (bytes, bytearray)) else body)
        if faults:
            raise RecordError("; ".join(faults))
        return await self._caller.write(
            "payment_reservations.create", body, Reply, user_id=user_id or self._caller.user_id, timeout=timeout, retry=retry
        )
