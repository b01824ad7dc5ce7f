# One image for every role: fsharechat --roles connector, group, api, or all of them. See compose.yaml.
FROM node:24-slim AS web
WORKDIR /src
COPY roles roles
RUN cd roles/api/web && npm ci --no-progress && npm run build

FROM python:3.11-slim AS build
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

FROM python:3.11-slim
RUN useradd --system --home-dir /data --create-home fsharechat
COPY --from=build /opt/fsharechat /opt/fsharechat
ENV PATH=/opt/fsharechat/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FSHARECHAT_NODE__DATA=/data
USER fsharechat
WORKDIR /data
EXPOSE 6789 9326 8081 9000
ENTRYPOINT ["fsharechat"]
