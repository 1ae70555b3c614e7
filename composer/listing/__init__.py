"""What there is to choose from."""

from composer.listing.listing import KINDS, Listing, Row, find_kind

__all__ = ["KINDS", "Listing", "Row", "find_kind"]
