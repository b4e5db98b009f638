/*
 * One training step of mason's llama: a batch cut into micro-batches, forward, loss, backward.
 *
 * Sequences lie one after another without padding. Micro-batches of some hundred rows (whole
 * sequences) go forward and backward while what they leave behind is near the core, and add to the
 * gradients in fp32; weights are packed once before them and gradients taken apart once after them.
 *
 * Only the rows that an answer is asked of reach the output: they are gathered into `answers`, and
 * the loss and its gradient go by 32 of them.
 *
 * It knows micro-batches and the loss; what a layer does stands in step_layers.c and
 * step_attention.c, the shared invariants in step_internal.h.
 */
#include "step_internal.h"

#include <math.h>

/* ---- output ---- */

/* Bit i: whether word v + i is of the vocabulary, and no filling up to 32. */
static __mmask16 words_from(const struct mason_step *s, int v)
{
    int n = s->shape.vocab - v;
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1 << n) - 1);
}

/* The loss of a row of logits (overwritten); their gradient times `factor`, in bf16. */
static double softmax_loss(const struct mason_step *s, float *logits, int wanted, float factor,
                           bf16 *gradient)
{
    __m512 top = _mm512_set1_ps(-1e30f), sum = _mm512_setzero_ps(), by = _mm512_set1_ps(LOG2E);
    float target = logits[wanted];
    for (int v = 0; v < s->vocab; v += 16) {
        top = _mm512_mask_max_ps(top, words_from(s, v), top, _mm512_loadu_ps(logits + v));
    }
    float most = _mm512_reduce_max_ps(top);
    __m512 less = _mm512_set1_ps(most * LOG2E);
    for (int v = 0; v < s->vocab; v += 16) {
        __m512 e = exp2_fast(_mm512_fmsub_ps(_mm512_loadu_ps(logits + v), by, less));
        e = _mm512_maskz_mov_ps(words_from(s, v), e);
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(logits + v, e);
    }
    float total = _mm512_reduce_add_ps(sum);
    float share = factor / total;
    logits[wanted] -= total;
    for (int v = 0; v < s->vocab; v += 16) {
        __m512 d = _mm512_mul_ps(_mm512_loadu_ps(logits + v), _mm512_set1_ps(share));
        store_half(gradient + v, d);
    }
    return most + logf(total) - target;
}

/* The asked rows, normalised, and zero beyond them up to `padded`. */
static void gather_answers(struct mason_step *s, int padded)
{
    int dim = s->dim;
    for (int i = 0; i < padded; i++) {
        bf16 *to = s->answers + (long)i * dim;
        if (i < s->n_asked) {
            step_normalise(s, s->x + (long)s->asked[i] * dim, to, &s->rf[i]);
        } else {
            memset(to, 0, dim * sizeof(bf16));
            memset(s->dlogits + (long)i * s->vocab, 0, s->vocab * sizeof(bf16));
        }
    }
}

/* Loss, dlogits and dx of up to 32 answers from `row` on. */
static double output_block(struct mason_step *s, int row, float factor)
{
    double loss = 0.0;
    int dim = s->dim, n = s->n_asked - row < BLOCK ? s->n_asked - row : BLOCK;
    const bf16 *x = s->answers + (long)row * dim;
    bf16 *d = s->dlogits + (long)row * s->vocab;
    for (int v = 0; v < s->vocab / 32; v++) {
        block_product(s->logits + 32 * v, s->vocab, x, dim, s->head, dim / 32, v);
    }
    for (int i = 0; i < n; i++) {
        long at = (long)i * s->vocab;
        loss += softmax_loss(s, s->logits + at, s->wanted[row + i], factor, d + at);
    }
    for (int k = 0; k < dim / 32; k++) {
        block_product(s->wide + 32 * k, dim, d, s->vocab, s->head_back, s->vocab / 32, k);
    }
    for (int i = 0; i < n; i++) {
        float *dx = s->dx + (long)s->asked[row + i] * dim;
        step_normalise_back(s, dx, s->wide + i * dim, x + (long)i * dim, s->rf[row + i]);
    }
    return loss;
}

/* The loss of the micro-batch's answers, summed; dx, and the output matrix's gradient, raw. */
static double output(struct mason_step *s, float factor)
{
    double loss = 0.0;
    int padded = (s->n_asked + 31) / 32 * 32;
    memset(s->dx, 0, (size_t)s->padded * s->dim * sizeof(float));
    gather_answers(s, padded);
    for (int row = 0; row < padded; row += BLOCK) {
        loss += output_block(s, row, factor);
    }
    if (padded) {
        step_add_gradient(s, s->head_gradient, s->answers, s->dlogits, s->vocab, padded);
    }
    return loss;
}

/* ---- micro-batches ---- */

/* Adds a sequence to the micro-batch; its last word is only ever wanted. */
static void add_sequence(struct mason_step *s, const int32_t *tokens, int length, int answer)
{
    s->start[s->n_sequences] = s->rows;
    s->length[s->n_sequences++] = length - 1;
    for (int i = 0; i < length - 1; i++) {
        if (i >= answer - 1) {
            s->asked[s->n_asked] = s->rows;
            s->wanted[s->n_asked++] = tokens[i + 1];
        }
        s->position[s->rows] = i;
        s->token[s->rows++] = tokens[i];
    }
}

/*
 * Fills the micro-batch with sequences from `first` on, of n; *tokens starts at the first and moves
 * behind the last one taken. Returns the first sequence that is left.
 */
static int fill(struct mason_step *s, const int32_t **tokens, const int32_t *lengths,
                const int32_t *answers_from, int first, int n)
{
    int i = first;
    s->rows = s->n_asked = s->n_sequences = 0;
    do {
        add_sequence(s, *tokens, lengths[i], answers_from[i]);
        *tokens += lengths[i];
        i++;
    } while (i < n && s->rows + lengths[i] - 1 <= s->capacity);
    s->padded = (s->rows + BLOCK - 1) / BLOCK * BLOCK;
    memset(s->position + s->rows, 0, (s->padded - s->rows) * sizeof *s->position);
    return i;
}

/*
 * The longest sequence, less one; 0 when an argument is out of range. *answers: the words to
 * predict.
 */
static int batch_check(const struct mason_step *s, const int32_t *tokens, const int32_t *lengths,
                       const int32_t *answers_from, int32_t n, long *answers)
{
    int longest = 0;
    long total = 0;
    *answers = 0;
    for (int i = 0; i < n; i++) {
        if (lengths[i] < 2 || lengths[i] > s->shape.context || answers_from[i] < 1
            || answers_from[i] >= lengths[i]) {
            return 0;
        }
        longest = lengths[i] - 1 > longest ? lengths[i] - 1 : longest;
        total += lengths[i];
        *answers += lengths[i] - answers_from[i];
    }
    for (long i = 0; i < total; i++) {
        if (tokens[i] < 0 || tokens[i] >= s->shape.vocab) {
            return 0;
        }
    }
    return longest;
}

float mason_step_run(struct mason_step *s, const float *const *weights, float *const *gradients,
                     const int32_t *tokens, const int32_t *lengths, const int32_t *answers_from,
                     int32_t n)
{
    long answers;
    int longest = batch_check(s, tokens, lengths, answers_from, n, &answers);
    /* Only read: the helpers that find columns serve gradients too. */
    float *const *w = (float *const *)weights;
    if (longest == 0 || !step_reserve(s, s->target > longest ? s->target : longest)) {
        return -1.0f;
    }
    tiles_configure();
    for (int i = 0; i < W_COUNT; i++) {
        memset(gradients[i], 0, step_weight_size(s, i) * sizeof(float));
    }
    memset(s->head_gradient, 0, (size_t)s->dim * s->vocab * sizeof(float));
    step_pack(s, w);
    double loss = 0.0;
    for (int i = 0; i < n;) {
        i = fill(s, &tokens, lengths, answers_from, i, n);
        step_forward(s, w);
        loss += output(s, 1.0f / answers);
        step_backward(s, gradients);
    }
    step_unfold(s, w, gradients);
    _tile_release();
    return (float)(loss / answers);
}
