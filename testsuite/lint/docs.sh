#!/bin/sh
# docs.sh - what the documents name must be there: files, functions, verbs
#
#   `core/step.c: f()`     a function that src/core/step.c defines       `f()`   one that some file of src/ or plugins/ defines
#   `src/core/step.c`      a file or folder, also without the src/, and as a link [..](..); not /x, ./x, x/NAME.c
#   From `FILE`: ```c ...  these lines stand in that file, one after the other, whatever their indentation
#   `tug VERB`, $ tug VERB a verb of src/cli/verbs.def; in manual pages *tug VERB*
# Prints TAP.
set -u
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$top" || exit 1

# Definitions start a line and end without ';'. $1: function, the rest: files.
defines()
{
    name=$1
    shift
    grep -qsE "^[a-z].*[ *]$name\(([^;]*|.*[^;])\$" "$@"
}

wrong_functions()
{
    grep -oE '`[a-z0-9_/]+\.[ch]: [a-z0-9_]+\(\)`' "$1" | tr -d '`()' | sort -u | while IFS=': ' read -r file name; do
        if [ ! -f "src/$file" ]; then
            echo "$1: there is no src/$file"
        elif ! defines "$name" "src/$file"; then
            echo "$1: src/$file defines no $name()"
        fi
    done
    grep -oE '`[a-z0-9_]+\(\)`' "$1" | tr -d '`()' | sort -u | while read -r name; do
        defines "$name" src/*/*.c src/*/*.h plugins/*.c || echo "$1: nothing defines $name()"
    done
}

wrong_paths()
{
    dir=$(dirname "$1")
    {
        grep -oE '`[A-Za-z0-9_./-]+/[A-Za-z0-9_.-]+`' "$1" | tr -d '`' | grep -vE '^[/.~]|[A-Z]{4}'
        grep -oE '\]\([^)#]+\)' "$1" | sed 's/^](//; s/)$//' | grep -vE '^[a-z]+:'
    } | sort -u | while read -r path; do
        [ -e "$path" ] || [ -e "src/$path" ] || [ -e "$dir/$path" ] || echo "$1: there is no $path"
    done
}

# Blocks of C that say where they come from.
wrong_excerpts()
{
    awk -v page="$1" '
        function bare(line) { gsub(/^[ \t]+|[ \t]+$/, "", line); return line }
        function look(   at, i, n, lines, line) {
            while ((getline line < file) > 0)
                lines[n++] = bare(line)
            close(file)
            for (at = 0; at + n_block <= n; at++) {
                for (i = 0; i < n_block && lines[at + i] == block[i]; i++)
                    ;
                if (i == n_block)
                    return
            }
            print page ": " file " has no lines like those after \"From\": " block[0]
        }
        /^```c$/ && file != "" { inside = 1; n_block = 0; next }
        /^```$/ && inside { look(); inside = 0; file = ""; next }
        inside { block[n_block++] = bare($0); next }
        /From$/ { from = 1; next }
        match($0, /(From )?`[a-z0-9_\/]+\.[ch]`:$/) && (from || /From `/) {
            file = substr($0, RSTART, RLENGTH)
            gsub(/From |[`:]/, "", file)
        }
        { from = 0 }
    ' "$1"
}

wrong_verbs()
{
    grep -oE '([`*] ?|\$ |^    )tug [a-z]+' "$1" | sed 's/.*tug //' | sort -u | while read -r verb; do
        grep -q "^TUG_VERB($verb," src/cli/verbs.def || echo "$1: there is no 'tug $verb'"
    done
}

wrong()
{
    for file in "$@"; do
        case $file in
        *.scd) wrong_verbs "$file" ;;
        *) wrong_functions "$file"; wrong_paths "$file"; wrong_verbs "$file"; wrong_excerpts "$file" ;;
        esac
    done
}

# The lint must see what it is for: each of these six is wrong, the other ones are right.
planted()
{
    file=$(mktemp) || exit 1
    cat >"$file" <<'END'
`core/step.c: no_such_function()` `core/no_such_file.c: main()` `tug_no_such_function()` `src/core/no_such.c` `tug fly`
`core/step.c: tug_step_launch()` `tug_step_launch()` `src/core/step.c` `tug submit`
From `plugins/fifo.c`:
```c
    free(self);
    free(nothing);
```
And from the same. From
`plugins/fifo.c`:
```c
        if (rc == -E2BIG)
            return 0;
```
END
    wrong "$file" | wc -l
    rm -f "$file"
}

echo 1..2
n=$(planted)
if [ "$n" -eq 6 ]; then
    echo "ok 1 - six planted errors are found, and what is right is not"
else
    echo "not ok 1 - six planted errors are found, and what is right is not (found $n)"
fi
# Distributed trees have all of these, too.
found=$(wrong $(find README.md CONTRIBUTING.md doc '(' -name '*.md' -o -name '*.scd' ')' | sort))
if [ -z "$found" ]; then
    echo "ok 2 - files, functions and verbs that the documents name exist"
else
    echo "not ok 2 - files, functions and verbs that the documents name exist"
    echo "$found" | sed 's/^/# /'
fi
