"""What names and values of columns are taken for."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from likeness import CARDS, COUNTS, EMAILS, KEYS, OTHERS, PASSWORDS, PHONE_NUMBERS, PHONES, PLAIN, TOKENS

from cx.data.masking.catalog import Column
from cx.data.masking.content import LOOKS, as_python, likeness, personal
from cx.data.masking.personal import named
from cx.data.masking.words import keeps_keys, names_somebody, plain


def column(name: str, base: str = "text", category: str = "S", element: str = "") -> Column:
    return Column(1, name, base, base, category, False, False, element=element)


def taken_for(values: Sequence[object], of: Column) -> str:
    """What the servers would say of a column that holds these values, and nothing else."""
    tests = [re.compile(as_python(one.between("^", "$"))) for one in LOOKS]
    fits = [sum(bool(test.search(str(value))) for value in values) for test in tests]
    found = likeness(of, (len(values), *fits, 0, 0))
    return found[1] if found else ""


@pytest.mark.parametrize("value", PASSWORDS)
def test_a_hash_of_a_password_is_seen_in_any_column(value: str) -> None:
    assert taken_for([*PLAIN, value], column("note")) == "hashes of passwords"


@pytest.mark.parametrize("value", KEYS)
def test_a_key_is_seen_in_any_column(value: str) -> None:
    assert taken_for([*PLAIN, value, f"use {value}"], column("note")) == "keys"


@pytest.mark.parametrize("value", TOKENS)
def test_a_random_token_is_seen_where_the_name_says_that_it_is_one(value: str) -> None:
    for name in ("access_key", "invitation", "ключ", "密钥"):
        assert taken_for([value], column(name)) == "keys"
    assert taken_for([value], column("note")) == ""
    assert taken_for([PLAIN[9]] * 3, column("access_key")) == ""  # a UUID
    assert taken_for([value, "public", "private"], column("access_key")) == ""


@pytest.mark.parametrize("values", [EMAILS, PHONES, CARDS, OTHERS], ids=["emails", "phones", "cards", "others"])
def test_values_of_people(values: Sequence[str]) -> None:
    for value in values:
        assert taken_for([value], column("note"))
        assert personal(value)


def test_numbers_that_are_phone_numbers() -> None:
    number = column("contact", "int8", "N")
    for value in PHONE_NUMBERS:
        assert taken_for([value], number) == "phones"
    assert taken_for([*PHONE_NUMBERS, *COUNTS[:3]], number) == "phones"
    for value in COUNTS:
        assert taken_for([value], number) == ""
    for name in ("ean", "size_bytes", "changed_at", "upc2"):
        assert taken_for(PHONE_NUMBERS, column(name, "int8", "N")) == ""
    assert taken_for([4111111111111111], column("paid_with", "numeric", "N")) == "numbers of cards"
    assert taken_for([4111111111111111], column("paid_with", "int8", "N")) == "numbers of cards"


def test_plain_values() -> None:
    for value in PLAIN:
        assert taken_for([value], column("note")) == "", value
        assert not personal(value)


NAMED = [
    ('"E-Mail des Kunden"', "fake email"),
    ("Adresse e-mail", "fake email"),
    ("电子邮箱", "fake email"),
    ("ईमेल पता", "fake email"),
    ("correo electrónico", "fake email"),
    ("البريد الإلكتروني", "fake email"),
    ("courriel du client", "fake email"),
    ("গ্রাহকের ইমেইল", "fake email"),
    ("Correio eletrônico", "fake email"),
    ("Электронная почта", "fake email"),
    ("alamat surel", "fake email"),
    ("メールアドレス", "fake email"),
    ("手机号码", "fake phone"),
    ("फ़ोन नंबर", "fake phone"),
    ("número de teléfono", "fake phone"),
    ("رقم الهاتف", "fake phone"),
    ("Téléphone (privé)", "fake phone"),
    ("ফোন নম্বর", "fake phone"),
    ("telemóvel", "fake phone"),
    ("Мобильный телефон", "fake phone"),
    ("no_hp", "fake phone"),
    ("Rufnummer", "fake phone"),
    ("電話番号", "fake phone"),
    ("Geburtsdatum", "shift 30 days"),
    ("生年月日", "shift 30 days"),
    ("Дата рождения", "shift 30 days"),
    ("تاريخ الميلاد", "shift 30 days"),
    ("fecha de nacimiento", "shift 30 days"),
    ("जन्म तिथि", "shift 30 days"),
    ("Mot de passe", "null"),
    ("contraseña", "null"),
    ("Пароль", "null"),
    ("密码", "null"),
    ("كلمة المرور", "null"),
    ("身份证号", "hash"),
    ("CPF do cliente", "hash"),
    ("ИНН", "hash"),
    ("Steuer-Nr.", "hash"),
    ("Straße und Hausnummer", "fake street"),
    ("Имя", "fake first name"),
    ("Фамилия", "fake last name"),
    ("Prénom", "fake first name"),
    ("ФИО", "fake name"),
    ("氏名", "fake name"),
    ("Name des Kunden", "fake name"),
    ("nom du client", "fake name"),
    ("客户名称", "fake name"),
    ("ग्राहक का नाम", "fake name"),
    ("nama_pelanggan", "fake name"),
    ("اسم العميل", "fake name"),
]


@pytest.mark.parametrize(("name", "rule"), NAMED)
def test_names_in_the_ten_largest_languages(name: str, rule: str) -> None:
    of = column(name, "timestamptz", "D") if rule.startswith("shift") else column(name)
    assert named("order_lines", of) == rule


PLAINLY = (
    *(
        "Größe",
        "状态",
        "статус",
        "الحالة",
        "स्थिति",
        "estado",
        "quantité",
        "মূল্য",
        "preço",
        "jumlah",
        "Artikel-Nr.",
        "商品名",
    ),
    *("user_role_name", "hostname", "sort", "import", "report", "latency", "cancelled", "unik", "true", "route"),
    *("telemetry", "product_name", "название", "Produktname"),
)


@pytest.mark.parametrize("name", PLAINLY)
def test_names_of_what_is_not_personal(name: str) -> None:
    assert named("order_lines", column(name)) == ""


@pytest.mark.parametrize(
    "table", ["customers", "Kunden", "clientes", "utilisateurs", "клиенты", "客户", "会員", "pelanggan"]
)
def test_a_name_in_a_table_of_people(table: str) -> None:
    assert names_somebody(table, "Name")
    assert names_somebody(table, "имя")
    assert not names_somebody(f"{table}_gruppen", "name")
    assert not names_somebody(table, "names")


def test_a_column_that_is_no_text_is_personal_by_its_name_too() -> None:
    for base, category in (("bytea", "U"), ("", "C"), ("", "A"), ("text_span", "R"), ("tsvector", "U"), ("xml", "U")):
        assert named("x", column("photo_of_passport", base, category)) == "hash"
    assert named("x", column("gender", "gender", "E")) == "null"
    assert named("x", column("email_kind", "kind", "E")) == ""
    assert named("x", column("coordinates", "point", "G")) == "null"
    assert named("x", column("salary", "money", "N")) == "null"
    assert named("x", column("has_phone", "bool", "B")) == ""
    assert named("x", column("telefonnummern", "_int8", "A", "int8")) == "fake phone"


def test_a_name_in_plain_letters() -> None:
    assert plain('"E-Mail  des Kunden"') == "e_mail_des_kunden"
    assert plain("ÉtatCivil") == "etat_civil"
    assert plain("Straße") == "strasse"
    assert plain("फ़ोन") == plain("फ\u093cोन")
    assert plain("Йод") == "иод"
    assert keeps_keys("API-Key") is True


def test_how_columns_are_looked_into() -> None:
    shapes = {
        "text": column("x"), "bytes": column("x", "bytea", "U"), "number": column("x", "int8", "N"),
        "numbers": column("x", "_int8", "A", "int8"), "parts": column("x", "jsonb", "U"),
    }  # fmt: skip
    assert {shape: one.shape for shape, one in shapes.items()} == {shape: shape for shape in shapes}
    for base, category in (("", "A"), ("", "C"), ("text_span", "R"), ("hstore", "U"), ("own", "Y"), ("tsvector", "U")):
        assert column("x", base, category).shape == "parts"
    for base, category in (
        ("bool", "B"),
        ("date", "D"),
        ("mood", "E"),
        ("uuid", "U"),
        ("int4", "N"),
        ("tstzrange", "R"),
    ):
        assert column("x", base, category).shape == ""
    assert column("x", "_date", "A", "date").shape == ""
