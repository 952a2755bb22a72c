"""A share as people read it."""

from decimal import ROUND_HALF_UP, Decimal


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1 in per cent, such as `72.4 %`, rounded as `toFixed` rounds on the page."""
    exact = Decimal(100 * share)
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)} %"
