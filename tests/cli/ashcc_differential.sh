#!/bin/sh
# ashcc --differential: functions called with made arguments beside cc's code. The translator is a replay of
# tools/teacher's fragments; mistakes get in with --verify=assemble, which does not look at what a block
# computes.
. "$(dirname "$0")/common.inc"

ashcc=$build/ashcc
teacher=$build/tools/teacher
[ -x "$ashcc" ] && [ -x "$teacher" ] || skip "no ashcc or tools/teacher in $build"
need_verifier
cd "$work" || exit 1
unset ASHCC_CC
export XDG_CACHE_HOME="$work/home" ASHLAR_SHARE="$root/share"

cat > many.c << 'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
struct node { int value; struct node *next; };
struct point { short x; double y; char name[6]; unsigned flags : 3; };
int total = 7;
const char *last = "none";
static int helper(int a, int b) { static int n = 3; n += a; return a / b + n; }
int user(int a, int b) { return helper(a, b) - 2; }
int sum(const int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i]; total += s; return s; }
char *reversed(const char *s)
{
    size_t n = strlen(s);
    char *r = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        r[i] = s[n - 1 - i];
    r[n] = 0;
    return r;
}
int length(struct node *p) { int n = 0; for (; p; p = p->next) n++; return n; }
double scaled(struct point *p, float k) { p->x++; p->flags += 2; return p->x * k + p->y; }
const char *word(int n) { last = n > 3 ? "many" : "few"; return last; }
int unset(int n) { int x; if (n > 3) x = 1; return x; }
void say(int n) { printf("n=%d\n", n); }
int outside(int n) { return n + getpid(); }
int apply(int (*f)(int), int n) { return f(n); }
int *table, used; /* zero in the file: nothing to do without values of their own */
int registered(int n) { if (used > 0 && table) table[n & 3] = n * 2 + used; return table[0]; }
int main(void) { return user(1, 2); }
END
"$ashcc" --cache=off --dump=blocks many.c > blocks.txt && "$teacher" blocks.txt > t.jsonl 2> log ||
    { cat log; exit 1; }
replay=--translator=replay:t.jsonl

# ---- right code
expect 0 "$ashcc" --cache=off --vectors=100 "$replay" --differential 24 -c many.c -o many.o
[ -f many.o ] || fail "no output"
out_has '^many.c: beside cc, 24 vectors per function, seed 1$'
for name in helper user sum reversed length scaled word say; do
    awk -v name=$name '$1 == name && $2 > 8 && $2 + $3 == 24 && $4 == 0 { found = 1 }
                       END { exit !found }' out || fail "$name was not compared"
done
awk '$1 == "unset" && $3 > 0 && $4 == 0 { found = 1 } END { exit !found }' out ||
    fail "a value that is not set was compared"
awk '$1 == "registered" && $2 > 0 && $4 == 0 { found = 1 } END { exit !found }' out ||
    fail "data that the file leaves zero got no values"
out_has '^outside .* left out: calls getpid, which is not known here$'
out_has '^apply .* left out: takes a pointer to a function$'
out_has '^main .* left out: is the program$'

# ---- mistakes, which nothing else looks for here
planted() # KIND FUNCTION: its mistake is found
{
    "$teacher" --mistakes "$1" blocks.txt > bad.jsonl 2> log || { cat log; exit 1; }
    rm -f bad.o
    expect 5 "$ashcc" --cache=off --translator=replay:bad.jsonl "$replay" --verify=assemble \
        --differential 24 -c many.c -o bad.o
    err_has 'many.c: --differential: [0-9]* functions* differs* from cc'
    awk -v name="$2" '$1 == name && $4 > 0 { found = 1 } END { exit !found }' out ||
        fail "no mistake ($1) found in $2"
    [ ! -e bad.o ] || fail "an output that differs"
}
planted condition word
out_has '^word .* word(.*): returns "[a-z]*", cc.s returns "[a-z]*"$'
planted store sum
planted width reversed
planted store registered
out_has '^registered .* registered([-0-9]*) with table = {.*}, used = -*[0-9]*: '

# ---- wrong words; nothing is left behind; not installed
expect 2 "$ashcc" --differential 0 -c many.c
err_has 'option --differential: 0 is below 1'
echo 'int half(int n) { return n / 2; }' > half.c
"$ashcc" --cache=off --dump=blocks half.c > blocks.txt && "$teacher" blocks.txt > t.jsonl 2> log ||
    { cat log; exit 1; }
mkdir -p tmp
expect 0 env TMPDIR="$work/tmp" "$ashcc" --cache=off "$replay" --differential 3 -S half.c -o half.s
[ -z "$(ls -A tmp)" ] || fail "left in TMPDIR: $(ls tmp)"
cp "$ashcc" alone
expect 1 env ASHLAR_SHARE="$work" ./alone --cache=off "$replay" --differential 3 -c half.c
err_has 'differential/harness.c is not installed'

exit $failed
