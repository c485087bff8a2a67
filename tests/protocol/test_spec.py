"""The protocol's texts and its code say the same: sections, limits, fields, units, bytes."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from bcca_protocol import (
    bundle,
    checkpoint,
    errors,
    footprint,
    issue,
    limits,
    merkle,
    quantity,
    rules,
    ruletext,
    statement,
    verify,
    wire,
)
from bcca_protocol.checkpoint import Checkpoint
from bcca_protocol.entry import Genesis, KeyAdd, status_handle
from bcca_protocol.footprint import Components, Stages
from bcca_protocol.inventory import Activity, Amount, Factor, Interval
from bcca_protocol.keys import Algorithm, Role, SeedSigner
from bcca_protocol.own import with_footprint
from bcca_protocol.statement import Method, PartialFootprint, Producer, Product

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
README = (ROOT / "protocol" / "README.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "protocol" / "DECISIONS.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^#{2,4} ([0-9]+(?:\.[0-9]+)*)\.? ", re.MULTILINE)
CITED = re.compile(r"SPEC ([0-9]+(?:\.[0-9]+)*(?:(?:, | and | to )[0-9]+(?:\.[0-9]+)*)*)")
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)*")
STEP = re.compile(r"(?:^ *# |\"\"\"Take step )([0-9])[.:] ", re.MULTILINE)
ITEM = re.compile(r"^([0-9])\. ", re.MULTILINE)
CITING = sorted(
    path
    for folder in ("protocol", "node", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md"} and "SPEC " in path.read_text(encoding="utf-8")
)
NAME = "mine.example/bcca"


def section(number: str) -> str:
    """Return the text of a section, its subsections included."""
    found = list(HEADING.finditer(SPEC))
    start = next(each.start() for each in found if each[1] == number)
    inside = (number, *(each[1] for each in found if each[1].startswith(f"{number}.")))
    after = (each.start() for each in found if each.start() > start and each[1] not in inside)
    return SPEC[start : next(after, len(SPEC))]


def names_in(text: str) -> set[str]:
    """Return every word that stands between backticks, alone or in a list."""
    return {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in quoted.split()}


def limits_by_name() -> dict[str, int]:
    """Return every limit the code has."""
    return {name: value for name, value in vars(limits).items() if name.isupper()}


def fields_of(kind: type[msgspec.Struct]) -> Iterator[str]:
    """Yield the name on the wire of every field in `kind`, however deep."""
    for field in msgspec.structs.fields(kind):
        yield field.encode_name
    for inner in inner_structs(msgspec.inspect.type_info(kind)):
        yield from fields_of(inner)


def inner_structs(form: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that fields of a struct are made of, themselves not opened."""
    match form:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                yield from nested(field.type)


def nested(form: object) -> Iterator[type[msgspec.Struct]]:
    match form:
        case msgspec.inspect.StructType(cls=cls):
            yield cls
        case msgspec.inspect.UnionType(types=types):
            for each in types:
                yield from nested(each)
        case msgspec.inspect.VarTupleType(item_type=item):
            yield from nested(item)
        case msgspec.inspect.TupleType(item_types=items):
            for each in items:
                yield from nested(each)


def seed_signer(
    seed: int, name: str = NAME, algorithm: Algorithm = Algorithm.ED25519
) -> SeedSigner:
    return SeedSigner(name=name, algorithm=algorithm, seed=bytes([seed]) * 32)


def test_sections_are_numbered_without_gaps() -> None:
    numbers = [tuple(map(int, found[1].split("."))) for found in HEADING.finditer(SPEC)]
    last: dict[tuple[int, ...], int] = {}

    for number in numbers:
        assert number[-1] == last.get(number[:-1], 0) + 1, number
        last[number[:-1]] = number[-1]


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_cited_section_exists(path: Path) -> None:
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
    cited = {number for found in CITED.findall(text) for number in NUMBER.findall(found)}

    assert cited - set(HEADING.findall(SPEC)) == set()


@pytest.mark.parametrize("name", limits_by_name())
def test_every_limit_stands_in_section_12_with_its_value(name: str) -> None:
    rows = [line for line in section("12").split("\n") if line.startswith(f"| `{name}` |")]

    assert [row.split("|")[2].strip() for row in rows] == [f"{limits_by_name()[name]:,}"]


def test_section_12_names_no_limit_that_the_code_lacks() -> None:
    named = re.findall(r"^\| `(MAX_[A-Z_]+)`", section("12"), re.MULTILINE)

    assert sorted(named) == sorted(limits_by_name())


@pytest.mark.parametrize(
    "kind", [statement.PartialStatement, statement.RollUpStatement, statement.OpinionStatement]
)
def test_every_field_of_a_statement_stands_in_section_4(kind: type[msgspec.Struct]) -> None:
    named = {name.rstrip("?,") for name in names_in(section("4"))}

    assert set(fields_of(kind)) - named - {"sha256"} == set()


def test_every_field_of_a_bundle_stands_in_section_10() -> None:
    named = {name.rstrip("?,") for name in names_in(section("10.1"))}
    kinds = (bundle.Header, bundle.RuleSet, bundle.LogLine, bundle.StatementLine)

    for kind in (*kinds, bundle.Withheld, bundle.End):
        assert set(fields_of(kind)) - named == set()


def test_every_error_stands_in_section_1_4() -> None:
    named = re.findall(r"^\| `([A-Za-z]+)`", section("1.4"), re.MULTILINE)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]

    assert {*named, "BccaError"} == {kind.__name__ for kind in kinds}


def test_every_unit_stands_in_section_3_5_with_its_dimension_and_factor() -> None:
    rows = re.findall(r"^\| ([^|`]+) \| (`.+) \|$", section("3.5"), re.MULTILINE)
    written = {
        unit: (dimension, Fraction(factor))
        for dimension, units in rows
        for unit, factor in re.findall(r"`([^`]+)` ([0-9/]+)", units)
    }

    assert written == {unit: tuple(scale) for unit, scale in quantity.SCALES.items()}


def test_stages_and_components_stand_in_section_4_5_in_their_order() -> None:
    text = section("4.5")
    stages = re.findall(r"`([A-Za-z]+)`", text[text.index("Stages in order") :].split("\n")[0])
    rows = re.findall(r"^\| `([A-Za-z0-9]+)` \| [^|]+ \| ([a-z]+)", text, re.MULTILINE)

    assert tuple(stages) == footprint.STAGES
    assert tuple(name for name, _ in rows) == footprint.COMPONENTS
    assert tuple(name for name, how in rows if how == "yes") == footprint.EXCLUDING_UPTAKE
    assert {name for name, how in rows if how == "never"} == footprint.OF_WHICH


def test_the_neutral_rules_stand_in_section_9_8_with_their_digests() -> None:
    text = section("9.8")

    for known in (rules.NEUTRAL, rules.NEUTRAL_1):
        assert f"```toml\n{known}```" in text
        assert rules.digest_of(known) in text


def test_every_key_and_every_block_of_the_rules_stands_in_section_9_8() -> None:
    text = section("9.8")

    keys = (*ruletext.RuleFile.__struct_fields__, *ruletext.Functional.__struct_fields__)
    assert [name for name in (*keys, *get_args(ruletext.Block)) if f"`{name}`" not in text] == []


def test_the_steps_of_verify_are_those_of_sections_6_3_and_6_4() -> None:
    code = (ROOT / "protocol" / "bcca_protocol" / "verify.py").read_text(encoding="utf-8")

    assert STEP.findall(code) == ITEM.findall(section("6.3") + section("6.4")) == list("123456789")


def test_the_steps_of_policy_are_those_of_section_6_1_3() -> None:
    code = (ROOT / "protocol" / "bcca_protocol" / "policy.py").read_text(encoding="utf-8")

    assert STEP.findall(code) == ITEM.findall(section("6.1.3")) == list("123456")


def test_the_worked_example_is_what_the_code_does() -> None:
    log, author, recovery = (seed_signer(seed) for seed in (1, 2, 3))
    envelope = issue.issue(nickel_sulfate(), author, bytes([4]) * 32)
    entered = verify.entry_of(envelope, 2)
    genesis = Genesis(recovery_hash=sha256(recovery.key.public).digest())
    entries = [
        genesis.encode(),
        KeyAdd(role=Role.LOG, key=log.key).encode(),
        KeyAdd(role=Role.STATEMENT, key=author.key).encode(),
        entered.encode(),
    ]
    root = merkle.Tree(merkle.leaf_hash(line.encode()) for line in entries).root()
    witness = seed_signer(5, "witness.example", Algorithm.ED25519_COSIGNATURE)
    note = checkpoint.sign_checkpoint(Checkpoint(origin=NAME, size=4, root=root), [log])
    note = note.with_signatures([checkpoint.cosign(note.text, witness, at=1_780_000_000)])
    nonce = wire.unb64(statement.decode(envelope.payload).predicate.nonce, "nonce")
    signed = [envelope.signatures[0].signature, status_handle(nonce, entered.commitment)]

    assert blocks(section("15")) == [
        envelope.payload.decode(),
        "\n".join(entries),
        "\n".join(map(wire.b64, signed)),
        note.encode().removesuffix("\n"),
    ]
    assert witness.key.encode() in section("15")


def test_the_readme_names_every_module_once() -> None:
    ladder = README[README.index("## The ladder") : README.index("## What a signature proves")]
    named = re.findall(
        r"`([a-z_]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", ladder, re.MULTILINE))
    )
    modules = {path.stem for path in (ROOT / "protocol" / "bcca_protocol").glob("*.py")}

    assert sorted(named) == sorted(modules - {"__init__"})


def test_the_example_of_the_readme_imports_what_there_is() -> None:
    (code,) = re.findall(r"^```python\n(.+?)^```$", README, re.MULTILINE | re.DOTALL)
    imports = [node for node in ast.parse(code).body if isinstance(node, ast.ImportFrom)]
    names = [(node.module or "", alias.name) for node in imports for alias in node.names]

    assert [each for each in names if not hasattr(importlib.import_module(each[0]), each[1])] == []


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    rows = re.findall(r"^\| (?:protocol|node|dev|build) \| ([^|]+) \|", DECISIONS, re.MULTILINE)
    explained = {name for row in rows for name in row.split(", ")}

    assert dependencies() - explained == set()


def dependencies() -> set[str]:
    """Return the names of what the packages, their builds and the developers depend on."""
    texts: list[str] = []
    for folder in ("protocol", "node"):
        table = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
        texts += table["project"]["dependencies"] + table["build-system"]["requires"]
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts += root["dependency-groups"]["dev"]
    return {re.split(r"[^A-Za-z0-9._-]", text)[0] for text in texts} - {"bcca-protocol"}


def blocks(text: str) -> list[str]:
    """Return what stands between fences."""
    return re.findall(r"^```[a-z]+\n(.+?)\n```$", text, re.MULTILINE | re.DOTALL)


def nickel_sulfate() -> PartialFootprint:
    """Return the predicate of the worked example."""
    factor = Factor(
        kind="secondary", source="example", dataset="grid mix", geography="CN", unit="kWh",
        gas="co2e", values=Components(fossil="0.6205"),
    )  # fmt: skip
    power = Activity(
        id="power", name="Grid power", stage="production", kind="energy", amount="10",
        unit="MWh", amount_kind="measured", factor=factor,
    )  # fmt: skip
    return with_footprint(
        PartialFootprint(
            issuer=NAME,
            nonce=issue.UNSET_NONCE,
            product=Product(id="urn:example:nickel-sulfate", name="Nickel sulfate"),
            producer=Producer(name="Mine"),
            period=Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z"),
            sharing="public",
            declared_unit=Amount(amount="1", unit="kg"),
            output=Amount(amount="3", unit="t"),
            method=Method(
                standards=("ISO 14067",), gwp="AR6", recycling="cutOff", electricity="market"
            ),
            activities=(power,),
            inputs=(),
            footprint=Stages(),
        )
    )
