/*
 * compose.c: joins accepted fragments and the skeleton into an assembler file. Targets write the
 * instructions of the skeleton; here are names, order, sections of code, comments, line numbers.
 *
 * Checked at the join, for every function: the frame (frame_check), that every leaf block has a
 * fragment, and that the pieces hold each skeleton instruction that can be reached once and in
 * order.
 */
#include "lego/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lego/fragment.h"

/** What lives as long as the assembler file. */
struct session {
    const struct target *target;
    const struct ir_unit *unit;
    const struct cut *cuts; /* parallel to its functions */
    bool debug;
    const char **files; /* of .file lines (n_files) */
    int n_files;
    int next_local;         /* goes on from function to function */
    bool *constants_named;  /* likewise */
    struct buf *out;
    struct heap *heap;
};

static _Noreturn void internal(struct heap *h, const char *function, const char *what)
{
    error_set(h->error, ASHLAR_FAILED, "internal error: %s: %s", function, what);
    heap_leave(h, h->error);
}

/* ---- names ---- */

const char *compose_label(const struct compose *c, int label, char out[32])
{
    snprintf(out, 32, ".L%d_%d", c->serial, label);
    return out;
}

/** Whether assemblers take the symbol without quotes; bytes above ASCII are letters to them (C11
 * annex D's). */
static bool is_plain(const char *symbol)
{
    if (!*symbol || (*symbol >= '0' && *symbol <= '9') || *symbol == '$')
        return false;
    for (const char *s = symbol; *s; s++) {
        unsigned char ch = (unsigned char)*s;
        bool letter = (ch | 32) >= 'a' && (ch | 32) <= 'z';
        if (!letter && !(ch >= '0' && ch <= '9') && ch < 0x80 && !strchr("_.$", ch))
            return false;
    }
    return true;
}

const char *compose_symbol(struct heap *h, const char *symbol, struct location at)
{
    if (is_plain(symbol))
        return symbol;
    if (!*symbol || *symbol == '$' || strpbrk(symbol, "\"\\\n"))
        heap_fail(h, at, "the assembler takes no symbol '%s'", symbol);
    return heap_printf(h, "\"%s\"", symbol);
}

const char *compose_name(struct compose *c, const struct ir_object *o)
{
    switch (o->place) {
    case IR_LOCAL: case IR_PARAMETER: case IR_TEMPORARY:
        return c->homes[o->id];
    case IR_CONSTANT:
        c->constants_named[o->offset] = true; /* emit_unit numbered them */
        return heap_printf(c->heap, ".Lk%d", (int)o->offset);
    case IR_STATIC: case IR_FUNCTION:
        break;
    }
    if (!o->decl && strstr(o->name, "@GOTPCREL")) { /* bind.c's */
        const char *symbol = heap_copy(c->heap, o->name, (size_t)(strchr(o->name, '@') - o->name));
        return heap_printf(c->heap, "%s@GOTPCREL",
                           compose_symbol(c->heap, symbol, c->function->decl->at));
    }
    return compose_symbol(c->heap, o->name, c->function->decl->at);
}

/* ---- fragments ---- */

struct naming {
    struct compose *compose;
    const struct block *block;
    char label[32];
};

/* The text of a block's operand or exit in this function; NULL: the block has none of that name. */
static const char *name_operand(void *context, const char *operand)
{
    struct naming *n = context;
    if (operand[0] == 'x') {
        int exit = atoi(operand + 1);
        return exit >= 1 && exit <= n->block->n_exits
                   ? compose_label(n->compose, n->block->exits[exit - 1], n->label)
                   : NULL;
    }
    for (int i = 0; i < n->block->n_operands; i++) {
        const struct block_operand *o = &n->block->operands[i];
        if (strcmp(o->name, operand) == 0)
            return o->kind == OPERAND_LITERAL
                       ? heap_printf(n->compose->heap, "%lld", (long long)o->value)
                       : compose_name(n->compose, o->object);
    }
    return NULL;
}

static const char *c_name(void *context, const struct ir_object *o)
{
    (void)context;
    return o->name;
}

static const char *c_literal(void *context, const struct ir_expr *e)
{
    struct compose *c = context;
    return heap_printf(c->heap, "%lld", (long long)e->value);
}

static const char *c_label(void *context, int label)
{
    struct compose *c = context;
    return heap_printf(c->heap, "L%d", label);
}

/* The block's C as comment lines above its code. */
static void comment_block(struct compose *c, const struct block *b)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    struct ir_printer printer = {c_name, c_literal, c_label, c, &text};
    for (int i = 0; i < b->n_code; i++) {
        buf_clear(&text);
        ir_print_instr(&printer, &b->code[i]);
        for (char *line = text.data ? strtok(text.data, "\n") : NULL; line;
             line = strtok(NULL, "\n"))
            buf_printf(c->out, "\t# %s\n", line);
    }
    buf_fini(&text);
}

static void emit_fragment(struct compose *c, const struct block *b, const char *text)
{
    struct fragment fragment = {0};
    struct naming naming = {.compose = c, .block = b};
    /* it was accepted as text (the cache holds text): the parser is the one way in */
    if (fragment_parse(text, strlen(text), &fragment, c->heap->error))
        internal(c->heap, b->function, "an accepted fragment cannot be read");
    comment_block(c, b);
    bool ok = fragment_instantiate(&fragment, name_operand, &naming, c->next_local++, c->out);
    fragment_fini(&fragment);
    if (!ok)
        internal(c->heap, b->function, "a fragment cannot be placed");
}

/* ---- lines ---- */

static int file_number(struct session *s, const char *file)
{
    for (int i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i], file) == 0)
            return i + 1;
    heap_grow(s->heap, &s->files, s->n_files, sizeof *s->files);
    s->files[s->n_files++] = file;
    buf_printf(s->out, "\t.file %d \"%s\"\n", s->n_files, file);
    return s->n_files;
}

static void emit_line(struct session *s, struct location at)
{
    if (!s->debug || !at.file || at.line <= 0 || strpbrk(at.file, "\"\\\n"))
        return;
    int file = file_number(s, at.file);
    buf_printf(s->out, "\t.loc %d %d %d\n", file, at.line, at.column > 0 ? at.column : 0);
}

/* ---- functions ---- */

static bool is_skeleton(enum ir_code code)
{
    return code == IR_CALL || code == IR_RETURN || code == IR_SWITCH || code == IR_VA_START;
}

/** The skeleton instructions that the pieces must hold, in order. */
struct checklist {
    const struct ir_function *function;
    bool *reached; /* (n_code) */
    int next;

    /* while reached is filled: */
    int *label_at; /* (n_labels) */
    int *open;     /* (n_open) labels whose code is still to be followed, each once */
    int n_open;
    bool *seen;    /* (n_labels) */
};

static void note_label(struct checklist *list, int label)
{
    if (!list->seen[label])
        list->open[list->n_open++] = label;
    list->seen[label] = true;
}

static void follow(struct checklist *list, int from)
{
    const struct ir_function *f = list->function;
    for (int i = from; i < f->n_code && !list->reached[i]; i++) {
        const struct ir_instr *instr = &f->code[i];
        list->reached[i] = true;
        if (instr->code == IR_JUMP || instr->code == IR_BRANCH || instr->code == IR_SWITCH)
            note_label(list, instr->label);
        for (int k = 0; instr->code == IR_SWITCH && k < instr->n_cases; k++)
            note_label(list, instr->cases[k].label);
        if (instr->code == IR_JUMP || instr->code == IR_SWITCH || instr->code == IR_RETURN)
            return;
    }
}

static struct checklist make_checklist(struct heap *h, const struct ir_function *f)
{
    size_t labels = (size_t)f->n_labels + 1;
    struct checklist list = {.function = f};
    list.reached = heap_take(h, (size_t)f->n_code + 1);
    list.label_at = heap_take(h, labels * sizeof *list.label_at);
    list.open = heap_take(h, labels * sizeof *list.open);
    list.seen = heap_take(h, labels);
    /* a label that is not set leads to the end, which ir_check excludes */
    for (int i = 0; i < f->n_labels; i++)
        list.label_at[i] = f->n_code;
    for (int i = 0; i < f->n_code; i++)
        if (f->code[i].code == IR_LABEL)
            list.label_at[f->code[i].label] = i;
    follow(&list, 0);
    while (list.n_open)
        follow(&list, list.label_at[list.open[--list.n_open]]);
    return list;
}

/** Cutting may have copied an instruction: what it consists of are the same nodes then. */
static bool is_same(const struct ir_instr *a, const struct ir_instr *b)
{
    return a == b || (a->code == b->code && a->callee == b->callee && a->value == b->value &&
                      a->object == b->object && a->cases == b->cases);
}

/* Takes the instruction i (NULL: the end) off the list; only what is never reached may be left out.
 */
static bool check_off(struct checklist *list, const struct ir_instr *i)
{
    const struct ir_function *f = list->function;
    for (; list->next < f->n_code; list->next++) {
        const struct ir_instr *expected = &f->code[list->next];
        if (!is_skeleton(expected->code))
            continue;
        if (i && is_same(expected, i)) {
            list->next++;
            return true;
        }
        if (list->reached[list->next])
            return false;
    }
    return !i;
}

static void emit_pieces(struct session *s, struct compose *c, const struct piece *pieces, int n,
                        struct checklist *list)
{
    for (int i = 0; i < n; i++) {
        const struct piece *p = &pieces[i];
        if (p->kind == PIECE_SKELETON) {
            if (is_skeleton(p->skeleton->code) && !check_off(list, p->skeleton))
                internal(c->heap, c->function->decl->name, "a piece is out of order");
            emit_line(s, p->skeleton->at);
            s->target->skeleton(c, p->skeleton);
        } else if (p->fragment) {
            emit_line(s, p->block->at);
            emit_fragment(c, p->block, p->fragment);
        } else if (p->n_finer) {
            emit_pieces(s, c, p->finer, p->n_finer, list);
        } else {
            internal(c->heap, c->function->decl->name, "a block has no accepted fragment");
        }
    }
}

/* ---- homes ---- */

static int by_name(const void *a, const void *b)
{
    const struct ir_object *x = *(struct ir_object *const *)a, *y = *(struct ir_object *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/** A symbol for each object in the frame, of its name where only one has it: a variable may be
 * called like a temporary. Being .L, they do not reach the object file. */
static void name_homes(struct compose *c)
{
    const struct ir_function *f = c->function;
    struct ir_object **sorted = heap_take(c->heap, (size_t)(f->n_objects + 1) * sizeof *sorted);
    int n = 0;
    c->homes = heap_take(c->heap, (size_t)(f->n_objects + 1) * sizeof *c->homes);
    for (int i = 0; i < f->n_objects; i++)
        sorted[n++] = f->objects[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    for (int i = 0; i < n; i++) {
        const struct ir_object *o = sorted[i];
        bool alone = (i == 0 || strcmp(sorted[i - 1]->name, o->name) != 0) &&
                     (i + 1 == n || strcmp(sorted[i + 1]->name, o->name) != 0);
        c->homes[o->id] = alone && is_plain(o->name)
                              ? heap_printf(c->heap, ".Lv%d_%s", c->serial, o->name)
                              : heap_printf(c->heap, ".Lv%d_%d", c->serial, o->id);
    }
}

/** Where everything below the frame pointer is: what code says by name, and the target's own. */
static void emit_homes(const struct compose *c)
{
    const struct ir_function *f = c->function;
    for (int i = 0; i < f->n_objects; i++)
        if (f->objects[i]->offset)
            buf_printf(c->out, "\t.set %s, %lld\n", c->homes[i], (long long)f->objects[i]->offset);
    for (int i = 0; i < c->frame.n; i++)
        if (!c->frame.slots[i].object)
            buf_printf(c->out, "\t# %lld: %s\n", (long long)c->frame.slots[i].offset,
                       c->frame.slots[i].name);
}

static void open_function(struct session *s, const struct decl *d, const char *symbol)
{
    if (d->section)
        buf_printf(s->out, "\t.section %s,\"ax\",@progbits\n", d->section);
    else
        buf_puts(s->out, "\t.text\n");
    if (!d->is_internal) /* an inline function that others may define too gives way to theirs */
        buf_printf(s->out, "\t%s %s\n", d->is_weak || d->is_inline ? ".weak" : ".globl", symbol);
    buf_printf(s->out, "\t.p2align %d\n\t.type %s, @function\n%s:\n", d->align > 16 ? 6 : 4, symbol,
               symbol);
}

/** The order matters: lives and names before the layout, which is checked before anything of it is
 * written. */
static void emit_function(struct session *s, const struct ir_function *f, const struct cut *cut,
                          int serial)
{
    const char *symbol = compose_symbol(s->heap, f->decl->symbol, f->decl->at);
    struct compose c = {.function = f, .serial = serial, .out = s->out, .heap = s->heap,
                        .pic = s->unit->pic, .next_local = s->next_local,
                        .constants_named = s->constants_named};
    name_homes(&c);
    c.frame.lives = frame_lives(s->heap, f, cut);
    s->target->layout(&c);
    const char *wrong = frame_check(s->heap, &c.frame);
    if (wrong)
        internal(s->heap, f->decl->name, wrong);
    buf_puts(s->out, "\n");
    open_function(s, f->decl, symbol);
    buf_puts(s->out, "\t.cfi_startproc\n");
    emit_line(s, f->decl->at);
    emit_homes(&c);
    s->target->prologue(&c);
    struct checklist list = make_checklist(s->heap, f);
    emit_pieces(s, &c, cut->pieces, cut->n, &list);
    if (!check_off(&list, NULL))
        internal(s->heap, f->decl->name, "a piece is missing");
    s->target->epilogue(&c);
    s->next_local = c.next_local;
    buf_printf(s->out, "\t.cfi_endproc\n\t.size %s, .-%s\n", symbol, symbol);
}

/* ---- units ---- */

/* Weak symbols that are only used: a program may run without them. */
static void emit_weak(const struct session *s)
{
    const struct unit *unit = s->unit->unit;
    for (int i = 0; i < unit->n; i++) {
        const struct decl *d = unit->decls[i];
        if (d->is_weak && !d->is_defined && d->symbol)
            buf_printf(s->out, "\t.weak %s\n", compose_symbol(s->heap, d->symbol, d->at));
    }
}

static bool is_defined_here(const struct unit *unit, const char *symbol)
{
    for (int i = 0; i < unit->n; i++)
        if (unit->decls[i]->is_defined && strcmp(unit->decls[i]->symbol, symbol) == 0)
            return true;
    return false;
}

static void emit_alias(const struct session *s, const struct decl *d)
{
    const char *symbol = compose_symbol(s->heap, d->symbol, d->at);
    if (!is_defined_here(s->unit->unit, d->alias))
        heap_fail(s->heap, d->at, "'%s' is an alias of '%s', which is not defined here", d->name,
                  d->alias);
    if (!d->is_internal && !d->is_weak)
        buf_printf(s->out, "\t.globl %s\n", symbol);
    buf_printf(s->out, "\t.set %s, %s\n", symbol, compose_symbol(s->heap, d->alias, d->at));
}

/* One entry of .init_array or .fini_array, which the linker sorts by their priorities. */
static void emit_call(const struct session *s, const struct decl *d, const char *array,
                      int priority)
{
    enum { LAST = 65535 };
    if (!priority)
        return;
    buf_printf(s->out, "\t.section %s", array);
    /* no priority given: behind all that have one */
    if (priority < LAST)
        buf_printf(s->out, ".%05d", priority);
    buf_printf(s->out, ",\"aw\"\n\t.balign 8\n\t.quad %s\n",
               compose_symbol(s->heap, d->symbol, d->at));
}

/* What attributes ask for beside code and data. */
static void emit_attributes(const struct session *s)
{
    const struct unit *unit = s->unit->unit;
    for (int i = 0; i < unit->n; i++) {
        const struct decl *d = unit->decls[i];
        if (d->alias)
            emit_alias(s, d);
        if (d->is_defined && d->type->kind == TYPE_FUNCTION) {
            emit_call(s, d, ".init_array", d->before_main);
            emit_call(s, d, ".fini_array", d->after_main);
        }
    }
}

static void emit_unit(void *context)
{
    struct session *s = context;
    const struct ir_unit *unit = s->unit;
    const char *source = unit->unit->source;
    /* constants have no place in a frame: the field numbers them for compose_name() */
    for (int i = 0; i < unit->n_constants; i++)
        unit->constants[i]->offset = i;
    s->constants_named = heap_take(s->heap, (size_t)unit->n_constants * sizeof(bool));
    if (source && !strpbrk(source, "\"\\\n"))
        buf_printf(s->out, "\t.file \"%s\"\n", source);
    for (int i = 0; i < unit->unit->n_asms; i++)
        buf_printf(s->out, "\t.text\n%s\n", unit->unit->asms[i]);
    for (int i = 0; i < unit->n_functions; i++)
        if (!unit->functions[i].refused)
            emit_function(s, &unit->functions[i], &s->cuts[i], i);
    data_emit(unit, s->constants_named, s->out);
    emit_weak(s);
    emit_attributes(s);
    /* without it linkers make the stack executable */
    buf_puts(s->out, "\t.section .note.GNU-stack,\"\",@progbits\n");
}

ashlar_status compose_unit(const struct target *target, const struct ir_unit *unit,
                           const struct cut *cuts, bool debug, struct buf *out, ashlar_error *err)
{
    struct heap *heap = &unit->unit->heap;
    struct session session = {.target = target, .unit = unit, .cuts = cuts, .debug = debug,
                              .out = out, .heap = heap};
    ashlar_status status = heap_run(heap, emit_unit, &session, err);
    if (status == ASHLAR_OK && out->failed)
        status = error_memory(err, out->length, "the assembler text");
    return status;
}
