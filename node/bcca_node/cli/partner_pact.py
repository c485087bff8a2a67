"""`bcca partners add|secret|revoke-secret|update`: partners whose systems speak PACT."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bcca_node.cli.given import DataOption, JsonOption, open_node
from bcca_node.cli.partner_names import pact_called, since
from bcca_node.cli.screen import put_json, say, tell
from bcca_node.ledger.node import Node
from bcca_node.pact import clients
from bcca_node.pact.clients import DAYS, Credentials, Theirs
from bcca_node.pact.secrets import MAX_SECRET_BYTES
from bcca_node.storage import grants, pactclients
from bcca_node.storage.pactclients import PactClient, PactPartner
from bcca_protocol import period
from bcca_protocol.errors import UnusableError

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Of a PACT partner, such as buyer or pact:buyer.")
]
AuthOption = Annotated[
    str | None,
    typer.Option(metavar="BASE", help="Where it issues tokens, if that is not below its --url."),
]
IdOption = Annotated[
    str | None, typer.Option(metavar="ID", help="The client id that it issued to this node.")
]
SecretOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The secret that it issued to this node, in a file."),
]
DaysOption = Annotated[int, typer.Option(help="How long the new credentials are good.")]

_ADD = "Example: bcca partners add --pact buyer --url https://pact.buyer.example --data node"
_SECRET = "Example: bcca partners secret buyer --days 90 --data node"  # noqa: S105
_REVOKE = "Example: bcca partners revoke-secret buyer buyer.8c1f… --data node"
_UPDATE = (
    "Example: bcca partners update buyer --client-id node7 --client-secret-file secret.txt "
    "--data node"
)


def add(group: typer.Typer) -> None:
    """Add the commands to those of partners."""
    group.command("add", epilog=_ADD)(add_partner)
    group.command("secret", epilog=_SECRET)(new_secret)
    group.command("revoke-secret", epilog=_REVOKE)(revoke_secret)
    group.command("update", epilog=_UPDATE)(update)


def add_partner(
    data: DataOption,
    pact: Annotated[str, typer.Option("--pact", metavar="NAME", help="How it is called here.")],
    url: Annotated[str, typer.Option(metavar="BASE", help="Below which it answers /3/footprints.")],
    auth_url: AuthOption = None,
    client_id: IdOption = None,
    client_secret_file: SecretOption = None,
    days: DaysOption = DAYS,
    as_json: JsonOption = False,
) -> None:
    """Deal with an organisation whose system speaks PACT; print its credentials, this once.

    It sees what is public, and what `bcca partners grant pact:NAME` lets it see. What it issued
    to this node is kept sealed: with it, this node asks its host and tells it of news.
    """
    name, base = clients.checked_name(pact), clients.checked_base(url, "--url")
    auth = base if auth_url is None else clients.checked_base(auth_url, "--auth-url")
    theirs = _theirs(client_id, client_secret_file)
    with open_node(data) as node:
        now = node.clock()
        partner = PactPartner(name=name, url=base, auth_url=auth, since=now)
        with node.database.write() as session:
            kept = clients.add(node, session, partner, theirs)
            made = clients.issue(session, kept, days=days, at=now)
        _show_credentials(node, made, as_json=as_json)
        if theirs is None:
            tell(
                f"This node cannot ask {kept.origin} yet: `bcca partners update {name}` takes the "
                "client id and secret that it issues"
            )


def new_secret(
    name: NameArgument, data: DataOption, days: DaysOption = DAYS, as_json: JsonOption = False
) -> None:
    """Give a PACT partner new credentials, printed this once; the old ones stay good.

    Once it uses the new ones, `bcca partners revoke-secret` ends the old ones: nothing stands
    still in between.
    """
    with open_node(data) as node:
        partner = pact_called(node, name)
        with node.database.write() as session:
            made = clients.issue(session, partner, days=days, at=node.clock())
        _show_credentials(node, made, as_json=as_json)


def revoke_secret(
    name: NameArgument,
    client_id: Annotated[str, typer.Argument(metavar="CLIENT_ID", help="Whose secret ends.")],
    data: DataOption,
) -> None:
    """End credentials of a PACT partner at once, and every token that they were given."""
    with open_node(data) as node:
        partner = pact_called(node, name)
        with node.database.write() as session:
            clients.revoke(session, partner, client_id, at=node.clock())
            good = _good(pactclients.clients(session, partner.name), node.clock())
    left = ", ".join(each.client_id for each in good) or "none, so it cannot come in"
    say(f"{client_id} is good no more; client ids of {partner.origin} that are: {left}")


def update(
    name: NameArgument,
    data: DataOption,
    url: Annotated[
        str | None, typer.Option(metavar="BASE", help="Below which it answers /3/footprints.")
    ] = None,
    auth_url: AuthOption = None,
    client_id: IdOption = None,
    client_secret_file: SecretOption = None,
) -> None:
    """Change where a PACT partner is, or what it issued to this node.

    A secret is bound to where it may be sent: with another URL, it is to be given again.
    """
    theirs = _theirs(client_id, client_secret_file)
    base = None if url is None else clients.checked_base(url, "--url")
    auth = None if auth_url is None else clients.checked_base(auth_url, "--auth-url")
    if (theirs, base, auth) == (None, None, None):
        raise UnusableError(
            "say what changes: --url, --auth-url, or --client-id and --client-secret-file"
        )
    with open_node(data) as node:
        before = pact_called(node, name)
        known = _moved(before, base, auth)
        if theirs is None and before.is_asked:
            raise UnusableError(
                f"{before.origin}: its secret was given for {before.url} and {before.auth_url}, "
                "and goes nowhere else: give --client-id and --client-secret-file with the new URL"
            )
        kept = known if theirs is None else clients.sealed(node, known, theirs)
        with node.database.write() as session:
            if pactclients.get(session, before.name) != before:
                raise UnusableError(f"{before.origin} has changed meanwhile: look, and try again")
            pactclients.put(session, kept)
    said = f"as {kept.client_id}" if kept.is_asked else "without credentials, so it is not asked"
    say(f"{kept.origin} is asked at {kept.url}, tokens at {kept.auth_url}, {said}")


def show(node: Node, partner: PactPartner, *, as_json: bool) -> None:
    """Show a PACT partner, its credentials without their secrets, and what it may see."""
    with node.database.read() as session:
        issued = pactclients.clients(session, partner.name)
        seen = grants.of(session, partner.origin)
    if as_json:
        may = [{"scope": e.scope, "about": e.about, "why": e.why} for e in seen]
        put_json({**as_told(partner), "clients": [_client_json(e) for e in issued], "maySee": may})
        return
    say(f"{partner.origin}: speaks PACT, since {since(partner.since)}, at {partner.url}")
    asked = f"as {partner.client_id}" if partner.is_asked else "not yet: it has issued nothing"
    say(f"asked by this node {asked}; tokens from {partner.auth_url}")
    say(*(f"comes in as {e.client_id}, {_standing(e, node.clock())}" for e in issued))
    say(*(f"may see {e.scope} {e.about}".rstrip() + f" ({e.why})" for e in seen))


def end(node: Node, name: str) -> None:
    """Deal with a PACT partner no more, and say what was dropped."""
    partner = pact_called(node, name)
    with node.database.write() as session:
        dropped = clients.end(node, session, partner).words()
    ended = f"{partner.origin} is no partner any more: its credentials and tokens are good no more"
    say(ended + (f"; dropped: {dropped}" if dropped else ""))


def row(partner: PactPartner, issued: list[PactClient], at: int) -> tuple[str, str, str, str]:
    """Return a row for the table of partners."""
    good = _good(issued, at)
    until = f"until {since(max(each.expires for each in good))}" if good else "NONE IS GOOD"
    return partner.origin, "PACT partner", partner.url, f"client ids: {len(good)}, {until}"


def as_told(partner: PactPartner) -> dict[str, object]:
    """Return a partner as JSON, without any secret."""
    return {
        "origin": partner.origin,
        "url": partner.url,
        "authUrl": partner.auth_url,
        "clientId": partner.client_id or None,
        "since": period.text_at(partner.since),
    }


def _show_credentials(node: Node, made: Credentials, *, as_json: bool) -> None:
    base, until = node.settings.url, period.text_at(made.expires)
    if as_json:
        told = {"partner": made.partner.origin, "clientId": made.client_id}
        put_json({**told, "clientSecret": made.secret, "url": base, "expires": until})
        return
    say(f"For {made.partner.origin}, shown this once, and kept nowhere: hand it over privately.")
    say("", f"    base URL       {base}", f"    client id      {made.client_id}")
    say(f"    client secret  {made.secret}", f"    good until     {until}")


def _theirs(client_id: str | None, file: Path | None) -> Theirs | None:
    """Return what a partner issued to this node, None where nothing is given."""
    if client_id is None and file is None:
        return None
    if client_id is None or file is None:
        raise UnusableError("--client-id and --client-secret-file go together: give both")
    return Theirs(client_id=client_id, secret=_secret(file))


def _secret(path: Path) -> str:
    """Return the one line of a file; raises UnusableError for one that everybody can read."""
    what = f"--client-secret-file {path}"
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
            raise UnusableError(
                f"{what}: its mode is {stat.S_IMODE(mode):04o}, so everybody on this machine may "
                f"have the secret: `chmod o= {path}`, or have a new one issued"
            )
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 3).decode()
    except (OSError, ValueError) as error:
        # What cannot be decoded is quoted by nobody.
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UnusableError(f"{what}: cannot be read: {why}") from None
    return content.removesuffix("\n").removesuffix("\r")


def _moved(partner: PactPartner, base: str | None, auth: str | None) -> PactPartner:
    """Return a partner at other URLs; where tokens came from the first, they go on to."""
    url = base or partner.url
    followed = url if partner.auth_url == partner.url else partner.auth_url
    return replace(partner, url=url, auth_url=auth or followed)


def _good(issued: list[PactClient], at: int) -> list[PactClient]:
    return [each for each in issued if each.is_good(at)]


def _standing(issued: PactClient, at: int) -> str:
    if issued.revoked is not None:
        return f"revoked {since(issued.revoked)}"
    word = "good until" if issued.is_good(at) else "EXPIRED"
    return f"{word} {since(issued.expires)}"


def _client_json(issued: PactClient) -> dict[str, object]:
    return {
        "clientId": issued.client_id,
        "created": period.text_at(issued.created),
        "expires": period.text_at(issued.expires),
        "revoked": None if issued.revoked is None else period.text_at(issued.revoked),
    }
