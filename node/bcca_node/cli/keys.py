"""`bcca keys`: this node's keys, listed, replaced, retired, declared stolen; and the log's end."""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli import witnesses
from bcca_node.cli.given import DataOption, JsonOption, asked_passphrase, asked_recovery
from bcca_node.cli.screen import put_json, say, show_table, tell
from bcca_node.cli.setup import log_line, witness_line
from bcca_node.ledger import keys
from bcca_node.ledger.keylines import KeyRecord
from bcca_node.ledger.keys import Changed
from bcca_node.ledger.node import Node
from bcca_node.settings import Settings
from bcca_protocol.errors import RefusedError, UnusableError
from bcca_protocol.keys import Role, VerifierKey
from bcca_protocol.wire import b64

DONE, PENDING = 0, 3

IndexArgument = Annotated[
    int, typer.Argument(metavar="INDEX", min=0, help="The entry that added the key.")
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="This node's keys.")
    group.command("list", epilog="Example: bcca keys list --data node --policy-line")(list_keys)
    group.command("rotate", epilog="Example: bcca keys rotate statement --data node")(rotate)
    group.command("retire", epilog="Example: bcca keys retire 1 --data node")(retire)
    group.command(
        "compromised", epilog="Example: bcca keys compromised 2 --last-good 57 --data node"
    )(compromised)
    group.command("end", epilog="Example: bcca keys end --size 58 --data node")(end)
    app.add_typer(group, name="keys")


def list_keys(
    data: DataOption,
    policy_line: Annotated[
        bool,
        typer.Option("--policy-line", help="Only the line with which others believe this log."),
    ] = False,
    witness: Annotated[
        bool,
        typer.Option("--witness-line", help="Only the line with which it witnesses others' logs."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the keys by role, the log entry that added each and what became of it.

    No passphrase is needed. A key that the log has and this node has not was added by a stranger.
    The two lines are for the policy.txt of others; `bcca init` has shown them too.
    """
    settings = Settings.load(data)
    with closing(Node.open(settings)) as node:
        held, found = node.keystore, keys.strangers(node)
    if policy_line or witness:
        say(*[log_line(settings, held)] * policy_line, *[witness_line(settings, held)] * witness)
    elif as_json:
        put_json([*map(_as_json, held.keys), *({**_as_json(e), "stranger": True} for e in found)])
    else:
        rows = [_row(each) for each in held.keys]
        rows += [
            (*_row(each)[:2], f"{each.state}, NOT THIS NODE'S", _row(each)[3]) for each in found
        ]
        show_table(("role", "entry", "state", "verifier key"), rows)


def rotate(
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="log, statement, request, ….")],
    data: DataOption,
    as_json: JsonOption = False,
) -> int:
    """Make a new key of a role; the one before it retires in the same step.

    A log key does not: both sign until those who read the log name the new one in their policies,
    and `bcca keys retire` retires the old one. Start `bcca serve` again afterwards, and make a
    backup: an older one has not the new key.
    """
    return _change(data, lambda node, opened: keys.rotate(node, role, opened), as_json=as_json)


def retire(index: IndexArgument, data: DataOption, as_json: JsonOption = False) -> int:
    """Retire a key that a newer one of its role replaces.

    Who still names a retired log key in a policy reads this log no more, and neither do customers
    of customers whose statements name only that one. Start `bcca serve` again afterwards.
    """
    return _change(data, lambda node, opened: keys.retire(node, index, opened), as_json=as_json)


def compromised(
    index: IndexArgument,
    last_good: Annotated[
        int, typer.Option("--last-good", metavar="N", min=0, help="The last entry you stand by.")
    ],
    data: DataOption,
    as_json: JsonOption = False,
) -> int:
    """Say that a key was stolen: what it signed behind entry N is void.

    So are all keys added since; roles that lose theirs get new ones. Needs the recovery words, of
    BCCA_RECOVERY or BCCA_RECOVERY_FILE or typed. For a stolen log key see `bcca keys end`.
    """

    def declare(node: Node, passphrase: str) -> Changed:
        signer = node.keystore.recovery(asked_recovery())
        return keys.compromise(node, index, last_good, signer, passphrase)

    return _change(data, declare, as_json=as_json)


def end(
    data: DataOption,
    size: Annotated[
        int, typer.Option("--size", metavar="N", min=1, help="How many entries you stand by.")
    ],
    successor: Annotated[
        str | None, typer.Option(metavar="VKEY", help="The log key of the node that goes on.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking once more.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End the log, whose log key was stolen: nothing behind its first N entries counts.

    Without --successor it only prints what `bcca init --continues` needs. With it, it prints the
    end note: give it to all who read this log, for the folder `ended` beside their policy.txt. It
    cannot be taken back, so N is the number that the successor was set up with. Needs the recovery
    words, of BCCA_RECOVERY or BCCA_RECOVERY_FILE or typed. The same once more prints the same.
    """
    with closing(Node.open(Settings.load(data))) as node:
        root = b64(keys.head_at(node, size))
        head = {"origin": node.origin, "size": size, "root": root}
        if successor is None:
            _say_head(f"{node.origin} {size} {root}", head, as_json=as_json)
            return
        key = _log_key(successor)
        if not yes:
            _ask_once_more(f"{node.origin} {size} {root}", key)
        signer = node.keystore.recovery(asked_recovery())
        note = keys.end(node, size, key, signer).encode()
    if as_json:
        put_json({**head, "successor": successor, "note": note})
        return
    say(*note.removesuffix("\n").split("\n"))
    tell(f"{node.origin} has ended: give this note to all who read it, for ended/*.txt.")


def _ask_once_more(head: str, successor: VerifierKey) -> None:
    """Return if somebody at a terminal says yes; raises UnusableError."""
    if not sys.stdin.isatty():
        raise UnusableError(
            f"nothing was signed: an end note is for good; if {successor.name} was set up with "
            f"`bcca init --continues {head}`, add --yes"
        )
    tell(f"This ends the log for good: {head}, and {successor.encode()} goes on.")
    if not typer.confirm("Was the successor set up with just this head?", err=True):
        raise UnusableError("nothing was signed")


def _say_head(line: str, head: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        put_json(head)
        return
    say(line)
    tell(
        f"Set up the node that goes on with `bcca init --continues {line}`, then run this with "
        "--successor and its log key."
    )


def _log_key(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except RefusedError as error:
        raise UnusableError(f"--successor: {error}") from error


def _change(data: Path, change: Callable[[Node, str], Changed], *, as_json: bool) -> int:
    """Change the keys, have the head cosigned, and show both; return the exit status."""
    passphrase = asked_passphrase()
    with closing(Node.open(Settings.load(data), passphrase)) as node:
        named = witnesses.named_by(node)
        witnesses.clear(node, named)
        changed = change(node, passphrase)
        witnessed = witnesses.cosigned(changed.node, named)
    published = witnessed is not None and witnessed.published
    why = "pending: there is no policy, so nobody was asked to cosign"
    why = why if witnessed is None else str(witnessed)
    if as_json:
        put_json(_changed_as_json(changed, published, why))
    else:
        _show_changed(changed)
        tell(why)
    return DONE if published else PENDING


def _show_changed(changed: Changed) -> None:
    show_table(
        ("role", "entry", "state", "verifier key"), map(_row, (*changed.ended, *changed.added))
    )
    if changed.void:
        say("", "Void, and to be issued anew if you stand by them:")
        show_table(
            ("entry", "commitment", "product", "from", "to"),
            [
                (str(e.index), e.commitment, e.product, e.period_start, e.period_end)
                for e in changed.void
            ],
        )
    settings, held = changed.node.settings, changed.node.keystore
    if any(each.role is Role.LOG for each in (*changed.added, *changed.ended)):
        tell(f"For the policies of those who read this log: {log_line(settings, held)}")
    if any(each.role is Role.LOG for each in changed.ended):
        tell("Witnesses whose policy names a log key that has ended cosign nothing more.")
    if changed.added:
        tell("Make a backup: an older one has not the new keys.")
    tell("Start `bcca serve` again where it runs: it still has the keys from before.")


def _changed_as_json(changed: Changed, published: bool, why: str) -> dict[str, object]:
    return {
        "added": [*map(_as_json, changed.added)],
        "ended": [*map(_as_json, changed.ended)],
        "void": [
            {"commitment": each.commitment, "product": each.product, "index": each.index}
            for each in changed.void
        ],
        "state": "published" if published else "pending",
        "why": why,
    }


def _row(record: KeyRecord) -> tuple[str, str, str, str]:
    return record.role.value, str(record.index), record.state, record.key.encode()


def _as_json(record: KeyRecord) -> dict[str, object]:
    return {
        "role": record.role.value,
        "vkey": record.key.encode(),
        "index": record.index,
        "algorithm": record.key.algorithm.name,
        "state": record.state,
    }
