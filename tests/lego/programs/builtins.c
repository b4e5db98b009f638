/* builtins compute */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

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
    int r;
    long lr;
    unsigned long ur;
    unsigned char cr;
    CHECK(1, __builtin_expect(id(3), 3) == 3);
    CHECK(2, __builtin_isnan(dd(0) / dd(0)) && !__builtin_isnan(dd(1)) &&
                 __builtin_isinf(dd(1) / dd(0)));
    CHECK(3, __builtin_huge_val() > 1e308 && __builtin_inff() > 1e38f &&
                 __builtin_bswap32(id(0x12345678)) == 0x78563412 &&
                 __builtin_bswap16(id(0x1234)) == 0x3412);
    unsigned long w = id(1);
    CHECK(4, __builtin_bswap64(w) == 1UL << 56);
    CHECK(5, __builtin_clz(id(1)) == 31 && __builtin_ctz(id(8)) == 3 &&
                 __builtin_popcount(id(-1)) == 32 && __builtin_clzl(w) == 63 &&
                 __builtin_popcountll(-w) == 64 && __builtin_parity(id(7)) == 1 &&
                 __builtin_ffs(id(8)) == 4);
    CHECK(6, __builtin_add_overflow(id(2147483647), 1, &r) && r == -2147483647 - 1 &&
                 !__builtin_sub_overflow(id(5), 7, &r) && r == -2);
    CHECK(7, __builtin_mul_overflow(1L << 62, (long)id(2), &lr) &&
                 !__builtin_mul_overflow(-1L, (long)id(9), &lr) && lr == -9);
    CHECK(8, __builtin_add_overflow(~0UL, w, &ur) && ur == 0 &&
                 __builtin_sub_overflow(0UL, w, &ur) && !__builtin_mul_overflow(w, ~0UL, &ur) &&
                 ur == ~0UL);
    CHECK(9, __builtin_add_overflow(id(200), 100, &cr) && cr == 44 &&
                 !__builtin_add_overflow(id(100), 100, &cr));
    CHECK(10, __builtin_strlen("abc") == 3 && __builtin_constant_p(3) &&
                  __builtin_signbit(dd(-0.0)) && !__builtin_signbit(dd(1)));
    if (id(0))
        __builtin_unreachable();
    return 0;
}
