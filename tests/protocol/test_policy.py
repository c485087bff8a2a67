from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, permutations, product

import pytest

from bcca_protocol.checkpoint import Checkpoint, cosign, sign_checkpoint
from bcca_protocol.errors import MalformedError, PolicyError, QuorumError, SignatureError
from bcca_protocol.keys import Algorithm, SeedSigner
from bcca_protocol.limits import MAX_CLOCK_SKEW_SECONDS, MAX_POLICY_BYTES, MAX_POLICY_LINES
from bcca_protocol.merkle import leaf_hash
from bcca_protocol.note import Note
from bcca_protocol.policy import Group, Policy, VerifiedCheckpoint, verify_checkpoint

ORIGIN = "cathode.example/bcca"
AT = 1_767_225_600
NAMES = ("w1", "w2", "w3", "w4", "w5")


def log_signer(origin: str = ORIGIN, seed: bytes = b"l" * 32) -> SeedSigner:
    return SeedSigner(name=origin, algorithm=Algorithm.ED25519, seed=seed)


def witness_signer(name: str, seed: bytes | None = None) -> SeedSigner:
    return SeedSigner(
        name=name,
        algorithm=Algorithm.ED25519_COSIGNATURE,
        seed=name.encode().ljust(32, b".") if seed is None else seed,
    )


LOG = log_signer()
OTHER_LOG = log_signer("anode.example/bcca", b"o" * 32)
WITNESSES = {name: witness_signer(f"{name}.example") for name in NAMES}
CHECKPOINT = Checkpoint(origin=ORIGIN, size=1, root=leaf_hash(b"an entry"))
SIGNED = sign_checkpoint(CHECKPOINT, [LOG])


def witness_lines(witnesses: Mapping[str, SeedSigner]) -> str:
    return "".join(f"witness {name} {each.key.encode()}\n" for name, each in witnesses.items())


def policy_of(rule: str, witnesses: Mapping[str, SeedSigner] = WITNESSES) -> Policy:
    return Policy.parse(witness_lines(witnesses) + rule)


FOUR_OF_FIVE = policy_of(f"group g 4 {' '.join(NAMES)}\nquorum g\n")


def cosigned(times: Mapping[str, int], note: Note = SIGNED) -> str:
    """Return `note` cosigned by each witness at its time."""
    lines = (cosign(note.text, WITNESSES[name], at=at) for name, at in times.items())
    return note.with_signatures(lines).encode()


def by(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, AT)


# The text


def test_a_policy_names_logs_witnesses_and_a_quorum() -> None:
    policy = Policy.parse(
        "# whom we believe\n\n"
        f"log {LOG.key.encode()} https://cathode.example/bcca/log\n"
        f"\tlog\t{OTHER_LOG.key.encode()}  \n"
        + witness_lines(WITNESSES)
        + f"witness\t w6  {witness_signer('w6.example').key.encode()} http://w6.example\n"
        "  # two of these are one company\n"
        "group pair any w5 w6\n"
        "group all-four 4 w1 w2 w3 w4\n"
        "quorum all-four"
    )

    assert policy.logs.keys() == {ORIGIN, "anode.example/bcca"}
    assert policy.logs[ORIGIN].key == LOG.key
    assert policy.logs[ORIGIN].url == "https://cathode.example/bcca/log"
    assert policy.logs["anode.example/bcca"].url is None
    assert list(policy.witnesses) == [*NAMES, "w6"]
    assert policy.witnesses["w1"].key == WITNESSES["w1"].key
    assert policy.witnesses["w6"].url == "http://w6.example"
    assert policy.groups["pair"].threshold == 1
    assert policy.groups["all-four"].members == ("w1", "w2", "w3", "w4")
    assert policy.survives == 3


RULE = "group g all w1 w2 w3\nquorum g\n"  # lines 6 and 7, after the witnesses


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 0, "none was a quorum"),
        ("group g 4 w1 w2 w3 w4 w5\n", 6, "none was a quorum"),
        ("quorum none\n", 6, "f = 0"),
        (RULE + "quorum g\n", 8, "second quorum"),
        (RULE + "quorum none\n", 8, "second quorum"),
        ("quorum g\n" + RULE, 6, "'g' is no witness or group of an earlier line"),
        ("quorum w9\n", 6, "'w9'"),
        ("quorum\n", 6, "no known line"),
        ("quorum w1 w2\n", 6, "no known line"),
        ("Quorum w1\n", 6, "no known line"),
        ("group g all\n", 6, "no known line"),
        ("group g all w1 w9\n", 6, "'w9'"),
        ("group g all w1 g\n", 6, "'g'"),
        ("group g all w1 none\n", 6, "'none'"),
        ("group g all w1 w2 w1\n", 6, "'w1' is a member twice"),
        ("group g any w1 w2\ngroup h any w2 w3\n", 7, "'w2' is a member twice"),
        ("group g any w1\ngroup h any w2 g\ngroup i any w3 g\n", 8, "'g' is a member twice"),
        ("group w1 any w2 w3\n", 6, "'w1' is taken"),
        ("group none any w2 w3\n", 6, "'none' is taken"),
        ("group g any w1\ngroup g any w2\n", 7, "'g' is taken"),
        ("group g 0 w1 w2\n", 6, "0 of 2"),
        ("group g 3 w1 w2\n", 6, "3 of 2"),
        ("group g 01 w1 w2\n", 6, "leading zero"),
        ("group g -1 w1 w2\n", 6, "not a whole number"),
        ("group g \u0661 w1 w2\n", 6, "not a whole number"),
        ("group g 1.0 w1 w2\n", 6, "not a whole number"),
        ("group g both w1 w2\n", 6, "not a whole number"),
        (f"witness w1 {witness_signer('x').key.encode()}\n", 6, "'w1' is taken"),
        (f"witness none {witness_signer('x').key.encode()}\n", 6, "'none' is taken"),
        (f"witness w6 {LOG.key.encode()}\n", 6, "not ED25519_COSIGNATURE"),
        (f"log {witness_signer('x').key.encode()}\n", 6, "not ED25519"),
        (f"log {'0' * 64}\n", 6, "verifier key"),
        (f"log {LOG.key.encode()} https://a.example b\n", 6, "no known line"),
        (f"log {LOG.key.encode()} file:///etc/passwd\n", 6, "http"),
        (f"log {LOG.key.encode()}\nlog {LOG.key.encode()}\n", 7, "earlier line"),
        (f"log {LOG.key.encode()}\nlog {log_signer(seed=b'n' * 32).key.encode()}\n", 7, "twice"),
        ("\n# \x1b[2J\n", 7, "control character"),
        ("group g all w1 w2 w3\r\n", 6, "control character"),
        ("group g all w1\u00a0w2\n", 6, "'w1\\\\xa0w2'"),
    ],
)
def test_a_policy_with_a_fault_is_refused_by_its_line(text: str, line: int, reason: str) -> None:
    witnesses = witness_lines(WITNESSES) if line else ""

    with pytest.raises(PolicyError, match=rf"line {line}: .*{reason}"):
        Policy.parse(witnesses + text)


@pytest.mark.parametrize("name", ["another.example", "w1.example"])
def test_one_witness_under_two_names_is_refused(name: str) -> None:
    alias = witness_signer(name, WITNESSES["w1"].seed)

    with pytest.raises(PolicyError, match=r"line 6: the public key .* stands on an earlier line"):
        policy_of(f"witness w6 {alias.key.encode()}\n")


def test_a_log_that_is_its_own_witness_is_refused() -> None:
    own = witness_signer("another.example", LOG.seed)

    with pytest.raises(PolicyError, match="earlier line"):
        policy_of(f"log {LOG.key.encode()}\nwitness w6 {own.key.encode()}\n")


def test_a_policy_over_a_limit_is_refused() -> None:
    with pytest.raises(PolicyError, match=f"line {MAX_POLICY_LINES + 1}: at most"):
        Policy.parse("\n" * MAX_POLICY_LINES)
    with pytest.raises(PolicyError, match="bytes"):
        Policy.parse("# " + "é" * (MAX_POLICY_BYTES // 2))


def test_a_tower_of_groups_as_high_as_a_policy_may_be_is_read() -> None:
    levels = MAX_POLICY_LINES - len(NAMES) - 2
    tower = "".join(f"group g{n + 1} all g{n}\n" for n in range(levels - 1))

    policy = policy_of(f"group g0 4 {' '.join(NAMES)}\n{tower}quorum g{levels - 1}\n")

    assert policy.survives == 2
    assert policy.is_quorum(NAMES[1:])
    assert not policy.is_quorum(NAMES[2:])


# Quorums, and the liars they survive


def subsets(names: tuple[str, ...]) -> Iterator[frozenset[str]]:
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("k", range(1, 6))
def test_f_liars_are_survived_where_2k_exceeds_n_plus_f(k: int, n: int) -> None:
    rule = f"group g {k} {' '.join(NAMES[:n])}\nquorum g\n"
    f = 2 * k - n - 1

    if k > n:
        with pytest.raises(PolicyError, match=f"{k} of {n} members"):
            policy_of(rule)
    elif f < 1:
        with pytest.raises(PolicyError, match=f"k = {k} of n = {n}: .* f = 0 liars"):
            policy_of(rule)
    else:
        policy = policy_of(rule)

        assert policy.survives == f
        assert all(policy.is_quorum(each) is (len(each) >= k) for each in subsets(NAMES[:n]))


def test_a_quorum_of_one_witness_survives_no_liar() -> None:
    with pytest.raises(PolicyError, match=r"one witness: .* f = 0 liars"):
        policy_of("quorum w1\n")


def nested_rules() -> list[str]:
    """Return all rules of k of two inner groups and a fifth witness."""
    rules = []
    for split, k in product(range(1, 4), range(1, 4)):
        left, right = NAMES[:split], NAMES[split:4]
        for i, j in product(range(1, len(left) + 1), range(1, len(right) + 1)):
            rules.append(
                f"group left {i} {' '.join(left)}\ngroup right {j} {' '.join(right)}\n"
                f"group g {k} left right w5\nquorum g\n"
            )
    return rules


@pytest.mark.parametrize("rule", nested_rules())
def test_no_two_quorums_share_fewer_witnesses_than_a_policy_says(rule: str) -> None:
    """The count is exact: compared with all pairs of quorums there are."""
    evaluate = replace(FOUR_OF_FIVE, groups=groups_of(rule), quorum="g").is_quorum
    quorums = [each for each in subsets(NAMES) if evaluate(each)]
    shared = min(len(one & other) for one, other in product(quorums, quorums))

    if shared > 1:
        assert policy_of(rule).survives == shared - 1
    else:
        with pytest.raises(PolicyError, match=f"share {shared} witnesses"):
            policy_of(rule)


def groups_of(rule: str) -> Mapping[str, Group]:
    """Return the groups of a rule, whether or not it survives anybody."""
    found = {}
    for line in rule.splitlines()[:-1]:
        _, name, k, *members = line.split()
        found[name] = Group(name=name, threshold=int(k), members=tuple(members))
    return found


def test_the_name_of_a_group_is_no_vote() -> None:
    policy = policy_of("group g all w1 w2 w3\nquorum g\n")

    assert not policy.is_quorum({"g"})
    assert not policy.is_quorum({"w1", "w2", "w9", "none"})


# Checkpoints


def test_a_checkpoint_of_a_quorum_is_believed() -> None:
    text = cosigned({"w5": AT, "w1": AT + 1, "w2": AT + 2, "w3": AT + 3})

    head = verify_checkpoint(text, LOG.key, FOUR_OF_FIVE)

    assert head.checkpoint == CHECKPOINT
    assert head.note.encode() == text
    assert head.key == LOG.key
    assert head.witnesses == ("w1", "w2", "w3", "w5")
    assert head.time == AT


def test_a_checkpoint_below_quorum_is_refused() -> None:
    with pytest.raises(QuorumError, match=r"size 1: cosigned by w1, w2, w3, .*k = 4 of n = 5"):
        verify_checkpoint(cosigned(by("w1", "w2", "w3")), LOG.key, FOUR_OF_FIVE)
    with pytest.raises(QuorumError, match="nobody"):
        verify_checkpoint(SIGNED.encode(), LOG.key, FOUR_OF_FIVE)


def test_a_witness_that_cosigns_twice_counts_once() -> None:
    lines = [cosign(SIGNED.text, WITNESSES[name], at=AT) for name in ("w1", "w2", "w3", "w3")]

    with pytest.raises(QuorumError):
        verify_checkpoint(SIGNED.with_signatures(lines).encode(), LOG.key, FOUR_OF_FIVE)


@pytest.mark.parametrize(
    "own",
    [
        witness_signer(ORIGIN, b"another key of the same company."),
        witness_signer("elsewhere.example", LOG.seed),
    ],
)
def test_a_logs_own_cosignature_does_not_complete_its_quorum(own: SeedSigner) -> None:
    witnesses = WITNESSES | {"w5": own}
    policy = policy_of(f"group g 4 {' '.join(NAMES)}\nquorum g\n", witnesses)
    lines = [cosign(SIGNED.text, witnesses[name], at=AT) for name in NAMES]

    with pytest.raises(QuorumError, match="cosigned by w1, w2, w3, which"):
        note = SIGNED.with_signatures([*lines[:3], lines[4]])
        verify_checkpoint(note.encode(), LOG.key, policy)
    head = verify_checkpoint(SIGNED.with_signatures(lines).encode(), LOG.key, policy)
    assert head.witnesses == NAMES[:4]


def test_a_witness_whose_log_is_another_counts() -> None:
    witnesses = WITNESSES | {"w5": witness_signer(OTHER_LOG.key.name)}
    policy = policy_of(f"group g 4 {' '.join(NAMES)}\nquorum g\n", witnesses)
    lines = [cosign(SIGNED.text, witnesses[name], at=AT) for name in NAMES[1:]]

    head = verify_checkpoint(SIGNED.with_signatures(lines).encode(), LOG.key, policy)

    assert head.witnesses == NAMES[1:]


@pytest.mark.parametrize(
    "stranger", [witness_signer("w4.example", b"s" * 32), witness_signer("stranger.example")]
)
def test_a_stranger_is_ignored_even_under_a_witnesss_name(stranger: SeedSigner) -> None:
    note = SIGNED.with_signatures([cosign(SIGNED.text, stranger, at=AT)])

    with pytest.raises(QuorumError, match="cosigned by w1, w2, w3, which"):
        verify_checkpoint(cosigned(by("w1", "w2", "w3"), note), LOG.key, FOUR_OF_FIVE)
    head = verify_checkpoint(cosigned(by("w1", "w2", "w3", "w5"), note), LOG.key, FOUR_OF_FIVE)
    assert head.witnesses == ("w1", "w2", "w3", "w5")


def test_one_forged_cosignature_refuses_what_a_quorum_stands_behind() -> None:
    forged = replace(cosign(SIGNED.text, WITNESSES["w5"], at=AT), blob=bytes(72))
    elsewhere = cosign(replace(CHECKPOINT, size=2).encode(), WITNESSES["w5"], at=AT)
    honest = cosign(SIGNED.text, WITNESSES["w5"], at=AT)
    later = replace(honest, blob=(AT + 1).to_bytes(8) + honest.blob[8:])

    for line in (forged, elsewhere, later):
        note = SIGNED.with_signatures([line])
        with pytest.raises(SignatureError, match=r"w5\.example"):
            verify_checkpoint(cosigned(by(*NAMES[:4]), note), LOG.key, FOUR_OF_FIVE)


def test_a_checkpoint_that_its_log_did_not_sign_is_refused() -> None:
    thief = log_signer(seed=b"t" * 32)
    for note in (
        sign_checkpoint(CHECKPOINT, [thief]),
        replace(SIGNED, text=replace(CHECKPOINT, size=2).encode()),
    ):
        with pytest.raises(SignatureError):
            verify_checkpoint(cosigned(by(*NAMES), note), LOG.key, FOUR_OF_FIVE)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = sign_checkpoint(replace(CHECKPOINT, origin=OTHER_LOG.key.name), [OTHER_LOG])
    text = cosigned(by(*NAMES), note)

    assert verify_checkpoint(text, OTHER_LOG.key, FOUR_OF_FIVE).checkpoint.size == 1
    with pytest.raises(SignatureError, match=r"of 'anode\.example/bcca', not of 'cathode"):
        verify_checkpoint(text, LOG.key, FOUR_OF_FIVE)


def test_a_cosigners_key_is_no_log_key() -> None:
    own = witness_signer(ORIGIN, LOG.seed)
    note = Note(text=SIGNED.text, signatures=(cosign(SIGNED.text, own, at=AT),))

    with pytest.raises(SignatureError, match="not of"):
        verify_checkpoint(cosigned(by(*NAMES), note), own.key, FOUR_OF_FIVE)


@pytest.mark.parametrize("text", ["", "hello\n", SIGNED.encode()[:-1], SIGNED.encode() + "\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        verify_checkpoint(text, LOG.key, FOUR_OF_FIVE)


# Freshness


@pytest.mark.parametrize("late", list(permutations(range(5))))
def test_a_checkpoint_is_as_old_as_the_fourth_youngest_of_its_cosignatures(
    late: tuple[int, ...],
) -> None:
    times = {name: AT + days * 86_400 for name, days in zip(NAMES, late, strict=True)}

    assert verify_checkpoint(cosigned(times), LOG.key, FOUR_OF_FIVE).time == AT + 86_400


def test_one_witness_that_the_quorum_needs_makes_a_checkpoint_old() -> None:
    policy = policy_of("group any2 2 w1 w2 w3\ngroup g all any2 w4 w5\nquorum g\n")
    times = {"w1": AT + 9, "w2": AT + 8, "w3": AT + 7, "w4": AT + 9, "w5": AT}

    assert verify_checkpoint(cosigned(times), LOG.key, policy).time == AT
    assert verify_checkpoint(cosigned(times | {"w5": AT + 9}), LOG.key, policy).time == AT + 8


def test_a_witness_that_cosigns_again_is_fresh_again() -> None:
    note = SIGNED.with_signatures([cosign(SIGNED.text, WITNESSES["w1"], at=AT + 9)])
    text = cosigned({"w1": AT} | dict.fromkeys(("w2", "w3", "w4"), AT + 5), note)

    assert verify_checkpoint(text, LOG.key, FOUR_OF_FIVE).time == AT + 5


def test_cosignatures_from_the_future_are_ignored() -> None:
    times = by(*NAMES[:3]) | {"w4": AT + MAX_CLOCK_SKEW_SECONDS}
    future = times | {"w4": AT + MAX_CLOCK_SKEW_SECONDS + 1}

    assert verify_checkpoint(cosigned(times), LOG.key, FOUR_OF_FIVE, at=AT).time == AT
    assert verify_checkpoint(cosigned(future), LOG.key, FOUR_OF_FIVE).time == AT
    with pytest.raises(QuorumError, match="cosigned by w1, w2, w3, which"):
        verify_checkpoint(cosigned(future), LOG.key, FOUR_OF_FIVE, at=AT)


# Facts


def test_nobody_else_makes_a_verified_checkpoint() -> None:
    head = verify_checkpoint(cosigned(by(*NAMES)), LOG.key, FOUR_OF_FIVE)

    with pytest.raises(TypeError):
        VerifiedCheckpoint(
            maker=None,
            checkpoint=head.checkpoint,
            note=head.note,
            key=head.key,
            time=head.time,
            witnesses=head.witnesses,
        )
    with pytest.raises(ValueError, match="maker"):
        replace(head, time=head.time + 1)  # type: ignore[call-arg]  # the maker is not given
