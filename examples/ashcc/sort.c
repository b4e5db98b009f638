/* Quicksort and binary search over a table of pseudo-random numbers. */
#include <stdio.h>

static unsigned state = 12345;

static int next_number(void)
{
    state = state * 1103515245u + 12345u;
    return (int)(state >> 16) % 1000;
}

static void sort(int *a, int low, int high)
{
    int i = low, j = high, pivot = a[(low + high) / 2];
    while (i <= j) {
        while (a[i] < pivot)
            i++;
        while (a[j] > pivot)
            j--;
        if (i <= j) {
            int t = a[i];
            a[i] = a[j];
            a[j] = t;
            i++;
            j--;
        }
    }
    if (low < j)
        sort(a, low, j);
    if (i < high)
        sort(a, i, high);
}

static int find(const int *a, int n, int wanted)
{
    int low = 0, high = n;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (a[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && a[low] == wanted ? low : -1;
}

int main(void)
{
    int a[200];
    for (int i = 0; i < 200; i++)
        a[i] = next_number();
    sort(a, 0, 199);
    int wrong = 0;
    for (int i = 1; i < 200; i++)
        wrong += a[i - 1] > a[i];
    printf("least %d, median %d, largest %d, out of order %d\n", a[0], a[100], a[199], wrong);
    printf("%d at %d, 1001 at %d\n", a[42], find(a, 200, a[42]), find(a, 200, 1001));
    return 0;
}
