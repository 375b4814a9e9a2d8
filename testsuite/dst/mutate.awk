# mutate.awk - print a source file with one mutant of mutants.txt in it
#
#     awk -v name=NAME -f mutate.awk mutants.txt FILE        FILE with the mutant; exit 3: its lines are not there once
#     awk -v list=1 -f mutate.awk mutants.txt                "NAME FILE sentence" of each
function flush_list() { if (list && found != "") print found, file, text }
FNR == NR {
    if ($0 ~ /^== /) {
        flush_list()
        found = list ? $2 : ""
        if (list || $2 == name) { found = $2; file = $3; text = ""; old = new = ""; olds = news = 0 }
    } else if (found != "" && $0 !~ /^(#|$)/) {
        if ($0 ~ /^-/) old = old (olds++ ? "\n" : "") substr($0, 2)
        else if ($0 ~ /^\+/) new = new (news++ ? "\n" : "") substr($0, 2)
        else text = $0
    }
    if (!list && found != "" && $0 ~ /^== / && $2 != name) found = ""
    next
}
{ source = source $0 "\n" }
END {
    if (list) { flush_list(); exit 0 }
    at = index(source, old)
    if (!olds || !at || index(substr(source, at + 1), old)) exit 3
    printf "%s%s%s", substr(source, 1, at - 1), new, substr(source, at + length(old))
}
