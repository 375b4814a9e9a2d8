#!/bin/sh
# template.sh - the files of contrib/policy-template as C, for `tug policy new`: rows of struct { name, text }
#
#     template.sh DIR >template.h
set -eu
echo '/* template.h - made by make from contrib/policy-template */'
for file in policy.c Makefile test.sh trace.csv expected.csv; do
    printf '{"%s",\n' "$file"
    sed 's/\\/\\\\/g; s/"/\\"/g; s/^/"/; s/$/\\n"/' "$1/$file"
    echo '},'
done
