"""`bcca-verify BUNDLE --policy POLICY`: an auditor's whole check, offline (SPEC 11).

Exit status: 0 all holds, 1 refused, 2 unusable input, 3 all holds but the total is incomplete,
or was not recomputed as a whole because statements are withheld.
With `--misbehaviour FILE` it checks the proof that a log lied: 0 proven, 1 not (SPEC 5.10).
The one module of this package that touches a disk.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from bcca_protocol import __version__, period
from bcca_protocol.audit import Report, Step, audit
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import BccaError, LimitError, RefusedError, UnusableError
from bcca_protocol.limits import (
    MAX_BUNDLE_BYTES,
    MAX_BUNDLE_LINE_BYTES,
    MAX_MISBEHAVIOUR_BYTES,
    MAX_POLICY_BYTES,
)
from bcca_protocol.misbehaviour import ProvenMisbehaviour, verify_misbehaviour
from bcca_protocol.policy import Policy
from bcca_protocol.succession import believed
from bcca_protocol.telling import as_json, as_text
from bcca_protocol.wire import showable

HOLDS, REFUSED, UNUSABLE, INCOMPLETE = range(4)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundle the command line names; return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if (given.bundle is None) is (given.misbehaviour is None):
        parser.error("name a bundle with --policy, or a file with --misbehaviour")
    if given.misbehaviour is not None:
        return _accuse(given)
    if given.policy is None:
        parser.error("a bundle is checked under a policy: name one with --policy")
    return _check(given)


def _check(given: argparse.Namespace) -> int:
    """Check the bundle; return the exit status."""
    steps: list[Step] = []
    try:
        at = None if given.at is None else _posix(given.at)
        max_age = None if given.max_age is None else _seconds(given.max_age)
        notes = [_end(Path(each)) for each in given.end]
        trusted = believed(Policy.parse(_text(Path(given.policy))), notes)
        with Path(given.bundle).open("rb") as file:
            report = audit(_lines(file), trusted, at=at, on_step=steps.append)
        _check_age(report, max_age)
    except OSError as error:
        return _fail(given.json, UNUSABLE, f"{error.filename}: {error.strerror}", steps)
    except UnusableError as error:
        return _fail(given.json, UNUSABLE, str(error), steps)
    except BccaError as error:
        return _fail(given.json, REFUSED, str(error), steps)
    unverified = [*report.unverified, *_age_unjudged(report, max_age)]
    if given.json:
        _write(json.dumps(as_json(report, unverified, steps)))
    else:
        _write("\n".join(as_text(report, unverified, steps, at_given=at is not None)))
    return INCOMPLETE if report.incomplete else HOLDS


def _accuse(given: argparse.Namespace) -> int:
    """Check a proof of misbehaviour; return the exit status."""
    try:
        trusted = None if given.policy is None else Policy.parse(_text(Path(given.policy)))
        with Path(given.misbehaviour).open("rb") as file:
            proven = verify_misbehaviour(file.read(MAX_MISBEHAVIOUR_BYTES + 1))
        known = _require_own_key(proven, trusted)
    except OSError as error:
        return _fail(given.json, UNUSABLE, f"{error.filename}: {error.strerror}", ())
    except UnusableError as error:
        return _fail(given.json, UNUSABLE, str(error), ())
    except BccaError as error:
        return _fail(given.json, REFUSED, str(error), ())
    liars = () if trusted is None else proven.cosigners(trusted)
    if given.json:
        _write(json.dumps(_accusation(proven, known, liars)))
    else:
        _write(
            f"PROVEN: the log {showable(proven.origin)} signed {proven.what}.\n"
            f"  key: {proven.key.encode()}; {known}\n"
            f"  witnesses of the policy that cosigned both: {', '.join(liars) or 'none'}"
        )
    return HOLDS


def _require_own_key(proven: ProvenMisbehaviour, trusted: Policy | None) -> str:
    """Return in words what a policy says of the key; raises RefusedError if it names another."""
    line = None if trusted is None else trusted.logs.get(proven.origin)
    if trusted is None:
        return "whether it is the key of that log, only a policy could say"
    if line is None:
        return "the policy does not name that log"
    if line.key != proven.key:
        raise RefusedError(
            f"misbehaviour of {proven.key.encode()}, which is not the key that the policy has for "
            f"{proven.origin}: {line.key.encode()}"
        )
    return "the policy has that key for that log"


def _accusation(proven: ProvenMisbehaviour, known: str, liars: Sequence[str]) -> dict[str, Any]:
    heads = {"older": proven.older, "newer": proven.newer}
    return {
        "verdict": "proven",
        "origin": proven.origin,
        "key": proven.key.encode(),
        "keyKnown": known,
        "what": proven.what,
        **{name: {"size": str(h.size), "root": h.root.hex()} for name, h in heads.items()},
        "cosignedBoth": list(liars),
    }


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, as every other refusal here."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"unusable: {showable(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bcca-verify",
        description="Check a carbon-footprint bundle offline and recompute its total.",
        epilog="Example: bcca-verify pack.bcca.jsonl --policy policy.txt --max-age 30d",
    )
    parser.add_argument("--version", action="version", version=f"bcca-verify {__version__}")
    parser.add_argument("bundle", nargs="?", help="the file to check, *.bcca.jsonl")
    parser.add_argument("--policy", help="whom you believe: logs, witnesses, quorum")
    parser.add_argument(
        "--end", metavar="FILE", action="append", default=[], help="the end note of a log; repeat"
    )
    parser.add_argument("--misbehaviour", metavar="FILE", help="check this proof that a log lied")
    parser.add_argument("--at", metavar="T", help="look from this time, as 2026-11-21T12:00:00Z")
    parser.add_argument("--max-age", metavar="D", help="refuse logs last seen earlier, as 30d, 12h")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file of any size without holding more than one."""
    size = 0
    while line := file.readline(MAX_BUNDLE_LINE_BYTES + 2):
        size += len(line)
        if size > MAX_BUNDLE_BYTES:
            raise LimitError(f"bundle: over {MAX_BUNDLE_BYTES} bytes")
        yield line


def _text(path: Path, what: str = "policy") -> str:
    """Return the text of a policy or an end note; raises UnusableError."""
    with path.open("rb") as file:
        data = file.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise UnusableError(f"{what} {path}: over {MAX_POLICY_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UnusableError(f"{what} {path}: not UTF-8: {error.reason}") from error


def _end(path: Path) -> EndNote:
    """Return an end note; raises UnusableError."""
    try:
        return EndNote.parse(_text(path, "end note"))
    except RefusedError as error:
        raise UnusableError(f"--end {path}: {error}") from error


def _posix(time: str) -> int:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", time):
        raise UnusableError(f"--at {time}: write a time as 2026-11-21T12:00:00Z")
    try:
        return int(period.moment(time).timestamp())
    except RefusedError as error:
        raise UnusableError(f"--at {error}") from error


def _seconds(age: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", age)
    if found is None:
        raise UnusableError(f"--max-age {age}: write an age as 45s, 15m, 12h or 30d")
    return int(found[1]) * _SECONDS[found[2]]


def _check_age(report: Report, max_age: int | None) -> None:
    """Raise RefusedError if a log was last seen by a quorum longer ago than `max_age`."""
    age = report.at - report.as_of
    if max_age is not None and age > max_age:
        raise RefusedError(
            f"the oldest log was last seen by a quorum at {period.text_at(report.as_of)}, "
            f"{age} s before {period.text_at(report.at)}, where --max-age allows {max_age} s"
        )


def _age_unjudged(report: Report, max_age: int | None) -> Iterator[str]:
    if max_age is None:
        yield (
            f"age: every log was seen by a quorum at {period.text_at(report.as_of)} or later; "
            "whether that is fresh enough is not judged without --max-age"
        )


def _fail(as_json: bool, status: int, reason: str, steps: Sequence[Step]) -> int:
    """Say what was refused, after what had held; return `status`."""
    verdict = "refused" if status == REFUSED else "unusable"
    if as_json:
        said = {"verdict": verdict, "reason": reason, "steps": [step._asdict() for step in steps]}
        _write(json.dumps(said))
    for step in steps if not as_json else ():
        _write(f"  {step.number}. {step.what}: {showable(step.found)}")
    sys.stderr.write(f"{verdict}: {showable(reason)}\n")
    return status


def _write(text: str) -> None:
    """Print `text`; where a terminal cannot show a name it is escaped, not left out."""
    encoding = sys.stdout.encoding or "utf-8"  # a stream in memory has none
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


if __name__ == "__main__":
    sys.exit(main())
