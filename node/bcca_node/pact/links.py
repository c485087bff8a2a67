"""The next page of a list, in a Link header (RFC 8288; SPEC 16.5)."""

import re

import httpx

from bcca_protocol.errors import MalformedError, RefusedError
from bcca_protocol.wire import showable

# <target> and its parameters: a name, and maybe a value with or without quotes.
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,"]++(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*+))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


def following(url: str, header: str) -> str | None:
    """Return the URL that the Link `header` of the answer from `url` names as next, if any.

    Only path and query are taken from it: scheme and host stay those of `url`, since many a host
    behind a proxy writes http. Raises RefusedError for another host, MalformedError for no URL.
    """
    for target, told in _LINK.findall(header):
        rel = _REL.search(told)
        if rel is not None and "next" in (rel[1] or rel[2] or "").lower().split():
            return _here(url, target)
    return None


def _here(url: str, target: str) -> str:
    here = httpx.URL(url)
    try:
        there = here.join(target)
    except (httpx.InvalidURL, ValueError) as error:
        raise MalformedError(f"{showable(url)}: its next link is no URL: {error}") from error
    if (there.host, there.port) != (here.host, here.port):
        raise RefusedError(
            f"{showable(url)}: its next page is at {showable(str(there)[:200])}, and what is for "
            f"{showable(here.netloc.decode())} is sent nowhere else"
        )
    return str(here.copy_with(raw_path=there.raw_path))
