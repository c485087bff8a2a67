"""What every test may ask for. Imports no node: the protocol's tests run without one."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of cases and vectors: BCCA_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("BCCA_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"set BCCA_SHARED to the folder of cases and vectors: {folder} is not there")
    return folder
