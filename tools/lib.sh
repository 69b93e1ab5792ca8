# Shared by the scripts beside it: a private copy of PostgreSQL with crm in it, and a throw-away cluster on a socket.
# Nothing is installed into the system, and everything lies under $CRM_DIR, which crm_clean removes.

# Its full name: the private copy's pg_config comes first in PATH later.
crm_pg_config=$(command -v "${PG_CONFIG:-pg_config}" || echo "${PG_CONFIG:-pg_config}")

# PostgreSQL refuses to run as root: root steps down to the user that Debian's package made.
if [ "$(id -u)" = 0 ]; then
	crm_user=${CRM_USER:-postgres}
	as_server() { runuser -u "$crm_user" -- env HOME="$CRM_DIR" "$@"; }
else
	crm_user=$(id -un)
	as_server() { env HOME="$CRM_DIR" "$@"; }
fi

# crm_build: compiles for the PostgreSQL of pg_config, without bitcode (twice as fast).
crm_build() {
	# A server that was not built with AddressSanitizer hangs when its runtime is preloaded (it deadlocks in
	# bindtextdomain), so the server runs under UBSan alone; the parsers and recv functions run under both in test/fuzz.
	if [ -n "${SANITIZE:-}" ]; then
		# What it finds is told in the server's log and goes on, so that one run tells everything; tools/test.sh reads the logs.
		CRM_CFLAGS="-fsanitize=undefined -fno-omit-frame-pointer -O1 ${CRM_CFLAGS:-}"
		CRM_LDFLAGS="-fsanitize=undefined ${CRM_LDFLAGS:-}"
	fi
	if [ -n "${COVERAGE:-}" ]; then
		CRM_CFLAGS="--coverage -O0 ${CRM_CFLAGS:-}"
		CRM_LDFLAGS="--coverage ${CRM_LDFLAGS:-}"
	fi
	if [ -n "${CI:-}" ]; then
		CRM_CFLAGS="-Werror -DUSE_ASSERT_CHECKING ${CRM_CFLAGS:-}"
	fi
	# Objects compiled with other flags are of no use.
	stamp="$crm_pg_config ${CRM_CFLAGS:-} ${CRM_LDFLAGS:-}"
	if [ "$(cat .build-flags 2>/dev/null || true)" != "$stamp" ]; then
		make -s PG_CONFIG="$crm_pg_config" with_llvm=no clean >/dev/null 2>&1 || true
		printf '%s\n' "$stamp" >.build-flags
	fi
	make -s -j"$(nproc)" PG_CONFIG="$crm_pg_config" with_llvm=no \
		CRM_CFLAGS="${CRM_CFLAGS:-}" CRM_LDFLAGS="${CRM_LDFLAGS:-}" all
}

# crm_private DIR: a copy of PostgreSQL's programs and files under DIR, with crm installed in it. The programs find their
# files by where they lie themselves, so the copy works without a word of configuration.
crm_private() {
	CRM_DIR=$1
	mkdir -p "$CRM_DIR"
	bindir=$("$crm_pg_config" --bindir)
	for d in "$bindir" "$("$crm_pg_config" --pkglibdir)" "$("$crm_pg_config" --sharedir)"; do
		[ -d "$CRM_DIR/pg$d" ] && continue
		mkdir -p "$CRM_DIR/pg$d"
		cp -au "$d/." "$CRM_DIR/pg$d/"
	done
	# Debian puts pg_config, the one program not among the others, in /usr/bin.
	[ -e "$CRM_DIR/pg$bindir/pg_config" ] || cp "$(command -v "$crm_pg_config")" "$CRM_DIR/pg$bindir/pg_config"
	make -s PG_CONFIG="$crm_pg_config" with_llvm=no \
		CRM_CFLAGS="${CRM_CFLAGS:-}" CRM_LDFLAGS="${CRM_LDFLAGS:-}" DESTDIR="$CRM_DIR/pg" install >/dev/null
	[ "$(id -u)" != 0 ] || chown -R "$crm_user" "$CRM_DIR/pg"
	[ "$(id -u)" != 0 ] || chown "$crm_user" "$CRM_DIR"
	PATH="$CRM_DIR/pg$bindir:$PATH"
	export PATH CRM_DIR
}

# crm_start: makes and starts the cluster of $CRM_DIR, reached by PGHOST and PGPORT.
crm_start() {
	PGDATA=$CRM_DIR/data
	PGHOST=$CRM_DIR/run
	PGPORT=54329
	PGUSER=$crm_user
	PGDATABASE=postgres
	export PGDATA PGHOST PGPORT PGUSER PGDATABASE
	if [ ! -d "$PGDATA" ]; then
		as_server mkdir -p "$PGHOST"
		as_server initdb -D "$PGDATA" -U "$PGUSER" --encoding=UTF8 --no-locale --auth=trust --no-sync >"$CRM_DIR/initdb.log" 2>&1
		as_server sh -c "cat >>'$PGDATA/postgresql.conf'" <<-CONF
			listen_addresses = ''
			unix_socket_directories = '$PGHOST'
			port = $PGPORT
			max_connections = 150
			shared_buffers = ${CRM_SHARED_BUFFERS:-256MB}
			max_wal_size = 4GB
			fsync = ${CRM_FSYNC:-off}
			timezone = 'UTC'
			datestyle = 'ISO, YMD'
			intervalstyle = 'postgres'
			log_line_prefix = '%m [%p] %a '
			max_prepared_transactions = 10
			jit = off
		CONF
	fi
	as_server env UBSAN_OPTIONS=print_stacktrace=1 pg_ctl -D "$PGDATA" -l "$CRM_DIR/server.log" -w -t 60 start >/dev/null ||
		{ tail -n 30 "$CRM_DIR/server.log" >&2; return 1; }
}

crm_stop() {
	[ ! -f "${PGDATA:-}/postmaster.pid" ] || as_server pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null 2>&1 || true
}

crm_clean() {
	crm_stop
	[ -z "${CRM_DIR:-}" ] || rm -rf "$CRM_DIR"
}

# crm_scratch NAME: builds crm and makes $work, a folder with a private copy of PostgreSQL that has it; both go when the script ends.
crm_scratch() {
	crm_build
	work=$(mktemp -d "${TMPDIR:-/tmp}/crm-$1.XXXXXX")
	chmod 755 "$work"
	CRM_DIR=$work
	trap 'crm_clean' EXIT
	trap 'exit 1' INT TERM
	crm_private "$work"
}

# crm_page_table PAGE COMMAND TABLE: puts a table into a page, between the lines <!-- COMMAND --> and <!-- so far -->.
crm_page_table() {
	awk -v begin="<!-- $2 -->" -v table="$3" '$0 == "<!-- so far -->" { skip = 0 } !skip { print }
		$0 == begin { while ((getline line < table) > 0) print line; skip = 1; found = 1 } END { exit !found }' "$1" >"$1.new" || { rm -f "$1.new"; return 1; }
	cat "$1.new" >"$1"
	rm -f "$1.new"
}
