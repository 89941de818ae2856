# One image for all services; its command says which: `node orders/bin/main.mjs`, or `node orders/bin/setup.mjs` for what
# prepares its database and topics.
#   docker build -t tandem .                    the services
#   docker build -t tandem-e2e --target e2e .   the workspace and its end-to-end suite

# What packages depend on, apart from everything else: as long as it stays the same, packages are not installed again.
FROM node:24-slim AS manifests
WORKDIR /workspace
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json -delete && find . -type d -empty -delete

FROM node:24-slim AS packages
WORKDIR /workspace
ENV NX_DAEMON=false CI=true
COPY --from=manifests /workspace ./
# Nothing that is needed here has an install script.
RUN --mount=type=cache,target=/npm npm ci --cache /npm --ignore-scripts --no-audit --no-fund

FROM packages AS build
COPY nx.json tsconfig.base.json tsconfig.json eslint.config.mjs jest.preset.mjs ./
COPY tools tools
COPY libs libs
COPY apps apps
RUN npx nx run-many -t build
# <app>/bin beside <app>/migrations: the programs find them where they are in the repository.
RUN for app in apps/*; do \
      test -d $app/dist-bundle || continue; \
      mkdir -p /tandem/${app#apps/}; \
      cp -r $app/dist-bundle /tandem/${app#apps/}/bin; \
      test ! -d $app/migrations || cp -r $app/migrations /tandem/${app#apps/}/migrations; \
    done

# Runs against a system that is up: GATEWAY_URL, RABBITMQ_URL, KAFKA_BROKERS and NAMESPACE say where.
FROM packages AS e2e
# For the commands of the README, which are tests as well.
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
ENV NODE_OPTIONS="--experimental-vm-modules --disable-warning=ExperimentalWarning --disable-warning=TimeoutNegativeWarning"
COPY . .
WORKDIR /workspace/e2e
RUN install -d -o node -g node out-tests
USER node
CMD ["../node_modules/.bin/jest", "-c", "jest.config.mjs"]

FROM node:24-slim AS services
# kafkajs asks for timers in the past, and Node.js says so each time: https://github.com/tulios/kafkajs/issues/1751
ENV NODE_ENV=production NODE_OPTIONS=--disable-warning=TimeoutNegativeWarning
WORKDIR /tandem
COPY --from=build /tandem ./
# `node health.mjs <address>` for health checks: what the service says of itself shows in `docker inspect`.
COPY <<'EOF' health.mjs
try {
  const response = await fetch(process.argv[2], { signal: AbortSignal.timeout(4_000) });
  console.log(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  console.log(error.cause?.message ?? error.message);
  process.exitCode = 1;
}
EOF
USER node
# The services handle SIGTERM themselves, so Node.js may be the first process: stop taking, finish, leave.
STOPSIGNAL SIGTERM
