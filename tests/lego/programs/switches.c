/* switches find their case */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int f(int x)
{
    switch (x) {
    case 1:
        return 10;
    case 3 ... 6:
        x++;
    case -5:
        return x;
    default:
        x = 99;
        break;
    case 8: {
    case 9:
        x *= 2;
    }
    }
    return x;
}
static int u(unsigned x)
{
    switch (x) {
    case 0xffffffffu:
        return 1;
    case 0x80000000u ... 0x80000003u:
        return 2;
    }
    return 3;
}
static int l(long x)
{
    switch (x) {
    case 1L << 40:
        return 1;
    case -(1L << 40):
        return 2;
    default:
        return 3;
    case 0:
        return 4;
    }
}
static int duff(int n)
{
    int k = 0, t = (n + 3) / 4;
    switch (n % 4) {
    case 0:
        do {
            k++;
        case 3:
            k++;
        case 2:
            k++;
        case 1:
            k++;
        } while (--t > 0);
    }
    return k;
}
static int nest(int a, int b)
{
    switch (a) {
    case 1:
        switch (b) {
        case 1:
            return 11;
        default:
            break;
        case 2:
            return 12;
        }
        break;
    case 2:
        return 2;
    }
    return 0;
}
static int c(char x)
{
    switch (x) {
    case 'a':
        return 1;
    case -1:
        return 2;
    case 200:
        return 3;
    }
    return 0;
}
static int none(int x)
{
    switch (x) {
        x = 5;
    }
    switch (x)
    default:
        x++;
    return x;
}
static int loop(int n)
{
    int s = 0;
    for (int i = 0; i < n; i++) {
        switch (i % 3) {
        case 0:
            continue;
        case 1:
            s += 10;
            break;
        default:
            s++;
        }
        s += 100;
    }
    return s;
}
int main(void)
{
    CHECK(1, f(1) == 10 && f(3) == 4 && f(6) == 7 && f(7) == 99 && f(-5) == -5 && f(8) == 16 &&
                 f(9) == 18);
    CHECK(2, u(-1) == 1 && u(0x80000002u) == 2 && u(0x80000004u) == 3);
    CHECK(3, l(1L << 40) == 1 && l(-(1L << 40)) == 2 && l(1) == 3 && l(0) == 4);
    for (int i = 1; i < 20; i++)
        CHECK(4, duff(i) == i);
    CHECK(5, nest(1, 1) == 11 && nest(1, 2) == 12 && nest(1, 3) == 0 && nest(2, 1) == 2);
    CHECK(6, c('a') == 1 && c(-1) == 2 && c((char)200) == 0 && none(3) == 4);
    CHECK(7, loop(6) == 422);
    return 0;
}
