# One image for web, worker, scheduler and migrations: docker-compose.yml says which is which.
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /closer

COPY pyproject.toml constraints.txt README.md ./
COPY config config
COPY codecs_registry codecs_registry
COPY annotation annotation
COPY evaluation evaluation
COPY perceptual perceptual
RUN pip install -c constraints.txt -e .
COPY . .

RUN useradd --system --uid 10001 closer && install -d -o closer /data
USER closer
ENV CLOSER_DATA=/data
EXPOSE 8000
CMD ["gunicorn", "config.wsgi", "--bind=0.0.0.0:8000", "--worker-class=gthread", "--workers=4", "--threads=8", "--no-control-socket"]
