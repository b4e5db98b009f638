/* bit fields keep their neighbours and their signs */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct b {
    unsigned a : 3;
    signed b : 5;
    unsigned c : 7;
    signed d : 1;
    unsigned e : 16;
    long long f : 40;
    _Bool g : 1;
    unsigned long h : 63;
    char i : 4;
};
struct b s;
struct b *p = &s;
struct at {
    char x;
    int b : 20;
    char y;
};
int main(void)
{
    s.a = 9;
    CHECK(1, s.a == 1);
    CHECK(2, (s.a = 10) == 2);
    s.b = 17;
    CHECK(3, s.b == -15);
    CHECK(4, (s.b = 31) == -1);
    p->c = 127;
    p->c++;
    CHECK(5, p->c == 0);
    CHECK(6, p->c-- == 0);
    CHECK(7, s.c == 127);
    s.d = 1;
    CHECK(8, s.d == -1);
    CHECK(9, ++s.d == 0);
    s.e = 65535;
    s.e += 2;
    CHECK(10, s.e == 1 && s.c == 127 && s.a == 2 && s.b == -1);
    s.f = -5;
    CHECK(11, s.f == -5);
    s.f <<= 35;
    CHECK(12, s.f == -171798691840LL);
    s.g = 4;
    CHECK(13, s.g == 1);
    CHECK(14, (s.g = 0.5) == 1);
    s.g--;
    CHECK(15, s.g == 0);
    s.h = ~0UL;
    CHECK(16, s.h == 0x7fffffffffffffffUL);
    s.h ^= 1;
    CHECK(17, s.h == 0x7ffffffffffffffeUL);
    s.i = 7;
    s.i += 1;
    CHECK(18, s.i == -8);
    CHECK(19, s.g == 0);
    CHECK(20, s.a - 3 < 0);
    CHECK(21, -s.e < 0);
    struct at t = {'x', -3, 'y'};
    t.b = 524287;
    CHECK(22, t.x == 'x' && t.y == 'y' && t.b == 524287);
    t.b |= 1 << 19;
    CHECK(23, t.b == -1 && t.x == 'x' && t.y == 'y');
    return 0;
}
