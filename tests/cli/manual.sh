#!/bin/sh
# The committed man page and completion script are what the program prints today.
. "$(dirname "$0")/common.inc"

expect 0 "$ashlar" help --man
cmp -s "$work/out" "$root/man/ashlar.1" ||
    fail "man/ashlar.1 is old: run  $ashlar help --man > man/ashlar.1"
if command -v groff > /dev/null; then
    groff -man -ww -Tutf8 "$work/out" > /dev/null 2> "$work/groff"
    [ -s "$work/groff" ] && { head "$work/groff"; fail "groff complains"; }
fi

expect 0 "$ashlar" help --completion
cmp -s "$work/out" "$root/completions/ashlar.bash" ||
    fail "completions/ashlar.bash is old: run  $ashlar help --completion > completions/ashlar.bash"
if command -v bash > /dev/null; then
    words=$(bash -c '. "$1"; COMP_WORDS=(ashlar run --thr); COMP_CWORD=2; _ashlar
        echo "${COMPREPLY[@]}"' - "$work/out")
    [ "$words" = --threads ] || fail "completion of --thr gave: $words"
    words=$(bash -c '. "$1"; COMP_WORDS=(ashlar be); COMP_CWORD=1; _ashlar
        echo "${COMPREPLY[@]}"' - "$work/out")
    [ "$words" = bench ] || fail "completion of be gave: $words"
fi

exit $failed
