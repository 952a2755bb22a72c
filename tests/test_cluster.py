"""The service on Ray Serve: the same answers, and a lost replica costs no more than what it was at."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.ray

IN_FLIGHT = 8


def test_ray_serve_answers_the_same_and_survives_its_replicas() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench.cluster", "--engine", "litert", "--seconds", "1"],
        cwd=ROOT,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout[result.stdout.index("{\n") :])
    assert found["largest difference of a probability"] <= 1e-5
    for replica in ("Model", "Service"):
        loss = found[f"loss of {replica}"]
        assert loss["failed"] <= IN_FLIGHT
        assert loss["answered"] > IN_FLIGHT
        assert loss["recovered after s"] < 30
