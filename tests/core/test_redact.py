"""Secrets stay out: by name, by form, behind their names; what is harmless stays in."""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import re
import string
import time
import uuid
from collections import deque, namedtuple
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from laketrace.core.encode import Encoder, to_json
from laketrace.core.redact import MASK, Redactor, masked
from laketrace.core.secretnames import PHRASES

BY_NAME = Redactor()
BY_FORM = Redactor(pii=True)

DOCUMENTED = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secret_key",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "account_key",
    "private_key",
    "credentials",
    "authorization",
    "cookie",
    "connection_string",
    "sas",
]


# --- names --------------------------------------------------------------------------------------


def forms(name: str) -> list[str]:
    """The same words as they are written in code, headers, settings and environments."""
    parts = name.split("_")
    capitals = [part.capitalize() for part in parts]
    camel = parts[0] + "".join(capitals[1:])
    return [
        name, name.upper(), "-".join(parts), "-".join(capitals), ".".join(parts), camel,
        "".join(capitals), " ".join(parts), "/".join(parts), f"__{name}__",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_names_are_secret_in_every_form(name):
    """Snake, SCREAMING, kebab, Header-Case, dotted, camel and Pascal form mean the same."""
    for form in forms(name):
        assert BY_NAME.is_secret(form), form


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_names_are_secret_within_longer_names(name):
    """What stands before, and suffixes such as `_hash`, change nothing."""
    for longer in (f"db_{name}", f"user.{name}", f"X-{name}", f"{name}_hash", f"{name}2",
                   f"my_{name}_old", f"{name}.value"):  # fmt: skip
        for form in forms(longer.replace(".", "_").replace("-", "_")):
            assert BY_NAME.is_secret(form), form


@pytest.mark.parametrize(
    "name",
    [
        "db_password", "user.password", "X-Api-Key", "aws_secret_access_key", "clientSecret",
        "dbPassword", "DBPassword", "dbpassword", "mypassword2", "AccountKey", "accountkey",
        "storageaccountkey", "SharedAccessKey", "SharedAccessSignature", "oauth2Token", "idToken",
        "accesstoken", "refresh_tokens", "access_tokens", "Set-Cookie", "Proxy-Authorization",
        "sas_url", "sasToken", "passwords", "user_credentials", "conn_str", "SECRET_KEY_BASE",
        "spark.hadoop.fs.azure.account.key.acme.dfs.core.windows.net",
        "fs.azure.account.oauth2.client.secret", "HTTP_AUTHORIZATION", "JWTSecret", "password1",
        "new password", "token", "csrf_token", "access_key_id",
    ],
)  # fmt: skip
def test_names_met_in_the_field_are_secret(name):
    """Headers, Spark settings, cloud SDKs and environment variables."""
    assert BY_NAME.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer", "tokenize", "tokenized", "secretary", "secretariat", "passwordless",
        "passenger", "passport", "compass", "author", "authority", "authorized", "cookiecutter",
        "sassy", "sask", "keyboard", "key", "api", "apis", "primary_key", "foreign_key", "sort_key",
        "partition_keys", "account", "account_id", "connection", "string", "access", "private",
        "accessed", "rows", "tokens", "max_tokens", "prompt_tokens", "completionTokens", "user",
        "table", "a", "", "_", "1", "日本語", "nsas", "monkey_api", "description",
    ],
)  # fmt: skip
def test_other_words_are_not_secret(name):
    """Words that contain the letters, keys of tables, and parts of a phrase alone."""
    assert not BY_NAME.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "token_count", "tokenCount", "token.count", "password_length", "passwordLength",
        "cookie_name", "secret_scope", "secret_name", "token_type", "token_expires_at",
        "tokenExpiry", "sas_expiry", "api_key_version", "private_key_path", "credentials_file",
        "password_policy", "token_ttl", "fs.azure.sas.token.provider.type", "has_password",
        "hasPassword", "requires_token", "password_required", "cookies_enabled",
        "password_created_at", "token_usage",
    ],
)  # fmt: skip
def test_statements_about_a_secret_are_not_secret(name):
    """How long, how many, since when, whether, what it is called, where it lies."""
    assert not BY_NAME.is_secret(name)


def test_secret_behind_a_statement_is_secret():
    """Only the words behind the last phrase decide."""
    assert BY_NAME.is_secret("password_count_token")
    assert BY_NAME.is_secret("name.of.the.password")
    assert BY_NAME.is_secret("is.user.password")


def test_own_names_are_added_to_the_usual_ones():
    """A program's own names count in every form, also when they end in a harmless word."""
    redactor = Redactor(["customer name", "IBANs", "ключ"])

    for name in ("customer_name", "customerName", "old.customer-name", "ibans", "КЛЮЧ", "password"):
        assert redactor.is_secret(name), name
    assert not redactor.is_secret("customer")
    assert not redactor.is_secret("customer_name_length")


def test_names_false_redacts_nothing_by_name():
    """Redaction by name can be switched off."""
    assert not Redactor(False).is_secret("password")


@given(st.text(max_size=50))
@example("_" * 50)
@example("Password\udc80")
def test_any_text_can_be_a_name(name):
    """Asking never raises, and the same question has the same answer."""
    assert BY_NAME.is_secret(name) == Redactor().is_secret(name)


@given(
    st.sampled_from(PHRASES), st.sampled_from(["", "x", "my", "user", "prod"]),
    st.sampled_from(["", "hash", "value", "old", "base64", "2"]), st.randoms(),
)  # fmt: skip
def test_case_never_matters_for_words_apart(phrase, before, behind, rnd):
    """Small letters, capitals and Header-Case are the same name."""
    name = "_".join(part for part in (before, phrase, behind) if part)

    assert BY_NAME.is_secret(name.upper()) and BY_NAME.is_secret(name)
    assert BY_NAME.is_secret("-".join(part.capitalize() for part in name.split("_")))


def test_memory_of_names_is_bounded():
    """A program that invents names for ever does not grow the redactor."""
    redactor = Redactor()

    for number in range(10_000):
        redactor.is_secret(f"field_{number}")
    redactor.is_secret("x" * 100_000)

    assert len(redactor._known) <= 4096
    assert max(map(len, redactor._known)) <= 256


def test_long_names_take_linear_time():
    """A megabyte as a field's name is asked about in a moment."""
    for text in ("a_b.", "Aa", "A", "1a", "password", "_", "é"):
        start = time.thread_time()
        Redactor().is_secret(text * (1_000_000 // len(text)))
        assert time.thread_time() - start < 5


# --- settings -----------------------------------------------------------------------------------


def test_equal_settings_are_equal_redactors():
    """Encoders can be shared between loggers with the same settings."""
    one = Redactor(["b", "a"], pii=True, patterns=["ACC-[0-9]+"])
    same = Redactor(["a", "b", "a"], pii=True, patterns=[re.compile("ACC-[0-9]+")])

    assert one == same and hash(one) == hash(same)
    assert one != Redactor(["a"], pii=True, patterns=["ACC-[0-9]+"])
    assert Redactor() != Redactor(pii=True) and Redactor() != Redactor(False)
    assert Redactor() != "Redactor(True)"


def test_redactor_pickles_by_its_settings():
    """A logger that travels to another process redacts there as here."""
    redactor = Redactor(["customer_no"], pii=True, patterns=["ACC-[0-9]+"])
    redactor.is_secret("password")

    copy = pickle.loads(pickle.dumps(redactor))

    assert copy == redactor
    assert copy.scrub("ACC-1 bob@example.com") == f"{MASK} {MASK}"


def test_scrub_gives_the_same_object_where_nothing_is_asked_for():
    """Without `pii` and patterns texts are not even looked at."""
    text = "bob@example.com password=hunter2"

    assert BY_NAME.scrub(text) is text
    assert not BY_NAME.scrubs and BY_FORM.scrubs and Redactor(patterns=["a"]).scrubs


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"names": "password"}, "is one text. Use a list"),
        ({"names": [""]}, "is not a name. Use a list of texts"),
        ({"names": [7]}, "is not a name. Use a list of texts"),
        ({"patterns": "a+"}, "is one pattern. Use a list"),
        ({"patterns": ["("]}, "is not a regular expression"),
        ({"patterns": [None]}, "is not a regular expression"),
        ({"patterns": [b"a"]}, "is for bytes"),
        ({"patterns": ["a*"]}, "matches the empty text"),
    ],
)
def test_wrong_settings_are_refused_with_the_way_out(settings_, says):
    """Each problem names what was given, the rule and what to write instead."""
    with pytest.raises(ValueError, match=re.escape(says)):
        Redactor(**settings_)


def test_own_patterns_work_alone_and_beside_the_built_in_forms():
    """Matches of a program's own patterns go whole."""
    assert Redactor(patterns=[r"ACC-\d+"]).scrub("ACC-4711 a@b.com") == f"{MASK} a@b.com"
    assert Redactor(pii=True, patterns=[r"ACC-\d+"]).scrub("ACC-1 a@b.com") == f"{MASK} {MASK}"


# --- forms --------------------------------------------------------------------------------------

JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0"
    ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
SECRETS = [
    # e-mail
    "bob@example.com", "bob.o'brien+tag@mail.example.co.uk", "BOB_99%x@EXAMPLE.MUSEUM",
    "jürgen@müller.de", "a@b.co", "bob%40example.com", "用户@例子.公司", "x@xn--bcher-kva.example",
    # phone
    "+49 170 1234567", "+1-555-123-4567", "+4917012345678", "(555) 234-5678", "555-234-5678",
    "555.234.5678", "1-800-234-5678", "555-123-4567", "+44 (0)20 7946 0958",
    # card
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005",
    "3782 822463 10005", "5555555555554444", "6011111111111117", "30569309025904",
    "2223003122003222", "4222222222222", "6304000000000000",
    # IBAN
    "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819",
    "FR1420041010050500013M02606", "MT84MALT011000012345MTLCAST001S", "NO9386011117947",
    # social security
    "123-45-6789",
    # addresses
    "10.0.0.7", "192.168.1.254", "255.255.255.255", "8.8.8.8", "2001:db8::8a2e:370:7334",
    "fe80::1", "::1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:192.0.2.128",
    # tokens and keys
    JWT, "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    AZURE_KEY, "dapi0123456789abcdef0123456789abcdef", "abc8Q~ABCDEFGHIJKLMNOPQRSTUVWXYZ.abcdef",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nx==\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around",
    ["{}", "see {} now", "({})", "'{}'", '"{}"', "a={}", "x: {}, y", "<{}>", "[{}]", "{}\nnext",
     "{}; {}", "{},{}", "note:{}"],
)  # fmt: skip
def test_secret_forms_go_whole_wherever_they_stand(secret, around):
    """Alone, in a sentence, in brackets, quotes and lists, once and twice."""
    text = around.format(secret, secret)

    scrubbed = BY_FORM.scrub(text)

    assert scrubbed == around.format(MASK, MASK)


KEPT = [
    "abfss://container@account.dfs.core.windows.net/bronze/orders",
    "abfss://ws@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/Tables/t",
    "wasbs://data@acme.blob.core.windows.net/x", "container@account.dfs.core.windows.net",
    "123e4567-e89b-12d3-a456-426614174000", "12345678-1234-1234-1234-123456789012",
    "4.1.1", "2.0.0-rc.1", "10.4.x-scala2.12", "version 1.2.3.4", "v1.2.3.4", "Version: 4.3.2.1",
    "1700000000", "1700000000000", "1700000000000000", "1700000000000000000",
    "order 1234567890123456", "order 305-1234567-8912345", "invoice 2024-000123", "#4711",
    "2024-01-02T03:04:05.678901+00:00", "2024-01-02 03:04:05,678", "12:34:56", "12:34:56:78",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709", "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "1/2", "3.14159265358979", "0.4111111111111111", "1e+10", "-4111", "99.99%", "10:30",
    "s3://bucket/key", "https://example.com:8443/path?page=2#top", "http://localhost:8888/lab",
    "@decorator", "user@localhost", "a @ b", "std::vector", "::", "a::b()",
    "Spark 3.5.1 on Python 3.11.7", "rows=336776 seconds=12.5", "1,234,567.89", "5 4 1 1",
    "/usr/local/lib/python3/site/packages/aa/bb", "aa:bb:cc:dd:ee:ff", "100 200 300 4000",
    "app-20240102030405-0001", "stage_12.0 (TID 4711)", "the key: value pairs", "status: ok",
    "token_count=7 tokens: 12", "sort_key=abc", "max_tokens: 4096", "IO: 7", "x" * 100,
    "DE00370400440532013000", "4111111111111112", "999.1.1.1", "1.2.3.4.5", "GB12", "eyJ",
    "eyJab.c", "bearer authentication failed", "SIGTERM", "sigma=0.5", "secretary: Ann", "AKIA",
    "dapi",
]  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_harmless_texts_stay_as_they_are(text):
    """Storage paths, UUIDs, versions, epochs, order numbers, hashes, times, prose."""
    assert BY_FORM.scrub(text) == text


def test_random_uuids_epochs_and_versions_stay():
    """Thousands of them, none is taken for a phone, a card or an address."""
    rnd = random.Random(7)
    for _ in range(3000):
        made = uuid.UUID(int=rnd.getrandbits(128), version=4)
        version = ".".join(str(rnd.randrange(100)) for _ in range(3))
        epoch = str(rnd.randrange(10**9, 2 * 10**9)) + rnd.choice(["", "123", "123456"])
        text = f"{made} {made.hex} {version} {epoch} {rnd.random()}"
        assert BY_FORM.scrub(text) == text


def test_private_key_without_its_end_goes_to_the_end_of_the_text():
    """A message that was cut in the middle of a key shows nothing of it."""
    assert BY_FORM.scrub("key -----BEGIN PRIVATE KEY-----\nMIIE\nabc") == f"key {MASK}"


def test_signatures_of_urls_go_and_the_rest_of_the_url_stays():
    """Of a SAS or a presigned URL only what grants access is a secret."""
    sas = "https://acme.blob.core.windows.net/c/f?sv=2022-11-02&se=2030-01-01&sr=b&sig=a%2Fb%3D"
    assert BY_FORM.scrub(f"get {sas}&x=1 done") == (
        f"get https://acme.blob.core.windows.net/c/f?sv=2022-11-02&se=2030-01-01&sr=b&sig={MASK}"
        "&x=1 done"
    )
    assert BY_FORM.scrub("?X-Amz-Signature=0a1b2c&y=2") == f"?X-Amz-Signature={MASK}&y=2"
    assert BY_FORM.scrub("SharedAccessSignature sr=hub&sig=a%3d&se=17") == (
        f"SharedAccessSignature sr=hub&sig={MASK}&se=17"
    )


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgres://bob:hunter2@db:5432/sales", "postgres://{}@db:5432/sales"),
        ("https://bob:p@ss:w0rd@host/x", "https://{}@host/x"),
        ("redis://:hunter2@cache:6379/0", "redis://{}@cache:6379/0"),
        ("amqp://u:pa/ss@mq/vhost", "amqp://{}@mq/vhost"),
        ("mysql://u:123456@h/db", "mysql://{}@h/db"),
        ("jdbc:postgresql://u:p%40ss@h:5432/db?ssl=true", "jdbc:postgresql://{}@h:5432/db?ssl=true"),
        ("two http://a:b@c and http://d:e@f", "two http://{}@c and http://{}@f"),
        ("https://host:8080/users/@me", "https://host:8080/users/@me"),
        ("https://example.com/@user", "https://example.com/@user"),
    ],
)  # fmt: skip
def test_user_and_password_of_a_url_go(url, kept):
    """Both go, with colons, slashes and `@` in the password; a port is no password."""
    assert BY_FORM.scrub(url) == kept.format(MASK, MASK)


# --- pairs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password=hunter2", "password={}"),
        ("password = hunter2 rows=3", "password = {} rows=3"),
        ("password: hunter2", "password: {}"),
        ("password:hunter2,rows=3", "password:{},rows=3"),
        ("PWD=hunter2;Server=db", "PWD={};Server=db"),
        ("api_key: abc, rows: 3", "api_key: {}, rows: 3"),
        ("apiKey := abc", "apiKey := {}"),
        ("'token' => 'abc'", "'token' => '{}'"),
        ("API key: abc", "API key: {}"),
        ("Account Key=abc", "Account Key={}"),
        ('password="two words"', 'password="{}"'),
        ("password='it\\'s here' x", "password='{}' x"),
        ('password="say \\"hi\\" now" x', 'password="{}" x'),
        ('{"password": "two words", "rows": 3}', '{{"password": "{}", "rows": 3}}'),
        ("{'password': 'two words', 'rows': 3}", "{{'password': '{}', 'rows': 3}}"),
        (r'{\"password\": \"two words\", \"rows\": 3}', r'{{\"password\": \"{}\", \"rows\": 3}}'),
        ('{"token": 12345, "rows": 3}', '{{"token": {}, "rows": 3}}'),
        ('"credentials": {"user": "a", "key": ["b", {"c": "}"}]}, x', '"credentials": {}, x'),
        ('"secrets": ["a", "b"]; x', '"secrets": {}; x'),
        ("password=a,b;c&d)e rows=3", "password={} rows=3"),
        ("password=abc, user=bob", "password={}, user=bob"),
        ("(password=abc)", "(password={})"),
        ("login(password='abc')", "login(password='{}')"),
        ("<password=abc>", "<password={}>"),
        ("?user=bob&password=abc&page=2", "?user=bob&password={}&page=2"),
        ("--password hunter2 --rows 3", "--password {} --rows 3"),
        ("--password=hunter2 -x", "--password={} -x"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: {}"),
        ("Authorization: Basic dXNlcjpwdw==, Host: x", "Authorization: {}, Host: x"),
        ('-H "Authorization: Bearer abc" -d x', '-H "Authorization: {}" -d x'),
        ('Authorization: Digest username=bob, response=abc\nHost: x', "Authorization: {}\nHost: x"),
        ("Cookie: sid=abc; theme=dark\nHost: x", "Cookie: {}\nHost: x"),
        ("Set-Cookie: sid=abc; Path=/", "Set-Cookie: {}"),
        ("connection_string=Server=tcp:db;User Id=bob;Password=a b;", "connection_string={}"),
        ("AccountName=acme;AccountKey=abc==;EndpointSuffix=x", "AccountName=acme;AccountKey={};"
         "EndpointSuffix=x"),
        ("spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net=abc",
         "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net={}"),
        ("first password=a\nthen password=b", "first password={}\nthen password={}"),
        ("password='never closed\nnext line", "password={}\nnext line"),
        ("credentials={never closed", "credentials={}"),
        ("got Bearer abcdefgh123 back", "got Bearer {} back"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY={}"),
        ("password=", "password="),
        ("password= ", "password= "),
        ("no password here", "no password here"),
        ("the token count: 7", "the token count: 7"),
        ("secretary: Ann, tokenizer=bpe", "secretary: Ann, tokenizer=bpe"),
        ("token_count=7 has_password: True", "token_count=7 has_password: True"),
    ],
)  # fmt: skip
def test_values_behind_names_of_secrets_go(text, kept):
    """Settings, headers, JSON, JSON within JSON, connection strings, command lines."""
    assert BY_FORM.scrub(text) == kept.format(MASK, MASK)


def test_own_names_count_in_texts_too():
    """A name that a program adds is looked for in messages as well."""
    redactor = Redactor(["customer_no"], pii=True)

    assert redactor.scrub("customerNo=4711 rows=3") == f"customerNo={MASK} rows=3"
    assert Redactor(["ключ"], pii=True).scrub("Ключ: 4711, İ") == f"Ключ: {MASK}, İ"


# --- never a trace ------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["password", "db_password", "apiKey", "API_KEY", "clientSecret", "token", "X-Api-Key", "pwd"]
)
WORD = st.text(string.ascii_letters + string.digits + "!$%*+-./:<?@^_~é漢", min_size=6, max_size=30)
QUOTED = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(NAMES, st.sampled_from(["=", ": ", " = ", "=>", ":"]), WORD)
def test_word_behind_a_name_goes_whole(name, sign, secret):
    """A bare value goes, with all the signs that passwords have, and nothing beside it."""
    scrubbed = BY_FORM.scrub(f"connect {name}{sign}Q{secret} to the database")

    assert scrubbed == f"connect {name}{sign}{MASK} to the database"
    assert BY_FORM.scrub(scrubbed) == scrubbed
    assert BY_FORM.scrub(f"{name}{sign}{MASK}Q{secret}") == f"{name}{sign}{MASK}"


@settings(max_examples=300)
@given(NAMES, QUOTED, st.integers(0, 3))
@example("password", 'a"b\\c\nd', 1)
@example("password", "\\" * 9, 3)
def test_value_in_json_text_goes_whole(name, secret, nesting):
    """JSON in a message, JSON as a string in JSON and so on stays JSON, the mark for a value."""
    record = {"table": "orders", name: secret, "rows": 3}
    masked_record = {"table": "orders", name: MASK, "rows": 3}
    text, expected = json.dumps(record), json.dumps(masked_record)
    for _ in range(nesting):
        text, expected = json.dumps({"body": text}), json.dumps({"body": expected})

    assert BY_FORM.scrub(text) == expected


@settings(max_examples=200)
@given(NAMES, QUOTED)
def test_value_in_the_repr_of_a_dict_goes_whole(name, secret):
    """`print(config)` in a message, with the quotes that Python chooses."""
    scrubbed = BY_FORM.scrub(repr({"table": "orders", name: secret, "rows": 3}))

    quote = repr(secret)[0]
    assert scrubbed == f"{{'table': 'orders', '{name}': {quote}{MASK}{quote}, 'rows': 3}}"


@settings(max_examples=200)
@given(NAMES, VALUES, st.integers(0, 4))
def test_field_is_replaced_whole_at_any_depth(name, secret, depth):
    """Whatever lies under the name of a secret, the encoded record has the mark instead."""
    value: object = {name: secret}
    for level in range(depth):
        value = [value] if level % 2 else {"level": value}

    assert to_json(value, BY_NAME) == to_json(value).replace(to_json(secret), f'"{MASK}"', 1) or (
        f'"{MASK}"' in to_json(value, BY_NAME)
    )
    assert json.dumps(BY_NAME.redacted(value)).count(MASK) == 1


def test_length_of_a_secret_does_not_show():
    """Secrets of one and of a thousand characters look the same."""
    for text in ("password={}", '{{"token": "{}"}}', "://u:{}@h"):
        assert BY_FORM.scrub(text.format("a")) == BY_FORM.scrub(text.format("a" * 1000))


@settings(max_examples=300)
@given(st.lists(st.one_of(
    st.sampled_from(["password", "token=", '"', "'", "\\", "{", "}", "[", "]", ":", "=", "@", "://",
                     " ", "\n", ",", ";", "&", ".", "-", "+", "eyJ", "sig=", "4111", "DE89", "::",
                     "%40", "Authorization: ", "Bearer ", "cookie", MASK, "-----BEGIN "]),
    st.text(max_size=6), st.sampled_from(SECRETS),
), max_size=12))  # fmt: skip
def test_scrubbing_never_raises(parts):
    """Any mixture of what the rules look at."""
    assert isinstance(BY_FORM.scrub("".join(parts)), str)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(SECRETS), max_size=9), st.sampled_from([", ", "\n", " and ", "; "]))
def test_neighbours_do_not_hide_each_other(secrets, between):
    """Each secret of a list goes, and scrubbing again changes nothing."""
    secrets.sort(key=lambda secret: secret.startswith("-----"))  # a key may end with the text

    scrubbed = BY_FORM.scrub(between.join(secrets))

    assert scrubbed == between.join([MASK] * len(secrets))
    assert BY_FORM.scrub(scrubbed) == scrubbed


# --- copies -------------------------------------------------------------------------------------


class RowOfSpark(tuple):
    """As `pyspark.sql.Row` is made: a tuple with its names beside the items."""


def test_copy_is_redacted_and_the_original_is_not_touched():
    """`redacted` gives new dicts and lists and leaves what it was given alone."""
    data = {"login": [{"password": "x", "user": "bob"}], "mail": "bob@example.com", "rows": 3}

    copy = BY_FORM.redacted(data)

    assert copy == {"login": [{"password": MASK, "user": "bob"}], "mail": MASK, "rows": 3}
    assert data["login"][0]["password"] == "x"
    assert masked(data) == copy


def test_names_of_named_tuples_and_rows_count():
    """A named tuple and a Spark `Row` keep their type and their names; only the secret goes."""
    Login = namedtuple("Login", "user password")
    row = RowOfSpark(("bob", "x"))
    row.__fields__ = ["user", "password"]

    assert BY_NAME.redacted(Login("bob", "x")) == Login("bob", MASK)
    copy = BY_NAME.redacted([row])[0]
    assert (type(copy), copy, copy.__fields__) == (RowOfSpark, ("bob", MASK), row.__fields__)
    assert json.loads(to_json(copy)) == {"user": "bob", "password": MASK}


@dataclasses.dataclass
class Login:
    user: str
    password: str
    friends: Any = ()


@dataclasses.dataclass(frozen=True)
class Frozen:
    token: str
    __slots__ = ("token",)


@dataclasses.dataclass
class Failure(Exception):
    token: str


def test_dataclasses_are_copied_with_their_secrets_masked():
    """Who reads the record, a filter or a handler of `logging`, finds the class and no secret."""
    login = Login("bob", "hunter2", deque([Frozen("hunter2")]))
    login.friends.append(login)

    copy = Redactor().redacted({"login": login, "failure": Failure("hunter2")})

    assert isinstance(copy["login"], Login)
    assert (copy["login"].user, copy["login"].password) == ("bob", MASK)
    assert list(copy["login"].friends) == [Frozen(MASK), "<cycle>"]
    assert copy["failure"] == {"token": MASK} == json.loads(to_json(Failure("hunter2"), BY_NAME))
    assert (login.password, login.friends[0].token) == ("hunter2", "hunter2")


def test_keys_that_look_like_secrets_go_and_their_values_stay():
    """Rows counted by address: the addresses go, each figure stays under a name of its own."""
    counts = {"bob@example.com": 3, "ann@example.com": 4, "rows": 7}
    masked_counts = {MASK: 3, f"{MASK}_2": 4, "rows": 7}

    assert BY_FORM.redacted({"by_user": counts}) == {"by_user": masked_counts}
    assert json.loads(to_json({"by_user": counts}, BY_FORM)) == {"by_user": masked_counts}
    assert json.loads("{" + Encoder(BY_FORM).members(counts)[1:] + "}") == masked_counts
    assert BY_NAME.redacted(counts) == counts


def test_copy_of_a_cycle_and_of_a_bottomless_nest_ends():
    """What is not looked into is not shown."""
    cycle: dict = {"rows": 3}
    cycle["self"] = cycle
    nest: object = {"password": "x"}
    for _ in range(5000):
        nest = [nest]

    assert BY_NAME.redacted(cycle) == {"rows": 3, "self": "<cycle>"}
    assert "x" not in json.dumps(BY_NAME.redacted(nest))


# --- time ---------------------------------------------------------------------------------------


def megabyte(part: str, start: str = "") -> str:
    return start + part * (1_000_000 // len(part))


RANDOM = random.Random(3)
BASE64 = string.ascii_letters + string.digits + "+/"
HOSTILE = {
    "prose": megabyte("The quick fox loaded 336,776 rows into table orders in 12.5 s. "),
    "base64": "".join(RANDOM.choice(BASE64) for _ in range(1_000_000)),
    "backslashes behind a name": megabyte("\\", "password="),
    "one @": megabyte("a.", "a@"),
    "open quote": megabyte("token='\n", 'token="'),
    "open brackets": megabyte("token={"),
    "open brackets, lines": megabyte("token={\n"),
    "long name": megabyte("é", "x") + "token=1",
    "many names in one": megabyte("token.") + "=1",
    "separators": megabyte("a,", "password="),
    "key and no end": megabyte("x ", "-----BEGIN PRIVATE KEY-----"),
    "quote": megabyte("x", "password='"),
    **{
        part: megabyte(part)
        for part in (
            "a.", "a@a.a.", "1234567890", "1 ", "4111 ", ":", "a:", "::a ", "eyJaaaaaaaa", "-eyJaa",
            "eyJaaaaaaaa.", "-----BEGIN ", "://a:", "://a:b@", "@", "password=", 'password="',
            "password='\\", 'token=\\"', "token=[] ", "a-a-", "-", "--token x ", "AA11 ", "DE89 ",
            "+1 ", "555-", "1.", "255.", "sig=", "bearer ", " ", "\n", '"', "api ", "é", "o'",
            "%40", "phone:1", "10.0.0.1 ", "A", "AKIA", "Authorization: Digest ",
            "cookie: a=b; ", "server=",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_takes_linear_time(name):
    """Text made to be slow is not: 100 KB took 1.x 14 s, quadratic work here would take minutes."""
    text = HOSTILE[name]

    start = time.thread_time()
    BY_FORM.scrub(text)

    assert time.thread_time() - start < 5
