#!/bin/sh
# The interactive loop, on a terminal made by script(1): commands, answers, leaving.
. "$(dirname "$0")/common.inc"
command -v script > /dev/null || skip "no script(1) to make a terminal with"
need_model

# in_terminal INPUT COMMAND: what a user sees, in $work/out
in_terminal()
{
    last=$2
    : > "$work/err"
    { sleep 0.3; printf '%b' "$1"; sleep 1; } |
        TERM=xterm timeout 60 script -qec "$2" /dev/null > "$work/out" 2>&1
    code=$?
    [ $code = 0 ] || fail "exit code $code"
}

in_terminal 'one two\n/help\n/reset\n\n/quit\n' "$ashlar run -m $model -n 8 --raw"
out_has '/reset  forget'
out_has 'generated 8'

# a backslash joins lines; end of file leaves
in_terminal 'one \\\\\ntwo\n\004' "$ashlar run -m $model -n 4 --raw"
out_has 'generated 4'

# a conversation: the second turn keeps what the session holds of the first
if [ "$model" = "$work/tiny.gguf" ]; then
    in_terminal 'one\nthree\n/quit\n' "$ashlar run -m $model -n 4"
    out_has 'chat; /help'
    kept=$(sed -n 's/.*prompt [0-9]* tokens (+\([0-9]*\) kept).*/\1/p' "$work/out" | tail -n 1)
    [ "${kept:-0}" -gt 4 ] || fail "kept ${kept:-none} tokens of the first turn"
fi

# options that make no sense without a prompt
last='ashlar run --json on a terminal'
script -qec "$ashlar run -m $model --json" /dev/null < /dev/null > "$work/out" 2>&1
code=$?
[ $code = 2 ] || fail "exit code $code, expected 2"
out_has 'need a prompt'

exit $failed
