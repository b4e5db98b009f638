/* variable arguments are fetched */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct i2 {
    int a, b;
};
struct d2 {
    double a, b;
};
struct mix {
    double d;
    long l;
};
struct big {
    long a[4];
};
struct c3 {
    char c[3];
};
static long sum(int n, ...)
{
    va_list ap, again;
    va_start(ap, n);
    long s = 0;
    va_copy(again, ap);
    for (int i = 0; i < n; i++)
        s += va_arg(ap, int);
    for (int i = 0; i < n; i++)
        s += 1000 * va_arg(again, int);
    va_end(ap);
    va_end(again);
    return s;
}
static double mixed(const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    double s = 0;
    for (; *f; f++)
        switch (*f) {
        case 'i':
            s += va_arg(ap, int);
            break;
        case 'u':
            s += va_arg(ap, unsigned);
            break;
        case 'l':
            s += va_arg(ap, long);
            break;
        case 'd':
            s += va_arg(ap, double);
            break;
        case 'L':
            s += va_arg(ap, long double);
            break;
        case 'p':
            s += *va_arg(ap, int *);
            break;
        case '2': {
            struct i2 v = va_arg(ap, struct i2);
            s += v.a * 10 + v.b;
            break;
        }
        case 'D': {
            struct d2 v = va_arg(ap, struct d2);
            s += v.a - v.b;
            break;
        }
        case 'm': {
            struct mix v = va_arg(ap, struct mix);
            s += v.d + v.l;
            break;
        }
        case 'b':
            s += va_arg(ap, struct big).a[3];
            break;
        case '3':
            s += va_arg(ap, struct c3).c[2];
            break;
        }
    va_end(ap);
    return s;
}
static int take(va_list ap)
{
    return va_arg(ap, int);
}
static int pass(int n, ...)
{
    va_list ap;
    va_start(ap, n);
    int a = take(ap), b = take(ap);
    va_end(ap);
    return a * 10 + b;
}
static int out(char *b, const char *f, ...)
{
    va_list ap;
    va_start(ap, f);
    int n = vsprintf(b, f, ap);
    va_end(ap);
    return n;
}
int main(void)
{
    CHECK(1, sum(9, 1, 2, 3, 4, 5, 6, 7, 8, 9) == 45045);
    int x = 7;
    CHECK(2, mixed("idplLdu", -1, 2.5, &x, 100L, 0.25L, 0.5, 4000000000u) == 4000000109.25);
    CHECK(3, mixed("dddddddddddd", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.) == 78);
    struct mix m = {0.5, 3};
    struct big b = {{1, 2, 3, 4}};
    CHECK(4, mixed("2Dmb3i", (struct i2){1, 2}, (struct d2){5, 2}, m, b, (struct c3){"abc"}, 1) ==
                 12 + 3 + 3.5 + 4 + 'c' + 1);
    CHECK(5, mixed("iiiimmii", 1, 1, 1, 1, m, m, 1, 1) == 13);
    CHECK(6, mixed("DDDDDm", (struct d2){2, 1}, (struct d2){2, 1}, (struct d2){2, 1},
                   (struct d2){2, 1}, (struct d2){2, 1}, m) == 8.5);
    CHECK(7, pass(0, 4, 2) == 42);
    char t[40];
    CHECK(8, out(t, "%d %s %.1f %c", 5, "x", 1.5, 'q') == 9 && !strcmp(t, "5 x 1.5 q"));
    CHECK(9, mixed("LiL", 1.0L, 2, 3.0L) == 6);
    return 0;
}
