r"""What values look like: expressions that the source's own server holds against a sample, and answers with counts.

PostgreSQL, MariaDB, MySQL and Python read them alike: no `\b`, no `\d`, classes by name. `{B}` and `{E}` are where a
value begins and ends; of a value that has parts, as JSON has, where a part does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cx.data.masking.catalog import Column
from cx.data.masking.words import counts, keeps_keys

# What parts stand between in JSON, arrays, composites, ranges, XML, hstore and tsvector, as all of them are written.
SEPARATORS = r"""[\[\]\{\}<>",;'\\]"""
BETWEEN = rf"[[:space:]]*{SEPARATORS}([[:space:]]|{SEPARATORS})*"
# What names the parts in JSON, hstore and XML.
KEYS = r'"[^"]*"[[:space:]]*(:|=>)|</?[A-Za-z_][^[:space:]<>/]*|[A-Za-z_:.-]+=(?=")'
MOST_PARTS = 30  # a text of more has words that are names of people, too
LONGEST = 20_000  # characters of a value that are looked at

# Codes of countries, https://en.wikipedia.org/wiki/List_of_country_calling_codes; of those with the longest numbers.
_CODES = (
    "7|2[07]|2[1-689][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]|6[0-6]|6[789][0-9]|8[1246]|8[058][0-9]"
    "|9[0-58]|9[679][0-9]"
)
_LONG_CODES = "4[39]|55|62|86|234"
_HASHED = (
    r"\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53}",  # bcrypt
    r"\$argon2(id|i|d)\$.*",
    r"\$(scrypt|s0|7)\$.*|scrypt:[0-9]+:.*",
    r"\$pbkdf2(-sha[0-9]+)?\$.*|pbkdf2[_:]sha[0-9]+[$:].*|(bcrypt|bcrypt_sha256|argon2|scrypt|md5|sha1)\$.*",
    r"\$(1|apr1|5|6|y|gy|sha1|md5)\$[./A-Za-z0-9=_-]+\$.*",  # crypt by MD5, SHA-256, SHA-512, yescrypt
    r"\$[PHS]\$[./A-Za-z0-9]{31,52}",  # PHP's
    r"\{(SSHA|SHA|SMD5|MD5|CRYPT|PBKDF2)[0-9A-Z-]*\}[^[:space:]]+",  # LDAP's
    r"SCRAM-SHA-(1|256)\$.*|\*[0-9A-F]{40}",  # PostgreSQL's, MySQL's
)
_KEYS = (
    r"(sk|rk|pk)_(live|test)_[0-9A-Za-z]{10,}|whsec_[0-9A-Za-z+/=]{16,}",  # Stripe
    r"gh[pousr]_[0-9A-Za-z]{20,}|github_pat_[0-9A-Za-z_]{20,}|glpat-[0-9A-Za-z_-]{16,}",
    r"(AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{20,}",  # AWS, Google
    r"xox[abeprs]-[0-9A-Za-z-]{10,}|xapp-[0-9]-[0-9A-Za-z-]{10,}",  # Slack
    r"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}|key-[0-9a-f]{32}|sk-[0-9A-Za-z_-]{20,}",  # SendGrid, Mailgun, OpenAI
    r"npm_[0-9A-Za-z]{30,}|pypi-[0-9A-Za-z_-]{30,}|hf_[0-9A-Za-z]{30,}|dop_v1_[0-9a-f]{32,}|shp(at|ca|pa|ss)_[0-9a-fA-F]{32}",
    r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.",  # JSON Web Tokens
)
_MARKS = "[0-9A-Za-z_+=~-]"  # of tokens that were made at random
_MIXED = f"{_MARKS}*[A-Za-z]{_MARKS}*[0-9]"


@dataclass(frozen=True)
class Look:
    """Values that fit `pattern` are `says`, and `rule` is proposed; `share` is the least of the sample that must fit.

    `of` says of which columns: texts and their parts, numbers, or texts that the column's name says are keys.
    """

    rule: str
    says: str
    pattern: str
    share: float
    of: Literal["texts", "numbers", "keys"] = "texts"

    def concerns(self, column: Column) -> bool:
        if self.of == "keys":
            return not column.shape.startswith("number") and keeps_keys(column.name)
        if self.of == "numbers":
            return column.shape.startswith("number") and not counts(column.name)
        return not column.shape.startswith("number")

    def between(self, begin: str, end: str) -> str:
        return self.pattern.replace("{B}", begin).replace("{E}", end)


LOOKS = (
    Look("fake email", "emails", r"[[:alnum:]._%+-]+@[[:alnum:]-]+\.[[:alpha:]]{2}", 0.0),
    Look("null", "hashes of passwords", f"{{B}}({'|'.join(_HASHED)}){{E}}", 0.0),
    Look("null", "keys", f"(^|[^0-9A-Za-z])({'|'.join(_KEYS)})|-----BEGIN [A-Z0-9 ]*PRIVATE KEY", 0.0),
    Look("fake phone", "phones", r"{B}(\+|00|\(?0)[1-9][0-9 ()/.-]{6,18}{E}", 0.3),
    Look("hash", "numbers of people or machines", r"(^|[^0-9.])([0-9]{1,3}\.){3}[0-9]{1,3}([^0-9.]|$)", 0.3),
    Look("hash", "numbers of people or machines", r"{B}[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}[A-Z0-9 ]{7,26}{E}", 0.3),
    Look(
        "hash",
        "numbers of people or machines",
        r"{B}(4[0-9]|5[1-5]|3[47]|6[05])[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3,4}{E}",
        0.3,
    ),
    Look("null", "keys", rf"{{B}}(?!{'[0-9a-f]{8}-'})(?={_MIXED}{_MIXED}{_MIXED}){_MARKS}{{20,}}{{E}}", 0.5, "keys"),
    # As E.164 has them, without the plus; North American ones without the country, too. Milliseconds begin with 1.
    Look(
        "fake phone",
        "phones",
        rf"{{B}}((?=[0-9]{{11,12}}{{E}})({_CODES})[0-9]+|(?=[0-9]{{13}}{{E}})({_LONG_CODES})[0-9]+"
        r"|1?[2-9][0-9]{2}[2-9][0-9]{6}){E}",
        0.6,
        "numbers",
    ),
    Look("hash", "numbers of cards", r"{B}(4[0-9]|5[1-5]|3[47]|6[05])[0-9]{13,14}{E}", 0.3, "numbers"),
)
_NAMED_SHARE = 0.4
OURS = r"[a-z]+\.[0-9a-f]{16}@example\.com|\+999[0-9]{10}"


def likeness(column: Column, fits: Sequence[int]) -> tuple[str, str] | None:
    """The rule that is proposed, and what the values look like. `fits`: the size of the sample, how many fit each of
    LOOKS, how many are names, and how many first names."""
    sampled, *each, full, first = fits
    for look, fit in zip(LOOKS, each, strict=True):
        if fit and fit >= look.share * sampled and look.concerns(column):
            return look.rule, look.says
    if full >= max(2, _NAMED_SHARE * sampled):
        return "fake name", "names"
    return ("fake first name", "first names") if first >= max(2, _NAMED_SHARE * sampled) else None


def personal(text: str) -> bool:
    """Whether a text looks personal by itself, whatever holds it."""
    return any(pattern.search(text) for pattern in _compiled())


def _compiled() -> Iterator[re.Pattern[str]]:
    for look in LOOKS:
        if look.of == "texts":
            yield re.compile(as_python(look.between("^", "$")))


def as_python(pattern: str) -> str:
    """The expression with classes as Python's `re` has them."""
    for name, instead in (("[:alnum:]", r"\w"), ("[:alpha:]", "A-Za-z\u00c0-\uffff"), ("[:space:]", r"\s")):
        pattern = pattern.replace(name, instead)
    return pattern
