/* jumps go where they say */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int g(int n)
{
    int s = 0;
top:
    if (n <= 0)
        goto out;
    s += n--;
    goto top;
    {
        int dead = 1;
        s = dead;
    }
out:
    return s;
}
static int in(int n)
{
    int s = 0;
    if (n)
        goto inside;
    for (s = 100; s < 105; s++) {
    inside:
        s++;
    }
    return s;
}
static int brk(void)
{
    int i, j, k = 0;
    for (i = 0;; i++) {
        for (j = 0; j < 5; j++) {
            if (j == 3)
                break;
            if (j == 1)
                continue;
            k++;
        }
        if (i > 3)
            break;
    }
    return k;
}
static int w(int n)
{
    int k = 0;
    while (1) {
        if (n-- == 0)
            return k;
        do {
            k++;
            if (k % 2)
                continue;
            k++;
        } while (0);
    }
}
static void v(int *p)
{
    if (!*p)
        return;
    *p = 7;
}
static int rec(int n)
{
    return n < 2 ? n : rec(n - 1) + rec(n - 2);
}
int main(void)
{
    CHECK(1, g(4) == 10 && in(0) == 106 && in(1) == 106);
    CHECK(2, brk() == 10);
    CHECK(3, w(3) == 5);
    int z = 0;
    v(&z);
    CHECK(4, z == 0);
    z = 1;
    v(&z);
    CHECK(5, z == 7 && rec(10) == 55);
    for (int i = 0; i < 3; i++)
        for (int i = 5; i < 7; i++)
            z += i;
    CHECK(6, z == 40);
    {
        int z = 1;
        {
            int z = 2;
            z++;
        }
        CHECK(7, z == 1);
    }
}
