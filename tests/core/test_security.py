"""The security helpers of 1.x keep their names and do what they say."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import laketrace
from laketrace import security
from laketrace.core.encode import to_json
from laketrace.core.redact import MASK
from laketrace.security import (
    DataEncryption,
    DataLeakDetector,
    FieldWhitelist,
    LogIntegrityVerifier,
    SecurityConfig,
    SensitiveDataRedactor,
    escape_format_strings,
    get_secure_file_opener,
    mask_pii,
    mask_value,
    sanitize_message,
)

# --- B10: messages that forge lines -------------------------------------------------------------


@pytest.mark.parametrize(
    "character",
    [
        "\n",
        "\r",
        "\x00",
        "\x1b",
        "\x0b",
        "\x0c",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u202e",
    ],
)
def test_no_character_forges_a_line_or_drives_a_terminal(character):
    """1.x escaped the first three only (B10)."""
    assert character not in sanitize_message(f"login{character}INFO admin logged in")


@pytest.mark.parametrize("message", [ValueError("a\nb"), b"a\nb", ["a\nb"], {"a": "\x1b"}, None, 7])
def test_messages_that_are_no_text_are_sanitized_too(message):
    """1.x gave back `str()` of them as it was (B10)."""
    shown = sanitize_message(message)

    assert isinstance(shown, str) and "\n" not in shown and "\x1b" not in shown


def test_old_names_and_the_package_door_lead_to_the_same_functions():
    """`escape_newlines` is `sanitize_message`, here and in `laketrace`."""
    assert security.escape_newlines is sanitize_message is laketrace.sanitize_message
    assert laketrace.mask_pii is mask_pii
    assert laketrace.escape_format_strings is escape_format_strings


@given(st.text())
def test_escaped_braces_survive_formatting(text):
    """`str.format` gives the text back and looks at nothing."""
    assert escape_format_strings(text).format() == text


def test_braces_of_what_is_no_text_are_escaped():
    """1.x let an object through whose `str` is a format string."""
    assert escape_format_strings(ValueError("{x.__class__}")) == "{{x.__class__}}"


# --- B11, B12: masking --------------------------------------------------------------------------


def test_password_field_is_masked_by_its_name():
    """1.x looked at values only: `{"password": "hunter2"}` stayed as it was (B11)."""
    assert mask_pii({"password": "hunter2", "rows": 3}) == {"password": MASK, "rows": 3}


def test_nested_dicts_and_lists_are_masked():
    """1.x looked at the first level only (B11)."""
    data = {"login": {"apiKey": "x"}, "to": ["bob@example.com", {"token": 7}], "n": (1, "a@b.com")}

    assert mask_pii(data) == {
        "login": {"apiKey": MASK}, "to": [MASK, {"token": MASK}], "n": (1, MASK)
    }  # fmt: skip


def test_masking_returns_a_copy():
    """What was given is not changed, at no depth."""
    data = {"login": {"password": "x"}, "to": ["bob@example.com"]}
    before = json.dumps(data)

    mask_pii(data)["login"]["user"] = "eve"

    assert json.dumps(data) == before


def test_masked_values_keep_neither_characters_nor_length():
    """1.x kept three characters and the length (B11)."""
    assert mask_value("hunter2") == mask_value("h") == mask_value("x" * 99) == mask_value(7) == MASK
    assert mask_pii({"note": "hunter2@example.com"}) == {"note": MASK}


def test_uuids_are_not_masked():
    """1.x took each UUID for an Azure key (B11)."""
    data = {"run": "123e4567-e89b-12d3-a456-426614174000"}

    assert mask_pii(data) == data


@pytest.mark.parametrize("part", ["a.", "a@a.a.", "@a.", "1-"])
def test_hostile_text_takes_linear_time(part):
    """100 KB of these took 1.x 14 to 16 s (B12)."""
    text = part * (100_000 // len(part))

    start = time.thread_time()
    mask_pii({"note": text})

    assert time.thread_time() - start < 2


def test_fields_to_mask_are_masked_besides_the_usual_names():
    """The caller's names count in every form."""
    data = {"customerNo": 4711, "password": "x", "rows": 3}

    assert mask_pii(data, fields_to_mask=["customer_no"]) == {
        "customerNo": MASK, "password": MASK, "rows": 3
    }  # fmt: skip


def test_own_patterns_of_a_config_count_instead_of_the_built_in_forms():
    """As in 1.x; names of secrets are masked in any case."""
    config = SecurityConfig(enable_pii_masking=True, pii_patterns={"account": r"ACC-\d+"})
    data = {"note": "ACC-1 of bob@example.com", "token": "x"}

    assert mask_pii(data, config) == {"note": f"{MASK} of bob@example.com", "token": MASK}
    assert mask_pii(data, config, ["note"]) == {"note": MASK, "token": MASK}
    assert mask_pii(data, SecurityConfig()) == {"note": f"ACC-1 of {MASK}", "token": MASK}


def test_config_keeps_the_attributes_of_1x():
    """Programs that read them find them."""
    config = SecurityConfig()

    assert (config.enable_sanitization, config.enable_pii_masking, config.safe_mode) == (
        True, False, False
    )  # fmt: skip
    assert config.pii_patterns == {}
    with pytest.raises(ValueError, match="is not a regular expression"):
        SecurityConfig(pii_patterns={"bad": "("})


# --- files --------------------------------------------------------------------------------------


def rights(path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.skipif(os.name == "nt", reason="rights of files are POSIX's")
def test_opened_file_belongs_to_its_owner_alone(tmp_path):
    """A new file has 0600, and an existing one of ours that all could read gets it."""
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.write_text("before\n")
    old.chmod(0o644)

    for path in (new, old):
        with open(path, "a", opener=get_secure_file_opener()) as file:
            file.write("x\n")

    assert rights(new) == rights(old) == 0o600
    assert old.read_text() == "before\nx\n"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system cannot refuse links")
def test_symbolic_link_is_not_followed(tmp_path):
    """A link that another user put in place of the log leads nowhere."""
    target = tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / "app.log").symlink_to(target)

    with pytest.raises(OSError):
        get_secure_file_opener()(str(tmp_path / "app.log"), os.O_WRONLY | os.O_APPEND)
    assert target.read_text() == "theirs"


# --- leaks and fields ---------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_large_record_is_noticed_whatever_it_holds():
    """1.x raised TypeError over values that JSON does not know."""
    detector = DataLeakDetector(max_log_size_kb=1)
    data = {"when": datetime.now(timezone.utc), "rows": [Decimal(1)] * 500, "odd": "\udc80"}

    safe, warnings = detector.check_log_record("dump \udc80", data)

    assert not safe and warnings[0].startswith("LARGE_LOG: ")
    assert detector.check_log_record("small") == (True, [])


def test_flood_is_noticed_and_passes():
    """More than rate times window within the window; a quiet window clears it."""
    clock = Clock()
    detector = DataLeakDetector(max_logs_per_second=2, window_seconds=5, clock=clock)

    answers = [detector.check_log_record("x")[0] for _ in range(12)]
    clock.now += 5
    later = detector.check_log_record("x")

    assert answers == [True] * 10 + [False] * 2
    assert later == (True, [])


def test_flood_takes_bounded_memory():
    """A million records within the window do not grow the detector."""
    detector = DataLeakDetector(max_logs_per_second=2, window_seconds=5, clock=Clock())

    for _ in range(1000):
        detector.check_log_record("x")

    assert len(detector._times) <= 11


def test_sensitive_combination_is_noticed_in_every_form_of_its_names():
    """`connectionString` is `connection_string`."""
    detector = DataLeakDetector()

    safe, warnings = detector.check_log_record("x", {"Password": 1, "connectionString": 2, "n": 3})

    assert not safe
    assert warnings == ["SENSITIVE_COMBO: connection_string and password were logged together"]
    assert DataLeakDetector(detect_field_combinations=False).check_log_record(
        "x", {"password": 1, "api_key": 2}
    ) == (True, [])


def test_whitelist_names_or_blocks_what_is_not_approved():
    """Loose: kept and named. Strict: taken out, named and counted."""
    loose, strict = FieldWhitelist({"table"}), FieldWhitelist({"table"}, strict=True)
    data = {"table": "orders", "user": "bob"}

    assert loose.validate_record(data) == (data, ["UNAPPROVED_FIELD: user not in whitelist"])
    kept, warnings = strict.validate_record(data)
    strict.add_allowed_fields("user", "rows")
    again = strict.validate_record(data)

    assert (kept, len(warnings), strict.get_violation_count()) == ({"table": "orders"}, 1, 1)
    assert again == (data, [])
    assert loose.get_violation_count() == 0


# --- integrity ----------------------------------------------------------------------------------

RECORDS = st.dictionaries(
    st.text(max_size=8).filter(lambda name: not name.startswith("_integrity")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
        | st.datetimes() | st.decimals() | st.uuids() | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    ),
    max_size=5,
)  # fmt: skip


@given(RECORDS, st.sampled_from([None, "key"]), st.booleans())
def test_record_with_its_hash_verifies_also_after_it_was_written(record, key, chain):
    """In 1.x a record failed its own hash; here it holds before and after the JSON line."""
    verifier = LogIntegrityVerifier(key=key, chain=chain)

    hashed = verifier.add_hash_header(record)
    read_back = json.loads(to_json(hashed))

    for each in (hashed, read_back):
        assert verifier.verify_record(each)
        assert verifier.verify_record(each, hashed["_integrity_hash"])
    assert "_integrity_hash" not in record


def test_changed_record_does_not_verify():
    """A changed value, a new field, a missing field and a missing hash are noticed."""
    verifier = LogIntegrityVerifier()
    record = verifier.add_hash_header({"user": "bob", "rows": 3})

    for changed in ({**record, "rows": 4}, {**record, "more": 1}, {"rows": 3}, {"user": "bob"}):
        assert not verifier.verify_record(changed)
    assert not verifier.verify_record(record, "0" * 64)
    assert not verifier.verify_record(record, "\udc80é")


def test_keyed_hash_cannot_be_made_without_the_key():
    """Who changes a record cannot hash it again."""
    verifier = LogIntegrityVerifier(key=b"secret")
    forged = LogIntegrityVerifier().add_hash_header({"user": "eve"})

    assert not verifier.verify_record(forged)
    assert LogIntegrityVerifier(key="secret").verify_record(verifier.add_hash_header({"a": 1}))


def test_chain_notices_what_was_taken_out_put_in_or_moved():
    """Each record names the one before it."""
    verifier = LogIntegrityVerifier(key="k", chain=True)
    one, two, three = (verifier.add_hash_header({"n": number}) for number in range(3))
    alone = LogIntegrityVerifier(key="k", chain=True).add_hash_header({"n": 9})

    assert verifier.verify_chain([one, two, three]) == []
    assert verifier.verify_chain([one, three]) == [1]
    assert verifier.verify_chain([two, three]) == [0]
    assert verifier.verify_chain([one, alone, two, three]) == [1, 2]
    assert verifier.verify_chain([one, {**two, "n": 7}, three]) == [1]
    assert verifier.verify_chain([]) == []


def test_other_hash_algorithms_and_the_way_out_of_a_wrong_one():
    """What `hashlib` has can be used."""
    for name in ("sha512", "blake2b", "md5"):
        verifier = LogIntegrityVerifier(name)
        assert verifier.verify_record(verifier.add_hash_header({"a": 1}))

    with pytest.raises(laketrace.ConfigError, match="'sha257' is not a hash algorithm"):
        LogIntegrityVerifier("sha257")


# --- redactor -----------------------------------------------------------------------------------


def test_redactor_takes_what_1x_missed():
    """`token=`, AWS keys, `Database=`, lists, quoted passwords with blanks."""
    redactor = SensitiveDataRedactor()

    assert redactor.redact("token=abc") == f"token={MASK}"
    assert redactor.redact("AKIAIOSFODNN7EXAMPLE") == MASK
    assert redactor.redact("Server=db;Database=sales;Initial Catalog=x") == (
        f"Server={MASK};Database={MASK};Initial Catalog={MASK}"
    )
    assert redactor.redact("password='two words' x") == f"password='{MASK}' x"
    assert redactor.redact(ValueError("pwd=x")) == f"pwd={MASK}"
    record = {"to": ("token=a", {"pwd": 1}), "dsn": ["Server=db"]}
    assert redactor.redact_record(record) == {
        "to": (f"token={MASK}", {"pwd": MASK}), "dsn": [f"Server={MASK}"]
    }  # fmt: skip


# --- encryption ---------------------------------------------------------------------------------


def test_encryption_without_a_key_is_an_error():
    """1.x passed plain text through in silence."""
    for nothing in (None, "", b""):
        with pytest.raises(laketrace.ConfigError, match=r"no key was given. Make one with"):
            DataEncryption(nothing)


@pytest.mark.extra("cryptography")
def test_wrong_key_is_an_error():
    """What is no Fernet key is refused with the way to make one."""
    with pytest.raises(laketrace.ConfigError, match="not a Fernet key"):
        DataEncryption("short")


def test_missing_package_is_named():
    """Without cryptography the error says what to install."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from laketrace.security import DataEncryption\n"
        "try: DataEncryption('k')\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.startswith("MissingExtraError laketrace.security.DataEncryption needs the")
    assert "pip install cryptography" in done.stdout


@pytest.mark.extra("cryptography")
def test_fields_are_encrypted_whatever_their_type():
    """Numbers and dicts are not left in plain text, and everything comes back."""
    from cryptography.fernet import Fernet

    key = Fernet.generate_key()
    vault = DataEncryption(key.decode())
    record = {"name": "bob é\udc80", "age": 42, "tags": {"a": [1]}, "rows": 3}

    hidden = vault.encrypt_record(record, {"name", "age", "tags"})

    assert hidden["rows"] == 3 and record["age"] == 42
    assert "bob" not in json.dumps(hidden) and "42" not in (hidden["age"],)
    assert DataEncryption(key).decrypt_field(hidden["age"]) == "42"
    assert json.loads(vault.decrypt_field(hidden["tags"])) == {"a": [1]}
    assert vault.decrypt_field(hidden["name"]) == "bob é\\udc80"


@pytest.mark.extra("cryptography")
def test_changed_text_and_other_key_do_not_decrypt():
    """Both are a ValueError, not wrong text."""
    from cryptography.fernet import Fernet

    hidden = DataEncryption(Fernet.generate_key()).encrypt_field("x")
    vault = DataEncryption(Fernet.generate_key())

    for text in (hidden, "", "é", "x" * random.randrange(1, 99)):
        with pytest.raises(ValueError, match="another key or a changed text"):
            vault.decrypt_field(text)
