/* packed bit fields cross their units */
#include <string.h>

#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct __attribute__((packed)) p {
    unsigned a : 5;
    unsigned long b : 61;
    unsigned c : 30;
    int d : 27;
    char e;
};
struct __attribute__((packed)) q {
    char a;
    int b : 13;
};
struct {
    struct q q[3];
    char guard;
} s;
int main(void)
{
    struct p x;
    memset(&x, 0xa5, sizeof x);
    struct p y = x;
    x.b = 0x1234567890abcdefUL;
    CHECK(1, x.b == 0x1234567890abcdefUL && x.a == y.a && x.c == y.c);
    x.c = 0x2bcdef01;
    CHECK(2, x.c == 0x2bcdef01 && x.d == y.d && x.b == 0x1234567890abcdefUL);
    x.d = -12345;
    CHECK(3, x.d == -12345 && x.e == y.e && x.c == 0x2bcdef01);
    x.d *= -3;
    CHECK(4, x.d == 37035);
    CHECK(5, (x.d = 1 << 26) == -(1 << 26));
    memset(&s, 0x77, sizeof s);
    s.q[2].b = -1;
    s.q[1].b = 0;
    CHECK(6, s.guard == 0x77 && s.q[2].a == 0x77);
    CHECK(7, s.q[2].b == -1 && s.q[1].b == 0 && s.q[1].a == 0x77);
    return 0;
}
