/* a place is evaluated once */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int n, a[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static int *at(int i)
{
    n++;
    return a + i;
}
int main(void)
{
    int i = 0;
    *at(2) += 5;
    CHECK(1, n == 1 && a[2] == 8);
    (*at(3))++;
    CHECK(2, n == 2 && a[3] == 5);
    CHECK(3, (*at(4))-- == 5 && n == 3 && a[4] == 4);
    a[i++] *= 7;
    CHECK(4, i == 1 && a[0] == 7);
    a[i++] = a[i];
    CHECK(5, i == 2);
    int *p = a;
    *p++ += 1;
    CHECK(6, p == a + 1 && a[0] == 8);
    a[*at(1) = 6] ^= 3;
    CHECK(7, a[6] == 4 && a[1] == 6);
    char c = 127;
    CHECK(8, ++c == -128);
    unsigned char u = 0;
    CHECK(9, u-- == 0 && u == 255);
    u <<= 1;
    CHECK(10, u == 254);
    short s = 3;
    s *= 2.5;
    CHECK(11, s == 7);
    s -= 'a';
    CHECK(12, s == -90);
    _Bool b = 0;
    b += 5;
    CHECK(13, b == 1);
    float f = 1;
    f++;
    CHECK(14, f == 2.0f);
    int k = 7;
    k /= 2.0;
    CHECK(15, k == 3);
    unsigned w = 1;
    w -= 2L;
    CHECK(16, w == -1U);
    k = 5;
    CHECK(17, (k += 3) == 8);
    p = a;
    CHECK(18, (p += 3) - a == 3);
    long l = -1;
    l >>= 63;
    CHECK(19, l == -1);
    int m = 0x80000000 >> 31;
    CHECK(20, m == 1);
    k = -8;
    k >>= 1;
    CHECK(21, k == -4);
    return 0;
}
