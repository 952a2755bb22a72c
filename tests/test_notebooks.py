"""The notebooks run, on a small made-up subset, and are committed as executed."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from app.emotions import LABELS
from app.model.card import read_card
from app.settings import Settings
from tests.helpers import ROOT
from training import dataset, evaluate, smoke

pytestmark = pytest.mark.training

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count, seed in (("training_0", 70, 1), ("public_test", 35, 2)):
        rows = smoke.drawn_faces(count, seed)
        kaggle = np.array([dataset.KAGGLE_ORDER.index(LABELS[label]) for label in rows.labels], np.uint8)
        assert rows.votes is not None
        np.savez(tmp_path / f"{name}.npz", pixels=rows.pixels, emotion=kaggle, ferplus_votes=rows.votes)
    monkeypatch.setenv("FER2013", str(tmp_path))
    monkeypatch.setenv("STEPS", "2")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_executed(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)


def test_the_experiments_show_the_figures_of_the_card() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "4_experiments.ipynb", as_version=4)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    for one in read_card(Settings().model_path).evaluation.values():
        assert evaluate.report(one) in printed
