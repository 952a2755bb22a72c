FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=7860
WORKDIR /srv
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
COPY haarcascade_frontalface_default.xml .
COPY models models
COPY app app
RUN useradd --uid 1000 --no-create-home --shell /usr/sbin/nologin service
USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "app"]
