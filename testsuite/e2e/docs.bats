#!/usr/bin/env bats
# docs.bats - what the documents say about options is what the programs take

setup() {
    cd "$TUG_SRCDIR"
}

# "VERB --option" for each option of a tug command that stands in a document.
documented_options() {
    grep -hoE '(^    |\$ |`)tug [a-z]+( [^`#]*)?' README.md doc/*.md | sed 's/^[^t]*tug //' | while read -r verb rest; do
        for word in ${rest%% -- *}; do
            case $word in --?*) echo "$verb ${word%%=*}" ;; esac
        done
    done | sort -u
}

@test "every option in README and tour is one that its verb has" {
    [ -n "$(documented_options)" ]
    documented_options | while read -r verb option; do
        tug help --man "$verb" | grep -qF -- "*$option*" && continue
        # Those of a gang are run's; bench takes them, and its page says so.
        [ "$verb" = bench ] && tug help --man run | grep -qF -- "*$option*" && continue
        echo "tug $verb has no $option"
        exit 1
    done
}

# Long options in a manual page, in bold, and in what a program says about itself.
of_page() {
    grep -oE '\*--[a-z-]+\*' "doc/man/$1.8.scd" | tr -d '*' | sort -u
}

of_program() {
    "$1" --help | grep -oE -- '(^|[ ,[])--[a-z][a-z-]+' | grep -oE -- '--[a-z-]+' | grep -vxE -- '--(help|usage|version)' | sort -u
}

check_page() {
    of_program "$1" >"$BATS_TEST_TMPDIR/program"
    of_page "$1" | grep -vxE -- '--(help|usage|version)' >"$BATS_TEST_TMPDIR/page"
    [ -s "$BATS_TEST_TMPDIR/program" ]
    diff "$BATS_TEST_TMPDIR/page" "$BATS_TEST_TMPDIR/program"
}

@test "tugd(8) has the options of tugd" {
    check_page tugd
}

@test "tuglaunch(8) has the options of tuglaunch" {
    check_page tuglaunch
}

@test "tugnoded(8) has the options of tugnoded" {
    check_page tugnoded
}

@test "the example configurations in etc are without errors" {
    sed "s|^  policy: .*|&\n  policy_dirs: [$TUG_BUILDDIR/plugins]|" etc/tugline.yaml >"$BATS_TEST_TMPDIR/tugline.yaml"
    tugd --check --config "$BATS_TEST_TMPDIR/tugline.yaml"
}

@test "tugd --check names a policy that is not there" {
    sed "s|^  policy: .*|  policy: nosuch\n  policy_dirs: [$TUG_BUILDDIR/plugins]|" etc/tugline.yaml >"$BATS_TEST_TMPDIR/wrong.yaml"
    run tugd --check --config "$BATS_TEST_TMPDIR/wrong.yaml"
    [ "$status" -eq 2 ]
    [[ "$output" == *"scheduler.policy"*"nosuch"* ]]
}
