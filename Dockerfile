# docker build .                  the keras engine (default)
# docker build --target lite .    the litert engine, without TensorFlow
# docker buildx bake -f docker-bake.hcl    both, for several processors

# `pinned` is the base by digest; deploy/README.md says how to refresh it. `--build-arg BASE=python:3.12-slim` builds on
# what the tag means today.
ARG BASE=pinned
FROM python:3.12-slim-bookworm@sha256:34386ef0cb081344d7ec1c103ba398e6e9f64e9ab3a1509accc92a4e24a07258 AS pinned-bookworm
LABEL org.opencontainers.image.title="Facial expression service" \
      org.opencontainers.image.description="Finds the faces in a picture and names the expression that each shows" \
      org.opencontainers.image.version="2.0.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm"

FROM ${BASE}-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=7860
WORKDIR /srv
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin service
COPY haarcascade_frontalface_default.xml .
COPY models/face_detection_full_range_sparse.tflite models/face_detection_full_range_sparse.LICENSE models/
COPY models/emotion_vgg16.json models/emotion_vgg16.tflite models/
EXPOSE 7860
# Bash alone can ask: the base has no curl, and starting Python every time is a waste.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
CMD ["python", "-m", "app"]

FROM base AS lite
COPY requirements-lite.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements-lite.lock
COPY app app
ENV EMOTION_ENGINE=litert
USER 1000

FROM base AS full
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY models/emotion_vgg16.keras models/
COPY app app
USER 1000
