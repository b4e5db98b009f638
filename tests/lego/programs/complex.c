/* complex numbers: arithmetic, conversions, parts, comparisons, calls, statics */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n
#define IS(z, a, b) (__real__(z) == (a) && __imag__(z) == (b))

typedef double _Complex dc;
typedef float _Complex fc;
typedef long double _Complex lc;

static double inf = 1.0 / 0.0;
static dc unit = 1.0i, five = 3.0 + 4.0i, table[2] = {1.0, -2.0 + 0.5i}, zero;
static fc small = 1.5f - 2.0fi;
static lc big = -1.0L + 1.0iL;
static struct holder {
    char c;
    dc z;
    fc f;
} held = {'x', 2.0 - 1.0i, 0.5i};

static dc sum(dc a, dc b) { return a + b; }
static fc scale(fc a, float by) { return a * by; }
static lc turned(lc a) { return a * 1.0iL; }
static dc many(int n, dc a, double d, dc b, fc c, lc e, dc f, dc g, dc h)
{
    return n + a + d + b + c + (dc)e + f + g + h;
}
static dc later(int n, ...)
{
    __builtin_va_list list;
    dc total = 0;
    __builtin_va_start(list, n);
    for (int i = 0; i < n; i++)
        total += __builtin_va_arg(list, dc);
    total += __builtin_va_arg(list, fc);
    total += __builtin_va_arg(list, lc);
    __builtin_va_end(list);
    return total;
}
static int calls;
static dc counted(dc z)
{
    calls++;
    return z;
}

int main(void)
{
    dc z = 1.0 + 2.0i, w = 3.0 - 1.0i, v;
    double d = 2;
    int i = 3;
    CHECK(1, IS(unit, 0, 1) && IS(five, 3, 4) && IS(table[1], -2, 0.5) && IS(zero, 0, 0));
    CHECK(2, IS(small, 1.5f, -2.0f) && IS(big, -1, 1) && IS(held.z, 2, -1) && IS(held.f, 0, 0.5f));
    CHECK(3, IS(z + w, 4, 1) && IS(z - w, -2, 3) && IS(z * w, 5, 5) && IS(w / unit, -1, -3));
    CHECK(4, IS(z * d, 2, 4) && IS(d * z, 2, 4) && IS(z / d, 0.5, 1) && IS(d + z, 3, 2));
    CHECK(5, IS(d - z, 1, -2) && IS(z - d, -1, 2) && IS(i * z, 3, 6) && IS(z + i, 4, 2));
    CHECK(6, IS(10.0 / (1.0 + 2.0i), 2, -4) && IS(i / unit, 0, -3));
    CHECK(7, IS(-z, -1, -2) && IS(~z, 1, -2) && IS(+z, 1, 2));
    CHECK(8, z == 1.0 + 2.0i && z != w && !(z == w) && z != 1 && 1.0 + 0.0i == 1);
    v = z;
    __real__ v = 7;
    __imag__ v += 1;
    CHECK(9, IS(v, 7, 3) && IS(z, 1, 2));
    v += z;
    v -= 1;
    v *= 2;
    v /= 1.0i;
    CHECK(10, IS(v, 10, -14));
    v = 1;
    CHECK(11, v++ == 1 && v == 2 && --v == 1 && ++v == 2 && v-- == 2);
    d += z;
    i *= w;
    CHECK(12, d == 3 && i == 9);
    CHECK(13, (double)z == 1 && (int)w == 3 && (float)five == 3 && IS((fc)z, 1, 2));
    CHECK(14, (_Bool)z && (_Bool)unit && !(_Bool)zero && !zero && !!unit);
    CHECK(15, IS(sum(z, w), 4, 1) && IS(scale(small, 2), 3, -4) && IS(turned(big), -1, -1));
    CHECK(16, IS(many(1, z, 2, w, small, big, unit, five, z), 11.5, 7.0));
    CHECK(17, IS(later(3, z, w, five, small, big), 7.5, 4.0));
    CHECK(18, IS(later(6, z, z, z, z, z, z, small, big), 6.5, 11.0));
    v = i > 3 ? z : w;
    CHECK(19, IS(v, 1, 2) && IS(i > 3 ? z * 2 : w, 2, 4) && (calls++, z) == z);
    calls = 0;
    CHECK(20, (counted(z) && counted(zero)) == 0 && calls == 2);
    if (zero || !z)
        return 21;
    while (v)
        v = zero;
    CHECK(22, IS(v, 0, 0));
    dc *p = table;
    CHECK(23, IS(p[1], -2, 0.5) && *p++ == 1 && IS(*p, -2, 0.5));
    v = __builtin_complex(d, 5.0);
    CHECK(24, IS(v, 3, 5));
    /* a product with an infinity has one; a real factor leaves the other part alone */
    v = __builtin_complex(inf, 0.0) * (2.0 + 1.0i);
    CHECK(25, __real__ v == inf || __imag__ v == inf);
    v = inf * unit;
    CHECK(26, __real__ v != __real__ v && __imag__ v == inf);
    v = -0.0 + z * 0.0;
    CHECK(27, 1.0 / __real__(0.0 - unit * 0.0) == inf && __imag__ five == 4);
    volatile dc vol = z;
    vol *= w;
    CHECK(28, IS(vol, 5, 5));
    _Complex int n = 2 + 3i, m = 1 - 1i;
    CHECK(29, IS(n * m, 5, 1) && IS(n + m, 3, 2) && IS(-n, -2, -3) && n == 2 + 3i);
    dc a[3] = {z, [2] = w}, b[3];
    __builtin_memcpy(b, a, sizeof a);
    CHECK(30, IS(b[0], 1, 2) && IS(b[1], 0, 0) && IS(b[2], 3, -1));
    v = (dc){2.0};
    CHECK(31, IS(v, 2, 0) && IS(({ dc t = z; t + 1; }), 2, 2));
    struct holder h = held;
    h.z = __imag__ h.z * 1.0i + h.f;
    CHECK(32, IS(h.z, 0, -0.5) && h.c == 'x' && IS(h.f, 0, 0.5));
    z = __imag__ z + __real__ z * 1.0i;
    CHECK(33, IS(z, 2, 1));
    char c = 'a';
    c += z;
    CHECK(34, c == 'c' && sizeof(lc) == 32 && sizeof(fc) == 8);
    return 0;
}
