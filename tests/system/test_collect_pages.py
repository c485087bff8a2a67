"""Envelopes by the hundred, packed, and what they were found to say, in bytes."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bcca_node.packmaker import facts, heavy
from bcca_node.packmaker.facts import Said
from bcca_node.storage import pages
from bcca_protocol import verify
from bcca_protocol.errors import AuthorshipError, LimitError, MalformedError
from bcca_protocol.partial import Part
from bcca_protocol.verify import VerifiedLog

MAKER, OTHER = "foil", "mine"


@dataclass(frozen=True)
class Company:
    """Three envelopes of one company, and its log."""

    envelopes: list[bytes]
    log: VerifiedLog


@pytest.fixture(scope="module")
def company(_market: Any) -> Company:
    inputs = [_market.bought(OTHER, "urn:bcca:t:ore", "0.30")]
    products = [_market.sold(kg, by=MAKER, inputs=inputs) for kg in ("1.10", "2", "0.3")]
    items = [_market.items(each, of=MAKER)[0] for each in products]
    return Company([each.envelope for each in items], _market.read_log(MAKER))


@pytest.fixture
def log(company: Company) -> VerifiedLog:
    return company.log


def test_a_page_gives_back_the_same_envelopes_byte_for_byte(company: Company) -> None:
    other = company.envelopes[0].replace(b'{"payload"', b'{ "payload"')
    envelopes = [*company.envelopes, other, b"no envelope", b""]

    assert pages.unpack(pages.pack(envelopes)) == envelopes
    assert pages.pack(envelopes) == pages.pack(envelopes)
    assert len(pages.pack(company.envelopes)) < sum(map(len, company.envelopes)) / 2


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: text.rindex(b"#")],
        lambda text: text[:-1],
        lambda text: text.replace(b"# 3", b"# 4"),
        lambda text: text.replace(b"# 3", b"# three"),
        lambda text: b"\xff\xff x y\n" + text,
        lambda text: b"= no base64\n" + text,
        lambda text: b"keyid-alone\n" + text,
    ],
    ids=["no count", "half a line", "too many", "no number", "no UTF-8", "no base64", "no payload"],
)
def test_an_attack_a_page_that_was_changed_is_refused(
    company: Company, change: Callable[[bytes], bytes]
) -> None:
    text = gzip.decompress(pages.pack(company.envelopes))

    with pytest.raises(MalformedError):
        pages.unpack(gzip.compress(change(text)))


def test_an_attack_a_page_that_unpacks_without_end_is_refused() -> None:
    bomb = gzip.compress(bytes(pages.MAX_UNPACKED + 1))

    with pytest.raises(LimitError, match="once it is unpacked"):
        pages.unpack(bomb)


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"# 0\n", mtime=0) + b"more"])
def test_an_attack_what_is_no_page_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        pages.unpack(content)


def test_what_was_verified_is_kept_exactly(company: Company, log: VerifiedLog) -> None:
    checked = heavy.check_page(pages.pack(company.envelopes), log)
    kept = facts.decode(checked.facts)
    fresh = list(verify.verify_all_in_bulk(company.envelopes, log))

    assert kept is not None
    by_name = {each.commitment: each for each in kept}
    for found in fresh:
        said = facts.said(by_name[found.fact.commitment])
        fact = said.fact
        assert said.entry == found.index
        assert isinstance(fact, Part)
        assert repr(fact) == repr(found.fact)  # decimals digit by digit
        now = verify.stand(fact, said.nonce, log)
        assert (now.index, now.status, now.is_current) == (found.index, None, True)
        assert isinstance(found.fact, Part)
        assert fact.bought[0].yield_ is found.fact.bought[0].yield_


def test_what_another_program_kept_is_not_taken_for_ours(
    company: Company, log: VerifiedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = heavy.check_page(pages.pack(company.envelopes), log).facts
    monkeypatch.setattr(facts, "FORM", "another form")

    assert facts.decode(content) is None
    assert facts.decode(b"broken") is None


def test_one_statement_that_is_refused_takes_no_other_with_it(
    company: Company, log: VerifiedLog
) -> None:
    first, *others = company.envelopes
    content = pages.pack([first.replace(b'"keyid":"', b'"keyid":"x'), *others])

    checked = heavy.check_page(content, log)

    assert len(checked.refused) == 1
    assert "step 4" in checked.refused[0]
    assert checked.content is not None
    assert pages.unpack(checked.content) == others
    assert len(checked.lines) == len(others)


def test_what_was_entered_before_is_left_out_unread(company: Company, log: VerifiedLog) -> None:
    content = pages.pack(company.envelopes)
    *_, last = heavy.check_page(content, log).lines

    checked = heavy.check_page(content, log, last.entry)

    assert checked.lines == [last]
    assert checked.content is not None
    assert pages.unpack(checked.content) == company.envelopes[2:]


def test_a_fact_of_another_log_is_not_taken_as_verified(
    company: Company, log: VerifiedLog, _market: Any
) -> None:
    """What is kept counts as far as the log of now bears it out."""
    kept = facts.decode(heavy.check_page(pages.pack(company.envelopes), log).facts)
    assert kept is not None
    said = facts.said(kept[0])

    with pytest.raises(AuthorshipError, match="kept from an entry that mine"):
        verify.stand(said.fact, said.nonce, _market.read_log(OTHER))


def test_a_fact_travels_as_what_it_is(company: Company, log: VerifiedLog) -> None:
    fact = verify.verify_in_bulk(company.envelopes[0], log).fact
    assert isinstance(fact, Part)
    kept = facts.decode(facts.encode([Said(7, "n", fact)]))

    assert kept is not None
    assert [facts.said(each) for each in kept] == [Said(7, "n", fact)]
