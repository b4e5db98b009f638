/*
 * One training step of train/mason.py's llama on one core with AMX: loss and gradients of a batch,
 * and the products of its optimizer. Called from Python through ctypes (mason_step.py).
 *
 * A step belongs to one thread at a time; two steps may run side by side.
 */
#ifndef MASON_STEP_H
#define MASON_STEP_H

#include <stdint.h>

/* Sizes of a model. Heads are 32 wide; dim and ff are multiples of 32, heads one of kv_heads. */
struct mason_shape {
    int32_t dim, layers, heads, kv_heads, ff, vocab, context;
    float eps, rope_base;
};

/*
 * Weights and gradients, in the order and layout of Model.__init__; row-major floats:
 *   W_EMBED, W_HEAD   vocab x dim
 *   W_GAINS           (before attention by layer, before feed-forward by layer, last) x dim
 *   W_Q, W_OUT        layers x dim x 32 heads
 *   W_KV              (keys by layer, values by layer) x dim x 32 kv_heads
 *   W_FF              (gate by layer, up by layer, down by layer) x dim x ff
 */
enum { W_EMBED, W_HEAD, W_GAINS, W_Q, W_KV, W_OUT, W_FF, W_COUNT };

struct mason_step;

/*
 * Whether this processor and kernel have what the library needs; asks the kernel for the tile
 * registers, for the process. To be called before any of the others.
 */
int mason_step_usable(void);

/*
 * A step for models of this shape, to be freed by mason_step_free. rows: the words of a
 * micro-batch, about; more where a sequence is longer. NULL when the shape does not fit or memory
 * is short.
 */
struct mason_step *mason_step_new(const struct mason_shape *shape, int32_t rows);

/* Frees a step; NULL is fine. */
void mason_step_free(struct mason_step *s);

/*
 * Mean cross-entropy over all answer words of n sequences that lie one after another in tokens;
 * of sequence i lengths[i] words, the answer from word answers_from[i] >= 1 on. Overwrites
 * gradients, of the weights' shapes. All arrays are borrowed for the call.
 * Negative when an argument is out of range or memory is short; gradients are then as they were.
 */
float mason_step_run(struct mason_step *s, const float *const *weights, float *const *gradients,
                     const int32_t *tokens, const int32_t *lengths, const int32_t *answers_from,
                     int32_t n);

/*
 * Muon's 5 Newton-Schulz steps on n matrices of rows x columns (multiples of 32) that lie one after
 * another at g, in place, in bf16 products. 0, or -1 when a size does not fit or memory is short.
 */
int mason_orthogonal(float *g, int32_t n, int32_t rows, int32_t columns);

#endif
