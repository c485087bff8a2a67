"""The forms of what routes take and answer, for the OpenAPI document alone."""

from typing import Any

import msgspec


class Signature(msgspec.Struct):
    """One signature of an envelope."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, rename="camel"):
    """A signed statement (DSSE), `payload` and `sig` in base64."""

    payload: str
    payload_type: str
    signatures: list[Signature]


class Line(msgspec.Struct, omit_defaults=True):
    """A statement in JSON Lines: its envelope in base64, its index in its log in decimal digits."""

    commitment: str
    envelope: str
    index: str
    origin: str = ""


class Batch(msgspec.Struct):
    """The commitments of the statements that are wanted."""

    commitments: list[str]


class Health(msgspec.Struct):
    """That the process runs."""

    status: str


OBJECT = dict[str, Any]
