/*
 * compile.c: the passes over one source file in their order: read, lower, cut, translate
 * (compile_jobs.c), compose. Everything lives in the unit's heap until compile_free; this file is
 * where passes that have no entry of their own (block_cut) get one.
 */
#include "lego/compile.h"

#include "base/os.h"
#include "lego/compile_internal.h"
#include "lego/json_line.h"
#include "lego/model_text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PAIR = 1 << 20 };

void compile_options_init(struct compile_options *options)
{
    *options = (struct compile_options){
        .verify = {.level = VERIFY_TESTED, .vectors = 1000, .seed = 1, .cc = "cc"},
        .automatic = true, .samples = 5, .repairs = 3};
}

ashlar_status compile_open(const struct compile_options *options, const char *source_name,
                           const char *text, size_t length, const char *const *reader_args,
                           int n_args, struct compilation **out, ashlar_error *err)
{
    *out = NULL;
    struct compilation *c = calloc(1, sizeof *c);
    if (!c)
        return error_memory(err, sizeof *c, "the compilation");
    c->options = *options;
    c->started = os_time_seconds();
    c->report.source = source_name;
    ashlar_status status =
        reader_read(source_name, text, length, reader_args, n_args, &c->unit, err);
    if (status == ASHLAR_OK) {
        c->unit->wraps = options->wraps;
        status = lower_unit(c->unit, &c->ir, err);
    }
    if (status == ASHLAR_OK)
        status = bind_unit(c->ir, options->pic, err);
    if (status != ASHLAR_OK) {
        compile_free(c);
        return status;
    }
    *out = c;
    return ASHLAR_OK;
}

void compile_free(struct compilation *c)
{
    if (!c)
        return;
    jobs_fini(c);
    verifier_free(c->verifier);
    unit_free(c->unit);
    free(c);
}

/* Static functions that nobody calls: those of headers, mostly. They would cost a model's time for
 * nothing. */
static bool is_needed(const struct ir_function *f)
{
    return !f->decl->is_internal || f->decl->is_used;
}

/* Where the first translator is good; without one (the cache alone), where most are. `coarser`
 * goes one step beyond, no further. */
static enum granularity start_of(const struct compile_options *o)
{
    if (!o->automatic)
        return o->granularity;
    enum granularity good = o->n_translators ? o->translators[0]->good_at : GRANULARITY_BLOCK;
    return o->coarser && good < GRANULARITY_FUNCTION ? good + 1 : good;
}

static void enter_pieces(struct compilation *c, int function)
{
    struct cut *cut = &c->cuts[function];
    for (int i = 0; i < cut->n; i++) {
        if (cut->pieces[i].kind == PIECE_BLOCK)
            job_enter(c, &cut->pieces[i], function, NULL);
    }
}

/* What is known of the functions before any block is translated. Unused ones are left out of
 * everything. */
static void begin_functions(void *context)
{
    struct compilation *c = context;
    struct heap *h = &c->unit->heap;
    struct ir_unit *ir = c->ir;
    c->cuts = heap_take(h, sizeof *c->cuts * (size_t)(ir->n_functions + 1));
    c->failed = heap_take(h, sizeof *c->failed * (size_t)(ir->n_functions + 1));
    c->report.functions = heap_take(h, sizeof *c->report.functions * (size_t)(ir->n_functions + 1));
    for (int i = 0; i < ir->n_functions; i++) {
        struct ir_function *f = &ir->functions[i];
        if (!is_needed(f)) {
            /* the composer leaves it out, and it stands in no report */
            f->refused = "not used";
            continue;
        }
        struct report_function *r = &c->report.functions[c->report.n_functions++];
        *r = (struct report_function){.name = f->decl->name,
                                      .symbol = f->decl->symbol,
                                      .at = f->decl->at,
                                      .why = f->refused,
                                      .outcome = f->refused ? FUNCTION_REFUSED : FUNCTION_OK};
        if (f->refused)
            continue;
        block_cut(h, f, start_of(&c->options), &c->cuts[i]);
        enter_pieces(c, i);
    }
}

ashlar_status compile_cut(struct compilation *c, ashlar_error *err)
{
    return heap_run(&c->unit->heap, begin_functions, c, err);
}

/*
 * Why a block was rejected: what was wrong with its best attempt. Where there was no attempt at so
 * fine a piece, with that of the nearest coarser block that had one.
 */
static const char *finding_of(const struct job *job, enum granularity *granularity)
{
    for (const struct job *coarser = job; coarser; coarser = coarser->parent) {
        if (coarser->report.verdict.message[0]) {
            *granularity = coarser->block->granularity;
            return coarser->report.verdict.message;
        }
    }
    *granularity = job->block->granularity;
    return job->report.provenance[0] ? job->report.provenance : "no translator proposed a fragment";
}

/* The first block of a function that was rejected, with its finding. */
static const char *rejection(struct compilation *c, const struct ir_function *f, struct heap *h)
{
    for (int i = 0; i < c->n_jobs; i++) {
        const struct job *job = c->jobs[i];
        /* one job stands for the same text in several functions: the place is that of this one */
        for (int k = 0; k < job->n_holders && job->state == JOB_REJECTED; k++) {
            if (&c->ir->functions[job->holders[k].function] != f)
                continue;
            enum granularity granularity;
            const char *finding = finding_of(job, &granularity);
            const struct location at = job->holders[k].piece->block->at;
            return heap_printf(h, "%s:%d:%d: %s of %s: %s", at.file ? at.file : "?", at.line,
                               at.column, granularity_name(granularity), f->decl->name, finding);
        }
    }
    return "a block was not accepted";
}

/* By name, which is unique among the functions of a file. */
static struct report_function *report_of(struct compilation *c, const struct ir_function *f)
{
    for (int i = 0; i < c->report.n_functions; i++) {
        if (strcmp(c->report.functions[i].name, f->decl->name) == 0)
            return &c->report.functions[i];
    }
    return NULL;
}

static void end_functions(void *context)
{
    struct compilation *c = context;
    struct heap *h = &c->unit->heap;
    for (int i = 0; i < c->ir->n_functions; i++) {
        struct ir_function *f = &c->ir->functions[i];
        struct report_function *r = report_of(c, f);
        if (!c->failed[i] || !r)
            continue;
        r->outcome = FUNCTION_REJECTED;
        r->why = rejection(c, f, h);
        f->refused = r->why; /* so that the composer leaves it out */
    }
    c->report.blocks = heap_take(h, sizeof *c->report.blocks * (size_t)(c->n_jobs + 1));
    for (int i = 0; i < c->n_jobs; i++)
        c->report.blocks[i] = &c->jobs[i]->report;
    c->report.n_blocks = c->n_jobs;
    c->report.seconds = os_time_seconds() - c->started;
}

ashlar_status compile_translate(struct compilation *c, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    if (!c->verifier)
        status = verifier_new(&c->options.verify, &c->verifier, err);
    if (status == ASHLAR_OK)
        status = jobs_run(c, err);
    if (status == ASHLAR_OK)
        status = heap_run(&c->unit->heap, end_functions, c, err);
    return status;
}

struct report *compile_report(struct compilation *c)
{
    return &c->report;
}

const struct ir_unit *compile_ir(const struct compilation *c)
{
    return c->ir;
}

ashlar_status compile_compose(struct compilation *c, struct buf *out, ashlar_error *err)
{
    ashlar_status status = compose_unit(&target_x86_64, c->ir, c->cuts, c->options.debug, out, err);
    c->report.seconds = os_time_seconds() - c->started;
    return status;
}

/* The distinct blocks' texts one behind the other: what tools/teacher reads. */
static void dump_blocks(const struct compilation *c, struct buf *out)
{
    for (int i = 0; i < c->n_jobs; i++) {
        if (job_is_first(c, c->jobs[i]))
            buf_append(out, c->jobs[i]->block->text, c->jobs[i]->block->text_length);
    }
}

/* Training pairs (--dump=pairs). Blocks beyond the model's language (model_text.c) are left out. */
static void dump_pair(const struct job *job, struct buf *question, struct buf *answer,
                      struct buf *out)
{
    buf_clear(question);
    buf_clear(answer);
    if (!model_text_question(job->block, question) ||
        !model_text_answer(job->block, job->report.fragment, answer))
        return;
    json_line_append(out, json_pack("{s:o, s:o, s:s}", "question", json_line_string(question->data),
                                    "answer", json_line_string(answer->data ? answer->data : ""),
                                    "granularity", granularity_name(job->block->granularity)));
}

static void dump_pairs(const struct compilation *c, struct buf *out)
{
    struct buf question, answer;
    buf_init(&question, MAX_PAIR);
    buf_init(&answer, MAX_PAIR);
    for (int i = 0; i < c->n_jobs; i++) {
        if (c->jobs[i]->state == JOB_ACCEPTED)
            dump_pair(c->jobs[i], &question, &answer, out);
    }
    buf_fini(&question);
    buf_fini(&answer);
}

void compile_dump(const struct compilation *c, enum compile_dump what, struct buf *out)
{
    switch (what) {
    case COMPILE_AST:
        ast_print(c->unit, out);
        break;
    case COMPILE_IR:
        ir_print_unit(c->ir, out);
        break;
    case COMPILE_BLOCKS:
        dump_blocks(c, out);
        break;
    case COMPILE_PAIRS:
        dump_pairs(c, out);
        break;
    }
}
