/*
 * lower_place.c: lvalues, and records wherever they come from, as places; reading, writing, copying
 * and clearing what is there. A place holds as long as a value does (lower.h).
 */
#include "lego/lower.h"
#include "lego/type.h"

struct place place_of_object(struct ir_object *object)
{
    return (struct place){.object = object, .is_volatile = object->is_volatile};
}

struct place place_at(struct ir_expr *address)
{
    if (address->op == IR_ADDRESS) {
        struct place p = place_of_object(address->object);
        p.offset = address->value;
        return p;
    }
    return (struct place){.address = address};
}

static struct place moved(struct place p, int64_t offset)
{
    p.offset += offset;
    return p;
}

static struct place member_of(struct place p, const struct type *record, const struct field *field)
{
    /* the place stays the record's start, its size a limit: bits are accessed in bytes of the
     * record only */
    if (field->bit_width >= 0) {
        p.bits = field;
        p.limit = record->size;
    } else {
        p = moved(p, field->offset);
    }
    p.is_volatile |= field->type->is_volatile;
    return p;
}

struct ir_expr *place_address(struct lower *l, struct place p)
{
    if (p.object)
        return ir_address(&l->build, p.object, p.offset);
    return ir_binary(&l->build, IR_ADD, p.address, ir_int(&l->build, IR_I64, p.offset));
}

struct place place_stable(struct lower *l, struct place p)
{
    if (!p.object)
        p.address = lower_stable(l, p.address);
    return p;
}

/* A scalar object read or written as itself: READ and ASSIGN; all else is a LOAD or a STORE. */
static bool is_whole_object(struct place p, int64_t offset, enum ir_type t)
{
    return p.object && p.offset + offset == 0 && p.object->type == t;
}

/* A volatile read happens here and once: what is given is a temporary. */
struct ir_expr *memory_read(struct lower *l, struct place p, int64_t offset, enum ir_type t)
{
    struct ir_expr *value =
        is_whole_object(p, offset, t)
            ? ir_read(&l->build, p.object)
            : ir_load(&l->build, t, place_address(l, moved(p, offset)), p.is_volatile);
    return p.is_volatile ? lower_temporary(l, value) : value;
}

void memory_write(struct lower *l, struct place p, int64_t offset, enum ir_type t,
                  struct ir_expr *value)
{
    if (p.is_volatile) /* what is read for it was read before: the write stands alone */
        value = lower_simple(l, value);
    if (is_whole_object(p, offset, t)) {
        lower_assign(l, p.object, value);
        return;
    }
    struct ir_instr *i = lower_emit(l, IR_STORE);
    i->address = place_address(l, moved(p, offset));
    i->value = value;
}

struct ir_expr *place_read(struct lower *l, struct place p, const struct type *t)
{
    enum ir_type type = ir_type_of(t);
    return p.bits ? bits_read(l, p, type) : memory_read(l, p, 0, type);
}

void place_write(struct lower *l, struct place p, const struct type *t, struct ir_expr *value)
{
    enum ir_type type = ir_type_of(t);
    if (p.bits)
        bits_write(l, p, value);
    else
        memory_write(l, p, 0, type, value);
}

/* The widest unit for what is left. */
static enum ir_type unit_for(int64_t bytes)
{
    return bytes >= 8 ? IR_U64 : bytes >= 4 ? IR_U32 : bytes >= 2 ? IR_U16 : IR_U8;
}

/* Records overlap exactly or not at all (C11 6.5.16.1), so the order of the units does not matter.
   No unit reaches over the record's end. */
void memory_copy(struct lower *l, struct place to, struct place from, int64_t size)
{
    /* The copy may overwrite what the addresses are read from. */
    to = place_stable(l, to);
    from = place_stable(l, from);
    if (size > LOWER_INLINE_BYTES) {
        struct ir_expr *args[] = {lower_simple(l, place_address(l, to)),
                                  lower_simple(l, place_address(l, from)),
                                  ir_int(&l->build, IR_U64, size)};
        lower_library(l, "memcpy", args, 3, NULL);
        return;
    }
    for (int64_t at = 0; at < size; at += ir_type_size(unit_for(size - at))) {
        enum ir_type t = unit_for(size - at);
        memory_write(l, to, at, t, memory_read(l, from, at, t));
    }
}

void memory_clear(struct lower *l, struct place to, int64_t size)
{
    to = place_stable(l, to);
    if (size > LOWER_INLINE_BYTES) {
        struct ir_expr *args[] = {lower_simple(l, place_address(l, to)),
                                  ir_int(&l->build, IR_I32, 0), ir_int(&l->build, IR_U64, size)};
        lower_library(l, "memset", args, 3, NULL);
        return;
    }
    for (int64_t at = 0; at < size; at += ir_type_size(unit_for(size - at))) {
        enum ir_type t = unit_for(size - at);
        memory_write(l, to, at, t, ir_int(&l->build, t, 0));
    }
}

static struct place named(struct lower *l, struct expr *e)
{
    struct place p = e->decl->is_thread_local
                         ? place_at(lower_thread_address(l, e->decl))
                         : place_of_object(lower_object(l, e->decl));
    p.is_volatile |= e->type->is_volatile;
    return p;
}

/* One object for each literal of the text, filled again each time it is reached. */
static struct place compound_literal(struct lower *l, struct expr *e)
{
    struct decl *d = e->decl;
    struct ir_object *o = lower_object(l, d);
    /* at file scope the reader has made it data */
    if (o->place != IR_STATIC)
        lower_init(l, o, d->init, e->at);
    return place_of_object(o);
}

/* The record that a ? b : c chooses, by its address. */
static struct place conditional(struct lower *l, struct expr *e)
{
    if (!has_effects(e->b) && !has_effects(e->c) && e->b) {
        struct ir_expr *c = ir_condition(&l->build, lower_value(l, e->a));
        struct ir_expr *x = place_address(l, lower_place(l, e->b));
        struct ir_expr *y = place_address(l, lower_place(l, e->c));
        return place_at(ir_conditional(&l->build, c, x, y));
    }
    if (!e->b || !l->f)
        lower_refuse(l, e->at, "conditional record without its second operand");
    struct ir_object *t = ir_temporary(l->heap, l->f, IR_PTR);
    int otherwise = ir_label(l->f), end = ir_label(l->f);
    lower_branch(l, e->a, otherwise, false);
    lower_assign(l, t, place_address(l, lower_place(l, e->b)));
    lower_jump(l, end);
    lower_label(l, otherwise);
    lower_assign(l, t, place_address(l, lower_place(l, e->c)));
    lower_label(l, end);
    return place_at(ir_read(&l->build, t));
}

/* a = b of records: the value is found in a. */
static struct place assigned_record(struct lower *l, struct expr *e)
{
    struct place to = lower_place(l, e->a);
    /* b may change what the place of a is computed from */
    if (has_effects(e->b))
        to = place_stable(l, to);
    struct place from = lower_place(l, e->b);
    to = place_stable(l, to);
    memory_copy(l, to, from, e->type->size);
    return to;
}

static struct place statement_record(struct lower *l, struct expr *e)
{
    struct expr *last = lower_statement_expr(l, e);
    if (!last)
        lower_refuse(l, e->at, "statement expression without a value");
    return lower_place(l, last);
}

struct place lower_place(struct lower *l, struct expr *e)
{
    switch (e->kind) {
    case EXPR_NAME: return named(l, e);
    case EXPR_STRING: return place_of_object(lower_string(l, e));
    case EXPR_COMPOUND: return compound_literal(l, e);
    case EXPR_MEMBER: {
        struct place p = member_of(lower_place(l, e->a), e->a->type, e->field);
        p.is_volatile |= e->type->is_volatile;
        return p;
    }
    case EXPR_DEREF: {
        struct place p = place_at(lower_value(l, e->a));
        p.is_volatile |= e->type->is_volatile;
        return p;
    }
    case EXPR_CAST:
        if (type_is_pair(e->type))
            return lower_pair_place(l, e);
        return lower_place(l, e->a); /* a record to its own type */
    case EXPR_CALL: return lower_call_record(l, e, NULL);
    case EXPR_VA_ARG: return lower_va_arg_record(l, e);
    case EXPR_CONDITIONAL: return conditional(l, e);
    case EXPR_ASSIGN:
        return type_is_pair(e->type) ? lower_pair_assign(l, e) : assigned_record(l, e);
    case EXPR_STATEMENT: return statement_record(l, e);
    case EXPR_COMMA:
        lower_effects(l, e->a);
        return lower_place(l, e->b);
    default:
        if (type_is_pair(e->type))
            return lower_pair_place(l, e);
        lower_refuse(l, e->at, "expression that is no place of a record");
    }
}
