#!/bin/sh
# The archive for PGXN, of what is committed: crm-VERSION.zip. Refuses when the files that state the version disagree.
set -eu
cd "$(dirname "$0")/../.."
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)
python3 - "$version" <<'PY'
import json
import sys

meta = json.load(open("META.json", encoding="utf-8"))
missing = [k for k in ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec") if k not in meta]
wrong = [f"version {meta.get('version')}"] if meta.get("version") != sys.argv[1] else []
for name, part in meta.get("provides", {}).items():
    missing += [f"provides.{name}.{k}" for k in ("file", "version") if k not in part]
    if part.get("version") != sys.argv[1]:
        wrong.append(f"provides.{name}.version {part.get('version')}")
    for k in ("file", "docfile"):
        try:
            open(part.get(k, "README.md")).close()
        except OSError:
            wrong.append(f"provides.{name}.{k} {part[k]}")
if meta.get("meta-spec", {}).get("version") != "1.0.0":
    wrong.append("meta-spec.version")
if missing or wrong:
    sys.exit(f"META.json: missing {missing}, not as crm.control or the folder has it: {wrong}")
PY
out=crm-$version.zip
git archive --format=zip --prefix="crm-$version/" -o "$out" HEAD
python3 -m zipfile -t "$out" >/dev/null
echo "$out: $(python3 -m zipfile -l "$out" | tail -n +2 | wc -l) files"
