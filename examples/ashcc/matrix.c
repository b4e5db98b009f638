/* Matrix product and determinant by elimination, in doubles. */
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

static double determinant(double a[N][N])
{
    double product = 1;
    for (int k = 0; k < N; k++) {
        product *= a[k][k];
        for (int i = k + 1; i < N; i++) {
            double factor = a[i][k] / a[k][k];
            for (int j = k; j < N; j++)
                a[i][j] -= factor * a[k][j];
        }
    }
    return product;
}

int main(void)
{
    double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = i == j ? 2.0 : 1.0 / (i + j + 1);
            b[i][j] = (i - j) * 0.5;
        }
    }
    multiply(c, a, b);
    double trace = 0;
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    printf("trace %.6f, corner %.6f, determinant %.6f\n", trace, c[0][N - 1], determinant(a));
    return 0;
}
