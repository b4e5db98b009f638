#!/bin/sh
# Ctrl-C: the text so far stays, the statistics say so, exit code 130; also while a prompt is read.
. "$(dirname "$0")/common.inc"
need_model

# interrupt WHEN OPTIONS...: start it, send SIGINT after the first text or some time; expect 130
interrupt()
{
    when=$1
    shift
    last="$ashlar $*"
    : > "$work/out"
    : > "$work/err"
    "$ashlar" "$@" > "$work/out" 2> "$work/err" &
    pid=$!
    tries=0
    while [ "$when" = text ] && [ ! -s "$work/out" ] && [ $tries -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    [ "$when" = later ] && sleep 1
    kill -INT $pid
    wait $pid
    code=$?
    [ $code = 130 ] || fail "exit code $code, expected 130"
}

interrupt text run -m "$model" --raw -p one --ctx 200000 -n 199000
[ -s "$work/out" ] || fail "the text so far is lost"
err_has 'generated [0-9].*, interrupted$'

# with --json there is nothing to wait for but time
interrupt later run -m "$model" --raw -p one --ctx 200000 -n 199000 --json
grep -q '"stop":"interrupt"' "$work/out" || fail "no JSON with the reason"

interrupt later bench -m "$model" --prompt-tokens 20000 --runs 1000
out_is ''
err_has '^ashlar: '

exit $failed
