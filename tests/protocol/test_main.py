import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_protocol.__main__ import HOLDS, INCOMPLETE, REFUSED, UNUSABLE
from bcca_protocol.bundle import StatementLine, Withheld
from bcca_protocol.footprint import STAGES, Components
from bcca_protocol.limits import MAX_POLICY_BYTES
from bcca_protocol.quantity import plain

SEEN = "2026-05-28T20:26:42Z"  # AT + 2: the quorum time of every log of a chain
NEWEST = "2026-05-28T20:26:42Z"

Ran = tuple[int, str, str]


@pytest.fixture
def files(chain: Any, tmp_path: Path) -> list[object]:
    """Write a bundle that holds, and a policy that knows everybody; return the arguments."""
    chain.sells("ore", "2")
    chain.sells("cell", "1.5", chain.buys("ore", "3"))
    return written(chain, tmp_path, chain.bundle("cell", "2"))


def written(chain: Any, folder: Path, lines: list[bytes], **policy: Any) -> list[object]:
    bundle, trusted = folder / "cell.bcca.jsonl", folder / "policy.txt"
    bundle.write_bytes(b"".join(lines))
    trusted.write_text(chain.policy_text(**policy), encoding="utf-8")
    return [bundle, "--policy", trusted]


def require_one_sentence(err: str, *parts: str) -> None:
    """Fail unless `err` is one line, ends in a line feed, and holds all of `parts`."""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert [part for part in parts if part not in err] == []


def test_a_bundle_that_holds_exits_0_and_says_so_last(
    run: Callable[..., Ran], files: list[object]
) -> None:
    status, out, err = run(*files, "--max-age", "30d")

    assert (status, err) == (HOLDS, "")
    assert out.splitlines()[-1] == "ALL HOLDS."
    assert "urn:test:cell of cell.example, 2 kg:" in out
    assert re.search(r"^  total +15 kg CO2e, excluding biogenic uptake$", out, re.MULTILINE)


def test_every_stage_is_printed(run: Callable[..., Ran], files: list[object]) -> None:
    _, out, _ = run(*files)

    for stage in STAGES:
        kg = "15" if stage == "production" else "0"
        assert re.search(rf"^  {stage} +{kg} kg CO2e$", out, re.MULTILINE)


def test_both_totals_are_told_where_a_product_took_up_carbon(
    run: Callable[..., Ran], chain: Any, line: Any, per: Any, tmp_path: Path
) -> None:
    grown = msgspec.structs.replace(per("5"), values=Components(fossil="5", biogenic_uptake="-2"))
    chain.sells("cell", activities=[line("grown", "1", "5", factor=grown)])
    files = written(chain, tmp_path, chain.bundle("cell"))
    _, out, _ = run(*files)
    _, told, _ = run(*files, "--json")

    assert "total         5 kg CO2e, excluding biogenic uptake\n" in out
    assert "3 kg CO2e, including biogenic uptake\n" in out
    assert json.loads(told)["totalIncludingUptake"] == "3"


def test_every_step_is_printed_with_what_it_checked(
    run: Callable[..., Ran], files: list[object]
) -> None:
    _, out, _ = run(*files)

    steps = re.findall(r"^  ([1-6])\. ([a-z-]+): .+$", out, re.MULTILINE)
    assert steps == [
        ("1", "file"), ("2", "logs"), ("3", "statements"), ("4", "seal"), ("5", "roll-up"),
        ("6", "recomputed"),
    ]  # fmt: skip
    assert "which survives 2 lying" in out


def test_what_could_not_be_verified_stands_first(
    run: Callable[..., Ran], chain: Any, files: list[object], tmp_path: Path
) -> None:
    chain.maker("tin")
    chain.sells("pack", "1", chain.buys("cell", "1"), chain.buys("tin", "4"))
    asked = written(chain, tmp_path, chain.bundle("pack"), logs=["pack.example"])

    status, out, _ = run(*asked)

    first, *rest = out.splitlines()
    kinds = [line.split(":")[0] for line in rest[: rest.index("Checked:")]]
    assert first == "Could not be verified from this file:"
    assert kinds == ["  - missing", "  - introduced", "  - age"]
    assert status == INCOMPLETE


def test_where_nothing_is_unverified_that_is_said(
    run: Callable[..., Ran], files: list[object]
) -> None:
    _, out, _ = run(*files, "--max-age", "1d")

    assert out.splitlines()[:3] == [
        "Could not be verified from this file:", "  - nothing", "Checked:"
    ]  # fmt: skip


def test_an_incomplete_total_exits_3_and_says_what_is_missing(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    chain.maker("tin")
    chain.sells("cell", "1", chain.buys("tin", "4"))
    status, out, err = run(*written(chain, tmp_path, chain.bundle("cell")))

    assert (status, err) == (INCOMPLETE, "")
    assert "missing: 4 kg of urn:test:tin of tin.example" in out
    assert out.splitlines()[-1].startswith("INCOMPLETE: everything here holds")


def test_a_changed_bundle_exits_1_in_one_sentence(
    run: Callable[..., Ran], files: list[object]
) -> None:
    bundle = Path(str(files[0]))
    bundle.write_bytes(bundle.read_bytes().replace(b'"index":"3"', b'"index":"4"', 1))

    status, out, err = run(*files)

    assert status == REFUSED
    require_one_sentence(err, "refused: bundle: its lines hash to ", ", its end line has ")
    assert "total" not in out


def test_a_refusal_comes_after_the_steps_that_held(
    run: Callable[..., Ran], chain: Any, files: list[object], tmp_path: Path
) -> None:
    rolled = chain.rolled_up("cell")
    lie = msgspec.structs.replace(rolled, exempted_percent="1")
    status, out, err = run(*written(chain, tmp_path, chain.sealed(*chain.evidence(lie))))

    assert status == REFUSED
    assert [line[:4] for line in out.splitlines()] == [f"  {n}." for n in range(1, 6)]
    require_one_sentence(err, "exemptedPercent is stated as 1, recomputed as 0")


def test_a_policy_that_does_not_know_the_maker_exits_1(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    chain.sells("cell", "1")
    lines = chain.bundle("cell")
    status, _, err = run(*written(chain, tmp_path, lines, logs=["stranger.example"]))

    assert status == REFUSED
    require_one_sentence(err, "log cell.example: neither in the policy nor named")


def test_a_policy_that_survives_no_liar_exits_2_with_its_numbers(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    chain.sells("cell", "1")
    status, out, err = run(*written(chain, tmp_path, chain.bundle("cell"), quorum=3))

    assert (status, out) == (UNUSABLE, "")
    require_one_sentence(err, "unusable: ", "f = 0 liars")


@pytest.mark.parametrize("which", [0, 2])
def test_a_file_that_is_not_there_exits_2_naming_it(
    run: Callable[..., Ran], files: list[object], which: int
) -> None:
    files[which] = Path(str(files[which])).with_name("nobody")
    status, out, err = run(*files)

    assert (status, out) == (UNUSABLE, "")
    require_one_sentence(err, "unusable: ", "nobody", "No such file")


@pytest.mark.parametrize("which", [0, 2])
def test_a_folder_instead_of_a_file_exits_2(
    run: Callable[..., Ran], files: list[object], which: int
) -> None:
    files[which] = Path(str(files[which])).parent
    status, _, err = run(*files)

    assert status == UNUSABLE
    require_one_sentence(err, "unusable: ", str(files[which]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "quorum"),
        (b"\xff\n", "not UTF-8"),
        (b"log\n", "line 1"),
        (b"#" * (MAX_POLICY_BYTES + 1), f"over {MAX_POLICY_BYTES} bytes"),
    ],
    ids=["empty", "bytes", "half a line", "too long"],
)
def test_a_policy_that_cannot_be_read_exits_2(
    run: Callable[..., Ran], files: list[object], content: bytes, reason: str
) -> None:
    Path(str(files[2])).write_bytes(content)
    status, _, err = run(*files)

    assert status == UNUSABLE
    require_one_sentence(err, "unusable: ", reason)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        b"{}\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b"\0" * 1000,
        b"PK\x03\x04",
    ],
    ids=["empty", "blank", "cut", "object", "bytes", "nested", "zeros", "archive"],
)
def test_a_bundle_that_is_none_exits_1(
    run: Callable[..., Ran], files: list[object], content: bytes
) -> None:
    Path(str(files[0])).write_bytes(content)
    status, _, err = run(*files)

    assert status == REFUSED
    require_one_sentence(err, "refused: bundle")


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("--at", "2026", "write a time as 2026-11-21T12:00:00Z"),
        ("--at", "2026-11-21T12:00:00+01:00", "write a time as"),
        ("--at", "2026-11-21T12:00:00Z\n", "write a time as"),
        ("--at", "٢٠٢٦-11-21T12:00:00Z", "write a time as"),
        ("--at", "", "write a time as"),
        ("--at", "2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("--at", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("--max-age", "30", "write an age as 45s, 15m, 12h or 30d"),
        ("--max-age", "-30d", "an age as 45s"),
        ("--max-age", "1.5d", "an age as 45s"),
        ("--max-age", "1w", "an age as 45s"),
        ("--max-age", "٣d", "an age as 45s"),
        ("--max-age", "", "an age as 45s"),
        ("--max-age", "9999999999d", "an age as 45s"),
    ],
)
def test_an_option_that_cannot_be_read_exits_2_saying_how_to_write_it(
    run: Callable[..., Ran], files: list[object], option: str, value: str, advice: str
) -> None:
    status, out, err = run(*files, f"{option}={value}")

    assert (status, out) == (UNUSABLE, "")
    require_one_sentence(err, "unusable: ", advice)


@pytest.mark.parametrize(
    "arguments",
    [[], ["bundle"], ["--policy", "policy"], ["a", "b", "--policy", "p"], ["a", "--what"]],
    ids=["nothing", "no policy", "no bundle", "two bundles", "an unknown option"],
)
def test_a_command_line_that_cannot_be_read_exits_2_in_one_sentence(
    run: Callable[..., Ran], arguments: list[str]
) -> None:
    status, out, err = run(*arguments)

    assert (status, out) == (UNUSABLE, "")
    require_one_sentence(err, "unusable: ", "bcca-verify --help")


def test_help_exits_0_with_an_example(run: Callable[..., Ran]) -> None:
    status, out, err = run("--help")

    assert (status, err) == (HOLDS, "")
    assert "Example: bcca-verify pack.bcca.jsonl --policy policy.txt --max-age 30d" in out


def test_without_a_greatest_age_the_age_is_reported_and_not_judged(
    run: Callable[..., Ran], files: list[object]
) -> None:
    status, out, _ = run(*files, "--at", "2029-01-01T00:00:00Z")

    assert status == HOLDS
    assert (
        f"  - age: every log was seen by a quorum at {SEEN} or later; whether that is fresh "
        "enough is not judged without --max-age"
    ) in out


@pytest.mark.parametrize(
    ("at", "max_age", "expected"),
    [
        ("2026-05-28T20:26:42Z", "0s", HOLDS),
        ("2026-05-28T20:27:42Z", "60s", HOLDS),
        ("2026-05-28T20:27:42Z", "1m", HOLDS),
        ("2026-05-28T20:27:43Z", "1m", REFUSED),
        ("2026-05-29T08:26:42Z", "12h", HOLDS),
        ("2026-05-29T08:26:43Z", "12h", REFUSED),
        ("2026-06-27T20:26:42Z", "30d", HOLDS),
        ("2026-06-27T20:26:43Z", "30d", REFUSED),
    ],
)
def test_with_a_greatest_age_what_is_older_at_that_time_is_refused(
    run: Callable[..., Ran], files: list[object], at: str, max_age: str, expected: int
) -> None:
    status, _, err = run(*files, "--at", at, "--max-age", max_age)

    assert status == expected
    if expected == REFUSED:
        require_one_sentence(err, f"last seen by a quorum at {SEEN}", f"before {at}", "allows")


def test_the_time_looked_from_is_said_and_where_it_is_from(
    run: Callable[..., Ran], files: list[object]
) -> None:
    _, without, _ = run(*files)
    _, given, _ = run(*files, "--at", "2026-06-01T00:00:00Z")

    assert f"Looked at from {NEWEST} (the newest quorum time in the file)." in without
    assert "Looked at from 2026-06-01T00:00:00Z (as asked by --at)." in given


def test_looked_at_from_before_there_was_a_quorum_it_is_refused(
    run: Callable[..., Ran], files: list[object]
) -> None:
    for at in ("2026-05-28T20:25:40Z", "1960-01-01T00:00:00Z", "0001-01-01T00:00:00Z"):
        status, _, err = run(*files, "--at", at)
        assert status == REFUSED
        require_one_sentence(err, "refused: checkpoint of ", "cosigned by ")


def test_looked_at_from_the_last_year_there_is_it_holds(
    run: Callable[..., Ran], files: list[object]
) -> None:
    status, out, _ = run(*files, "--at", "9999-12-31T23:59:59Z")

    assert status == HOLDS
    assert out.count("  - expired: statement ") == 3


def sums(kg: str) -> dict[str, object]:
    """Return how so much fossil carbon of production is told to programs."""
    return {
        "total": kg,
        "totalIncludingUptake": kg,
        "components": {} if kg == "0" else {"fossil": kg},
        "stages": {stage: kg if stage == "production" else "0" for stage in STAGES},
    }


def test_json_is_one_object_with_decimal_strings(
    run: Callable[..., Ran], chain: Any, files: list[object]
) -> None:
    status, out, err = run(*files, "--json", "--max-age", "1d")
    told = json.loads(out)

    assert (status, err, out.count("\n")) == (HOLDS, "", 1)
    assert [step.pop("number") for step in told["steps"]] == [1, 2, 3, 4, 5, 6]
    assert {frozenset(step) for step in told.pop("steps")} == {frozenset({"what", "found"})}
    assert told == {
        "verdict": "holds",
        "withheld": [],
        "notVerified": [],
        "product": "urn:test:cell",
        "maker": "cell.example",
        "recipient": None,
        "amount": "2",
        "unit": "kg",
        **sums("15"),
        "recomputed": sums("15"),
        "claimed": sums("0"),
        "cutOff": [],
        "ownValues": [],
        "opinions": [],
        "assured": {"limited": "0", "reasonable": "0"},
        "logs": 2,
        "introduced": 0,
        "statements": 3,
        "rules": {
            "name": "neutral",
            "version": "2",
            "digest": chain.rules.digest,
            "textInFile": True,
            "unconfirmed": [],
        },
        "ready": True,
        "blocks": [],
        "asOf": SEEN,
        "at": NEWEST,
    }
    assert told["total"] == plain(2 * chain.added().total("cell"))


def test_json_of_an_incomplete_total_says_so(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    chain.maker("tin")
    chain.sells("cell", "1", chain.buys("tin", "4"))
    status, out, _ = run(*written(chain, tmp_path, chain.bundle("cell")), "--json")
    told = json.loads(out)

    assert (status, told["verdict"]) == (INCOMPLETE, "incomplete")
    assert told["notVerified"][0].startswith("missing: 4 kg of urn:test:tin")


@pytest.mark.parametrize("what", ["refused", "unusable"])
def test_json_of_a_refusal_has_the_reason_that_stands_on_stderr(
    run: Callable[..., Ran], files: list[object], what: str
) -> None:
    broken = Path(str(files[0 if what == "refused" else 2]))
    broken.write_bytes(b"nothing\n")
    status, out, err = run(*files, "--json")
    told = json.loads(out)

    assert status == (REFUSED if what == "refused" else UNUSABLE)
    assert told["verdict"] == what
    assert err == f"{what}: {told['reason']}\n"
    assert set(told) == {"verdict", "reason", "steps"}


def test_the_same_bundle_is_told_the_same_twice(
    run: Callable[..., Ran], files: list[object]
) -> None:
    assert run(*files) == run(*files)
    assert run(*files, "--json") == run(*files, "--json")


def partly(chain: Any, folder: Path, reason: str = "for its customer alone") -> list[object]:
    """Write a bundle that withholds the ore of a cell; return the arguments."""
    ore = chain.sells("ore", "2")
    chain.sells("cell", "1.5", chain.buys("ore", "3"))
    header, body = chain.evidence(chain.rolled_up("cell", "2"))
    header = msgspec.structs.replace(header, recipient="auditor.example")
    hidden = Withheld(commitment=ore, origin="ore.example", reason=reason, index="3")
    shown = [
        item
        for item in body
        if not (isinstance(item, StatementLine) and item.origin == "ore.example")
    ]
    return written(chain, folder, chain.sealed(header, [*shown, hidden]))


def test_what_is_withheld_stands_first_and_the_total_is_told_in_two_parts_and_exits_3(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    status, out, err = run(*partly(chain, tmp_path), "--max-age", "1d")
    lines = out.splitlines()

    assert (status, err) == (INCOMPLETE, "")
    assert lines[1].startswith("  - withheld: statement ")
    assert "entry 3 of its log, under a key valid there" in lines[1]
    assert "Made for auditor.example." in lines
    recomputed, claimed = (
        lines.index("Recomputed, from what is here:"),
        lines.index("The maker's claim of what is withheld and of all upstream of it:"),
    )
    assert lines[recomputed + 6] == "  total         3 kg CO2e, excluding biogenic uptake"
    assert lines[claimed + 6] == "  total         12 kg CO2e, excluding biogenic uptake"
    assert lines[-1] == (
        "INCOMPLETE: everything here holds, but 1 statement is withheld; the stated total, "
        "15 kg CO2e, was not recomputed as a whole."
    )
    assert "the same in every digit" not in out


def test_json_has_what_is_withheld_what_was_recomputed_and_what_is_claimed(
    run: Callable[..., Ran], chain: Any, tmp_path: Path
) -> None:
    status, out, _ = run(*partly(chain, tmp_path), "--json")
    told = json.loads(out)

    assert (status, told["verdict"], told["recipient"]) == (
        INCOMPLETE, "incomplete", "auditor.example"
    )  # fmt: skip
    (hidden,) = told["withheld"]
    assert (hidden["origin"], hidden["index"], hidden["reason"]) == (
        "ore.example", "3", "for its customer alone"
    )  # fmt: skip
    assert told["notVerified"][0].startswith(f"withheld: statement {hidden['commitment']}")
    assert list(told)[:3] == ["verdict", "withheld", "notVerified"]
    assert (told["recomputed"], told["claimed"]) == (sums("3"), sums("12"))
    assert told["total"] == "15"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_as_a_process_of_its_own_it_says_the_same_in_whatever_encoding(
    chain: Any, tmp_path: Path, encoding: str
) -> None:
    asked = partly(chain, tmp_path, "仅供客户")
    ran = subprocess.run(
        [sys.executable, "-m", "bcca_protocol", *map(str, asked)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )

    assert (ran.returncode, ran.stderr) == (INCOMPLETE, b"")
    out = ran.stdout.decode(encoding).splitlines()
    told = "仅供客户" if encoding == "utf-8" else r"\u4ec5\u4f9b\u5ba2\u6237"
    assert out[1].startswith("  - withheld: statement ")
    assert out[1].endswith(f"in its maker's words: {told}")
    assert out[-1].startswith("INCOMPLETE: ")
