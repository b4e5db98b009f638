/* __int128: arithmetic, conversions, comparisons, calls, statics */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

typedef __int128 i128;
typedef unsigned __int128 u128;

#define WIDE(high, low) ((i128)(u128)(((u128)(high) << 64) | (unsigned long)(low)))

static i128 one = 1, minus = -5, far = (i128)1 << 100, product = (i128)123456789012345 * -987654321;
static u128 most = ~(u128)0, quotient = ~(u128)0 / 10;
static struct holder {
    char c;
    i128 n;
} held = {'x', -1};

static i128 sum(i128 a, i128 b) { return a + b; }
static i128 many(int i, i128 a, int j, i128 b, int k, i128 c, i128 d) { return i + a + j + b + k + c + d; }
static i128 later(int n, ...)
{
    __builtin_va_list list;
    i128 total = 0;
    __builtin_va_start(list, n);
    for (int i = 0; i < n; i++) {
        total += __builtin_va_arg(list, i128);
        total += __builtin_va_arg(list, int);
    }
    __builtin_va_end(list);
    return total;
}
static int below(i128 a, i128 b) { return (a < b) * 8 + (a <= b) * 4 + (a > b) * 2 + (a >= b); }
static int below_u(u128 a, u128 b) { return (a < b) * 8 + (a <= b) * 4 + (a > b) * 2 + (a >= b); }
static unsigned long high(u128 n) { return n >> 64; }
static i128 right(i128 n, int by) { return n >> by; }
static u128 right_u(u128 n, int by) { return n >> by; }
static u128 left(u128 n, int by) { return n << by; }

int main(void)
{
    i128 a = WIDE(3, 0xfffffffffffffff0), b = 0x20, c;
    u128 u;
    int i = 7;
    CHECK(1, one == 1 && minus == -5 && high(far) == 1ul << 36 && (long)far == 0 && held.n == -1);
    CHECK(2, high(most) == -1ul && quotient * 10 + 5 == most && product / -987654321 == 123456789012345);
    CHECK(3, a + b == WIDE(4, 0x10) && WIDE(4, 0x10) - b == a && -b == -32 && ~b == -33);
    CHECK(4, sum(a, b) == WIDE(4, 16) && many(1, a, 2, b, 3, -a, b) == 70);
    CHECK(5, later(3, a, 1, -a, 2, b, 3) == 38 && later(5, a, 0, b, 0, a, 0, b, 1, -a - a, 1) == 66);
    CHECK(6, a * 3 / 3 == a && a % b == 16 && -a / b == -(a / b) && -a % b == -16);
    CHECK(7, below(minus, one) == 12 && below(one, one) == 5 && below(far, a) == 3);
    CHECK(8, below_u(minus, one) == 3 && below_u(1, most) == 12 && below(WIDE(-1, 5), WIDE(-1, 6)) == 12);
    CHECK(9, (a & b) == 0x20 && (a | 1) == a + 1 && (a ^ a) == 0 && (a ^ -1) == ~a);
    CHECK(10, right(minus, 1) == -3 && right(minus, 100) == -1 && right_u(minus, 100) == (1 << 28) - 1);
    CHECK(11, left(1, 64) == WIDE(1, 0) && left(5, 3) == 40 && left(most, 127) >> 127 == 1);
    CHECK(12, a << 0 == a && a << 4 == a * 16 && a >> 4 == a / 16 && (minus >> 64) == -1);
    CHECK(13, (u128)minus >> 64 == -1ul && (one << 70) >> 70 == 1 && (minus >> 3) == -1);
    CHECK(14, (double)far == 0x1p100 && (float)-far == -0x1p100f && (long double)most == 0x1p128L);
    CHECK(15, (i128)-0x1p90 == -((i128)1 << 90) && (u128)0x1.8p127 == (u128)3 << 126);
    CHECK(16, (i128)2.9f == 2 && (i128)-2.9L == -2 && (u128)7.5L == 7);
    CHECK(17, (int)a == -16 && (long)a == -16 && (unsigned char)b == 32 && (_Bool)far && !(_Bool)(far - far));
    CHECK(18, (i128)-1 == WIDE(-1, -1) && (i128)-1u == 0xffffffff && (i128)(signed char)-1 == -1);
    c = a;
    c += 1;
    c -= b;
    c *= 2;
    c /= 3;
    c <<= 3;
    c >>= 2;
    c |= 1;
    c ^= 3;
    c &= ~(i128)4;
    c %= far;
    CHECK(19, c == ((((((a + 1 - b) * 2 / 3) << 3 >> 2) | 1) ^ 3) & ~(i128)4) % far);
    c = -1;
    CHECK(20, c++ == -1 && c == 0 && --c == -1 && c-- == -1 && ++c == -1);
    i += far >> 98;
    CHECK(21, i == 11);
    i <<= one;
    CHECK(22, i == 22 && i * one == 22 && one + 0.5 == 1.5);
    if (!one || far - far)
        return 23;
    CHECK(24, (far && one) == 1 && (far - far || !far) == 0 && (far ? 4 : 5) == 4);
    c = i > 3 ? a : b;
    CHECK(25, c == a && (i < 3 ? a / b : b) == 32 && (i > 3 || a / (b - b)));
    i128 table[3] = {a, [2] = b}, *p = table;
    CHECK(26, *p++ == a && *p == 0 && p[1] == 32 && *(p + one) == 32 && sizeof(i128) == 16);
    u = 10;
    for (u128 k = 9; k; k--)
        u *= k;
    CHECK(27, u == 3628800);
    struct holder h = held;
    h.n -= h.c;
    CHECK(28, h.n == -1 - 'x' && _Alignof(struct holder) == 16);
    volatile i128 vol = a;
    vol++;
    CHECK(29, vol == a + 1);
    double d = 1;
    d += far;
    d -= 1;
    CHECK(30, d == 0x1p100);
    char text[40], *at = text + 39;
    *at = 0;
    for (u = most; u; u /= 10)
        *--at = '0' + (int)(u % 10);
    CHECK(31, __builtin_strcmp(at, "340282366920938463463374607431768211455") == 0);
    CHECK(32, (long)(void *)(i128)4096 == 4096 && (i128)&i != 0 && ({ i128 t = a; t + b; }) == a + b);
    CHECK(33, ((u128)-1 > 0) && (i128)-1 < 0u + (i128)0 && (u128)5 - 6 == most);
    return 0;
}
