"""Logs a run to `log.csv` and TensorBoard."""

import csv
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tensorboardX import SummaryWriter


class RunLog:
    """Appends to the log in a run's folder, so that a resumed run continues it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.csv"
        self._writer = SummaryWriter(str(folder))
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add one row: the step, seconds since this start, and the values by name."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as stream:
            log = csv.writer(stream)
            if new:
                log.writerow(["step", "seconds", *values])
            seconds = time.monotonic() - self._started
            log.writerow([step, f"{seconds:.0f}", *(f"{value:.4f}" for value in values.values())])
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
