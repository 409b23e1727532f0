"""What all lists ask of their arguments."""

from __future__ import annotations

from ..config import check_int

__all__ = ["check_list"]

CAP = 10_000


def check_list(*, maximum_count: int | None, page_size: int | None, page_no: int | None) -> None:
    """Refuses what the API would silently change, before anything is sent.

    Raises:
        ConfigurationError: the reason is in the message.
    """
    if page_size is not None:
        why = "the API takes 10 for anything below 5 and caps at 1000, and would not say so"
        check_int("page_size", page_size, least=5, most=1000, why=why)
    if maximum_count is not None:
        check_int("maximum_count", maximum_count, least=1, most=CAP, why="10,000 is the upper limit of the API")
    if page_no is not None:
        check_int("page_no", page_no, least=1)
