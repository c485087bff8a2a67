"""What `bcca doctor` looks at in the data folder, each finding in words."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bcca_node.cli import setup
from bcca_node.cli.given import given_passphrase
from bcca_node.cli.screen import listed
from bcca_node.ledger import checkup, heads, keystore, trust
from bcca_node.ledger.keys import strangers
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import Node
from bcca_node.ledger.trust import Trust
from bcca_node.settings import FILE as SETTINGS
from bcca_node.settings import Settings
from bcca_node.storage import alarms, logs, outbox, pactsending, partners, statements, witnessed
from bcca_protocol import period
from bcca_protocol.errors import BccaError
from bcca_protocol.keys import Role
from bcca_protocol.policy import Policy, verify_checkpoint

KEYS, POLICY, DATABASE, LOG, DRAFTS = "keys", "policy", "database", "log", "drafts"
PARTNERS = "partners"
ALARM = "ALARM"


class Finding(NamedTuple):
    """One thing that was looked at: `wrong` needs somebody, all else is as it should be."""

    about: str
    wrong: bool
    text: str


def settings(data: Path) -> tuple[Settings | None, Finding]:
    """Return the settings as far as they can be read, and what was found."""
    try:
        read = Settings.load(data)
    except BccaError as error:
        return None, Finding("settings", True, str(error))
    said = f"{read.origin}, listens on {read.host} port {read.port}, for others {read.url}"
    return read, Finding("settings", False, f"{data / SETTINGS}: {said}")


def keys(data: Path, origin: str | None) -> Iterator[Finding]:
    """Yield what is wrong with the keys; they are opened if the environment has a passphrase."""
    path = data / keystore.FILE
    try:
        found = Keystore.read(data)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(KEYS, True, f"{path}: others may read it: run chmod 600 {path}")
        if origin not in (None, found.origin):
            yield Finding(KEYS, True, f"{path}: of {found.origin}, the settings say {origin}")
        passphrase = given_passphrase()
        if passphrase is None:
            said = "their seeds were not looked at: no passphrase in the environment"
        else:
            found.open(passphrase)
            said = "the passphrase opens them"
    except (BccaError, OSError) as error:
        yield Finding(KEYS, True, str(error))
    else:
        yield Finding(KEYS, False, f"{path}: {len(found.keys)} keys, {said}")


def policy(data: Path, node: Node | None) -> tuple[Policy | None, list[Finding]]:
    """Return whom this node believes, and what is wrong with that."""
    try:
        read = Trust(data).policy()
    except BccaError as error:
        return None, [Finding(POLICY, True, str(error))]
    if read is None:
        said = f"{data / trust.FILE} is not there: nobody is believed, and nothing gets published"
        return None, [Finding(POLICY, True, said)]
    said = f"{len(read.logs)} logs, {read.rule}, survives {read.survives} lying"
    found = [Finding(POLICY, False, f"{data / trust.FILE}: {said}")]
    return read, found + ([] if node is None else list(_of_this_node(read, node)))


def database(node: Node, trusted: Policy | None) -> Iterator[Finding]:
    """Yield what is wrong with what this node keeps, and what of it is not published."""
    try:
        wrong = list(checkup.problems(node))
        yield from (Finding(DATABASE, True, each) for each in wrong)
        if not wrong:
            said = "whole; entries, tiles, heads and statements fit each other"
            yield Finding(DATABASE, False, f"{node.database.name}: {said}")
            yield from _strange_keys(node)
            yield from _published(node, trusted)
            yield from _lagging(node, trusted)
            yield from _drafts(node)
            yield from _dealings(node)
        yield from _alarms(node, trusted)
    except BccaError as error:
        yield Finding(DATABASE, True, str(error))


def opened(settings: Settings) -> tuple[Node | None, list[Finding]]:
    """Return the node with its keys closed, or why it cannot be opened."""
    try:
        return Node.open(settings), []
    except BccaError as error:
        return None, [Finding(DATABASE, True, str(error))]


def _of_this_node(read: Policy, node: Node) -> Iterator[Finding]:
    line = read.logs.get(node.origin)
    wanted = setup.log_line(node.settings, node.keystore)
    if line is None:
        yield Finding(
            POLICY, True, f"this node's own log is not in it, so its bundles fail: add {wanted}"
        )
    elif line.key not in {each.key for each in node.keystore.good(Role.LOG)}:
        yield Finding(
            POLICY, True, f"names {node.origin} with key {line.key.encode()}: write {wanted}"
        )
    others = [name for name, each in read.witnesses.items() if each.key.name != node.origin]
    if not read.is_quorum(others):
        yield Finding(
            POLICY, True, f"{read.rule} needs this node's own cosignature, which never counts"
        )


def _strange_keys(node: Node) -> Iterator[Finding]:
    for each in strangers(node):
        if each.ended is None:
            said = f"entry {each.index} adds a {each.role} key that is not in {keystore.FILE}"
            wanted = f"bcca keys compromised {each.index} --last-good {each.index - 1}"
            yield Finding(KEYS, True, f"{said}: if nobody here made it, run `{wanted}`")


def _published(node: Node, trusted: Policy | None) -> Iterator[Finding]:
    with node.database.read() as session:
        size, head = logs.size(session), logs.published_head(session)
        since = 0 if head is None else head.size
        pending = statements.page(session, since, size)
    if pending:
        names = listed([each.product for each in pending])
        yield Finding(LOG, True, f"pending statements, of {names}: run `bcca publish`")
    elif since < size:
        yield Finding(LOG, True, f"{size - since} entries are pending: run `bcca publish`")
    if head is None or trusted is None:
        return
    try:
        seen = verify_checkpoint(head.note, node.key_of(head.note), trusted, at=node.clock())
    except BccaError as error:
        said = f"its published head is not believed under the policy: {error}: run `bcca publish`"
        yield Finding(LOG, True, said)
    else:
        at = period.text_at(seen.time)
        yield Finding(LOG, False, f"{since} entries published, seen by a quorum at {at}")


def _dealings(node: Node) -> Iterator[Finding]:
    """Yield what no partner has taken, and which partners' keys nobody has seen in their logs."""
    with node.database.read() as session:
        dead, known = outbox.in_state(session, outbox.State.DEAD), partners.every(session)
        pact = pactsending.sendings(session, pactsending.Sent.DEAD)
    if dead:
        names = listed(sorted({each.partner for each in dead}))
        said = f"{len(dead)} events were given up, to {names}: see `bcca partners deliveries`"
        yield Finding(PARTNERS, True, said)
    if pact:
        names = listed(sorted({each.partner for each in pact}))
        said = f"{len(pact)} events were given up, to {names}: see `bcca pact deliveries`"
        yield Finding(PARTNERS, True, said)
    refused = [each.origin for each in known if each.refused]
    if refused:
        said = f"their logs or the policy contradict their keys: {listed(refused)}"
        yield Finding(PARTNERS, True, f"{said}: see `bcca partners show`")
    unproven = [each.origin for each in known if each.proven_at is None and not each.refused]
    if unproven:
        yield Finding(PARTNERS, False, f"keys not proven by their logs yet: {listed(unproven)}")


def _lagging(node: Node, trusted: Policy | None) -> Iterator[Finding]:
    """Yield which witness missed what a quorum has seen: one more, and nothing gets published."""
    with node.database.read() as session:
        head, known = logs.published_head(session), witnessed.cosigned(session)
    if trusted is None or head is None:
        return
    for name in trusted.witnesses:
        if name in known and known[name].size < head.size:
            why = known[name].refused or "it was not asked since"
            said = f"has cosigned {known[name].size} of {head.size} published entries: {why}"
            yield Finding(f"witness {name}", False, said)


def _alarms(node: Node, trusted: Policy | None) -> Iterator[Finding]:
    """Yield what nobody has dealt with yet, and who was proven to lie."""
    with node.database.read() as session:
        standing, proofs = alarms.standing(session), list(heads.proofs(session))
        if logs.restored(session):
            said = "restored from a backup: nothing is entered before every witness has answered"
            yield Finding(LOG, False, said)
    for each in standing:
        yield Finding(ALARM, True, f"since {period.text_at(each.raised_at)}: {each.what}")
    for origin in sorted({each.origin for each in proofs}):
        believed = origin == node.origin or (trusted is not None and origin in trusted.logs)
        said = f"log {origin} signed two trees, `bcca log status` names the proof"
        wanted = ": take it out of policy.txt" if origin != node.origin else ""
        yield Finding("misbehaviour", believed, said + (wanted if believed else ""))


def _drafts(node: Node) -> Iterator[Finding]:
    with node.database.read() as session:
        waiting = statements.drafts(session)
    if waiting:
        yield Finding(DRAFTS, False, f"{len(waiting)} wait for `bcca publish`")
