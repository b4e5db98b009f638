/* Matrix product and a quadratic form, in doubles. */
#include <stdio.h>

enum { N = 6 };

static void multiply(double c[N][N], double a[N][N], double b[N][N])
{
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    }
}

/* x'Ax for x = (1, -1, 2, -2, ...), a value that depends on every element. */
static double form(double a[N][N])
{
    double total = 0, x[N];
    for (int i = 0; i < N; i++)
        x[i] = i % 2 ? -(i + 1) / 2.0 : i / 2.0 + 1;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++)
            total += x[i] * a[i][j] * x[j];
    }
    return total;
}

int main(void)
{
    double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = i == j ? 2.0 : (i + j) / 8.0;
            b[i][j] = (i - j) * 0.5;
        }
    }
    multiply(c, a, b);
    double trace = 0;
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    printf("trace %.6f, corner %.6f, form %.6f\n", trace, c[0][N - 1], form(a));
    return 0;
}
