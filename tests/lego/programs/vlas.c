/* arrays of variable length: dimensions, parameters, pointers, typedefs, sizeof */
#define CHECK(n, x)                                                                                \
    if (!(x))                                                                                      \
    return n

static int fill(int n, int m, int a[n][m])
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            sum += a[i][j] = i * 100 + j;
    return sum + sizeof a[0] / sizeof a[0][0];
}

static int trace(int n, int (*a)[n], int rows)
{
    int sum = 0, (*end)[n] = a + rows;
    for (int (*row)[n] = a; row < end; row++)
        sum += (*row)[row - a];
    return sum;
}

static long depth(int x, int y, int z, char c[x][y][z], char (*d)[y][3][z])
{
    c[1][2][1] = 'c';
    d[1][0][2][1] = 'd';
    return &c[1][2][1] - &c[0][0][0] + (&d[1][0][2][1] - &d[0][0][0][0]) * 1000;
}

static int proto(int n, int a[*][n]);
static int proto(int n, int a[][n])
{
    return a[1][n - 1] + (int)sizeof *a;
}

static int variadic(int n, int a[n][n], ...)
{
    __builtin_va_list list;
    __builtin_va_start(list, a);
    int v = __builtin_va_arg(list, int) + a[1][1];
    __builtin_va_end(list);
    return v;
}

static int old(n, a) int n, a[n][n];
{
    return a[n - 1][0];
}

static int counted(int *n)
{
    return (*n)++;
}

static int loop(int times)
{
    int total = 0;
    for (int i = 1; i <= times; i++) {
        short square[i][i];
        for (int j = 0; j < i * i; j++)
            square[j / i][j % i] = j;
        total += square[i - 1][i - 1] + sizeof square;
        if (i == 50)
            continue;
        int line[i];
        line[i - 1] = 1;
        total += line[i - 1];
    }
    return total;
}

struct point {
    int x, y;
};

int main(void)
{
    int n = 3, m = 4, k = 2;
    int a[n][m], fixed[2][5];
    CHECK(1, sizeof a == 48 && sizeof a[0] == 16 && sizeof a[0][0] == 4 && sizeof(a) / sizeof *a == 3);
    n = m = 9;
    CHECK(2, sizeof a == 48 && sizeof *a == 16);
    n = 3;
    m = 4;
    CHECK(3, fill(n, m, a) == 1200 + 18 + 4 && a[2][3] == 203 && a[1][0] == 100 && *a[2] == 200);
    CHECK(4, trace(4, a, 3) == 303 && trace(m, &a[1], 2) == 100 + 201);
    CHECK(5, (char *)(a + 1) - (char *)a == 16 && &a[2] - a == 2 && (char *)(&a + 1) - (char *)a == 48);
    char c[2][3][2], d[2][3][3][2];
    CHECK(6, depth(2, 3, 2, c, d) == 11 + 23000 && c[1][2][1] == 'c' && d[1][0][2][1] == 'd');
    fixed[1][4] = 8;
    CHECK(7, proto(5, fixed) == 28 && variadic(5, fixed, 7) == 7 + fixed[1][1] && old(5, fixed) == old(5, fixed));
    typedef int row_type[m];
    row_type row, rows[k], *to_row = a;
    m = 100;
    CHECK(8, sizeof row == 16 && sizeof rows == 32 && sizeof(row_type) == 16 && to_row[2][1] == 201);
    rows[1][3] = 5;
    row[0] = rows[1][3];
    CHECK(9, row[0] == 5 && (int *)rows + 7 == &rows[1][3] && ++to_row == &a[1] && (*to_row)[2] == 102);
    CHECK(10, to_row - a == 1 && (to_row += 1) == a + 2 && *to_row[0] == 200 && to_row-- == a + 2);
    int i = 2;
    double grid[counted(&i)][3];
    CHECK(11, i == 3 && sizeof grid == 48);
    grid[1][2] = 2.5;
    double *flat = &grid[0][0];
    CHECK(12, flat[5] == 2.5 && loop(60) == loop(60) && loop(3) == 0 + 3 + 8 + 2 + 8 + 18 + 3);
    k = 5;
    int (*cast)[k] = (int (*)[k])a;
    CHECK(13, cast[1][0] == a[1][1] && ((int (*)[k - 2])a)[2][1] == *(&a[0][0] + 7));
    struct point points[k][2];
    points[4][1] = (struct point){1, 2};
    struct point *last = points[4] + 1;
    CHECK(14, last->y == 2 && sizeof points == 80 && (*(points + 4))[1].x == 1);
    volatile int seen[k];
    for (int j = 0; j < k; j++)
        seen[j] = j;
    seen[k - 1] += 3;
    const char *names[k];
    names[3] = "three";
    CHECK(15, seen[4] == 7 && names[3][1] == 'h' && sizeof names == 40);
    int (*list[2])[k] = {(int (*)[k])a, 0};
    CHECK(16, (*list[0])[1] == 1 && !list[1] && list[0][1][0] == a[1][1]);
    __typeof__(a) copy;
    __builtin_memcpy(copy, a, sizeof copy);
    CHECK(17, sizeof copy == 48 && copy[2][3] == 203);
    goto over;
over:
    {
        long here[k - 4][k];
        here[0][4] = 6;
        CHECK(18, here[0][4] == 6 && sizeof here == 40);
    }
    return 0;
}
