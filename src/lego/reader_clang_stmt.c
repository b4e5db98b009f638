/*
 * reader_clang_stmt.c: statements. The parts of a `for` that are absent are not listed by libclang:
 * the semicolons tell. Labels and cases of one statement follow each other in the enclosing block:
 * all but the last label an EMPTY statement.
 */
#include <string.h>

#include "lego/reader_clang.h"

static struct stmt *reader_stmt(struct reader *r, CXCursor c);

static struct stmt *make(struct reader *r, enum stmt_kind kind, CXCursor c)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    s->kind = kind;
    s->at = reader_location(r, c);
    return s;
}

static void append(struct reader *r, struct stmt *block, struct stmt *item)
{
    heap_grow(r->heap, &block->items, block->n, sizeof *block->items);
    block->items[block->n++] = item;
}

/* The children of a statement, of which there must be from least to most. */
static struct children parts(struct reader *r, CXCursor c, int least, int most)
{
    struct children list = reader_children(r, c);
    if (list.n < least || list.n > most)
        reader_refuse(r, c, "a statement of unknown structure");
    return list;
}

static struct expr *condition(struct reader *r, CXCursor c)
{
    struct expr *e = reader_rvalue(r, c);
    if (!type_is_scalar(e->type))
        reader_refuse(r, c, "a condition that is no scalar");
    return reader_truth(r, e);
}

/* ---- labels ---- */

static bool is_label(CXCursor c)
{
    enum CXCursorKind kind = clang_getCursorKind(c);
    return kind == CXCursor_LabelStmt || kind == CXCursor_CaseStmt || kind == CXCursor_DefaultStmt;
}

/* As the promoted type of the switch has it (C11 6.8.4.2p5): `case -1` of an unsigned is its
 * largest value. */
static int64_t case_value(struct reader *r, CXCursor c)
{
    int64_t value;
    if (!r->switch_type || !reader_constant(r, c, &value))
        reader_refuse(r, c, "a case that is no integer constant");
    return (int64_t)type_wrap(r->switch_type, (uint64_t)value);
}

static struct stmt *case_label(struct reader *r, CXCursor c, CXCursor *labelled)
{
    struct children list = parts(r, c, 2, 3);
    struct stmt *s = make(r, STMT_CASE, c);
    s->low = s->high = case_value(r, list.items[0]);
    if (list.n == 3)
        s->high = case_value(r, list.items[1]);
    bool empty = type_is_signed(r->switch_type) ? s->low > s->high
                                                : (uint64_t)s->low > (uint64_t)s->high;
    /* gcc warns and takes no value; rare enough to refuse */
    if (empty)
        reader_refuse(r, c, "an empty range of cases");
    *labelled = list.items[list.n - 1];
    return s;
}

/* A label and where what it labels begins. */
static struct stmt *label(struct reader *r, CXCursor c, CXCursor *labelled)
{
    if (clang_getCursorKind(c) == CXCursor_CaseStmt)
        return case_label(r, c, labelled);
    struct children list = reader_children(r, c);
    if (list.n < 1)
        reader_refuse(r, c, "a label of unknown structure");
    *labelled = list.items[list.n - 1];
    if (clang_getCursorKind(c) == CXCursor_DefaultStmt)
        return make(r, STMT_DEFAULT, c);
    struct stmt *s = make(r, STMT_LABEL, c);
    s->label = reader_spelling(r, c);
    return s;
}

static void append_statement(struct reader *r, struct stmt *block, CXCursor c);

static void append_labelled(struct reader *r, struct stmt *block, CXCursor c)
{
    struct stmt *last = NULL;
    while (is_label(c)) {
        CXCursor labelled;
        if (last)
            last->body = make(r, STMT_EMPTY, c);
        last = label(r, c, &labelled);
        append(r, block, last);
        c = labelled;
    }
    last->body = reader_stmt(r, c);
}

/* ---- blocks ---- */

static void append_declarations(struct reader *r, struct stmt *block, CXCursor c)
{
    struct children list = reader_children(r, c);
    for (int i = 0; i < list.n; i++) {
        struct stmt *s = reader_local(r, list.items[i]);
        if (s)
            append(r, block, s);
    }
}

static void append_statement(struct reader *r, struct stmt *block, CXCursor c)
{
    if (is_label(c))
        append_labelled(r, block, c);
    else if (clang_getCursorKind(c) == CXCursor_DeclStmt)
        append_declarations(r, block, c);
    else
        append(r, block, reader_stmt(r, c));
}

struct stmt *reader_body(struct reader *r, CXCursor compound)
{
    struct stmt *block = make(r, STMT_BLOCK, compound);
    struct children list = reader_children(r, compound);
    reader_enter(r, compound);
    for (int i = 0; i < list.n; i++)
        append_statement(r, block, list.items[i]);
    reader_leave(r);
    return block;
}

/* A statement that becomes several, or none, where one is wanted. */
static struct stmt *wrapped(struct reader *r, CXCursor c)
{
    struct stmt *block = make(r, STMT_BLOCK, c);
    append_statement(r, block, c);
    return block;
}

/* ---- control ---- */

static struct stmt *if_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 2, 3);
    struct stmt *s = make(r, STMT_IF, c);
    s->expr = condition(r, list.items[0]);
    s->body = reader_stmt(r, list.items[1]);
    if (list.n == 3)
        s->otherwise = reader_stmt(r, list.items[2]);
    return s;
}

static struct stmt *while_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 2, 2);
    struct stmt *s = make(r, STMT_WHILE, c);
    s->expr = condition(r, list.items[0]);
    s->body = reader_stmt(r, list.items[1]);
    return s;
}

static struct stmt *do_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 2, 2);
    struct stmt *s = make(r, STMT_DO, c);
    s->body = reader_stmt(r, list.items[0]);
    s->expr = condition(r, list.items[1]);
    return s;
}

/* Is there a part before the next `stop`? Moves *at behind the stop; *next is the child to come. */
static bool has_part(struct reader *r, const struct children *list, int *next, size_t *at,
                     const char *stop)
{
    struct token t = reader_token(r, *at);
    if (reader_token_is(r, t, stop)) {
        *at = t.end;
        return false;
    }
    if (*next >= list->n)
        return true; /* the caller refuses */
    size_t start;
    reader_extent(r, list->items[*next], &start, at);
    if (clang_getCursorKind(list->items[*next]) !=
        CXCursor_DeclStmt) /* which ends with its semicolon */
        *at = reader_token(r, *at).end;
    ++*next;
    return true;
}

static struct stmt *for_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 1, 4);
    struct stmt *s = make(r, STMT_FOR, c);
    struct token t = reader_token(r, reader_first_token(r, c).end); /* for ( */
    size_t at = t.end;
    /* `next` while finding out which parts there are, i while reading them */
    int next = 0, i = 0;
    bool has_init = has_part(r, &list, &next, &at, ";");
    bool has_condition = has_part(r, &list, &next, &at, ";");
    bool has_step = has_part(r, &list, &next, &at, ")");
    if (!reader_token_is(r, t, "(") || has_init + has_condition + has_step + 1 != list.n)
        reader_refuse(r, c, "a for statement of unknown structure");
    if (has_init)
        s->init = wrapped(r, list.items[i++]);
    if (has_condition)
        s->expr = condition(r, list.items[i++]);
    if (has_step)
        s->step = reader_rvalue(r, list.items[i++]);
    s->body = reader_stmt(r, list.items[i]);
    return s;
}

static struct stmt *switch_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 2, 2);
    struct stmt *s = make(r, STMT_SWITCH, c);
    /* switches nest */
    struct type *outer = r->switch_type;
    s->expr = reader_promote(r, reader_expr(r, list.items[0]));
    if (!type_is_integer(s->expr->type) || type_is_pair(s->expr->type))
        reader_refuse(r, c, "a switch on something that is no integer");
    r->switch_type = type_plain(s->expr->type);
    s->body = reader_stmt(r, list.items[1]);
    r->switch_type = outer;
    return s;
}

/* `return f();` in a function without a value becomes a cast to void, evaluated and dropped. */
static struct stmt *return_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 0, 1);
    struct stmt *s = make(r, STMT_RETURN, c);
    if (list.n == 1 && r->function)
        s->expr = reader_cast(r, reader_rvalue(r, list.items[0]), r->function->type->base);
    return s;
}

static struct stmt *goto_statement(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 1, 1);
    struct stmt *s = make(r, STMT_GOTO, c);
    s->label = reader_spelling(r, list.items[0]);
    return s;
}

/* goto *p: the value is a label's number (label_address() in reader_clang_expr.c). */
static struct stmt *computed_goto(struct reader *r, CXCursor c)
{
    struct children list = parts(r, c, 1, 1);
    struct stmt *s = make(r, STMT_GOTO, c);
    s->expr = reader_rvalue(r, list.items[0]);
    return s;
}

/* A statement with attributes: __attribute__((fallthrough)); is the only one in use. */
static struct stmt *attributed(struct reader *r, CXCursor c)
{
    struct children list = reader_children(r, c);
    for (int i = list.n - 1; i >= 0; i--) {
        if (!clang_isAttribute(clang_getCursorKind(list.items[i])))
            return reader_stmt(r, list.items[i]);
    }
    reader_refuse(r, c, "a statement that libclang does not name");
}

static struct stmt *read_kind(struct reader *r, CXCursor c)
{
    switch (clang_getCursorKind(c)) {
    case CXCursor_CompoundStmt: return reader_body(r, c);
    case CXCursor_NullStmt: return make(r, STMT_EMPTY, c);
    case CXCursor_IfStmt: return if_statement(r, c);
    case CXCursor_WhileStmt: return while_statement(r, c);
    case CXCursor_DoStmt: return do_statement(r, c);
    case CXCursor_ForStmt: return for_statement(r, c);
    case CXCursor_SwitchStmt: return switch_statement(r, c);
    case CXCursor_ReturnStmt: return return_statement(r, c);
    case CXCursor_GotoStmt: return goto_statement(r, c);
    case CXCursor_BreakStmt: return make(r, STMT_BREAK, c);
    case CXCursor_ContinueStmt: return make(r, STMT_CONTINUE, c);
    case CXCursor_LabelStmt:
    case CXCursor_CaseStmt:
    case CXCursor_DefaultStmt:
    case CXCursor_DeclStmt: return wrapped(r, c);
    case CXCursor_UnexposedStmt: return attributed(r, c);
    case CXCursor_GCCAsmStmt: return reader_asm(r, c);
    case CXCursor_MSAsmStmt: reader_refuse(r, c, "inline assembly");
    case CXCursor_IndirectGotoStmt: return computed_goto(r, c);
    default: break;
    }
    if (!clang_isExpression(clang_getCursorKind(c)))
        reader_refuse(r, c, "a statement of unknown kind");
    struct stmt *s = make(r, STMT_EXPR, c);
    s->expr = reader_rvalue(r, c);
    return s;
}

static struct stmt *reader_stmt(struct reader *r, CXCursor c)
{
    reader_enter(r, c);
    struct stmt *s = read_kind(r, c);
    reader_leave(r);
    return s;
}
