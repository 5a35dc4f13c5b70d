# The command `mner` with what a worker needs. It has no local servers and no training.
# Torch is the CUDA build of the lock (some 5 GB), or the CPU build:
#   docker build --build-arg TORCH=cpu .      # torch comes from PyTorch's own index; no hashes are checked
FROM python:3.11-slim AS environment
ARG TORCH=lock
RUN pip install --no-cache-dir --disable-pip-version-check uv
WORKDIR /app
COPY pyproject.toml requirements-worker.lock README.md ./
RUN uv venv .venv && \
    if [ "$TORCH" = cpu ]; then \
      uv pip install --python .venv/bin/python --no-cache --no-verify-hashes --torch-backend cpu \
        --constraint requirements-worker.lock --extra feeds -r pyproject.toml "setuptools>=77"; \
    else \
      uv pip sync --python .venv/bin/python --no-cache --require-hashes requirements-worker.lock; \
    fi
COPY . .
RUN uv pip install --python .venv/bin/python --no-cache --no-deps --no-build-isolation --editable .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 mner
COPY --from=environment --chown=mner:mner /app /app
WORKDIR /app
USER mner
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
CMD ["mner", "worker"]
