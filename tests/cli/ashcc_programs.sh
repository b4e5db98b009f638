#!/bin/sh
# Whole programs through ashcc with the teacher's fragments: what the composer and the target do beside
# blocks (symbols of other objects, shared objects, variable arguments, stack memory, computed
# gotos, data), against the same programs by the host compiler.
. "$(dirname "$0")/common.inc"

ashcc=$build/ashcc
teacher=$build/tools/teacher
[ -x "$ashcc" ] && [ -x "$teacher" ] || skip "no ashcc or tools/teacher in $build"
need_verifier
cd "$work" || exit 1
unset ASHCC_CC
export XDG_CACHE_HOME="$work/home" ASHLAR_SHARE="$root/share"

cat > library.c << 'END'
#include <stdio.h>
#include <stdlib.h>
int counter = 5;
static int hidden = 7;
extern int from_main;
int table[10];
__thread int per_thread = 4;
__thread int placed __attribute__((section("of_threads"))) = 3;
extern __thread int of_main;
const char *names[] = {"even", "odd"};
typedef int (*function)(int);
extern int nobody(int) __attribute__((weak)), nothing __attribute__((weak));
int twice(int x) { return 2 * x; }
static int thrice(int x) { return 3 * x; }
function pick(int w) { return w ? twice : thrice; }
static int of_constants(int x)
{
    switch (x) {
    case (unsigned long)1e19 > 5: return 70;
    case (_Bool)1e30 + 1: return 90;
    }
    return 0;
}
int work(int n)
{
    function f = pick(n & 1);
    int (*print)(const char *, ...) = printf;
    counter += f(n) + ++per_thread + ++placed + of_main + of_constants(n % 3);
    table[n % 10] = counter;
    from_main = ++hidden;
    if (nobody || &nothing)
        counter += 1000;
    print("%s %d %d\n", names[n & 1], counter, *(&table[0] + n % 10));
    return counter + hidden;
}
END
cat > main.c << 'END'
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern int counter, table[10];
int work(int), twice(int), from_main;
extern __thread int per_thread;
__thread int of_main = 30;
static __thread char unset[8];
double (*root)(double) = sqrt;
struct mixed { double d; int i; };
struct wide { long a[5]; };
static _Alignas(64) int wide_static[3];
static struct { const char *name; int values[]; } flexible = {"flex", {1, 2, 3}};

static double add(int n, ...)
{
    va_list list, copy;
    double sum = 0;
    va_start(list, n);
    va_copy(copy, list);
    for (int i = 0; i < n; i++)
        sum += va_arg(list, int) + va_arg(list, double) + va_arg(list, struct mixed).i;
    sum += va_arg(copy, int);
    va_end(list);
    va_end(copy);
    return sum;
}

static struct wide widen(struct mixed m, struct wide w, float f, char c)
{
    w.a[0] = (long)m.d + m.i + c;
    w.a[4] += (long)f;
    return w;
}

static int arrays(int n)
{
    int a[n], sum = 0;
    for (int i = 0; i < n; i++) {
        char text[i + 1];
        memset(text, 'x', sizeof text);
        text[i] = 0;
        a[i] = (int)strlen(text) + (int)sizeof text;
    }
    for (int i = 0; i < n; i++)
        sum += a[i];
    return sum + (int)(sizeof a / sizeof *a);
}

static int counted(int n, int values[n++]) { return values[0] + n; }

static int aligned(int n)
{
    _Alignas(64) char line[64];
    char *more = __builtin_alloca(n);
    memset(line, 1, sizeof line);
    memset(more, 2, n);
    return (unsigned long)line % 64 == 0 && (unsigned long)wide_static % 64 == 0 && line[63] + more[n - 1] == 3;
}

static int machine(const char *code)
{
    static void *const steps[] = {&&up, &&down, &&stop};
    int value = 0;
    goto *steps[*code++ - '0'];
up:
    value += 3;
    goto *steps[*code++ - '0'];
down:
    value--;
    goto *steps[*code++ - '0'];
stop:
    return value;
}

static const char *kind(long v)
{
    switch (v) {
    case -5 ... -1: return "minus";
    case 0: return "zero";
    case 1: case 2: case 3: return "few";
    case 1L << 40: return "huge";
    default: return "many";
    }
}

int main(void)
{
    int (*f)(int) = twice, r = work(3) + work(4);
    struct mixed m = {2.5, 7};
    struct wide w = widen(m, (struct wide){{1, 2, 3, 4, 5}}, 1.5f, 'a');
    counter += 10 + per_thread++ + unset[5]++ + of_main--;
    printf("%d %d %d %d %d\n", r, counter, from_main, table[3] + f(4), root == sqrt);
    printf("%g %ld %ld %s %d\n", add(2, 1, 2.5, m, 4, 5.5, m), w.a[0], w.a[4], flexible.name,
           flexible.values[2]);
    printf("%d %d %d %d\n", arrays(40), counted(2, (int[]){4, 5}), aligned(100), machine("0010102"));
    printf("%s %s %s %s %s\n", kind(-3), kind(0), kind(2), kind(1L << 40), kind(99));
    printf("%.3Lf %a\n", 1.0L / 3, 0.1f);
    return 0;
}
END

# compile OBJECT SOURCE FLAGS...
compile()
{
    object=$1 source=$2
    shift 2
    for size in block statement operation; do
        "$ashcc" --quiet --cache=off --dump=blocks --granularity=$size "$@" "$source" || exit 1
    done > blocks.txt
    "$teacher" -o t.jsonl blocks.txt 2> teacher.log || fail "teacher: $(cat teacher.log)"
    expect 0 "$ashcc" --quiet --cache=off --translator=replay:t.jsonl --vectors=100 "$@" -c -o "$object" "$source"
}

cc -w -o host library.c main.c -lm || exit 1
./host > wanted || exit 1

compile library.o library.c
compile main.o main.c
cc -o program library.o main.o -lm || fail "ashcc's objects do not link as a position-independent program"
./program > got && diff wanted got || fail "the program's output differs"
cc -no-pie -o program library.o main.o -lm || fail "ashcc's objects do not link at a fixed address"
./program > got && diff wanted got || fail "the fixed program's output differs"

compile library.pic.o library.c -fPIC
cc -shared -o liblibrary.so library.pic.o || fail "no shared object"
cc -o program main.o -L. -llibrary -lm || fail "no program with the shared object"
LD_LIBRARY_PATH=. ./program > got && diff wanted got || fail "with the shared object the output differs"

# Its objects and the host's mix.
cc -w -c -o host.o main.c && cc -o program library.o host.o -lm || fail "no program with the host's main"
./program > got && diff wanted got || fail "with the host's main the output differs"

# same SOURCE FLAGS...: the program prints what the host's does
same()
{
    source=$1
    shift
    last="$source $*"
    cc -w -O0 "$@" -o host "$source" || exit 1
    compile same.o "$source" -w "$@"
    cc -o program same.o || fail "$source does not link"
    ./host > wanted && ./program > got && diff wanted got || fail "$source's output differs"
}

cat > names.c << 'END'
#include <stdio.h>
static int twice(int n) { return 2 * n; }
int other(int n) __attribute__((alias("twice")));
static int hidden(int n) __attribute__((alias("twice")));
extern int weak_one(int n) __attribute__((weak, alias("twice")));
static int order[8], n_order;
__attribute__((constructor)) static void last(void) { order[n_order++] = 3; }
__attribute__((constructor(102))) static void second(void) { order[n_order++] = 2; }
__attribute__((constructor(101))) void first(void) { order[n_order++] = 1; }
static void __attribute__((destructor)) end(void) { printf("end\n"); }
__attribute__((destructor(101))) static void very_end(void) { printf("very end\n"); }
int (*table[])(int) = {other, hidden, weak_one};
int main(void)
{
    printf("%d %d %d\n", other(1), hidden(2), weak_one(3));
    for (int i = 0; i < n_order; i++)
        printf("%d %d ", order[i], table[i](i));
    printf("\n");
    return 0;
}
END
same names.c
same names.c -fPIC
echo 'extern int f(void) __attribute__((alias("g"))); int h(void) { return f(); }' > alias.c
expect 3 "$ashcc" --cache=off -c alias.c
err_has "'f' is an alias of 'g', which is not defined here"

# Signed arithmetic that wraps.
cat > wraps.c << 'END'
#include <limits.h>
#include <stdio.h>
struct bits { int b : 5; long l : 40; } s = {15, 0};
int add(int a, int b) { return a + b; }
int overflows(int a, int b) { return b > 0 && a + b < a; }
long multiply(long a, long b) { return a * b - b; }
int negate(int a) { return -a; }
int count(int n) { int k = 0; for (int i = n; i > 0; i++) k++; return k; }
short narrow(short a) { a *= a; a += 30000; return a; }
int main(void)
{
    int most = INT_MAX;
    long more = LONG_MAX;
    most++, --most, most += 5, more *= 3;
    s.b++;
    printf("%d %d %ld %d\n", add(INT_MAX, 2), overflows(INT_MAX, 1), multiply(LONG_MIN, 7), negate(INT_MIN));
    printf("%d %ld %d %d %d %d\n", most, more, s.b, count(INT_MAX - 9), narrow(300), INT_MAX + 1);
    return 0;
}
END
same wraps.c -fwrapv
same wraps.c -fno-strict-overflow

# What is undefined whatever happens is translated too: it is never reached.
cat > never.c << 'END'
#include <stdio.h>
int zero(int n) { if (n > 100) return n / 0; return n; }
int over(int n) { if (n > 100) return 2147483647 + 1; return n; }
int shift(int n) { if (n > 100) return n << 35; return n; }
int negate(int n) { if (n > 100) return -(-2147483647 - 1); return n; }
unsigned convert(int n) { if (n > 100) return (unsigned)1e30; return n; }
int fixed(int n) { if (n > 100) return *(int *)8; if (n > 90) *(short *)0 = n; return n; }
int main(void)
{
    printf("%d %d %d %d %u %d\n", zero(1), over(2), shift(3), negate(4), convert(5), fixed(6));
    return 0;
}
END
same never.c

exit $failed
