# One image for every role: fsharechat --roles connector, group, api, media, or all of them. See compose.yaml.
#   docker run -p 6789:6789 -p 9326:9326 -p 8081:8081 -p 20000:20000/udp -v fsharechat:/data fsharechat
FROM node:24.4.1-slim AS web
WORKDIR /src
COPY roles roles
RUN cd roles/api/web && npm ci --no-progress && npm run build

FROM python:3.11.13-slim-bookworm AS build
RUN python -m venv /opt/fsharechat
ENV PATH=/opt/fsharechat/bin:$PATH
WORKDIR /src
# The libraries first: they change less often than the code.
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE settings.toml ./
COPY fsharechat fsharechat
COPY roles roles
COPY --from=web /src/roles/api/web/dist roles/api/web/dist
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11.13-slim-bookworm
RUN useradd --system --home-dir /data --create-home fsharechat
COPY --from=build /opt/fsharechat /opt/fsharechat
# It listens on all addresses of the container: the ports that are published say who gets in.
ENV PATH=/opt/fsharechat/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FSHARECHAT_NODE__DATA=/data \
    FSHARECHAT_CONNECTOR__HOST=0.0.0.0 \
    FSHARECHAT_API__HOST=0.0.0.0 \
    FSHARECHAT_MEDIA__LISTEN=0.0.0.0:20000 \
    FSHARECHAT_METRICS__PORT=9100
USER fsharechat
WORKDIR /data
VOLUME /data
EXPOSE 6789 9326 8081 20000/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/monitor/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["fsharechat"]
