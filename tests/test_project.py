"""What contributors and machines are told about the project holds: commands, versions, workflows and the changelog."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.model.card import read_card
from app.settings import Settings
from app.vision.percent import percent
from tests.helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGES = (ROOT / "CHANGELOG.md").read_text()


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


@pytest.mark.parametrize(
    "path",
    [*WORKFLOWS, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", ".pre-commit-config.yaml"))],
    ids=lambda path: path.name,
)
def test_the_commands_that_are_named_exist(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"(?<![\w.\]/(])scripts/[a-z]+", text))
    assert all(os.access(ROOT / one, os.X_OK) for one in named), named
    modules = set(re.findall(r"python -m ((?:bench|training)[.\w]*)", text))
    for module in modules:
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    assert all((ROOT / one).exists() for one in re.findall(r"tests/\w+\.py", text))
    for target in re.findall(r"\]\((?!https:)([\w/.-]+)", text):
        assert (ROOT / target).exists(), target


def test_the_workflows_check_what_the_scripts_check() -> None:
    check = ROOT / ".github" / "workflows" / "check.yml"
    script = (ROOT / "scripts" / "check").read_text().splitlines()
    commands = [line for line in script if line.startswith((".venv/bin/", "npx ", "scripts/venv"))]
    assert len(commands) == 6
    assert [step["run"] for step in jobs(check)["style"]["steps"] if "run" in step][1:] == commands
    assert "scripts/test --fast" in [step.get("run") for step in jobs(check)["fast"]["steps"]]
    least, beyond = (
        tuple(map(int, one.split("."))) for one in re.findall(r"\d+\.\d+", PROJECT["project"]["requires-python"])
    )
    versions = [f"3.{minor}" for minor in range(least[1], beyond[1])]
    for name in ("fast", "style"):
        assert jobs(check)[name]["strategy"]["matrix"]["python"] == versions
    nightly = [step.get("run") for step in steps(ROOT / ".github" / "workflows" / "nightly.yml")]
    assert {"scripts/check", "scripts/nightly"} <= set(nightly)


def test_ci_runs_what_the_readme_shows() -> None:
    (shown,) = re.findall(r"## Start\n\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    commands = [re.split(" +#", line)[0] for line in shown.splitlines()]
    assert commands[1:] == ["scripts/serve", "scripts/check"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == 'exec "$(dirname "$0")/../scripts/check"'
    assert "scripts/test --fast" in shown
    assert "scripts/programs" in (ROOT / "scripts" / "test").read_text()


def test_the_tests_of_other_systems_need_no_tensorflow() -> None:
    (command,) = (
        step["run"] for step in steps(ROOT / ".github" / "workflows" / "check.yml") if "pytest" in step.get("run", "")
    )
    named = re.findall(r"tests/\w+\.py", command)
    assert len(named) > 10
    for one in named:
        assert not re.search(r"^import (pty|termios|fcntl|resource)\b", (ROOT / one).read_text(), re.MULTILINE), one


def test_actions_are_pinned_by_commit_and_may_only_read() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
        used = [step["uses"] for step in steps(path) if "uses" in step]
        assert used
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one) for one in used), used
        assert len(re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)) == len(used)
        assert all("timeout-minutes" in job for job in jobs(path).values())


def test_the_hooks_are_the_environments_own_tools() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == {".venv/bin/ruff", ".venv/bin/mypy"}
    groups = PROJECT["dependency-groups"]
    assert {"ruff", "mypy"} <= {re.split(r"[<>=]", one)[0] for one in groups["lint"]}
    assert {"include-group": "lint"} in groups["dev"]  # So `scripts/test --fast` brings them.


def test_dependabot_looks_where_versions_are_pinned() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {one["package-ecosystem"] for one in updates} == {"uv", "github-actions"}
    assert all(one["cooldown"]["default-days"] >= 7 for one in updates)
    assert (ROOT / "uv.lock").exists()


def test_the_changelog_begins_with_this_version() -> None:
    releases = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", CHANGES, re.MULTILINE)
    assert releases[0] == __version__
    assert releases == sorted(releases, reverse=True)
    kinds = re.findall(r"^### (.*)$", CHANGES, re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_changelog_knows_the_model_that_is_shipped() -> None:
    card = read_card(Settings().model_path)
    row = re.search(r"^\| (\d\S*) \| \d{4}-\d\d-\d\d \| (.*?) \|", CHANGES, re.MULTILINE)
    assert row
    assert row.groups() == (card.version, percent(card.evaluation["PublicTest"].accuracy))


def test_settings_that_the_changelog_names_are_there_or_removed() -> None:
    known = {f"EMOTION_{name.upper()}" for name in Settings.model_fields}
    removed = set(re.findall(r"EMOTION_\w+", re.findall(r"### Removed\n(.*?)\n### ", CHANGES, re.DOTALL)[0]))
    assert removed
    assert not removed & known
    assert set(re.findall(r"EMOTION_\w+", CHANGES)) - removed <= known


def test_the_version_stands_in_one_place_of_the_package() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "app/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
