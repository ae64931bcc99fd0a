"""The words that fakes are made of: Faker's, sorted, in plain ASCII so that every encoding has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

# The most characters that a fake of this kind has; a column that holds fewer cannot take it.
LENGTHS = {
    "name": 25,
    "first name": 12,
    "last name": 12,
    "email": 40,
    "username": 28,
    "phone": 14,
    "address": 52,
    "street": 26,
    "city": 18,
    "postcode": 5,
    "company": 20,
}
# Two values have two fakes, but for a chance that no column is large enough for.
DISTINCT = frozenset({"email", "username", "hash"})
HASHED = frozenset({"int8", "uuid", "bytea"})


WORDS = ("first", "last", "street", "city", "suffix")


@cache
def words(kind: str) -> tuple[str, ...]:
    """first, last, street, city, suffix: sorted words, each once."""
    from faker.providers.address.en_US import Provider as Address
    from faker.providers.company.en_US import Provider as Company
    from faker.providers.person.en_US import Provider as Person

    match kind:
        case "first":
            return _plain(Person.first_names)
        case "last":
            return _plain(Person.last_names)
        case "street":
            return _plain(Address.street_suffixes)
        case "suffix":
            return _plain(Company.company_suffixes)
    ends = [str(end) for end in Address.city_suffixes]
    return _plain(f"{name}{end}" for number, name in enumerate(words("last")) for end in [ends[number % len(ends)]])


def _plain(found: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(one) for one in found if str(one).isascii()}))


@cache
def common() -> frozenset[str]:
    """Words that fakes may hold, in lower case: a raw value of nothing else cannot be told from a fake."""
    return frozenset(part.lower() for kind in WORDS for one in words(kind) for part in one.split())
