"""The URI that a signature covers: the one that the transport sends, whatever was written.

The transport writes percent escapes anew (`%3A` becomes `:`) and drops an empty query. Here the
same rules are applied first, once and for all: what is written so is sent as it is.
"""

from yarl import URL

from bcca_protocol.errors import MalformedError
from bcca_protocol.wire import showable


def sent(url: str) -> str:
    """Return `url` as it is sent, without a fragment; raises MalformedError."""
    try:
        parsed = URL(url)
        return f"{parsed.scheme}://{parsed.host_port_subcomponent}{parsed.raw_path_qs}"
    except ValueError as error:
        raise MalformedError(f"{showable(url[:200])!r} is not a URL: {error}") from error


def received(base: str, path: bytes, query: bytes) -> str:
    """Return the URI of a request that came to the node at `base`, itself written as it is sent.

    `path` and `query` are as they came: a proxy in front takes away what `base` has of a path, and
    passes on the rest untouched.
    """
    asked = path + b"?" + query if query else path
    # What is not ASCII is refused where the signature is checked.
    return base.removesuffix("/") + asked.decode("latin-1")
