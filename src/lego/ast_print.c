/*
 * ast_print.c: the tree as indented text (--dump=ast): a node a line, with its type.
 */
#include "lego/ast.h"
#include "base/buf.h"

struct printer {
    const struct unit *unit;
    struct heap heap; /* type_text()'s */
    struct buf *out;
};

/* By enum, like stmt_names: a kind without a name here would be a NULL to print. */
static const char *const expr_names[] = {
    [EXPR_INT] = "int", [EXPR_FLOAT] = "float", [EXPR_COMPLEX] = "complex",
    [EXPR_STRING] = "string", [EXPR_NAME] = "name",
    [EXPR_MEMBER] = "member", [EXPR_DEREF] = "deref", [EXPR_ADDRESS] = "address",
    [EXPR_CAST] = "cast", [EXPR_NEGATE] = "negate", [EXPR_COMPLEMENT] = "complement",
    [EXPR_NOT] = "not", [EXPR_ADD] = "+", [EXPR_SUBTRACT] = "-", [EXPR_MULTIPLY] = "*",
    [EXPR_DIVIDE] = "/", [EXPR_REMAINDER] = "%", [EXPR_SHIFT_LEFT] = "<<",
    [EXPR_SHIFT_RIGHT] = ">>", [EXPR_AND] = "&", [EXPR_XOR] = "^", [EXPR_OR] = "|",
    [EXPR_EQUAL] = "==", [EXPR_UNEQUAL] = "!=", [EXPR_LESS] = "<", [EXPR_LESS_EQUAL] = "<=",
    [EXPR_GREATER] = ">", [EXPR_GREATER_EQUAL] = ">=", [EXPR_LOGICAL_AND] = "&&",
    [EXPR_LOGICAL_OR] = "||", [EXPR_CONDITIONAL] = "?:", [EXPR_ASSIGN] = "=",
    [EXPR_ASSIGN_OP] = "op=", [EXPR_PRE_INCREMENT] = "++pre", [EXPR_PRE_DECREMENT] = "--pre",
    [EXPR_POST_INCREMENT] = "post++", [EXPR_POST_DECREMENT] = "post--", [EXPR_COMMA] = "comma",
    [EXPR_CALL] = "call", [EXPR_COMPOUND] = "compound", [EXPR_VA_START] = "va_start",
    [EXPR_VA_ARG] = "va_arg", [EXPR_VA_END] = "va_end", [EXPR_VA_COPY] = "va_copy",
    [EXPR_STATEMENT] = "statement"};

static const char *const stmt_names[] = {
    [STMT_EMPTY] = "empty", [STMT_EXPR] = "expression", [STMT_DECL] = "declare",
    [STMT_BLOCK] = "block", [STMT_IF] = "if", [STMT_WHILE] = "while", [STMT_DO] = "do",
    [STMT_FOR] = "for", [STMT_SWITCH] = "switch", [STMT_CASE] = "case",
    [STMT_DEFAULT] = "default", [STMT_LABEL] = "label", [STMT_GOTO] = "goto",
    [STMT_BREAK] = "break", [STMT_CONTINUE] = "continue", [STMT_RETURN] = "return"};

static void print_stmt(struct printer *p, const struct stmt *s, int depth);
static void print_decl(struct printer *p, const struct decl *d, int depth);

static void indent(struct printer *p, int depth)
{
    buf_printf(p->out, "%*s", depth * 2, "");
}

/* Octal with three digits, as a digit may follow: the text could stand in C. */
static void print_string(struct printer *p, const struct expr *e)
{
    buf_puts(p->out, " \"");
    for (int64_t i = 0; i < e->n_bytes; i++) {
        unsigned char c = (unsigned char)e->bytes[i];
        bool plain = c >= ' ' && c < 0x7F && c != '"' && c != '\\';
        buf_printf(p->out, plain ? "%c" : "\\%03o", c);
    }
    buf_puts(p->out, "\"");
}

static void print_details(struct printer *p, const struct expr *e)
{
    if (e->kind == EXPR_INT)
        buf_printf(p->out, " %lld", (long long)e->integer);
    else if (e->kind == EXPR_FLOAT)
        buf_printf(p->out, " %La", e->real); /* hexadecimal: exact */
    else if (e->kind == EXPR_STRING)
        print_string(p, e);
    else if (e->kind == EXPR_NAME || e->kind == EXPR_COMPOUND)
        buf_printf(p->out, " %s", e->decl->name);
    else if (e->kind == EXPR_MEMBER)
        buf_printf(p->out, " %s at %lld", e->field->name ? e->field->name : "(anonymous)",
                   (long long)e->field->offset);
    else if (e->kind == EXPR_ASSIGN_OP)
        buf_printf(p->out, " %s", expr_names[e->op]);
}

static void print_expr(struct printer *p, const struct expr *e, int depth)
{
    indent(p, depth);
    buf_puts(p->out, expr_names[e->kind]);
    print_details(p, e);
    buf_printf(p->out, " : %s\n", type_text(&p->heap, e->type));
    const struct expr *parts[] = {e->a, e->b, e->c};
    for (int i = 0; i < 3; i++) {
        if (parts[i])
            print_expr(p, parts[i], depth + 1);
    }
    for (int i = 0; i < e->n_args; i++)
        print_expr(p, e->args[i], depth + 1);
    if (e->kind == EXPR_COMPOUND)
        print_decl(p, e->decl, depth + 1);
    if (e->body)
        print_stmt(p, e->body, depth + 1);
}

static void print_initializer(struct printer *p, const struct initializer *init, int depth)
{
    for (int i = 0; i < init->n; i++) {
        const struct init *item = &init->items[i];
        indent(p, depth);
        buf_printf(p->out, "at %lld", (long long)item->offset);
        if (item->bits)
            buf_printf(p->out, " bits %d..%d", item->bits->bit_offset,
                       item->bits->bit_offset + item->bits->bit_width - 1);
        buf_printf(p->out, " : %s\n", type_text(&p->heap, item->type));
        print_expr(p, item->value, depth + 1);
    }
}

static void print_flags(struct printer *p, const struct decl *d)
{
    static const char *const storages[] = {"auto", "parameter", "static", "extern"};
    buf_printf(p->out, " %s", storages[d->storage]);
    const struct {
        bool set;
        const char *name;
    } flags[] = {{d->is_internal, "internal"}, {d->is_tentative, "tentative"},
                 {d->is_defined, "defined"}, {d->is_weak, "weak"}, {d->is_inline, "inline"},
                 {d->is_noreturn, "noreturn"}, {d->is_used, "used"}, {d->is_const, "const"}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (flags[i].set)
            buf_printf(p->out, " %s", flags[i].name);
    }
    if (d->align)
        buf_printf(p->out, " align %lld", (long long)d->align);
    if (d->section)
        buf_printf(p->out, " section %s", d->section);
    if (d->alias)
        buf_printf(p->out, " alias %s", d->alias);
    if (d->before_main)
        buf_printf(p->out, " constructor %d", d->before_main);
    if (d->after_main)
        buf_printf(p->out, " destructor %d", d->after_main);
}

static void print_decl(struct printer *p, const struct decl *d, int depth)
{
    indent(p, depth);
    buf_printf(p->out, "%s : %s", d->name, type_text(&p->heap, d->type));
    print_flags(p, d);
    /* the same pointer unless an asm label or a static local's number made another */
    if (d->symbol && d->symbol != d->name)
        buf_printf(p->out, " symbol %s", d->symbol);
    buf_puts(p->out, "\n");
    if (d->refused) {
        indent(p, depth + 1);
        buf_printf(p->out, "refused: %s\n", d->refused);
    }
    if (d->init)
        print_initializer(p, d->init, depth + 1);
    for (int i = 0; i < d->n_params; i++)
        print_decl(p, d->params[i], depth + 1);
    if (d->body)
        print_stmt(p, d->body, depth + 1);
}

static void print_stmt(struct printer *p, const struct stmt *s, int depth)
{
    indent(p, depth);
    buf_puts(p->out, stmt_names[s->kind]);
    if (s->label)
        buf_printf(p->out, " %s", s->label);
    if (s->kind == STMT_CASE)
        buf_printf(p->out, s->low == s->high ? " %lld" : " %lld ... %lld", (long long)s->low,
                   (long long)s->high);
    buf_printf(p->out, " @%d:%d\n", s->at.line, s->at.column);
    /* in the order of the source, so that the dump reads like it */
    if (s->init)
        print_stmt(p, s->init, depth + 1);
    if (s->decl)
        print_decl(p, s->decl, depth + 1);
    if (s->expr)
        print_expr(p, s->expr, depth + 1);
    if (s->step)
        print_expr(p, s->step, depth + 1);
    if (s->body)
        print_stmt(p, s->body, depth + 1);
    if (s->otherwise)
        print_stmt(p, s->otherwise, depth + 1);
    for (int i = 0; i < s->n; i++)
        print_stmt(p, s->items[i], depth + 1);
}

static void print_unit(void *context)
{
    struct printer *p = context;
    for (int i = 0; i < p->unit->n; i++)
        print_decl(p, p->unit->decls[i], 0);
    for (int i = 0; i < p->unit->n_asms; i++)
        buf_printf(p->out, "asm %s\n", p->unit->asms[i]);
}

void ast_print(const struct unit *unit, struct buf *out)
{
    /* a heap of our own: the unit is not ours to change */
    struct printer p = {.unit = unit, .out = out};
    heap_init(&p.heap);
    if (heap_run(&p.heap, print_unit, &p, NULL) != ASHLAR_OK)
        out->failed = true; /* no memory for the names of types */
    heap_fini(&p.heap);
}
