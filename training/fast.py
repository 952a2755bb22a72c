"""Train one network for a given time on a GPU, in PyTorch; with teachers, it is distilled from them.

    python -m training.fast --data DIR/training_*.npz --out runs/residual --network residual --seconds 600
    python -m training.fast --data DIR/training_*.npz --out runs/fast --start training/half_resolution.npz \
        --teachers training/half_resolution.npz,runs/residual --seconds 170

The learning rate falls with the time that has passed, so a run does not repeat exactly. The teachers see the student's
augmented and mixed view (Beyer et al. 2022). A run's folder gets `flags.json` and `network.npz`. A VGG16 has the layout
of `training/half_resolution.npz`; `training.train --start runs/fast` goes on from there, or grows it.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.emotions import LABELS
from app.model.classifier import computes_bfloat16
from app.vision.preprocess import DETAIL_SIZE
from training import dataset
from training.network import CONVOLUTIONS, CROP, FULL, HALF_FILE, half_weights, layer_names
from training.schedule import learning_rate

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

BFLOAT16 = DEVICE.type == "cuda" or computes_bfloat16()
"""Whether bfloat16 is fast. Elsewhere it is emulated, many times slower than float32."""

RESIDUAL = (48, 96, 192, 384)
"""Channels of the residual network's four stages."""

TEMPERATURE = 2.0
STATISTICS_ROWS = 12288


@dataclass(frozen=True)
class Flags:
    """What decides a run's result besides the data and the machine.

    Attributes:
        network: `vgg16`, or `residual`, a teacher.
        start: initial weights: the folder of a finished run, or its file (.npz), whose kind `network` then follows.
            Random weights when empty.
        teachers: folders or files of finished networks, separated by commas; none when empty.
        seconds: duration of the training.
        batch: faces per step.
        rate: peak learning rate; it warms up over 5 % of the time and falls to zero along a cosine.
        decay: weight decay of the kernels.
        dropout: share of the averaged features that is dropped.
        mixed: share of the batches whose faces are mixed in pairs (Zhang et al. 2018).
        seed: seed of the initial weights, the order of rows and the augmentation.
    """

    network: str = "vgg16"
    start: str = ""
    teachers: str = ""
    seconds: float = 600.0
    batch: int = 512
    rate: float = 0.1
    decay: float = 1e-3
    dropout: float = 0.2
    mixed: float = 0.5
    seed: int = 1


class Network(nn.Module):  # type: ignore[misc]
    """Features, their average over the places, and logits: float32 [N, 1, 48, 48] in [0, 1] -> [N, 7] and [N, 9]."""

    def __init__(self, features: nn.Sequential, channels: int, dropout: float) -> None:
        super().__init__()
        self.features, self.dropout = features, nn.Dropout(dropout)
        self.expression = nn.Linear(channels, len(LABELS))
        self.votes = nn.Linear(channels, len(dataset.VOTE_NAMES))

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=BFLOAT16):
            x = self.features(self.cut(faces).contiguous(memory_format=torch.channels_last))
            x = self.dropout(x.mean((2, 3)))
            expression, votes = self.expression(x), self.votes(x)
        return expression.float(), votes.float()

    def cut(self, faces: Tensor) -> Tensor:
        """The part of the faces that the features see, with their channels."""
        return faces

    def arrays(self) -> dict[str, Tensor]:
        """All weights, by their names in a file."""
        return {name: tensor for name, tensor in self.state_dict().items() if tensor.ndim}


class Vgg16(Network):
    """VGG16 with BatchNorm on the middle 44 of 48 px."""

    def __init__(self, dropout: float) -> None:
        parts: list[nn.Module] = []
        channels = 3
        for count, width in zip(CONVOLUTIONS, FULL, strict=True):
            for _ in range(count):
                parts += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
                channels = width
            parts.append(nn.MaxPool2d(2))
        super().__init__(nn.Sequential(*parts), channels, dropout)

    def cut(self, faces: Tensor) -> Tensor:
        margin = (DETAIL_SIZE - CROP) // 2
        return faces[:, :, margin:-margin, margin:-margin].expand(-1, 3, -1, -1)

    def arrays(self) -> dict[str, Tensor]:
        """All weights, by the names that `training.network.half_resolution` reads."""
        values: dict[str, Tensor] = {}
        kernels, norms = ([m for m in self.features if isinstance(m, kind)] for kind in (nn.Conv2d, nn.BatchNorm2d))
        for (_, _, name, _), convolution, norm in zip(layer_names(), kernels, norms, strict=True):
            values[f"{name}/kernel"] = convolution.weight.detach().permute(2, 3, 1, 0)
            values[f"{name}/bn_gamma"], values[f"{name}/bn_beta"] = norm.weight.detach(), norm.bias.detach()
            values[f"{name}/bn_mean"], values[f"{name}/bn_variance"] = norm.running_mean, norm.running_var
        for name, head in (("fer", self.expression), ("ferplus", self.votes)):
            values |= {f"{name}/kernel": head.weight.detach().T, f"{name}/bias": head.bias.detach()}
        return values


class Block(nn.Module):  # type: ignore[misc]
    """Residual block, pre-activated (He et al. 2016), with squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.squeeze, self.excite = nn.Linear(outputs, outputs // 16), nn.Linear(outputs // 16, outputs)
        changed = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(active))))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return y * gate[:, :, None, None] + (x if self.shortcut is None else self.shortcut(active))


class Residual(Network):
    """Residual network of eight blocks in four stages, with a 3x3 stem that keeps the side."""

    def __init__(self, dropout: float) -> None:
        channels = RESIDUAL[0]
        parts: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1, bias=False)]
        for stage, width in enumerate(RESIDUAL):
            parts += [Block(channels, width, 2 if stage else 1), Block(width, width, 1)]
            channels = width
        super().__init__(nn.Sequential(*parts, nn.BatchNorm2d(channels), nn.ReLU(True)), channels, dropout)


NETWORKS = {"vgg16": Vgg16, "residual": Residual}


class Faces:
    """Labelled faces on the device.

    Attributes:
        pixels: uint8 [N, 48, 48].
        labels: float32 [N, 7], one-hot.
        votes: float32 [N, 9], as from `dataset.vote_targets`.
    """

    def __init__(self, rows: dataset.Rows) -> None:
        self.pixels = torch.from_numpy(np.ascontiguousarray(rows.pixels)).to(DEVICE)
        self.labels = F.one_hot(torch.from_numpy(rows.labels), len(LABELS)).float().to(DEVICE)
        self.votes = torch.from_numpy(dataset.vote_targets(rows)).to(DEVICE)

    def __len__(self) -> int:
        return len(self.pixels)

    def indices(self, batch: int) -> Iterator[Tensor]:
        """Indices of the rows of each batch, int64 [batch], without end; every row once per epoch."""
        while True:
            yield from torch.randperm(len(self), device=DEVICE).split(batch)[: len(self) // batch]

    def view(self, index: Tensor, mixed: float) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented faces, labels and votes of the rows `index`, mixed in pairs with probability `mixed`."""
        share = 1 - torch.rand((), device=DEVICE) / 2 * (torch.rand((), device=DEVICE) < mixed)
        parts = augmented(self.pixels[index]), self.labels[index], self.votes[index]
        faces, labels, votes = (share * part + (1 - share) * part.roll(1, 0) for part in parts)
        return faces, labels, votes


def augmented(pixels: Tensor) -> Tensor:
    """One resample, tone, noise and one erased box: uint8 [N, 48, 48] -> float32 [N, 1, 48, 48] in [0, 1]."""
    count = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape, device=DEVICE).uniform_(low, high)

    def some(share: float, *shape: int) -> Tensor:
        return uniform(0, 1, *shape) < share

    angle, zoom = uniform(-0.3, 0.3), uniform(-0.2, 0.2).exp()
    mirror = 1 - 2 * some(0.5).float()
    rows = [angle.cos() * zoom * mirror, -angle.sin() * zoom, angle.sin() * zoom * mirror, angle.cos() * zoom]
    affine = torch.cat([torch.stack(rows, 1).view(count, 2, 2), uniform(-0.16, 0.16, 2, 1)], 2)
    grid = F.affine_grid(affine, [count, 1, DETAIL_SIZE, DETAIL_SIZE], align_corners=False)
    x = F.grid_sample(pixels[:, None].float() / 255, grid, padding_mode="border", align_corners=False)
    small = F.interpolate(F.avg_pool2d(x, 2), (DETAIL_SIZE, DETAIL_SIZE), mode="bilinear", align_corners=False)
    x = torch.where(some(0.15, 1, 1, 1), small, x)
    contrast = uniform(-0.3, 0.3, 1, 1, 1) + uniform(-1.0, 0.0, 1, 1, 1) * some(0.15, 1, 1, 1)
    light = uniform(-1.6, 0.0, 1, 1, 1) * some(0.15, 1, 1, 1)
    x = ((x - 0.5) * contrast.exp() + 0.5 + uniform(-0.12, 0.12, 1, 1, 1)) * light.exp()
    x = (x + torch.randn_like(x) * uniform(0.0, 0.08, 1, 1, 1) * some(0.3, 1, 1, 1)).clamp(0, 1)
    area, aspect, place = uniform(0.02, 0.2), uniform(-1, 1).exp(), torch.arange(DETAIL_SIZE, device=DEVICE)
    high = (place - uniform(0, DETAIL_SIZE, 1)).abs() < (area * aspect).sqrt()[:, None] * DETAIL_SIZE / 2
    wide = (place - uniform(0, DETAIL_SIZE, 1)).abs() < (area / aspect).sqrt()[:, None] * DETAIL_SIZE / 2
    erased = high[:, None, :, None] & wide[:, None, None, :] & some(0.45, 1, 1, 1)
    return torch.where(erased, uniform(0, 1, 1, 1, 1), x)


def train(network: Network, faces: Faces, teachers: list[Network], flags: Flags) -> int:
    """Train `network` and leave it in inference mode with its averaged weights; return the number of steps."""
    parameters = list(network.parameters())
    kernels, others = ([one for one in parameters if (one.ndim > 1) == many] for many in (True, False))
    groups = [{"params": kernels, "weight_decay": flags.decay}, {"params": others}]
    rate = torch.zeros((), device=DEVICE)
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    average = [one.detach().clone() for one in parameters]
    batch = min(flags.batch, len(faces))
    index = torch.arange(batch, device=DEVICE)

    def step() -> None:
        optimizer.zero_grad()
        loss(network, *faces.view(index, flags.mixed), teachers).backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    network.train()
    go = captured(step) if DEVICE.type == "cuda" else step
    began, steps = time.perf_counter(), 0
    for rows in faces.indices(batch):
        if steps % 50 == 0 and DEVICE.type == "cuda":
            torch.cuda.synchronize()  # So that `done` is the time of finished steps.
        done = (time.perf_counter() - began) / flags.seconds
        if done >= 1 and steps:
            break
        rate.fill_(learning_rate(flags.rate, done))
        index.copy_(rows)
        go()
        steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, max(1e-3, 19 / (20 + steps)))
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    settle(network, faces)
    return steps


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """`step` as a CUDA graph, which runs without Python, after three runs that choose kernels and allocate memory."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def loss(network: Network, view: Tensor, labels: Tensor, votes: Tensor, teachers: list[Network]) -> Tensor:
    """Cross-entropy with labels and votes, and with the teachers' averaged answer to the same view."""
    expression, crowd = network(view)
    from_votes = F.cross_entropy(crowd, votes)
    if not teachers:
        return F.cross_entropy(expression, labels, label_smoothing=0.1) + 0.6 * from_votes
    with torch.no_grad():
        answers = [(teacher(view)[0] / TEMPERATURE).softmax(1) for teacher in teachers]
        answer = torch.stack(answers).mean(0)
    taught = TEMPERATURE**2 * F.cross_entropy(expression / TEMPERATURE, answer)
    return 0.7 * taught + 0.3 * F.cross_entropy(expression, labels) + 0.3 * from_votes


@torch.no_grad()  # type: ignore[untyped-decorator]
def settle(network: Network, faces: Faces) -> None:
    """Re-estimate BatchNorm's statistics on unchanged and mirrored faces, and leave inference mode on."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for part in faces.pixels[torch.randperm(len(faces), device=DEVICE)[:STATISTICS_ROWS]].split(512):
        unchanged = part[:, None].float() / 255
        network(torch.cat([unchanged, unchanged.flip(3)]))
    network.eval()


@torch.no_grad()  # type: ignore[untyped-decorator]
def accuracy(network: Network, faces: Faces) -> float:
    """Share of `faces` whose top logit is the label."""
    right = 0.0
    for pixels, labels in zip(faces.pixels.split(1024), faces.labels.split(1024), strict=True):
        right += float((network(pixels[:, None].float() / 255)[0].argmax(1) == labels.argmax(1)).sum())
    return right / len(faces)


def save(network: Network, path: Path) -> None:
    """Write all weights, kernels in float16."""
    arrays = {name: part.half() if part.ndim == 4 else part for name, part in network.arrays().items()}
    np.savez(path, **{name: part.cpu().contiguous().numpy() for name, part in arrays.items()})


def load(source: str, dropout: float = 0.0) -> Network:
    """Read the network of a run's folder or file in inference mode; the names in the file tell its kind.

    Raises:
        ValueError: there is no such file.
    """
    path = half_weights(source)
    if path is None:
        raise ValueError(f"{source} has no weights of a network of half the resolution.")
    with np.load(path) as arrays:
        network: Network = (Vgg16 if "fer/kernel" in arrays else Residual)(dropout)
        for name, part in network.arrays().items():
            part.copy_(torch.from_numpy(arrays[name]))
    network.to(DEVICE, memory_format=torch.channels_last).eval()
    return network


def run(flags: Flags, rows: dataset.Rows, validation: dataset.Rows | None, out: Path) -> float:
    """Train, write `flags.json` and `network.npz` into `out`, and return the accuracy on `validation`, or NaN."""
    torch.manual_seed(flags.seed)
    torch.backends.cudnn.benchmark = True
    if flags.start:
        network = load(flags.start, flags.dropout)
    else:
        network = NETWORKS[flags.network](flags.dropout)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        network.to(DEVICE, memory_format=torch.channels_last)
    faces = Faces(dataset.usable(rows))
    teachers = [load(source) for source in flags.teachers.split(",") if source]
    steps = train(network, faces, teachers, flags)
    out.mkdir(parents=True, exist_ok=True)
    (out / "flags.json").write_text(json.dumps(asdict(flags) | {"steps": steps}, indent=2) + "\n")
    save(network, out / HALF_FILE)
    print(f"{steps} steps, {steps * min(flags.batch, len(faces)) / len(faces):.1f} epochs", flush=True)
    return accuracy(network, Faces(validation)) if validation is not None else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="training rows: .npz, fer2013.csv or folders")
    parser.add_argument("--validation", nargs="*", default=[], help="rows whose accuracy is printed at the end")
    parser.add_argument("--out", type=Path, default=Path("runs/fast"), help="the run's folder")
    for name, value in asdict(Flags()).items():
        choices = tuple(NETWORKS) if name == "network" else None
        parser.add_argument(f"--{name}", type=type(value), default=value, choices=choices)
    arguments = vars(parser.parse_args())
    data, validation, out = (arguments.pop(name) for name in ("data", "validation", "out"))
    held_out = dataset.load(*validation, usage="PublicTest") if validation else None
    result = run(Flags(**arguments), dataset.load(*data, usage="Training"), held_out, out)
    print(f"validation accuracy: {result:.4f}")


if __name__ == "__main__":
    main()
