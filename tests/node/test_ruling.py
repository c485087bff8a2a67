"""The rules that come with the program, those in a file, and those that were kept."""

from pathlib import Path

import pytest

from bcca_node.packmaker import ruling
from bcca_node.storage.database import Database
from bcca_protocol import rules
from bcca_protocol.errors import StatementError, UnusableError
from bcca_protocol.results import Rules

OURS = rules.NEUTRAL.replace('"neutral"', '"ours"')


def test_the_shipped_neutral_rules_are_those_of_the_protocol() -> None:
    assert ruling.load("neutral") == rules.neutral()


def test_five_sets_are_shipped_and_what_is_unconfirmed_of_drafts_is_said() -> None:
    shipped = ruling.shipped()

    drafts = ["eu-draft", "eu-draft-2", "miit", "miit-2"]
    assert list(shipped) == [*drafts, "neutral"]
    assert [name for name, each in shipped.items() if each.unconfirmed] == drafts
    assert not shipped["neutral"].unconfirmed


def test_no_shipped_set_states_a_limit_that_nobody_has_read() -> None:
    for each in ruling.shipped().values():
        assert each.cut_off_percent == 0
        assert each.max_age_days is None
        assert not each.mandatory


def test_the_cycles_of_the_eu_draft_are_those_of_the_draft_and_not_confirmed() -> None:
    found = ruling.load("eu-draft").functional

    assert found is not None
    assert not found.confirmed
    table = {name: int(cycles) for name, cycles in found.table().items()}
    assert table == {"M1": 60, "N1": 60, "L": 20, "M2": 250, "M3": 250, "N2": 250, "N3": 250}
    assert ruling.load("miit").functional is None


def test_rules_are_read_from_a_file_however_its_lines_end(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(b"\xef\xbb\xbf" + OURS.rstrip().replace("\n", "\r\n").encode())

    assert ruling.load(str(path)) == rules.parse(OURS)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (OURS.replace("siblings = true", "siblings = 1").encode(), "rules: siblings: Expected"),
        (b"\xff", "not UTF-8"),
        (b"", "missing required field"),
        (b"#" * 300_000, "at most 65536 are read"),
        (rules.NEUTRAL.replace('"0"', '"9"').encode(), "give yours a name of its own"),
    ],
)
def test_a_bad_file_of_rules_is_refused_in_one_sentence(
    tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "ours.toml"
    path.write_bytes(data)
    with pytest.raises(UnusableError) as refused:
        ruling.load(str(path))

    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_neither_a_set_nor_a_file_is_refused_naming_the_sets() -> None:
    with pytest.raises(
        UnusableError, match="which has eu-draft, eu-draft-2, miit, miit-2, neutral"
    ):
        ruling.load("eu")


def test_a_cut_off_that_is_no_percentage_is_refused_naming_the_option() -> None:
    with pytest.raises(UnusableError, match="--cut-off much: rules: cut_off_percent: 'much' is"):
        ruling.cut_off_at(rules.neutral(), "much", "--cut-off")


def test_the_text_of_rules_that_were_followed_is_kept(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    ours, unknown = rules.parse(OURS), Rules(name="ours", digest="ab" * 32)
    with database.write() as session:
        ruling.keep(session, ours)
        ruling.keep(session, ours)
    with database.read() as session:
        found = ruling.kept(session, ours.named())
        miit = ruling.kept(session, ruling.load("miit").named())
        with pytest.raises(StatementError, match="ask the maker for a file that has it"):
            ruling.kept(session, unknown)
    database.close()

    assert (found, miit.name) == (ours, "miit")
