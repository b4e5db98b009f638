/*
 * select.h: which groups a step attends to: scores of tokens from the low-rank rows, group score =
 * the largest of its tokens, the best groups win.
 */
#ifndef KVSWAP_SELECT_H
#define KVSWAP_SELECT_H

#include <stdbool.h>

/**
 * Choose from groups [first, n_groups) the `max_chosen` with the highest scores (groups before
 * `first` are resident anyway). With mass < 1 fewer are chosen, but at least min_chosen: the
 * smallest set whose share of sum(exp(score - best)) over all groups reaches `mass` (adaptive
 * selection, Twilight, arXiv 2502.02770, with scores in place of weights). `order` (n_groups) is
 * scratch. Writes ids in rising order to chosen[]; returns how many.
 */
int select_groups(const float *scores, int n_groups, int first, int max_chosen, int min_chosen,
                  float mass, int *order, int *chosen);

#endif
