"""Compute the time for ten million pictures from the rates that `python -m bench` measured.

python -m bench.capacity
"""

import json
from pathlib import Path

from bench.report import ENGINES, Results

RESULTS = Path(__file__).with_name("results.json")
PICTURES = 10_000_000
NODES = (1, 10, 100)
CASES = {"portrait": "portrait, 8 in flight", "12-megapixel photo": "photo, 8 in flight"}


def table(results: Results) -> str:
    """A Markdown table: pictures per second of a machine and of a core, and hours for all pictures."""
    cores = results["machine"]["cores"]
    heads = ["Pictures", "Engine", "A second", "A second and core", *(f"{nodes} x {cores} cores" for nodes in NODES)]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name, case in CASES.items():
        for engine in ENGINES:
            rate = results["services"][engine]["throughput"][case]
            hours = [PICTURES / rate / nodes / 3600 for nodes in NODES]
            lines.append(
                _line([name, engine, f"{rate:.0f}", f"{rate / cores:.0f}", *(f"{one:.1f} h" for one in hours)])
            )
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    print(table(json.loads(RESULTS.read_text())), end="")


if __name__ == "__main__":
    main()
