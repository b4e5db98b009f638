/*
 * ir_flatten.c: instructions over expression trees as single operations through new temporaries; &&
 * || ?: become branches. A destination is written last, once on each way, when all it may be read
 * for is done.
 */
#include "lego/ir.h"
#include "lego/ir_build.h"

/* One instruction after the other; what they become is appended to `out`. */
struct flatten {
    struct heap *heap;
    struct ir_function *f;
    struct ir_list *out;
    const struct ir_instr *from; /* the instruction being replaced: place and statement */
};

static struct ir_instr *emit(struct flatten *x, enum ir_code code)
{
    heap_grow(x->heap, &x->out->code, x->out->n, sizeof *x->out->code);
    struct ir_instr *i = &x->out->code[x->out->n++];
    *i = (struct ir_instr){.code = code, .at = x->from->at, .statement = x->from->statement};
    return i;
}

static void emit_label(struct flatten *x, enum ir_code code, int label)
{
    emit(x, code)->label = label;
}

static void assign(struct flatten *x, struct ir_object *object, struct ir_expr *value)
{
    struct ir_instr *i = emit(x, IR_ASSIGN);
    i->object = object;
    i->value = value;
}

static struct ir_expr *node(struct flatten *x, enum ir_op op, enum ir_type type, struct ir_expr *a)
{
    struct ir_expr *e = heap_take(x->heap, sizeof *e);
    e->op = op;
    e->type = type;
    e->a = a;
    return e;
}

static struct ir_expr *integer(struct flatten *x, int value)
{
    struct ir_expr *e = node(x, IR_INT, IR_I32, NULL);
    e->value = value;
    return e;
}

static bool branches(const struct ir_expr *e)
{
    return e->op == IR_LOGICAL_AND || e->op == IR_LOGICAL_OR || e->op == IR_CONDITIONAL;
}

static void into(struct flatten *x, struct ir_object *object, struct ir_expr *e);
static void branch(struct flatten *x, struct ir_expr *e, int label, bool when);

/* A value that one operation may take: itself, or a temporary that holds it. */
static struct ir_expr *simple(struct flatten *x, struct ir_expr *e)
{
    if (ir_is_simple(e))
        return e;
    struct ir_object *t = ir_temporary(x->heap, x->f, e->type);
    into(x, t, e);
    struct ir_expr *read = node(x, IR_READ, e->type, NULL);
    read->object = t;
    return read;
}

/*
 * A constant through a slot. An operation of constants that is undefined (a division by 0, a write
 * to a fixed address) would be a block without any state in which it is defined, which nothing can
 * verify; with the constant in a slot it can be run on the slot's other values. C programs hold
 * such operations where they are never reached, or to end themselves.
 */
static struct ir_expr *slot(struct flatten *x, struct ir_expr *e)
{
    struct ir_object *t = ir_temporary(x->heap, x->f, e->type);
    assign(x, t, e);
    struct ir_expr *read = node(x, IR_READ, e->type, NULL);
    read->object = t;
    return read;
}

static bool is_constant(const struct ir_expr *e)
{
    return e->op == IR_INT || (e->op == IR_READ && e->object->place == IR_CONSTANT);
}

/* Whether it may be undefined whatever its variables are, for what its last operand is. (Constants
 * alone are folded where they are defined.) */
static bool is_undefined(const struct ir_expr *e)
{
    const struct ir_expr *last = e->b ? e->b : e->a;
    if (!is_constant(last))
        return false;
    bool divides = (e->op == IR_DIVIDE || e->op == IR_REMAINDER) && !ir_is_float(e->type);
    bool shifts = e->op == IR_SHIFT_LEFT || e->op == IR_SHIFT_RIGHT;
    return is_constant(e->a) || (divides && last->value == 0) ||
           (shifts && (last->value < 0 || last->value >= 8 * ir_type_size(e->type)));
}

/* e with simple operands: one operation. */
static struct ir_expr *operation(struct flatten *x, struct ir_expr *e)
{
    if (ir_is_simple(e))
        return e;
    struct ir_expr *copy = heap_take(x->heap, sizeof *copy);
    *copy = *e;
    struct ir_expr **last = e->b ? &copy->b : &copy->a;
    copy->a = simple(x, e->a);
    if (e->b)
        copy->b = simple(x, e->b);
    if (is_undefined(e))
        *last = slot(x, *last);
    return copy;
}

/* Each way writes the object once, last: what it is read for on that way has been read. */
static void choose(struct flatten *x, struct ir_object *object, struct ir_expr *e)
{
    int otherwise = ir_label(x->f), end = ir_label(x->f);
    bool conditional = e->op == IR_CONDITIONAL;
    branch(x, conditional ? e->a : e, otherwise, false);
    into(x, object, conditional ? e->b : integer(x, 1));
    emit_label(x, IR_JUMP, end);
    emit_label(x, IR_LABEL, otherwise);
    into(x, object, conditional ? e->c : integer(x, 0));
    emit_label(x, IR_LABEL, end);
}

static void into(struct flatten *x, struct ir_object *object, struct ir_expr *e)
{
    if (branches(e))
        choose(x, object, e);
    else
        assign(x, object, operation(x, e));
}

static enum ir_op inverse(enum ir_op op)
{
    switch (op) {
    case IR_EQUAL: return IR_UNEQUAL;
    case IR_UNEQUAL: return IR_EQUAL;
    case IR_LESS: return IR_GREATER_EQUAL;
    case IR_LESS_EQUAL: return IR_GREATER;
    case IR_GREATER: return IR_LESS_EQUAL;
    default: return IR_LESS;
    }
}

/* Jumps on one comparison, or on an int; a float's < is not the inverse of >= (NaN). */
static void branch_operation(struct flatten *x, struct ir_expr *e, int label, bool when)
{
    struct ir_expr *value = NULL;
    bool comparison = ir_is_comparison(e->op);
    bool ordered =
        comparison && e->op != IR_EQUAL && e->op != IR_UNEQUAL && ir_is_float(e->a->type);
    if (comparison && (when || !ordered)) {
        value = operation(x, e);
        if (!when) /* operation() made a copy */
            value->op = inverse(value->op);
    } else {
        value = simple(x, e);
        if (!when)
            value = node(x, IR_NOT, IR_I32, value);
    }
    struct ir_instr *i = emit(x, IR_BRANCH);
    i->value = value;
    i->label = label;
}

static void branch(struct flatten *x, struct ir_expr *e, int label, bool when)
{
    if (e->op == IR_NOT && e->a->type == IR_I32) {
        branch(x, e->a, label, !when);
    } else if (e->op == IR_LOGICAL_AND || e->op == IR_LOGICAL_OR) {
        if ((e->op == IR_LOGICAL_OR) == when) { /* either side alone decides for the jump */
            branch(x, e->a, label, when);
            branch(x, e->b, label, when);
        } else {
            int past = ir_label(x->f);
            branch(x, e->a, past, !when);
            branch(x, e->b, label, when);
            emit_label(x, IR_LABEL, past);
        }
    } else {
        branch_operation(x, e, label, when);
    }
}

static void flatten_instr(struct flatten *x, const struct ir_instr *i)
{
    if (i->code == IR_ASSIGN) {
        into(x, i->object, i->value);
    } else if (i->code == IR_STORE) {
        struct ir_expr *address = simple(x, i->address), *value = simple(x, i->value);
        if (address->op == IR_INT)
            address = slot(x, address);
        struct ir_instr *store = emit(x, IR_STORE);
        store->address = address;
        store->value = value;
    } else if (i->code == IR_BRANCH) {
        branch(x, i->value, i->label, true);
    } else {
        struct ir_instr *copy = emit(x, i->code);
        *copy = *i;
    }
}

void ir_flatten(struct heap *h, struct ir_function *f, const struct ir_instr *code, int n,
                struct ir_list *out)
{
    *out = (struct ir_list){0};
    struct flatten x = {.heap = h, .f = f, .out = out};
    for (int i = 0; i < n; i++) {
        x.from = &code[i];
        flatten_instr(&x, &code[i]);
    }
}
