"""`bcca init`: a new node, its keys, and what others need to know of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, asked_passphrase
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.ledger import keystore, trust
from bcca_node.ledger.files import write_whole
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import init
from bcca_node.partners import identifiers
from bcca_node.settings import Settings
from bcca_protocol.entry import Predecessor
from bcca_protocol.errors import PolicyError, RefusedError, UnusableError
from bcca_protocol.keys import Role
from bcca_protocol.limits import MAX_POLICY_BYTES
from bcca_protocol.policy import Policy
from bcca_protocol.wire import showable, unb64

ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - where a server listens, not where others find it

_EXAMPLE = (
    "Example: bcca init --data node --origin cathode.example/bcca --name 'Cathode AG' "
    "--url https://cathode.example"
)


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", epilog=_EXAMPLE)(initialise)


def initialise(
    data: DataOption,
    origin: Annotated[
        str, typer.Option(envvar="BCCA_ORIGIN", help="Who the node is: host/path, no scheme.")
    ],
    name: Annotated[str, typer.Option(envvar="BCCA_NAME", help="The organisation's name.")],
    url: Annotated[str | None, typer.Option(help="Where others reach the node.")] = None,
    host: Annotated[str | None, typer.Option(help="Where `bcca serve` listens.")] = None,
    port: Annotated[int | None, typer.Option(help="And on which port.")] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whom to believe; copied into the folder.")
    ] = None,
    continues: Annotated[
        tuple[str, int, str] | None,
        typer.Option(
            metavar="ORIGIN SIZE ROOT",
            help="The head of a log that ended, which this one goes on with (`bcca keys end`).",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="URN", help="Another name: urn:lei:… or urn:uscc:…; repeat it for more."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set up a node: keys, log, settings.

    The recovery key is shown once and stored nowhere: write it down. It takes a log back from a
    thief of every other key.
    """
    other = None if ids is None else identifiers.all_checked(ids)
    given = {"origin": origin, "name": name, "url": url, "host": host, "port": port, "ids": other}
    settings = _settings(data, {key: value for key, value in given.items() if value is not None})
    settings.require_none()
    trusted = None if policy is None else _read_policy(policy)
    if trusted is not None and (data / trust.FILE).exists():
        raise UnusableError(f"{data / trust.FILE} is there already: remove it, or --policy")
    before = None if continues is None else _predecessor(origin, *continues)
    passphrase = asked_passphrase(twice=True)
    keystore.require_none(data, passphrase)
    words = init(settings, passphrase, continues=before)
    try:  # first of all: nobody can show the words again
        _show(settings, words, as_json=as_json)
    finally:  # whoever reads, as `head` does, may have left by then
        if trusted is not None:
            write_whole(data / trust.FILE, trusted)
    if trusted is None:
        tell(f"It believes nobody yet and publishes nothing: write {data / trust.FILE}.")


def log_line(settings: Settings, keys: Keystore) -> str:
    """Return the line with which others believe this node's log (c2sp.org/tlog-policy)."""
    return f"log {keys.record(Role.LOG).key.encode()} {settings.url}/log"


def witness_line(settings: Settings, keys: Keystore) -> str:
    """Return the line with which others believe this node as a witness."""
    key = keys.record(Role.WITNESS).key
    return f"witness {settings.origin} {key.encode()} {settings.url}/witness"


def _show(settings: Settings, words: str, *, as_json: bool) -> None:
    keys = Keystore.read(settings.data)
    lines = {"log": log_line(settings, keys), "witness": witness_line(settings, keys)}
    if as_json:
        told = {"origin": settings.origin, "data": str(settings.data), "recovery": words}
        put_json({**told, **lines})
        return
    say(f"{settings.origin} is set up in {settings.data}.", "")
    say("Its recovery key, shown this once and stored nowhere: write it down, keep it apart.", "")
    say(f"    {words}", "")
    say("For the policy.txt of those who read its log, and of those whose logs it witnesses:", "")
    say(lines["log"], lines["witness"], "")
    say(f"To see them again: `bcca keys list --policy-line --witness-line --data {settings.data}`.")


def _settings(data: Path, given: Mapping[str, str | int | tuple[str, ...]]) -> Settings:
    """Return the settings of a new node; its URL is where it listens, unless told otherwise."""
    settings = Settings.new(data, os.environ, **given)
    if "url" in given or "BCCA_URL" in os.environ:
        return settings
    host = settings.host
    if host in ANYWHERE or settings.port == 0:
        raise UnusableError(
            f"listening on {host or 'every address'}, port {settings.port}, says not where others "
            "reach the node: add --url"
        )
    shown = f"[{host}]" if ":" in host else host
    return Settings.new(data, os.environ, **given, url=f"http://{shown}:{settings.port}")


def _predecessor(origin: str, ended: str, size: int, root: str) -> Predecessor:
    """Return the head at which another log ended; raises UnusableError."""
    if ended == origin:
        raise UnusableError(f"--continues {ended}: a log goes on under another origin than its own")
    try:
        return Predecessor(origin=ended, size=size, root=unb64(root, "root"))
    except RefusedError as error:
        raise UnusableError(f"--continues {showable(ended)}: {error}") from error


def _read_policy(path: Path) -> bytes:
    """Return a policy as it is, once it has been read; raises UnusableError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
        Policy.parse(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"--policy {path}: cannot be read: {error}") from error
    except PolicyError as error:
        raise UnusableError(f"--policy {path}: {error}") from error
    return content
