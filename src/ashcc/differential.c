/*
 * differential.c: see differential.h. For each function: batches of vectors, each run by cc's
 * version twice and by ours, compared (differential_compare.c), counted. Kinds of vectors on which
 * cc's version is defined are made more often, none is given up.
 *
 * Invariant: nothing of the compiled file runs in this process; the harness runs it without
 * rights.
 */
#include "ashcc/differential.h"

#include "ashcc/differential_build.h"
#include "ashcc/differential_compare.h"
#include "ashcc/differential_vectors.h"
#include "ashcc/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Why cc's version runs twice: what it gives differently over other garbage in registers and stack
 * (an uninitialised variable) is undetermined, and says nothing about ours. MILLISECONDS of
 * processor time each vector may take; it is enough for what small arguments ask for.
 */
enum { N_RUNS = 3, THEIRS = 0, AGAIN = 1, OURS = 2, REASON_MAX = 4096, MILLISECONDS = 60 };

/** One program's side of the exchange. */
struct side {
    int fd;
    size_t bytes;
    struct differential_exchange *exchange;
    struct differential_run run;
};

/** Of one function; tried and defined by the kind of vectors (differential_vectors.h). */
struct tally {
    int compared, discarded, differing;
    int tried[DIFFERENTIAL_MIXES], defined[DIFFERENTIAL_MIXES];
};

struct differential {
    const struct differential_options *options;
    struct differential_plan plan;
    struct side sides[N_RUNS];
    unsigned char *statics; /* (BATCH, statics_bytes) made values of data; results come elsewhere */
    struct rng rng;
    struct buf first; /* the function's first difference */
    int width;        /* of the names' column */
};

/* ---- running ---- */

static unsigned char *statics_of(struct side *s, const struct differential_plan *plan)
{
    return (unsigned char *)((uint64_t *)(s->exchange + 1) + plan->n_calls + plan->n_data);
}

/*
 * Memory that the harness maps too, so that vectors and results need no protocol. Behind the
 * exchange itself: the addresses of functions and data, then the data's values after each vector.
 */
static ashlar_status open_side(struct side *s, const struct differential_plan *plan,
                               ashlar_error *err)
{
    size_t entries = (size_t)(plan->n_calls + plan->n_data);
    s->bytes = sizeof *s->exchange + sizeof(uint64_t) * entries +
               plan->statics_bytes * DIFFERENTIAL_BATCH;
    s->fd = memfd_create("ashcc-differential", 0); /* the harness inherits it */
    void *at = MAP_FAILED;
    if (s->fd >= 0 && ftruncate(s->fd, (off_t)s->bytes) == 0)
        at = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (at == MAP_FAILED)
        return error_memory(err, s->bytes, "the vectors");
    s->exchange = at;
    s->run.exchange = at;
    s->run.addresses = (const uint64_t *)(s->exchange + 1);
    s->run.statics = statics_of(s, plan);
    return ASHLAR_OK;
}

static void close_side(struct side *s)
{
    if (s->exchange)
        munmap(s->exchange, s->bytes);
    if (s->fd >= 0)
        close(s->fd);
}

/* Ours gets more time, so that a machine that is busy makes no difference. */
static ashlar_status run_side(struct differential *d, int side, ashlar_error *err)
{
    static const int garbage[N_RUNS] = {0x11, 0xc6, 0x11};
    struct side *s = &d->sides[side];
    struct words command = {0};
    int code;
    s->exchange->garbage = garbage[side];
    s->exchange->milliseconds = side == OURS ? 4 * MILLISECONDS : MILLISECONDS;
    words_add(&command, side == OURS ? d->plan.ours : d->plan.theirs);
    words_printf(&command, "%d", s->fd);
    ashlar_status status = process_run(&command, (struct process_mode){0}, &code, err);
    words_fini(&command);
    if (status == ASHLAR_OK && code != 0)
        status = error_set(err, ASHLAR_FAILED,
                           "%s: --differential: the functions cannot be run here (%s, status %d)",
                           d->options->source,
                           code == 4 ? "no seccomp" : "the harness ended before its work", code);
    return status;
}

/* By the share of defined vectors so far; the constant keeps every kind in play. */
static int choose_mix(struct differential *d, const struct tally *tally)
{
    uint32_t weights[DIFFERENTIAL_MIXES], total = 0;
    for (int m = 0; m < DIFFERENTIAL_MIXES; m++) {
        weights[m] = 16 + 128 * (uint32_t)tally->defined[m] / (uint32_t)(tally->tried[m] + 1);
        total += weights[m];
    }
    uint32_t at = rng_below(&d->rng, total);
    int m = 0;
    while (at >= weights[m])
        at -= weights[m++];
    return m;
}

static bool names(const struct ir_expr *e, const char *symbol)
{
    return e && ((e->object && e->object->name && strcmp(e->object->name, symbol) == 0) ||
                 names(e->a, symbol) || names(e->b, symbol) || names(e->c, symbol));
}

static bool uses(const struct ir_function *f, const char *symbol)
{
    for (int i = 0; i < f->n_code; i++) {
        const struct ir_instr *in = &f->code[i];
        bool found = names(in->address, symbol) || names(in->value, symbol) ||
                     (in->object && in->object->name && strcmp(in->object->name, symbol) == 0);
        for (int k = 0; k < in->n_args && !found; k++)
            found = names(in->args[k].value, symbol);
        if (found)
            return true;
    }
    return false;
}

/* Those that the function itself names, the first few. */
static void print_statics(const struct differential *d, const struct ir_function *f, int i,
                          struct buf *out)
{
    enum { SHOWN = 8 };
    const unsigned char *at = d->statics + d->plan.statics_bytes * (size_t)i;
    for (int k = 0, n = 0; k < d->plan.n_data && n < SHOWN; k++) {
        const struct differential_datum *datum = &d->plan.data[k];
        if (datum->is_made && uses(f, datum->symbol)) {
            buf_puts(out, n++ ? ", " : " with ");
            differential_datum_print(datum->symbol, datum->ir->decl->type,
                                     &d->sides[OURS].exchange->inputs[i], at, out);
        }
        at += datum->size;
    }
}

/* Only the first of a function is told: the others have mostly the same cause. */
static void note_difference(struct differential *d, const struct differential_function *f, int i,
                            const struct buf *why)
{
    buf_clear(&d->first);
    differential_vector_print(f->ir->decl->name, f->ir->decl->type,
                              &d->sides[OURS].exchange->inputs[i], &d->first);
    if (d->sides[OURS].exchange->made[i])
        print_statics(d, f->ir, i, &d->first);
    buf_printf(&d->first, ": %s", why->length ? why->data : "");
}

static void count(struct differential *d, const struct differential_function *f, int i, int mix,
                  struct tally *tally)
{
    struct buf why;
    buf_init(&why, REASON_MAX);
    enum differential_verdict verdict =
        differential_compare(&d->plan, f, &d->sides[THEIRS].run, &d->sides[AGAIN].run,
                             &d->sides[OURS].run, i, &why);
    tally->tried[mix]++;
    tally->defined[mix] += verdict != DIFFERENTIAL_DISCARD;
    tally->discarded += verdict == DIFFERENTIAL_DISCARD;
    tally->compared += verdict != DIFFERENTIAL_DISCARD;
    if (verdict == DIFFERENTIAL_DIFFERENT && tally->differing++ == 0)
        note_difference(d, f, i, &why);
    buf_fini(&why);
}

/* In every other vector the data that the file leaves zero have values, as if functions that set
 * them had been called before. */
static void make_statics(struct differential *d, int mix, int i)
{
    struct differential_exchange *x = d->sides[0].exchange;
    unsigned char *at = d->statics + d->plan.statics_bytes * (size_t)i;
    int room = DIFFERENTIAL_PAGE;
    x->made[i] = d->plan.n_data > 0 && rng_below(&d->rng, 2);
    memset(at, 0, d->plan.statics_bytes);
    for (int k = 0; x->made[i] && k < d->plan.n_data; k++) {
        const struct differential_datum *datum = &d->plan.data[k];
        if (datum->is_made)
            differential_datum_make(datum->ir->decl->type, mix, &d->rng, &x->inputs[i], &room, at);
        at += datum->size;
    }
}

static ashlar_status run_batch(struct differential *d, const struct differential_function *f, int n,
                               struct tally *tally, ashlar_error *err)
{
    int mixes[DIFFERENTIAL_BATCH];
    struct differential_exchange *first = d->sides[0].exchange;
    /* The inputs are made once: the other runs get copies of them. */
    first->function = f->call;
    first->n = n;
    for (int i = 0; i < n; i++) {
        mixes[i] = choose_mix(d, tally);
        differential_vector_make(f->ir->decl->type, mixes[i], &d->rng, &first->inputs[i]);
        make_statics(d, mixes[i], i);
    }
    ashlar_status status = ASHLAR_OK;
    for (int side = 0; side < N_RUNS && status == ASHLAR_OK; side++) {
        struct differential_exchange *x = d->sides[side].exchange;
        x->function = f->call;
        x->n = n;
        if (side) {
            memcpy(x->inputs, first->inputs, sizeof x->inputs[0] * (size_t)n);
            memcpy(x->made, first->made, sizeof x->made);
        }
        memcpy(statics_of(&d->sides[side], &d->plan), d->statics,
               d->plan.statics_bytes * (size_t)n);
        for (int i = 0; i < n; i++) /* what the run before has ended is discarded */
            x->skip[i] = side && d->sides[side - 1].exchange->results[i].outcome !=
                                     DIFFERENTIAL_RETURNED;
        status = run_side(d, side, err);
    }
    for (int i = 0; i < n && status == ASHLAR_OK; i++)
        count(d, f, i, mixes[i], tally);
    return status;
}

/* ---- the table ---- */

/* The first function called that neither the file nor the harness has; NULL: none directly. */
static const char *unknown_callee(const struct ir_function *f)
{
    for (int i = 0; i < f->n_code; i++) {
        const struct ir_instr *in = &f->code[i];
        const struct ir_object *o =
            in->code == IR_CALL && in->callee->op == IR_ADDRESS ? in->callee->object : NULL;
        if (o && o->decl && !o->decl->is_defined && !differential_is_known(o->name))
            return o->decl->name;
    }
    return NULL;
}

/* A function that ends in a trap every time is named for the call that does it, if one is seen. */
static void put_row(const struct differential *d, const struct differential_function *f,
                    const struct tally *t, struct buf *out)
{
    const char *callee = f->left_out || t->compared ? NULL : unknown_callee(f->ir);
    buf_printf(out, "%-*s ", d->width, f->ir->decl->name);
    if (f->left_out || callee) {
        buf_printf(out, "%8s %9s %9s  left out: ", "-", "-", "-");
        buf_printf(out, callee ? "calls %s, which is not known here\n" : "%s\n",
                   callee ? callee : f->left_out);
        return;
    }
    buf_printf(out, "%8d %9d %9d", t->compared, t->discarded, t->differing);
    if (t->differing)
        buf_printf(out, "  %s", d->first.length ? d->first.data : "");
    else if (t->compared == 0)
        buf_puts(out, "  no vector without undefined behaviour");
    buf_puts(out, "\n");
}

static ashlar_status check_function(struct differential *d, const struct differential_function *f,
                                    struct buf *out, int *differing, ashlar_error *err)
{
    struct tally tally = {0};
    ashlar_status status = ASHLAR_OK;
    buf_clear(&d->first);
    for (int done = 0; !f->left_out && done < d->options->vectors && status == ASHLAR_OK;) {
        int left = d->options->vectors - done;
        int n = left < DIFFERENTIAL_BATCH ? left : DIFFERENTIAL_BATCH;
        status = run_batch(d, f, n, &tally, err);
        done += n;
    }
    if (status == ASHLAR_OK)
        put_row(d, f, &tally, out);
    *differing += tally.differing > 0;
    return status;
}

static void put_head(struct differential *d, struct buf *out)
{
    enum { NARROW = 8, WIDE = 32 };
    d->width = NARROW;
    for (int i = 0; i < d->plan.n_functions; i++) {
        int n = (int)strlen(d->plan.functions[i].ir->decl->name);
        if (n > d->width)
            d->width = n < WIDE ? n : WIDE;
    }
    buf_printf(out, "%s: beside %s, %d vectors per function, seed %" PRIu64 "\n",
               d->options->source, d->options->cc, d->options->vectors, d->options->seed);
    buf_printf(out, "%-*s %8s %9s %9s\n", d->width, "function", "compared", "discarded",
               "differing");
}

ashlar_status differential_run(const struct differential_options *options,
                               const struct ir_unit *unit, const struct report *report,
                               const struct buf *assembly, struct buf *out, int *differing,
                               ashlar_error *err)
{
    struct differential d = {.options = options, .sides = {{.fd = -1}, {.fd = -1}, {.fd = -1}}};
    *differing = 0;
    rng_seed(&d.rng, options->seed);
    buf_init(&d.first, REASON_MAX);
    ashlar_status status = differential_build(options, unit, report, assembly, &d.plan, err);
    for (int i = 0; i < N_RUNS && status == ASHLAR_OK; i++)
        status = open_side(&d.sides[i], &d.plan, err);
    d.statics = calloc(DIFFERENTIAL_BATCH, d.plan.statics_bytes + 1);
    if (status == ASHLAR_OK && !d.statics)
        status = error_memory(err, d.plan.statics_bytes, "the vectors");
    if (status == ASHLAR_OK)
        put_head(&d, out);
    for (int i = 0; i < d.plan.n_functions && status == ASHLAR_OK; i++)
        status = check_function(&d, &d.plan.functions[i], out, differing, err);
    for (int i = 0; i < N_RUNS; i++)
        close_side(&d.sides[i]);
    differential_plan_fini(&d.plan);
    free(d.statics);
    buf_fini(&d.first);
    return status;
}
