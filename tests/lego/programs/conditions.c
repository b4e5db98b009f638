/* what is skipped has no effects */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int n;
static int yes(void)
{
    n++;
    return 1;
}
static int no(void)
{
    n += 10;
    return 0;
}
int main(void)
{
    int x = 0, y;
    CHECK(1, !(yes() && 0) && n == 1);
    n = 0;
    CHECK(2, (yes() || 1) && n == 1);
    n = 0;
    CHECK(3, !(0 && yes()) && n == 0);
    CHECK(4, (1 || yes()) && n == 0);
    y = no() ? yes() : 5;
    CHECK(5, y == 5 && n == 10);
    n = 0;
    y = (x++, x) ? (x += 2, x * 3) : no();
    CHECK(6, y == 9 && x == 3 && n == 0);
    y = yes() && (no() || yes());
    CHECK(7, y == 1 && n == 12);
    n = 0;
    if (!(no() || (yes() && no())))
        n += 100;
    CHECK(8, n == 121);
    y = x ?: no();
    CHECK(9, y == 3);
    n = 0;
    y = no() ?: (x = 8);
    CHECK(10, y == 8 && n == 10 && x == 8);
    int *p = 0;
    CHECK(11, !(p && *p));
    CHECK(12, p ? *p : 1);
    y = ({
        int t = x;
        x = 1;
        t + x;
    });
    CHECK(13, y == 9);
    while (x < 5 && (x += 2))
        ;
    CHECK(14, x == 5);
    do {
        if (x > 6)
            break;
    } while (yes() && x++ < 10);
    CHECK(15, x == 7);
    (void)(x > 100 && (n = 0));
    x > 1 ? (void)(y = 2) : (void)(y = 3);
    CHECK(16, y == 2);
    CHECK(17, (n = 0, yes(), n) == 1);
    double d = 0.0;
    CHECK(18, !d && !(d && yes()) && n == 1);
    return 0;
}
