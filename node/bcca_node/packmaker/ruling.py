"""Which rules a run follows: a shipped set by its name, a file, or a text that was kept."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from sqlmodel import Session

from bcca_node.storage import rulesets
from bcca_protocol import rules
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.limits import MAX_RULES_CHARS
from bcca_protocol.results import Rules
from bcca_protocol.rules import RuleSet

_MAX_BYTES = 4 * MAX_RULES_CHARS  # a character has up to four bytes in UTF-8


def shipped() -> Mapping[str, RuleSet]:
    """Return the rules that come with this program, by name."""
    folder = resources.files("bcca_node.packmaker").joinpath("rulesets")
    found = (each for each in folder.iterdir() if each.name.endswith(".toml"))
    read = (rules.parse(each.read_text(encoding="utf-8")) for each in found)
    return {each.name: each for each in sorted(read, key=lambda each: each.name)}


def load(named: str) -> RuleSet:
    """Return the shipped rules of that name, else those in the file.

    Raises UnusableError where there is neither, and for a file that is no rule text, naming the
    key that is wrong.
    """
    ours = shipped()
    if named in ours:
        return ours[named]
    path = Path(named)
    if not path.is_file():
        raise UnusableError(
            f"rules {named}: neither a file nor a set of this program, which has {', '.join(ours)}"
        )
    try:
        found = rules.parse(_text(path))
    except RefusedError as error:
        raise UnusableError(f"{path}: {error}") from error
    if found.name in ours and found != ours[found.name]:
        raise UnusableError(
            f"{path}: rules: name: {found.name} is a set of this program with another text, so "
            "give yours a name of its own"
        )
    return found


def cut_off_at(found: RuleSet, percent: str, option: str) -> RuleSet:
    """Return the rules with another cut-off; raises UnusableError, which names `option`."""
    try:
        return rules.cut_off_at(found, percent)
    except RefusedError as error:
        raise UnusableError(f"{option} {percent}: {error}") from error


def keep(session: Session, followed: RuleSet) -> None:
    """Keep the text of rules that a roll-up follows: its evidence needs it (SPEC 10.1)."""
    rulesets.put(session, followed.digest, followed.text)


def kept(session: Session, named: Rules) -> RuleSet:
    """Return the rules that a roll-up of this node names.

    Raises StatementError where their text is not here.
    """
    text = rulesets.get(session, named.digest)
    ours = [each.text for each in shipped().values()]
    return rules.followed(named, ours if text is None else [text])


def _text(path: Path) -> str:
    """Return the text of a file, however its lines end; raises UnusableError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UnusableError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnusableError(f"{path}: not UTF-8: {error.reason}") from error
    lines = text.replace("\r\n", "\n")
    return lines if lines.endswith("\n") else f"{lines}\n"
