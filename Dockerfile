# docker build .                  the keras engine (default)
# docker build --target lite .    the litert engine, without TensorFlow
# docker buildx bake -f docker-bake.hcl    both, for several processors

# The base by digest; deploy/README.md says how to refresh it. `--build-arg BASE=python:3.12-slim` builds on what that tag
# means today.
ARG BASE=docker.io/library/python:3.12-slim-bookworm@sha256:34386ef0cb081344d7ec1c103ba398e6e9f64e9ab3a1509accc92a4e24a07258

FROM ${BASE} AS base
ARG BASE
LABEL org.opencontainers.image.title="Facial expression service" \
      org.opencontainers.image.description="Finds the faces in a picture and names the expression that each shows" \
      org.opencontainers.image.version="2.0.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE}"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=7860
WORKDIR /srv
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin service
# Whoever runs it may read all of it, whatever the umask under which it was cloned.
COPY --chmod=644 haarcascade_frontalface_default.xml .
COPY --chmod=644 models/face_detection_full_range_sparse.tflite models/face_detection_full_range_sparse.LICENSE models/
COPY --chmod=644 models/emotion_vgg16.json models/emotion_vgg16.tflite models/
EXPOSE 7860
# Bash alone can ask: the base has no curl, and starting Python every time is a waste. Linux takes 0.0.0.0 and :: for itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/${EMOTION_HOST:-0.0.0.0}/${EMOTION_PORT:-$PORT} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
CMD ["python", "-m", "app"]

FROM base AS lite
COPY --chmod=644 requirements-lite.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements-lite.lock
COPY --chmod=755 app app
ENV EMOTION_ENGINE=litert
USER 1000

FROM base AS full
COPY --chmod=644 requirements.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY --chmod=644 models/emotion_vgg16.keras models/
COPY --chmod=755 app app
USER 1000
