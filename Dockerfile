# The command line, and the sandbox:
#
#   docker build --tag amili-arm .
#   docker build --tag amili-arm-sandbox --target sandbox .
#
# EXTRAS: what is installed beside the library; `cli,zstd,arrow` reads Parquet too, in an image of twice the size.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=cli,zstd
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY amili_arm_async ./amili_arm_async
# Without pip in it: what runs installs nothing.
RUN python -m venv --without-pip /opt/amili-arm \
    && pip --python /opt/amili-arm/bin/python --disable-pip-version-check install --no-cache-dir ".[${EXTRAS}]"

FROM python:${PYTHON}-slim AS base
# By number, so that Kubernetes can tell that it is not root.
RUN groupadd --gid 10001 arm \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin arm \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/amili-arm /opt/amili-arm
ENV PATH=/opt/amili-arm/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
# Journal, state and reports: mount a volume here.
WORKDIR /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["amili-arm"]

FROM base AS sandbox
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8080/identity/health', timeout=2)"]
CMD ["sandbox", "--host", "0.0.0.0", "--port", "8080"]

FROM base AS amili-arm
CMD ["--help"]
