#!/bin/sh
# Run by the image's entry point when its data folder is new: the extension and a store.
set -eu
psql -v ON_ERROR_STOP=1 -v store="${CRM_STORE:-shop}" -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" <<'SQL'
CREATE EXTENSION IF NOT EXISTS crm;
SELECT crm.create_store(:'store') WHERE NOT EXISTS (SELECT FROM crm.store WHERE name = :'store');
SQL
