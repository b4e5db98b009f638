/*
 * lower_call.c: calls. Callee and arguments are evaluated from left to right and made simple
 * operands; moving them to where the ABI wants them is the target's.
 */
#include "lego/lower.h"

/* The bytes of a record argument; copied when later arguments may change them. */
static struct ir_expr *record_argument(struct lower *l, struct expr *e, bool effects_follow)
{
    struct place p = lower_place(l, e);
    bool own = p.object && p.object->place == IR_TEMPORARY; /* nobody else knows it */
    if (effects_follow && !own) {
        struct ir_object *copy = lower_bytes(l, "argument", e->type->size, e->type->align);
        memory_copy(l, place_of_object(copy), p, e->type->size);
        p = place_of_object(copy);
    }
    return lower_simple(l, place_address(l, p));
}

/* Aggregates are passed by the address of their bytes; how they travel is the target's. */
static struct ir_argument argument(struct lower *l, struct expr *e, bool effects_follow)
{
    struct ir_argument a = {0};
    enum ir_type t = ir_type_of(e->type);
    if (t == IR_VOID)
        lower_refuse(l, e->at, "argument without a value");
    if (t == IR_BYTES && e->type->kind != TYPE_ARRAY) {
        a.aggregate = e->type;
        a.value = record_argument(l, e, effects_follow);
        return a;
    }
    a.value = lower_value(l, e);
    if (effects_follow)
        a.value = lower_stable(l, a.value);
    a.value = lower_simple(l, a.value);
    return a;
}

static bool any_effects(struct expr *const *args, int n)
{
    for (int i = 0; i < n; i++)
        if (has_effects(args[i]))
            return true;
    return false;
}

/* ADDRESS of a function, or a READ of a pointer. */
static struct ir_expr *callee(struct lower *l, struct expr *e, bool effects_follow)
{
    struct ir_expr *f = lower_value(l, e);
    if (f->op == IR_ADDRESS && f->object->place == IR_FUNCTION && f->value == 0)
        return f;
    if (effects_follow)
        f = lower_stable(l, f);
    return f->op == IR_READ ? f : lower_temporary(l, f);
}

static void call(struct lower *l, struct expr *e, struct ir_object *result, struct type *aggregate)
{
    struct type *type = e->a->type->kind == TYPE_POINTER ? e->a->type->base : e->a->type;
    if (type->kind != TYPE_FUNCTION)
        lower_refuse(l, e->at, "call of something that is no function");
    builtin_must_be_known(l, e);
    struct ir_expr *f = callee(l, e->a, any_effects(e->args, e->n_args));
    struct ir_argument *args = heap_take(l->heap, (size_t)e->n_args * sizeof *args);
    for (int i = 0; i < e->n_args; i++)
        args[i] = argument(l, e->args[i], any_effects(e->args + i + 1, e->n_args - i - 1));
    struct ir_instr *i = lower_emit(l, IR_CALL);
    i->callee = f;
    i->callee_type = type;
    i->args = args;
    i->n_args = e->n_args;
    i->object = result;
    i->aggregate = aggregate;
}

struct ir_expr *lower_call(struct lower *l, struct expr *e, bool wanted)
{
    struct ir_expr *value;
    /* in a static initialiser only builtins that are constants, such as __builtin_inf() */
    if (!l->f && !has_effects(e->a) && lower_builtin(l, e, &value))
        return value; /* of a constant */
    if (!l->f)
        lower_refuse(l, e->at, "initializer is not constant: it calls a function");
    if (lower_builtin(l, e, &value))
        return value;
    enum ir_type t = ir_type_of(e->type);
    struct ir_object *result = t == IR_VOID || !wanted ? NULL : ir_temporary(l->heap, l->f, t);
    call(l, e, result, NULL);
    return result ? ir_read(&l->build, result) : NULL;
}

struct place lower_call_record(struct lower *l, struct expr *e, struct ir_object *result)
{
    if (!l->f)
        lower_refuse(l, e->at, "initializer is not constant: it calls a function");
    if (!result)
        result = lower_bytes(l, "result", e->type->size, e->type->align);
    call(l, e, result, e->type);
    return place_of_object(result);
}

/* The C type whose value an IR type is. */
static struct type *type_for(struct lower *l, enum ir_type t)
{
    static const enum type_kind kinds[] = {
        [IR_I8] = TYPE_SCHAR,   [IR_U8] = TYPE_UCHAR,    [IR_I16] = TYPE_SHORT,
        [IR_U16] = TYPE_USHORT, [IR_I32] = TYPE_INT,     [IR_U32] = TYPE_UINT,
        [IR_I64] = TYPE_LONG,   [IR_U64] = TYPE_ULONG,   [IR_F32] = TYPE_FLOAT,
        [IR_F64] = TYPE_DOUBLE, [IR_F80] = TYPE_LDOUBLE, [IR_PTR] = TYPE_POINTER,
        [IR_BYTES] = TYPE_VOID, [IR_VOID] = TYPE_VOID};
    struct type *type = heap_take(l->heap, sizeof *type);
    type->kind = kinds[t];
    type->size = type->align = t == IR_VOID ? 1 : ir_type_size(t);
    type->plain = type;
    if (t == IR_PTR)
        type->base = type_for(l, IR_VOID);
    return type;
}

void lower_library(struct lower *l, const char *symbol, struct ir_expr *const *args, int n,
                   struct ir_object *result)
{
    struct type *type = heap_take(l->heap, sizeof *type);
    /* of exactly the types that are passed: nothing is left to be promoted */
    type->kind = TYPE_FUNCTION;
    type->size = type->align = 1;
    type->plain = type;
    type->base = type_for(l, result ? result->type : IR_VOID);
    type->params = heap_take(l->heap, (size_t)n * sizeof(struct type *));
    type->n = n;
    struct ir_argument *list = heap_take(l->heap, (size_t)n * sizeof *list);
    for (int i = 0; i < n; i++) {
        type->params[i] = type_for(l, args[i]->type);
        list[i].value = lower_simple(l, args[i]);
    }
    struct ir_expr *f = ir_address(&l->build, lower_function(l, symbol), 0);
    struct ir_instr *i = lower_emit(l, IR_CALL);
    i->callee = f;
    i->callee_type = type;
    i->args = list;
    i->n_args = n;
    i->object = result;
}
