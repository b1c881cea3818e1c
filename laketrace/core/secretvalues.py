"""Secrets and personal data in free text, found by their form.

Floor 1. Stands on: core.secretnames.

Each rule is a pattern that can only begin where a word of its kind begins and never looks far
ahead twice, so that time is linear whatever the text is. A pattern begins with the characters that
it needs, and what must not stand before them is asked behind them: so the `re` module skips quickly
to candidates. Forms that say little (card, IBAN, IPv6) are checked by their sum or structure. What
is found is replaced whole by `MASK`: no character and no length of it stays. No secrets are UUIDs,
versions, epochs, order numbers, hashes in hexadecimal, and `abfss://container@account...`.
Pure functions; compiled patterns are shared by all threads.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import NamedTuple

from laketrace.core.secretnames import MASK

# Length of an IBAN by country: SWIFT IBAN Registry, release 99.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)


class Rule(NamedTuple):
    """One kind of secret: which text cannot have it, its pattern, and what of a match it is.

    Without one of the texts in `needs` the pattern cannot match; none means that it always may.
    `check` gets a match and returns where the secret in it begins and ends, or None.
    """

    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[re.Match[str]], tuple[int, int] | None] | None = None


def apply(rule: Rule, text: str) -> str:
    """`text` with `MASK` for each secret of this kind.

    >>> apply(EMAIL, "mail bob@example.com now")
    'mail [REDACTED] now'
    """
    needs, pattern, check = rule
    for sign in needs:
        if sign in text:
            break
    else:
        if needs:
            return text
    if check is None:
        return pattern.sub(MASK, text)
    parts = []
    done = position = 0
    while (match := pattern.search(text, position)) is not None:
        found = check(match)
        if found is None:
            position = match.start() + 1
            continue
        start, position = found
        parts += [text[done:start], MASK]
        done = position
    return text if not done else "".join([*parts, text[done:]])


# --- keys and tokens ----------------------------------------------------------------------------

PRIVATE_KEY = Rule(
    ("-----BEGIN ",),
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\Z)",
        re.DOTALL,
    ),
)
JWT = Rule(("eyJ",), re.compile(r"eyJ(?<![\w-]eyJ)[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){0,3}", re.ASCII))


def _after_equals(match: re.Match[str]) -> tuple[int, int]:
    return match.span(1)


# The signature of a SAS, of a presigned URL of S3 or Google Cloud Storage.
SIGNATURE = Rule(
    ("sig=", "ignature="),
    re.compile(
        r"(?<![A-Za-z0-9_])(?:sig|[Ss]ignature|X-(?:Amz|Goog)-Signature)=([^\s&\"'<>,;]+)", re.ASCII
    ),
    _after_equals,
)
AWS_KEY_ID = Rule(
    ("AKIA", "ASIA", "ABIA", "ACCA", "AGPA", "AIDA", "AROA", "AIPA", "ANPA", "ANVA"),
    re.compile(
        r"A(?:KIA|SIA|BIA|CCA|GPA|IDA|ROA|IPA|NPA|NVA)(?<![A-Za-z0-9].{4})[A-Z0-9]{16}(?!\w)"
    ),
)


_DIGIT = re.compile("[0-9]")


def _looks_random(match: re.Match[str]) -> tuple[int, int] | None:
    """Forty letters and digits are a key unless they are a hash, a word or a path."""
    text = match.group()
    mixed = not (text.isalpha() or text == text.lower() or text == text.upper())
    return match.span() if mixed and text.count("/") < 5 and _DIGIT.search(text) else None


_BASE64_ENDS = r"(?<![A-Za-z0-9+/_.-]){}(?![A-Za-z0-9+/=_-])"
AWS_SECRET = Rule((), re.compile(_BASE64_ENDS.format(r"[A-Za-z0-9+/]{40}")), _looks_random)
AZURE_KEY = Rule(("==",), re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="))
AZURE_CLIENT_SECRET = Rule(
    ("Q~",), re.compile(r"(?<![\w~.-])[\w~.-]{3}[0-9]Q~[\w~.-]{31,34}(?![\w~-])", re.ASCII)
)
DATABRICKS_TOKEN = Rule(("dapi",), re.compile(r"dapi(?<![A-Za-z0-9]dapi)[0-9a-f]{32}(?:-[0-9]+)?"))


def _has_digit(match: re.Match[str]) -> tuple[int, int] | None:
    return match.span(1) if _DIGIT.search(match.group(1)) else None


BEARER = Rule(
    ("earer ",),
    re.compile(r"[Bb]earer(?<!\w[Bb]earer) +([\w.~+/=-]{8,})", re.ASCII),
    _has_digit,
)


# --- addresses ----------------------------------------------------------------------------------

_PORT = re.compile(r"[0-9]{1,5}(?:[/?#;,]|\Z)")


def _url_user(match: re.Match[str]) -> tuple[int, int] | None:
    """`user:password` of a URL, up to the last `@` before its path (or in it, after a colon)."""
    start = match.start(1)
    rest = match.group(1)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if not at:  # a password with a slash in it, or no password at all
        name, colon, behind = rest.partition(":")
        if not colon or "@" not in behind or "/" in name or _PORT.match(behind):
            return None
        user = rest.rpartition("@")[0]
    return (start, start + len(user)) if ":" in user else None


URL_USER = Rule(("@",), re.compile(r"://((?:(?!://)[^\s\"'<>`])+)"), _url_user)

_LOCAL_SIGNS = string.ascii_letters + string.digits + "._%+-'"
_MOST_LOCAL = 256  # characters before the @; RFC 5321 allows 64


def _email(match: re.Match[str]) -> tuple[int, int] | None:
    """From the first character of the local part; not the container of a storage URL."""
    text, at = match.string, match.start()
    before = text[max(0, at - _MOST_LOCAL) : at]
    kept = before.rstrip(_LOCAL_SIGNS)
    while kept and kept[-1].isalnum():  # letters of other alphabets
        kept = kept[:-1].rstrip(_LOCAL_SIGNS)
    start = at - len(before) + len(kept)
    while start < at and text[start] in "'%.-":  # a quote, not a part of the name
        start += 1
    if start == at or text.startswith("://", max(0, start - 3)):
        return None
    return None if re.search(r"[@.](?:dfs|blob)\.", match.group()) else (start, match.end())


_DOMAIN = r"(?:[\w-]{1,63}\.){1,10}(?:xn--[\w-]{1,59}|[^\W\d_]{2,63})"
EMAIL = Rule(("@",), re.compile("@" + _DOMAIN), _email)
EMAIL_IN_URL = Rule(("%40",), re.compile("%40" + _DOMAIN), _email)


def _ipv4(match: re.Match[str]) -> tuple[int, int] | None:
    """Four bytes that are not called a version."""
    if any(int(part) > 255 for part in match.group().split(".")):
        return None
    before = match.string[max(0, match.start() - 12) : match.start()].lower().rstrip(" :=.")
    return None if before.endswith(("version", "ver", " v")) else match.span()


IPV4 = Rule(
    (".",),
    re.compile(r"[0-9](?<![\w.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])", re.ASCII),
    _ipv4,
)


def _ipv6(match: re.Match[str]) -> tuple[int, int] | None:
    """RFC 4291, 2.2: eight groups, or at least two and one `::`; also `::1`."""
    text = match.group().rstrip(".")
    head, short, tail = text.partition("::")
    groups = [*head.split(":"), *tail.split(":")] if short else head.split(":")
    filled = [group for group in groups if group]
    if "." in text:
        if not _DOTTED.fullmatch(filled.pop()):
            return None
        filled += ["0", "0"]
    if any(len(group) > 4 or "." in group for group in filled) or "::" in tail or tail[:1] == ":":
        return None
    whole = 2 <= len(filled) <= 7 or text == "::1" if short else len(filled) == len(groups) == 8
    named = not _DIGIT.search(text)  # `ab::cd` is a name in several languages
    return (match.start(), match.start() + len(text)) if whole and not named else None


_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
IPV6 = Rule(
    (":",),
    re.compile(
        # It may stand directly behind a colon when the word before that is no group of its own.
        r"[0-9A-Fa-f:](?:(?<![\w:.].)|(?<=[g-zG-Z_]:.)|(?<=[g-zG-Z_]\w:.)|(?<=[g-zG-Z_]\w\w:.)"
        r"|(?<=[g-zG-Z_]\w\w\w:.))"
        r"(?=[0-9A-Fa-f]{0,3}:)[0-9A-Fa-f:]{1,39}(?:\.[0-9.]{1,12})?(?![\w:])",
        re.ASCII,
    ),
    _ipv6,
)


# --- numbers ------------------------------------------------------------------------------------

_CARD_BEGINS = re.compile(r"4|5[0-8]|2[2-7]|3[04-9]|6")  # ISO/IEC 7812-1, issuers of cards
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")


def _card(match: re.Match[str]) -> tuple[int, int] | None:
    """Luhn's sum (ISO/IEC 7812-1) over a number that begins as cards do."""
    digits = match.group().replace(" ", "").replace("-", "").encode()
    total = sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 48 * len(digits)
    return match.span() if total % 10 == 0 and _CARD_BEGINS.match(match.group()) else None


CARD = Rule(
    (),
    re.compile(
        # Behind four hexadecimal digits and a dash stands the next part of a UUID.
        r"[2-6](?<![A-Za-z0-9_.].)(?<![0-9A-Fa-f]{4}-.)[0-9]{3}"
        r"(?:([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{3})?|([ -]?)[0-9]{6}\2[0-9]{4,5})"
        r"(?![A-Za-z0-9_-]|\.[0-9])"
    ),
    _card,
)
_IBAN_DIGITS = {ord(letter): str(ord(letter) - 55) for letter in string.ascii_uppercase}


def _iban(match: re.Match[str]) -> tuple[int, int] | None:
    """As many letters and digits as the country's IBANs have, with ISO 7064's remainder."""
    entry = _IBAN_LENGTHS.find(match.group()[:2])
    if entry < 0:
        return None
    length = int(_IBAN_LENGTHS[entry + 2 : entry + 4])
    signs = match.group().replace(" ", "").replace("-", "")[:length]
    if len(signs) < length or int((signs[4:] + signs[:4]).translate(_IBAN_DIGITS)) % 97 != 1:
        return None
    end = match.start()
    for _ in range(length):
        while not match.string[end].isalnum():
            end += 1
        end += 1
    return None if match.string[end : end + 1].isalnum() else (match.start(), end)


IBAN = Rule(
    (),
    re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z][0-9]{2}(?:[ -]?[A-Z0-9]){11,30}"),
    _iban,
)
INTERNATIONAL_PHONE = Rule(  # E.164
    ("+",),
    re.compile(r"\+(?<![\w+.-]\+)[1-9](?:[ ().\-/]{0,2}[0-9]){7,14}(?![0-9A-Za-z_])", re.ASCII),
)
_BEFORE_PHONE = re.compile(r"(?:(?<![\w+.-])1[-. ])?\(?\Z", re.ASCII)


def _american_phone(match: re.Match[str]) -> tuple[int, int] | None:
    """With its bracket and the 1 before it, and not in the middle of another number."""
    start = match.start()
    lead = _BEFORE_PHONE.search(match.string, max(0, start - 4), start)
    if lead is not None and lead.group()[-1:] == "(" and ")" not in match.group():
        lead = None  # the bracket is around the whole
    start -= len(lead.group()) if lead else 0
    before = match.string[start - 1 : start] if start else ""
    return None if before.isalnum() or before in tuple("_.+-") else (start, match.end())


AMERICAN_PHONE = Rule(
    ("-", "."),
    re.compile(
        # The numbers of examples, like 555-123-4567, have a middle part that no exchange has.
        r"[2-9](?<!\w.)[0-9]{2}(?:[-.]|\) ?)[0-9]{3}[-.][0-9]{4}(?![\w-]|\.[0-9])",
        re.ASCII,
    ),
    _american_phone,
)
_PHONE_LABEL = re.compile(
    r"(?<![a-z])(?:(?:cell|mobile|tele)?phone|tel|mobile|cell|fax)"
    r"(?:[ _-]?(?:number|no|nr))?[.\"']{0,2}[ \t]?\Z",
    re.IGNORECASE,
)


def _labelled_phone(match: re.Match[str]) -> tuple[int, int] | None:
    start = match.start()
    label = _PHONE_LABEL.search(match.string, max(0, start - 24), start)
    return match.span(1) if label else None


LABELLED_PHONE = Rule(
    ("=", ":"),
    re.compile(
        r"[:=][ \t\"']{0,3}(\(?[0-9](?:[ ().\-/]{0,2}[0-9]){6,14})(?![0-9A-Za-z_])", re.ASCII
    ),
    _labelled_phone,
)


def _ssn(match: re.Match[str]) -> tuple[int, int] | None:
    """A number that the Social Security Administration may have given."""
    area, group, serial = match.group().split("-")
    never = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return None if never else match.span()


SSN = Rule(
    ("-",), re.compile(r"[0-9](?<![\w-].)[0-9]{2}-[0-9]{2}-[0-9]{4}(?![\w-])", re.ASCII), _ssn
)

RULES = (
    PRIVATE_KEY, URL_USER, SIGNATURE, JWT, BEARER, AWS_KEY_ID, AZURE_KEY, AZURE_CLIENT_SECRET,
    DATABRICKS_TOKEN, EMAIL, EMAIL_IN_URL,
)  # fmt: skip
RULES_OF_NUMBERS = (
    AWS_SECRET, IBAN, CARD, LABELLED_PHONE, INTERNATIONAL_PHONE, AMERICAN_PHONE, SSN, IPV6, IPV4,
)  # fmt: skip


def scrub_values(text: str) -> str:
    """`text` without everything that looks like a secret or personal data.

    >>> scrub_values("from 10.0.0.7, card 4111 1111 1111 1111, build 1700000000000")
    'from [REDACTED], card [REDACTED], build 1700000000000'
    """
    for rule in RULES:
        text = apply(rule, text)
    if _DIGIT.search(text) is not None:
        for rule in RULES_OF_NUMBERS:
            text = apply(rule, text)
    return text
