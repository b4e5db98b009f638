#!/bin/sh
# Models and prompts that cannot be used: exit code, message, hint; never a crash.
. "$(dirname "$0")/common.inc"

expect 1 "$ashlar" run -m "$work/none.gguf" -p x
out_is ''
err_has '^ashlar: .*none.gguf.*No such file'

expect 1 "$ashlar" run -m "$work/none.gguf" -f "$work/none.txt"
err_has 'none.txt.*No such file'

printf 'not a model' > "$work/text.gguf"
expect 3 "$ashlar" run -m "$work/text.gguf" -p x
err_has '^ashlar: .*text.gguf'

: > "$work/empty.gguf"
expect 3 "$ashlar" run -m "$work/empty.gguf" -p x

expect 3 "$ashlar" run -m "$work" -p x

need_model
size=$(wc -c < "$model")
for part in 16 200 $((size / 3)) $((size / 2)) $((size - 1)); do
    head -c "$part" "$model" > "$work/cut.gguf"
    expect 3 "$ashlar" run -m "$work/cut.gguf" -p x -n 1
    out_is ''
    err_has '^ashlar: .*cut.gguf'
done

expect 2 "$ashlar" run -m "$model" -p x --isa abacus
err_has 'abacus'

# a prompt longer than the context says how long it is and what to do
head -c 4000 /dev/zero | tr '\0' 'x' > "$work/long.txt"
expect 4 "$ashlar" run -m "$model" -f "$work/long.txt" --raw --ctx 16 -n 1
err_has 'the prompt has [0-9]* tokens, the context 16'
err_has '^hint: .*--ctx [0-9]'

# more memory than any machine has
expect 4 "$ashlar" run -m "$model" -p x --ctx 500000000 --kv full
err_has 'of memory'
err_has '^hint: '

exit $failed
