/* records travel by value */
#include <string.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct a {
    char x[3];
};
struct b {
    int i;
    double d;
};
struct c {
    long a, b, c;
    char t[50];
};
struct e {
    float x, y, z;
};
struct h {
    struct b b;
    struct a a[2];
};
union u {
    int i;
    float f;
    char c[8];
};
struct f {
    float a;
    int b;
    long double l;
};
static struct a fa(struct a v)
{
    v.x[1]++;
    return v;
}
static struct b fb(struct b v, int k)
{
    v.d += k;
    return v;
}
static struct c fc(struct c v)
{
    v.t[49] = 'z';
    v.c = v.a + v.b;
    return v;
}
static struct e fe(struct e v)
{
    v.z = v.x * v.y;
    return v;
}
static union u fu(union u v)
{
    v.c[3] = 0x40;
    return v;
}
static struct c g = {1, 2};
static int n;
static struct b *pick(struct b *p)
{
    n++;
    return p;
}
static int change(struct a *p)
{
    p->x[0] = 'Q';
    return 1;
}
static int use(struct a v, int k)
{
    return v.x[0] + k;
}
struct list {
    struct list *next;
    int v;
};
int main(void)
{
    struct a a = {{1, 2, 3}}, a2 = fa(a);
    CHECK(1, a2.x[1] == 3 && a.x[1] == 2 && a2.x[2] == 3);
    struct b b = {4, 0.5};
    b = fb(fb(b, 1), 2);
    CHECK(2, b.i == 4 && b.d == 3.5);
    CHECK(3, fc(g).c == 3 && fc(g).t[49] == 'z' && g.c == 0);
    g = fc(g);
    struct c c2 = g, c3;
    c3 = c2 = g;
    CHECK(4, memcmp(&c2, &g, sizeof g) == 0 && c3.c == 3);
    struct e e = fe((struct e){2, 3, 0});
    CHECK(5, e.z == 6);
    union u u = {.i = 1};
    u = fu(u);
    CHECK(6, u.i == 0x40000001 && u.f > 2);
    struct h h = {{1, 2}, {{{1}}, {{7, 8, 9}}}}, h2;
    h2 = h;
    h2 = h2;
    CHECK(7, h2.a[1].x[2] == 9);
    *pick(&b) = (struct b){9, 9};
    CHECK(8, n == 1 && b.i == 9);
    struct b *p = &b;
    *pick(p) = fb(*pick(p), 1);
    CHECK(9, n == 3 && b.d == 10);
    CHECK(10, (a = a2).x[1] == 3 && (n ? a : a2).x[1] == 3 && (0, a2).x[0] == 1);
    a.x[0] = 'a';
    CHECK(11, use(a, change(&a)) == 'a' + 1 && a.x[0] == 'Q');
    struct a arr[5] = {[3] = {{5, 6, 7}}};
    int i = 3;
    arr[1] = arr[i];
    a = arr[i++ ? 1 : 0];
    CHECK(12, a.x[2] == 7 && arr[0].x[0] == 0 && arr[2].x[0] == 0 && i == 4);
    struct list y = {0, 2}, x = {&y, 1}, *q = &x;
    *q = *q->next;
    CHECK(13, x.v == 2 && x.next == 0);
    struct f f = {1, 2, 3};
    struct f f2 = f;
    CHECK(14, f2.l == 3 && f2.b == 2);
    CHECK(15, fb(b, 0).i == 9 && (&g)->b == 2 && fa((struct a){"ab"}).x[1] == 'c');
    struct {
    } none, none2;
    none = none2;
    return 0;
}
