# docker build .                  the keras engine (default)
# docker build --target lite .    the litert engine, without TensorFlow
# docker buildx bake              both, with labels, the base image by digest, and for other processors
FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=7860
WORKDIR /srv
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin service
COPY haarcascade_frontalface_default.xml .
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && head -1 <&3 | grep -q ' 200 '"]
CMD ["python", "-m", "app"]

FROM base AS lite
COPY requirements-lite.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements-lite.lock
COPY models/emotion_vgg16.json models/emotion_vgg16.tflite models/face_detection_full_range_sparse.* models/
COPY app app
ENV EMOTION_ENGINE=litert
USER 1000

FROM base AS full
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY models/emotion_vgg16.json models/emotion_vgg16.keras models/emotion_vgg16.tflite models/
COPY models/face_detection_full_range_sparse.tflite models/face_detection_full_range_sparse.LICENSE models/
COPY app app
USER 1000
