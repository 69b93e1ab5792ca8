# PostgreSQL with crm in it. The first start makes the extension and a store of the name in CRM_STORE (shop) in POSTGRES_DB.
#   docker build -t crm .
#   docker run -e POSTGRES_PASSWORD=secret -p 5432:5432 crm
ARG PG_MAJOR=15

FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR=15
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc make libc6-dev libicu-dev libssl-dev libroaring-dev libnlopt-dev postgresql-server-dev-${PG_MAJOR} \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /crm
COPY . .
RUN make with_llvm=no -j"$(nproc)" && make with_llvm=no DESTDIR=/installed install

FROM postgres:${PG_MAJOR}-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libicu72 libssl3 libroaring0 libnlopt0 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /installed/ /
COPY tools/packaging/first-start.sh /docker-entrypoint-initdb.d/10-crm.sh
ENV CRM_STORE=shop
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["pg_isready", "--quiet"]
# Preloaded, the library also refuses ways around the masks.
CMD ["postgres", "-c", "shared_preload_libraries=crm"]
