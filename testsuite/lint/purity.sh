#!/bin/sh
# purity.sh - core and logic reach no clock, file, thread or terminal, and keep no global
#
# What their objects leave undefined must be our own or on the list below; what they define must not
# be writable data. Prints TAP. Needs the static libraries of a build: TUG_BUILDDIR, or ".".
set -u
build=${TUG_BUILDDIR:-.}
cc=${CC:-cc}

# Pure functions of libc, plus memory. The *_chk forms are what _FORTIFY_SOURCE makes of them, __cpu_* is
# how the compiler chooses between two versions of a function that give the same.
allowed='^(
mem(cpy|move|set|cmp|chr|mem|pcpy|rchr)|
str(len|nlen|cmp|ncmp|chr|rchr|chrnul|str|cpy|ncpy|cat|ncat|spn|cspn|pbrk|dup|ndup|casecmp|ncasecmp|casestr|tok_r)|
stpcpy|stpncpy|
(__isoc(99|23)_)?str(to(l|ll|ul|ull|d|umax|imax))|
v?snprintf|__(mem(cpy|move|set)|str(cpy|ncpy|cat)|v?snprintf)_chk|
malloc|calloc|realloc|reallocarray|free|abort|
qsort|qsort_r|bsearch|abs|labs|llabs|
(exp2?|log(2|10|1p)?|pow|sqrt|floor|ceil|round|trunc|fabs|fmin|fmax|fmod|ldexp|frexp|scalbn)f?|ll?roundf?|ll?rintf?|
__errno_location|__stack_chk_fail|__popcount[sdt]i2|__cpu_(model|indicator_init)|_GLOBAL_OFFSET_TABLE_|
tug_[a-z0-9_]+
)$'
# Our own, but with an effect: libraries return errors, they do not log.
ours_not_pure='^tug_log'
# For logic only: generated messages, and libsodium's hash (a pure function of bytes).
messages='^(protobuf_c_|tugpb__|crypto_generichash)'

# Undefined symbols of archive $1 that no object of it defines and that are not allowed; $2: a
# further pattern that is.
undefined()
{
    pattern=$(echo "$allowed" | tr -d '\n')
    nm -A "$1" 2>/dev/null | awk -v pattern="$pattern" -v more="$2" -v not="$ours_not_pure" '
        { type = $(NF - 1); name = $NF }
        type != "U" && type != "w" { defined[name] = 1 }
        type == "U" && (name ~ not || (name !~ pattern && (more == "" || name !~ more))) {
            split($1, path, ":")
            calls[++n] = name
            line[n] = path[2] ": calls " name
        }
        END { for (i = 1; i <= n; i++) if (!(calls[i] in defined)) print line[i] }' | sort -u
}

# Writable data. Tables of pointers land in .data.rel.ro, which is not writable once loaded.
globals()
{
    nm -A --format=sysv "$1" 2>/dev/null | awk -F'|' '
        $NF ~ /^ *(\.data|\.bss|\.tdata|\.tbss|\*COM\*)(\.|$| )/ && $NF !~ /\.data\.rel\.ro/ && $4 !~ /SECTION/ {
            n = split($1, path, ":")
            gsub(/ /, "", path[n])
            print path[2] ": keeps the global " path[n]
        }' | sort -u
}

planted()
{
    dir=$(mktemp -d) || exit 1
    cat >"$dir/bad.c" <<'C'
#include <time.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
static int count;
const char *const names[] = { "fine", "also" };
void tug_log(int level, const char *fmt, ...);
long tug_bad(const char *s);
long tug_bad(const char *s) { count++; puts(s); tug_log(1, "x"); return time(NULL) + (long) strlen(names[count % 2]) + (long) malloc(3); }
C
    "$cc" -c -o "$dir/bad.o" "$dir/bad.c" && ar cr "$dir/libbad.a" "$dir/bad.o" && {
        undefined "$dir/libbad.a" ''
        globals "$dir/libbad.a"
    } | sed 's/.* //' | sort | tr '\n' ' '
    rm -rf "$dir"
}

if nm "$build/libbase.a" 2>/dev/null | grep -q '__asan_\|__ubsan_\|__sanitizer_'; then
    echo '1..0 # SKIP the objects are instrumented; the plain build is checked'
    exit 0
fi
echo 1..5
got=$(planted)
if [ "$got" = 'count puts time tug_log ' ]; then
    echo "ok 1 - a planted clock, print, log and global are found, and nothing else"
else
    echo "not ok 1 - a planted clock, print, log and global are found, and nothing else (found: $got)"
fi

k=2
for lib in core logic; do
    more=
    [ $lib = logic ] && more=$messages
    for what in undefined globals; do
        [ $what = undefined ] && sentence="lib$lib.a calls pure functions only" \
                              || sentence="lib$lib.a keeps no global"
        if [ ! -f "$build/lib$lib.a" ]; then
            echo "not ok $k - $sentence (no $build/lib$lib.a; build first)"
        elif found=$($what "$build/lib$lib.a" "$more") && [ -z "$found" ]; then
            echo "ok $k - $sentence"
        else
            echo "not ok $k - $sentence"
            echo "$found" | sed 's/^/# /'
        fi
        k=$((k + 1))
    done
done
