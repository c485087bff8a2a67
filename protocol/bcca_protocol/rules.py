"""The rules a roll-up follows, as a text that travels with it (SPEC 9.8).

A roll-up names its rules by name and digest. Whoever has the text repeats what it decides: which
statement may feed an input, what is cut off, and what keeps a result from being declared.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from bcca_protocol import ruletext
from bcca_protocol.errors import StatementError
from bcca_protocol.quantity import plain
from bcca_protocol.results import Rules
from bcca_protocol.ruletext import Block, Functional, RuleFile

NEUTRAL: Final = """\
# The rules where no others are named: every input counts, and nothing is guessed unasked.
name = "neutral"
version = "2"
cut_off_percent = "0"
electricity = "market"
siblings = true
expired = true
secondary = ["*"]
proxies = true
mandatory = []
min_witnesses = 0
blocks = ["gap", "mandatory", "expired", "sibling", "proxy", "exempted", "claimed", "methods"]
unconfirmed = []
"""
"""The text of the neutral rules."""

NEUTRAL_1: Final = """\
name = "neutral"
version = "1"
cutOff = "nothing is cut off: every input of amount above zero is an edge or a gap"
missing = "a gap has no number and marks the total incomplete"
choice = "the pin, else the greatest overlap in time, else the latest earlier within validity"
electricity = "market-based, with the location-based result beside it where one is given"
"""
"""The neutral rules until 0.3, which were words: current signed statements, and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules as read from `text`, whose SHA-256 is `digest` (Hex).

    `cut_off_percent` is of the gross total. `secondary` are the sources whose values may stand in
    for a statement, "*" any; `unsigned` says whether an unsigned footprint may, None
    that `secondary` decides that too. What `mandatory` names, as a pattern of a product's URN,
    name or classification, has to be company-specific or stays a gap. `max_age_days` is from the
    end of a statement's period to the reference date. `blocks` keep a result from being declared;
    `unconfirmed` says in sentences what nobody has confirmed of these rules.
    """

    name: str
    version: str
    text: str
    digest: str
    cut_off_percent: Decimal
    electricity: Literal["market", "location"]
    siblings: bool
    expired: bool
    secondary: tuple[str, ...]
    proxies: bool
    unsigned: bool | None
    mandatory: tuple[str, ...]
    max_age_days: int | None
    min_witnesses: int
    blocks: tuple[Block, ...]
    functional: Functional | None
    unconfirmed: tuple[str, ...]

    def named(self) -> Rules:
        """Return how a roll-up names these rules."""
        return Rules(name=self.name, digest=self.digest)


def parse(text: str) -> RuleSet:
    """Return the rules in `text`, TOML in the form of SPEC 9.8.

    Raises LimitError for a text that is too long, MalformedError naming the key that is wrong.
    """
    if text == NEUTRAL_1:
        return _ruleset(_NEUTRAL_1_READ, text)
    return _ruleset(ruletext.read(text), text)


def neutral() -> RuleSet:
    """Return the rules where no others are named."""
    return parse(NEUTRAL)


def followed(named: Rules, texts: Iterable[str]) -> RuleSet:
    """Return the rules that a roll-up names, of texts at hand or of those known by their digest.

    Raises StatementError where no text has that digest, or the one that has it another name, and
    what `parse` raises.
    """
    for text in (*texts, NEUTRAL, NEUTRAL_1):
        if digest_of(text) != named.digest:
            continue
        found = parse(text)
        if found.name != named.name:
            raise StatementError(
                f"rules {named.digest} are named {found.name} in their text, {named.name} in the "
                "roll-up"
            )
        return found
    raise StatementError(
        f"made by rules {named.name} ({named.digest}), whose text is not here: ask the maker for "
        "a file that has it"
    )


def digest_of(text: str) -> str:
    """Return the name of a rule text in a roll-up: its SHA-256, Hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def cut_off_at(rules: RuleSet, percent: str) -> RuleSet:
    """Return `rules` with another cut-off in percent, their name and their text saying so.

    Raises MalformedError for what is no percentage.
    """
    cut = plain(ruletext.percent(percent, "cut_off_percent"))
    if cut == plain(rules.cut_off_percent):
        return rules
    name = f"{rules.name.partition(_SUFFIX)[0]}{_SUFFIX}{cut}"
    values = {key: getattr(rules, key) for key in RuleFile.__struct_fields__}
    changed = RuleFile(**{**values, "name": name, "cut_off_percent": cut})
    return parse(ruletext.write(changed))


_SUFFIX: Final = "+cut-off-"
_NEUTRAL_1_READ: Final = RuleFile(
    name="neutral",
    version="1",
    cut_off_percent="0",
    electricity="market",
    siblings=False,
    expired=False,
    secondary=(),
    proxies=False,
    mandatory=(),
    min_witnesses=0,
    blocks=("gap",),
    unconfirmed=(),
)


def _ruleset(read: RuleFile, text: str) -> RuleSet:
    return RuleSet(
        name=read.name,
        version=read.version,
        text=text,
        digest=digest_of(text),
        cut_off_percent=ruletext.percent(read.cut_off_percent, "cut_off_percent"),
        electricity=read.electricity,
        siblings=read.siblings,
        expired=read.expired,
        secondary=read.secondary,
        proxies=read.proxies,
        unsigned=read.unsigned,
        mandatory=read.mandatory,
        max_age_days=read.max_age_days,
        min_witnesses=read.min_witnesses,
        blocks=read.blocks,
        functional=read.functional,
        unconfirmed=read.unconfirmed,
    )
