"""Identifiers of an organisation: real public codes, slips of the pen, and what proves them."""

import pytest

from bcca_node.partners.identifiers import MAX_IDS, Assurance, Identifier, all_checked, checked
from bcca_protocol.errors import UnusableError

LEIS = [
    "506700GE1G29325QX363",  # GLEIF itself
    "HWUPKR0MPOU8FGXBT394",
    "529900T8BM49AURSDO55",
    "7LTWFZYICNSX8D621K86",
]
USCCS = [
    "9144030071526726XG",
    "914403001922038216",
    "91350900587527783P",
    "91440300192317458F",
    "91110000802100433B",
]
DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lei_fits(code: str) -> bool:
    """ISO 7064, MOD 97-10, a digit at a time: another way than the one under test."""
    rest = 0
    for character in code:
        value = (DIGITS + LETTERS).index(character)
        rest = (rest * (100 if value > 9 else 10) + value) % 97
    return rest == 1


def uscc_fits(code: str) -> bool:
    """GB 32100-2015 with the weights as its table prints them."""
    weights = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28]
    letters = [each for each in LETTERS if each not in "IOZSV"]
    values = {each: place for place, each in enumerate([*DIGITS, *letters])}
    total = sum(values[each] * weight for each, weight in zip(code[:17], weights, strict=True))
    return (31 - total % 31) % 31 == values[code[17]]


def is_read(urn: str) -> bool:
    try:
        return checked(urn) == urn
    except UnusableError:
        return False


@pytest.mark.parametrize("code", LEIS)
def test_a_real_lei_is_read(code: str) -> None:
    assert lei_fits(code)
    assert checked(f"urn:lei:{code}") == f"urn:lei:{code}"


@pytest.mark.parametrize("code", USCCS)
def test_a_real_unified_social_credit_code_is_read(code: str) -> None:
    assert uscc_fits(code)
    assert checked(f"urn:uscc:{code}") == f"urn:uscc:{code}"


@pytest.mark.parametrize("code", LEIS)
def test_an_lei_with_a_slip_is_refused_just_where_another_computation_refuses_it(code: str) -> None:
    for place in range(20):
        for other in DIGITS if place > 17 else DIGITS + LETTERS:
            slipped = code[:place] + other + code[place + 1 :]
            assert is_read(f"urn:lei:{slipped}") is lei_fits(slipped)


@pytest.mark.parametrize("code", LEIS)
def test_every_slip_from_digit_to_digit_or_letter_to_letter_in_an_lei_is_found(code: str) -> None:
    for place, character in enumerate(code):
        for other in DIGITS if character in DIGITS else LETTERS:
            if other != character:
                assert not is_read(f"urn:lei:{code[:place]}{other}{code[place + 1 :]}")


@pytest.mark.parametrize("code", USCCS)
def test_every_single_slip_in_a_unified_social_credit_code_is_found(code: str) -> None:
    for place in range(18):
        for other in DIGITS + LETTERS:
            slipped = code[:place] + other + code[place + 1 :]
            if slipped != code:
                assert not is_read(f"urn:uscc:{slipped}")


def test_digits_that_changed_places_in_an_lei_are_found() -> None:
    for code in LEIS:
        for place in range(19):
            first, second = code[place], code[place + 1]
            if first != second and first in DIGITS and second in DIGITS:
                assert not is_read(f"urn:lei:{code[:place]}{second}{first}{code[place + 2 :]}")


def test_a_wrong_check_digit_is_shown_beside_the_one_that_fits() -> None:
    with pytest.raises(UnusableError, match="its check digits 64 should be 63"):
        checked("urn:lei:506700GE1G29325QX364")
    with pytest.raises(UnusableError, match="its check character H should be G"):
        checked("urn:uscc:9144030071526726XH")


@pytest.mark.parametrize("letter", "IOZSV")
def test_a_letter_that_no_unified_social_credit_code_has_is_named(letter: str) -> None:
    with pytest.raises(UnusableError, match="without I, O, Z, S and V"):
        checked(f"urn:uscc:914403007152672{letter}XG")


@pytest.mark.parametrize(
    "urn",
    [
        "506700GE1G29325QX363",
        "urn:lei:506700ge1g29325qx363",
        "urn:lei:506700GE1G29325QX36",
        "urn:lei:506700GE1G29325QX3633",
        "urn:lei:5067 00GE1G29325QX363",
        "urn:uscc:9144030071526726X",
        "urn:uscc:91A4030071526726XG",
        "urn:lei:",
        "URN:LEI:506700GE1G29325QX363",
        "urn:lei:506700GE1G29325QX363\n",
        "urn:lei:\u066506700GE1G29325QX363",
    ],
)
def test_what_is_no_identifier_is_refused_in_one_sentence(urn: str) -> None:
    with pytest.raises(UnusableError) as error:
        checked(urn)

    assert "\n" not in str(error.value)


def test_a_scheme_without_check_digits_is_taken_as_it_is() -> None:
    assert checked("urn:duns:123456789") == "urn:duns:123456789"


def test_each_identifier_is_kept_once_and_not_too_many() -> None:
    urns = [f"urn:duns:{number}" for number in range(MAX_IDS + 1)]

    assert all_checked(["urn:duns:1", "urn:duns:1"]) == ("urn:duns:1",)
    with pytest.raises(UnusableError, match=str(MAX_IDS)):
        all_checked(urns)


def test_an_identifier_is_self_asserted_until_the_operator_says_how_it_was_checked() -> None:
    told = Identifier(urn="urn:lei:506700GE1G29325QX363")
    checked_one = Identifier(urn=told.urn, how="register, 2026-11-20")

    assert told.assurance is Assurance.SELF_ASSERTED
    assert "GLEIF" in told.words()
    assert checked_one.assurance is Assurance.CHECKED
    assert checked_one.words() == "checked: register, 2026-11-20"
