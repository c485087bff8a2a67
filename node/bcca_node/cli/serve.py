"""`bcca serve`: the node as a server, until it is told to stop."""

import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from ssl import SSLContext
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bcca_node.app import create_server, desk
from bcca_node.cli.given import DataOption, open_node
from bcca_node.cli.screen import tell
from bcca_node.ledger.keys import strangers
from bcca_node.ledger.node import Node
from bcca_node.network.desk import is_open, process
from bcca_node.network.tls import CERT_OPTION, KEY_OPTION, server_context, warnings
from bcca_node.settings import Settings
from bcca_node.storage import alarms
from bcca_node.web.journal import Journal
from bcca_protocol import period
from bcca_protocol.errors import UnavailableError, UnusableError

_EXAMPLE = "Example: BCCA_PASSPHRASE_FILE=/run/secrets/passphrase bcca serve --data node"

CertOption = Annotated[
    Path | None,
    typer.Option(
        CERT_OPTION,
        envvar="BCCA_TLS_CERT",
        metavar="FILE",
        help="Answer over https alone, with this certificate and those that signed it (PEM).",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        KEY_OPTION, envvar="BCCA_TLS_KEY", metavar="FILE", help="And its private key (PEM)."
    ),
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", epilog=_EXAMPLE)(serve)


def serve(
    data: DataOption,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Serve what is published, sign nothing.")
    ] = False,
    tls_cert: CertOption = None,
    tls_key: KeyOption = None,
) -> None:
    """Serve the log, the statements, and a witness.

    It witnesses for the logs that the policy lists, has its own heads cosigned, watches what
    witnesses have seen of its log, and keeps copies of the others. It delivers what partners are
    to be told, fetches what they keep for it, and answers requests that a statement answers. It
    listens where the settings say, or BCCA_HOST and BCCA_PORT. SIGTERM and Ctrl-C stop it once the
    answers under way are given. A renewed certificate is read when it is started again.
    """
    if is_open(data):
        raise UnavailableError(
            f"{data}: another `bcca serve` serves this folder already (process {process(data)}): "
            "one is enough, and stop it first to begin anew"
        )
    with open_node(data, keys=not without_keys) as node, ExitStack() as stack:
        tls = _tls(node, tls_cert, tls_key)
        listener = stack.enter_context(_listen(node.settings))
        journal = Journal(sys.stderr.buffer)
        logging.basicConfig(handlers=[journal], level=logging.WARNING)
        server = create_server(node, keep=True, journal=journal, tls=tls)
        # It may come before the server listens for it; the server raises it again when it is done.
        signal.signal(signal.SIGTERM, lambda *_: server.handle_exit(signal.SIGTERM, None))
        where = _address(listener, "http" if tls is None else "https")
        tell(f"{node.origin} listens on {where}, for others {node.settings.url}")
        tell(*_alarms(node))
        if not without_keys:
            _open_desk(node, stack)
        server.run(sockets=[listener])


def _tls(node: Node, certificate: Path | None, key: Path | None) -> SSLContext | None:
    """Return how to answer over TLS, None where that is not asked for; raises UnusableError."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        named, other = (KEY_OPTION, CERT_OPTION) if key else (CERT_OPTION, KEY_OPTION)
        raise UnusableError(f"{named} alone makes no TLS: name the file of {other} too")
    url, at = urlsplit(node.settings.url), node.clock()
    if url.scheme != "https":
        raise UnusableError(
            f"url {node.settings.url}: others would ask by http, and with {CERT_OPTION} only https "
            "is answered: write https:// in settings.toml, or set BCCA_URL"
        )
    if url.path and not node.settings.proxies:
        raise UnusableError(
            f"url {node.settings.url}: with {CERT_OPTION} no proxy takes {url.path} away, and "
            f"nothing is answered below it: leave {url.path} out of url in settings.toml (BCCA_URL)"
            f", or leave {CERT_OPTION} out and let a proxy with the certificate take it away"
        )
    context = server_context(certificate, key, at=at)
    tell(*warnings(certificate, host=url.hostname or "", at=at))
    return context


def _open_desk(node: Node, stack: ExitStack) -> None:
    """Serve the desk until the end; where none can be, say so and go on."""
    try:
        stack.enter_context(desk(node))
    except UnavailableError as error:
        tell(str(error))


def _alarms(node: Node) -> Iterator[str]:
    """Yield what the owner has to know before all else."""
    with node.database.read() as session:
        for each in alarms.standing(session):
            yield f"ALARM since {period.text_at(each.raised_at)}, nothing is entered: {each.what}"
    for key in strangers(node):
        if key.ended is None:
            yield (
                f"ALARM: entry {key.index} of this log adds a {key.role} key that is not in "
                f"keys.json: if nobody here made it, run `bcca keys compromised {key.index} "
                f"--last-good {key.index - 1}`"
            )


def _listen(settings: Settings) -> socket.socket:
    """Return the bound socket; raises UnavailableError where that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(
            f"{settings.host} port {settings.port}: cannot listen there: {error}; stop who does, "
            "or set BCCA_PORT"
        ) from error


def _address(listener: socket.socket, scheme: str) -> str:
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
