import base64
import hashlib

import pytest

from bcca_protocol.entry import (
    Entry,
    Genesis,
    KeyAdd,
    KeyCompromised,
    KeyRetire,
    Predecessor,
    StatementEntry,
    Status,
    StatusEntry,
    compromised_message,
    parse_entry,
    status_handle,
)
from bcca_protocol.errors import LimitError, MalformedError
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.limits import MAX_ENTRY_BYTES, MAX_TREE_SIZE

ORIGIN = "cathode.example/bcca"
LOG_KEY = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519, seed=b"l" * 32).key
WITNESS_KEY = SeedSigner(name=ORIGIN, algorithm=Algorithm.ED25519_COSIGNATURE, seed=b"w" * 32).key
SEAL_KEY = VerifierKey(name=ORIGIN, algorithm=Algorithm.X25519, public=b"s" * 32)
HASH = bytes(range(32))
B64 = base64.b64encode(HASH).decode()
HEX = HASH.hex()
SIGNATURE = base64.b64encode(HASH * 2).decode()

LINES: list[tuple[str, Entry]] = [
    (f"bcca/v1 genesis {B64}", Genesis(recovery_hash=HASH)),
    (
        f"bcca/v1 genesis {B64} old.example/bcca 17 {B64}",
        Genesis(
            recovery_hash=HASH,
            predecessor=Predecessor(origin="old.example/bcca", size=17, root=HASH),
        ),
    ),
    (f"bcca/v1 key add log {LOG_KEY.encode()}", KeyAdd(role=Role.LOG, key=LOG_KEY)),
    (f"bcca/v1 key add statement {LOG_KEY.encode()}", KeyAdd(role=Role.STATEMENT, key=LOG_KEY)),
    (f"bcca/v1 key add request {LOG_KEY.encode()}", KeyAdd(role=Role.REQUEST, key=LOG_KEY)),
    (f"bcca/v1 key add witness {WITNESS_KEY.encode()}", KeyAdd(role=Role.WITNESS, key=WITNESS_KEY)),
    (f"bcca/v1 key add seal {SEAL_KEY.encode()}", KeyAdd(role=Role.SEAL, key=SEAL_KEY)),
    ("bcca/v1 key retire 2", KeyRetire(add=2)),
    (
        f"bcca/v1 key compromised 2 17 {B64} {SIGNATURE}",
        KeyCompromised(add=2, last_good=17, recovery_key=HASH, signature=HASH * 2),
    ),
    (
        f"bcca/v1 statement {HEX} 3 {B64}",
        StatementEntry(commitment=HASH, key=3, signature_hash=HASH),
    ),
    (
        f"bcca/v1 status {B64} revoked -",
        StatusEntry(handle=HASH, status=Status.REVOKED, successor=None),
    ),
    (
        f"bcca/v1 status {B64} corrected {HEX}",
        StatusEntry(handle=HASH, status=Status.CORRECTED, successor=HASH),
    ),
    (
        f"bcca/v1 status {B64} superseded {HEX}",
        StatusEntry(handle=HASH, status=Status.SUPERSEDED, successor=HASH),
    ),
]


@pytest.mark.parametrize(("line", "entry"), LINES)
def test_an_entry_is_one_line_and_reads_back(line: str, entry: Entry) -> None:
    assert entry.encode() == line
    assert parse_entry(line) == entry


@pytest.mark.parametrize("line", [line for line, _ in LINES])
def test_a_line_with_anything_put_in_or_left_out_is_refused(line: str) -> None:
    """No other line means the same, wherever a space, a control or a look-alike goes."""
    entry = parse_entry(line)
    for at in range(len(line) + 1):
        for extra in ("", " ", "\n", "\r", "\t", "\x00", "=", "0", "\u0661", "\u2028", "\ud800"):
            for changed in (line[:at] + extra + line[at:], line[:at] + extra + line[at + 1 :]):
                if changed != line:
                    assert not means(changed, entry), changed


def means(line: str, entry: Entry) -> bool:
    try:
        return parse_entry(line) == entry
    except MalformedError:
        return False


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bcca/v1",
        "bcca/v2 key retire 2",
        "bcca/v1 key",
        "bcca/v1 key extend 2",
        "bcca/v1 note hello",
        f"bcca/v1 genesis {B64} old.example/bcca 17",
        f"bcca/v1 genesis {B64[:-4]}AA==",
        f"bcca/v1 genesis {base64.b64encode(HASH + HASH).decode()}",
        f"bcca/v1 genesis {B64} {'o' * 256} 17 {B64}",
        f"bcca/v1 genesis {B64} old+example 17 {B64}",
        f"bcca/v1 genesis {B64} old.example {2**63} {B64}",
        f"bcca/v1 key add owner {LOG_KEY.encode()}",
        f"bcca/v1 key add LOG {LOG_KEY.encode()}",
        "bcca/v1 key add log cathode.example/bcca+00000000+AQ==",
        "bcca/v1 key retire two",
        "bcca/v1 key retire 02",
        "bcca/v1 key retire -2",
        "bcca/v1 key retire 2_0",
        "bcca/v1 key retire \u0662",
        f"bcca/v1 key retire {2**63}",
        f"bcca/v1 key retire {'9' * 4000}",
        f"bcca/v1 key compromised 2 17 {B64} {B64}",
        f"bcca/v1 statement {HEX.upper()} 3 {B64}",
        f"bcca/v1 statement {HEX[:-2]} 3 {B64}",
        f"bcca/v1 statement {B64} 3 {B64}",
        f"bcca/v1 status {B64} withdrawn -",
        f"bcca/v1 status {B64} Revoked -",
        f"bcca/v1 status {B64} revoked {HEX[:-2]}",
        f"bcca/v1 status {B64} revoked --",
    ],
)
def test_a_line_of_another_form_is_refused(line: str) -> None:
    with pytest.raises((MalformedError, LimitError)):
        parse_entry(line)


@pytest.mark.parametrize("text", ["x", "é"])
def test_a_line_over_the_limit_is_refused(text: str) -> None:
    line = "bcca/v1 key retire " + text * (MAX_ENTRY_BYTES // len(text.encode()))

    with pytest.raises(LimitError):
        parse_entry(line)


@pytest.mark.parametrize(
    ("role", "key"),
    [
        (Role.LOG, WITNESS_KEY),
        (Role.LOG, SEAL_KEY),
        (Role.STATEMENT, WITNESS_KEY),
        (Role.WITNESS, LOG_KEY),
        (Role.SEAL, LOG_KEY),
        (Role.RECOVERY, LOG_KEY),
    ],
)
def test_a_key_of_the_wrong_kind_for_its_role_is_refused(role: Role, key: VerifierKey) -> None:
    with pytest.raises(MalformedError):
        KeyAdd(role=role, key=key)
    with pytest.raises(MalformedError):
        parse_entry(f"bcca/v1 key add {role} {key.encode()}")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_an_entry_that_could_not_be_read_back_cannot_be_made(size: int) -> None:
    short = bytes(size)
    for make in (
        lambda: Genesis(recovery_hash=short),
        lambda: Predecessor(origin=ORIGIN, size=1, root=short),
        lambda: Predecessor(origin="no name", size=1, root=HASH),
        lambda: Predecessor(origin=ORIGIN, size=-1, root=HASH),
        lambda: KeyRetire(add=-1),
        lambda: KeyRetire(add=MAX_TREE_SIZE + 1),
        lambda: KeyCompromised(add=1, last_good=1, recovery_key=short, signature=HASH * 2),
        lambda: KeyCompromised(add=1, last_good=1, recovery_key=HASH, signature=short),
        lambda: StatementEntry(commitment=short, key=1, signature_hash=HASH),
        lambda: StatementEntry(commitment=HASH, key=1, signature_hash=short),
        lambda: StatusEntry(handle=short, status=Status.REVOKED, successor=None),
        lambda: StatusEntry(handle=HASH, status=Status.REVOKED, successor=short),
    ):
        with pytest.raises(MalformedError):
            make()


@pytest.mark.parametrize("status", Status)
def test_a_status_is_outweighed_by_a_stronger_one_only(status: Status) -> None:
    stronger = {
        Status.REVOKED: set(),
        Status.CORRECTED: {Status.REVOKED},
        Status.SUPERSEDED: {Status.REVOKED, Status.CORRECTED},
    }

    assert {other for other in Status if other.outweighs(status)} == stronger[status]


def test_a_handle_binds_the_nonce_and_the_commitment() -> None:
    nonce = bytes(16)

    assert status_handle(nonce, HASH) == hashlib.sha256(b"bcca/v1 status\n" + nonce + HASH).digest()
    for wrong in ((nonce + b"\x00", HASH), (nonce, HASH[1:]), (nonce + HASH[:1], HASH[1:])):
        with pytest.raises(MalformedError):
            status_handle(*wrong)


def test_a_notice_of_theft_binds_the_log_the_key_and_the_index() -> None:
    assert compromised_message(ORIGIN, 2, 17) == (
        b"bcca/v1 key compromised\ncathode.example/bcca\n2\n17\n"
    )
