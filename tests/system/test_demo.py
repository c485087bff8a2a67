"""The demo as a stranger runs it, on the shipped case and on any other folder of that format."""

import asyncio
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.cli import main
from bcca_node.demo import roster
from bcca_node.demo.network import Ground, Network, Seat
from bcca_node.demo.show import Play, Shown, Watcher, show
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network import guard
from bcca_node.network.client import Fetcher
from bcca_node.packmaker.order import Order
from bcca_node.packmaker.run import Run, roll_up
from bcca_node.settings import Settings
from bcca_node.supplier import cases
from bcca_node.supplier.case_drafts import draft_predicates
from bcca_node.supplier.case_rows import Company
from bcca_node.supplier.cases import urn
from bcca_protocol import footprint
from bcca_protocol.errors import UnproductiveError
from bcca_protocol.footprint import Component, Stage
from bcca_protocol.inventory import Interval
from bcca_protocol.statement import PartialFootprint

pytestmark = pytest.mark.long

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - it protects nothing
SECONDS = 120
BIN = Path(sys.executable).parent
NODES = {"nmc622_pack": 19, "loop_recycling": 8}
STATEMENTS = {"nmc622_pack": 55, "loop_recycling": 8}
STAGES: Mapping[str, Stage] = {
    "raw_material_acquisition": "rawMaterial",
    "main_production": "production",
    "distribution": "distribution",
    "use": "use",
    "end_of_life": "endOfLife",
}
COMPONENTS: Mapping[str, Component] = {
    "fossil": "fossil",
    "biogenic": "biogenicNonCO2",
    "luluc": "landUseChange",
}

every_case = pytest.mark.parametrize("name", NODES)


def require_close(found: str | Decimal, expected: str | Decimal) -> None:
    """Fail unless two numbers agree within max(1e-12 relative, 1e-15 absolute)."""
    here, there = Decimal(found), Decimal(expected)
    assert abs(here - there) <= max(abs(there) * Decimal("1e-12"), Decimal("1e-15"))


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One run of the command, as it ended."""

    status: int
    out: bytes
    said: str
    group: int
    folder: Path

    @property
    def answer(self) -> Any:
        return json.loads(self.out)


def started(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Start the command in a session of its own, so that whatever it starts can be found."""
    environment = {name: it for name, it in os.environ.items() if not name.startswith("BCCA_")}
    return subprocess.Popen(
        [str(BIN / "bcca"), "demo", "--json", "--data", str(folder), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[bytes]", folder: Path) -> Demo:
    out, said = process.communicate(timeout=SECONDS)
    return Demo(
        status=process.returncode, out=out, said=said.decode(), group=process.pid, folder=folder
    )


@pytest.fixture(scope="module")
def demos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Demo]:
    """Run the shipped case and, at the same time, another."""
    folder = {name: tmp_path_factory.mktemp("demo") / name for name in NODES}
    other = ("--case", str(shared / "data" / "cases" / "loop_recycling"))
    running = {
        name: started(folder[name], *(() if name == "nmc622_pack" else other)) for name in NODES
    }
    return {name: ended(process, folder[name]) for name, process in running.items()}


@pytest.fixture(scope="module")
def expected(shared: Path) -> Callable[[str], Any]:
    def read(name: str) -> Any:
        path = shared / "data" / "cases" / name / "expected.json"
        return json.loads(path.read_text("utf-8"))

    return read


@every_case
def test_the_total_is_the_known_answer(
    demos: dict[str, Demo], expected: Callable[[str], Any], name: str
) -> None:
    found, known = demos[name].answer, expected(name)

    require_close(found["total"], known["total"])
    for here, component in COMPONENTS.items():
        require_close(found["components"][component], known[here])
    for here, there in STAGES.items() if "by_stage" in known else ():
        require_close(found["stages"][there], known["by_stage"].get(here, "0"))


@every_case
def test_every_product_comes_out_at_its_known_answer_per_unit(
    demos: dict[str, Demo], expected: Callable[[str], Any], name: str
) -> None:
    found = demos[name].answer["products"]
    known = {each["process_id"]: each["total"] for each in expected(name)["unit_pcf"]}

    assert list(found) == list(known)
    for process_id, total in known.items():
        require_close(found[process_id], total)


@every_case
def test_everybody_is_counted_and_everything_verified(demos: dict[str, Demo], name: str) -> None:
    demo = demos[name]

    assert demo.status == 0, demo.said
    assert demo.answer["case"] == name
    assert demo.answer["nodes"] == NODES[name]
    assert demo.answer["statements"] == demo.answer["verified"] == STATEMENTS[name]


def test_stdout_is_one_object_whose_numbers_are_strings_but_for_counts(
    demos: dict[str, Demo],
) -> None:
    demo = demos["nmc622_pack"]
    answer = demo.answer

    assert demo.out == json.dumps(answer).encode() + b"\n"
    assert set(answer) == {
        "case", "unit", "amount", "total", "components", "stages", "products", "nodes",
        "statements", "verified", "bundle", "policy", "seconds",
    }  # fmt: skip
    numbers = [answer[name] for name in ("amount", "total", "seconds")]
    for each in ("components", "stages", "products"):
        numbers += answer[each].values()
    assert all(isinstance(number, str) for number in numbers)
    assert all(type(answer[name]) is int for name in ("nodes", "statements", "verified"))
    assert set(answer["stages"]) == set(STAGES.values())


def test_the_demo_takes_at_most_30_seconds(demos: dict[str, Demo]) -> None:
    assert Decimal(demos["nmc622_pack"].answer["seconds"]) <= 30


def test_there_is_one_folder_for_each_company_and_no_other(
    demos: dict[str, Demo], shared: Path
) -> None:
    demo = demos["nmc622_pack"]
    with (shared / "data/cases/nmc622_pack/companies.csv").open(encoding="utf-8") as file:
        companies = {row["company_id"] for row in csv.DictReader(file)}

    assert {each.name for each in demo.folder.iterdir() if each.is_dir()} == companies
    assert Path(demo.answer["bundle"]).parent == demo.folder
    assert Path(demo.answer["policy"]).parent.parent == demo.folder
    for company in companies:
        held = {each.name for each in (demo.folder / company).iterdir()}
        assert {"settings.toml", "keys.json", "node.db", "policy.txt"} <= held


@every_case
def test_without_companies_there_is_one_folder_for_each_process(
    demos: dict[str, Demo], shared: Path, name: str
) -> None:
    case = shared / "data" / "cases" / name
    if not (case / "companies.csv").exists():
        with (case / "processes.csv").open(encoding="utf-8") as file:
            processes = {row["process_id"] for row in csv.DictReader(file)}
        folders = {each.name for each in demos[name].folder.iterdir() if each.is_dir()}

        assert folders == processes


@every_case
def test_nothing_is_left_running(demos: dict[str, Demo], name: str) -> None:
    demo = demos[name]
    ports = [
        Settings.load(each).port for each in demo.folder.iterdir() if (each / "keys.json").exists()
    ]

    assert len(ports) == NODES[name]
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.group, 0)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()


@every_case
def test_the_bundle_holds_for_an_auditor(demos: dict[str, Demo], name: str, tmp_path: Path) -> None:
    answer = demos[name].answer
    bundle, policy = (shutil.copy(answer[each], tmp_path) for each in ("bundle", "policy"))

    done = subprocess.run(
        [str(BIN / "bcca-verify"), bundle, "--policy", policy, "--json"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )

    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (said["verdict"], said["total"]) == ("holds", answer["total"])
    assert said["stages"] == answer["stages"]


# Other folders, on the same network with cheaper keys.


@dataclass(kw_only=True)
class Folder:
    """A case folder to be written: rows as in its files."""

    path: Path
    processes: list[tuple[str, str, str]]  # id, unit, output amount
    bought: list[tuple[str, str, str]]  # consumer, process, amount
    own: Mapping[str, str]  # id, kg CO2e of its one background line per output
    companies: Mapping[str, str] | None = None
    expected: Mapping[str, object] | None = None

    def write(self) -> Path:
        self.path.mkdir(parents=True)
        ids = {each: f"F{number}" for number, each in enumerate(self.own)}
        self._table(
            "processes.csv",
            ("process_id", "name", "location", "product", "unit", "output_amount", "max_tier"),
            [(p, f"making {p}", "CN", f"product {p}", u, o, "") for p, u, o in self.processes],
        )
        rows = [(c, "process", p, "", "", a, self._unit(p), "") for c, p, a in self.bought]
        rows += [
            (p, "background", f, "", "", "1", "kilogram", "main_production") for p, f in ids.items()
        ]
        header = "process_id flow_type input_id input_name input_location amount unit stage"
        self._table("inventory.csv", header.split(), rows)
        header = (
            "factor_id kind name location unit ef_fossil ef_biogenic ef_luluc ef_total proxy_for"
        )
        self._table(
            "factors.csv",
            header.split(),
            [(f, "background", f"from {p}", "GLO", "kilogram", self.own[p], "0", "0", "", "")
             for p, f in ids.items()],
        )  # fmt: skip
        if self.companies is not None:
            self._table(
                "companies.csv",
                ("process_id", "company_id", "company_name", "country"),
                [(p, c, f"Company {c}", "CN") for p, c in self.companies.items()],
            )
        if self.expected is not None:
            (self.path / "expected.json").write_text(json.dumps(self.expected), "utf-8")
        return self.path

    def exact(self) -> dict[str, Fraction]:
        """Return kg CO2e of one unit of each process, by elimination in fractions."""
        names = [name for name, _, _ in self.processes]
        output = {name: Fraction(amount) for name, _, amount in self.processes}
        rows = [
            [Fraction(i == j) for j in range(len(names))]
            + [Fraction(self.own.get(name, "0")) / output[name]]
            for i, name in enumerate(names)
        ]
        for consumer, process, amount in self.bought:
            rows[names.index(consumer)][names.index(process)] -= Fraction(amount) / output[consumer]
        for i, pivot in enumerate(rows):
            for j, row in enumerate(rows):
                if j != i and row[i]:
                    gain = row[i] / pivot[i]
                    rows[j] = [x - gain * y if y else x for x, y in zip(row, pivot, strict=True)]
        return {name: rows[i][-1] / rows[i][i] for i, name in enumerate(names)}

    def _unit(self, process: str) -> str:
        return next(unit for name, unit, _ in self.processes if name == process)

    def _table(self, name: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        with (self.path / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def shown(
    folder: Path, aside: Path, product: str | None = None, amount: str | None = None
) -> Shown:
    """Return what the demo shows of a case, its keys being cheap."""
    case = cases.read_case(folder)
    reference = case.reference(product, amount)
    (nodes := aside / "nodes").mkdir(parents=True)
    ground = Ground(folder=nodes, aside=aside / "more", passphrase=PASSPHRASE, scrypt_n=2**4)
    head = roster.company_of(case, reference.process_id).id
    watcher = Watcher(step=lambda _: None, progress=lambda _: None)
    with Network(ground, roster.seats_of(case), head=head) as network:
        play = Play(case=case, reference=reference, shared={})
        return asyncio.run(show(network, play, nodes, watcher))


def require_exact(found: Shown, exact: Mapping[str, Fraction]) -> None:
    """Fail unless every product comes out as elimination in fractions has it."""
    assert found.products.keys() == exact.keys()
    for name, value in exact.items():
        require_close(found.products[name], Decimal(value.numerator) / Decimal(value.denominator))


def total_of(run: Run) -> Decimal:
    return footprint.total(footprint.decode(run.statement.footprint))


def small(path: Path, **more: Any) -> Folder:
    """A case with two loops, outputs other than 1, a row of zero and an unreached process."""
    return Folder(
        path=path,
        processes=[
            ("P1", "kilogram", "4"), ("P2", "kilogram", "0.5"), ("P3", "kilowatt hour", "1000"),
            ("P4", "unit", "1"),
        ],
        bought=[
            ("P1", "P2", "3"), ("P2", "P1", "0.01"), ("P2", "P3", "2"), ("P3", "P3", "50"),
            ("P4", "P1", "2"), ("P2", "P4", "0"),
        ],
        own={"P1": "1", "P2": "0.7", "P3": "577.7", "P4": "0.000000001"},
        **more,
    )  # fmt: skip


def test_a_case_with_loops_outputs_other_than_1_and_an_unreached_process(tmp_path: Path) -> None:
    written = small(tmp_path / "small", expected={"reference_flow": {"process_id": "P1"}})

    found = shown(written.write(), tmp_path)

    require_exact(found, written.exact())
    assert found.checked.status == 0
    assert found.verified == found.statements == 4
    assert total_of(found.run) == found.products["P1"]


def test_a_product_and_an_amount_may_be_asked_for(tmp_path: Path) -> None:
    written = small(tmp_path / "small")  # it names no reference flow, and no companies

    found = shown(written.write(), tmp_path, product="product P2", amount="2.5")

    require_exact(found, written.exact())
    assert found.run.statement.declared_unit.amount == "2.5"
    require_close(total_of(found.run), found.products["P2"] * Decimal("2.5"))


def test_the_sodium_ion_pack_comes_out_at_its_known_answers(
    shared: Path, expected: Callable[[str], Any], tmp_path: Path
) -> None:
    known = expected("sib_pack")

    found = shown(shared / "data" / "cases" / "sib_pack", tmp_path)

    rolled = footprint.decode(found.run.statement.footprint)
    stages, components = footprint.by_stage(rolled), footprint.by_component(rolled)
    require_close(footprint.total(rolled), known["total"])
    for here, there in STAGES.items():
        require_close(stages[there], known["by_stage"].get(here, "0"))
    for here, component in COMPONENTS.items():
        require_close(components[component], known[here])
    for each in known["unit_pcf"]:
        require_close(found.products[each["process_id"]], each["total"])
    assert len(found.products) == found.verified == known["n_processes"]
    assert found.checked.status == 0


def sixty(path: Path) -> Folder:
    """Sixty companies, each buying of two others: one loop through them all, and shorter ones."""
    names = [f"P{number:02d}" for number in range(60)]
    near = [(name, names[(i + 1) % 60], "0.5") for i, name in enumerate(names)]
    far = [(name, names[(i + 7) % 60], "0.125") for i, name in enumerate(names)]
    return Folder(
        path=path,
        processes=[(name, "kilogram", "2") for name in names],
        bought=[*near, *far],
        own={name: f"{number}.5" for number, name in enumerate(names)},
        companies={name: f"company-{name[1:]}" for name in names},
        expected={"reference_flow": {"process_id": "P00", "amount": "3", "unit": "kilogram"}},
    )


def test_sixty_companies_that_all_need_each_other_are_added_up(tmp_path: Path) -> None:
    written = sixty(tmp_path / "sixty")

    found = shown(written.write(), tmp_path)

    require_exact(found, written.exact())
    assert found.verified == 60
    assert found.checked.status == 0
    require_close(total_of(found.run), found.products["P00"] * 3)


# What is refused, in one sentence.


def refused(capsys: pytest.CaptureFixture[str], *options: str, status: int) -> str:
    """Return the one sentence with which the demo refuses."""
    assert main(["demo", "--json", *options]) == status
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_an_unproductive_loop_is_refused_by_the_names_of_its_products(
    shared: Path, tmp_path: Path
) -> None:
    """The negative test of loop_recycling: a blind solve would return 1.265452546874943."""
    case = tmp_path / "loop_recycling"
    shutil.copytree(shared / "data" / "cases" / "loop_recycling", case)
    inventory = case / "inventory.csv"
    text = inventory.read_text("utf-8")
    assert text.count(",0.13,unit,") == 1
    inventory.write_text(text.replace(",0.13,unit,", ",200,unit,"), "utf-8")

    with pytest.raises(UnproductiveError) as error:
        shown(case, tmp_path)

    for process_id in ("P003", "P004", "P005", "P006", "P008"):
        assert urn("loop_recycling", process_id) in str(error.value)


def test_overlapping_loops_that_are_unproductive_only_together_are_refused(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    micro = json.loads((shared / "data/cases/micro_cases.json").read_text("utf-8"))
    matrix = micro["overlapping_loops"]["A (row consumes column)"]
    names = [f"P{number}" for number in range(1, len(matrix) + 1)]
    bought = [
        (consumer, process, amount)
        for consumer, row in zip(names, matrix, strict=True)
        for process, amount in zip(names, row, strict=True)
        if amount != "0"
    ]
    case = Folder(
        path=tmp_path / "overlapping_loops",
        processes=[(name, "kilogram", "1") for name in names],
        bought=bought,
        own=dict.fromkeys(names, "1"),
        expected={"reference_flow": {"process_id": "P1"}},
    ).write()

    said = refused(capsys, "--case", str(case), "--data", str(tmp_path / "net"), status=1)

    assert "a loop consumes at least as much as it makes" in said
    assert "Traceback" not in said
    for name in names:
        assert urn("overlapping_loops", name) in said


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")

    said = refused(capsys, "--data", str(tmp_path), status=2)

    assert f"{tmp_path}" in said
    assert "not empty" in said
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--product", "P9"), "P1 (product P1)"),
        (("--amount", "0"), "not above zero"),
        (("--amount", "1e"), "1e"),
        (("--case", "/nowhere"), "/nowhere"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    case = small(tmp_path / "small", expected={"reference_flow": {"process_id": "P1"}}).write()
    net = tmp_path / "net"
    named = () if "--case" in options else ("--case", str(case))

    assert said in refused(capsys, *named, "--data", str(net), *options, status=2)

    assert not net.exists()


def test_several_end_products_are_named_to_choose_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small(tmp_path / "small")
    folder.bought.clear()

    said = refused(capsys, "--case", str(folder.write()), status=2)

    for name in ("P1", "P2", "P3", "P4"):
        assert f"{name} (product {name})" in said


# Staging (micro case staging_nmc622), all processes run by one company.

CASE = "nmc622_pack"
CELL = urn(CASE, "P004")


@pytest.fixture(scope="module")
def staged(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Roll the pack up with every input kept, then with the cell's input named rawMaterial."""
    case = cases.read_case(shared / "data" / "cases" / CASE)
    folder = tmp_path_factory.mktemp("staging")
    ground = Ground(
        folder=folder / "nodes", aside=folder / "more", passphrase=PASSPHRASE, scrypt_n=2**4
    )
    with Network(ground, [Seat(id="one", name="One")], head="one") as network:
        one = network.members["one"]
        span = Interval(start="2025-01-01T00:00:00Z", end="2026-01-01T00:00:00Z")
        drafts = draft_predicates(
            case,
            list(case.processes),
            lambda _: one.supplier,
            lambda _: Company(id="one", name="One"),
            span,
        )

        async def publish_and_roll_up(predicates: Sequence[PartialFootprint]) -> Run:
            async with Fetcher(guard.hosts_of(one.node.trust.required())) as fetcher:
                publish(one.node, predicates)
                assert (await witness(one.node, fetcher)).published
                order = Order(product=urn(CASE, "P001"), amount=None, at=one.node.clock())
                return await roll_up(one.node, fetcher, order)

        kept = asyncio.run(publish_and_roll_up(drafts))
        named = asyncio.run(publish_and_roll_up(list(restaged(drafts, kept))))
    return kept, named


def restaged(drafts: Sequence[PartialFootprint], kept: Run) -> Iterator[PartialFootprint]:
    """Yield whoever buys cells, its statement corrected: their stages become raw material."""
    parts = kept.sum.totals.graph.parts
    for draft in drafts:
        inputs = [
            msgspec.structs.replace(line, stages="rawMaterial") if line.product == CELL else line
            for line in draft.inputs
        ]
        if tuple(inputs) != draft.inputs:
            before = next(part for part in parts if part.product == draft.product.id)
            yield msgspec.structs.replace(draft, inputs=tuple(inputs), corrects=before.commitment)


@pytest.mark.parametrize("index", [0, 1], ids=["all keep", "the cell named rawMaterial"])
def test_the_stages_of_a_kept_and_of_a_named_input_are_the_known_ones(
    shared: Path, staged: tuple[Run, Run], index: int
) -> None:
    micro = json.loads((shared / "data/cases/micro_cases.json").read_text("utf-8"))
    known = [value for value in micro["staging_nmc622"].values() if isinstance(value, dict)][index]
    found = footprint.by_stage(footprint.decode(staged[index].statement.footprint))

    for here, there in STAGES.items():
        require_close(found[there], known.get(here, "0"))


def test_a_corrected_input_makes_the_roll_up_correct_the_one_before(
    staged: tuple[Run, Run],
) -> None:
    kept, named = staged
    edges = {edge.resolved for edge in named.statement.manifest or ()}

    assert kept.published is not None
    assert named.statement.corrects == kept.published.commitment
    require_close(total_of(named), total_of(kept))
    assert all(each.commitment for each in edges)
