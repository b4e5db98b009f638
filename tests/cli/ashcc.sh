#!/bin/sh
# ashcc as a cc: its command line, its outputs, its exit codes, its own options. The translator is a replay of
# tools/teacher's fragments, so that no model is needed.
. "$(dirname "$0")/common.inc"

ashcc=$build/ashcc
teacher=$build/tools/teacher
[ -x "$ashcc" ] && [ -x "$teacher" ] || skip "no ashcc or tools/teacher in $build"
need_verifier
cd "$work" || exit 1
unset ASHCC_CC
export XDG_CACHE_HOME="$work/home" ASHLAR_SHARE="$root/share"

cat > hello.c << 'END'
#include <stdio.h>
#include "half.h"
int half(int n);
int main(int argc, char **argv)
{
    int sum = 0;
    for (int i = 0; i < 10 + argc - 1; i++)
        sum += i * EXTRA;
    printf("%s %d\n", argc > 1 ? argv[1] : "hello", half(sum));
    return 0;
}
END
cat > half.c << 'END'
#include "half.h"
int half(int n) { return n / 2; }
END
printf '#ifndef EXTRA\n#define EXTRA 2\n#endif\n' > half.h
cat > odd.c << 'END'
int keep = 3;
int plain(int n) { static int calls = 40; return calls++ + n + keep; }
int odd(int n) { static int calls = 1; _Float128 z = n; return (int)z + calls++ + keep; }
int main(void) { plain(0); odd(9); return plain(1) + odd(5) - 40 - 1 - 1 - 3 - 5 - 2 - 3; }
END

teach() # FILE... : t.jsonl for their blocks, at two granularities
{
    rm -f blocks.txt
    for file in "$@"; do
        "$ashcc" --cache=off --dump=blocks "$file" >> blocks.txt || exit 1
    done
    "$teacher" blocks.txt > t.jsonl 2> teacher.log || { cat teacher.log; exit 1; }
}

# ---- words
expect 2 "$ashcc"
err_has '^ashcc: no input files$'
expect 2 "$ashcc" -c --frobnicate hello.c
err_has 'unknown option --frobnicate'
expect 2 "$ashcc" --sample=3 hello.c
err_has 'did you mean --samples?'
expect 2 "$ashcc" --samples=0 hello.c
err_has 'option --samples: 0 is below 1'
expect 2 "$ashcc" --granularity=blocks hello.c
err_has "'blocks' is not auto, function, block, statement or operation"
expect 2 "$ashcc" -c hello.c half.c -o x.o
err_has 'several files'
expect 2 "$ashcc" -m32 -c half.c
err_has 'option -m32 is not supported'
expect 2 "$ashcc" -c x.cpp
err_has 'only C and assembly'
expect 2 "$ashcc" --translator=oracle -c half.c
err_has 'is not model, http or replay:FILE'
expect 1 "$ashcc" -c missing.c
err_is 'ashcc: missing.c: No such file or directory'
echo '#error no' > error.c
expect 3 "$ashcc" -c error.c
err_has 'error.c: preprocessing failed'
[ ! -e missing.o ] || fail "an output of a failed compilation"

# ---- help and manual
expect 0 "$ashcc" --help
out_has '^Usage: ashcc'
out_has '^ *--translator NAME'
out_has '^  -o FILE '
[ "$(awk 'length > 80' out | wc -l)" = 0 ] || fail "a line is wider than 80 columns"
expect 0 "$ashcc" --man
cmp -s out "$root/man/ashcc.1" || fail "man/ashcc.1 is old: run  $ashcc --man > man/ashcc.1"
if command -v groff > /dev/null; then
    groff -man -ww -Tutf8 out > /dev/null 2> groff.log
    [ -s groff.log ] && { head groff.log; fail "groff complains"; }
fi
expect 0 "$ashcc" --completion
cmp -s out "$root/completions/ashcc.bash" ||
    fail "completions/ashcc.bash is old: run  $ashcc --completion > completions/ashcc.bash"
words=$(bash -c '. "$1"; COMP_WORDS=(ashcc --gran); COMP_CWORD=1; _ashcc; echo "${COMPREPLY[@]}"' - out)
[ "$words" = --granularity ] || fail "completion of --gran gave: $words"
words=$(bash -c '. "$1"; COMP_WORDS=(ashcc --dump b); COMP_CWORD=2; _ashcc; echo "${COMPREPLY[@]}"' - out)
[ "$words" = blocks ] || fail "completion of --dump b gave: $words"

# ---- questions that cc answers
cc -dumpmachine > asked
expect 0 "$ashcc" -dumpmachine
cmp -s out asked || fail "-dumpmachine differs from cc's"
expect 0 "$ashcc" -v
err_has 'gcc version'
expect 0 "$ashcc" --version
out_has '^ashcc [0-9]'
expect 0 "$ashcc" -E -DEXTRA=7 hello.c
out_has 'sum += i \* 7;'
expect 0 "$ashcc" -MM hello.c
out_has '^hello.o: hello.c half.h'

# ---- from source to program
teach hello.c half.c
replay=--translator=replay:t.jsonl
expect 0 "$ashcc" "$replay" hello.c half.c -o hello
[ "$(./hello)" = "hello 45" ] || fail "hello said: $(./hello)"
[ "$(./hello you)" = "you 55" ] || fail "hello you said: $(./hello you)"
expect 0 "$ashcc" "$replay" -c hello.c half.c
[ -f hello.o ] && [ -f half.o ] || fail "no objects"
expect 0 "$ashcc" hello.o half.o -o again -lm -Wl,--as-needed
[ "$(./again)" = "hello 45" ] || fail "linked from objects it said: $(./again)"
expect 0 "$ashcc" "$replay" -S half.c -o half.s
"$ashcc" "$replay" -S half.c -o - > printed.s 2> err && cmp -s half.s printed.s || fail "-o - is not standard output"
grep -q '^half:' half.s || fail "no function in half.s"
grep -q '^	\.set \.Lv[0-9]*_n, -[0-9]*$' half.s && grep -q 'movl	\.Lv[0-9]*_n(%rbp), ' half.s ||
    fail "half.s does not name its slots"
expect 0 "$ashcc" -c half.s -o half3.o
[ "$(nm half3.o | awk '{print $NF}')" = half ] || fail "symbols of half3.o: $(nm half3.o)"
expect 0 "$ashcc" "$replay" hello.c half.s
[ "$(./a.out)" = "hello 45" ] || fail "with an assembler file it said: $(./a.out)"
expect 0 "$ashcc" "$replay" -x c -c - -o stdin.o < half.c
expect 0 "$ashcc" -E half.c -o half.i
expect 0 "$ashcc" "$replay" -c half.i -o half2.o
printf '%s' "-c $replay -o 'res p.o' half.c" > response
expect 0 "$ashcc" @response
[ -f 'res p.o' ] || fail "the response file was not read"
expect 0 "$ashcc" "$replay" -c half.c -o /dev/null
[ -c /dev/null ] || fail "/dev/null was replaced"
expect 0 "$ashcc" "$replay" -g -O2 -Wall -fPIC -march=native -v -c half.c
err_has '^ashcc: options that mean nothing here: -O2 -march=native$'
err_has 'half.c: 1 function, .* accepted'

expect 0 "$ashcc" "$replay" -shared -fPIC half.c -o libhalf.so
expect 0 "$ashcc" "$replay" hello.c -o hello -L. -lhalf -Wl,-rpath,"$work"
[ "$(./hello)" = "hello 45" ] || fail "with a shared object it said: $(./hello)"

# ---- dependency files
expect 0 "$ashcc" "$replay" -MMD -c hello.c -o sub.o
grep -q '^sub.o: hello.c half.h' sub.d || fail "sub.d: $(cat sub.d)"
expect 0 "$ashcc" "$replay" -MD -MF dep -MT target -MP -c hello.c
grep -q '^target: hello.c' dep || fail "dep: $(cat dep)"
grep -q '^half.h:' dep || fail "no phony target in dep"

# ---- what is not accepted
: > empty.jsonl
rm -f half.o
expect 5 "$ashcc" --cache=off --translator=replay:empty.jsonl -c half.c
err_has '^ashcc: half.c:2:[0-9]*: .* of half: replay: not in the transcript$'
[ ! -e half.o ] || fail "an output that was not accepted"
rm -rf "$work/home"
expect 5 "$ashcc" --translator=replay:empty.jsonl --fallback=error -c half.c
for kind in condition clobber store syntax; do # a wrong width may still be right
    "$teacher" --mistakes=$kind blocks.txt > bad.jsonl 2> teacher.log || fail "teacher --mistakes=$kind"
    [ -s bad.jsonl ] || continue
    expect 5 "$ashcc" --cache=off --translator=replay:bad.jsonl --granularity=block -c hello.c
done
expect 0 "$ashcc" --cache=off --translator=replay:bad.jsonl "$replay" hello.c half.c -o hello
[ "$(./hello)" = "hello 45" ] || fail "with two translators it said: $(./hello)"
expect 5 "$ashcc" "$replay" -c odd.c
err_has 'odd.c:3:[0-9]*: _Float128 is not supported'
printf 'int f(void) { return 1 +; }\n' > wrong.c
expect 3 "$ashcc" -c wrong.c
err_has '^ashcc: wrong.c:1:'
expect 1 "$ashcc" "$replay" hello.c -o unlinked
err_has 'linking failed'
[ ! -e unlinked ] || fail "an output of a failed link"
printf 'not json\n' > broken.jsonl
expect 3 "$ashcc" --cache=off --translator=replay:broken.jsonl -c half.c
err_has 'broken.jsonl:1: not a JSON object'

# ---- the fallback
teach odd.c
expect 0 "$ashcc" "$replay" --fallback=cc odd.c -o odd
err_has 'odd is compiled by cc'
./odd || fail "the mixed program returned $?"
expect 0 "$ashcc" --cache=off --translator=replay:empty.jsonl --fallback=cc hello.c half.c -o hello
[ "$(./hello)" = "hello 45" ] || fail "all by cc it said: $(./hello)"
expect 0 "$ashcc" --fallback=cc -ftrapv -c half.c
err_has 'left to cc'

# ---- the cache: a build needs no translator
teach hello.c half.c
expect 0 "$ashcc" "$replay" --cache=kept hello.c half.c -o hello
expect 0 "$ashcc" --cache=kept --translator=replay:empty.jsonl hello.c half.c -o hello
expect 0 "$ashcc" --cache=kept --cache-stats
out_has '^[1-9][0-9]* fragments'
expect 0 "$ashcc" --cache=kept --cache-export=shipped.jsonl
expect 0 "$ashcc" --cache=other --cache-import=shipped.jsonl
err_has '^ashcc: [1-9][0-9]* new entries'
expect 0 "$ashcc" --cache=other --translator=replay:empty.jsonl hello.c half.c -o hello
[ "$(./hello)" = "hello 45" ] || fail "from the cache it said: $(./hello)"
sed 's/\$c/$0+c/; s/addl/subl/g; s/imull/addl/g; s/jge/jle/; s/jl\b/jg/' shipped.jsonl > forged.jsonl
expect 0 "$ashcc" --cache=forged --cache-import=forged.jsonl
expect 5 "$ashcc" --cache=forged --translator=replay:empty.jsonl -c hello.c
head -c 700 kept/fragments.db > cut.db && mkdir -p cut && mv cut.db cut/fragments.db
expect 3 "$ashcc" --cache=cut "$replay" -c half.c
err_has 'damaged'

# ---- report, explanation, dumps, check
expect 0 "$ashcc" "$replay" --cache=off --report=r.json --explain -c half.c
out_has '  verdict: tested 1000'
out_has '^  | int half(int n) { return n / 2; }$'
grep -q '"outcome":"ok"' r.json || fail "no function in the report"
expect 0 "$ashcc" --dump=ast half.c
[ -s out ] || fail "--dump=ast is empty"
expect 0 "$ashcc" --dump=blocks half.c
out_has '^block x86-64$'
expect 0 "$ashcc" "$replay" --dump=asm half.c
out_has '^half:'
expect 0 "$ashcc" "$replay" hello.c half.c -o hello --check '[ "$("./$ASHCC_OUTPUT")" = "hello 45" ]'
expect 5 "$ashcc" "$replay" hello.c half.c -o hello --check 'exit 9'
err_has 'the check failed (status 9)'
[ ! -e hello ] || fail "the output that failed its check is there"

# ---- make
printf 'prog: hello.o half.o\n\t$(CC) -o $@ $^\n' > Makefile
expect 0 make -s CC="$ashcc $replay"
[ "$(./prog)" = "hello 45" ] || fail "made by make it said: $(./prog)"

# ---- an interruption: the server never answers
mkdir -p tmp
TMPDIR="$work/tmp" "$ashcc" --cache=off --endpoint http://127.0.0.1:1/v1 -c half.c -o stopped.o 2> err &
pid=$!
sleep 1
kill -TERM $pid
wait $pid
code=$?
[ $code = 130 ] || fail "ended by a signal it returned $code"
[ ! -e stopped.o ] && [ -z "$(ls -A tmp)" ] || fail "an interrupted compilation left $(ls -A tmp)"

# ---- nothing is left behind
[ -z "$(find . -name '*.tmp')" ] || fail "drafts are left: $(find . -name '*.tmp')"
mkdir -p tmp
expect 0 env TMPDIR="$work/tmp" "$ashcc" "$replay" -c half.c
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls tmp)"

exit $failed
