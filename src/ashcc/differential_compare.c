/*
 * differential_compare.c: see differential_compare.h. Memory is compared by words, as any aligned
 * word may be an address: that of a datum or function of the file is another number in each
 * program.
 */
#include "ashcc/differential_compare.h"

#include "lego/type.h"

#include <inttypes.h>
#include <string.h>

/*
 * IN_DATUM is the same when entry and offset are; IN_PROGRAM (string literals, code behind a
 * function's start) and IN_STACK only have to be in both: the two programs are laid out by two
 * compilers.
 */
enum target { AS_NUMBER, IN_DATUM, IN_PROGRAM, IN_STACK };

/** A word in a form that is equal in programs that lie elsewhere. */
struct meaning {
    enum target target;
    uint64_t entry, offset;
};

/* Functions come first in the table, with a size of one: only their starts have a meaning. */
static struct meaning meaning_of(const struct differential_plan *plan,
                                 const struct differential_run *run, uint64_t word)
{
    const struct differential_exchange *x = run->exchange;
    if (word >= x->stack_begin && word < x->stack_end)
        return (struct meaning){IN_STACK, 0, 0};
    if (word < x->image_begin || word >= x->image_end)
        return (struct meaning){AS_NUMBER, 0, word};
    for (int i = 0; i < plan->n_calls + plan->n_data; i++) {
        uint64_t size = i < plan->n_calls ? 1 : (uint64_t)plan->data[i - plan->n_calls].size;
        if (word >= run->addresses[i] && word - run->addresses[i] < size)
            return (struct meaning){IN_DATUM, (uint64_t)i, word - run->addresses[i]};
    }
    return (struct meaning){IN_PROGRAM, 0, 0};
}

/* Equal numbers first: the buffers are at the same addresses in all runs. */
static bool same_word(const struct differential_plan *plan, const struct differential_run *a,
                      uint64_t x, const struct differential_run *b, uint64_t y)
{
    if (x == y)
        return true;
    struct meaning m = meaning_of(plan, a, x), n = meaning_of(plan, b, y);
    return m.target == n.target && m.entry == n.entry && m.offset == n.offset;
}

static uint64_t word_at(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The first byte that differs where cc's two runs agree; -1: none. */
static int64_t find_difference(const struct differential_plan *plan,
                               const struct differential_run *const runs[3],
                               const unsigned char *const at[3], size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 8) {
        size_t n = bytes - i < 8 ? bytes - i : 8;
        if (memcmp(at[0] + i, at[2] + i, n) == 0)
            continue;
        if (n == 8) {
            uint64_t one = word_at(at[0] + i), two = word_at(at[1] + i), own = word_at(at[2] + i);
            if (same_word(plan, runs[0], one, runs[1], two) &&
                same_word(plan, runs[0], one, runs[2], own))
                continue;
        }
        for (size_t k = i; k < i + n; k++)
            if (at[0][k] == at[1][k] && at[0][k] != at[2][k])
                return (int64_t)k;
    }
    return -1;
}

/* ---- what is returned ---- */

/* By bits, so that -0.0 is not 0.0; but any NaN is as good as another (C11 F.2.1 leaves their bits
 * open). Of a long double only 10 bytes are value. */
static bool same_float(const struct type *t, const unsigned char *a, const unsigned char *b)
{
    float f, g;
    double x, y;
    long double p, q;
    switch (t->kind) {
    case TYPE_FLOAT:
        memcpy(&f, a, sizeof f);
        memcpy(&g, b, sizeof g);
        return memcmp(a, b, sizeof f) == 0 || (f != f && g != g);
    case TYPE_DOUBLE:
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return memcmp(a, b, sizeof x) == 0 || (x != x && y != y);
    default:
        memcpy(&p, a, sizeof p);
        memcpy(&q, b, sizeof q);
        return memcmp(a, b, 10) == 0 || (p != p && q != q);
    }
}

/* A pointer also has to point at the same text, where the function returns text. */
static bool same_value(const struct differential_plan *plan, const struct type *t,
                       const struct differential_run *a, const struct differential_result *x,
                       const struct differential_run *b, const struct differential_result *y)
{
    if (type_is_void(t))
        return true;
    if (type_is_float(t))
        return same_float(t, x->value.bytes, y->value.bytes);
    if (t->kind != TYPE_POINTER)
        return memcmp(x->value.bytes, y->value.bytes, (size_t)t->size) == 0;
    return same_word(plan, a, word_at(x->value.bytes), b, word_at(y->value.bytes)) &&
           memcmp(x->pointed, y->pointed, sizeof x->pointed) == 0;
}

/* What was printed beyond DIFFERENTIAL_TEXT is compared by its length alone. */
static bool same_text(const struct differential_result *x, const struct differential_result *y)
{
    int n = x->printed < DIFFERENTIAL_TEXT ? x->printed : DIFFERENTIAL_TEXT;
    return x->printed == y->printed && memcmp(x->text, y->text, (size_t)n) == 0;
}

static void say_value(const struct type *t, const struct differential_result *r, struct buf *out)
{
    if (t->kind == TYPE_POINTER && r->pointed[0])
        buf_printf(out, "\"%.*s\"", (int)strnlen(r->pointed, 40), r->pointed);
    else
        differential_value_print(t, r->value.bytes, out);
}

/* ---- memory ---- */

/* Every pointer parameter has a buffer of its own, in their order, and data have the last; all of
 * it is compared, so that a store beside the object is found too. */
static bool compare_buffers(const struct differential_plan *plan,
                            const struct differential_function *f,
                            const struct differential_run *const runs[3],
                            const struct differential_result *const r[3], struct buf *why)
{
    const struct type *t = f->ir->decl->type;
    int parameter[DIFFERENTIAL_BUFFERS] = {0}; /* from 1 on */
    for (int p = 0, b = 0; p < t->n; p++)
        if (t->params[p]->kind == TYPE_POINTER)
            parameter[b++] = p + 1;
    for (int b = 0; b < DIFFERENTIAL_BUFFERS; b++) {
        const unsigned char *at[3] = {r[0]->buffers[b], r[1]->buffers[b], r[2]->buffers[b]};
        int64_t where = find_difference(plan, runs, at, DIFFERENTIAL_PAGE);
        if (where < 0)
            continue;
        if (parameter[b])
            buf_printf(why, "the buffer of argument %d", parameter[b]);
        else
            buf_puts(why, "what the file's data point at");
        buf_printf(why, ", %" PRId64 " bytes before its end: 0x%02x, cc's 0x%02x",
                   DIFFERENTIAL_PAGE - where, at[2][where], at[0][where]);
        return false;
    }
    return true;
}

/* The file's data as the vector left them; each vector starts from their initial values. */
static bool compare_statics(const struct differential_plan *plan,
                            const struct differential_run *const runs[3], int i, struct buf *why)
{
    size_t offset = plan->statics_bytes * (size_t)i;
    for (int d = 0; d < plan->n_data; d++) {
        size_t size = (size_t)plan->data[d].size;
        const unsigned char *at[3] = {runs[0]->statics + offset, runs[1]->statics + offset,
                                      runs[2]->statics + offset};
        int64_t where = find_difference(plan, runs, at, size);
        if (where >= 0) {
            buf_printf(why, "%s, byte %" PRId64 ": 0x%02x, cc's 0x%02x", plan->data[d].symbol,
                       where, at[2][where], at[0][where]);
            return false;
        }
        offset += size;
    }
    return true;
}

/* The harness's malloc gives the same addresses for the same requests, so that another amount is
 * another behaviour. */
static bool compare_heap(const struct differential_plan *plan,
                         const struct differential_run *const runs[3],
                         const struct differential_result *const r[3], struct buf *why)
{
    const unsigned char *at[3] = {r[0]->heap, r[1]->heap, r[2]->heap};
    if (r[0]->heap_used != r[2]->heap_used) {
        buf_printf(why, "allocates %" PRIu64 " bytes, cc's %" PRIu64, r[2]->heap_used,
                   r[0]->heap_used);
        return false;
    }
    int64_t where = find_difference(plan, runs, at, r[0]->heap_used);
    if (where >= 0)
        buf_printf(why, "allocated memory, byte %" PRId64 ": 0x%02x, cc's 0x%02x", where,
                   at[2][where], at[0][where]);
    return where < 0;
}

static const char *ending(int outcome)
{
    static const char *const words[] = {"did not run", "returned", "trapped", "faulted",
                                        "did not end", "died"};
    return words[outcome >= 0 && outcome <= DIFFERENTIAL_DIED ? outcome : 0];
}

enum differential_verdict differential_compare(const struct differential_plan *plan,
                                               const struct differential_function *f,
                                               const struct differential_run *theirs,
                                               const struct differential_run *again,
                                               const struct differential_run *ours, int i,
                                               struct buf *why)
{
    const struct differential_run *const runs[3] = {theirs, again, ours};
    const struct differential_result *const r[3] = {&theirs->exchange->results[i],
                                                    &again->exchange->results[i],
                                                    &ours->exchange->results[i]};
    const struct type *t = f->ir->decl->type->base;
    /*
     * Undefined behaviour traps, faults or is found here, as two runs of cc's version that
     * disagree. What both leave differently in memory is passed over byte by byte
     * (find_difference).
     */
    if (r[0]->outcome != DIFFERENTIAL_RETURNED || r[1]->outcome != DIFFERENTIAL_RETURNED ||
        r[0]->heap_used != r[1]->heap_used || !same_text(r[0], r[1]) ||
        !same_value(plan, t, runs[0], r[0], runs[1], r[1]))
        return DIFFERENTIAL_DISCARD;
    if (r[2]->outcome != DIFFERENTIAL_RETURNED) {
        buf_printf(why, "%s, cc's returns", ending(r[2]->outcome));
        return DIFFERENTIAL_DIFFERENT;
    }
    if (!r[2]->preserved) {
        buf_puts(why, "changes a register that belongs to its caller");
        return DIFFERENTIAL_DIFFERENT;
    }
    if (!same_value(plan, t, runs[0], r[0], runs[2], r[2])) {
        buf_puts(why, "returns ");
        say_value(t, r[2], why);
        buf_puts(why, ", cc's returns ");
        say_value(t, r[0], why);
        return DIFFERENTIAL_DIFFERENT;
    }
    if (!same_text(r[0], r[2])) {
        buf_puts(why, "prints another text than cc's");
        return DIFFERENTIAL_DIFFERENT;
    }
    bool same = compare_buffers(plan, f, runs, r, why) && compare_statics(plan, runs, i, why) &&
                compare_heap(plan, runs, r, why);
    return same ? DIFFERENTIAL_SAME : DIFFERENTIAL_DIFFERENT;
}
