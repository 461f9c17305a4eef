# The workload of the end-to-end tests: an unmodified SDK, and the MinIO client with which they
# set up the backend.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv --without-pip /opt/client && python3 -m venv /opt/pip
RUN /opt/pip/bin/pip --python /opt/client/bin/python install --no-cache-dir --no-compile \
    'boto3>=1.40,<2' 'minio>=7.2,<8'

FROM ${BASE_IMAGE}
COPY --from=build /opt/client /opt/client
ENV PATH=/opt/client/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
CMD ["python3"]
