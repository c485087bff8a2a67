"""The README is true: its commands are run as printed, its output is the real one."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from bcca_node.ledger.node import Node
from bcca_node.partners import outbox
from bcca_node.settings import Settings
from bcca_node.storage import requests
from bcca_protocol.envelope import Envelope

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UP = "The nodes stay up"
SECONDS = 120
PIDS = "pids.txt"
MAX_COMMANDS = 5  # of each side
MAX_ENVELOPE_BYTES = 1_000_000

_BLOCKS = re.findall(r"^```(sh)?\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [text for kind, text in _BLOCKS if kind == "sh"]
SHOWN = [text for kind, text in _BLOCKS if not kind]
INLINE = re.findall(r"`([^`\n]+)`", README)


def block_with(words: str) -> str:
    """Return the one block of commands that has these words."""
    (found,) = [str(text) for text in COMMANDS if words in text]
    return found


def environment() -> dict[str, str]:
    """Return the environment of somebody who activated the one that runs these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BCCA_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def typed(block: str, folder: Path) -> str:
    """Type a block into a shell as printed; return what it said, refuse a command that failed.

    What it leaves running ends with the folder, by its id.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{block}\njobs -p >> '{folder.parent / PIDS}'"],
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


def commands(block: str, data: str) -> list[str]:
    """Return the commands of a block for one company's folder, each by its name."""
    lines = [line for line in block.splitlines() if line.startswith("bcca ")]
    return [" ".join(line.split()[1:3]) for line in lines if f"--data {data}" in line]


def can_read_the_answer(folder: Path) -> bool:
    """Say whether the customer, and nobody else, is shown the statement that answers it."""
    passphrase = re.findall(r"BCCA_PASSPHRASE='(.*)'", block_with("bcca partners invite"))[0]
    with closing(Node.open(Settings.load(folder / "cells", {}), passphrase)) as node:
        with node.database.read() as session:
            [request] = requests.chosen(session, incoming=False)
        supplier = Settings.load(folder / "mill", {})
        url = f"{supplier.url}/statements/{request.commitment}"

        async def read() -> bytes:
            async with outbox.caller(node) as fetcher:
                return await fetcher.get(url, limit=MAX_ENVELOPE_BYTES, audience=supplier.origin)

        Envelope.parse(asyncio.run(read()))
        return httpx.get(url, trust_env=False).status_code == httpx.codes.NOT_FOUND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder in which the quick starts' network is up."""
    home = tmp_path_factory.mktemp("quick-starts")
    out = home.parent / "network.txt"
    (home.parent / PIDS).touch()
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
        for pid in (home.parent / PIDS).read_text(encoding="utf-8").split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
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


def test_two_companies_that_never_met_go_from_nothing_to_a_fulfilled_request(folder: Path) -> None:
    customer, supplier = block_with("bcca partners invite"), block_with("bcca partners accept")
    asked = next(text for text in INLINE if text.startswith("bcca request list"))

    typed(customer, folder)
    said = typed(f"{supplier}\n{block_with('bcca audit log')}", folder)
    deadline = time.monotonic() + SECONDS
    while "fulfilled" not in (listed := typed(asked, folder)):
        assert time.monotonic() < deadline, listed

    assert 0 < len(commands(f"{customer}\n{asked}", "cells")) <= MAX_COMMANDS
    assert 0 < len(commands(supplier, "mill")) <= MAX_COMMANDS
    assert "published" in said
    assert "ALL HOLDS" in said
    assert can_read_the_answer(folder)


def test_a_pack_maker_and_an_auditor_start_as_printed(folder: Path) -> None:
    maker = typed(block_with("bcca aggregate"), folder)
    auditor = typed(block_with("bcca-verify"), folder)

    assert "108.5888902753488911858321862366716" in maker
    assert "ALL HOLDS" in auditor
    assert "108.5888902753488911858321862366716" in auditor
