"""`bcca audit log`: everything that can be checked of a whole log, in numbered steps."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bcca_node.auditor import met
from bcca_node.auditor.met import Compared, Met
from bcca_node.auditor.places import Place
from bcca_node.auditor.report import Report
from bcca_node.auditor.walk import Walk, walk
from bcca_node.ledger.node import Node
from bcca_node.network.client import Fetcher
from bcca_protocol import merkle, period
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.ending import EndNote
from bcca_protocol.errors import BccaError, RefusedError, SignatureError
from bcca_protocol.history import History, KeyRecord
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.misbehaviour import Misbehaviour
from bcca_protocol.note import Note, verify_note
from bcca_protocol.policy import Policy, verify_checkpoint
from bcca_protocol.wire import showable

MAX_TOLD = 20  # of one kind of problem, by index


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Where a log is read, and as whom: without a policy no witness is believed or asked.

    `key` is the log's, if the auditor knows it from elsewhere; `node` remembers what is met.
    """

    place: Place
    fetcher: Fetcher
    at: int
    policy: Policy | None = None
    key: VerifierKey | None = None
    node: Node | None = None


async def audit(asked: Audit, *, on_progress: Callable[[int], None] = lambda _: None) -> Report:
    """Return what the whole log at a place is worth; what is wrong with it is in the report.

    Raises RefusedError, UnavailableError where it cannot be read to its end.
    """
    report = Report()
    note = Note.parse(await asked.place.checkpoint())
    head = Checkpoint.parse(note.text)
    report.origin, report.size, report.root = head.origin, head.size, head.root
    known = _known_key(asked, head)
    if known is not None:
        verify_note(note, (known,))
    read = await walk(asked.place, head, on_progress=on_progress)
    history = read.history
    key = report.key = known or _own_key(note, history)
    if known is None:
        report.unjudged.append(
            f"whose log it is: {key.encode()} is the key that the log itself names, "
            "compare it with what its owner says"
        )
    _head(report, asked, note, key)
    _tree(report, read)
    _entries(report, history)
    _keys(report, history, key)
    _statements(report, history)
    _genesis(report, asked.policy, read)
    await _compare(report, asked, note, key, read)
    return report


def _known_key(asked: Audit, head: Checkpoint) -> VerifierKey | None:
    """Return the key that the auditor has for this log; raises SignatureError for another's."""
    line = None if asked.policy is None else asked.policy.logs.get(head.origin)
    known = asked.key or (None if line is None else line.key)
    if known is not None and known.name != head.origin:
        raise SignatureError(
            f"{asked.place.name}: a log of {showable(head.origin)}, not of {known.label}"
        )
    return known


def _own_key(note: Note, history: History) -> VerifierKey:
    """Return the log key of its own that signed the head; raises SignatureError."""
    own = [each.key for each in history.keys if each.role is Role.LOG]
    if not own:
        raise SignatureError(f"log {history.origin}: it adds no log key: name one with --key")
    return verify_note(note, own)[0]


def _head(report: Report, asked: Audit, note: Note, key: VerifierKey) -> None:
    """Say who signed the head, and who cosigned it."""
    found = f"{report.size} entries under {report.root.hex()}, signed by {key.label}"
    if asked.policy is None:
        report.unjudged.append("whether witnesses have seen it: there is no policy")
    else:
        try:
            seen = verify_checkpoint(note.encode(), key, asked.policy, at=asked.at)
        except RefusedError as error:
            report.problems.append(str(error))
        else:
            names = ", ".join(seen.witnesses)
            found += f"; cosigned by {names}, as of {period.text_at(seen.time)}"
    report.took("head", found)


def _tree(report: Report, read: Walk) -> None:
    report.problems += read.problems
    right = "all of them byte for byte" if not read.problems else f"{len(read.problems)} wrong"
    report.took("tiles", f"{read.tiles} compared with the entries, {right}")


def _entries(report: Report, history: History) -> None:
    """Say how far every line is one of the log's grammar."""
    if history.broken is not None:
        report.problems.append(
            f"entry {history.broken} is unknown or malformed: nothing counts from there on, and "
            "nothing in this log is current"
        )
    end = history.size if history.broken is None else history.broken
    report.took("entries", f"{end} of {history.size} understood")


def _keys(report: Report, history: History, signer: VerifierKey) -> None:
    """Say what became of the log's keys, and whether the one that signed is still good."""
    try:
        history.require_log_key(signer)
    except RefusedError as error:
        report.problems.append(str(error))
    kinds = Counter(_fate(each) for each in history.keys)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    report.took("keys", f"{len(history.keys)}: {told or 'none'}")


def _fate(key: KeyRecord) -> str:
    if key.void:
        return "void"
    if key.good_until is not None:
        return "stolen"
    return "in use" if key.retired is None else "retired"


def _statements(report: Report, history: History) -> None:
    """Say how many statements and statuses there are, and which entries count for nothing."""
    entered = history.statements
    if entered.void:
        first, count = entered.void[0], len(entered.void)
        report.unjudged.append(
            f"{count} statements were entered again, the first at entry {first}: only the first "
            "entry of each counts"
        )
    void, wrong = _uncounted(history)
    report.problems += wrong[:MAX_TOLD]
    if len(wrong) > MAX_TOLD:
        report.problems.append(f"and {len(wrong) - MAX_TOLD} more statements under invalid keys")
    kinds = Counter(each.status for each in history.statuses.values())
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
    taken_back = f", {void} void since their key was declared stolen" if void else ""
    found = f"{len(entered)} entered{taken_back}; statuses: {told or 'none'}"
    report.took("statements", found)
    lost = [
        each.index
        for each in history.statuses.values()
        if each.successor is not None and each.successor not in entered
    ]
    if lost:
        named = ", ".join(map(str, lost[:MAX_TOLD]))
        report.problems.append(f"{len(lost)} statuses name a successor not entered here: {named}")


def _uncounted(history: History) -> tuple[int, list[str]]:
    """Return how many statements their owner took back with a key, and why others are wrong.

    Their entries name a key not valid there. A key is valid in one stretch: where it is at both
    ends, it is in between.
    """
    stolen = {key.added for key in history.keys if key.void or key.good_until is not None}
    void, wrong = 0, []
    suspects = set()
    for key, ends in history.statements.spans().items():
        if any(_invalid(history, key, at) for at in ends):
            suspects.add(key)
    if suspects:
        for record in history.statements.values():
            why = _invalid(history, record.key, record.index) if record.key in suspects else None
            if why is not None and record.key in stolen:
                void += 1
            elif why is not None:
                wrong.append(why)
    return void, wrong


def _invalid(history: History, key: int, at: int) -> str | None:
    try:
        history.key_at(key, at, Role.STATEMENT)
    except RefusedError as error:
        return str(error)
    return None


def _genesis(report: Report, policy: Policy | None, read: Walk) -> None:
    """Say where the log begins and ends: with which predecessor, and where its owner ended it."""
    genesis = read.history.genesis
    if genesis is None:
        report.problems.append("entry 0 is not a genesis: whose log it is nobody could ever prove")
        return
    found = "begins anew"
    if genesis.predecessor is not None:
        before = genesis.predecessor
        found = f"continues {before.origin} behind its first {before.size} entries"
        report.unjudged.append(f"its predecessor, {before.origin}: audit that log too")
        left = None if policy is None else policy.ends.get(before.origin)
        if left is not None and (left.size, left.root) != (before.size, before.root):
            report.problems.append(
                f"it continues {before.origin} behind {before.size} entries, whose owner ended it "
                f"behind {left.size}, or with other entries"
            )
    end = None if policy is None else policy.ends.get(report.origin)
    if end is not None:
        found += f"; its owner ended it behind {end.size} entries, {end.successor.label} goes on"
        if end.size < report.size:
            found += f", and {report.size - end.size} entries behind that count for nothing"
        _ended(report, end, read)
    report.took("genesis", found)


def _ended(report: Report, end: EndNote, read: Walk) -> None:
    """Compare the log with the note by which its owner ended it."""
    if end.size > report.size:
        report.problems.append(f"its owner ended it behind {end.size} entries, here are fewer")
    elif merkle.root_hash(end.size, read.subtree) != end.root:
        report.problems.append(
            f"its first {end.size} entries are not those its owner ended it with"
        )


async def _compare(report: Report, asked: Audit, note: Note, key: VerifierKey, read: Walk) -> None:
    """Compare the log with every head of it that anybody has met."""
    others: list[Met] = []
    silent: list[str] = []
    if asked.policy is not None:
        others, silent = await met.ask(asked.fetcher, asked.policy, key)
    if asked.node is not None:
        others += met.remembered(asked.node, key)
    compared = met.compare(key, note, read.subtree, others, silent)
    _tell_lies(report, compared)
    _tell_ahead(report, compared, asked.policy)
    if asked.node is not None:
        _tell_proofs(report, met.proven(asked.node, key))
        try:
            met.remember(asked.node, key, note, read.subtree, others)
        except BccaError as error:
            report.unjudged.append(f"what was met could not be kept: {error}")
    same = f"{len(compared.agree)} of {len(others)} heads met elsewhere are of this tree"
    report.took("split views", same if others else "no other head of it was met")


def _tell_lies(report: Report, compared: Compared) -> None:
    for seen, lie in compared.lies:
        at = seen.checkpoint
        report.evidence.append(lie)
        report.problems.append(
            f"SPLIT VIEW: {seen.by} has a head of {at.size} entries under {at.root.hex()}, signed "
            "by the same key; no tree has both"
        )
    report.unjudged += (f"{each}" for each in _silent(compared.silent))


def _tell_proofs(report: Report, kept: Sequence[Misbehaviour]) -> None:
    """Tell of proofs that the auditor's node kept before, whatever the log shows today."""
    for each in kept:
        if each not in report.evidence:
            report.evidence.append(each)
            report.problems.append(
                f"SPLIT VIEW: this node has kept the proof {each.id}: two heads signed by the same "
                "key that no tree has both"
            )


def _tell_ahead(report: Report, compared: Compared, policy: Policy | None) -> None:
    """Tell who has seen more; what a quorum has seen is published, and not shown here."""
    names = [each.witness for each in compared.ahead if each.witness is not None]
    if policy is not None and policy.is_quorum(names):
        report.problems.append(
            f"ROLLED BACK: a quorum, {', '.join(names)}, has seen more than the {report.size} "
            "entries that are shown here: audit again, and if it stays so, this is an old copy"
        )
    for seen in compared.ahead:
        report.unjudged.append(
            f"{seen.by} has seen {seen.checkpoint.size} entries, here are {report.size}: this may "
            "be an old copy, or newer entries are not published yet"
        )


def _silent(silent: Sequence[str]) -> Iterator[str]:
    for each in silent:
        yield f"no head from {each}"
