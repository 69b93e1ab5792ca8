# crm: customer management inside PostgreSQL.
#
#   make demo        set up what is missing, build, show the main job on real-looking orders
#   make test        the same set-up, then every test that fits in ten minutes
#   make             build against the PostgreSQL of PG_CONFIG;  make install  puts it there
#
# Further targets: reference test-long test-matrix fault-matrix test-clients test-browser test-citus bench bench-peers soak lint sanitize valgrind coverage dist check-package uninstall.  tools/ holds the scripts behind them.

EXTENSION = crm
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" crm.control)
MODULE_big = crm
C_FILES := $(sort $(wildcard src/*/*.c))
OBJS = $(C_FILES:.c=.o)
DEPS = $(C_FILES:.c=.d)

KIT_SQL := $(sort $(wildcard sql/kit/*.sql))
STORE_SQL := $(sort $(wildcard sql/store/*.sql))
SEED_SQL := $(sort $(wildcard sql/seed/*.sql))
DISTRIBUTED_SQL := $(sort $(wildcard sql/distributed/*.sql sql/distributed/part/*.sql))
INSTALL_SQL = crm--$(EXTVERSION).sql
UPGRADE_SQL = $(notdir $(wildcard sql/upgrade/crm--*--*.sql))
DATA_built = $(INSTALL_SQL) $(UPGRADE_SQL)
EXTRA_CLEAN = $(DEPS) $(INSTALL_SQL) $(UPGRADE_SQL) results regression.diffs regression.out

PG_CPPFLAGS = -Isrc -DCRM_VERSION=\"$(EXTVERSION)\" $(ICU_CFLAGS)
PG_CFLAGS = -MMD -MP -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type $(CRM_CFLAGS)
# CRoaring is loaded by its name at run time, seen by us alone: other extensions bring another version of it (src/tags/roaring.h).
ROARING_SONAME := $(shell objdump -p "$$($(CC) -print-file-name=libroaring.so)" 2>/dev/null | sed -n 's/^ *SONAME *//p')
ifneq ($(ROARING_SONAME),)
PG_CPPFLAGS += -DCRM_ROARING=\"$(ROARING_SONAME)\"
ROARING_LIBS = -ldl
else
ROARING_LIBS = -lroaring
endif
# -Bsymbolic: our functions call each other, whatever the server calls its own.
SHLIB_LINK = -Wl,-Bsymbolic $(ICU_LIBS) $(ROARING_LIBS) -lcrypto -lnlopt -lm $(CRM_LDFLAGS)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
else
all install installcheck:
	@echo "PostgreSQL's server headers are missing: run 'make setup', or name them with PG_CONFIG=" >&2; exit 1
clean:
	rm -f $(OBJS) $(EXTRA_CLEAN) crm.so
endif

# make follows the headers each object was compiled from.
-include $(DEPS)

# The version is passed on the command line, so a new one rebuilds everything.
$(OBJS): crm.control

$(INSTALL_SQL): crm.control tools/join-sql.sh $(KIT_SQL) $(STORE_SQL) $(SEED_SQL) $(DISTRIBUTED_SQL) $(wildcard sql/upgrade/store--*.sql)
	sh tools/join-sql.sh > $@.tmp && mv $@.tmp $@

$(UPGRADE_SQL): %.sql: sql/upgrade/%.sql $(INSTALL_SQL)
	sh tools/join-sql.sh $< > $@.tmp && mv $@.tmp $@

.PHONY: setup demo test reference test-long test-matrix fault-matrix test-clients test-browser test-citus bench bench-peers soak lint sanitize valgrind coverage dist check-package
setup:
	sh tools/setup.sh

demo: setup
	sh tools/demo.sh

test: setup
	sh tools/test.sh

# doc/reference anew, from the comments in the database.
reference: setup
	sh tools/reference.sh

test-long: setup
	LONG=1 sh tools/test.sh

test-clients:
	sh tools/setup.sh clients
	sh tools/test-clients.sh

test-browser:
	sh tools/setup.sh browser
	sh tools/test-browser.sh

test-matrix: setup
	sh tools/test-matrix.sh

# Work by fault: doc/operations.md.
fault-matrix: setup
	sh tools/test-faults.sh

# Needs an installed Citus.
test-citus:
	sh tools/test-citus.sh

bench:
	sh tools/setup.sh bench
	sh tools/bench.sh

# crm beside what one would take instead: doc/compare.md.
bench-peers:
	sh tools/setup.sh bench
	BENCH=peers sh tools/bench.sh

soak:
	sh tools/setup.sh bench
	BENCH=soak sh tools/bench.sh

lint:
	sh tools/setup.sh lint
	sh tools/lint.sh

sanitize:
	sh tools/setup.sh sanitize
	SANITIZE=1 sh tools/test.sh
	sh test/fuzz/run-all.sh 60

# Types and aggregates under memcheck.
valgrind:
	sh tools/setup.sh valgrind
	sh tools/valgrind.sh

coverage: setup
	COVERAGE=1 sh tools/test.sh

dist:
	sh tools/packaging/dist.sh

# Archive, make uninstall and the Debian package, each tried.
check-package:
	sh tools/packaging/check.sh
