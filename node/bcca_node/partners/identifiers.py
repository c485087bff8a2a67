"""Names of an organisation beside its origin: the LEI and China's unified social credit code.

A check digit finds a slip of the pen and proves nothing: an identifier is self-asserted until the
operator says how it was checked (SPEC 13.10).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bcca_protocol.errors import UnusableError
from bcca_protocol.limits import MAX_TEXT_CHARS
from bcca_protocol.wire import URN, showable

LEI = "urn:lei:"
USCC = "urn:uscc:"

MAX_IDS = 16  # of one organisation: a handful of registers, and to spare

# GB 32100-2015, 4.5: 31 characters, without those taken for others.
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_LEI = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
_USCC = re.compile(rf"[1-9A-HJ-NP-RTUWXY][0-9A-HJ-NP-RTUWXY][0-9]{{6}}[{_USCC_ALPHABET}]{{10}}")
_URN = re.compile(URN)


class Assurance(StrEnum):
    """How well it is known that an identifier is the partner's."""

    SELF_ASSERTED = "self-asserted"
    CHECKED = "checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A name of a partner, and how this node's operator checked it: empty if nobody did."""

    urn: str
    how: str = ""

    @property
    def assurance(self) -> Assurance:
        """How well it is known that the partner bears this name."""
        return Assurance.CHECKED if self.how else Assurance.SELF_ASSERTED

    def words(self) -> str:
        """Return the level in words, with what raises it."""
        if self.how:
            return f"{self.assurance}: {self.how}"
        return f"{self.assurance}: {_PROOF.get(_scheme(self.urn), 'ask who issued it')}"


def checked(urn: str) -> str:
    """Return `urn` if it is in normal form and its check characters fit.

    Raises UnusableError, which shows what was given and what would fit.
    """
    if len(urn) > MAX_TEXT_CHARS or not _URN.match(urn):
        raise UnusableError(
            f"identifier {showable(urn[:80])!r}: write a URN such as {LEI}506700GE1G29325QX363"
        )
    rule = _RULES.get(_scheme(urn))
    if rule is not None:
        rule(urn)
    return urn


def all_checked(urns: Iterable[str]) -> tuple[str, ...]:
    """Return `urns`, each in normal form and once, as `checked` does."""
    found = tuple(dict.fromkeys(map(checked, urns)))
    if len(found) > MAX_IDS:
        raise UnusableError(f"{len(found)} identifiers, where at most {MAX_IDS} are kept")
    return found


def _check_lei(urn: str) -> None:
    """Check an LEI (ISO 17442-1): 18 characters, and two digits by ISO 7064, MOD 97-10."""
    code = urn.removeprefix(LEI)
    if not _LEI.fullmatch(code):
        raise UnusableError(
            f"{showable(urn)[:120]}: an LEI is 18 digits or capital letters and two check digits, "
            f"and this has {len(code)} characters or others"
        )
    body, given = code[:18], code[18:]
    number = "".join(str(int(character, 36)) for character in body)
    fitting = f"{98 - int(number + '00') % 97:02d}"
    if given != fitting:
        raise _mistyped(urn, given, fitting, "digits")


def _check_uscc(urn: str) -> None:
    """Check a unified social credit code (GB 32100-2015): 17 characters, and one by MOD 31."""
    code = urn.removeprefix(USCC)
    if not _USCC.fullmatch(code):
        raise UnusableError(
            f"{showable(urn)[:120]}: a unified social credit code is 18 digits or capital letters "
            "without I, O, Z, S and V, of which the third to the eighth are digits"
        )
    values = (_USCC_ALPHABET.index(character) for character in code[:17])
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values))
    fitting = _USCC_ALPHABET[-total % 31]
    if code[17] != fitting:
        raise _mistyped(urn, code[17], fitting, "character")


def _mistyped(urn: str, given: str, fitting: str, what: str) -> UnusableError:
    return UnusableError(
        f"{urn}: its check {what} {given} should be {fitting} after what stands before: "
        "something is mistyped, compare it with the register"
    )


def _scheme(urn: str) -> str:
    return urn[: urn.index(":", 4) + 1]


_RULES: Mapping[str, Callable[[str], None]] = {LEI: _check_lei, USCC: _check_uscc}
_PROOF: Mapping[str, str] = {
    LEI: "the GLEIF register shows under this LEI who it is",
    USCC: "the National Enterprise Credit Information Publicity System shows who it is",
}
