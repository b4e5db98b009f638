/*
 * differential_build.c: see differential_build.h. Both versions are taken as assembler text, which
 * gets a table of the addresses of functions and data behind it, so that static ones are reached
 * without being made visible. What the file needs and neither it nor the known part of the C
 * library has is redirected (.weakref): functions to a trap, so that a vector which gets there is
 * discarded, data to zeroes.
 */
#include "ashcc/differential_build.h"

#include "ashcc/differential_vectors.h"
#include "ashcc/process.h"
#include "ashcc/ui.h"
#include "base/os.h"
#include "base/output.h"
#include "lego/share.h"
#include "lego/target.h"
#include "lego/type.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Data beyond these sizes are compared in part or not at all: a vector has to stay cheap. Objects
 * of other files get FOREIGN_BYTES of zeroes, whatever their type. */
enum { TEXT_MAX = 1 << 30, DATUM_MOST = 64 << 10, STATICS_MOST = 1 << 20, FOREIGN_BYTES = 4096,
       MADE_MOST = 4096 };

/* Undefined behaviour that cc can trap on. Not alignment and the sign bit of shifts, which ashcc
 * defines. */
static const char *const cc_options[] = {
    "-S",
    "-w",
    "-O0",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fstack-protector-all",
    "-fsanitize=signed-integer-overflow,integer-divide-by-zero,shift-exponent,float-cast-overflow,"
    "null,bounds,vla-bound,return,unreachable,bool,nonnull-attribute,returns-nonnull-attribute,"
    "builtin,pointer-overflow",
    "-fsanitize-undefined-trap-on-error",
};

/* Functions of the C library that depend on their arguments alone, or on what the harness gives
 * them. */
static const char *const known[] = {
    /* string.h, strings.h */
    "memcpy", "memmove", "memset", "memcmp", "memchr", "memrchr", "mempcpy", "memmem", "strlen",
    "strnlen", "strcpy", "strncpy", "stpcpy", "stpncpy", "strcat", "strncat", "strcmp", "strncmp",
    "strcasecmp", "strncasecmp", "strchr", "strrchr", "strchrnul", "strstr", "strcasestr", "strspn",
    "strcspn", "strpbrk", "strtok", "strtok_r", "strsep", "strdup", "strndup", "bcopy", "bzero",
    "bcmp", "ffs", "ffsl", "ffsll", "index", "rindex", "__strdup", "__strtok_r", "strcoll",
    /* ctype.h */
    "isalpha", "isdigit", "isalnum", "isspace", "isupper", "islower", "ispunct", "isprint",
    "isgraph", "iscntrl", "isxdigit", "isblank", "isascii", "toascii", "tolower", "toupper",
    "__ctype_b_loc", "__ctype_tolower_loc", "__ctype_toupper_loc",
    /* stdlib.h */
    "malloc", "calloc", "realloc", "free", "abs", "labs", "llabs", "div", "ldiv", "lldiv", "atoi",
    "atol", "atoll", "atof", "strtol", "strtoul", "strtoll", "strtoull", "strtod", "strtof",
    "strtold", "qsort", "bsearch", "rand", "srand", "random", "srandom", "rand_r", "abort",
    /* stdio.h: to standard output or a string */
    "printf", "vprintf", "puts", "putchar", "putc", "fputc", "fputs", "fprintf", "vfprintf",
    "fwrite", "fflush", "sprintf", "snprintf", "vsprintf", "vsnprintf", "sscanf", "__isoc99_sscanf",
    "stdout", "_IO_putc",
    /* math.h, complex functions left out; the f and l forms are found by their names */
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logb", "ilogb", "pow",
    "sqrt", "cbrt", "hypot", "fabs", "floor", "ceil", "round", "trunc", "rint", "nearbyint",
    "lround", "llround", "lrint", "llrint", "fmod", "remainder", "fmin", "fmax", "fdim", "modf",
    "frexp", "ldexp", "scalbn", "copysign", "nextafter", "fma", "erf", "erfc", "tgamma", "lgamma",
    "isnan", "isinf", "finite", "__isnan", "__isinf", "__finite", "__fpclassify", "__signbit",
    /* others */
    "__errno_location", "__stack_chk_fail", "__assert_fail", "htonl", "htons", "ntohl", "ntohs",
};

bool differential_is_known(const char *symbol)
{
    size_t length = strlen(symbol);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i]);
        bool form = length == n + 1 && (symbol[n] == 'f' || symbol[n] == 'l');
        if (strncmp(symbol, known[i], n) == 0 && (length == n || form))
            return true;
    }
    return false;
}

/* ---- words of assembler text ---- */

/* The texts are another compiler's, so symbols are looked for as words of any text, not as the
 * operands of instructions that we would have to know. */
static bool is_word_character(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$';
}

static const char *find_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += n)
        if ((p == text || !is_word_character(p[-1])) && !is_word_character(p[n]))
            return p;
    return NULL;
}

/* Defined in the text? Names with odd characters stand in quotes. */
static bool has_label(const char *text, const char *symbol)
{
    size_t n = strlen(symbol);
    for (const char *p = text; (p = find_word(p, symbol)) != NULL; p += n)
        if (p[n] == ':' || (p[n] == '"' && p[n + 1] == ':'))
            return true;
    return false;
}

/* cc's name of a static local, "base.N": the only one of that base; NULL: none or several. */
static const char *find_numbered(struct words *names, const char *text, const char *base)
{
    const char *found = NULL;
    size_t n = strlen(base), length = 0;
    for (const char *p = text; (p = strstr(p, base)) != NULL; p += n) {
        size_t digits = p[n] == '.' ? strspn(p + n + 1, "0123456789") : 0;
        if (!digits || (p > text && is_word_character(p[-1])) ||
            is_word_character(p[n + 1 + digits]))
            continue;
        if (found && (length != n + 1 + digits || strncmp(found, p, length) != 0))
            return NULL;
        found = p;
        length = n + 1 + digits;
    }
    return found ? words_keep(names, "%.*s", (int)length, found) : NULL;
}

/* ---- the plan ---- */

/* Why a function cannot be compared; NULL: it can. */
static const char *why_not(const struct ir_function *f, const struct report *report,
                           const char *cc_text)
{
    for (int i = 0; i < report->n_functions; i++)
        if (report->functions[i].by_cc &&
            strcmp(report->functions[i].symbol, f->decl->symbol) == 0)
            return "is compiled by cc";
    if (strcmp(f->decl->name, "main") == 0)
        return "is the program";
    const char *why = differential_obstacle(f->decl->type);
    if (!why && !has_label(cc_text, f->decl->symbol))
        why = "has no code of cc's";
    return why;
}

/*
 * What a call may change and both versions have for sure: string literals have no name in common.
 */
static bool is_mutable(const struct ir_data *d)
{
    return d->decl && !d->read_only && !d->decl->is_thread_local && d->object->size > 0;
}

/* Whole, so that a vector's value can be copied in; what the file initialises keeps that, as code
 * mostly relies on it. */
static bool is_made(const struct ir_data *d)
{
    return !d->bytes && !d->n_relocations && d->object->size <= MADE_MOST &&
           d->decl->type->size == d->object->size;
}

/* How many data of the file share this one's source name. */
static bool is_only_one(const struct ir_unit *unit, const struct ir_data *d)
{
    int n = 0;
    for (int i = 0; i < unit->n_data; i++)
        n += unit->data[i].decl && strcmp(unit->data[i].decl->name, d->decl->name) == 0;
    return n == 1;
}

/* A static local that is not found for sure in cc's text is left out: the function that it belongs
 * to is compared all the same, by what it returns and does elsewhere. */
static void plan_datum(struct differential_plan *plan, const struct ir_unit *unit,
                       const struct ir_data *d, const char *cc_text)
{
    struct differential_datum *datum = &plan->data[plan->n_data];
    *datum = (struct differential_datum){.ir = d, .symbol = d->object->name};
    if (!d->decl->is_local)
        datum->cc_symbol = find_word(cc_text, datum->symbol) ? datum->symbol : NULL;
    else if (is_only_one(unit, d))
        datum->cc_symbol = find_numbered(&plan->names, cc_text, d->decl->name);
    datum->size = d->object->size < DATUM_MOST ? d->object->size : DATUM_MOST;
    datum->is_made = is_made(d);
    if (!datum->cc_symbol || plan->statics_bytes + (size_t)datum->size > STATICS_MOST)
        return;
    plan->statics_bytes += (size_t)datum->size;
    plan->n_data++;
}

/* Functions and data in the order of the table that put_table() writes: entries are known by their
 * index there from here on. */
static ashlar_status make_plan(struct differential_plan *plan, const struct ir_unit *unit,
                               const struct report *report, const char *ours, const char *cc_text,
                               ashlar_error *err)
{
    plan->functions = calloc((size_t)unit->n_functions + 1, sizeof *plan->functions);
    plan->data = calloc((size_t)unit->n_data + 1, sizeof *plan->data);
    if (!plan->functions || !plan->data)
        return error_memory(err, sizeof *plan->data * (size_t)unit->n_data, "the functions");
    for (int i = 0; i < unit->n_functions; i++) {
        const struct ir_function *f = &unit->functions[i];
        if (f->refused && !has_label(ours, f->decl->symbol))
            continue; /* not used: it is in neither version */
        struct differential_function *to = &plan->functions[plan->n_functions++];
        *to = (struct differential_function){.ir = f, .symbol = f->decl->symbol, .call = -1};
        to->left_out = why_not(f, report, cc_text);
        if (!to->left_out)
            to->call = plan->n_calls++;
    }
    for (int i = 0; i < unit->n_data; i++)
        if (is_mutable(&unit->data[i]))
            plan_datum(plan, unit, &unit->data[i], cc_text);
    return ASHLAR_OK;
}

/* ---- texts ---- */

/* What both versions are given before and behind their text. */
static void put_redirections(const struct unit *unit, const char *ours, const char *cc_text,
                             struct buf *head, struct buf *stubs)
{
    for (int i = 0; i < unit->n; i++) {
        const struct decl *d = unit->decls[i];
        const char *symbol = d->symbol;
        /* What the versions define and what the harness's library has stays as it is. Thread-local
             * symbols cannot be redirected: the linker wants their kind. */
        bool here = d->is_defined || d->is_tentative || d->alias;
        if (here || !symbol || differential_is_known(symbol) || d->is_thread_local ||
            (d->storage != STORAGE_EXTERN && d->type->kind != TYPE_FUNCTION) ||
            (!find_word(ours, symbol) && !find_word(cc_text, symbol)))
            continue;
        if (has_label(ours, symbol) || strncmp(symbol, "__builtin_", 10) == 0)
            continue;
        buf_printf(head, "\t.weakref %s, ashcc_unknown_%d\n", symbol, i);
        if (d->type->kind == TYPE_FUNCTION)
            buf_printf(stubs, "void ashcc_unknown_%d(void) { __builtin_trap(); }\n", i);
        else
            buf_printf(stubs, "char ashcc_unknown_%d[%d] __attribute__((aligned(64)));\n", i,
                       FOREIGN_BYTES);
    }
}

static void put_table(const struct differential_plan *plan, bool of_cc, struct buf *out)
{
    buf_puts(out, "\n\t.section .data.rel.ro,\"aw\",@progbits\n\t.globl ashcc_table\n"
                  "\t.balign 8\nashcc_table:\n");
    for (int i = 0; i < plan->n_functions; i++)
        if (plan->functions[i].call >= 0)
            buf_printf(out, "\t.quad %s\n", plan->functions[i].symbol);
    for (int i = 0; i < plan->n_data; i++)
        buf_printf(out, "\t.quad %s\n", of_cc ? plan->data[i].cc_symbol : plan->data[i].symbol);
    buf_puts(out, "\t.quad 0\n");
}

/* By kind, not by name: the calls are C of their own, without the file's declarations. */
static const char *c_type(const struct type *t)
{
    static const char *const names[] = {
        [TYPE_VOID] = "void",        [TYPE_BOOL] = "_Bool",
        [TYPE_CHAR] = "char",        [TYPE_SCHAR] = "signed char",
        [TYPE_UCHAR] = "unsigned char", [TYPE_SHORT] = "short",
        [TYPE_USHORT] = "unsigned short", [TYPE_INT] = "int",
        [TYPE_UINT] = "unsigned int", [TYPE_LONG] = "long",
        [TYPE_ULONG] = "unsigned long", [TYPE_LLONG] = "long long",
        [TYPE_ULLONG] = "unsigned long long", [TYPE_FLOAT] = "float",
        [TYPE_DOUBLE] = "double",    [TYPE_LDOUBLE] = "long double",
        [TYPE_POINTER] = "void *",
    };
    return names[t->kind];
}

/* One caller per function, so that cc moves the arguments to where the ABI has them (System V
 * x86-64, 3.2.3): the harness knows bytes only. */
static void put_call(const struct differential_function *f, struct buf *out)
{
    const struct type *t = f->ir->decl->type;
    bool returns = !type_is_void(t->base);
    buf_printf(out, "static void call_%d(const struct differential_value *a, "
                    "struct differential_value *value)\n{\n    ",
               f->call);
    if (returns)
        buf_printf(out, "*(%s *)value->bytes = ", c_type(t->base));
    buf_printf(out, "((%s (*)(", c_type(t->base));
    for (int i = 0; i < t->n; i++)
        buf_printf(out, "%s%s", i ? ", " : "", c_type(t->params[i]));
    buf_printf(out, "%s))ashcc_table[%d])(", t->n ? "" : "void", f->call);
    for (int i = 0; i < t->n; i++)
        buf_printf(out, "%s*(%s *)a[%d].bytes", i ? ", " : "", c_type(t->params[i]), i);
    buf_puts(out, ");\n}\n");
}

static bool returns_text(const struct type *function)
{
    const struct type *t = function->base;
    return t->kind == TYPE_POINTER && (t->base->kind == TYPE_CHAR || t->base->kind == TYPE_UCHAR ||
                                       t->base->kind == TYPE_SCHAR);
}

/* The C file that both programs are linked with: callers, sizes of data, where text is returned. */
static void put_calls(const struct differential_plan *plan, struct buf *out)
{
    buf_puts(out, "#include \"exchange.h\"\nextern void *const ashcc_table[];\n");
    for (int i = 0; i < plan->n_functions; i++)
        if (plan->functions[i].call >= 0)
            put_call(&plan->functions[i], out);
    buf_puts(out, "void (*const ashcc_calls[])(const struct differential_value *, "
                  "struct differential_value *) = {\n");
    for (int i = 0; i < plan->n_calls; i++)
        buf_printf(out, "    call_%d,\n", i);
    buf_puts(out, "    0};\nconst unsigned char ashcc_returns_text[] = {");
    for (int i = 0; i < plan->n_functions; i++)
        if (plan->functions[i].call >= 0)
            buf_printf(out, "%d, ", returns_text(plan->functions[i].ir->decl->type));
    buf_puts(out, "0};\nconst unsigned long ashcc_sizes[] = {");
    for (int i = 0; i < plan->n_calls; i++)
        buf_puts(out, "0, ");
    for (int i = 0; i < plan->n_data; i++)
        buf_printf(out, "%lld, ", (long long)plan->data[i].size);
    buf_puts(out, "0};\nconst unsigned char ashcc_is_made[] = {");
    for (int i = 0; i < plan->n_calls + plan->n_data; i++)
        buf_printf(out, "%d, ", i >= plan->n_calls && plan->data[i - plan->n_calls].is_made);
    buf_printf(out, "0};\nconst int ashcc_entries = %d;\n", plan->n_calls + plan->n_data);
}

/* ---- cc ---- */

static ashlar_status run_cc(const struct differential_options *o, struct words *command,
                            const char *what, ashlar_error *err)
{
    int code;
    ashlar_status status = process_run(command, (struct process_mode){.show = o->show}, &code, err);
    if (status == ASHLAR_OK && code != 0)
        status = error_set(err, ASHLAR_FAILED, "%s: --differential: %s failed (%s, status %d)",
                           o->source, what, o->cc, code);
    words_fini(command);
    return status;
}

static ashlar_status compile_by_cc(const struct differential_options *o, struct buf *text,
                                   ashlar_error *err)
{
    struct words command = {0};
    words_add(&command, o->cc);
    words_add_all(&command, o->read);
    for (size_t i = 0; i < sizeof cc_options / sizeof cc_options[0]; i++)
        words_add(&command, cc_options[i]);
    words_add(&command, "-x");
    words_add(&command, "cpp-output");
    words_add(&command, o->text_path);
    words_add(&command, "-o");
    const char *path = words_printf(&command, "%s/differential-cc.s", o->folder);
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", path);
    ashlar_status status = run_cc(o, &command, "cc's version", err);
    return status == ASHLAR_OK ? os_read_file(kept, text, err) : status;
}

static ashlar_status write_text(const char *path, const struct buf *text, ashlar_error *err)
{
    return text->failed ? error_memory(err, text->max, path) : output_write_file(path, text, err);
}

/* One version with the harness and the table of calls, as a program. */
static ashlar_status link_program(const struct differential_options *o, const char *text,
                                  const struct buf *head, const struct buf *table,
                                  const char *harness, const char *program, ashlar_error *err)
{
    struct words command = {0};
    struct buf all;
    buf_init(&all, TEXT_MAX);
    buf_append(&all, head->data ? head->data : "", head->length);
    buf_puts(&all, text);
    buf_append(&all, table->data ? table->data : "", table->length);
    words_add(&command, o->cc);
    words_add(&command, "-w");
    words_add(&command, "-O1");
    words_add(&command, "-fno-builtin");
    words_printf(&command, "-I%.*s", (int)(strrchr(harness, '/') - harness), harness);
    const char *path = words_printf(&command, "%s.s", program);
    words_printf(&command, "%s/differential-calls.c", o->folder);
    words_add(&command, harness);
    words_add(&command, "-o");
    words_add(&command, program);
    words_add(&command, "-lm");
    ashlar_status status = write_text(path, &all, err);
    buf_fini(&all);
    if (status == ASHLAR_OK)
        return run_cc(o, &command, "building a version", err);
    words_fini(&command);
    return status;
}

static ashlar_status link_both(const struct differential_options *o, const struct ir_unit *unit,
                               struct differential_plan *plan, const char *ours, const char *theirs,
                               ashlar_error *err)
{
    struct buf head, tables[2], calls;
    char harness[4096], path[4096];
    struct buf *all[] = {&head, &tables[0], &tables[1], &calls};
    for (int i = 0; i < 4; i++)
        buf_init(all[i], TEXT_MAX);
    put_calls(plan, &calls);
    put_redirections(unit->unit, ours, theirs, &head, &calls);
    put_table(plan, false, &tables[0]);
    put_table(plan, true, &tables[1]);
    snprintf(plan->ours, sizeof plan->ours, "%s/differential-0", o->folder);
    snprintf(plan->theirs, sizeof plan->theirs, "%s/differential-1", o->folder);
    snprintf(path, sizeof path, "%s/differential-calls.c", o->folder);
    ashlar_status status = ASHLAR_OK;
    if (!share_find("differential/harness.c", harness, sizeof harness))
        status = error_set(err, ASHLAR_FAILED, "differential/harness.c is not installed");
    if (status == ASHLAR_OK)
        status = write_text(path, &calls, err);
    if (status == ASHLAR_OK)
        status = link_program(o, ours, &head, &tables[0], harness, plan->ours, err);
    if (status == ASHLAR_OK)
        status = link_program(o, theirs, &head, &tables[1], harness, plan->theirs, err);
    for (int i = 0; i < 4; i++)
        buf_fini(all[i]);
    return status;
}

ashlar_status differential_build(const struct differential_options *options,
                                 const struct ir_unit *unit, const struct report *report,
                                 const struct buf *assembly, struct differential_plan *plan,
                                 ashlar_error *err)
{
    struct buf theirs;
    *plan = (struct differential_plan){0};
    buf_init(&theirs, TEXT_MAX);
    const char *ours = assembly->length ? assembly->data : "";
    ashlar_status status = compile_by_cc(options, &theirs, err);
    if (status == ASHLAR_OK)
        status = make_plan(plan, unit, report, ours, theirs.length ? theirs.data : "", err);
    if (status == ASHLAR_OK && plan->n_calls)
        status = link_both(options, unit, plan, ours, theirs.length ? theirs.data : "", err);
    if (status == ASHLAR_OK && plan->names.failed)
        status = error_memory(err, 0, "names");
    buf_fini(&theirs);
    return status;
}

void differential_plan_fini(struct differential_plan *plan)
{
    free(plan->functions);
    free(plan->data);
    words_fini(&plan->names);
}
