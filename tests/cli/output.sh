#!/bin/sh
# Output that cannot be written: exit code 1 and the reason; no crash, no endless run.
. "$(dirname "$0")/common.inc"
need_model
long="run -m $model --raw -p one --ctx 20000 -n 10000 -q"

full() { "$ashlar" "$@" > /dev/full; }
closed() { "$ashlar" "$@" >&-; }

if [ -w /dev/full ]; then
    # shellcheck disable=SC2086
    expect 1 full $long
    err_has '^ashlar: cannot write standard output: No space left'
    expect 1 full help
    err_has 'No space left'
    expect 1 full version
fi

# shellcheck disable=SC2086
expect 1 closed $long
err_has '^ashlar: cannot write standard output: '

# no text, no error
expect 0 closed run -m "$model" --raw -p one -n 0 -q

# the reader leaves: an error of ours, not a death by signal
last="ashlar ... | head -c 1"
# shellcheck disable=SC2086
{ "$ashlar" $long 2> "$work/err"; echo $? > "$work/code"; } | head -c 1 > "$work/out"
[ "$(cat "$work/code")" = 1 ] || fail "exit code $(cat "$work/code") after a closed pipe"
err_has 'Broken pipe'

exit $failed
