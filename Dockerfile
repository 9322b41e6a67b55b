# syntax=docker/dockerfile:1
#
#   docker build -t falconmix .                                   curation and tokenisation
#   docker build -t falconmix:train --build-arg EXTRAS=train .    with training
#
#   docker run --rm --shm-size 2g --user "$(id -u):$(id -g)" -v "$PWD:/data" falconmix \
#       curate warc --output out
#
# Which build of torch is taken is decided by TORCH_INDEX, an index of wheels (for a GPU: the one that fits the driver);
# without it, pip takes its default.

FROM python:3.11-slim AS build

# Extras of pyproject.toml, separated by commas.
ARG EXTRAS=""
ARG TORCH_INDEX=""

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

RUN python -m venv /opt/falconmix
WORKDIR /src

# Only these decide what is installed: a change of code alone leaves the layer of dependencies as it is.
COPY pyproject.toml README.md constraints.txt ./
COPY falconmix/__init__.py falconmix/__init__.py
RUN /opt/falconmix/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} \
    ".${EXTRAS:+[${EXTRAS}]}"

COPY LICENSE NOTICE ./
COPY falconmix/ falconmix/
COPY pipeline/ pipeline/
COPY stages/ stages/
COPY mixtures/ mixtures/
COPY trainer/ trainer/
RUN /opt/falconmix/bin/pip install --no-deps --force-reinstall .


FROM python:3.11-slim

COPY --from=build /opt/falconmix /opt/falconmix
COPY LICENSE NOTICE /usr/share/doc/falconmix/

# The caches and the home are below /tmp, so that any user id given with --user can write them.
ENV PATH="/opt/falconmix/bin:${PATH}" \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONUNBUFFERED=1

RUN useradd --uid 1000 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin falconmix \
    && install --directory --owner falconmix /data
USER 1000
WORKDIR /data

ENTRYPOINT ["falconmix"]
CMD ["--help"]
