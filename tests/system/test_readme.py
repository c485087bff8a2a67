"""The README is true: its commands are run as printed, its output is the real one."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UP = "The nodes stay up"
SECONDS = 120

_BLOCKS = re.findall(r"^```(sh)?\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [text for kind, text in _BLOCKS if kind == "sh"]
SHOWN = [text for kind, text in _BLOCKS if not kind]


def block_with(words: str) -> str:
    """Return the one block of commands that has these words."""
    (found,) = [str(text) for text in COMMANDS if words in text]
    return found


def environment() -> dict[str, str]:
    """Return the environment of somebody who activated the one that runs these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BCCA_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def typed(block: str, folder: Path) -> str:
    """Type a block into a shell as printed; return what it said, refuse a command that failed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder in which the quick starts' network is up."""
    home = tmp_path_factory.mktemp("quick-starts")
    out = home.parent / "network.txt"
    with out.open("w", encoding="utf-8") as file:
        network = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block_with("--keep")],
            cwd=home,
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + SECONDS
        while UP not in out.read_text(encoding="utf-8"):
            assert network.poll() is None, out.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, out.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield home
    finally:
        os.killpg(network.pid, signal.SIGINT)
        network.wait(SECONDS)


def test_the_readme_is_no_longer_than_a_newcomer_reads() -> None:
    assert len(README.splitlines()) <= 120


def test_the_two_commands_of_a_newcomer_are_printed_alone() -> None:
    assert "pip install uv && uv run bcca demo\n" in COMMANDS
    assert "pip install uv && uv run pytest\n" in COMMANDS


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    said = typed(f"bcca demo --data '{tmp_path / 'net'}'", tmp_path)

    (shown,) = [text for text in SHOWN if "kg CO2e" in text]
    for line in filter(None, (line.removesuffix("…") for line in shown.splitlines())):
        assert line.rstrip() in said


def test_a_supplier_an_auditor_and_a_pack_maker_start_as_printed(folder: Path) -> None:
    supplier = typed(block_with("bcca init"), folder)
    shown = typed(block_with("bcca audit log"), folder)
    maker = typed(block_with("bcca aggregate"), folder)
    auditor = typed(block_with("bcca-verify"), folder)

    assert "published" in supplier
    assert "ALL HOLDS" in shown
    assert "108.5888902753488911858321862366716" in maker
    assert "ALL HOLDS" in auditor
    assert "108.5888902753488911858321862366716" in auditor
