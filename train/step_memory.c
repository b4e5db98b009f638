/*
 * A step's life: what the processor must have, its buffers, the tables of rotary positions.
 *
 * Two pools: `fixed` for what follows from the shape, `by_rows` for what follows from the longest
 * micro-batch. The second is given up and taken anew when a batch brings a longer sequence; nothing
 * in it outlives a micro-batch. All of it is zero at birth: rows never written read as zero.
 * When a buffer cannot be had, the calls here return failure and the step stays fit to be freed.
 */
#include "step_internal.h"

#include <math.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int mason_step_usable(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bf16")
        || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")
        || !__builtin_cpu_supports("avx512dq")) {
        return 0;
    }
    /* Leaf 7, edx: bit 22 is amx-bf16, bit 24 amx-tile; older compilers have no names for them. */
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(d >> 22 & 1) || !(d >> 24 & 1)) {
        return 0;
    }
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

static void pool_free(struct step_pool *pool)
{
    while (pool->n > 0) {
        free(pool->items[--pool->n]);
    }
}

/* Zeroed and aligned to cache lines; NULL when memory is short. */
static void *pool_take(struct step_pool *pool, size_t bytes)
{
    size_t size = (bytes + 127) & ~(size_t)63;
    void *p = pool->n < POOL ? aligned_alloc(64, size) : NULL;
    if (p) {
        memset(p, 0, size);
        pool->items[pool->n++] = p;
    }
    return p;
}

#define TAKE(pool, pointer, count) \
    (((pointer) = pool_take((pool), (size_t)(count) * sizeof *(pointer))) != NULL)

/* ---- buffers by rows ---- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What each layer leaves for the backward pass, n rows of it. 0 when memory is short. */
static int take_layers(struct mason_step *s, size_t n)
{
    struct step_pool *pool = &s->by_rows;
    size_t dim = s->dim;
    int ok = 1;
    for (int i = 0; ok && i < s->shape.layers; i++) {
        struct step_layer *l = &s->layer[i];
        ok = TAKE(pool, l->x1, n * dim) && TAKE(pool, l->x2, n * dim) && TAKE(pool, l->r1, n)
          && TAKE(pool, l->r2, n) && TAKE(pool, l->qkv, n * s->nqkv) && TAKE(pool, l->o, n * s->nq)
          && TAKE(pool, l->lse, n * s->shape.heads) && TAKE(pool, l->gu, n * 2 * s->ff);
    }
    return ok;
}

/* What one layer at a time uses, but for attention's own. */
static int take_layer_work(struct mason_step *s, size_t n)
{
    struct step_pool *pool = &s->by_rows;
    size_t dim = s->dim, ff = s->ff, widest = larger(larger(2 * ff, s->nqkv), s->vocab);
    return TAKE(pool, s->x, n * dim) && TAKE(pool, s->dx, n * dim)
        && TAKE(pool, s->wide, BLOCK * dim) && TAKE(pool, s->h, n * ff)
        && TAKE(pool, s->dgu, n * 2 * ff) && TAKE(pool, s->dx_down, n * dim)
        && TAKE(pool, s->dx_out, n * dim) && TAKE(pool, s->dout, n * s->nq)
        && TAKE(pool, s->dqkv, n * s->nqkv) && TAKE(pool, s->left, n * dim)
        && TAKE(pool, s->right, n * widest);
}

static int take_attention(struct mason_step *s, size_t n)
{
    struct step_pool *pool = &s->by_rows;
    return TAKE(pool, s->scores, n * BLOCK) && TAKE(pool, s->p, n * BLOCK)
        && TAKE(pool, s->kt, n * HEAD) && TAKE(pool, s->vt, n * HEAD)
        && TAKE(pool, s->kr, n * HEAD) && TAKE(pool, s->vr, n * HEAD)
        && TAKE(pool, s->dkt, n * HEAD) && TAKE(pool, s->dvt, n * HEAD);
}

/* The words of a micro-batch and what the output needs of them. */
static int take_words(struct mason_step *s, size_t n)
{
    struct step_pool *pool = &s->by_rows;
    return TAKE(pool, s->position, n) && TAKE(pool, s->asked, n) && TAKE(pool, s->wanted, n)
        && TAKE(pool, s->token, n) && TAKE(pool, s->start, n) && TAKE(pool, s->length, n)
        && TAKE(pool, s->rf, n) && TAKE(pool, s->answers, n * s->dim)
        && TAKE(pool, s->dlogits, n * s->vocab)
        && TAKE(pool, s->logits, (size_t)BLOCK * s->vocab);
}

int step_reserve(struct mason_step *s, int rows)
{
    if (rows <= s->capacity) {
        return 1;
    }
    pool_free(&s->by_rows);
    s->capacity = 0;
    rows = (rows + BLOCK - 1) / BLOCK * BLOCK;
    size_t n = rows + SLACK;
    if (!take_layers(s, n) || !take_layer_work(s, n) || !take_attention(s, n)
        || !take_words(s, n)) {
        return 0;
    }
    s->capacity = rows;
    return 1;
}

/* ---- new and free ---- */

static int shape_fits(const struct mason_shape *h)
{
    return h->dim >= 32 && h->dim % 32 == 0 && h->ff >= 32 && h->ff % 32 == 0
        && h->layers >= 1 && h->layers <= 64 && h->heads >= 1 && h->kv_heads >= 1
        && h->heads % h->kv_heads == 0 && h->vocab >= 1 && h->context >= 1;
}

static int take_packed(struct mason_step *s, struct step_packed *p)
{
    struct step_pool *pool = &s->fixed;
    size_t dim = s->dim, ff = s->ff;
    return TAKE(pool, p->qkv, dim * s->nqkv) && TAKE(pool, p->qkv_back, dim * s->nqkv)
        && TAKE(pool, p->out, dim * s->nq) && TAKE(pool, p->out_back, dim * s->nq)
        && TAKE(pool, p->gu, dim * 2 * ff) && TAKE(pool, p->gu_back, dim * 2 * ff)
        && TAKE(pool, p->down, dim * ff) && TAKE(pool, p->down_back, dim * ff);
}

static int take_fixed(struct mason_step *s)
{
    struct step_pool *pool = &s->fixed;
    size_t layers = s->shape.layers, head = (size_t)s->dim * s->vocab;
    size_t turns = (size_t)s->shape.context * 16;
    int ok = TAKE(pool, s->packed, layers) && TAKE(pool, s->layer, layers)
          && TAKE(pool, s->head, head) && TAKE(pool, s->head_back, head)
          && TAKE(pool, s->head_gradient, head) && TAKE(pool, s->cos, turns)
          && TAKE(pool, s->sin, turns);
    for (size_t l = 0; ok && l < layers; l++) {
        ok = take_packed(s, &s->packed[l]);
    }
    return ok;
}

/* In double: the angle of a far position has few digits left in a float. */
static void fill_turns(struct mason_step *s)
{
    for (int t = 0; t < s->shape.context; t++) {
        for (int i = 0; i < 16; i++) {
            double turn = t * pow(s->shape.rope_base, -i * 2.0 / HEAD);
            s->cos[t * 16 + i] = (float)cos(turn);
            s->sin[t * 16 + i] = (float)sin(turn);
        }
    }
}

struct mason_step *mason_step_new(const struct mason_shape *shape, int32_t rows)
{
    struct mason_step *s = shape_fits(shape) && rows >= 1 ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        return NULL;
    }
    s->shape = *shape;
    s->dim = shape->dim;
    s->ff = shape->ff;
    s->nq = shape->heads * HEAD;
    s->nkv = shape->kv_heads * HEAD;
    s->nqkv = s->nq + 2 * s->nkv;
    s->vocab = (shape->vocab + 31) / 32 * 32;
    s->target = rows;
    if (!take_fixed(s)) {
        mason_step_free(s);
        return NULL;
    }
    fill_turns(s);
    return s;
}

void mason_step_free(struct mason_step *s)
{
    if (s) {
        pool_free(&s->by_rows);
        pool_free(&s->fixed);
        free(s);
    }
}
