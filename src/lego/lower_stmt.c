/*
 * lower_stmt.c: statements as labels, jumps and branches; the region that each structured statement
 * became.
 */
#include <string.h>

#include "lego/lower.h"

static void lower_stmt(struct lower *l, struct stmt *s);

/* What follows belongs to a new C statement (or to a loop's condition or step). */
static void begin(struct lower *l, struct location at)
{
    l->statement++;
    if (at.file)
        l->at = at;
}

/* ---- regions ---- */

static int region_open(struct lower *l)
{
    struct ir_function *f = l->f;
    heap_grow(l->heap, &f->regions, f->n_regions, sizeof *f->regions);
    f->regions[f->n_regions] = (struct ir_region){.first = f->n_code, .parent = l->region};
    l->region = f->n_regions;
    return f->n_regions++;
}

/* Leaves the region; one that nothing came of is forgotten. */
static void region_close(struct lower *l, int region)
{
    struct ir_function *f = l->f;
    f->regions[region].last = f->n_code;
    l->region = f->regions[region].parent;
    if (f->regions[region].first == f->n_code && region == f->n_regions - 1)
        f->n_regions--;
}

/* ---- loops and choices ---- */

/** What break and continue mean, kept while an inner statement changes it. */
struct targets {
    int break_label, continue_label;
};

static struct targets enter(struct lower *l, int break_label, int continue_label)
{
    struct targets outer = {l->break_label, l->continue_label};
    l->break_label = break_label;
    l->continue_label = continue_label;
    return outer;
}

static void leave(struct lower *l, struct targets outer)
{
    l->break_label = outer.break_label;
    l->continue_label = outer.continue_label;
}

/*
 *     if (!c) goto otherwise;  body  goto end;  otherwise:  ...  end:
 */
static void lower_if(struct lower *l, struct stmt *s)
{
    int otherwise = ir_label(l->f);
    begin(l, s->at);
    lower_branch(l, s->expr, otherwise, false);
    lower_stmt(l, s->body);
    if (s->otherwise) {
        int end = ir_label(l->f);
        lower_jump(l, end);
        lower_label(l, otherwise);
        lower_stmt(l, s->otherwise);
        lower_label(l, end);
    } else {
        lower_label(l, otherwise);
    }
}

/*
 *     top:  if (!c) goto end;  body  goto top;  end:
 *
 * continue goes to top.
 */
static void lower_while(struct lower *l, struct stmt *s)
{
    int top = ir_label(l->f), end = ir_label(l->f);
    struct targets outer = enter(l, end, top);
    begin(l, s->at);
    lower_label(l, top);
    lower_branch(l, s->expr, end, false);
    lower_stmt(l, s->body);
    lower_jump(l, top);
    lower_label(l, end);
    leave(l, outer);
}

/*
 *     top:  body  next:  if (c) goto top;  end:
 *
 * continue goes to next: the condition is evaluated (C11 6.8.6.2).
 */
static void lower_do(struct lower *l, struct stmt *s)
{
    int top = ir_label(l->f), next = ir_label(l->f), end = ir_label(l->f);
    struct targets outer = enter(l, end, next);
    begin(l, s->at);
    lower_label(l, top);
    lower_stmt(l, s->body);
    begin(l, s->expr->at);
    lower_label(l, next);
    lower_branch(l, s->expr, top, true);
    lower_label(l, end);
    leave(l, outer);
}

/*
 *     init  top:  if (!c) goto end;  body  next:  step  goto top;  end:
 *
 * The condition and the step are numbered as statements of their own, so that cutting by statements
 * separates them from the body.
 */
static void lower_for(struct lower *l, struct stmt *s)
{
    int top = ir_label(l->f), next = ir_label(l->f), end = ir_label(l->f);
    if (s->init)
        lower_stmt(l, s->init);
    struct targets outer = enter(l, end, next);
    begin(l, s->at);
    lower_label(l, top);
    if (s->expr)
        lower_branch(l, s->expr, end, false);
    lower_stmt(l, s->body);
    begin(l, s->at);
    lower_label(l, next);
    if (s->step)
        lower_effects(l, s->step);
    lower_jump(l, top);
    lower_label(l, end);
    leave(l, outer);
}

/* ---- switch ---- */

static void add_mark(struct lower *l, struct lower_switch *sw, struct stmt *s)
{
    int n = sw->n;
    heap_grow(l->heap, &sw->marks, n, sizeof(struct stmt *));
    heap_grow(l->heap, &sw->labels, n, sizeof *sw->labels);
    sw->marks[n] = s;
    sw->labels[n] = ir_label(l->f);
    sw->n++;
}

/* The case labels of a switch, wherever in its body, but not those of a switch inside. */
static void collect_marks(struct lower *l, struct lower_switch *sw, struct stmt *s)
{
    if (!s || s->kind == STMT_SWITCH)
        return;
    if (s->kind == STMT_CASE || s->kind == STMT_DEFAULT)
        add_mark(l, sw, s);
    for (int i = 0; s->kind == STMT_BLOCK && i < s->n; i++)
        collect_marks(l, sw, s->items[i]);
    collect_marks(l, sw, s->init);
    collect_marks(l, sw, s->body);
    collect_marks(l, sw, s->otherwise);
}

static void fill_cases(struct lower *l, struct ir_instr *i, const struct lower_switch *sw,
                       enum ir_type type)
{
    i->cases = heap_take(l->heap, (size_t)sw->n * sizeof *i->cases);
    for (int k = 0; k < sw->n; k++) {
        const struct stmt *mark = sw->marks[k];
        if (mark->kind == STMT_DEFAULT)
            i->label = sw->labels[k];
        else
            i->cases[i->n_cases++] = (struct ir_case){ir_wrap(type, mark->low),
                                                      ir_wrap(type, mark->high), sw->labels[k]};
    }
}

/* The marks are collected before the body is lowered, because SWITCH stands before it; lowering
   the body meets them in the same order. */
static void lower_switch(struct lower *l, struct stmt *s)
{
    struct lower_switch here = {0}, *outer_switch = l->in_switch;
    int end = ir_label(l->f);
    begin(l, s->at);
    struct ir_expr *v = lower_value(l, s->expr);
    if (v->type < IR_I32)
        v = ir_convert(&l->build, IR_I32, v);
    if (v->op != IR_READ)
        v = lower_temporary(l, v);
    collect_marks(l, &here, s->body);
    struct ir_instr *i = lower_emit(l, IR_SWITCH);
    i->value = v;
    i->label = end;
    fill_cases(l, i, &here, v->type);
    struct targets outer = enter(l, end, l->continue_label);
    l->in_switch = &here;
    lower_stmt(l, s->body);
    l->in_switch = outer_switch;
    lower_label(l, end);
    leave(l, outer);
}

static void lower_case(struct lower *l, struct stmt *s)
{
    struct lower_switch *sw = l->in_switch;
    if (!sw || sw->next >= sw->n || sw->marks[sw->next] != s)
        lower_refuse(l, s->at, "case label where its switch cannot reach it");
    lower_label(l, sw->labels[sw->next++]);
    if (s->body)
        lower_stmt(l, s->body);
}

/* ---- jumps ---- */

/* A label of goto, which may be used before it is set. */
static int named_label(struct lower *l, const char *name)
{
    for (int i = 0; i < l->n_labels; i++)
        if (strcmp(l->labels[i].name, name) == 0)
            return l->labels[i].label;
    heap_grow(l->heap, &l->labels, l->n_labels, sizeof *l->labels);
    l->labels[l->n_labels] = (struct lower_label){name, ir_label(l->f)};
    return l->labels[l->n_labels++].label;
}

static void jump_out(struct lower *l, struct stmt *s, int label)
{
    if (label < 0)
        lower_refuse(l, s->at, "break or continue outside of what it leaves");
    begin(l, s->at);
    lower_jump(l, label);
}

/* A switch over the labels whose addresses the function takes; other values have no meaning. */
static void computed_goto(struct lower *l, struct stmt *s)
{
    const struct decl *f = l->f->decl;
    int nowhere = ir_label(l->f);
    begin(l, s->at);
    struct ir_expr *v = ir_convert(&l->build, IR_I64, lower_value(l, s->expr));
    if (v->op != IR_READ)
        v = lower_temporary(l, v);
    struct ir_case *cases = heap_take(l->heap, (size_t)f->n_taken * sizeof *cases);
    for (int k = 0; k < f->n_taken; k++)
        cases[k] = (struct ir_case){k + 1, k + 1, named_label(l, f->taken[k])};
    struct ir_instr *i = lower_emit(l, IR_SWITCH);
    i->value = v;
    i->label = nowhere;
    i->cases = cases;
    i->n_cases = f->n_taken;
    lower_label(l, nowhere);
    lower_library(l, "abort", NULL, 0, NULL);
}

/* Where a value travels is the target's; aggregates are given by their address. */
static void lower_return(struct lower *l, struct stmt *s)
{
    begin(l, s->at);
    struct ir_expr *value = NULL;
    struct type *aggregate = NULL;
    if (s->expr && ir_type_of(s->expr->type) == IR_BYTES) {
        aggregate = s->expr->type;
        value = lower_simple(l, place_address(l, lower_place(l, s->expr)));
    } else if (s->expr && s->expr->type->kind == TYPE_VOID) {
        lower_effects(l, s->expr);
    } else if (s->expr) {
        value = lower_value(l, s->expr);
        value = value ? lower_simple(l, value) : NULL;
    }
    struct ir_instr *i = lower_emit(l, IR_RETURN);
    i->value = value;
    i->aggregate = aggregate;
}

/* ---- all ---- */

/* Static and extern locals are the unit's; an object without an initialiser needs no code. */
static void declare(struct lower *l, struct decl *d)
{
    if (d->storage != STORAGE_AUTO || d->type->kind == TYPE_FUNCTION)
        return;
    struct ir_object *o = lower_object(l, d);
    if (d->init)
        lower_init(l, o, d->init, d->at);
}

static void lower_structured(struct lower *l, struct stmt *s)
{
    int region = region_open(l);
    switch (s->kind) {
    case STMT_IF: lower_if(l, s); break;
    case STMT_WHILE: lower_while(l, s); break;
    case STMT_DO: lower_do(l, s); break;
    case STMT_FOR: lower_for(l, s); break;
    case STMT_SWITCH: lower_switch(l, s); break;
    default:
        for (int i = 0; i < s->n; i++)
            lower_stmt(l, s->items[i]);
    }
    region_close(l, region);
}

static void lower_stmt(struct lower *l, struct stmt *s)
{
    switch (s->kind) {
    case STMT_EMPTY: break;
    case STMT_EXPR:
        begin(l, s->at);
        lower_effects(l, s->expr);
        break;
    case STMT_DECL:
        begin(l, s->at);
        declare(l, s->decl);
        break;
    case STMT_CASE: case STMT_DEFAULT: lower_case(l, s); break;
    case STMT_LABEL:
        lower_label(l, named_label(l, s->label));
        if (s->body)
            lower_stmt(l, s->body);
        break;
    case STMT_GOTO:
        if (s->expr) {
            computed_goto(l, s);
            break;
        }
        begin(l, s->at);
        lower_jump(l, named_label(l, s->label));
        break;
    case STMT_BREAK: jump_out(l, s, l->break_label); break;
    case STMT_CONTINUE: jump_out(l, s, l->continue_label); break;
    case STMT_RETURN: lower_return(l, s); break;
    default: lower_structured(l, s);
    }
}

/* The last statement behind its labels, which are set on the way. */
static struct stmt *behind_labels(struct lower *l, struct stmt *s)
{
    while (s && s->kind == STMT_LABEL) {
        lower_label(l, named_label(l, s->label));
        s = s->body;
    }
    return s;
}

/* The value's expression is given back unlowered: the caller knows as what it wants it. */
struct expr *lower_statement_expr(struct lower *l, struct expr *e)
{
    struct stmt *body = e->body;
    if (!l->f)
        lower_refuse(l, e->at, "initializer is not constant");
    int n = body->kind == STMT_BLOCK ? body->n : 0;
    for (int i = 0; i < n - 1; i++)
        lower_stmt(l, body->items[i]);
    if (n == 0)
        return NULL;
    struct stmt *last = behind_labels(l, body->items[n - 1]);
    if (last && last->kind == STMT_EXPR && e->type->kind != TYPE_VOID)
        return last->expr;
    if (last)
        lower_stmt(l, last);
    return NULL;
}

void lower_body(struct lower *l, struct stmt *body)
{
    int region = region_open(l);
    lower_stmt(l, body);
    if (!l->unreachable) {
        bool is_main = strcmp(l->f->decl->name, "main") == 0 && !l->f->decl->is_internal &&
                       l->f->decl->type->base->kind == TYPE_INT;
        begin(l, (struct location){0});
        lower_emit(l, IR_RETURN)->value = is_main ? ir_int(&l->build, IR_I32, 0) : NULL;
    }
    region_close(l, region);
}
