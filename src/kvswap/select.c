/* select.c: partial selection by quickselect, then a sort of the few that are chosen. */
#include "kvswap/select.h"

#include <math.h>
#include <stdlib.h>

static void swap(int *a, int *b)
{
    int t = *a;
    *a = *b;
    *b = t;
}

/* Higher score first; equal scores: the older group, so that the choice does not depend on the
 * order. */
static bool ahead(const float *scores, int a, int b)
{
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

/* Reorder so that the `k` best of order[0, n) come first (in any order). */
static void quickselect(const float *scores, int *order, int n, int k)
{
    int low = 0, high = n - 1;
    while (low < high) {
        int pivot = order[low + (high - low) / 2], i = low, j = high;
        while (i <= j) {
            while (ahead(scores, order[i], pivot))
                i++;
            while (ahead(scores, pivot, order[j]))
                j--;
            if (i <= j)
                swap(&order[i++], &order[j--]);
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            return;
    }
}

/* Insertion sort, best first: the lists are short (M is about 50). */
static void sort_best_first(const float *scores, int *order, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && ahead(scores, order[j], order[j - 1]); j--)
            swap(&order[j], &order[j - 1]);
}

static int compare_ids(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* How many of the sorted best reach the wanted share of the mass of all. */
static int count_for_mass(const float *scores, int first, int n_groups, const int *order, int n,
                          int least, float mass)
{
    double total = 0.0, sum = 0.0;
    float best = scores[order[0]];
    for (int g = first; g < n_groups; g++)
        total += expf(scores[g] - best);
    for (int i = 0; i < n; i++)
        if ((sum += expf(scores[order[i]] - best)) >= mass * total)
            return i + 1 > least ? i + 1 : least;
    return n;
}

int select_groups(const float *scores, int n_groups, int first, int max_chosen, int min_chosen,
                  float mass, int *order, int *chosen)
{
    int n = n_groups - first;
    if (n <= 0)
        return 0;
    int k = n < max_chosen ? n : max_chosen;
    for (int i = 0; i < n; i++)
        order[i] = first + i;
    if (k < n)
        quickselect(scores, order, n, k);
    if (mass < 1.0f && k > min_chosen) {
        sort_best_first(scores, order, k);
        k = count_for_mass(scores, first, n_groups, order, k, min_chosen, mass);
    }
    for (int i = 0; i < k; i++)
        chosen[i] = order[i];
    qsort(chosen, (size_t)k, sizeof *chosen, compare_ids);
    return k;
}
