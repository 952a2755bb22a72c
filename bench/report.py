"""Formats the results as text, as the tables of the documents, and as a plot."""

import platform
from pathlib import Path
from typing import Any

import psutil
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

Results = dict[str, Any]

ENGINES = ("keras", "litert")


def machine() -> dict[str, str | int]:
    """The machine of the measurement."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": psutil.cpu_count() or 0,
        "memory GB": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
    }


def rows(results: Results) -> list[tuple[str, dict[str, str], str]]:
    """Rows of the main table: name, cell of each engine, aim (keras; litert)."""
    services = results["services"]
    textbook = services["textbook"]
    found = results["detection"]["share of full size's faces found too"]

    def each(cell: Any) -> dict[str, str]:
        return {engine: cell(engine) for engine in ENGINES if engine in services}

    def throughput(picture: str) -> dict[str, str]:
        base = textbook["throughput"][picture]
        return each(lambda engine: f"{services[engine]['throughput'][picture] / base:.1f}x")

    return [
        ("Portrait, 8 in flight: throughput", throughput("portrait, 8 in flight"), "7x; 9x"),
        (
            "Portrait, alone: median latency",
            each(lambda engine: f"{services[engine]['alone']['p50'] / textbook['alone']['p50']:.2f}x"),
            "0.25x; 0.20x",
        ),
        ("12-megapixel photo, 8 in flight: throughput", throughput("photo, 8 in flight"), "15x; 15x"),
        ("Group of 8, 8 in flight: throughput", throughput("group, 8 in flight"), "5x; 6x"),
        ("Camera frame, 8 in flight: throughput", throughput("frame, 8 in flight"), ""),
        (
            "Model alone, batch of 8: VGG16's arithmetic a second over a matrix product's",
            each(lambda engine: f"{results['model'][engine]['ratio']:.1f} ({results['model'][engine]['precision']})"),
            "1.0; 2.0",
        ),
        (
            "The same of the arithmetic that the model's weights leave to do",
            each(lambda engine: f"{results['model'][engine]['ratio of the arithmetic that is done']:.1f}"),
            "",
        ),
        (
            "Goodput at 3x overload over the peak",
            each(lambda engine: f"{services[engine]['overload']['goodput over peak']:.2f}"),
            "0.9; 0.9",
        ),
        (
            "Refusals at 3x overload: 99 % within",
            each(lambda engine: f"{services[engine]['overload']['refusal p99']:.0f} ms"),
            "100 ms",
        ),
        ("Time to ready", each(lambda engine: f"{services[engine]['ready']:.1f} s"), "12 s; 2 s"),
        ("Resident memory", each(lambda engine: f"{services[engine]['resident MB']:.0f} MB"), "1200 MB; 400 MB"),
        (
            "Faces of at least a tenth of the short side, of those that full-size Haar finds",
            each(lambda _: f"{100 * found:.1f} %"),
            "98 %",
        ),
    ]


def headline(results: Results) -> str:
    """The table of speeds in README.md: every service in absolute figures."""
    services = results["services"]

    def row(name: str, cell: Any) -> str:
        return "| " + " | ".join([name, *(cell(services[one]) for one in (*ENGINES, "textbook"))]) + " |"

    def rate(picture: str) -> Any:
        return lambda one: f"{one['throughput'][f'{picture}, 8 in flight']:.3g}"

    return "\n".join(
        [
            "| | keras | litert | textbook |",
            "| --- | --- | --- | --- |",
            row("Portrait, alone: median", lambda one: f"{one['alone']['p50']:.0f} ms"),
            row("Portraits a second, 8 in flight", rate("portrait")),
            row("12-megapixel photos a second", rate("photo")),
            row("Time to ready", lambda one: f"{one['ready']:.1f} s"),
            row("Resident memory", lambda one: f"{one['resident MB']:.0f} MB"),
        ]
    )


def table(results: Results) -> str:
    """The table in bench/README.md: ratios to the textbook service."""
    lines = ["| Against the textbook service | keras | litert | Aim |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {cells.get('keras', '')} | {cells.get('litert', '')} | {aim} |"
        for name, cells, aim in rows(results)
    ]
    return "\n".join(lines)


def text(results: Results) -> str:
    """All results as text."""
    lines = [", ".join(f"{name} {value}" for name, value in results["machine"].items())]
    for name, one in results["services"].items():
        lines.append(f"\n{name}: ready in {one['ready']:.1f} s, {one['resident MB']:.0f} MB resident")
        lines.append(f"  alone: p50 {one['alone']['p50']:.1f} ms, p99 {one['alone']['p99']:.1f} ms")
        lines += [f"  {case}: {rate:.2f}/s" for case, rate in one["throughput"].items()]
        lines.append(f"  highest rate with p99 within 5 x alone: {one['sustained']:.1f}/s")
        over = one["overload"]
        lines.append(
            f"  3 x overload: {over['goodput over peak']:.2f} of the peak, {over['refused']:.0f} refused (p99"
            f" {over['refusal p99']:.0f} ms), {over['failures']:.0f} failures, recovered after {over['recovery']:.2f} s"
        )
        if one["stages"]:
            lines.append(f"  milliseconds at 8 in flight, waiting included: {one['stages']}")
    for engine, one in results["model"].items():
        lines.append(
            f"\nmodel on {engine} ({one['precision']}): {one['faces per second']:.1f} faces/s in batches of 8,"
            f" {one['milliseconds for one face']:.1f} ms for one; {one['ratio']:.2f} of sgemm's"
            f" {one['sgemm GFLOP/s']:.0f} GFLOP/s"
        )
        lines += [f"  processor milliseconds, {picture}: {stages}" for picture, stages in one["stages"].items()]
    lines.append("\ndetection")
    lines += [f"  {name:42}{value:10.3f}" for name, value in results["detection"].items()]
    return "\n".join([*lines, "", headline(results), "", table(results)])


def draw(results: Results, path: Path) -> None:
    """Plot the throughput by picture and service, on a logarithmic axis."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    services = results["services"]
    cases = list(services["textbook"]["throughput"])
    width = 0.8 / len(services)
    for number, (name, colour) in enumerate(zip(services, ("#8a8f98", "#2f6db3", "#3f9d6a"), strict=False)):
        rates = [services[name]["throughput"][case] for case in cases]
        bars = axes.bar([place + number * width for place in range(len(cases))], rates, width, label=name, color=colour)
        axes.bar_label(bars, [f"{rate:.1f}" for rate in rates], fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xticks(
        [place + 0.4 - width / 2 for place in range(len(cases))], [case.replace(", ", "\n") for case in cases]
    )
    axes.set_ylabel("pictures per second")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(services))
    figure.savefig(path, dpi=120)


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
