"""Settings: the file, over it the environment, over both the command line."""

import stat
from pathlib import Path

import pytest

from bcca_node.settings import Settings
from bcca_protocol.errors import UnusableError

NAME = 'Kathode "Süd" \\ 正极'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data=tmp_path / "node", origin="cathode.example/bcca", name=NAME)
    made.save()
    return made


def test_what_was_saved_is_loaded(settings: Settings) -> None:
    assert Settings.load(settings.data, {}) == settings


def test_the_environment_stands_over_the_file_and_arguments_over_both(settings: Settings) -> None:
    environment = {"BCCA_PORT": "9001", "BCCA_HOST": "10.0.0.1", "BCCA_SHARED": "elsewhere"}

    loaded = Settings.load(settings.data, environment, host="10.0.0.2")

    assert (loaded.port, loaded.host) == (9001, "10.0.0.2")


def test_the_database_moves_with_the_data_folder(settings: Settings, tmp_path: Path) -> None:
    moved = settings.data.rename(tmp_path / "moved")

    assert Settings.load(moved, {}).database_url == f"sqlite:///{moved}/node.db"


def test_another_account_cannot_read_the_settings_in_a_folder_that_is_open_to_it(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    told = Settings(data=tmp_path, origin="a.example", name="A", database="postgresql://a:pw@h/a")

    told.save()

    assert stat.S_IMODE((tmp_path / "settings.toml").stat().st_mode) == 0o600
    assert Settings.load(tmp_path, {}) == told


def test_settings_are_not_written_over(settings: Settings) -> None:
    with pytest.raises(UnusableError, match=r"settings\.toml"):
        settings.save()


def test_a_folder_without_settings_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match=r"settings\.toml is not there: run `bcca init` first"):
        Settings.load(tmp_path, {})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('colour = "red"', "unknown field `colour`"),
        ("name = 1", "Expected `str`, got `int`"),
        ('port = "many"', "Expected `int`"),
        ("port = 65536", "not between 0 and 65535"),
        ('url = "ftp://cathode.example"', "write http:// or https://"),
        ('url = "https://cathode.example/"', "no slash at the end"),
        ('origin = "https://cathode.example"', "write a host"),
        ('origin = "Cathode.example"', "write a host"),
        ('name = "a\\u001bb"', "one line of plain text"),
        ("origin = ", "cannot be read"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(tmp_path: Path, line: str, why: str) -> None:
    told = {"origin": 'origin = "a.example"', "name": 'name = "A"'}
    told[line.partition(" ")[0]] = line
    (tmp_path / "settings.toml").write_text("\n".join(told.values()), encoding="utf-8")

    with pytest.raises(UnusableError, match=why):
        Settings.load(tmp_path, {})


def test_settings_without_an_origin_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('name = "A"', encoding="utf-8")

    with pytest.raises(UnusableError, match="missing required field `origin`"):
        Settings.load(tmp_path, {})


def test_identifiers_are_saved_as_a_list_and_parted_by_spaces_in_the_environment(
    tmp_path: Path,
) -> None:
    ids = ("urn:lei:506700GE1G29325QX363", "urn:uscc:9144030071526726XG")
    told = Settings(data=tmp_path, origin="a.example", name="A", ids=ids)
    told.save()

    assert Settings.load(tmp_path, {}) == told
    assert Settings.load(tmp_path, {"BCCA_IDS": ids[1]}).ids == ids[1:]


def test_an_identifier_that_is_no_urn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="is no URN"):
        Settings(data=tmp_path, origin="a.example", name="A", ids=("506700GE1G29325QX363",))
