/*
 * compile_jobs.c: the loop that gets every distinct block of a file an accepted fragment.
 *
 * A job is a block with all the places that hold it. Jobs are worked on in generations: first the
 * blocks of the cut, then the finer blocks of those that found no fragment, and so on:
 *
 *   prepare: the references of the whole generation in one build
 *   cache: what it has is checked like any answer
 *   each translator: up to K samples of every open block, in batches over all of them, then up to N
 *   repairs
 *   finer: what is still open is split, and its pieces are the next generation; an operation is
 *   rejected
 *
 * Invariant: a piece gets a fragment only from accept(), and accept() is called only behind
 * verifier_check(). A block's text leaves out the values of its literals and constants, and an
 * answer is checked with those of the block at hand. So blocks that differ in them only are jobs of
 * their own (siblings), asked for once and checked one by one. A function with a rejected block is
 * lost, and blocks that only it holds are not asked for any more.
 */
#include "base/os.h"
#include "lego/compile_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ANSWER_MAX = 1 << 20, AT_ONCE_MAX = 1 << 16 };

/* ---- jobs ---- */

static unsigned chain_of(const char *key)
{
    return XXH3_64bits(key, strlen(key)) % JOB_CHAINS;
}

static bool is_sibling(const struct job *job, const struct block *block)
{
    /* The text decides: blocks with one key but two texts would be a collision. */
    return strcmp(job->block->key, block->key) == 0 && strcmp(job->block->text, block->text) == 0;
}

/* Do two blocks of one text agree in what it leaves out: the values of literals and constants? */
static bool same_values(const struct block *a, const struct block *b)
{
    if (a->n_operands != b->n_operands)
        return false;
    for (int i = 0; i < a->n_operands; i++) {
        const struct block_operand *x = &a->operands[i], *y = &b->operands[i];
        if (x->kind == OPERAND_LITERAL && x->value != y->value)
            return false;
        if (x->kind == OPERAND_CONSTANT && x->object != y->object &&
            memcmp(x->object->bytes, y->object->bytes, (size_t)x->size) != 0)
            return false;
    }
    return true;
}

static struct job *job_find(const struct compilation *c, const struct block *block)
{
    for (struct job *job = c->chains[chain_of(block->key)]; job; job = job->next) {
        if (is_sibling(job, block) && same_values(job->block, block) && job->state != JOB_SKIPPED)
            return job;
    }
    return NULL;
}

bool job_is_first(const struct compilation *c, const struct job *job)
{
    for (const struct job *other = c->chains[chain_of(job->block->key)]; other;
         other = other->next) {
        if (other->index < job->index && is_sibling(other, job->block))
            return false;
    }
    return true;
}

static struct job *job_new(struct compilation *c, struct block *block)
{
    struct heap *h = &c->unit->heap;
    struct job *job = heap_take(h, sizeof *job);
    unsigned chain = chain_of(block->key);
    job->block = block;
    job->index = c->n_jobs;
    job->next = c->chains[chain];
    job->report = (struct report_block){.function = block->function, .at = block->at,
                                        .granularity = block->granularity, .key = block->key,
                                        .text = block->text};
    heap_grow(h, &c->jobs, c->n_jobs, sizeof *c->jobs);
    c->jobs[c->n_jobs++] = job;
    c->chains[chain] = job;
    return job;
}

/* Cuts a place of a block finer and enters the pieces; false when it is an operation already. */
static bool split_piece(struct compilation *c, struct piece *piece, int function,
                        const struct job *parent)
{
    if (!block_split(&c->unit->heap, &c->ir->functions[function], piece))
        return false;
    for (int k = 0; k < piece->n_finer; k++) {
        if (piece->finer[k].kind == PIECE_BLOCK)
            job_enter(c, &piece->finer[k], function, parent);
    }
    return true;
}

void job_enter(struct compilation *c, struct piece *piece, int function, const struct job *parent)
{
    struct job *job = job_find(c, piece->block);
    if (!job) {
        job = job_new(c, piece->block);
        job->parent = parent;
    }
    heap_grow(&c->unit->heap, &job->holders, job->n_holders, sizeof *job->holders);
    job->holders[job->n_holders++] = (struct holder){.piece = piece, .function = function};
    job->report.copies++;
    /* met again, finer or elsewhere: what was decided for the text holds here too */
    if (job->state == JOB_ACCEPTED)
        piece->fragment = job->report.fragment;
    bool lost = job->state == JOB_REJECTED;
    if (job->state == JOB_SPLIT)
        lost = !split_piece(c, piece, function, job);
    if (lost)
        c->failed[function] = true;
}

static void settle(struct compilation *c, struct job *job, enum job_state state)
{
    static const enum report_outcome outcomes[] = {
        [JOB_OPEN] = REPORT_REJECTED, [JOB_ACCEPTED] = REPORT_ACCEPTED, [JOB_SPLIT] = REPORT_SPLIT,
        [JOB_REJECTED] = REPORT_REJECTED, [JOB_SKIPPED] = REPORT_SKIPPED};
    job->state = state;
    job->report.outcome = outcomes[state];
    c->n_done++;
}

static void reject(struct compilation *c, struct job *job)
{
    settle(c, job, JOB_REJECTED);
    for (int i = 0; i < job->n_holders; i++)
        c->failed[job->holders[i].function] = true;
}

/* Is any place of the block in a function that can still be accepted? */
static bool is_wanted(const struct compilation *c, const struct job *job)
{
    for (int i = 0; i < job->n_holders; i++) {
        if (!c->failed[job->holders[i].function])
            return true;
    }
    return false;
}

static bool is_open(const struct compilation *c, const struct job *job)
{
    return job->state == JOB_OPEN && is_wanted(c, job);
}

/* Of open siblings the first is the one that is asked for. */
static bool is_asked(const struct compilation *c, const struct job *job)
{
    if (!is_open(c, job))
        return false;
    for (const struct job *other = c->chains[chain_of(job->block->key)]; other;
         other = other->next) {
        if (other->index < job->index && is_sibling(other, job->block) && is_open(c, other))
            return false;
    }
    return true;
}

static bool progress(const struct compilation *c)
{
    return log_progress(&c->options.log, "blocks", (uint64_t)c->n_done, (uint64_t)c->n_jobs);
}

/* ---- one answer ---- */

static void accept(struct compilation *c, struct job *job, const char *text, size_t length)
{
    job->report.fragment = heap_copy(&c->unit->heap, text, length);
    for (int i = 0; i < job->n_holders; i++)
        job->holders[i].piece->fragment = job->report.fragment;
    settle(c, job, JOB_ACCEPTED);
}

/* Keeps the attempt that came furthest: what a repair starts from and what is shown in the end. */
static void keep_attempt(struct compilation *c, struct job *job, const char *text, size_t length,
                         const struct verdict *verdict)
{
    /* of two that came equally far the later one, as it was told more */
    if (job->report.fragment && verdict->level < job->report.verdict.level)
        return;
    job->report.verdict = *verdict;
    job->report.fragment = heap_copy(&c->unit->heap, text, length);
}

static ashlar_status check(struct compilation *c, struct job *job, const char *text, size_t length,
                           bool *accepted, ashlar_error *err)
{
    struct verdict verdict = {0};
    double started = os_time_seconds();
    ashlar_status status = verifier_check(c->verifier, job->block, text, length, &verdict, err);
    job->report.verify_seconds += os_time_seconds() - started;
    if (status != ASHLAR_OK)
        return status;
    *accepted = verdict.accepted;
    if (verdict.accepted) {
        job->report.verdict = verdict;
        accept(c, job, text, length);
    } else {
        keep_attempt(c, job, text, length, &verdict);
    }
    return ASHLAR_OK;
}

/* ---- the cache ---- */

/* A cache that is locked or cannot be written to spoils no compilation. */
static ashlar_status do_without_cache(struct compilation *c, const ashlar_error *err)
{
    log_write(&c->options.log, ASHLAR_LOG_WARN, "%s; going on without it", err->message);
    c->options.cache = NULL;
    return ASHLAR_OK;
}

static ashlar_status look_up(struct compilation *c, struct job *job, struct buf *fragment,
                             struct buf *provenance, ashlar_error *err)
{
    bool found, accepted = false;
    buf_clear(fragment);
    buf_clear(provenance);
    ashlar_status status =
        cache_get(c->options.cache, job->block->key, job->block->text, target_x86_64.name,
                  VERIFY_VERSION, fragment, provenance, &found, err);
    if (status == ASHLAR_FAILED)
        return do_without_cache(c, err);
    if (status != ASHLAR_OK || !found)
        return status;
    if (fragment->length)
        status = check(c, job, fragment->data, fragment->length, &accepted, err);
    if (status != ASHLAR_OK)
        return status;
    if (!accepted) { /* it stays there until a better one replaces it: with other literals it may
                        hold */
        job->report.fragment = NULL;
        job->report.verdict = (struct verdict){0};
        return ASHLAR_OK;
    }
    job->report.from_cache = true;
    job->report.translator = "cache";
    snprintf(job->report.provenance, sizeof job->report.provenance, "%s",
             provenance->length ? provenance->data : "?");
    return ASHLAR_OK;
}

static ashlar_status use_cache(struct compilation *c, int first, int last, ashlar_error *err)
{
    struct buf fragment, provenance;
    ashlar_status status = ASHLAR_OK;
    if (!c->options.cache)
        return ASHLAR_OK;
    buf_init(&fragment, CACHE_FRAGMENT_MAX);
    buf_init(&provenance, 4096);
    for (int i = first; i < last && status == ASHLAR_OK && c->options.cache; i++) {
        if (is_open(c, c->jobs[i]))
            status = look_up(c, c->jobs[i], &fragment, &provenance, err);
        if (status == ASHLAR_OK && !progress(c))
            status = error_set(err, ASHLAR_CANCELLED, "interrupted");
    }
    buf_fini(&fragment);
    buf_fini(&provenance);
    return status;
}

static ashlar_status store_job(struct compilation *c, struct job *job, ashlar_error *err)
{
    const struct report_block *r = &job->report;
    struct cache_entry entry = {.key = job->block->key, .target = target_x86_64.name,
                                .block = job->block->text, .fragment = r->fragment,
                                .version = VERIFY_VERSION, .level = (int)r->verdict.level,
                                .vectors = r->verdict.vectors, .provenance = r->provenance};
    job->stored = true;
    return cache_put(c->options.cache, &entry, err);
}

/* What a round brought goes into the cache in one transaction: one wait for the disk. */
static ashlar_status store_round(struct compilation *c, ashlar_error *err)
{
    struct cache *cache = c->options.cache;
    ashlar_status status = cache ? cache_begin(cache, err) : ASHLAR_OK;
    if (!cache)
        return ASHLAR_OK;
    for (int i = 0; i < c->n_items && status == ASHLAR_OK; i++) {
        struct job *job = c->asked[i];
        for (struct job *other = c->chains[chain_of(job->block->key)]; other; other = other->next) {
            if (status == ASHLAR_OK && other->state == JOB_ACCEPTED && !other->stored &&
                !other->report.from_cache && is_sibling(other, job->block))
                status = store_job(c, other, err);
        }
    }
    ashlar_status committed = cache_commit(cache, status == ASHLAR_OK ? err : NULL);
    status = status == ASHLAR_OK ? committed : status;
    bool lost = status == ASHLAR_FAILED || status == ASHLAR_NO_RESOURCE; /* a disk that is full */
    return lost ? do_without_cache(c, err) : status;
}

/* ---- translators ---- */

static void clear_items(struct compilation *c)
{
    for (int i = 0; i < c->n_items; i++)
        buf_fini(&c->items[i].answer);
    c->n_items = 0;
}

static ashlar_status add_item(struct compilation *c, struct job *job, int sample, bool repair,
                              ashlar_error *err)
{
    if (c->n_items == c->items_capacity) {
        int capacity = c->items_capacity ? c->items_capacity * 2 : 64;
        /* each is kept as soon as it has moved: the other one may fail */
        void *items = realloc(c->items, (size_t)capacity * sizeof *c->items);
        if (items)
            c->items = items;
        void *asked = realloc(c->asked, (size_t)capacity * sizeof *c->asked);
        if (asked)
            c->asked = asked;
        if (!items || !asked)
            return error_memory(err, (size_t)capacity * sizeof *c->items, "translations");
        c->items_capacity = capacity;
    }
    struct translation *item = &c->items[c->n_items];
    *item = (struct translation){.block = job->block, .sample = sample};
    if (repair) {
        item->previous = job->report.fragment;
        item->finding = job->report.verdict.message;
    }
    buf_init(&item->answer, ANSWER_MAX);
    c->asked[c->n_items++] = job;
    return ASHLAR_OK;
}

static ashlar_status check_answer(struct compilation *c, const struct translator *t,
                                  const struct translation *item, struct job *job,
                                  ashlar_error *err)
{
    bool accepted;
    const char *before = job->report.fragment;
    ashlar_status status = check(c, job, item->answer.data, item->answer.length, &accepted, err);
    if (status == ASHLAR_OK && job->report.fragment != before) {
        job->report.translator = t->kind;
        snprintf(job->report.provenance, sizeof job->report.provenance, "%s: %.100s, %s %d",
                 t->kind, item->note[0] ? item->note : t->name,
                 item->previous ? "repair" : "sample", item->sample + 1);
    }
    return status;
}

/* Checks the answer to one item for every open block with its text. */
static ashlar_status take_answer(struct compilation *c, const struct translator *t, int i,
                                 ashlar_error *err)
{
    struct translation *item = &c->items[i];
    struct job *job = c->asked[i];
    ashlar_status status = ASHLAR_OK;
    if (item->answer.length == 0 || item->answer.failed) {
        if (job->state == JOB_OPEN && !job->report.fragment)
            snprintf(job->report.provenance, sizeof job->report.provenance, "%s: %s", t->kind,
                     item->note[0] ? item->note : "no answer");
        return ASHLAR_OK;
    }
    for (struct job *other = c->chains[chain_of(job->block->key)]; other; other = other->next) {
        if (!is_sibling(other, job->block) || !is_open(c, other))
            continue;
        other->answered = true;
        status = check_answer(c, t, item, other, err);
        if (status != ASHLAR_OK)
            break;
    }
    return status;
}

/* Sends the items that were gathered and checks what comes back. */
static ashlar_status ask(struct compilation *c, struct translator *t, ashlar_error *err)
{
    double started = os_time_seconds();
    ashlar_status status = t->translate(t, c->items, c->n_items, err);
    /* nobody knows how a translator divides its time among the items: in equal parts */
    double each = (os_time_seconds() - started) / (c->n_items ? c->n_items : 1);
    for (int i = 0; i < c->n_items; i++)
        c->asked[i]->report.translate_seconds += each;
    for (int i = 0; i < c->n_items && status == ASHLAR_OK; i++) {
        status = take_answer(c, t, i, err);
        if (status == ASHLAR_OK && !progress(c))
            status = error_set(err, ASHLAR_CANCELLED, "interrupted");
    }
    if (status == ASHLAR_OK)
        status = store_round(c, err);
    clear_items(c);
    return status;
}

static int count_open(const struct compilation *c, int first, int last)
{
    int n = 0;
    for (int i = first; i < last; i++)
        n += is_asked(c, c->jobs[i]);
    return n;
}

/* A sample is one of every open sibling. */
static void count_sample(struct compilation *c, struct job *job)
{
    int next = job->next_sample + 1;
    for (struct job *other = c->chains[chain_of(job->block->key)]; other; other = other->next) {
        if (is_sibling(other, job->block) && is_open(c, other)) {
            other->next_sample = next;
            other->report.samples++;
        }
    }
}

/* A block coarser than what a translator is good at is worth one try, before it is cut finer. */
static bool is_too_coarse(const struct compilation *c, const struct translator *t,
                          const struct job *job)
{
    return c->options.automatic && job->block->granularity > t->good_at;
}

/* One round of samples: the likeliest answer alone, then one each, or more where the translator
 * would be idle. */
static ashlar_status gather_samples(struct compilation *c, const struct translator *t, int round,
                                    int first, int last, ashlar_error *err)
{
    int open = count_open(c, first, last), each = open ? t->at_once / open : 0;
    ashlar_status status = ASHLAR_OK;
    each = each < 1 || round == 0 ? 1 : each;
    for (int i = first; i < last; i++) {
        struct job *job = c->jobs[i];
        if (!is_asked(c, job))
            continue;
        int most = is_too_coarse(c, t, job) ? 1 : c->options.samples;
        for (int k = 0; k < each && job->next_sample < most && c->n_items < AT_ONCE_MAX; k++) {
            status = add_item(c, job, job->next_sample, false, err);
            if (status != ASHLAR_OK)
                return status;
            count_sample(c, job);
        }
    }
    return ASHLAR_OK;
}

static ashlar_status gather_repairs(struct compilation *c, const struct translator *t, int first,
                                    int last, int round, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    for (int i = first; i < last && status == ASHLAR_OK; i++) {
        struct job *job = c->jobs[i];
        /* One that has nothing to say about the block has nothing to repair either. */
        if (!is_asked(c, job) || !job->report.fragment || !job->answered ||
            is_too_coarse(c, t, job))
            continue;
        job->answered = false;
        status = add_item(c, job, round, true, err);
        job->report.repairs++;
    }
    return status;
}

/* Samples until no block may have more of them, then repairs, one round each. */
static ashlar_status use_translator(struct compilation *c, struct translator *t, int first,
                                    int last, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    for (int i = first; i < last; i++) {
        c->jobs[i]->next_sample = 0;
        c->jobs[i]->answered = false;
    }
    for (int round = 0;; round++) {
        status = gather_samples(c, t, round, first, last, err);
        if (status != ASHLAR_OK || c->n_items == 0)
            break;
        status = ask(c, t, err);
        if (status != ASHLAR_OK)
            return status;
    }
    for (int round = 0; round < c->options.repairs && status == ASHLAR_OK; round++) {
        status = gather_repairs(c, t, first, last, round, err);
        if (status != ASHLAR_OK || c->n_items == 0)
            break;
        status = ask(c, t, err);
    }
    return status;
}

/* All translators in order. One that is out of order is passed over while there is another one. */
static ashlar_status use_translators(struct compilation *c, int first, int last, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    for (int i = 0; i < c->options.n_translators && count_open(c, first, last) > 0; i++) {
        struct translator *t = c->options.translators[i];
        status = use_translator(c, t, first, last, err);
        clear_items(c);
        /* another translator would meet the same */
        if (status == ASHLAR_CANCELLED || status == ASHLAR_NO_RESOURCE)
            return status;
        if (status == ASHLAR_OK)
            continue;
        if (i + 1 == c->options.n_translators)
            return status;
        log_write(&c->options.log, ASHLAR_LOG_WARN, "translator %s: %s", t->kind,
                  err->message);
        status = ASHLAR_OK;
    }
    return status;
}

/* ---- generations ---- */

/* One build for the whole generation: starting a compiler takes longer than compiling a block. */
static ashlar_status prepare(struct compilation *c, int first, int last, ashlar_error *err)
{
    int n = 0;
    struct block **blocks = calloc((size_t)(last - first) + 1, sizeof *blocks);
    if (!blocks)
        return error_memory(err, (size_t)(last - first) * sizeof *blocks, "blocks");
    for (int i = first; i < last; i++) {
        if (is_wanted(c, c->jobs[i]))
            blocks[n++] = c->jobs[i]->block;
    }
    ashlar_status status = n ? verifier_prepare(c->verifier, blocks, n, err) : ASHLAR_OK;
    free(blocks);
    return status;
}

/*
 * Every place of the block gets finer pieces. A block of one statement has the same text a step
 * finer: it comes back here as a further place of the same job, and the loop goes on with it.
 */
static bool split(struct compilation *c, struct job *job)
{
    for (int i = 0; i < job->n_holders; i++) {
        if (!split_piece(c, job->holders[i].piece, job->holders[i].function, job))
            return false;
    }
    return true;
}

static void go_finer(struct compilation *c, int first, int last)
{
    for (int i = first; i < last; i++) {
        struct job *job = c->jobs[i];
        if (job->state != JOB_OPEN)
            continue;
        if (!is_wanted(c, job))
            settle(c, job, JOB_SKIPPED);
        else if (c->options.automatic && split(c, job))
            settle(c, job, JOB_SPLIT);
        else
            reject(c, job);
    }
}

/* Generation by generation: jobs that come up meanwhile are the next one. */
static void run_generations(void *context)
{
    struct compilation *c = context;
    struct heap *h = &c->unit->heap;
    for (int first = 0, last; first < c->n_jobs; first = last) {
        last = c->n_jobs;
        if (prepare(c, first, last, h->error) != ASHLAR_OK ||
            use_cache(c, first, last, h->error) != ASHLAR_OK ||
            use_translators(c, first, last, h->error) != ASHLAR_OK)
            heap_leave(h, h->error);
        go_finer(c, first, last);
    }
}

ashlar_status jobs_run(struct compilation *c, ashlar_error *err)
{
    ashlar_status status = heap_run(&c->unit->heap, run_generations, c, err);
    clear_items(c);
    return status;
}

/* Jobs themselves lie in the unit's heap. */
void jobs_fini(struct compilation *c)
{
    clear_items(c);
    free(c->items);
    free(c->asked);
}
