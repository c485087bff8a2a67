"""An answer that might as well be a file: HEAD, what is known already, and packed where asked.

RFC 9110: 8.8.3 (ETag), 12.5.3 (Accept-Encoding), 13.1.2 (If-None-Match).
"""

import gzip
import hashlib
import re
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response

METHODS = ["GET", "HEAD"]
FOREVER = "public, max-age=31536000, immutable"
SECONDS = "public, max-age=2"

_ETAG_DIGITS = 32  # of SHA-256: whoever finds two contents of one tag fools a cache of his own
_PACK_LEVEL = 6
_CHARSET = ("", "; charset=utf-8")
_QUALITY = re.compile(r"[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")


def resource(  # noqa: PLR0913 - a content, and what is told with it
    request: Request,
    content: bytes,
    media_type: str,
    cache: str,
    *,
    packable: bool = False,
    vary: str = "",
    tag: str = "",
) -> Response:
    """Return `content` as the asker wants it, or that the asker has it already.

    A `tag` is of that content alone; without one it is hashed.
    """
    tag = tag or hashlib.sha256(content).hexdigest()[:_ETAG_DIGITS]
    headers = {"cache-control": cache}
    packed = packable and accepts_gzip(request.headers.getlist("accept-encoding"))
    varies = ", ".join(filter(None, ("accept-encoding" if packable else "", vary)))
    if varies:
        headers["vary"] = varies
    headers["etag"] = f'"{tag}-gzip"' if packed else f'"{tag}"'
    known = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    if known and _is_known([each.decode("latin-1") for each in known], headers["etag"]):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
        content = gzip.compress(content, _PACK_LEVEL, mtime=0)
    if request.method == "HEAD":
        return Response(
            headers={**headers, "content-length": str(len(content))}, media_type=media_type
        )
    return _Whole(content, media_type, headers)


class _Whole(Response):
    """A content whose head is known: made in a third of the time."""

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        """Answer with `headers`, and with what every content has."""
        self.status_code, self.background, self.body = 200, None, content
        self.raw_headers = [
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()),
            (b"content-length", b"%d" % len(content)),
            (b"content-type", (media_type + _CHARSET[media_type.startswith("text/")]).encode()),
        ]


def accepts_gzip(asked: list[str]) -> bool:
    """Say whether these Accept-Encoding fields prefer gzip to the content as it is."""
    weights = dict(_weight(each) for each in ",".join(asked).split(",") if each.strip())
    other = weights.get("*", 0.0)
    packed = weights.get("gzip", weights.get("x-gzip", other))
    plain = weights.get("identity", other if "*" in weights else 0.001)  # acceptable unless told
    return packed > 0 and packed >= plain


def _weight(each: str) -> tuple[str, float]:
    """Return a coding and its weight; one that is no weight counts as none."""
    coding, *parameters = each.split(";")
    weight = 1.0
    if parameters:
        match = _QUALITY.fullmatch(parameters[0])
        weight = 0.0 if match is None or len(parameters) > 1 else float(match[1])
    return coding.strip().lower(), weight


def _is_known(asked: list[str], etag: str) -> bool:
    """Say whether these If-None-Match fields name `etag`; weakly, as a GET compares."""
    tags = [each.strip().removeprefix("W/") for each in ",".join(asked).split(",")]
    return etag in tags or tags == ["*"]
