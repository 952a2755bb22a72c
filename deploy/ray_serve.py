"""Serves the same API on a Ray cluster.

    eval "$(python -m deploy.ray_serve)"
    serve run deploy.ray_serve:app
    serve run deploy.ray_serve:app most_services=8 most_models=4

There are two deployments. The services answer HTTP, decode pictures and find faces, as `app.main` does. The models
classify the crops of all services, in batches of `app.model.batcher`: `serve.batch` forms its batches before the model
is free, so they stay small. Both scale with the requests in flight. The replicas read the settings from their
environment. `python -m deploy.ray_serve` prints the variables that Ray Serve itself needs.
"""

import asyncio
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, PositiveInt
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from app.bootstrap import Parts, load_classifier, load_detector, local_backend
from app.errors import ModelStopped, Overloaded
from app.main import create_app
from app.model.backend import MAX_BATCH, Crop, Probabilities, in_parts
from app.model.card import Card, read_card
from app.settings import Settings
from app.vision.geometry import Pixels
from app.vision.preprocess import Floats, model_input

ENVIRONMENT = {
    # HAProxy, which comes with Ray, costs a fraction of Ray's own proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Requests change nothing, so a request whose service was lost before the answer goes to the next service.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # Only a request that fits into a buffer can go to the next service.
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(2**20),
    # By default the controller checks its replicas ten times a second, which takes a fifth of a core.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "1",
    # Ray ends a proxy that is not ready in time. The default, five seconds, is too short on a busy machine.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
"""Environment of the process that starts Ray Serve."""

_LOST = (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError, ModelStopped)

_FULL = "The service is busy with other faces; try again shortly."

_TRIES = 3
"""How often crops are sent to a replica, because a replica may die with them, and the next one too."""

_HEALTH_SECONDS = 1.0
"""Interval of the check whether the model answers, in seconds."""

_QUIET = {"enable_access_log": False}
"""Ray's access log is off, because the service logs each request itself."""


class Size(BaseModel):
    """Numbers of replicas. With two of a kind, the requests of a lost one go to the other."""

    least_services: PositiveInt = 2
    most_services: PositiveInt = 4
    least_models: PositiveInt = 1
    most_models: PositiveInt = 4


class Model:
    """A replica that holds the model."""

    async def __init__(self) -> None:  # type: ignore[misc]
        settings = Settings().with_unbounded_queue()  # Ray bounds the requests that wait here.
        self._backend = local_backend(load_classifier(settings), settings)
        await self._backend.start()

    async def classify(self, faces: Pixels) -> Floats:
        """uint8 [n, 96, 96] -> float32 [n, 7]."""
        return np.stack(await self._backend.classify(list(model_input(faces))))

    def check_health(self) -> None:
        """Raise an error if the model hangs, so that Ray replaces the replica."""
        self._backend.check_alive()


class Remote:
    """The deployment of models, as the backend of a service."""

    def __init__(self, model: DeploymentHandle, card: Card, most_queued: int) -> None:
        """
        Args:
            model: handle of the deployment.
            card: card of the model.
            most_queued: most crops of this service that wait for the model; more are refused.
        """
        self._model = model
        self.card = card
        self._most_queued = most_queued
        self.queued = 0
        self.alive = False

    def check_alive(self) -> None:
        if not self.alive:
            raise ModelStopped("The model does not answer at the moment.")

    async def start(self, on_batch: Callable[[int], None] | None = None) -> None:
        await self._model.check_health.remote()
        self.alive = True
        self._health = asyncio.create_task(self._check_health())

    async def stop(self) -> None:
        self._health.cancel()

    async def classify(self, crops: Sequence[Crop], /) -> Sequence[Probabilities]:
        return await in_parts(self._classify, crops, min(MAX_BATCH, self._most_queued))

    async def _classify(self, crops: Sequence[Crop]) -> Floats:
        if self.queued + len(crops) > self._most_queued:
            raise Overloaded(_FULL)
        self.queued += len(crops)
        try:
            return await self._ask(_luma(np.stack(crops)))
        finally:
            self.queued -= len(crops)

    async def _ask(self, faces: Pixels) -> Floats:
        for _ in range(_TRIES):
            try:
                answers: Floats = await self._model.classify.remote(faces)
                return answers
            except BackPressureError as error:
                raise Overloaded(_FULL) from error
            except _LOST:
                self.alive = False
        raise ModelStopped("The model was lost on the way; try again shortly.")

    async def _check_health(self) -> None:
        while True:
            try:
                async with asyncio.timeout(10 * _HEALTH_SECONDS):
                    await self._model.check_health.remote()
                self.alive = True
            except (*_LOST, BackPressureError, TimeoutError):
                self.alive = False
            await asyncio.sleep(_HEALTH_SECONDS)


def _luma(crops: Floats) -> Pixels:
    """Recover the luma from which `app.vision.preprocess.model_input` made the crops, rounded where a part is hidden.

    It takes a twelfth of the bytes, so Ray sends that of a face in the call itself.
    """
    return np.asarray(np.rint(crops[..., 0] * 255), np.uint8)


class Service:
    """A replica that answers HTTP: the app of `app.main`, with the model elsewhere."""

    def __init__(self, model: DeploymentHandle) -> None:
        # By gRPC, because a call of an actor, the default, takes longer.
        self._model = model.options(
            _by_reference=False, request_serialization="pickle", response_serialization="pickle"
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        settings = Settings()
        card = read_card(settings.model_path, "int8" if settings.engine == "litert" else None)
        parts = Parts(load_detector(settings), Remote(self._model, card, settings.max_queued_faces))
        return create_app(settings, parts)


def app(size: Size) -> serve.Application:
    """Build both deployments, for `serve run`."""
    settings = Settings()

    # Nothing here blocks the event loop, so Ray needs no loops of its own beside it.
    lean = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0", "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"}

    def options(cpus: float) -> dict[str, Any]:
        return {"num_cpus": cpus, "runtime_env": {"env_vars": lean}}

    def growing(least: int, most: int, target: int) -> dict[str, int]:
        return {"min_replicas": least, "max_replicas": max(least, most), "target_ongoing_requests": target}

    model = serve.deployment(
        Model,
        logging_config=_QUIET,
        ray_actor_options=options(1),
        max_ongoing_requests=4 * MAX_BATCH,
        max_queued_requests=settings.max_queued_faces,
        autoscaling_config=growing(size.least_models, size.most_models, MAX_BATCH),
        health_check_period_s=5,
        graceful_shutdown_timeout_s=settings.stop_seconds,
    )
    service = serve.deployment(
        serve.ingress()(Service),
        logging_config=_QUIET,
        ray_actor_options=options(0.5),
        # A service refuses requests itself when it is full, with a problem document and Retry-After.
        max_ongoing_requests=4 * settings.max_in_flight,
        autoscaling_config=growing(size.least_services, size.most_services, 4 * settings.picture_threads),
        health_check_period_s=5,
        graceful_shutdown_timeout_s=settings.stop_seconds,
    )
    return service.bind(model.bind())


if __name__ == "__main__":
    sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in ENVIRONMENT.items())
