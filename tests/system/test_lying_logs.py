"""Logs, witnesses and introductions that lie: refused, and nobody else's products with them."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bcca_node.cli import main as bcca
from bcca_node.ledger.trust import FILE as POLICY
from bcca_node.storage import logs
from bcca_protocol import checkpoint, merkle, tiles
from bcca_protocol.__main__ import UNUSABLE
from bcca_protocol.__main__ import main as bcca_verify
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.errors import BccaError, PolicyError
from bcca_protocol.keys import Algorithm, Role, SeedSigner, VerifierKey
from bcca_protocol.note import Note, NoteSignature

HEAD, LIAR, HONEST, FOIL, REFINERY = "pack", "cathode", "cell", "foil", "refinery"
WITNESSES = ("cell", "cathode", "foil", "mine", "refinery")
CHECKPOINT = "/log/checkpoint"


def require_refused(reason: str | None, *parts: str) -> None:
    """Fail unless a reason holds all of `parts`."""
    assert reason is not None
    assert [part for part in parts if part not in reason] == []


def require_every_other_run_holds(market: Any, product: str) -> None:
    """Fail unless, all lies ended, `product` of the liar is added up again."""
    market.mouths[LIAR].lies.clear()
    outcome = market.run(market.pack(market.bought(LIAR, product, "1")))
    assert (outcome.gaps, outcome.total) == ([], 27 + 7)


def signed_by(change: Callable[[Note], Sequence[NoteSignature]]) -> Callable[[bytes], bytes]:
    """Return how a served checkpoint changes its signatures."""

    def changed(body: bytes) -> bytes:
        note = Note.parse(body.decode())
        return Note(text=note.text, signatures=tuple(change(note))).encode().encode()

    return changed


def entries(market: Any) -> list[bytes]:
    """Return the liar's true log."""
    with market.member(LIAR).node.database.read() as session:
        return logs.entries(session, 0, 10_000)


def tells_entries(market: Any, lies: Any, lines: Sequence[bytes]) -> None:
    """Let the liar answer other entries, in every bundle that holds some."""
    for each in tiles.tiles_for(len(lines)):
        if each.level == tiles.ENTRIES:
            first = each.index * tiles.TILE_WIDTH
            content = tiles.encode_entries(lines[first : first + each.width])
            market.lies(f"/log/{each.encode()}", lies.answers(content))


def forged(market: Any, lines: Sequence[bytes]) -> bytes:
    """Return a checkpoint over other entries that the liar and four colluding witnesses signed."""
    node = market.member(LIAR).node
    root = merkle.Tree(map(merkle.leaf_hash, lines)).root()
    head = Checkpoint(origin=node.origin, size=len(lines), root=root)
    note = checkpoint.sign_checkpoint(head, [node.keys.signer(Role.LOG)])
    colluding = [market.member(name).node for name in WITNESSES if name != LIAR]
    cosigned = [
        checkpoint.cosign(head.encode(), each.keys.signer(Role.WITNESS), at=each.clock())
        for each in colluding
    ]
    return note.with_signatures(cosigned).encode().encode()


def test_a_checkpoint_below_quorum_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    fewer = signed_by(lambda note: note.signatures[:4])  # the log's, and three cosignatures
    market.lies(CHECKPOINT, lies.changes(fewer))

    reason = market.gap(product)

    require_refused(reason, f"checkpoint of {market.origin(LIAR)}", "cosigned by", "k = 4 of n = 5")


def test_a_checkpoint_that_the_log_itself_cosigns_up_to_its_quorum_is_refused(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    node = market.member(LIAR).node

    def with_its_own(note: Note) -> list[NoteSignature]:
        signer = node.keys.signer(Role.WITNESS)
        return [*note.signatures[:4], checkpoint.cosign(note.text, signer, at=node.clock())]

    market.lies(CHECKPOINT, lies.changes(signed_by(with_its_own)))

    require_refused(market.gap(product), f"checkpoint of {node.origin}", "k = 4 of n = 5")


def test_one_witness_who_cosigns_four_times_is_no_quorum(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(
        CHECKPOINT, lies.changes(signed_by(lambda n: [n.signatures[0], *[n.signatures[1]] * 4]))
    )

    require_refused(market.gap(product), f"checkpoint of {market.origin(LIAR)}", "k = 4 of n = 5")


def test_a_garbage_cosignature_of_a_witness_of_the_policy_is_refused(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    witness = market.member(HONEST).node.keystore.record(Role.WITNESS).key

    def garbled(note: Note) -> list[NoteSignature]:
        return [
            NoteSignature(name=each.name, key_id=each.key_id, blob=each.blob[:8] + bytes(64))
            if each.is_by(witness)
            else each
            for each in note.signatures
        ]

    market.lies(CHECKPOINT, lies.changes(signed_by(garbled)))

    require_refused(
        market.gap(product),
        f"{market.member(LIAR).url}{CHECKPOINT}",
        f"not signed by {witness.label}",
    )


def test_a_checkpoint_that_the_log_did_not_sign_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(CHECKPOINT, lies.changes(signed_by(lambda note: note.signatures[1:])))
    key = market.member(LIAR).node.log_key.label

    require_refused(
        market.gap(product), f"{market.member(LIAR).url}{CHECKPOINT}", "signed by none", key
    )


def test_a_checkpoint_of_another_log_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.lies(CHECKPOINT, lies.answers(market.fetch(market.member(HONEST).url + CHECKPOINT)))

    reason = market.gap(product)

    require_refused(
        reason, f"checkpoint of '{market.origin(HONEST)}'", f"not of '{market.origin(LIAR)}"
    )


def test_a_cosignature_from_the_future_is_no_part_of_a_quorum(market: Any, lies: Any) -> None:
    product = market.sold("7")
    witness = market.member(HONEST).node

    def early(note: Note) -> list[NoteSignature]:
        signer = witness.keys.signer(Role.WITNESS)
        others = [each for each in note.signatures if not each.is_by(signer.key)]
        return [*others, checkpoint.cosign(note.text, signer, at=witness.clock() + 3600)]

    market.lies(CHECKPOINT, lies.changes(signed_by(early)))

    require_refused(market.gap(product), f"checkpoint of {market.origin(LIAR)}", "k = 4 of n = 5")


def test_changed_entries_under_a_true_checkpoint_are_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    true = entries(market)
    tells_entries(market, lies, [*true[:-1], true[0]])

    reason = market.gap(product)

    require_refused(
        reason, f"log {market.origin(LIAR)}", "its entries hash to", "its checkpoint has"
    )


def test_two_trees_of_one_size_on_two_runs_are_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    market.run(market.pack(market.bought(LIAR, product, "1")))
    true = entries(market)
    market.lies(CHECKPOINT, lies.answers(forged(market, [*true[:-1], true[0]])))

    reason = market.gap(product)

    roots = [
        merkle.Tree(map(merkle.leaf_hash, each)).root().hex()
        for each in (true, [*true[:-1], true[0]])
    ]
    require_refused(
        reason, f"log {market.origin(LIAR)} shows two trees of size {len(true)}", *roots
    )
    require_every_other_run_holds(market, product)


def test_a_larger_tree_that_does_not_grow_out_of_the_one_before_is_refused(
    market: Any, lies: Any
) -> None:
    product = market.sold("7")
    market.run(market.pack(market.bought(LIAR, product, "1")))
    true = entries(market)
    other = [*true[:-1], true[0], true[-1]]
    market.lies(CHECKPOINT, lies.answers(forged(market, other)))
    tells_entries(market, lies, other)

    reason = market.gap(product)

    roots = [
        merkle.Tree(map(merkle.leaf_hash, each)).root().hex() for each in (true, other[: len(true)])
    ]
    require_refused(reason, f"log {market.origin(LIAR)}", f"size {len(true)}", *roots)
    require_every_other_run_holds(market, product)


def test_a_log_rolled_back_between_two_runs_is_refused(market: Any, lies: Any) -> None:
    product = market.sold("7")
    before = market.fetch(market.member(LIAR).url + CHECKPOINT)
    size = len(entries(market))
    market.sold("8")
    market.run(market.pack(market.bought(LIAR, product, "1")))
    market.lies(CHECKPOINT, lies.answers(before))

    reason = market.gap(product)

    require_refused(
        reason,
        f"log {market.origin(LIAR)} was rolled back",
        f"shows {size} entries",
        f"{size + 1} were seen before",
    )
    require_every_other_run_holds(market, product)


def test_after_an_entry_that_nobody_knows_nothing_of_a_log_is_current(own_market: Any) -> None:
    product = own_market.sold("7")
    own_market.append("bcca/v9 anything")

    reason = own_market.gap(product)

    require_refused(reason, product, own_market.origin(LIAR), "in a broken log")


def test_a_policy_that_survives_no_liar_is_loaded_by_nobody(
    market: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BCCA_PASSPHRASE", "correct horse battery staple")
    head = market.member(HEAD)
    path = head.node.settings.data / POLICY
    outcome = market.run(market.pack())
    bundle = tmp_path / "pack.bcca.jsonl"
    bundle.write_bytes(b"".join(outcome.bundle))
    kept = path.read_text("utf-8")
    pack = market.pack()
    path.write_text(market.network.policy(head, quorum=3), "utf-8")

    try:
        with pytest.raises(PolicyError) as refused:
            market.run(pack)
        verified = bcca_verify([str(bundle), "--policy", str(path)])
        said_by_verify = capsys.readouterr().err
        aggregated = bcca(["aggregate", pack, "--data", str(head.node.settings.data)])
        said_by_aggregate = capsys.readouterr().err
    finally:
        path.write_text(kept, "utf-8")

    assert (verified, aggregated) == (UNUSABLE, UNUSABLE)
    for said in (str(refused.value), said_by_verify, said_by_aggregate):
        require_refused(said, "k = 3 of n = 5", "f = 0 liars are survived, where 1 is the least")


def test_a_witness_that_answers_garbage_is_named_and_does_not_stop_a_quorum(
    market: Any, lies: Any
) -> None:
    market.lies(
        "/witness/add-checkpoint",
        lies.changes(lambda body: body[:-8] + b"AAAAAA=\n"),
        by=HONEST,
    )

    done = market.cosigned(HEAD)

    assert done.published
    assert set(done.cosigned) == set(WITNESSES) - {HONEST}
    assert list(done.refused) == [HONEST]


def test_a_witness_that_cosigns_another_tree_is_named_and_does_not_stop_a_quorum(
    market: Any, lies: Any
) -> None:
    node = market.member(HONEST).node
    other = checkpoint.cosign(
        Checkpoint(origin=market.origin(HEAD), size=1, root=bytes(32)).encode(),
        node.keys.signer(Role.WITNESS),
        at=node.clock(),
    )
    market.lies("/witness/add-checkpoint", lies.answers(f"{other.encode()}\n".encode()), by=HONEST)

    done = market.cosigned(HEAD)

    assert done.published
    require_refused(
        done.refused[HONEST], f"not signed by {node.keystore.record(Role.WITNESS).key.label}"
    )


def test_two_witnesses_that_lie_leave_a_statement_pending(market: Any, lies: Any) -> None:
    for name in (HONEST, FOIL):
        market.lies("/witness/add-checkpoint", lies.answers(b"no", 403), by=name)

    done = market.cosigned(HEAD)

    assert not done.published
    require_refused(str(done), "pending", "3 of 5", "k = 4 of n = 5", f"{HONEST}: answered 403: no")


def false_key(origin: str) -> str:
    """Return a key that somebody else made for `origin`."""
    seed = hashlib.sha256(b"false").digest()
    return SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed).key.encode()


def bought_of_refinery(market: Any, supplier: Any, metal: str, key: str | None = None) -> Any:
    """Return an input of the refinery's, its log named with its own key or with another."""
    named = supplier(market.member(REFINERY), key)
    return market.bought(REFINERY, metal, "1", supplier=named)


def test_a_true_introduction_is_followed(market: Any, supplier: Any) -> None:
    metal = market.sold("2", by=REFINERY)
    paint = market.sold("7", inputs=[bought_of_refinery(market, supplier, metal)])

    outcome = market.run(market.pack(market.bought(LIAR, paint, "1")))

    assert (outcome.gaps, outcome.total) == ([], 27 + 7 + 2)
    assert outcome.report.evidence.introduced[market.origin(REFINERY)] == market.origin(LIAR)


def test_a_supplier_introduced_with_a_false_key_is_a_gap(market: Any, supplier: Any) -> None:
    origin = market.origin(REFINERY)
    metal = market.sold("2", by=REFINERY)
    line = bought_of_refinery(market, supplier, metal, false_key(origin))
    paint = market.sold("7", inputs=[line])
    pack = market.pack(market.bought(LIAR, paint, "1"))

    reason = market.gap_of(market.run(pack), metal, origin, {paint, pack}, "34")

    false = VerifierKey.parse(false_key(origin)).label
    require_refused(reason, f"{market.member(REFINERY).url}{CHECKPOINT}", "signed by none", false)


def test_a_supplier_introduced_with_a_key_that_is_none_is_a_gap(market: Any, supplier: Any) -> None:
    origin, key = market.origin(REFINERY), "refinery.example/bcca+00000000+AAAA"
    metal = market.sold("2", by=REFINERY)
    line = bought_of_refinery(market, supplier, metal, key)
    paint = market.sold("7", inputs=[line])
    pack = market.pack(market.bought(LIAR, paint, "1"))

    reason = market.gap_of(market.run(pack), metal, origin, {paint, pack}, "34")

    require_refused(reason, "verifier key", origin)


def test_a_supplier_of_the_policy_named_with_a_false_key_is_a_gap(
    market: Any, supplier: Any
) -> None:
    origin = market.origin(HONEST)
    line = market.bought(
        HONEST, "urn:bcca:t:cell", "1", supplier=supplier(market.member(HONEST), false_key(origin))
    )
    paint = market.sold("7", inputs=[line])
    pack = market.pack(market.bought(LIAR, paint, "1"))

    outcome = market.run(pack)

    [reason] = outcome.gaps
    require_refused(reason, origin, false_key(origin), "not that log's")
    assert outcome.total == outcome.report.total == 27 + 7


def test_two_tier_1s_that_name_a_tier_2_with_different_keys_are_shown_with_both(
    market: Any, supplier: Any
) -> None:
    origin = market.origin(REFINERY)
    metal = market.sold("2", by=REFINERY)
    lines = {
        FOIL: bought_of_refinery(market, supplier, metal),
        LIAR: bought_of_refinery(market, supplier, metal, false_key(origin)),
    }
    sold = {name: market.sold("7", by=name, inputs=[line]) for name, line in lines.items()}
    pack = market.pack(*(market.bought(name, each, "1") for name, each in sold.items()))

    outcome = market.run(pack)

    false = VerifierKey.parse(false_key(origin)).label  # named first, in the order of origins
    [reason] = set(outcome.gaps)
    require_refused(reason, false, f"also named with {lines[FOIL].supplier.key}")
    assert outcome.total == outcome.report.total == 27 + 7 + 7
    assert market.dependents(outcome, metal, origin) == {pack, *sold.values()}


def test_a_false_name_given_further_up_than_a_true_one_voids_neither_run_nor_bundle(
    market: Any, supplier: Any
) -> None:
    origin = market.origin(REFINERY)
    metal = market.sold("2", by=REFINERY)
    alloy = market.sold("7", by=FOIL, inputs=[bought_of_refinery(market, supplier, metal)])
    line = bought_of_refinery(market, supplier, metal, false_key(origin))
    paint = market.sold("7", inputs=[line])
    coat = market.sold("7", inputs=[market.bought(LIAR, paint, "1")])
    pack = market.pack(market.bought(FOIL, alloy, "1"), market.bought(LIAR, coat, "1"))

    outcome = market.run(pack)

    [reason] = outcome.gaps
    require_refused(reason, origin, false_key(origin), "not that log's")
    assert outcome.total == outcome.report.total == 27 + 7 + 2 + 7 + 7


def test_a_supplier_whom_nobody_can_find_is_a_gap(market: Any, supplier: Any) -> None:
    nowhere = supplier(market.member(REFINERY))
    nowhere = type(nowhere)(origin="nowhere.example", key=false_key("nowhere.example"))
    paint = market.sold(
        "7", inputs=[market.bought(REFINERY, "urn:bcca:t:x", "1", supplier=nowhere)]
    )
    pack = market.pack(market.bought(LIAR, paint, "1"))

    reason = market.gap_of(market.run(pack), "urn:bcca:t:x", "nowhere.example", {paint, pack}, "34")

    require_refused(reason, "log nowhere.example: neither the policy nor a customer of it says")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.2:1", "127.0.0.2 is a private address"),
        ("http://169.254.169.254", "169.254.169.254 is a private address"),
        ("ftp://127.0.0.1", "not a URL of http or https"),
    ],
)
def test_a_supplier_introduced_at_a_private_address_is_a_gap(
    market: Any, supplier: Any, lies: Any, url: str, said: str
) -> None:
    metal = market.sold("2", by=REFINERY)
    paint = market.sold("7", inputs=[bought_of_refinery(market, supplier, metal)])
    pack = market.pack(market.bought(LIAR, paint, "1"))
    true = market.member(REFINERY).url
    market.lies(
        "/.well-known/bcca.json",
        lies.changes(lambda body: body.replace(true.encode(), url.encode())),
    )

    outcome = market.run(pack)

    reason = market.gap_of(outcome, metal, market.origin(REFINERY), {paint, pack}, "34")
    require_refused(reason, said)


def test_a_supplier_introduced_at_the_liars_own_address_is_a_gap(
    market: Any, supplier: Any, lies: Any
) -> None:
    metal = market.sold("2", by=REFINERY)
    paint = market.sold("7", inputs=[bought_of_refinery(market, supplier, metal)])
    pack = market.pack(market.bought(LIAR, paint, "1"))
    true, own = (market.member(name).url.encode() for name in (REFINERY, LIAR))
    market.lies("/.well-known/bcca.json", lies.changes(lambda body: body.replace(true, own)))

    outcome = market.run(pack)

    reason = market.gap_of(outcome, metal, market.origin(REFINERY), {paint, pack}, "34")
    require_refused(reason, market.origin(LIAR), market.origin(REFINERY))


def test_forging_needs_the_keys_of_a_quorum(market: Any) -> None:
    true = entries(market)
    note = Note.parse(forged(market, true).decode())

    with pytest.raises(BccaError, match="not signed by"):
        checkpoint.verify_cosignature(
            note.signatures[1],
            note.text + "x\n",
            market.member(HONEST).node.keystore.record(Role.WITNESS).key,
        )
