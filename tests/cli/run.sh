#!/bin/sh
# ashlar run: what goes to stdout, what to stderr, where the prompt comes from, when it stops.
. "$(dirname "$0")/common.inc"
need_model

# greedy text is the same every time, from an argument, a file or stdin; statistics on stderr
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12
cp "$work/out" "$work/text"
[ -s "$work/text" ] || fail "no text"
err_has '^ashlar: prompt [0-9]* tokens .* tok/s, generated 12 .* tok/s, peak memory .*, KV '
[ "$(wc -l < "$work/err")" = 1 ] || fail "more than one line on stderr"

printf 'one two\n' > "$work/prompt.txt"
expect 0 "$ashlar" run -m "$model" --raw -f "$work/prompt.txt" -n 12 -q
cmp -s "$work/out" "$work/text" || fail "-f gives another text"
[ -s "$work/err" ] && fail "--quiet is not"

for source in '-p -' '-f -' ''; do
    # shellcheck disable=SC2086
    expect 0 "$ashlar" run -m "$model" --raw $source -n 12 < "$work/prompt.txt"
    cmp -s "$work/out" "$work/text" || fail "stdin ($source) gives another text"
done

# threads do not change the text
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 --threads 1
cmp -s "$work/out" "$work/text" || fail "one thread gives another text"

expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 --map
cmp -s "$work/out" "$work/text" || fail "--map gives another text"

expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 --echo
{ printf 'one two'; cat "$work/text"; } | cmp -s - "$work/out" || fail "--echo"

expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 0
out_is ''
err_has 'generated 0,'

# a stop string that the text contains ends it before that string
stop=$(cut -c 4-6 "$work/text" | head -n 1)
if [ "${#stop}" = 3 ]; then
    expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 --stop "never seen" --stop "$stop"
    case $(cat "$work/text") in
    "$(cat "$work/out")$stop"*) ;;
    *) fail "--stop '$stop'" ;;
    esac
fi

# a full context ends the text with a note
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' --ctx 24 -n 1000
err_has 'note: the context of 24 tokens is full'

# sampling: a seed repeats, and is named when it was not given
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 -t 1 --seed 7
cp "$work/out" "$work/seed7"
expect 0 "$ashlar" run -m "$model" --raw -p 'one two' -n 12 -t 1 --seed 7
cmp -s "$work/out" "$work/seed7" || fail "the same seed gives another text"
err_has ', seed 7'

exit $failed
