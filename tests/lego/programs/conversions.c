/* conversions are those of c */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

typedef unsigned char u8;
typedef unsigned long ul;
typedef unsigned u;
static int id(int x)
{
    return x;
}
static double dd(double x)
{
    return x;
}
int main(void)
{
    char c = -1;
    u8 uc = 200;
    short s = -2;
    unsigned short us = 65535;
    int i = -1;
    u ui = 4294967295u;
    long l = -1;
    ul w = ~0UL;
    CHECK(1, c < uc && i == c && (u)c == ui && (ul)ui == 4294967295UL && (ul)i == w);
    CHECK(2, i > 0u == 1 && l < ui && l > 0ul && us + s == 65533);
    CHECK(3, (u8)(uc + 100) == 44 && uc + 100 == 300);
    CHECK(4, (char)200 == -56 && (signed char)uc == -56 && (short)70000 == 4464);
    CHECK(5, (_Bool)0.5 && (_Bool)256 && !(_Bool)0L && (_Bool)&i);
    CHECK(6, (double)w == 18446744073709551616.0 && (double)ui == 4294967295.0 &&
                 (float)16777217 == 16777216.0f);
    CHECK(7, (ul)dd(18446744073709549568.0) == 18446744073709549568UL &&
                 (u)dd(4294967295.0) == ui && (int)dd(-1.9) == -1);
    CHECK(8, (long double)w == 18446744073709551615.0L && (ul)(long double)w == w);
    CHECK(9, 1 << 31 >> 31 == -1 && 1u << 31 >> 31 == 1);
    CHECK(10, (1L << 63 >> 63) == -1 && w >> 63 == 1 && (id(-7) / 2 == -3) && (id(-7) % 2 == -1) &&
                  (u)id(-7) / 2 == 2147483644u);
    CHECK(11, (uc << 24) < 0 && ~uc == -201 && -uc == -200 && !uc == 0);
    CHECK(12, sizeof(c + c) == 4 && (id(5) ? i : ui) == ui);
    CHECK(13, 0x7fffffff + 0u + 1 == 0x80000000u && -2147483647 - 1 < 0);
    CHECK(14, 5 % -3 == 2 && -5 / 3 == -1);
    float f = 0.1f;
    CHECK(15, f != 0.1 && f == (float)0.1 && f * 3 == 0.1f * 3);
    double nan = dd(0) / dd(0);
    CHECK(16, nan != nan && !(nan < 1) && !(nan >= 1));
    if (nan < 1)
        return 17;
    if (!(nan < 1))
        ;
    else
        return 18;
    CHECK(19, !(nan == nan));
    long double q = 1;
    q /= 3;
    CHECK(20, q != (double)q);
    CHECK(21, (short)id(40000) < 0 && (unsigned short)id(-1) == 65535 && (long)id(-1) == l &&
                  (ul)(u)id(-1) == 4294967295UL);
    int m = id(-2147483647 - 1);
    CHECK(22, (m == -1 ? 0 : 1) && (id(0) ? m / id(-1) : 7) == 7);
    CHECK(23, (c & 0x80) == 128 && (uc ^ c) == -201);
    return 0;
}
