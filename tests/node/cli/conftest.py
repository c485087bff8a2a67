"""The command line as a user runs it: `main` in this process, or a process of its own."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from tests.ran import Ran
from tests.system.foreign_host import ForeignHost

from bcca_node.app import create_server
from bcca_node.cli import main
from bcca_node.demo.loopback import Loopback, listen, url_of
from bcca_node.ledger.node import Node, found
from bcca_node.ledger.publish import publish
from bcca_node.ledger.witnessing import witness
from bcca_node.network.client import Fetcher
from bcca_node.network.guard import hosts_of
from bcca_node.settings import Settings
from bcca_protocol.inventory import Input
from bcca_protocol.statement import PartialFootprint

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - what `new_node` gives its keys


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


@pytest.fixture(scope="module")
def host() -> Iterator[ForeignHost]:
    """A foreign host on loopback that all tests of a module share."""
    made = ForeignHost()
    with Loopback() as loopback:
        listener = listen()
        made.url = url_of(listener)
        loopback.serve(uvicorn.Server(uvicorn.Config(made.app(), log_level="warning")), listener)
        yield made


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests, and the passphrase of their nodes."""
    for name in [name for name in os.environ if name.startswith("BCCA_") and name != "BCCA_SHARED"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BCCA_PASSPHRASE", PASSPHRASE)


@dataclass(frozen=True)
class Desk:
    """What somebody has at hand: commands, statements to be written, folders to be looked at."""

    capsys: pytest.CaptureFixture[str]
    folder: Path
    part: Callable[..., PartialFootprint]
    bought: Callable[..., Input]

    def bcca(self, *arguments: object, data: Node | Path | None = None) -> Ran:
        """Run a command in this process; `data` is a node, or a folder."""
        told = [] if data is None else ["--data", str(folder_of(data))]
        self.capsys.readouterr()
        status = main([*map(str, arguments), *told])
        out, err = self.capsys.readouterr()
        return Ran(status, out, err)

    def command(self, *arguments: object) -> list[str]:
        """Return the command line of a process."""
        return [str(Path(sys.executable).with_name("bcca")), *map(str, arguments)]

    def process(self, *arguments: object, **told: Any) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=told.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **told,
        )

    def written(self, *predicates: PartialFootprint, **other: object) -> Path:
        """Write predicates as a supplier does: JSON without issuer and nonce."""
        drafts = [msgspec.to_builtins(each) for each in predicates]
        for each in drafts:
            del each["issuer"], each["nonce"]
            each.update(other)
        path = self.folder / f"drafts-{len(list(self.folder.glob('drafts-*')))}.json"
        path.write_text(json.dumps(drafts), encoding="utf-8")
        return path

    def published(self, node: Node, *predicates: PartialFootprint) -> None:
        """Publish predicates of a node, its witnesses being up."""
        publish(node, predicates)

        async def ask() -> bool:
            async with Fetcher(hosts_of(node.trust.required())) as fetcher:
                return (await witness(node, fetcher)).published

        assert asyncio.run(ask())

    def snapshot(self, data: Node | Path) -> dict[str, object]:
        """Return everything a folder says: files by their bytes, databases by their rows."""
        said: dict[str, object] = {}
        for path in sorted(folder_of(data).rglob("*")):
            if path.suffix == ".db" and path.stat().st_size:
                with closing(sqlite3.connect(path)) as database:
                    said[path.name] = list(database.iterdump())
            elif path.is_file() and not path.name.endswith(("-wal", "-shm", "-calls")):
                said[path.name] = path.read_bytes()
        return said

    def backed_up(self, node: Node) -> Path:
        """Copy the data folder of a node as it is now."""
        data = self.folder / f"copy-{len(list(self.folder.glob('copy-*')))}"
        shutil.copytree(node.settings.data, data, ignore=shutil.ignore_patterns("node.db*"))
        with (
            closing(sqlite3.connect(node.settings.data / "node.db")) as source,
            closing(sqlite3.connect(data / "node.db")) as target,
        ):
            source.backup(target)
        return data


@pytest.fixture
def desk(
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    part: Callable[..., PartialFootprint],
    bought: Callable[..., Input],
) -> Desk:
    return Desk(capsys, tmp_path_factory.mktemp("desk"), part, bought)


@pytest.fixture(scope="session")
def witnesses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Five nodes that serve all tests: what they believe and have seen is each test's own."""
    nodes = []
    with Loopback() as loopback:
        for number in range(5):
            listener, data = listen(), tmp_path_factory.mktemp("witness")
            name = f"w{number}.example"
            settings = Settings(data=data, origin=name, name=name, url=url_of(listener))
            nodes.append(found(settings, PASSPHRASE, scrypt_n=2**4))
            loopback.serve(create_server(nodes[-1]), listener)
        yield nodes
    for node in nodes:
        node.close()


@pytest.fixture
def chain(
    witnesses: list[Node], served: Callable[..., Node], policy_of: Callable[..., str]
) -> Chain:
    supplier, pack = served("cathode.example/bcca"), served("pack.example/bcca")
    policy = policy_of([supplier, pack], witnesses, 4)
    for each in (*witnesses, supplier, pack):
        (each.settings.data / "policy.txt").write_text(policy, encoding="utf-8")
    for each in witnesses:
        with closing(sqlite3.connect(each.settings.data / "node.db")) as database:
            database.execute("delete from witnessed")
            database.commit()
    return Chain(pack, supplier, witnesses, policy)


@pytest.fixture
def two_tiers(desk: Desk, chain: Chain) -> Chain:
    """A pack of 6 kg CO2e itself, made of 1 kg of a cathode of 12 kg CO2e, both published."""
    desk.published(chain.supplier, desk.part(chain.supplier.origin, "C1", kg=4))
    buys = (desk.bought("C1", chain.supplier),)
    desk.published(chain.pack, desk.part(chain.pack.origin, "P1", buys=buys))
    return chain


def folder_of(data: Node | Path) -> Path:
    return data.settings.data if isinstance(data, Node) else data
