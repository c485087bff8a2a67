"""`bcca serve`: the node as a server, until it is told to stop."""

import signal
import socket
from typing import Annotated

import typer

from bcca_node.app import create_server
from bcca_node.cli.given import DataOption, open_node
from bcca_node.cli.screen import tell
from bcca_node.settings import Settings
from bcca_protocol.errors import UnavailableError

_EXAMPLE = "Example: BCCA_PASSPHRASE_FILE=/run/secrets/passphrase bcca serve --data node"


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve", epilog=_EXAMPLE)(serve)


def serve(
    data: DataOption,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Serve what is published, witness nobody.")
    ] = False,
) -> None:
    """Serve the log, the statements, and a witness.

    It witnesses for the logs that the policy lists. It listens where the settings say, or
    BCCA_HOST and BCCA_PORT. SIGTERM and Ctrl-C stop it once the answers under way are given.
    """
    with open_node(data, keys=not without_keys) as node, _listen(node.settings) as listener:
        tell(f"{node.origin} listens on {_address(listener)}, for others {node.settings.url}")
        # A server raises the signal that stopped it once more when it is done.
        signal.signal(signal.SIGTERM, lambda *_: None)
        create_server(node).run(sockets=[listener])


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


def _address(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
