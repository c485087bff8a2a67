"""Signed calls: who asks, whom, what and when, in the headers of a request (SPEC 13.7, RFC 9421).

Nothing here reads a clock or remembers: whether a nonce was seen before, whoever keeps them says.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bcca_node.network import fields
from bcca_node.network.fields import Bare, Item, Member
from bcca_protocol.errors import LimitError, MalformedError, SignatureError
from bcca_protocol.keys import Algorithm, Signer, VerifierKey
from bcca_protocol.wire import showable, unb64

AUDIENCE = "bcca-audience"
DIGEST = "content-digest"
INPUT = "signature-input"
SIGNATURE = "signature"
FIELDS = (AUDIENCE, DIGEST, INPUT, SIGNATURE)
TAG = "bcca-v1"
MAX_CALL_AGE_SECONDS = 60  # how far two clocks may differ, and a call be under way
MAX_NONCE_CHARS = 64  # ours have 22; more would be a store for strangers

_LABEL = "bcca"
_METHOD, _TARGET = "@method", "@target-uri"
_ALWAYS = frozenset({_METHOD, _TARGET, AUDIENCE})
_NEEDED = frozenset({"created", "nonce", "keyid", "tag"})
_KNOWN = _NEEDED | {"alg"}
_SHA256 = "sha-256"  # RFC 9530
_ED25519 = "ed25519"  # RFC 9421, 3.3.6

_QUOTED = {name: fields.encode_string(name) for name in (*_ALWAYS, DIGEST)}
_PLAIN_NAMES = [_METHOD, _TARGET, AUDIENCE]
_PLAIN_INPUT = re.compile(
    rf'{_LABEL}=\("{_METHOD}" "{_TARGET}" "{AUDIENCE}"\);created=(?P<created>[0-9]{{1,15}});'
    r'nonce="(?P<nonce>[!#-\[\]-~]{1,64})";keyid="(?P<keyid>[!#-\[\]-~]{1,1000})";'
    rf'tag="{TAG}"'
)
_PLAIN_SIGNATURE = re.compile(rf"{_LABEL}=:([A-Za-z0-9+/]{{86}}==):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as it is sent; `target` is its whole URI, as the transport writes it."""

    method: str
    target: str
    body: bytes = b""


class SignedCall(msgspec.Struct, frozen=True, kw_only=True):
    """That the holder of `key` made a call, for this audience; whether once is not known yet."""

    key: VerifierKey
    created: int
    nonce: str


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a signature says of itself, and which components it covers."""

    signature: bytes
    created: int
    nonce: str
    key: VerifierKey
    covered: Sequence[str]
    parameters: str  # as they were sent


def sign(call: Call, *, signer: Signer, audience: str, created: int, nonce: str) -> dict[str, str]:
    """Return the headers that make `call` one by `signer` to `audience` (SPEC 13.7).

    Raises MalformedError for a name or a URI that no header can hold.
    """
    headers = {AUDIENCE: audience}
    if call.body:
        digest = hashlib.sha256(call.body).digest()
        headers[DIGEST] = f"{_SHA256}={fields.encode_bytes(digest)}"
    covered = [_METHOD, _TARGET, *headers]
    told = (
        f"created={created}",
        f"nonce={fields.encode_string(nonce)}",
        f"keyid={fields.encode_string(signer.key.encode())}",
        f"tag={fields.encode_string(TAG)}",
    )
    parameters = ";".join([f"({' '.join(map(fields.encode_string, covered))})", *told])
    values = {_METHOD: call.method, _TARGET: call.target, **headers}
    signed = base(values, covered, parameters)
    signature = fields.encode_bytes(signer.sign(signed))
    return {
        **headers,
        INPUT: f"{_LABEL}={parameters}",
        SIGNATURE: f"{_LABEL}={signature}",
    }


def is_signed(headers: Mapping[str, Sequence[str]]) -> bool:
    """Say whether a request with these headers says that somebody signed it."""
    return bool(headers.get(INPUT) or headers.get(SIGNATURE))


def verify(
    call: Call,
    headers: Mapping[str, Sequence[str]],
    *,
    audience: str,
    at: int,
    read: Callable[[str], VerifierKey] = VerifierKey.parse,
) -> SignedCall:
    """Return who signed `call` for `audience`, whose clock says `at` (SPEC 13.7, steps 1 to 6).

    `headers` are the lines of each, by their names in small letters; `read` does what
    VerifierKey.parse does. Raises MalformedError, LimitError, SignatureError.
    """
    # 1 and 2. One signature with our tag covers exactly what it has to, and says what it has to.
    said = _plain(call, headers, read) or _said(call, headers, read)
    # 3. It is for this node.
    values = {_METHOD: call.method, _TARGET: call.target, AUDIENCE: _value(headers, AUDIENCE)}
    if values[AUDIENCE] != audience:
        raise SignatureError(
            f"signature: for {showable(values[AUDIENCE][:200])!r}, where this is {audience}"
        )
    # 4. It was made within a minute of now.
    if abs(said.created - at) > MAX_CALL_AGE_SECONDS:
        raise SignatureError(
            f"signature: created at {said.created}, and it is {at} here, over "
            f"{MAX_CALL_AGE_SECONDS} s apart: set the clock"
        )
    # 5. The body is the one that was digested.
    if DIGEST in said.covered:
        values[DIGEST] = _value(headers, DIGEST)
        _require_digest(values[DIGEST], call.body)
    # 6. The key that it names signed all that; whether only once, others remember (step 7).
    said.key.verify(said.signature, base(values, said.covered, said.parameters))
    return SignedCall(key=said.key, created=said.created, nonce=said.nonce)


def base(values: Mapping[str, str], covered: Sequence[str], parameters: str) -> bytes:
    """Return what is signed: the covered components, and what is said about them (RFC 9421, 2.5).

    `parameters` is the text of `@signature-params`, as it was sent. Raises MalformedError.
    """
    lines = [
        f"{_QUOTED.get(each) or fields.encode_string(each)}: {values[each]}" for each in covered
    ]
    text = "\n".join([*lines, f'"@signature-params": {parameters}'])
    if not text.isascii() or text.count("\n") != len(covered):
        raise MalformedError("signature: what it covers is not one line of ASCII each")
    return text.encode("ascii")


def _value(headers: Mapping[str, Sequence[str]], name: str) -> str:
    """Return the value of a field as it is signed (RFC 9421, 2.1)."""
    lines = headers.get(name)
    if not lines:
        return ""
    if len(lines) == 1:
        return lines[0].strip(" \t")
    return ", ".join(each.strip(" \t") for each in lines)


def _ours(headers: Mapping[str, Sequence[str]]) -> tuple[Member, bytes]:
    """Return what the one signature with our tag says, and its bytes."""
    told, signed = _value(headers, INPUT), _value(headers, SIGNATURE)
    inputs = fields.decode_dictionary(told, INPUT)
    signatures = fields.decode_dictionary(signed, SIGNATURE)
    ours = [label for label, each in inputs.items() if each.parameters.get("tag") == TAG]
    if len(ours) != 1:
        raise SignatureError(f'signature: {len(ours)} with the tag "{TAG}", where 1 belongs')
    found = signatures.get(ours[0])
    if found is None or not isinstance(found.value, bytes) or found.parameters:
        raise MalformedError(f"{SIGNATURE}: no bytes for {showable(ours[0][:80])!r}")
    return inputs[ours[0]], found.value


def _plain(
    call: Call, headers: Mapping[str, Sequence[str]], read: Callable[[str], VerifierKey]
) -> _Said | None:
    """Return what `sign` wrote for a call without a body, as any reader of both fields does.

    Most calls are such, and there is nothing in them to be read in more than one way.
    """
    told = _value(headers, INPUT)
    match = _PLAIN_INPUT.fullmatch(told)
    signature = _PLAIN_SIGNATURE.fullmatch(_value(headers, SIGNATURE))
    if match is None or signature is None or call.body:
        return None
    created, nonce, keyid = match.groups()
    return _Said(
        signature=unb64(signature[1], SIGNATURE),
        created=int(created),
        nonce=nonce,
        key=_key(keyid, read),
        covered=_PLAIN_NAMES,
        parameters=told.partition("=")[2],
    )


def _said(
    call: Call, headers: Mapping[str, Sequence[str]], read: Callable[[str], VerifierKey]
) -> _Said:
    """Return what the one signature with our tag says, however it is written."""
    member, signature = _ours(headers)
    created, nonce, key = _told(member, read)
    items = member.value if isinstance(member.value, tuple) else ()
    covered = [_name(each) for each in items]
    _require_covered(covered, is_bodied=bool(call.body))
    return _Said(
        signature=signature,
        created=created,
        nonce=nonce,
        key=key,
        covered=covered,
        parameters=member.text,
    )


def _told(member: Member, read: Callable[[str], VerifierKey]) -> tuple[int, str, VerifierKey]:
    """Return when, with which nonce and by which key, as a signature says of itself."""
    told = member.parameters
    if not _NEEDED <= told.keys() <= _KNOWN or told.get("alg", _ED25519) != _ED25519:
        raise MalformedError(
            f"{INPUT}: says {' '.join(told) or 'nothing'}, where {' '.join(sorted(_NEEDED))} "
            f'belong, and at most alg="{_ED25519}"'
        )
    created, nonce = told["created"], told["nonce"]
    if not isinstance(created, int) or created < 0:
        raise MalformedError(f"{INPUT}: created is no time in seconds")
    if not isinstance(nonce, str) or not nonce:
        raise MalformedError(f"{INPUT}: the nonce is no text")
    if len(nonce) > MAX_NONCE_CHARS:
        raise LimitError(f"{INPUT}: a nonce of {len(nonce)} characters, over {MAX_NONCE_CHARS}")
    return created, nonce, _key(told["keyid"], read)


def _key(told: Bare, read: Callable[[str], VerifierKey]) -> VerifierKey:
    if not isinstance(told, str):
        raise MalformedError(f"{INPUT}: the keyid is no text")
    key = read(told)
    if key.algorithm is not Algorithm.ED25519:
        raise SignatureError(f"signature: {key.label} is a key of another kind, and signs no calls")
    return key


def _name(item: Item) -> str:
    if not isinstance(item.value, str) or item.parameters:
        raise MalformedError(f"{INPUT}: a component with parameters, or of no name")
    return item.value


def _require_covered(names: Sequence[str], *, is_bodied: bool) -> None:
    wanted = _ALWAYS | {DIGEST} if is_bodied or DIGEST in names else _ALWAYS
    if len(names) != len(wanted) or set(names) != wanted:
        raise SignatureError(
            f"signature: covers {showable(' '.join(names)[:200]) or 'nothing'}, where "
            f"{' '.join(sorted(wanted))} belong"
        )


def _require_digest(told: str, body: bytes) -> None:
    found = fields.decode_dictionary(told, DIGEST).get(_SHA256)
    if found is None or found.parameters or found.value != hashlib.sha256(body).digest():
        raise SignatureError(f"{DIGEST}: not the {_SHA256} of the body that came")
