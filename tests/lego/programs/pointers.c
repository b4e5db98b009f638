/* pointers count in elements */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

struct s {
    int a;
    char b[5];
};
static struct s t[6];
static int m[3][4];
static int add(int a, int b)
{
    return a + b;
}
static int sub(int a, int b)
{
    return a - b;
}
static int (*ops[])(int, int) = {add, sub, &add};
static int apply(int (*f)(int, int), int x)
{
    return (*f)(x, 2) + (**f)(x, 1);
}
static int (*choose(int k))(int, int)
{
    return k ? add : sub;
}
int main(void)
{
    struct s *p = t + 4;
    CHECK(1, p - t == 4 && &t[1] - p == -3 && (char *)p - (char *)t == 48);
    CHECK(2, p > t && t <= p && p != 0 && !(p == t));
    unsigned u = 2;
    signed char c = -1;
    unsigned long w = -1;
    CHECK(3, p + u == t + 6 && p + c == t + 3 && &p[c] == t + 3 && p + w == t + 3 && p - 4 == t &&
                 -2 + p == t + 2);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            m[i][j] = i * 10 + j;
    int(*row)[4] = m + 1;
    CHECK(4, (*row)[2] == 12 && row[1][3] == 23 && *(*(m + 2) + 1) == 21 &&
                 &m[2][0] - &m[0][0] == 8 && *row[1] == 20 && 2 [m][3] == 23);
    t[2].b[4] = 'e';
    CHECK(5, (&t[2])->b[4] == 'e' && *((t + 2)->b + 4) == 'e');
    CHECK(6, ops[1](5, 3) == 2 && (*ops[0])(1, 1) == 2 && apply(add, 3) == 9 &&
                 choose(0)(9, 4) == 5 && apply(choose(1), 1) == 5);
    void *v = &m;
    CHECK(7, (char *)(v + 1) - (char *)v == 1 && *(int *)v == 0);
    int x = 5, *px = &x, **pp = &px;
    **pp = 6;
    *&x += 1;
    CHECK(8, x == 7 && *px == 7);
    *(char *)px = 1;
    CHECK(9, x == 1);
    long l = (long)px;
    CHECK(10, (int *)l == px);
    p = t;
    CHECK(11, p++->a == 0 && p - t == 1 && (--p)->a == 0);
    return 0;
}
