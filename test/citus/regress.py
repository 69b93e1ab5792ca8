#!/usr/bin/python3
"""Runs the tests of test/sql on a store over several nodes and compares what they print with what one node prints.

Behind each create_store() the store is distributed, if it has no partitions; nothing else of a test is changed but what is said below.
What differs must be written, with the limit of doc/citus.md that is the reason, in test/citus/limits/NAME: a difference that is not there
fails, and so does one that has gone.
  regress.py [--accept] [--table FILE] DATABASE SHARDS NAME...
--accept writes what differs into the file; a new difference gets the limit "?", which fails until a person has put a limit there.
A file of limits has, for each statement that differs: "## " and the limit; "@ ", the how manieth of those that read so, and how it begins;
lines that differ, one node's with "- ", several nodes' with "+ "; "> " what runs after it, "! " what runs in its place, for the limit's sake.
"""
import collections
import difflib
import os
import re
import subprocess
import sys

TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|;|\n\\[^\n]*|\\g[^\n]*", re.S)
Limit = collections.namedtuple("Limit", "limit differs then instead")
# What is made alike in all tests: a shard has its number behind its name, and so have its constraints and a part; what is numbered on another node has large numbers; a function or view of a table
# that is not distributed stays on the coordinator, with a warning; Citus goes to the nodes as the role that asks, which needs LOGIN; SQL functions of the test become
# PL/pgSQL, as those of the store do.
SAID = [(r'(?<=part[_ ])1\d{5}', "N"), (r'(?<=[a-z])_1\d{5}(?=[") ])', ""), (r'\b(?:2814749767|5629499534)\d{5}\b', "N"), (r'WARNING:  ".*" has dependency .*\nDETAIL:  .* will be created only locally\n(?:HINT:  Distribute .*\n)?', "")]
ASKED = [(r"^(CREATE ROLE \w+(?: SUPERUSER| IN ROLE \w+)?);", r"\1 LOGIN;"), (r"(format\('CREATE ROLE [\w%]+)'", r"\1 LOGIN'")]
DISTRIBUTED = "DO $crm$ DECLARE r name := current_user; BEGIN RESET ROLE; PERFORM crm.distribute_store('%s', %d); EXECUTE format('SET ROLE %%I', r); END $crm$;"
REWRITTEN = "DO $crm$ BEGIN EXECUTE crm.sql_to_plpgsql('%s'::regproc); END $crm$;"
SETTINGS = {"PG_ABS_SRCDIR": os.path.abspath("test"), "PGTZ": "PST8PDT", "PGDATESTYLE": "Postgres, MDY", "PGOPTIONS": "-c intervalstyle=postgres_verbose -c citus.propagate_set_commands=local"}
COPY = re.compile(r"(?m)^\s*COPY\s.*\sFROM\s+STDIN", re.I)


def statements(script):
    """The script's statements, each as its lines; a line belongs to the statement that ends on it. Rows of a COPY, which psql does not
    print, begin with a form feed."""
    lines, found, text, begin, skip = script.split("\n"), [], "\n" + script, 0, False
    ends = {text.count("\n", 1, m.end()) for m in TOKEN.finditer(text) if m.group() == ";" or m.group().startswith(("\n\\", "\\"))}
    for n, line in enumerate(lines):
        if skip:
            found[-1].append("\f" + line)
            skip = line != "\\."
            begin = n + 1
        elif n in ends:
            found.append(lines[begin:n + 1])
            begin = n + 1
            skip = bool(COPY.search("\n".join(found[-1])))
    return found + ([lines[begin:]] if begin < len(lines) else [])


def answers(script, output):
    """What was printed behind each statement, without empty lines."""
    wanted = [(line, n) for n, one in enumerate(script) for line in one if line.strip() and line[0] != "\f"]
    result, at, now = [[] for _ in script], 0, 0
    for line in output.split("\n"):
        if at < len(wanted) and line == wanted[at][0]:
            now, at = wanted[at][1], at + 1
        elif line.strip():
            result[now].append(line.rstrip())
    if at < len(wanted) - 1:
        sys.exit("the output ends before line %d of the test: %s" % (at, wanted[at][0]))
    return result


def narrow(lines):
    """Lines without what makes columns as wide as their widest value."""
    return [re.sub(r"-{2,}", "-", re.sub(r" {2,}", " ", line)).rstrip() for line in lines]


def outer(statement):
    """The statement without what stands in parentheses, strings and comments."""
    text = TOKEN.sub(lambda m: m.group() if m.group().startswith('"') else " ", "\n".join(statement))
    while re.search(r"\([^()]*\)", text):
        text = re.sub(r"\([^()]*\)", " ", text)
    return text


def limits(path):
    """What is written in a file of limits, by statement and which of those that read the same it is."""
    found, one = {}, None
    if os.path.exists(path):
        for line in open(path, encoding="utf-8").read().split("\n"):
            if line.startswith("## "):
                limit = line[3:]
            elif line.startswith("@ "):
                m = re.match(r"@ (\d+) (.*)", line)
                found[m.group(2), int(m.group(1))] = one = Limit(limit, [], [], [])
            elif line[:2] in ("- ", "+ "):
                one.differs.append(line)
            elif line[:2] in ("> ", "! "):
                (one.then if line[0] == ">" else one.instead).append(line[2:])
    return found


def run(database, blocks, shards):
    # What a query computes on the shards by the time zone, such as a date of a moment, it computes by that of the node.
    zone = re.search(r"(?m)^SET timezone = '([^']+)'", "\n".join("\n".join(block) for block in blocks))
    script = ["SELECT run_command_on_all_nodes($crm$ALTER DATABASE %s SET timezone = '%s'$crm$) \\g /dev/null" % (database, zone.group(1) if zone else SETTINGS["PGTZ"]), "\\c"]
    for block in blocks:
        script += block
        helper = re.match(r"\s*CREATE FUNCTION ([\w.]+)\((?!.*\bIMMUTABLE\b).*\bLANGUAGE sql\b", " ".join(line for line in block if line[:2] != "--"))
        if helper:
            script.append(REWRITTEN % helper.group(1))
        for store in re.findall(r"\bcreate_store\('(\w+)'(?!.*\bpartitions\b)", "\n".join(line for line in block if not line.startswith("--"))):
            script.append(DISTRIBUTED % (store, shards))
    done = subprocess.run(["psql", "-X", "-a", "-q", "-d", database, "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"], input="\n".join(script).replace("\f", ""), encoding="utf-8",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **SETTINGS})
    output = "\n".join(line for line in done.stdout.split("\n") if not line.startswith(("SELECT run_command_on_all_nodes(", "\\c", "DO $crm$")))
    for pattern, replacement in SAID:
        output = re.sub(pattern, replacement, output)
    return output


def main(arguments):
    accept, table = False, None
    documented = open("doc/citus.md", encoding="utf-8").read().split("| limit | what Citus does |")[1].split("\n\n")[0]
    known = set(re.findall(r"^\| `([a-z ]+)` \|", documented, re.M))
    while arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--accept":
            accept = True
        else:
            table = open(arguments.pop(0), "a", encoding="utf-8")
    database, shards, failed = arguments[0], int(arguments[1]), 0
    for name in arguments[2:]:
        path, wrong, counts, written, seen, keys, blocks = "test/citus/limits/" + name, [], collections.Counter(), [], collections.Counter(), [], []
        allowed = limits(path)
        script = statements(open("test/sql/%s.sql" % name, encoding="utf-8").read())
        for statement in script:
            text = re.sub(r"\s+", " ", " ".join(line for line in statement if line[:2] != "--" and line[:1] != "\f")).strip()[:160]
            seen[text] += 1
            keys.append((text, seen[text]))
            limit = allowed.get(keys[-1], Limit("?", [], [], []))
            lines = (limit.instead or statement) + limit.then
            for pattern, replacement in ASKED:
                lines = [re.sub(pattern, replacement, line) for line in lines]
            blocks.append(lines)
        output = run(database, blocks, shards)
        if os.environ.get("CITUS_OUTPUT"):
            open(os.path.join(os.environ["CITUS_OUTPUT"], name + ".out"), "w", encoding="utf-8").write(output)
        one = answers(script, open("expected/%s.out" % name, encoding="utf-8").read())
        many = answers(blocks, output)
        for key, statement, a, b in zip(keys, script, one, many):
            limit = allowed.pop(key, None)
            if not key[0]:
                continue
            if a == b and not limit:
                counts["equal"] += 1
            elif not limit and sorted(a) == sorted(b) and not re.search(r"\bORDER\s+BY\b", outer(statement), re.I):
                counts["order"] += 1
            else:
                counts["limit"] += 1
                lines = [line for line in difflib.ndiff(narrow(a), narrow(b)) if line[:2] in ("- ", "+ ")]
                limit = limit or Limit("?", [], [], [])
                written.append((key, limit._replace(differs=lines)))
                if lines != limit.differs and not accept or limit.limit not in known or not lines and not limit.instead:
                    wrong.append("%s\n    %s" % (key[0], "\n    ".join(lines)))
        wrong += ["%s (%d): is not in the test" % key for key in allowed]
        if accept and any(limit.differs or limit.instead for key, limit in written):
            with open(path, "w", encoding="utf-8") as f:
                for key, limit in written:
                    if limit.differs or limit.instead:
                        f.write("\n".join(["## " + limit.limit, "@ %d %s" % (key[1], key[0])] + ["! " + line for line in limit.instead]
                                          + limit.differs + ["> " + line for line in limit.then]) + "\n\n")
        if table:
            table.write("| `%s` | %d | %d | %d | %s |\n" % (name, counts["equal"], counts["order"], counts["limit"],
                                                         ", ".join("%d %s" % (n, k) for k, n in collections.Counter(w[1].limit for w in written).most_common())))
        print("%s: %d statements equal, %d rows in another order, %d a documented limit, %d wrong" % (name, counts["equal"], counts["order"], counts["limit"] - len(wrong), len(wrong)))
        for w in wrong:
            print("  " + w)
        failed += bool(wrong)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
