"""The command line as a user runs it: `main` in this process, or a process of its own."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bcca_node.cli import main
from bcca_node.ledger.node import Node
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_protocol.statement import PartialFootprint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one sentence of a command that did nothing."""
        assert self.out == ""
        assert self.err.startswith("bcca: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err


@dataclass(frozen=True)
class Chain:
    """A pack maker, its supplier, and five witnesses, four of them a quorum."""

    pack: Node
    supplier: Node
    witnesses: list[Node]
    policy: str

    def believe(self, policy: str) -> None:
        """Let the pack maker believe something else."""
        (self.pack.settings.data / "policy.txt").write_text(policy, encoding="utf-8")


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests, and the passphrase of their nodes."""
    for name in [name for name in os.environ if name.startswith("BCCA_") and name != "BCCA_SHARED"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BCCA_PASSPHRASE", PASSPHRASE)


@pytest.fixture
def bcca(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process; `data` is a node, or a folder."""

    def run(*arguments: object, data: Node | Path | None = None) -> Ran:
        folder = data.settings.data if isinstance(data, Node) else data
        told = [] if folder is None else ["--data", str(folder)]
        capsys.readouterr()
        status = main([*map(str, arguments), *told])
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.Popen[str]]:
    """Start a command as a process of its own."""

    def start(*arguments: object, **told: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own words, no one else's
            [Path(sys.executable).with_name("bcca"), *map(str, arguments)],
            stdin=told.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **told,
        )

    return start


@pytest.fixture
def chain(served: Callable[..., Node], policy_of: Callable[..., str]) -> Chain:
    witnesses = [served(f"w{number}.example") for number in range(5)]
    supplier, pack = served("cathode.example/bcca"), served("pack.example/bcca")
    policy = policy_of([supplier, pack], witnesses, 4)
    for each in (*witnesses, supplier, pack):
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    return Chain(pack, supplier, witnesses, policy)


@pytest.fixture
def published() -> Callable[..., None]:
    """Publish predicates of a node, its witnesses being up."""

    def put(node: Node, *predicates: PartialFootprint) -> None:
        publish(node, predicates)

        async def ask() -> bool:
            async with Fetcher(hosts_of(node.trust.required())) as fetcher:
                return (await witness(node, fetcher)).published

        assert asyncio.run(ask())

    return put


@pytest.fixture
def two_tiers(
    chain: Chain,
    part: Callable[..., PartialFootprint],
    bought: Callable[..., Any],
    published: Callable[..., None],
) -> Chain:
    """A pack of 6 kg CO2e itself, made of 1 kg of a cathode of 12 kg CO2e, both published."""
    published(chain.supplier, part(chain.supplier.origin, "C1", kg=4))
    published(chain.pack, part(chain.pack.origin, "P1", buys=(bought("C1", chain.supplier),)))
    return chain


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write predicates as a supplier does: JSON without issuer and nonce."""

    def write(*predicates: PartialFootprint, **other: object) -> Path:
        drafts = [msgspec.to_builtins(each) for each in predicates]
        for each in drafts:
            del each["issuer"], each["nonce"]
            each.update(other)
        path = tmp_path / f"drafts-{len(list(tmp_path.glob('drafts-*')))}.json"
        path.write_text(json.dumps(drafts), encoding="utf-8")
        return path

    return write


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, object]]:
    """Return everything a folder says: files by their bytes, databases by their rows."""

    def take(folder: Path) -> dict[str, object]:
        said: dict[str, object] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".db" and path.stat().st_size:
                with sqlite3.connect(path) as database:
                    said[path.name] = list(database.iterdump())
                database.close()
            elif path.is_file() and not path.name.endswith(("-wal", "-shm")):
                said[str(path.relative_to(folder))] = path.read_bytes()
        return said

    return take
