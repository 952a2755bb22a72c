"""What is written for clusters, engines and Spaces fits the service: its settings, addresses, needs and files."""

import hashlib
import json
import re
import socket
import subprocess
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.settings import Settings
from bench.server import free_port
from tests.helpers import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
API = (ROOT / "README_API.md").read_text()
GUIDE = (ROOT / "deploy" / "README.md").read_text()
MANIFESTS = ROOT / "deploy" / "kubernetes"
OVERLAYS = {"base": "keras", "lite": "litert"}
"""The engine that each runs."""

Object = dict[str, Any]


def read(path: Path) -> Object:
    one: Object = yaml.safe_load(path.read_text())
    return one


def recipe(overlay: str) -> Object:
    """The kustomization of an overlay."""
    return read(MANIFESTS / overlay / "kustomization.yaml")


def manifests() -> list[Object]:
    """The objects of the base: each file holds one."""
    return [read(path) for path in (MANIFESTS / "base").glob("*.yaml") if path.name != "kustomization.yaml"]


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects() -> dict[str, Object]:
    """The objects of the base, by kind. The lite overlay changes no more than a test below lets it."""
    return {one["kind"]: one for one in manifests()}


@pytest.fixture
def pod(objects: dict[str, Object]) -> Object:
    spec: Object = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: Object) -> Object:
    (container,) = pod["containers"]
    one: Object = container
    return one


@pytest.fixture
def resources(overlay: str, container: Object) -> Object:
    """What an overlay gives the container."""
    if overlay == "lite":
        (container,) = read(MANIFESTS / "lite" / "resources.yaml")["spec"]["template"]["spec"]["containers"]
    one: Object = container["resources"]
    return one


def compose() -> dict[str, Object]:
    services: dict[str, Object] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return services


def measured(engine: str) -> Object:
    results: Object = json.loads((ROOT / "bench" / "results.json").read_text())
    assert results["machine"]["cores"] == 2
    service: Object = results["services"][engine]
    return service


def needed_bytes(engine: str, threads: int) -> float:
    """What is resident, a picture of the most expensive kind in each thread, and all the bodies that may be held."""
    (largest,) = re.findall(r"takes up to (\d+) MB", API)
    pictures = 1e6 * (measured(engine)["resident MB"] + threads * int(largest))
    return float(pictures + Settings().max_held_bytes)


def in_bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|g)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 2**20, "Gi": 2**30, "g": 2**30}[unit]


def variables(container: Object) -> dict[str, str]:
    """The environment that Kubernetes gives the container, where the secret is there."""
    values = {}
    for one in container["env"]:
        source = one["valueFrom"]
        if "resourceFieldRef" in source:
            values[one["name"]] = container["resources"]["limits"]["cpu"]
            assert source["resourceFieldRef"] == {"resource": "limits.cpu"}
        else:
            assert source["secretKeyRef"]["optional"] is True
            values[one["name"]] = "0" * 64
    return values


@pytest.mark.parametrize(
    "version", [*re.findall(r"Kubernetes (\S+) or newer", GUIDE), kubernetes_validate.latest_version()]
)
def test_the_manifests_fit_their_schemas(version: str) -> None:
    for one in manifests():
        kubernetes_validate.validate(one, version, strict=True)


def test_everything_points_at_the_same_pods(objects: dict[str, Object]) -> None:
    deployment = objects["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


def test_the_settings_of_the_manifests_are_the_services(container: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"EMOTION_{name.upper()}" for name in Settings.model_fields}
    given = variables(container)
    assert given.keys() <= names
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.model_threads, settings.picture_threads) == (2, 2)


def test_a_service_of_the_cluster_cannot_set_a_setting(pod: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_PORT", "tcp://10.0.0.1:80")
    with pytest.raises(ValueError, match="EMOTION_PORT"):
        Settings()
    assert pod["enableServiceLinks"] is False


def test_the_guides_settings_are_the_services() -> None:
    assert set(re.findall(r"EMOTION_[A-Z_]+", GUIDE)) <= {f"EMOTION_{name.upper()}" for name in Settings.model_fields}


def test_the_probes_are_answered_at_the_images_port(
    objects: dict[str, Object], container: Object, service: str
) -> None:
    (port,) = container["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in DOCKERFILE
    assert f"PORT={port['containerPort']}\n" in DOCKERFILE
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] == port["name"]
        assert httpx2.get(service + probe["path"]).json()["status"] in {"ready", "alive"}
    (exposed,) = objects["Service"]["spec"]["ports"]
    assert exposed["targetPort"] == port["name"]
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": port["name"]}]
    scraped = objects["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(port["containerPort"])
    assert httpx2.get(service + scraped["prometheus.io/path"]).text.startswith("# HELP")


def test_the_overlays_are_made_of_the_files_beside_them(overlay: str) -> None:
    files = recipe(overlay)
    assert files.keys() <= {"apiVersion", "kind", "resources", "images", "patches"}
    named = {*files["resources"], *(patch["path"] for patch in files.get("patches", []))}
    assert all((MANIFESTS / overlay / name).exists() for name in named)
    assert {path.name for path in (MANIFESTS / overlay).iterdir()} == named - {"../base"} | {"kustomization.yaml"}


def test_the_lite_overlay_changes_the_image_and_the_resources_only(
    objects: dict[str, Object], container: Object
) -> None:
    assert recipe("lite")["resources"] == ["../base"]
    assert recipe("lite")["patches"] == [{"path": "resources.yaml"}]
    patch = read(MANIFESTS / "lite" / "resources.yaml")
    (patched,) = patch["spec"]["template"]["spec"]["containers"]
    deployment = objects["Deployment"]
    assert patch == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "metadata": {"name": deployment["metadata"]["name"]},
        "spec": {"template": {"spec": {"containers": [patched]}}},
    }
    assert patched == {"name": container["name"], "resources": patched["resources"]}


def test_the_start_has_ten_times_as_long_as_was_measured(overlay: str, container: Object) -> None:
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 10 * measured(OVERLAYS[overlay])["ready"]


def test_memory_and_processors_are_what_was_measured(overlay: str, resources: Object) -> None:
    assert resources.keys() == {"requests", "limits"}
    requests, limits = resources["requests"], resources["limits"]
    assert requests.keys() == limits.keys() == {"cpu", "memory"}
    engine = OVERLAYS[overlay]
    assert requests["cpu"] == limits["cpu"] == "2"
    assert in_bytes(requests["memory"]) > 1e6 * measured(engine)["resident MB"]
    assert in_bytes(limits["memory"]) > needed_bytes(engine, threads=2)


def test_pods_are_confined(pod: Object, container: Object, objects: dict[str, Object]) -> None:
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards/ restricts them, and further."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in pod
    policy = objects["NetworkPolicy"]["spec"]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])


def test_it_is_given_the_time_that_it_takes_to_stop(pod: Object, container: Object) -> None:
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pod["terminationGracePeriodSeconds"] >= pause + Settings().stop_seconds + 5


@pytest.mark.parametrize(("name", "engine"), {"full": "keras", "lite": "litert"}.items())
def test_compose_confines_and_bounds_each_image(name: str, engine: str) -> None:
    service = compose()[name]
    assert service.get("profiles") == (None if name == "full" else [name])  # Without a profile it is started.
    assert service["build"]["target"] == name
    assert f" AS {name}\n" in DOCKERFILE
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "tmpfs" not in service
    assert service["ports"] == [f"${{PORT:-{port}}}:{port}" for port in re.findall(r"EXPOSE (\d+)", DOCKERFILE)]
    assert int(service["stop_grace_period"].removesuffix("s")) >= Settings().stop_seconds + 5
    given = service["environment"]
    assert given.keys() <= {f"EMOTION_{field.upper()}" for field in Settings.model_fields}
    threads = service["cpus"]
    assert (given["EMOTION_MODEL_THREADS"], given["EMOTION_PICTURE_THREADS"]) == (threads, threads)
    assert in_bytes(service["mem_limit"]) > needed_bytes(engine, threads)
    # Without a test of its own it is the image's check.
    assert service["healthcheck"].keys() == {"start_period", "start_interval"}
    assert f"--start-period={service['healthcheck']['start_period']}" in DOCKERFILE


def test_images_are_called_the_same_everywhere(container: Object) -> None:
    assert container["image"].partition(":")[0] == "expressions"
    names = {name: service["image"] for name, service in compose().items()}
    assert names == {"full": f"expressions:{__version__}", "lite": f"expressions:{__version__}-lite"}
    for overlay, name in {"base": "full", "lite": "lite"}.items():
        (image,) = recipe(overlay)["images"]
        assert image.keys() == {"name", "newTag"}
        assert f"{image['name']}:{image['newTag']}" == names[name]
    for name in names.values():
        assert re.search(rf"{re.escape(name)}(?![\w-])", GUIDE)


def stages() -> dict[str, str]:
    """The Dockerfile's stages, by name."""
    found = re.finditer(r"^FROM .* AS (\w+)\n(?:(?!FROM ).*\n)*", DOCKERFILE, re.MULTILINE)
    return {match[1]: match[0] for match in found}


def copied(*names: str) -> set[str]:
    """The files that stages are built from, by their COPY lines."""
    files: set[str] = set()
    for name in names:
        for line in re.findall(r"^COPY (.*)$", stages()[name], re.MULTILINE):
            mode, *sources = line.split()[:-1]
            for source in sources:
                assert mode == ("--chmod=755" if (ROOT / source).is_dir() else "--chmod=644"), line
                path = ROOT / source
                assert path.exists(), source
                inside = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
                files |= {str(one.relative_to(ROOT)) for one in inside if "__pycache__" not in one.parts}
    return files


def test_the_images_run_as_a_user_without_rights_on_their_engines() -> None:
    assert set(stages()) == {"base", *compose()}
    for name, engine in {"full": "keras", "lite": "litert"}.items():
        stage = stages()[name]
        assert stage.startswith("FROM base AS")
        assert stage.count("RUN pip install") == 1
        assert stage.rstrip().endswith("USER 1000")
        assert ("ENV EMOTION_ENGINE=litert" in stage) == (engine == "litert")


def test_an_engine_is_sent_what_the_images_hold_and_nothing_else() -> None:
    first, *sent = [one for one in (ROOT / ".dockerignore").read_text().splitlines() if one != "**/__pycache__"]
    assert first == "*"
    patterns = [one.removeprefix("!") for one in sent]
    files = copied("base", *compose())
    for pattern in patterns:
        assert any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}/") for name in files), pattern
    for name in files:
        assert any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}/") for pattern in patterns), name
    assert {name for name in files if name.startswith("models/")} == {one for one in patterns if "models" in one}
    settings = Settings()
    held = {path.relative_to(ROOT) for path in (settings.model_path, settings.model_path.with_suffix(".tflite"))}
    assert {str(path) for path in held} <= copied("base", "full")
    assert str(settings.model_path.relative_to(ROOT)) not in copied("base", "lite")


def test_the_images_have_a_base_by_digest_and_labels_of_this_version() -> None:
    (tag,) = re.findall(r"^ARG BASE=docker.io/library/(python:\S+)@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert stages()["base"].startswith("FROM ${BASE} AS base\nARG BASE\nLABEL ")
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="(.*?)"', stages()["base"]))
    assert labels.keys() == {"title", "description", "version", "licenses", "base.name"}
    assert (labels["version"], labels["licenses"], labels["base.name"]) == (__version__, "MIT", "${BASE}")
    assert f"imagetools inspect {tag} " in GUIDE
    assert f"BASE={tag.removesuffix('-bookworm')}`" in DOCKERFILE


def test_bake_builds_the_images_of_compose() -> None:
    bake = (ROOT / "docker-bake.hcl").read_text()
    defaults = dict(re.findall(r'variable "(\w+)" \{\n  default = "(.*)"\n', bake))
    assert defaults == {"IMAGE": "expressions", "VERSION": __version__, "REVISION": "", "SOURCE": ""}
    targets = re.findall(r'target "(\w+)" \{\n  inherits = .*\n  target   = "(\w+)"\n  tags     = \["(.*)"\]', bake)
    assert {name for name, _, _ in targets} == set(compose())
    for name, target, tag in targets:
        assert compose()[name]["build"]["target"] == target
        assert re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], tag) == compose()[name]["image"]


class Answers(BaseHTTPRequestHandler):
    """Answers every GET with the status that its server names."""

    def do_GET(self) -> None:
        self.send_error(getattr(self.server, "status"))  # noqa: B009

    def log_message(self, *_: object) -> None:
        pass


def checked(**environment: str) -> int:
    """The exit status of the image's health check, in an environment with the image's port and what is given."""
    (command,) = re.findall(r"^HEALTHCHECK (?:.*\\\n)*.*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    environment = {"PATH": "/usr/bin:/bin", "PORT": "7860"} | environment
    return subprocess.run(json.loads(command), env=environment, check=False, timeout=10, capture_output=True).returncode


def test_the_health_check_tells_a_ready_service_from_others(service: str) -> None:
    assert checked(PORT=service.rpartition(":")[2]) == 0
    assert checked(PORT=str(free_port())) != 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for status in (503, 404, 500):
            server.status = status  # type: ignore[attr-defined]
            assert checked(PORT=str(server.server_port)) != 0
        server.shutdown()


class SixServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_the_health_check_asks_where_the_service_listens(host: str) -> None:
    with (SixServer if ":" in host else ThreadingHTTPServer)((host, 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        server.status = 200  # type: ignore[attr-defined]
        assert checked(EMOTION_HOST=host, EMOTION_PORT=str(server.server_port)) == 0
        server.shutdown()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Space, made as the guide says."""
    folder = tmp_path_factory.mktemp("spaces") / "space"
    subprocess.run([ROOT / "scripts" / "space", folder], check=True, timeout=60)
    return folder


def test_a_space_has_every_file_that_the_image_needs(space: Path) -> None:
    files = {str(path.relative_to(space)) for path in space.rglob("*") if path.is_file()}
    needed = copied("base", "full")
    assert len(needed) > 50
    assert {"app/__main__.py", "models/emotion_vgg16.keras", "requirements.lock"} <= needed
    assert {*needed, "README.md", "Dockerfile", ".dockerignore", "LICENSE"} <= files
    assert not any(name.startswith("tests/") or name.endswith((".npy", ".npz")) for name in files)
    assert sum((space / name).stat().st_size for name in files) < 1e9  # Of a Space without paid storage.
    for target in re.findall(r"\]\((?!http)([\w/.-]+)", (space / "README.md").read_text()):
        assert target in files, target


def test_a_space_starts_with_its_front_matter_and_the_readme_does_not(space: Path) -> None:
    front, readme = (ROOT / "deploy" / "space.md").read_text(), (ROOT / "README.md").read_text()
    assert readme.startswith("# ")
    assert re.fullmatch(r"---\n(\w+: .+\n)+---\n\n", front)
    assert (space / "README.md").read_text() == front + readme


def front_matter(space: Path) -> Object:
    """What the Hub reads of a Space: https://huggingface.co/docs/hub/spaces-config-reference"""
    front: Object = yaml.safe_load((space / "README.md").read_text().split("---\n")[1])
    assert re.fullmatch(r"[^\w\s!-~]+", front["emoji"])
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert front["license"] == "mit"
    assert len(front["short_description"]) <= 60
    assert front.keys() <= {
        "title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware",
        "suggested_storage", "app_file", "app_build_command", "app_port", "base_path", "fullWidth", "header",
        "short_description", "models", "datasets", "tags", "thumbnail", "pinned", "hf_oauth", "hf_oauth_scopes",
        "hf_oauth_expiration_minutes", "hf_oauth_authorized_org", "disable_embedding", "startup_duration_timeout",
        "custom_headers", "preload_from_hub", "license",
    }  # fmt: skip
    return front


def test_the_front_matter_of_the_space_is_what_the_hub_documents(space: Path) -> None:
    front = front_matter(space)
    assert front["sdk"] == "docker"
    assert front["app_port"] == int(re.findall(r"EXPOSE (\d+)", DOCKERFILE)[0])
    assert f"PORT={front['app_port']}" in DOCKERFILE
    assert front["suggested_hardware"] == "cpu-basic"


@pytest.fixture(scope="module")
def static_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a static Space, made as the guide says."""
    folder = tmp_path_factory.mktemp("spaces") / "static"
    subprocess.run([ROOT / "scripts" / "space", "--static", folder], check=True, timeout=120)
    return folder


@pytest.mark.slow
def test_a_static_space_lists_what_is_loaded(static_space: Path) -> None:
    front = front_matter(static_space)
    assert (front["sdk"], front["app_file"]) == ("static", "index.html")
    files = [path for path in static_space.rglob("*") if path.is_file()]
    listed = json.loads((static_space / "files.json").read_text())
    assert listed["version"] == __version__
    groups = (listed["page"], listed["models"], *listed["builds"].values())
    page, common, *builds = (sum(entry["bytes"] for entry in group.values()) for group in groups)
    assert page + common + max(builds) < 20e6  # A browser loads one build.
    models = {entry.pop("path"): entry for group in groups[1:] for entry in group.values()}
    for name, entry in {**listed["page"], **models}.items():
        content = (static_space / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    names = {str(path.relative_to(static_space)) for path in files}
    own = {"files.json", "offline.js", "README.md", "LICENSE", "licences/blazeface.txt", "licences/opencv.txt"}
    assert names == {*listed["page"], *models, *own}
    for name in re.findall(r"`((?:licences/)?[\w.]+\.txt)`", (static_space / "README.md").read_text()):
        assert name in names


@pytest.mark.slow
def test_the_pages_of_a_static_space_name_its_own_files_alone(static_space: Path) -> None:
    for page in ("index.html", "card.html"):
        text = (static_space / page).read_text()
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in policy
        assert text.index("Content-Security-Policy") < text.index("<link")
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            assert (static_space / target).exists(), target
        assert "this service" not in text.lower().replace("this service asks for an api key", "")
