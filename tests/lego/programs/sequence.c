/* earlier values survive later effects */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int x = 1;
static int set(int v)
{
    x = v;
    return v;
}
static int three(int a, int b, int c)
{
    return a * 100 + b * 10 + c;
}
static volatile int vol = 5;
static int *gp;
static int move(int *p)
{
    gp = p;
    return 2;
}
int main(void)
{
    int i = 1;
    CHECK(1, x + set(5) == 6);
    x = 1;
    CHECK(2, three(x, set(2), x) == 122);
    x = 1;
    CHECK(3, three((i = 4), set(3), i) == 434);
    int a[4] = {0}, b[4] = {0};
    gp = a;
    gp[1] = move(b);
    CHECK(4, a[1] == 2 && b[1] == 0);
    i = 2;
    CHECK(5, (i++, i + 1) == 4);
    int j = (x = 8) + (x = 8);
    CHECK(6, j == 16);
    vol++;
    vol += vol;
    CHECK(7, vol == 12);
    int k = vol = 3;
    CHECK(8, k == 3);
    char c;
    int big = (c = 300);
    CHECK(9, big == 44);
    x = 2;
    CHECK(10, (x * 3 + set(1)) * x == 7);
    struct {
        int v[3];
    } s = {{1, 2, 3}};
    int *p = s.v;
    CHECK(11, *p++ + *p++ * 10 == 21 && p == s.v + 2);
    unsigned short us = 65535;
    CHECK(12, (us += 1) == 0);
    return 0;
}
