/* check.c: guarded memory, random weights and the list of the checks. */
#include "check.h"
#include "check_list.h"
#include "kernels/formats.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const struct check_case check_cases[] = {
    {"unpack", check_unpack},
    {"dequantize", check_dequantize},
    {"act_quantize", check_act_quantize},
    {"dot", check_dot},
    {"dot of extreme values", check_dot_extreme},
    {"dots", check_dots},
    {"gemm", check_gemm},
    {"gemm of extreme values", check_gemm_extreme},
    {"infinite scales", check_infinite},
    {"rms_norm", check_rms_norm},
    {"rope", check_rope},
    {"silu_mul", check_silu_mul},
    {"add", check_add},
    {"to_f16", check_to_f16},
    {"score", check_score},
    {"attend", check_attend},
    {"attend over any cut into spans", check_attend_spans},
    {NULL, NULL},
};

bool check_run(struct check *c, const struct check_case *one, const struct kernels *table,
               uint64_t seed)
{
    *c = (struct check){.table = table, .scalar = kernels_scalar()};
    rng_seed(&c->rng, seed);
    return one->run(c);
}

bool check_failed(struct check *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(c->failure, sizeof c->failure, format, list);
    va_end(list);
    return false;
}

struct guarded guarded_new(size_t bytes, size_t align)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + 2 * page - 1) / page * page;
    struct guarded g = {.map_bytes = room + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + room, page, PROT_NONE) != 0) {
        perror("mmap");
        abort();
    }
    memset(g.map, 0xff, room);
    g.data = g.map + (room - bytes) / align * align;
    return g;
}

void guarded_free(struct guarded *g)
{
    munmap(g->map, g->map_bytes);
    *g = (struct guarded){0};
}

struct guarded guarded_floats(struct check *c, size_t n, float size, size_t align)
{
    struct guarded g = guarded_new(n * sizeof(float), align);
    for (size_t i = 0; i < n; i++)
        ((float *)g.data)[i] = size * rng_normal(&c->rng);
    return g;
}

bool check_type(enum tensor_type type)
{
    return tensor_type_info(type) != NULL;
}

static uint16_t random_scale(struct check *c, enum weight_kind kind)
{
    static const uint16_t infinite[] = {0x7c00, 0xfc00, 0x7e00, 0xfe01};
    if (kind == WEIGHTS_INFINITE)
        return infinite[rng_below(&c->rng, 4)];
    if (kind == WEIGHTS_TINY)
        return (uint16_t)(rng_below(&c->rng, 0x400) | rng_below(&c->rng, 2) << 15);
    return format_float_f16((rng_float(&c->rng) - 0.5f) * 0.04f);
}

/* Where a block holds halves; -1 behind the last. */
static const int *scale_offsets(enum tensor_type type)
{
    static const int first[] = {0, -1}, pair[] = {0, 2, -1}, q2_k[] = {80, 82, -1};
    static const int q3_k[] = {108, -1}, q6_k[] = {208, -1};
    switch (type) {
    case TENSOR_Q2_K: return q2_k;
    case TENSOR_Q3_K: return q3_k;
    case TENSOR_Q6_K: return q6_k;
    case TENSOR_Q4_0:
    case TENSOR_Q5_0:
    case TENSOR_Q8_0: return first;
    default: return pair;
    }
}

static void random_block(struct check *c, enum tensor_type type, enum weight_kind kind, int fill,
                         uint8_t *block)
{
    for (int i = 0; i < tensor_type_info(type)->bytes; i++)
        block[i] = (uint8_t)(kind == WEIGHTS_EXTREME ? fill : (int)rng_below(&c->rng, 256));
    for (const int *at = scale_offsets(type); *at >= 0; at++) {
        uint16_t scale = random_scale(c, kind);
        memcpy(block + *at, &scale, 2);
    }
}

static void random_floats(struct check *c, enum tensor_type type, size_t n, uint8_t *to)
{
    for (size_t i = 0; i < n; i++) {
        float f = 0.05f * rng_normal(&c->rng);
        uint16_t half = type == TENSOR_F16 ? format_float_f16(f) : format_float_bf16(f);
        if (type == TENSOR_F32)
            memcpy(to + 4 * i, &f, 4);
        else
            memcpy(to + 2 * i, &half, 2);
    }
}

struct guarded guarded_weights(struct check *c, enum tensor_type type, enum weight_kind kind,
                               int n_rows, int k)
{
    static const uint8_t fills[] = {0x00, 0x80, 0x7f, 0xff};
    size_t row_bytes = tensor_row_bytes(type, k);
    struct guarded g = guarded_new((size_t)n_rows * row_bytes, type == TENSOR_F32 ? 4 : 2);
    if (format_group(type) == 0) {
        random_floats(c, type, (size_t)n_rows * (size_t)k, g.data);
        return g;
    }
    int n_blocks = k / tensor_type_info(type)->block;
    for (int r = 0; r < n_rows; r++)
        for (int b = 0; b < n_blocks; b++)
            random_block(c, type, kind, fills[r % 4],
                         (uint8_t *)g.data + (size_t)r * row_bytes +
                             (size_t)b * (size_t)tensor_type_info(type)->bytes);
    return g;
}
