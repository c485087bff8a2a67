"""Statements that lie, each in both ways of checking, and then in a run of the pack maker.

Where the liar's true log holds the statement, its true app serves it; where it does not, its app
is made to. Either way the run goes on: `market.gap` checks what is left of it.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bcca_node.network.lines import Item
from bcca_protocol.entry import KeyAdd, KeyRetire, Status, StatusEntry, status_handle
from bcca_protocol.envelope import Envelope, EnvelopeSignature, pae, sign
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Allocation, CoProduct, Electricity
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.limits import MAX_STATEMENT_BYTES
from bcca_protocol.statement import Product
from bcca_protocol.verify import PAYLOAD_TYPE
from bcca_protocol.wire import unb64

LIAR, HONEST = "cathode", "cell"


def name_of(envelope: bytes) -> str:
    """Return the commitment of an envelope."""
    found = Envelope.parse(envelope)
    return hashlib.sha256(pae(found.payload_type, found.payload)).hexdigest()


def altered(signed: Envelope, **changed: Any) -> bytes:
    told = {
        "payload_type": signed.payload_type,
        "payload": signed.payload,
        "signatures": signed.signatures,
    }
    return Envelope(**{**told, **changed}).encode()


def require_refused(reason: str | None, *parts: str) -> None:
    """Fail unless a reason holds all of `parts`."""
    assert reason is not None
    assert [part for part in parts if part not in reason] == []


def require_refused_both_ways(market: Any, product: str, envelope: bytes, *parts: str) -> None:
    """Fail unless bulk, alone and the run refuse a logged statement in the same words."""
    name = name_of(envelope)
    ways = market.both_ways(envelope, proof_of=name)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, name, market.origin(LIAR), *parts)


def enter(market: Any, payload: bytes, product: str) -> bytes:
    """Sign and enter a payload as it is."""
    found: bytes = market.enter(market.signed(payload), product)
    return found


def test_what_is_in_order_is_added_up(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)

    ways = market.both_ways(item.envelope, proof_of=item.commitment)
    outcome = market.run(market.pack(market.bought(LIAR, product, "3")))

    assert (ways.bulk, ways.alone) == (None, None)
    assert outcome.total == outcome.report.total == 27 + 3 * 7
    assert outcome.gaps == []
    assert not outcome.report.incomplete


def test_a_changed_number_under_the_old_signature_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    signed = Envelope.parse(item.envelope)
    payload = signed.payload.replace(b'"7"', b'"6"')
    changed = altered(signed, payload=payload)
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=changed))

    ways = market.both_ways(changed, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, f"statement {name_of(changed)}", "step 3 (entry)", "holds no entry")


def test_a_garbage_signature_over_a_logged_payload_holds_in_bulk_and_is_refused_alone(
    market: Any,
) -> None:
    product = market.new_urn(LIAR)
    true = market.signed(market.payload(market.part(LIAR, product, "7")))
    garbage = EnvelopeSignature(keyid=true.signatures[0].keyid, signature=bytes(range(64)))
    made = Envelope(payload_type=PAYLOAD_TYPE, payload=true.payload, signatures=(garbage,))
    shown = market.enter(made, product)

    ways = market.both_ways(shown, proof_of=name_of(shown))

    assert ways.bulk is None  # its issuer logged the hash of this very signature
    for reason in (ways.alone, market.gap(product)):
        require_refused(reason, name_of(shown), "step 8 (signature)", f"by {garbage.keyid}")


def test_another_signature_than_the_one_that_was_logged_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    signed = Envelope.parse(item.envelope)
    garbage = EnvelopeSignature(keyid=signed.signatures[0].keyid, signature=bytes(64))
    shown = altered(signed, signatures=(garbage,))
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=shown))

    ways = market.both_ways(shown, proof_of=item.commitment)

    hashes = [
        hashlib.sha256(each).hexdigest() for each in (bytes(64), signed.signatures[0].signature)
    ]
    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, item.commitment, "step 4 (key)", *hashes)


def test_a_re_signed_number_that_is_not_in_the_log_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    shown = market.signed(market.payload(market.part(LIAR, product, "6"))).encode()
    market.shows(Item(commitment=name_of(shown), index=item.index, envelope=shown))

    ways = market.both_ways(shown, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, f"statement {name_of(shown)}", "step 3 (entry)", "holds no entry")


def test_a_proof_for_another_leaf_is_refused(market: Any) -> None:
    [item] = market.items(market.sold("7"))
    [other] = market.items(market.sold("8"))

    ways = market.both_ways(item.envelope, proof_of=other.commitment)

    assert ways.bulk is None  # no proof is needed where the whole log is read
    require_refused(
        ways.alone,
        item.commitment,
        "step 9 (inclusion)",
        f"leaf {other.index}, ",
        f"leaf {item.index}",
    )


def test_a_proof_for_another_leaf_under_the_right_index_is_refused(market: Any, lies: Any) -> None:
    [item] = market.items(market.sold("7"))
    [other] = market.items(market.sold("8"))
    right, wrong = (f"index {each.index}\n".encode() for each in (item, other))
    market.lies(
        f"/statements/{other.commitment}/proof",
        lies.changes(lambda body: body.replace(wrong, right)),
    )

    ways = market.both_ways(item.envelope, proof_of=other.commitment)

    require_refused(ways.alone, item.commitment, "step 9 (inclusion)", "ProofError")


def test_a_key_used_after_its_retirement_is_refused(market: Any) -> None:
    seed = hashlib.sha256(b"retired").digest()
    retired = SeedSigner(name=market.origin(LIAR), algorithm=Algorithm.ED25519, seed=seed)
    added = market.append(KeyAdd(role=Role.STATEMENT, key=retired.key).encode())
    at = market.append(KeyRetire(add=added).encode())
    product = market.new_urn(LIAR)
    payload = market.payload(market.part(LIAR, product, "7"))
    shown = market.enter(sign(PAYLOAD_TYPE, payload, retired), product, key=added)

    require_refused_both_ways(
        market,
        product,
        shown,
        "step 4 (key)",
        f"entry {at + 1} by key {added}",
        f"retired at entry {at}",
    )


def test_a_key_of_another_role_is_refused(market: Any) -> None:
    node = market.member(LIAR).node
    product = market.new_urn(LIAR)
    payload = market.payload(market.part(LIAR, product, "7"))
    made = sign(PAYLOAD_TYPE, payload, node.keys.signer(Role.REQUEST))
    shown = market.enter(made, product, key=node.keystore.record(Role.REQUEST).index)

    require_refused_both_ways(
        market, product, shown, "step 4 (key)", "a request key, where a statement key belongs"
    )


def test_a_statement_for_another_product_is_refused(market: Any) -> None:
    product, other = market.sold("7"), market.sold("0.1")
    [item] = market.items(other)
    market.shows(item)

    reason = market.gap(product)

    require_refused(
        reason, item.commitment, market.origin(LIAR), f"about {other}, where {product} was"
    )


def test_a_subject_that_is_not_its_product_is_refused(market: Any) -> None:
    product, other = market.new_urn(LIAR), market.new_urn(LIAR)
    payload = market.payload(market.part(LIAR, product, "7"))
    head, subject, tail = payload.partition(b'"subject":')
    shown = enter(market, head + subject + tail.replace(product.encode(), other.encode()), product)

    require_refused_both_ways(
        market, product, shown, "step 6 (subject and issuer)", f"subject {other}, product {product}"
    )


def test_a_statement_of_another_issuer_is_refused(market: Any) -> None:
    product, other = market.new_urn(LIAR), market.origin(HONEST)
    stolen = msgspec.structs.replace(market.part(LIAR, product, "7"), issuer=other)
    shown = enter(market, market.payload(stolen), product)

    require_refused_both_ways(
        market, product, shown, "step 6 (subject and issuer)", f"issued by {other}, "
    )


def test_a_true_statement_of_somebody_else_is_refused_in_the_liars_log(market: Any) -> None:
    product = market.sold("7", by=HONEST)
    [item] = market.items(product, of=HONEST)
    [own] = market.items(market.sold("8"))
    market.shows(item)

    ways = market.both_ways(item.envelope, proof_of=own.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, item.commitment, market.origin(LIAR), "step 3 (entry)")


def test_own_lines_that_do_not_sum_are_refused(market: Any) -> None:
    product = market.new_urn(LIAR)
    less = Stages(production=Components(fossil="6"))
    shown = enter(market, market.payload(market.part(LIAR, product, "7", footprint=less)), product)

    require_refused_both_ways(
        market,
        product,
        shown,
        "step 7 (content)",
        "footprint production.fossil is written as 6, its own lines give 7",
    )


def test_an_allocation_that_does_not_add_up_is_refused(market: Any) -> None:
    product = market.new_urn(LIAR)
    halved = Allocation(
        basis="mass",
        joint_process="smelting",
        weight="1",
        co_products=(CoProduct(name="slag", amount="1", unit="kg", weight="1"),),
    )
    stated = market.part(
        LIAR,
        product,
        "7",
        activities=(market.activity("L1", "7", joint=True),),
        allocation=halved,
        footprint=Stages(production=Components(fossil="2.8")),
    )
    shown = enter(market, market.payload(stated), product)

    require_refused_both_ways(
        market,
        product,
        shown,
        "step 7 (content)",
        "footprint production.fossil is written as 2.8, its own lines give 3.5",
    )


def test_a_unit_that_does_not_fit_within_a_line_is_refused(market: Any) -> None:
    product = market.new_urn(LIAR)
    stated = market.part(
        LIAR,
        product,
        "7",
        activities=(market.activity("L1", "7", unit="kWh"),),
        footprint=Stages(production=Components(fossil="7")),
    )
    shown = enter(market, market.payload(stated), product)

    require_refused_both_ways(
        market, product, shown, "step 7 (content)", "line L1", "7 kWh (energy)", "in kg (mass)"
    )


def test_a_unit_that_does_not_fit_between_buyer_and_seller_is_a_gap(market: Any) -> None:
    product = market.sold("7")

    reason = market.gap(product, unit="kWh")

    require_refused(reason, product, market.origin(LIAR), "3 kWh (energy)", "in kg (mass)")


def number(written: bytes) -> Callable[[bytes], bytes]:
    """Return how the amount of the own line is written instead of "7"."""
    return lambda payload: payload.replace(b'"amount":"7"', b'"amount":' + written)


def figure(written: bytes) -> Callable[[bytes], bytes]:
    """Return how the factor of the own line is written instead of "1"."""
    return lambda payload: payload.replace(b'"fossil":"1"', b'"fossil":' + written)


NOT_CANONICAL = {
    "a duplicate key": (b'"7","amount":"7"', b'"1","fossil":"1"'),
    "a JSON number": (b"7", b"1"),
    "an exponent": (b'"1E-7"', b'"1E-7"'),
    "a negative zero": (b'"-0"', b'"-0"'),
    "a line feed behind a number": (b'"1\\n"', b'"1\\n"'),
    "Arabic digits": ('"\u0667"'.encode(), '"\u0661"'.encode()),
    "escaped digits": (b'"\\u0037"', b'"\\u0031"'),
    "a space": (b' "7"', b' "1"'),
    "a plus sign": (b'"+7"', b'"+1"'),
    "a leading zero": (b'"07"', b'"01"'),
    "not a number": (b'"NaN"', b'"NaN"'),
    "half a surrogate": (b'"\\ud800"', b'"\\ud800"'),
    "a byte that is no UTF-8": (b'"\xff"', b'"\xff"'),
}


@pytest.mark.parametrize("written", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_a_statement_that_is_not_canonical_is_refused(
    market: Any, written: tuple[bytes, bytes]
) -> None:
    amount, factor = written
    product = market.new_urn(LIAR)
    payload = market.payload(market.part(LIAR, product, "7"))
    forms = [market.signed(each(payload)) for each in (number(amount), figure(factor))]

    for shown in market.enter_all([(each, product) for each in forms]):
        ways = market.both_ways(shown, proof_of=name_of(shown))
        for reason in (ways.bulk, ways.alone):
            require_refused(reason, "MalformedError", name_of(shown), "refused at step")


def test_statements_that_are_not_canonical_are_gaps_and_the_rest_is_added_up(market: Any) -> None:
    products = [market.new_urn(LIAR) for _ in NOT_CANONICAL]
    payloads = [market.payload(market.part(LIAR, each, "7")) for each in products]
    forms = [
        market.signed(figure(factor)(payload))
        for payload, (_, factor) in zip(payloads, NOT_CANONICAL.values(), strict=True)
    ]
    shown = market.enter_all(list(zip(forms, products, strict=True)))
    honest = market.sold("7")

    outcome = market.run(
        market.pack(*(market.bought(LIAR, each, "1") for each in (honest, *products)))
    )

    troubles = outcome.run.sum.collected.troubles
    assert outcome.total == outcome.report.total == 27 + 7
    assert outcome.gaps == [troubles[market.origin(LIAR), each] for each in products]
    for envelope, reason in zip(shown, outcome.gaps, strict=True):
        require_refused(reason, name_of(envelope), market.origin(LIAR), "refused at step")


@pytest.mark.parametrize("written", [b'"1E-7"', b'"-0"', b"7"])
def test_a_number_that_nobody_adds_up_is_checked_as_well(market: Any, written: bytes) -> None:
    """The grid's factor stands beside the market's, and the statement gives no result of it."""
    product = market.new_urn(LIAR)
    grid = market.activity("L1", "7", "3.25").factor
    line = market.activity(
        "L1",
        "7",
        kind="energy",
        electricity=Electricity(supply="grid", location_factor=grid),
    )
    stated = market.part(
        LIAR,
        product,
        "7",
        activities=(line,),
        footprint=Stages(production=Components(fossil="7")),
    )
    payload = market.payload(stated).replace(b'"3.25"', written)
    [shown] = market.enter_all([(market.signed(payload), product)])

    ways = market.both_ways(shown, proof_of=name_of(shown))

    for reason in (ways.bulk, ways.alone):
        require_refused(reason, "MalformedError", name_of(shown), "refused at step")


def test_a_statement_nested_10_000_deep_is_refused(market: Any) -> None:
    product = market.new_urn(LIAR)
    shown = enter(market, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, product)

    require_refused_both_ways(market, product, shown, "step 5 (payload)")


def test_an_envelope_with_something_10_000_deep_beside_its_payload_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    deep = b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"," + item.envelope[1:]
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=deep))

    ways = market.both_ways(deep, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, market.origin(LIAR), "step 1 (envelope)")


def test_a_statement_longer_than_any_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    signed = Envelope.parse(item.envelope)
    more = (MAX_STATEMENT_BYTES - len(item.envelope)) * 3 // 4 + 3
    long = altered(signed, payload=signed.payload + b" " * more)
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=long))

    ways = market.both_ways(long, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, market.origin(LIAR), "step 1 (envelope)", "over 1048576")


@pytest.mark.parametrize("name", ["\x1b[2J\x1b[31mcell", "\u202ellec", "cell\x9b2J"])
def test_terminal_escapes_in_a_product_name_are_refused(market: Any, name: str) -> None:
    product = market.new_urn(LIAR)
    stated = msgspec.structs.replace(
        market.part(LIAR, product, "7"), product=Product(id=product, name=name)
    )
    shown = enter(market, market.payload(stated), product)

    require_refused_both_ways(market, product, shown, "step 5 (payload)", "control characters")


def test_two_signatures_are_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    signed = Envelope.parse(item.envelope)
    shown = altered(signed, signatures=signed.signatures * 2)
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=shown))

    ways = market.both_ways(shown, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, "step 1 (envelope)", "2 signatures, where exactly one belongs")


def test_another_payload_type_is_refused(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    shown = altered(Envelope.parse(item.envelope), payload_type="text/\x1b[31m")
    market.shows(Item(commitment=item.commitment, index=item.index, envelope=shown))

    ways = market.both_ways(shown, proof_of=item.commitment)

    for reason in (ways.bulk, ways.alone, market.gap(product)):
        require_refused(reason, "step 1 (envelope)", "text/\\u001b[31m", PAYLOAD_TYPE)


def test_a_revoked_statement_that_is_still_shown_is_a_gap(market: Any) -> None:
    product = market.sold("7")
    [item] = market.items(product)
    payload = msgspec.json.decode(Envelope.parse(item.envelope).payload)
    handle = status_handle(
        unb64(payload["predicate"]["nonce"], "nonce"), bytes.fromhex(item.commitment)
    )
    market.append(StatusEntry(handle=handle, status=Status.REVOKED, successor=None).encode())
    market.shows(item)

    require_refused(market.gap(product), product, market.origin(LIAR), "no current statement")


def test_two_current_statements_for_one_period_are_a_gap_that_shows_both(market: Any) -> None:
    product = market.new_urn(LIAR)
    both = [
        name_of(enter(market, market.payload(market.part(LIAR, product, kg)), product))
        for kg in ("7", "6")
    ]

    require_refused(market.gap(product), product, market.origin(LIAR), *both)


def test_a_statement_that_is_withheld_is_a_gap(market: Any) -> None:
    product = market.sold("7")
    market.shows()

    require_refused(market.gap(product), product, market.origin(LIAR), "no statement for")


def test_a_pinned_statement_that_is_withheld_is_a_gap_that_names_it(market: Any) -> None:
    market.sold("1")  # its log is there
    product = market.new_urn(LIAR)
    pinned = "c0" * 32

    require_refused(market.gap(product, statement=pinned), pinned, product, market.origin(LIAR))


def test_a_lie_about_one_product_leaves_the_liars_others_in_the_total(market: Any) -> None:
    bad, good = market.new_urn(LIAR), market.sold("7")
    less = Stages(production=Components(fossil="6"))
    enter(market, market.payload(market.part(LIAR, bad, "7", footprint=less)), bad)

    outcome = market.run(market.pack(*(market.bought(LIAR, each, "1") for each in (bad, good))))

    [reason] = outcome.gaps
    require_refused(reason, "step 7 (content)")
    assert outcome.total == outcome.report.total == 27 + 7


def test_what_is_missing_further_up_is_told_with_all_that_depends_on_it(market: Any) -> None:
    bad = market.new_urn(LIAR)
    less = Stages(production=Components(fossil="6"))
    enter(market, market.payload(market.part(LIAR, bad, "7", footprint=less)), bad)
    module = market.sold("4", by=HONEST, inputs=[market.bought(LIAR, bad, "1")])
    pack = market.pack(market.bought(HONEST, module, "1"))

    outcome = market.run(pack)

    depend = market.dependents(outcome, bad)
    [missing] = [each for each in outcome.report.unverified if each.startswith("missing: ")]
    assert depend == {module, pack}
    assert outcome.total == outcome.report.total == 27 + 4
    require_refused(missing, bad, f"bought for {module} of {market.origin(HONEST)}", "step 7")
