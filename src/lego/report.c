/*
 * report.c: see report.h. Only renders: what is accepted was decided in compile.c.
 */
#include "lego/report.h"

#include "base/os.h"
#include "lego/json_line.h"

#include <string.h>

/* The largest source that is read for --explain; beyond it lines are left out, nothing else. */
enum { SOURCE_MAX = 64 << 20 };

/* In the order of the enums in report.h; both are part of the JSON's interface. */
static const char *const outcome_names[] = {"accepted", "split", "rejected", "skipped"};
static const char *const function_names[] = {"ok", "refused", "rejected"};

void report_total(const struct report *report, struct report_totals *out)
{
    memset(out, 0, sizeof *out);
    out->functions = report->n_functions;
    for (int i = 0; i < report->n_functions; i++) {
        out->functions_by_cc += report->functions[i].by_cc;
        out->functions_failed += report->functions[i].outcome != FUNCTION_OK;
    }
    for (int i = 0; i < report->n_blocks; i++) {
        const struct report_block *b = report->blocks[i];
        bool accepted = b->outcome == REPORT_ACCEPTED;
        out->samples += b->samples;
        out->repairs += b->repairs;
        out->rejected += b->outcome == REPORT_REJECTED;
        /* what it was split into counts instead; its samples were spent all the same */
        if (b->outcome == REPORT_SPLIT)
            continue;
        out->blocks++;
        out->pieces += b->copies;
        out->accepted += accepted;
        out->from_cache += accepted && b->from_cache;
        out->by_level[b->verdict.level] += accepted;
        bool tested = accepted && b->verdict.level == VERIFY_TESTED;
        if (tested && (out->least_vectors == 0 || b->verdict.vectors < out->least_vectors))
            out->least_vectors = b->verdict.vectors;
    }
}

/* ---- JSON ---- */

/* Keys are an interface: benches and tools read them. The finding of a rejected block is its best
 * attempt's; of an accepted one there is none worth telling. */
static json_t *block_json(const struct report_block *b, struct buf *out)
{
    const struct verdict *v = &b->verdict;
    bool accepted = b->outcome == REPORT_ACCEPTED;
    json_t *o = json_object();
    json_line_set(out, o, "function", json_line_string(b->function));
    json_line_set(out, o, "file", json_line_string(b->at.file));
    json_line_set(out, o, "line", json_integer(b->at.line));
    json_line_set(out, o, "granularity", json_string(granularity_name(b->granularity)));
    json_line_set(out, o, "outcome", json_string(outcome_names[b->outcome]));
    json_line_set(out, o, "verdict", json_string(verify_level_name(v->level)));
    json_line_set(out, o, "vectors", json_integer(v->vectors));
    json_line_set(out, o, "discarded", json_integer(v->discarded));
    json_line_set(out, o, "branch_outcomes", json_integer(v->outcomes));
    json_line_set(out, o, "branch_outcomes_seen", json_integer(v->outcomes_seen));
    if (!accepted && v->message[0]) {
        json_line_set(out, o, "failed_at", json_string(verify_level_name(v->failed_at)));
        json_line_set(out, o, "message", json_line_string(v->message));
    }
    json_line_set(out, o, "from_cache", json_boolean(b->from_cache));
    json_line_set(out, o, "translator", json_line_string(b->translator));
    json_line_set(out, o, "provenance", json_line_string(b->provenance));
    json_line_set(out, o, "copies", json_integer(b->copies));
    json_line_set(out, o, "samples", json_integer(b->samples));
    json_line_set(out, o, "repairs", json_integer(b->repairs));
    json_line_set(out, o, "translate_seconds", json_real(b->translate_seconds));
    json_line_set(out, o, "verify_seconds", json_real(b->verify_seconds));
    json_line_set(out, o, "key", json_line_string(b->key));
    json_line_set(out, o, "block", json_line_string(b->text));
    json_line_set(out, o, "fragment", json_line_string(b->fragment));
    return o;
}

static json_t *function_json(const struct report_function *f, struct buf *out)
{
    json_t *o = json_object();
    json_line_set(out, o, "name", json_line_string(f->name));
    json_line_set(out, o, "file", json_line_string(f->at.file));
    json_line_set(out, o, "line", json_integer(f->at.line));
    json_line_set(out, o, "outcome", json_string(function_names[f->outcome]));
    json_line_set(out, o, "by_cc", json_boolean(f->by_cc));
    if (f->why)
        json_line_set(out, o, "why", json_line_string(f->why));
    return o;
}

static json_t *totals_json(const struct report *report, struct buf *out)
{
    struct report_totals t;
    report_total(report, &t);
    json_t *levels = json_object(), *o = json_object();
    for (int i = VERIFY_LINTED; i <= VERIFY_PROVED; i++)
        json_line_set(out, levels, verify_level_name((enum verify_level)i),
                      json_integer(t.by_level[i]));
    json_line_set(out, o, "functions", json_integer(t.functions));
    json_line_set(out, o, "functions_failed", json_integer(t.functions_failed));
    json_line_set(out, o, "functions_by_cc", json_integer(t.functions_by_cc));
    json_line_set(out, o, "pieces", json_integer(t.pieces));
    json_line_set(out, o, "blocks", json_integer(t.blocks));
    json_line_set(out, o, "accepted", json_integer(t.accepted));
    json_line_set(out, o, "from_cache", json_integer(t.from_cache));
    json_line_set(out, o, "rejected", json_integer(t.rejected));
    json_line_set(out, o, "levels", levels);
    json_line_set(out, o, "least_vectors", json_integer(t.least_vectors));
    json_line_set(out, o, "samples", json_integer(t.samples));
    json_line_set(out, o, "repairs", json_integer(t.repairs));
    return o;
}

void report_json(const struct report *report, struct buf *out)
{
    json_t *o = json_object(), *blocks = json_array(), *functions = json_array();
    for (int i = 0; i < report->n_blocks; i++)
        json_line_add(out, blocks, block_json(report->blocks[i], out));
    for (int i = 0; i < report->n_functions; i++)
        json_line_add(out, functions, function_json(&report->functions[i], out));
    json_line_set(out, o, "source", json_line_string(report->source));
    json_line_set(out, o, "seconds", json_real(report->seconds));
    if (report->refused_file)
        json_line_set(out, o, "left_to_cc", json_line_string(report->refused_file));
    json_line_set(out, o, "totals", totals_json(report, out));
    json_line_set(out, o, "functions", functions);
    json_line_set(out, o, "blocks", blocks);
    json_line_append(out, o);
}

/* ---- text ---- */

/* The text of a source file that was read last: blocks come file by file. */
struct source {
    char name[4096];
    struct buf text;
};

/* The source line a block came from. Lines and files are those of line markers: the file may be
 * gone or changed by now, and then the line is left out. */
static void explain_source(struct source *source, struct location at, struct buf *out)
{
    if (!at.file || strlen(at.file) >= sizeof source->name)
        return;
    if (strcmp(source->name, at.file) != 0) {
        strcpy(source->name, at.file);
        buf_clear(&source->text);
        if (os_read_file(at.file, &source->text, NULL) != ASHLAR_OK)
            buf_clear(&source->text);
    }
    const char *line = source->text.length ? source->text.data : "";
    for (int i = 1; i < at.line && line; i++) {
        line = strchr(line, '\n');
        line += line != NULL;
    }
    if (line && *line)
        buf_printf(out, "  | %.*s\n", (int)strcspn(line, "\n"), line);
}

/* The text with every line set in; a missing final newline is added. */
static void indent(struct buf *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        buf_printf(out, "    %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* How far the block came, in the words of docs/verify.md: a level is never called more than
 * it is. */
static void explain_verdict(const struct report_block *b, struct buf *out)
{
    const struct verdict *v = &b->verdict;
    if (b->outcome == REPORT_ACCEPTED) {
        buf_printf(out, "  verdict: %s", verify_level_name(v->level));
        if (v->level == VERIFY_TESTED)
            buf_printf(out, " %d", v->vectors);
        if (v->discarded)
            buf_printf(out, " (%d more states discarded: undefined in C)", v->discarded);
        if (v->outcomes)
            buf_printf(out, ", %d of %d branch outcomes taken", v->outcomes_seen, v->outcomes);
        buf_puts(out, "\n");
    } else {
        buf_printf(out, "  verdict: %s",
                   b->outcome == REPORT_SKIPPED ? "skipped: the function had failed already"
                   : b->outcome == REPORT_SPLIT ? "not accepted, went on in finer blocks"
                                                : "not accepted");
        if (b->fragment && v->message[0])
            buf_printf(out, "; best attempt failed at %s", verify_level_name(v->failed_at));
        buf_puts(out, "\n");
        if (v->message[0])
            indent(out, v->message);
    }
}

static void explain_block(const struct report_block *b, struct source *source, struct buf *out)
{
    buf_printf(out, "%s:%d:%d: in %s: a %s", b->at.file ? b->at.file : "?", b->at.line,
               b->at.column, b->function, granularity_name(b->granularity));
    if (b->copies > 1)
        buf_printf(out, ", used %d times", b->copies);
    buf_printf(out, ", key %s\n", b->key);
    explain_source(source, b->at, out);
    indent(out, b->text);
    if (b->fragment) {
        buf_printf(out, "  fragment by %s:\n", b->provenance[0] ? b->provenance : "?");
        indent(out, b->fragment);
    } else if (b->provenance[0]) {
        buf_printf(out, "  no fragment: %s\n", b->provenance);
    }
    explain_verdict(b, out);
    buf_printf(out, "  %d sample%s, %d repair%s, %.3f s translating, %.3f s checking\n\n",
               b->samples, b->samples == 1 ? "" : "s", b->repairs, b->repairs == 1 ? "" : "s",
               b->translate_seconds, b->verify_seconds);
}

void report_explain(const struct report *report, struct buf *out)
{
    struct source source = {.name = ""};
    buf_init(&source.text, SOURCE_MAX);
    for (int i = 0; i < report->n_blocks; i++)
        explain_block(report->blocks[i], &source, out);
    for (int i = 0; i < report->n_functions; i++) {
        const struct report_function *f = &report->functions[i];
        if (f->outcome != FUNCTION_OK)
            buf_printf(out, "%s: %s: %s%s\n", f->name, function_names[f->outcome],
                       f->why ? f->why : "?", f->by_cc ? " (compiled by cc)" : "");
    }
    if (report->refused_file)
        buf_printf(out, "%s: the whole file was compiled by cc: %s\n", report->source,
                   report->refused_file);
    buf_fini(&source.text);
}

/* One line for a terminal: counts first, then what they rest on. */
void report_line(const struct report *report, struct buf *out)
{
    struct report_totals t;
    report_total(report, &t);
    buf_printf(out, "%s: %d function%s, %d block%s (%d distinct): %d accepted", report->source,
               t.functions, t.functions == 1 ? "" : "s", t.pieces, t.pieces == 1 ? "" : "s",
               t.blocks, t.accepted);
    /* the strongest claim first */
    for (int i = VERIFY_PROVED; i >= VERIFY_LINTED; i--) {
        if (t.by_level[i] && i == VERIFY_TESTED)
            buf_printf(out, ", %d tested with at least %d vectors", t.by_level[i], t.least_vectors);
        else if (t.by_level[i])
            buf_printf(out, ", %d %s", t.by_level[i], verify_level_name((enum verify_level)i));
    }
    if (t.from_cache)
        buf_printf(out, ", %d from the cache", t.from_cache);
    if (t.rejected)
        buf_printf(out, "; %d not accepted", t.rejected);
    if (t.functions_by_cc)
        buf_printf(out, "; %d function%s by cc", t.functions_by_cc,
                   t.functions_by_cc == 1 ? "" : "s");
    if (report->refused_file)
        buf_puts(out, "; the whole file by cc");
    buf_printf(out, "; %.1f s", report->seconds);
}
