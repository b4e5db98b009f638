/*
 * ir_check.c: the invariants of ir.h, checked on a function without knowledge of how it was made.
 */
#include "lego/ir.h"
#include "lego/ir_build.h"

struct check {
    struct heap *heap;
    const struct ir_function *f;
    const char *wrong; /* the first thing that is; NULL: none yet */
    int at;            /* index of the instruction */
};

static bool require(struct check *c, bool holds, const char *what)
{
    if (!holds && !c->wrong)
        c->wrong = heap_printf(c->heap, "instruction %d: %s", c->at, what);
    return holds;
}

/* IR's types are ordered so that ranges of them have meanings: narrow and wide integers, floats,
 * PTR. */
static bool is_value(enum ir_type t)
{
    return t <= IR_PTR;
}

static bool is_arithmetic(enum ir_type t)
{
    return t >= IR_I32 && t <= IR_F80;
}

static bool is_wide_integer(enum ir_type t)
{
    return t >= IR_I32 && t <= IR_U64;
}

/* Data, constants and functions belong to the unit, all else to one function, where its number is
 * its place: frames and slots are looked up by it. */
static void check_object(struct check *c, const struct ir_object *o)
{
    if (!require(c, o != NULL, "no object"))
        return;
    bool unit = o->place == IR_STATIC || o->place == IR_CONSTANT || o->place == IR_FUNCTION;
    if (unit)
        require(c, o->id == -1, "an object of the unit with a number");
    else
        require(c, o->id >= 0 && o->id < c->f->n_objects && c->f->objects[o->id] == o,
                "an object that is not the function's");
}

/* ---- expressions ---- */

/* A pointer becomes a 64-bit integer first: blocks have no other conversion of `char*`
 * (docs/blocks.md). */
static void check_conversion(struct check *c, const struct ir_expr *e)
{
    enum ir_type from = e->a->type, to = e->type;
    require(c, is_value(from) && is_value(to) && from != to,
            "conversion of no value, or to the same type");
    bool pointer = from == IR_PTR || to == IR_PTR;
    enum ir_type other = from == IR_PTR ? to : from;
    require(c, !pointer || other == IR_I64 || other == IR_U64,
            "pointer converted by way of no 64-bit integer");
}

/* Invariants 1, 4 and 5 of ir.h. */
static void check_binary(struct check *c, const struct ir_expr *e)
{
    enum ir_type x = e->a->type, y = e->b->type;
    if (e->op == IR_LOGICAL_AND || e->op == IR_LOGICAL_OR) {
        require(c, x == IR_I32 && y == IR_I32 && e->type == IR_I32, "logical operation on no int");
    } else if (ir_is_comparison(e->op)) {
        require(c, x == y && e->type == IR_I32 && (is_arithmetic(x) || x == IR_PTR),
                "comparison of different or narrow types");
    } else if (e->op == IR_SHIFT_LEFT || e->op == IR_SHIFT_RIGHT) {
        require(c, is_wide_integer(x) && e->type == x && (y == IR_I32 || y == IR_U32),
                "shift with wrong types");
    } else if (e->type == IR_PTR) {
        require(c, x == IR_PTR && y == IR_I64 && (e->op == IR_ADD || e->op == IR_SUBTRACT),
                "pointer arithmetic with wrong types");
    } else {
        bool integers_only = e->op == IR_REMAINDER || (e->op >= IR_AND && e->op <= IR_OR);
        require(c,
                x == y && e->type == x && (integers_only ? is_wide_integer(x) : is_arithmetic(x)),
                "operation on different or narrow types");
    }
}

/* whole: e is all that an ASSIGN computes, or an operand of the skeleton: it may be volatile. */
static void check_expr(struct check *c, const struct ir_expr *e, bool whole)
{
    if (c->wrong || !require(c, e != NULL, "no value"))
        return;
    switch (e->op) {
    case IR_INT:
        require(c,
                (e->type <= IR_U64 || e->type == IR_PTR) && ir_wrap(e->type, e->value) == e->value,
                "constant out of its type");
        return;
    case IR_READ:
        check_object(c, e->object);
        require(c, is_value(e->type) && e->type == e->object->type, "object read as another type");
        require(c, whole || !e->object->is_volatile, "volatile object read inside an expression");
        return;
    case IR_ADDRESS:
        check_object(c, e->object);
        require(c, e->type == IR_PTR && e->object->place != IR_CONSTANT, "address of wrong type");
        return;
    default: break;
    }
    check_expr(c, e->a, false);
    if (e->b)
        check_expr(c, e->b, false);
    if (e->c)
        check_expr(c, e->c, false);
    if (c->wrong)
        return;
    switch (e->op) {
    case IR_LOAD:
        require(c, e->a->type == IR_PTR && is_value(e->type), "load of wrong types");
        require(c, whole || !e->is_volatile, "volatile load inside an expression");
        break;
    case IR_CONVERT: check_conversion(c, e); break;
    case IR_NOT: require(c, e->type == IR_I32 && e->a->type == IR_I32, "! of no int"); break;
    case IR_NEGATE:
        require(c, e->type == e->a->type && is_arithmetic(e->type), "- of a narrow type");
        break;
    case IR_COMPLEMENT:
        require(c, e->type == e->a->type && is_wide_integer(e->type), "~ of a narrow type");
        break;
    case IR_CONDITIONAL:
        require(c, e->a->type == IR_I32 && e->b->type == e->type && e->c->type == e->type,
                "? : with wrong types");
        break;
    default:
        if (require(c, e->b != NULL, "operation without its second operand"))
            check_binary(c, e);
    }
}

/* ---- instructions ---- */

/* What the skeleton takes: it moves values, it does not compute. */
static void check_simple(struct check *c, const struct ir_expr *e, enum ir_type want)
{
    check_expr(c, e, true);
    if (!c->wrong)
        require(c, ir_is_simple(e) && (want == IR_VOID || e->type == want),
                "operand that is not simple");
}

static void check_label(struct check *c, int label)
{
    require(c, label >= 0 && label < c->f->n_labels, "label out of range");
}

static void check_switch(struct check *c, const struct ir_instr *i)
{
    check_simple(c, i->value, IR_VOID);
    if (c->wrong)
        return;
    /* bounds are compared in 32 or 64 bits: lowering has promoted what is narrower (C11
     * 6.8.4.2p5) */
    require(c, i->value->op == IR_READ && is_wide_integer(i->value->type),
            "switch on a wrong value");
    check_label(c, i->label);
    for (int k = 0; k < i->n_cases; k++)
        check_label(c, i->cases[k].label);
}

/* Aggregates travel by address, in arguments and results alike; what the ABI makes of it is the
 * target's. */
static void check_call(struct check *c, const struct ir_instr *i)
{
    check_simple(c, i->callee, IR_PTR);
    require(c, i->callee_type && i->callee_type->kind == TYPE_FUNCTION, "call without its type");
    for (int k = 0; k < i->n_args; k++)
        check_simple(c, i->args[k].value, i->args[k].aggregate ? IR_PTR : IR_VOID);
    if (!i->object)
        return;
    check_object(c, i->object);
    require(c, (i->object->type == IR_BYTES) == (i->aggregate != NULL), "result of the wrong kind");
}

static void check_instr(struct check *c, const struct ir_instr *i)
{
    switch (i->code) {
    case IR_ASSIGN:
        check_object(c, i->object);
        check_expr(c, i->value, true);
        if (!c->wrong)
            require(c, i->object->type == i->value->type, "assignment of another type");
        break;
    case IR_STORE:
        check_expr(c, i->address, false);
        check_expr(c, i->value, false);
        if (!c->wrong)
            require(c, i->address->type == IR_PTR && is_value(i->value->type),
                    "store of wrong types");
        break;
    case IR_BRANCH:
        check_expr(c, i->value, false);
        if (!c->wrong)
            require(c, i->value->type == IR_I32, "branch on no int"); /* fall through */
    case IR_JUMP: case IR_LABEL: check_label(c, i->label); break;
    case IR_SWITCH: check_switch(c, i); break;
    case IR_CALL: check_call(c, i); break;
    case IR_RETURN:
        if (i->value)
            check_simple(c, i->value, i->aggregate ? IR_PTR : IR_VOID);
        break;
    case IR_VA_START: check_simple(c, i->address, IR_PTR); break;
    }
}

/* Every label that is jumped to is set once, and no way leads off the end. */
static void check_flow(struct check *c)
{
    const struct ir_function *f = c->f;
    char *set = heap_take(c->heap, (size_t)f->n_labels + 1);
    for (c->at = 0; c->at < f->n_code && !c->wrong; c->at++)
        if (f->code[c->at].code == IR_LABEL)
            require(c, set[f->code[c->at].label]++ == 0, "label set twice");
    for (c->at = 0; c->at < f->n_code && !c->wrong; c->at++) {
        const struct ir_instr *i = &f->code[c->at];
        if (i->code == IR_JUMP || i->code == IR_BRANCH || i->code == IR_SWITCH)
            require(c, set[i->label], "jump to nowhere");
        for (int k = 0; i->code == IR_SWITCH && k < i->n_cases; k++)
            require(c, set[i->cases[k].label], "case that leads nowhere");
    }
    /* what falls off would run into the next function's code */
    enum ir_code last = f->n_code ? f->code[f->n_code - 1].code : IR_LABEL;
    require(c, last == IR_JUMP || last == IR_RETURN || last == IR_SWITCH,
            "the end can be run over");
}

/* Parents come before children and hold them. */
static void check_regions(struct check *c)
{
    const struct ir_function *f = c->f;
    for (int i = 0; i < f->n_regions; i++) {
        const struct ir_region *r = &f->regions[i];
        c->at = r->first;
        require(c, r->first >= 0 && r->first <= r->last && r->last <= f->n_code,
                "region out of range");
        if (!require(c, r->parent < i && (i == 0) == (r->parent < 0),
                     "region with a wrong parent") ||
            i == 0)
            continue;
        const struct ir_region *p = &f->regions[r->parent];
        require(c, p->first <= r->first && r->last <= p->last, "region outside of its parent");
    }
}

const char *ir_check(struct heap *h, const struct ir_function *f)
{
    struct check c = {.heap = h, .f = f};
    for (c.at = 0; c.at < f->n_code && !c.wrong; c.at++)
        check_instr(&c, &f->code[c.at]);
    if (!c.wrong)
        check_flow(&c);
    if (!c.wrong)
        check_regions(&c);
    return c.wrong;
}
