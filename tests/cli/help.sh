#!/bin/sh
# Help that was asked for goes to stdout with exit code 0; every command has it.
. "$(dirname "$0")/common.inc"

help='Usage: ashlar COMMAND [options]

Run language models (GGUF files) on this computer'\''s processor.

Commands:
  run        generate text from a prompt, or chat
  bench      measure prefill and decode speed, and memory
  eval       EVAL
  calibrate  fit the predictions of --kv kvswap to a model and texts
  tune       choose the settings of --kv kvswap for a model and this machine
  inspect    INSPECT
  version    print the version, the compiler and the kernels that run here
  help       list the commands, or the options of one

  ashlar help COMMAND lists a command'\''s options.
'
for spelling in help --help -h; do
    expect 0 "$ashlar" $spelling
    # the two summaries belong to other files; here only that there is one
    sed -i 's/^  eval      .*/  eval       EVAL/; s/^  inspect   .*/  inspect    INSPECT/' "$work/out"
    out_is "$help"
    [ -s "$work/err" ] && fail "help wrote to stderr"
done

for command in run bench eval calibrate tune inspect version help; do
    expect 0 "$ashlar" help "$command"
    out_has "^Usage: ashlar $command"
    cp "$work/out" "$work/help"
    expect 0 "$ashlar" "$command" --help
    cmp -s "$work/out" "$work/help" || fail "help $command and $command --help differ"
    [ "$(awk 'length > 80' "$work/out" | wc -l)" = 0 ] || fail "a line is wider than 80 columns"
done

expect 0 "$ashlar" run -m nothing.gguf --temp 1 --help
out_has '^Usage: ashlar run'

expect 0 "$ashlar" --version
version=$(sed -n 's/^.define ASHLAR_VERSION "\(.*\)"/\1/p' "$root/include/ashlar.h")
[ "$(head -n 1 "$work/out")" = "ashlar $version" ] || fail "first line of the version"
out_has '^kernels: scalar'
if [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo && grep -qw f16c /proc/cpuinfo; then
    out_has '^kernels:.* avx2' # a table that was built without its instruction set is not there
fi

exit $failed
