"""Keys at rest, the recovery words, and the set-up of a node."""

import json
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcca_node.ledger import keystore, words
from bcca_node.ledger.keystore import Keystore
from bcca_node.ledger.node import Node, init
from bcca_node.settings import Settings
from bcca_node.storage import logs
from bcca_protocol.entry import Genesis, KeyAdd, parse_entry
from bcca_protocol.errors import UnusableError
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.note import Note, verify_note
from bcca_protocol.wire import b64

N = 2**4


@pytest.fixture
def created(tmp_path: Path) -> tuple[Keystore, str]:
    return keystore.create(tmp_path, "cathode.example", "open sesame", scrypt_n=N)


def test_the_first_words_are_those_of_the_published_format() -> None:
    assert words.to_words(bytes([127, 0, 0, 1]) * 8).startswith("lusab babad lusab babad")


@given(st.binary(min_size=32, max_size=32))
def test_words_give_back_the_seed(seed: bytes) -> None:
    said = words.to_words(seed)

    assert words.from_words(f"  {said.upper().replace(' ', '-')}\n") == seed


@pytest.mark.parametrize("position", range(17))
def test_a_mistyped_word_is_refused(position: int) -> None:
    said = words.to_words(bytes(range(32))).split()
    said[position] = "zuzuz" if said[position] != "zuzuz" else "babab"

    with pytest.raises(UnusableError, match="mistyped"):
        words.from_words(" ".join(said))


@pytest.mark.parametrize("said", ["", "lusab", "lusab " * 17, "lusat " * 16 + "lusa!", "x " * 17])
def test_what_are_not_its_words_is_refused(said: str) -> None:
    with pytest.raises(UnusableError, match="recovery key"):
        words.from_words(said)


def test_the_passphrase_opens_a_signer_for_every_public_key(
    created: tuple[Keystore, str], tmp_path: Path
) -> None:
    keyring = Keystore.read(tmp_path).open("open sesame")

    for role in (Role.LOG, Role.STATEMENT, Role.REQUEST, Role.WITNESS):
        signer = keyring.signer(role)
        assert signer.key == created[0].record(role).key
        signer.key.verify(signer.sign(b"message"), b"message")


def test_every_role_has_a_key_of_its_own(created: tuple[Keystore, str]) -> None:
    keys = created[0].keys

    assert len({each.key.public for each in keys}) == len(keys) == 5
    assert [each.index for each in keys] == [1, 2, 3, 4, 5]


def test_the_recovery_words_are_the_key_that_genesis_commits_to(
    created: tuple[Keystore, str],
) -> None:
    keys, said = created
    seed = words.from_words(said)
    recovery = SeedSigner(name="cathode.example", algorithm=Algorithm.ED25519, seed=seed)

    genesis, *added = map(parse_entry, keys.entries())

    assert genesis == Genesis(recovery_hash=sha256(recovery.key.public).digest())
    assert added == [KeyAdd(role=each.role, key=each.key) for each in keys.keys]


def test_a_file_of_keys_holds_no_secret_in_the_clear(
    created: tuple[Keystore, str], tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    keyring = created[0].open("open sesame")

    assert path.stat().st_mode & 0o777 == 0o600
    assert b64(keyring.secret) not in path.read_text(encoding="utf-8")
    assert not set(created[1].split()) & set(path.read_text(encoding="utf-8").split('"'))


def test_another_passphrase_is_refused(created: tuple[Keystore, str]) -> None:
    with pytest.raises(UnusableError, match="this passphrase does not open it"):
        created[0].open("open sesam")


def test_a_passphrase_is_the_same_however_it_is_composed(tmp_path: Path) -> None:
    keys, _ = keystore.create(tmp_path, "cathode.example", "Schlüssel", scrypt_n=N)

    one, other = keys.open("Schlu\u0308ssel"), keys.open("Schlüssel")
    assert (one.signers, one.secret) == (other.signers, other.secret)


def changed(text: str, change: Callable[[Any], None]) -> str:
    found = json.loads(text)
    change(found)
    return json.dumps(found)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f["scrypt"].update(n=2**21), "is not ours"),
        (lambda f: f["scrypt"].update(n=100), "is not ours"),
        (lambda f: f["scrypt"].update(r=1024), "is not ours"),
        (lambda f: f["keys"].pop(), "no seal key"),
        (lambda f: f["keys"][0].update(sealed=f["keys"][1]["sealed"]), "does not open"),
        (lambda f: f.update(secret=f["keys"][0]["sealed"]), "does not open"),
        (lambda f: f.update(version="2"), "Invalid enum value"),
        (lambda f: f.update({"secret": "AAAA"}), "'nonce secret' has 3 bytes, where 60 belong"),
        (lambda f: f["keys"][2].update(sealed=""), "has 0 bytes, where 60 belong"),
        (lambda f: f["keys"][2].update(sealed="A" * 400), "has 300 bytes, where 60 belong"),
    ],
    ids=[
        "n",
        "not a power",
        "r",
        "no key",
        "swapped seed",
        "swapped secret",
        "version",
        "short secret",
        "no seed",
        "long seed",
    ],
)
def test_a_damaged_file_of_keys_is_refused(
    created: tuple[Keystore, str], tmp_path: Path, change: Callable[[Any], None], why: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(changed(path.read_text(encoding="utf-8"), change), encoding="utf-8")

    with pytest.raises(UnusableError, match=why):
        Keystore.read(tmp_path).open("open sesame")


def test_keys_are_not_made_anew(created: tuple[Keystore, str], tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="is there already"):
        keystore.create(tmp_path, "cathode.example", "open sesame", scrypt_n=N)


def test_a_new_node_has_its_keys_in_its_log_under_a_head_it_signed(node: Node) -> None:
    with node.database.read() as session:
        entries, head = logs.entries(session, 0, 100), logs.last_head(session)

    assert [each.decode() for each in entries] == node.keystore.entries()
    assert head is not None
    assert (head.size, head.published) == (6, False)
    assert verify_note(Note.parse(head.note), (node.log_key,)) == (node.log_key,)


def test_another_account_cannot_read_a_node_in_a_folder_that_was_open_to_it(
    tmp_path: Path,
) -> None:
    data = tmp_path / "node"
    data.mkdir()
    data.chmod(0o755)
    settings = Settings(data=data, origin="cathode.example", name="Cathode")
    init(settings, "open sesame", scrypt_n=N)

    with closing(Node.open(settings)) as node, node.database.write() as session:
        logs.set_restored(session, is_restored=True)  # so that there is a -wal and a -shm
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in data.iterdir()}

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    files = ["keys.json", "node.db", "node.db-calls", "node.db-shm", "node.db-wal", "settings.toml"]
    assert modes == dict.fromkeys(files, 0o600)


def test_set_ups_of_one_folder_at_the_same_time_make_one_node(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "node", origin="cathode.example", name="Cathode")
    made: list[str] = []
    refused: list[str] = []

    def set_up() -> None:
        try:
            made.append(init(settings, "open sesame", scrypt_n=N))
        except UnusableError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=set_up) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert (len(made), len(refused)) == (1, 3)
    with closing(Node.open(Settings.load(settings.data, {}), "open sesame")) as node:
        node.keystore.recovery(made[0])


def test_a_second_set_up_is_refused_and_changes_nothing(node: Node) -> None:
    before = (node.settings.data / "keys.json").read_bytes()

    with pytest.raises(UnusableError, match="here lives another node"):
        init(node.settings, "another", scrypt_n=N)

    assert (node.settings.data / "keys.json").read_bytes() == before


def test_a_set_up_without_a_passphrase_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "node", origin="cathode.example", name="Cathode")

    with pytest.raises(UnusableError, match="the passphrase is empty"):
        init(settings, "", scrypt_n=N)

    assert not settings.data.exists()


def test_a_node_whose_settings_name_another_origin_is_refused(node: Node) -> None:
    settings = Settings(data=node.settings.data, origin="anode.example", name="Anode")

    with pytest.raises(UnusableError, match=r"say anode\.example, the keys are cathode\.example"):
        Node.open(settings)


def test_a_node_without_its_passphrase_does_not_sign(new_node: Callable[..., Node]) -> None:
    with pytest.raises(UnusableError, match="its keys are closed"):
        _ = new_node(locked=True).keys
