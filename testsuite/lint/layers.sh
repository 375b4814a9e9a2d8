#!/bin/sh
# layers.sh - who may include whom (CONTRIBUTING.md has the picture)
#
# Every #include "folder/x.h" under src/ must be of the same layer or one that its row below names.
# A plugin includes <tugline/policy.h>, libc and headers of its own folder, nothing else. <tugline/tugline.h> and
# <tugline/nccl.h> are for programs that run as ranks: src/lib, which is that library, and src/probe. Prints TAP.
set -u
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}

# LAYER: the folders it may include besides its own
rows='
base:
proto: base
conf: base
core: base
logic: base proto conf core
host: base proto conf core logic
queued: base proto conf core logic host
noded: base proto conf core logic host
launch: base proto conf core logic host
stepd: base proto conf core logic host
cli: base proto conf core logic host
admin: base proto conf core logic host
lib:
probe: base
sim: base proto conf core logic host
dst: base proto conf core logic host
'
# What a plugin and the policy header may include besides each other.
libc='assert ctype errno inttypes limits math stdarg stdbool stddef stdint stdio stdlib string'

# Print one line for each include in $1/src and $1/plugins that is not allowed.
violations()
{
    find "$1/src" "$1/plugins" -name '*.[ch]' ! -name '*.pb-c.[ch]' -print 2>/dev/null | sort |
    while read -r file; do
        sed -n "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*\([\"<][^\">]*[\">]\).*|\1|p" "$file" |
        sed "s|^|${file#"$1"/} |"
    done | awk -v rows="$rows" -v libc="$libc" '
        function sees_policy(layer) { return layer == "core" || (layer, "core") in may }
        BEGIN {
            n = split(rows, row, "\n")
            for (i = 1; i <= n; i++) {
                m = split(row[i], word, /[: ]+/)
                if (word[1] == "") continue
                known[word[1]] = 1
                for (j = 1; j <= m; j++) if (word[j] != "") may[word[1], word[j]] = 1
            }
            n = split(libc, word, " ")
            for (i = 1; i <= n; i++) is_libc["<" word[i] ".h>"] = 1
        }
        {
            split($1, path, "/")
            layer = path[2]
            if (path[1] == "plugins" || layer == "include") {
                own = path[1] == "plugins" && $2 ~ /^"[a-z]+\.h"$/
                if ($1 ~ /include\/tugline\/nccl\.h$/ && $2 ~ /^<(nccl|tugline\/tugline)\.h>$/) next
                if (!($2 in is_libc) && $2 != "<tugline/policy.h>" && !own)
                    print $1 ": includes " $2 "; only <tugline/policy.h> and libc may be"
                next
            }
            if (!(layer in known)) {
                print $1 ": folder src/" layer " has no row in testsuite/lint/layers.sh"
                next
            }
            if ($2 ~ /^</) {
                if ($2 ~ /^<tugline\/(tugline|nccl)\.h>$/ && (layer == "lib" || layer == "probe")) next
                if ($2 ~ /^<tugline\// && !sees_policy(layer))
                    print $1 ": includes " $2 "; the policy interface is for core, what sees core, and plugins"
                next
            }
            name = substr($2, 2, length($2) - 2)
            if (name == "config.h") next
            if (name !~ /\//) {
                print $1 ": includes " $2 "; write it from src/, as in \"" layer "/" name "\""
                next
            }
            split(name, part, "/")
            if (part[1] == "tugline" && sees_policy(layer)) next
            if (!((layer, part[1]) in may))
                print $1 ": includes " $2 "; " layer " may not see " part[1]
        }'
}

# The lint must see what it is for: each planted line is one violation.
planted()
{
    dir=$(mktemp -d) || exit 1
    mkdir -p "$dir/src/core" "$dir/src/base" "$dir/src/cli" "$dir/plugins"
    echo '#include "host/net.h"' >"$dir/src/core/a.c"
    echo '#  include "proto/job.pb-c.h"' >"$dir/src/core/b.h"
    echo '#include "core/core.h"' >"$dir/src/base/c.c"
    echo '#include "stepd/step.h"' >"$dir/src/cli/d.c"
    echo '#include "e.h"' >"$dir/src/cli/e.c"
    echo '#include <tugline/policy.h>' >"$dir/src/base/g.c"
    echo '#include <sqlite3.h>' >"$dir/plugins/f.c"
    printf '#include "base/err.h"\n#include "core/x.h"\n#include <stdio.h>\n' >"$dir/src/core/good.c"
    printf '#include "own.h"\n#include <tugline/policy.h>\n#include <math.h>\n' >"$dir/plugins/good.c"
    violations "$dir" | wc -l
    rm -rf "$dir"
}

echo 1..2
n=$(planted)
if [ "$n" -eq 7 ]; then
    echo "ok 1 - seven planted violations are found, and good lines are not"
else
    echo "not ok 1 - seven planted violations are found, and good lines are not (found $n)"
fi
found=$(violations "$top")
if [ -z "$found" ]; then
    echo "ok 2 - every include goes to the same layer or a lower one"
else
    echo "not ok 2 - every include goes to the same layer or a lower one"
    echo "$found" | sed 's/^/# /'
fi
