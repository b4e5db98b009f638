#!/bin/sh
# Mistakes on the command line: exit code 2, what is wrong, the nearest right word; nothing on stdout.
. "$(dirname "$0")/common.inc"

expect 2 "$ashlar"
out_is ''
err_is 'ashlar: no command given
hint: ashlar help lists the commands'

expect 2 "$ashlar" rnu
out_is ''
err_is 'ashlar: unknown command rnu
hint: did you mean run?'

expect 2 "$ashlar" xylophone
err_is 'ashlar: unknown command xylophone
hint: ashlar help lists the commands'

expect 2 "$ashlar" help benhc
err_has 'did you mean bench'

expect 2 "$ashlar" run --modle x
err_is 'ashlar: unknown option --modle
hint: did you mean --model?'

expect 2 "$ashlar" run -m
err_has 'model needs a value'

expect 2 "$ashlar" run -m x.gguf -n many
err_has "'many' is not a whole number"

expect 2 "$ashlar" run -m x.gguf -n -5
err_has 'tokens: -5 is below 0'

expect 2 "$ashlar" run -m x.gguf --top-p 1.5
err_has 'above 1'

expect 2 "$ashlar" run -p hello
err_is 'ashlar: no model given
hint: -m MODEL names a GGUF file'

expect 2 "$ashlar" run -m x.gguf -p a -f b
err_has 'exclude each other'

expect 2 "$ashlar" run -m x.gguf -p a --raw --chat
err_has 'excludes'

expect 2 "$ashlar" run -m x.gguf extra
err_has "unexpected argument 'extra'"

expect 2 "$ashlar" bench
err_has 'no model given'

expect 2 "$ashlar" bench -m x.gguf --depth 1,two
err_has "'1,two' is not a list of lengths"

expect 2 "$ashlar" version 1
out_is ''

exit $failed
