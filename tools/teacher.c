/*
 * teacher.c: reference fragments for normalised blocks, from the host compiler's code for them:
 * JSON lines
 * {"key", "block", "fragment", "sample"} as ashcc's replay translator takes them.
 *
 *   ashcc --dump=blocks prog.c | teacher - > prog.jsonl
 *   teacher --mistakes=width --seed 3 blocks.txt > spoilt.jsonl
 *
 * Used for training pairs and for tests, never by ashcc itself. The parts are in tools/teach/.
 */
#include "teach/teach.h"

#include "base/options.h"
#include "base/os.h"
#include "lego/fragment.h"
#include "lego/json_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT = 1 << 30, MAX_ASSEMBLY = 1 << 30 };

static const char *output, *compiler = "cc", *mistakes;
static int batch_size = 1000;
static uint64_t seed = 1;
static bool verbose;

static const struct option teacher_options[] = {
    {"output", 'o', OPTION_STRING, &output, 0, 0, "FILE",
     "write the transcript here (standard output)"},
    {"cc", 0, OPTION_STRING, &compiler, 0, 0, "CC", "the host compiler (cc)"},
    {"batch", 0, OPTION_INT, &batch_size, 1, 100000, "N", "blocks per run of the compiler (1000)"},
    {"mistakes", 0, OPTION_STRING, &mistakes, 0, 0, "KIND",
     "plant one mistake into each fragment: width, condition, clobber, store or syntax; "
     "a fragment that offers no place is left out"},
    {"seed", 0, OPTION_U64, &seed, 0, 0, "N", "of the mistakes (1)"},
    {"verbose", 'v', OPTION_FLAG, &verbose, 0, 0, NULL,
     "name each block that has no fragment, and why"},
    {0}};
static const struct command teacher_command = {
    "teacher", "teacher [options] [FILE]...", "reference fragments from the host compiler's code",
    "Reads normalised blocks (ashcc --dump=blocks) from the files, or from standard input.",
    teacher_options, NULL, "FILE", 0, 64};

struct lessons {
    struct lesson **at;
    int n;
};

/* ------------------------------------------------------------------ input */

static ashlar_status add_lesson(struct lessons *all, const struct block_text *block,
                                ashlar_error *err)
{
    if ((all->n & (all->n - 1)) == 0) {
        size_t room = all->n ? (size_t)all->n * 2 : 1;
        struct lesson **more = realloc(all->at, room * sizeof *more);
        if (!more)
            return error_memory(err, room * sizeof *more, "the blocks");
        all->at = more;
    }
    struct lesson *lesson = calloc(1, sizeof *lesson);
    if (!lesson)
        return error_memory(err, sizeof *lesson, "a block");
    lesson->block = *block;
    all->at[all->n++] = lesson;
    return ASHLAR_OK;
}

static ashlar_status read_blocks(const char *path, const struct buf *text, struct lessons *all,
                                 ashlar_error *err)
{
    size_t at = 0;
    ashlar_error why = {0};
    while (at < text->length) {
        struct block_text block;
        size_t used;
        ashlar_status status =
            block_text_parse(text->data + at, text->length - at, &block, &used, &why);
        if (status != ASHLAR_OK)
            return error_set(err, status, "%s: byte %zu: %s", path, at, why.message);
        at += used;
        status = block.text ? add_lesson(all, &block, err) : ASHLAR_OK;
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const struct lesson *const *x = a, *const *y = b;
    int order = strcmp((*x)->block.key, (*y)->block.key);
    return order ? order : (*x)->block.text < (*y)->block.text ? -1 : 1;
}

static void free_lesson(struct lesson *lesson)
{
    block_text_fini(&lesson->block);
    free(lesson->fragment);
    free(lesson);
}

/** One lesson per key; the order is then that of the keys: the same for every order of input. */
static void drop_doubles(struct lessons *all)
{
    if (all->n)
        qsort(all->at, (size_t)all->n, sizeof *all->at, compare_keys);
    int kept = 0;
    for (int i = 0; i < all->n; i++) {
        if (kept && strcmp(all->at[kept - 1]->block.key, all->at[i]->block.key) == 0)
            free_lesson(all->at[i]);
        else
            all->at[kept++] = all->at[i];
    }
    all->n = kept;
}

/* ------------------------------------------------------------------ translation */

/** Takes the text as the lesson's fragment, in its canonical form, when the lint has nothing
 * against it. */
static void accept(const struct buf *text, const struct attempt *attempt, struct lesson *lesson)
{
    struct block block;
    struct fragment fragment;
    struct buf canonical;
    ashlar_error why = {0};
    block_text_block(&lesson->block, &block);
    ashlar_status status =
        fragment_parse(text->data ? text->data : "", text->length, &fragment, &why);
    if (status == ASHLAR_OK) {
        buf_init(&canonical, 1 << 20);
        status = fragment_lint(&fragment, &block, &why);
        if (status == ASHLAR_OK && fragment_print(&fragment, &canonical))
            lesson->fragment = strdup(canonical.data ? canonical.data : "");
        buf_fini(&canonical);
        fragment_fini(&fragment);
    }
    lesson->attempt = attempt->name;
    if (status != ASHLAR_OK)
        snprintf(lesson->reason, sizeof lesson->reason, "%.150s", why.message);
}

static void teach_function(struct heap *h, const struct listing *listing, const struct function *f,
                           const struct attempt *attempt, struct lesson *lesson)
{
    struct items items = {.heap = h};
    struct buf text;
    buf_init(&text, 1 << 20);
    flow_read(f, &items);
    if (!items.problem && rewrite_items(&lesson->block, listing, &items)) {
        flow_print(&items, &text);
        accept(&text, attempt, lesson);
    } else {
        snprintf(lesson->reason, sizeof lesson->reason, "%s", items.problem);
    }
    buf_fini(&text);
}

/** Fragments for the functions of a batch's assembly. */
static ashlar_status teach_listing(const struct buf *assembly, const struct attempt *attempt,
                                   struct lesson **lessons, int n, ashlar_error *err)
{
    struct heap heap;
    jmp_buf bail;
    heap_init(&heap);
    heap.bail = &bail;
    heap.error = err;
    if (setjmp(bail) != 0) {
        heap_fini(&heap);
        return ASHLAR_NO_RESOURCE;
    }
    struct listing listing;
    listing_read(&heap, assembly, &listing);
    for (int i = 0; i < listing.n_functions; i++) {
        const struct function *f = &listing.functions[i];
        if (f->index >= 0 && f->index < n)
            teach_function(&heap, &listing, f, attempt, lessons[f->index]);
    }
    heap_fini(&heap);
    return ASHLAR_OK;
}

/** Compiles those of the batch that still have no fragment; the ones that are not C are left out.
 */
static ashlar_status compile_batch(const struct attempt *attempt, struct lesson **lessons, int n,
                                   struct buf *source, struct buf *assembly, ashlar_error *err)
{
    for (bool rejected = true; rejected;) {
        buf_clear(source);
        buf_puts(source, "#pragma GCC visibility push(hidden)\n");
        for (int i = 0; i < n; i++)
            if (!lessons[i]->fragment && !lessons[i]->reason[0])
                source_function(&lessons[i]->block, i, source);
        if (source->failed)
            return error_set(err, ASHLAR_NO_RESOURCE,
                             "a batch is too large: give a smaller --batch");
        ashlar_status status =
            host_compile(compiler, attempt, source, lessons, n, assembly, &rejected, err);
        if (status != ASHLAR_OK)
            return status;
    }
    return ASHLAR_OK;
}

static ashlar_status teach_attempt(const struct attempt *attempt, struct lesson **lessons, int n,
                                   ashlar_error *err)
{
    int open = 0;
    for (int i = 0; i < n; i++) {
        open += lessons[i]->fragment == NULL;
        lessons[i]->reason[0] = '\0';
    }
    if (open == 0)
        return ASHLAR_OK;
    struct buf source, assembly;
    buf_init(&source, MAX_ASSEMBLY);
    buf_init(&assembly, MAX_ASSEMBLY);
    ashlar_status status = compile_batch(attempt, lessons, n, &source, &assembly, err);
    if (status == ASHLAR_OK)
        status = teach_listing(&assembly, attempt, lessons, n, err);
    buf_fini(&source);
    buf_fini(&assembly);
    return status;
}

static ashlar_status teach_all(struct lessons *all, ashlar_error *err)
{
    for (int first = 0; first < all->n; first += batch_size) {
        int n = all->n - first < batch_size ? all->n - first : batch_size;
        for (int a = 0; a < n_attempts; a++) {
            ashlar_status status = teach_attempt(&attempts[a], all->at + first, n, err);
            if (status != ASHLAR_OK)
                return status;
        }
    }
    return ASHLAR_OK;
}

/* ------------------------------------------------------------------ output */

static ashlar_status plant_all(struct lessons *all, ashlar_error *err)
{
    struct rng rng;
    rng_seed(&rng, seed);
    struct heap heap;
    heap_init(&heap);
    jmp_buf bail;
    heap.bail = &bail;
    heap.error = err;
    struct buf text;
    buf_init(&text, 1 << 20);
    bool broken = setjmp(bail) != 0;
    for (int i = 0; i < all->n && !broken; i++) {
        struct lesson *lesson = all->at[i];
        if (!lesson->fragment)
            continue;
        buf_clear(&text);
        bool planted = mistake_plant(&heap, mistakes, &rng, lesson->fragment, &text);
        free(lesson->fragment);
        lesson->fragment = planted ? strdup(text.data ? text.data : "") : NULL;
        snprintf(lesson->reason, sizeof lesson->reason, "no place for this mistake");
    }
    buf_fini(&text);
    heap_fini(&heap);
    return broken ? ASHLAR_NO_RESOURCE : ASHLAR_OK;
}

static ashlar_status write_transcript(const struct lessons *all, ashlar_error *err)
{
    FILE *f = output ? fopen(output, "w") : stdout;
    if (!f)
        return error_set(err, ASHLAR_FAILED, "%s: cannot create", output);
    struct buf line;
    buf_init(&line, 1 << 24);
    for (int i = 0; i < all->n; i++) {
        const struct lesson *lesson = all->at[i];
        if (!lesson->fragment)
            continue;
        buf_clear(&line);
        json_line_append(&line, json_pack("{s:s, s:s%, s:s, s:i}", "key", lesson->block.key,
                                          "block", lesson->block.text, lesson->block.length,
                                          "fragment", lesson->fragment, "sample", 0));
        if (!line.failed)
            fwrite(line.data, 1, line.length, f);
    }
    buf_fini(&line);
    bool good = !ferror(f) && (f == stdout ? fflush(f) : fclose(f)) == 0;
    return good ? ASHLAR_OK : error_set(err, ASHLAR_FAILED, "the transcript could not be written");
}

static void summarise(const struct lessons *all)
{
    int missing = 0;
    for (int i = 0; i < all->n; i++) {
        const struct lesson *lesson = all->at[i];
        if (lesson->fragment)
            continue;
        missing++;
        if (verbose)
            fprintf(stderr, "teacher: no fragment for %s: %s\n%.*s", lesson->block.key,
                    lesson->reason, (int)lesson->block.length, lesson->block.text);
    }
    fprintf(stderr, "teacher: %d blocks, %d fragments", all->n, all->n - missing);
    for (int a = 0; a < n_attempts; a++) {
        int made = 0;
        for (int i = 0; i < all->n; i++)
            made += all->at[i]->fragment && strcmp(all->at[i]->attempt, attempts[a].name) == 0;
        fprintf(stderr, "%s %d from %s", a ? "," : ":", made, attempts[a].name);
    }
    fputs("\n", stderr);
}

static ashlar_status check_mistakes(ashlar_error *err)
{
    for (int i = 0; mistakes && mistake_kinds[i]; i++)
        if (strcmp(mistakes, mistake_kinds[i]) == 0)
            return ASHLAR_OK;
    return mistakes ? error_set(err, ASHLAR_USAGE, "--mistakes: '%s' is none of width, condition, "
                                "clobber, store, syntax", mistakes) : ASHLAR_OK;
}

static ashlar_status run(const char **files, int n_files, struct buf *inputs, struct lessons *all,
                         ashlar_error *err)
{
    ashlar_status status = check_mistakes(err);
    for (int i = 0; i < n_files && status == ASHLAR_OK; i++) {
        status = os_read_file(files[i], &inputs[i], err);
        if (status == ASHLAR_OK)
            status = read_blocks(files[i], &inputs[i], all, err);
    }
    if (status == ASHLAR_OK) {
        drop_doubles(all);
        status = teach_all(all, err);
    }
    if (status == ASHLAR_OK && mistakes)
        status = plant_all(all, err);
    if (status == ASHLAR_OK)
        status = write_transcript(all, err);
    if (status == ASHLAR_OK)
        summarise(all);
    return status;
}

int main(int argc, char **argv)
{
    const char *files[64] = {"-"};
    int n_files = 0;
    bool help = false;
    ashlar_error err = {0};
    ashlar_status status =
        options_parse(&teacher_command, argc, argv, files, &n_files, &help, &err);
    if (help) {
        struct buf text;
        buf_init(&text, 1 << 16);
        options_help(&teacher_command, &text);
        fputs(text.data, stdout);
        buf_fini(&text);
        return 0;
    }
    n_files = n_files ? n_files : 1;
    struct buf inputs[64];
    struct lessons all = {0};
    for (int i = 0; i < 64; i++)
        buf_init(&inputs[i], MAX_INPUT);
    if (status == ASHLAR_OK)
        status = run(files, n_files, inputs, &all, &err);
    for (int i = 0; i < all.n; i++)
        free_lesson(all.at[i]);
    free(all.at);
    for (int i = 0; i < 64; i++)
        buf_fini(&inputs[i]);
    if (status != ASHLAR_OK)
        fprintf(stderr, "teacher: %s\n", err.message);
    return (int)status;
}
