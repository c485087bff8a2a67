"""What this node tells of its extension: the schema of its data, and a page for people."""

import json

from bcca_node.pact.extension import VERSION
from bcca_protocol.wire import HEX_DIGEST, ORIGIN


def _ecma(pattern: str) -> str:
    r"""Return a pattern as JSON Schema has them: without \A and \Z."""
    return "^" + pattern.removeprefix(r"\A").removesuffix(r"\Z") + "$"


def schema() -> bytes:
    """Return the JSON Schema of the extension's data (draft 2020-12)."""
    text = {"type": "string", "minLength": 1}
    url = {"type": "string", "pattern": "^https?://"}
    signature = {
        "type": "object",
        "properties": {"keyid": text, "sig": text},
        "required": ["keyid", "sig"],
        "additionalProperties": False,
    }
    envelope = {
        "type": "object",
        "properties": {
            "payload": text,
            "payloadType": {"const": "application/vnd.in-toto+json"},
            "signatures": {"type": "array", "items": signature, "minItems": 1, "maxItems": 1},
        },
        "required": ["payload", "payloadType", "signatures"],
        "additionalProperties": False,
    }
    fields: dict[str, object] = {
        "commitment": {"type": "string", "pattern": _ecma(HEX_DIGEST)},
        "origin": {"type": "string", "pattern": _ecma(ORIGIN), "maxLength": 255},
        "key": {"type": "string", "pattern": r"^[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}$"},
        "log": url,
        "index": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$"},
        "statement": url,
        "envelope": envelope,
        "proof": text,
    }
    told = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Signed statement behind a footprint, version {VERSION}",
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    return json.dumps(told, indent=2).encode()


def page() -> bytes:
    """Return the page that the extension names as its documentation."""
    return _PAGE.encode()


_PAGE = f"""\
# Signed statement behind a footprint, version {VERSION}

This software implements the PACT Technical Specifications 3.0.3 (WBCSD).
PACT is a programme of the World Business Council for Sustainable Development (WBCSD).
This page describes one data model extension, and is no part of that specification.
It is licensed under the Apache License, Version 2.0.

## What it is

Each footprint that this node serves is derived from a statement that its organisation has signed
and entered in a public append-only log, whose heads independent witnesses cosign. The extension
carries that statement, so that whoever receives the footprint can tell who said it, that it was
said to everybody alike, and that no figure was changed on the way. Systems that do not know the
extension pass it over, and lose nothing of the footprint.

## Its data

- `commitment`: SHA-256 that names the statement everywhere, as 64 hex digits. The id of the
  footprint is the UUIDv5 of these digits in the name space 969f856c-922f-5a29-9775-74ae5e411173.
- `origin`: whose statement it is, and the name of the log.
- `key`: the verifier key of the log (c2sp.org/signed-note).
- `log`: URL of the log: `/checkpoint` and `/tile/...` below it (c2sp.org/tlog-tiles).
- `index`: which entry of the log the statement is.
- `statement`: URL of the statement itself, for who may see it there.
- `envelope`: the signed statement, a DSSE envelope around an in-toto Statement v1.
- `proof`: that the entry is in the log (c2sp.org/tlog-proof@v1), under a head that a quorum of
  witnesses has cosigned before the footprint was first shown.

## What to check

Nothing here is believed for standing here. `bcca-verify` and the library `bcca_protocol` check the
signature, the entry, the witnesses, every rule of the statement and its sums, and then that the
footprint says what the statement says. Whether the statement was revoked or corrected since is
told by the log as it is now, and not by the proof.
"""
