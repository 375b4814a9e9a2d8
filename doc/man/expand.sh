#!/bin/sh
# expand.sh - a page of the manual with the lists that come from tables filled in (doc/Makefrag.am says which)
#
#     expand.sh PAGE.scd        run in the build tree; prints the page
set -u
page=$1
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
    "@keys "*@ | "@env "*@ | "@policy "*@)
        line=${line#@}
        # Words of a list's name are not patterns and hold no blanks of their own.
        set -f
        # shellcheck disable=SC2086
        ./doc/man/lists ${line%@} || exit 1
        set +f
        ;;
    "@tug "*@)
        line=${line#@tug }
        ./tug help --man "${line%@}" || exit 1
        ;;
    @*@)
        echo "$page: '$line' is no list that expand.sh knows" >&2
        exit 1
        ;;
    *) printf '%s\n' "$line" ;;
    esac
done <"$page"
