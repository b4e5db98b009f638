#!/bin/sh
# The teacher's command line: blocks in, a transcript out; what is malformed is refused with its place.
. "$(dirname "$0")/common.inc"
teacher=$build/tools/teacher
[ -x "$teacher" ] || skip "the teacher is not built"
command -v cc > /dev/null || skip "no host compiler"

printf '%s\n' 'block x86-64' 'int v1' 'literal int c1' begin 'v1 = v1 + c1;' end > "$work/blocks"
cat "$work/blocks" "$work/blocks" > "$work/twice"

# a block that comes twice is answered once; - and no operand are standard input
expect 0 "$teacher" "$work/twice"
[ "$(wc -l < "$work/out")" = 1 ] || fail "not one line"
grep -q '"fragment":".*addl.*v1(%rbp)' "$work/out" || fail "no fragment in the transcript"
cp "$work/out" "$work/transcript"
"$teacher" - < "$work/blocks" 2> /dev/null | cmp -s - "$work/transcript" || fail "standard input"
expect 0 "$teacher" "$work/blocks" -o "$work/written"
cmp -s "$work/written" "$work/transcript" || fail "-o writes something else"

# C that is no C is named, and the other blocks are answered
printf '%s\n' 'block x86-64' 'int v1' begin 'v1 = = v1;' end >> "$work/twice"
expect 0 "$teacher" -v "$work/twice"
[ "$(wc -l < "$work/out")" = 1 ] || fail "the good block has no answer"
grep -q 'no fragment for .*line 1 of the body' "$work/err" || fail "the bad block is not named"

printf '%s\n' 'block x86-64' 'int v2' begin end > "$work/bad"
expect 3 "$teacher" "$work/bad"
grep -q 'line 2' "$work/err" || fail "no line in the message"
expect 2 "$teacher" --mistakes=spelling "$work/blocks"
expect 1 "$teacher" --cc "$work/no-such-compiler" "$work/blocks"
expect 1 "$teacher" "$work/missing"
exit "$failed"
