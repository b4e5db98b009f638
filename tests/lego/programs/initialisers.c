/* initialisers fill what they name */
#include <string.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct in {
    int a, b[3];
    struct {
        short c, d;
    } e;
    char s[6];
};
static struct in g[] = {[1] = {1, {2, 3}, {4, 5}, "xyz"}, [0].b[2] = 9, [1] = {.e.d = 3}};
static char t[] = "hello", t3[3] = "abc", *ptr = "pointer" + 2;
static int wide[] = L"ab";
static double d[3] = {1, -0.0, 1.0 / 3};
static long double ld = 2.5L;
static int *in = &g[1].b[1], (*fn)(int), x = sizeof(g) / sizeof *g;
static unsigned long addr = (unsigned long)&g[1];
static long diff = &g[2].a - &g[0].a;
struct flex {
    int n;
    short v[];
};
static struct flex fl = {3, {7, 8, 9}};
static struct {
    unsigned a : 4, b : 9;
    signed c : 3;
} bits = {5, 300, -2};
union u {
    char c;
    long l;
};
static union u un = {.l = -1};
static int twice[4] = {1, 2, 3, [1] = 7};
int tent[];
int tent2;
int tent2;
static int cond = 1 ? 2 : 3, logic = 0 && 1 || 5, neg = -5 % 3, shr = -8 >> 1;
static unsigned char nar = 0x1ff & 0xfe;
static float fl1 = 0.1, fl2 = 16777217;
static char *arr[] = {"a", [3] = "d"};
struct pt {
    int x, y;
};
static struct pt *pp = &(struct pt){3, 4};
static struct pt pa[2] = {(struct pt){1, 2}, {5}};
static _Bool bo = 12;
static int count(void)
{
    static int n = 5;
    return ++n;
}
static int other(void)
{
    static int n;
    return n += 2;
}
int main(void)
{
    CHECK(1, g[0].b[2] == 9 && g[1].e.d == 3 && g[1].a == 0 && g[0].a == 0 && x == 2);
    CHECK(2,
          sizeof t == 6 && t3[2] == 'c' && !strcmp(ptr, "inter") && wide[1] == 'b' && wide[2] == 0);
    CHECK(3, d[2] * 3 == 1 && 1 / d[1] < 0 && ld == 2.5L && in == &g[1].b[1] &&
                 addr == (unsigned long)(g + 1) && diff == sizeof *g * 2 / 4 && !fn);
    CHECK(4, fl.v[2] == 9 && bits.a == 5 && bits.b == 300 && bits.c == -2 && un.c == -1 &&
                 twice[1] == 7 && twice[2] == 3 && tent2 == 0 && tent[0] == 0);
    CHECK(5, cond == 2 && logic == 1 && neg == -2 && shr == -4 && nar == 0xfe && fl1 == 0.1f &&
                 fl2 == 16777216 && !arr[1] && *arr[3] == 'd');
    CHECK(6, pp->y == 4 && pa[0].y == 2 && pa[1].x == 5 && pa[1].y == 0 && bo == 1);
    count();
    CHECK(7, count() == 7 && other() == 2 && other() == 4);
    int k = 3;
    struct in l = {k, {[1] = k * 2}, .s = "q", .e = {.d = 1}};
    CHECK(8, l.a == 3 && l.b[0] == 0 && l.b[1] == 6 && l.e.c == 0 && l.e.d == 1 && l.s[0] == 'q' &&
                 l.s[1] == 0 && l.s[5] == 0);
    char buf[100] = "long text that is longer than a unit", b2[4] = "abcd", b3[] = {'x'},
         b4[70] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    CHECK(9, buf[99] == 0 && buf[35] == 't' && b2[3] == 'd' && sizeof b3 == 1 && b4[69] == '9');
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        struct pt *q = &(struct pt){.x = i};
        sum += q->x + q->y;
        q->y = 50;
        int z[3] = {i};
        sum += z[0] + z[1];
        z[1] = 9;
    }
    CHECK(10, sum == 6);
    int big[40] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                   13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
    big[3]++;
    int again = 0;
    for (int i = 0; i < 40; i++)
        again += big[i];
    CHECK(11, again == 277);
    int n = 0;
    int order[2] = {n++, n++};
    CHECK(12, order[0] + order[1] == 1 && n == 2);
    const char *table[] = {"p", "p", __func__};
    CHECK(13, table[0] == table[1] && !strcmp(table[2], "main"));
    struct {
        unsigned a : 3;
        int b : 6;
        char c;
    } lb = {k, -k, 'c'};
    CHECK(14, lb.a == 3 && lb.b == -3 && lb.c == 'c');
    int sc = {4};
    union u lu = {1};
    CHECK(15, sc == 4 && lu.c == 1);
    return (int[]){0, 1}[0];
}
