/*
 * state_path.c: the path that a block takes from an entry state, for state_steer.h: an interpreter
 * that records what was written, compared and accessed. Memory after n writes is the entry state
 * with the first n writes laid over it, so that every value of the past can be asked for.
 */
#include "lego/state_steer.h"

#include <math.h>
#include <string.h>

/* ---- values ---- */

/* Values are kept extended to 64 bits as their type says, so that one comparison of each kind will
 * do. */
int64_t steer_wrap(enum ir_type t, int64_t value)
{
    switch (t) {
    case IR_I8: return (int8_t)value;
    case IR_U8: return (uint8_t)value;
    case IR_I16: return (int16_t)value;
    case IR_U16: return (uint16_t)value;
    case IR_I32: return (int32_t)value;
    case IR_U32: return (uint32_t)value;
    default: return value;
    }
}

void steer_load(enum ir_type t, const unsigned char *at, struct steer_value *out)
{
    float single;
    double wide;
    *out = (struct steer_value){0};
    if (t == IR_F32) {
        memcpy(&single, at, sizeof single);
        out->real = (long double)single;
    } else if (t == IR_F64) {
        memcpy(&wide, at, sizeof wide);
        out->real = (long double)wide;
    } else if (t == IR_F80) {
        memcpy(&out->real, at, 10);
    } else {
        memcpy(&out->integer, at, (size_t)ir_type_size(t));
        out->integer = steer_wrap(t, out->integer);
    }
}

/* Rounding twice may miss a bit of what the machine computes; a state is a suggestion only. */
static long double round_to(enum ir_type t, long double value)
{
    if (t == IR_F32)
        return (long double)(float)value;
    return t == IR_F64 ? (long double)(double)value : value;
}

void steer_store(enum ir_type t, struct steer_value value, unsigned char *at)
{
    float single = (float)value.real;
    double wide = (double)value.real;
    if (t == IR_F32)
        memcpy(at, &single, sizeof single);
    else if (t == IR_F64)
        memcpy(at, &wide, sizeof wide);
    else if (t == IR_F80)
        memcpy(at, &value.real, 10);
    else
        memcpy(at, &value.integer, (size_t)ir_type_size(t));
}

/* An F80 has 16 bytes in memory, of which the x87 writes 10 (System V x86-64, 3.1.2). */
static size_t stored_size(enum ir_type t)
{
    return t == IR_F80 ? 10 : (size_t)ir_type_size(t);
}

/* ---- memory ---- */

/* Unsigned, so that an address below the image is far above its end. */
bool steer_place(const struct steer_path *p, int64_t address, size_t size, uint32_t *at)
{
    uint64_t offset = (uint64_t)address - STATE_IMAGE_AT;
    if (offset > p->layout->size || size > p->layout->size - offset)
        return false;
    *at = (uint32_t)offset;
    return true;
}

/* Writes are laid over each other in their order: the last one to a byte counts. */
static void read_at(const struct steer_path *p, uint32_t at, size_t size, int time,
                    unsigned char *out)
{
    memcpy(out, p->image + at, size);
    for (int i = 0; i < time; i++) {
        const struct steer_write *w = &p->writes[i];
        if (w->at >= at + size || at >= w->at + w->size)
            continue;
        uint32_t from = w->at > at ? w->at : at;
        uint32_t to = w->at + w->size < at + size ? w->at + w->size : (uint32_t)(at + size);
        memcpy(out + (from - at), w->bytes + (from - w->at), to - from);
    }
}

/* ---- expressions ---- */

/* Out of range it is undefined (C11 6.3.1.4): the path ends, as the reference's run will. */
static bool convert(enum ir_type to, enum ir_type from, struct steer_value *v)
{
    bool real = ir_is_float(from);
    if (ir_is_float(to)) {
        if (!real)
            v->real = from == IR_U64 ? (long double)(uint64_t)v->integer : (long double)v->integer;
        v->real = round_to(to, v->real);
        return true;
    }
    if (!real) {
        v->integer = steer_wrap(to, v->integer);
        return true;
    }
    long double low = to == IR_U64 ? 0 : -0x1p63L, high = to == IR_U64 ? 0x1p64L : 0x1p63L;
    if (!(v->real >= low && v->real < high))
        return false;
    v->integer = to == IR_U64 ? (int64_t)(uint64_t)v->real : (int64_t)v->real;
    v->integer = steer_wrap(to, v->integer);
    return true;
}

/* A NaN is unequal to all and not ordered; for the other operators that is "false". */
static bool compare(enum ir_op op, enum ir_type t, struct steer_value a, struct steer_value b)
{
    bool less = a.integer < b.integer, equal = a.integer == b.integer;
    if (ir_is_float(t)) {
        less = a.real < b.real;
        equal = a.real == b.real;
        if (a.real != a.real || b.real != b.real)
            return op == IR_UNEQUAL;
    } else if (!ir_is_signed(t)) {
        less = (uint64_t)a.integer < (uint64_t)b.integer;
    }
    switch (op) {
    case IR_EQUAL: return equal;
    case IR_UNEQUAL: return !equal;
    case IR_LESS: return less;
    case IR_LESS_EQUAL: return less || equal;
    case IR_GREATER: return !less && !equal;
    default: return !less;
    }
}

static bool real_binary(const struct steer_expr *e, long double a, long double b,
                        struct steer_value *out)
{
    switch (e->op) {
    case IR_ADD: out->real = round_to(e->type, a + b); return true;
    case IR_SUBTRACT: out->real = round_to(e->type, a - b); return true;
    case IR_MULTIPLY: out->real = round_to(e->type, a * b); return true;
    case IR_DIVIDE: out->real = round_to(e->type, a / b); return true;
    default: return false;
    }
}

/* What traps has no value. */
static bool divide(const struct steer_expr *e, int64_t a, int64_t b, int64_t *out)
{
    if (b == 0 || (b == -1 && ir_is_signed(e->type) && a == INT64_MIN))
        return false;
    if (ir_is_signed(e->type))
        *out = e->op == IR_DIVIDE ? a / b : a % b;
    else
        *out = e->op == IR_DIVIDE ? (int64_t)((uint64_t)a / (uint64_t)b)
                                  : (int64_t)((uint64_t)a % (uint64_t)b);
    return true;
}

/* In unsigned arithmetic: overflow is undefined in the block, and must not be so in us. */
static bool integer_binary(const struct steer_expr *e, int64_t a, int64_t b,
                           struct steer_value *out)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    int64_t r;
    bool shifts = e->op == IR_SHIFT_LEFT || e->op == IR_SHIFT_RIGHT;
    if (shifts && (b < 0 || b >= 8 * ir_type_size(e->type)))
        return false;
    switch (e->op) {
    case IR_ADD: r = (int64_t)(x + y); break;
    case IR_SUBTRACT: r = (int64_t)(x - y); break;
    case IR_MULTIPLY: r = (int64_t)(x * y); break;
    case IR_SHIFT_LEFT: r = (int64_t)(x << y); break;
    case IR_SHIFT_RIGHT: r = ir_is_signed(e->type) ? a >> b : (int64_t)(x >> y); break;
    case IR_AND: r = a & b; break;
    case IR_XOR: r = a ^ b; break;
    case IR_OR: r = a | b; break;
    default:
        if (!divide(e, a, b, &r))
            return false;
    }
    out->integer = steer_wrap(e->type, r);
    return true;
}

static bool evaluate_unary(const struct steer_expr *e, struct steer_value *v)
{
    if (e->op == IR_CONVERT)
        return convert(e->type, e->a->type, v);
    if (e->op == IR_NOT) {
        *v = (struct steer_value){.integer = v->integer == 0};
    } else if (ir_is_float(e->type)) {
        v->real = -v->real;
    } else {
        uint64_t bits = (uint64_t)v->integer;
        v->integer = steer_wrap(e->type, (int64_t)(e->op == IR_NEGATE ? 0 - bits : ~bits));
    }
    return true;
}

/* Of && and || the second side is looked at only when C does. */
static bool evaluate_binary(const struct steer_path *p, const struct steer_expr *e, int time,
                            struct steer_value *out)
{
    struct steer_value a, b;
    if (!steer_evaluate(p, e->a, time, &a))
        return false;
    if (e->op == IR_LOGICAL_AND || e->op == IR_LOGICAL_OR) {
        *out = (struct steer_value){.integer = a.integer != 0};
        if ((a.integer != 0) == (e->op == IR_LOGICAL_OR))
            return true;
        if (!steer_evaluate(p, e->b, time, &b))
            return false;
        out->integer = b.integer != 0;
        return true;
    }
    if (!steer_evaluate(p, e->b, time, &b))
        return false;
    *out = (struct steer_value){0};
    if (e->op >= IR_EQUAL) {
        out->integer = compare(e->op, e->a->type, a, b);
        return true;
    }
    return ir_is_float(e->type) ? real_binary(e, a.real, b.real, out)
                                : integer_binary(e, a.integer, b.integer, out);
}

bool steer_evaluate(const struct steer_path *p, const struct steer_expr *e, int time,
                    struct steer_value *out)
{
    unsigned char bytes[16] = {0};
    uint32_t at;
    switch (e->op) {
    case IR_INT:
        *out = (struct steer_value){.integer = e->value};
        return true;
    case IR_ADDRESS:
        *out = (struct steer_value){.integer = (int64_t)p->layout->addresses[e->operand]};
        return true;
    case IR_READ:
        read_at(p, p->layout->offsets[e->operand], stored_size(e->type), time, bytes);
        steer_load(e->type, bytes, out);
        return true;
    case IR_LOAD:
        if (!steer_evaluate(p, e->a, time, out) ||
            !steer_place(p, out->integer, stored_size(e->type), &at))
            return false;
        read_at(p, at, stored_size(e->type), time, bytes);
        steer_load(e->type, bytes, out);
        return true;
    case IR_CONVERT: case IR_NEGATE: case IR_COMPLEMENT: case IR_NOT:
        return steer_evaluate(p, e->a, time, out) && evaluate_unary(e, out);
    case IR_CONDITIONAL:
        return steer_evaluate(p, e->a, time, out) &&
               steer_evaluate(p, out->integer ? e->b : e->c, time, out);
    default:
        return evaluate_binary(p, e, time, out);
    }
}

/* ---- the path ---- */

/** Notes an access whose address has a value; false: it is not inside the image. */
static bool note_access(struct steer_path *p, const struct steer_expr *address, enum ir_type t,
                        int64_t value, int time)
{
    uint32_t at;
    if (!steer_place(p, value, stored_size(t), &at))
        return false;
    /* full: the access itself is fine, only not remembered */
    if (p->n_accesses < STEER_ACCESSES)
        p->accesses[p->n_accesses++] =
            (struct steer_access){address, (uint32_t)ir_type_size(t), time};
    return true;
}

/** Notes the comparisons and loads that evaluating e makes, in their order, and a load that faults.
 */
static void note_goals(struct steer_path *p, const struct steer_expr *e, int time)
{
    struct steer_value v;
    if (!e)
        return;
    note_goals(p, e->a, time);
    if (e->op == IR_LOGICAL_AND || e->op == IR_LOGICAL_OR) {
        if (steer_evaluate(p, e->a, time, &v) && (v.integer != 0) == (e->op == IR_LOGICAL_AND))
            note_goals(p, e->b, time);
    } else if (e->op == IR_CONDITIONAL) {
        if (steer_evaluate(p, e->a, time, &v))
            note_goals(p, v.integer ? e->b : e->c, time);
    } else {
        note_goals(p, e->b, time);
    }
    if (e->op >= IR_EQUAL && e->op <= IR_GREATER_EQUAL && p->n_goals < STEER_GOALS)
        p->goals[p->n_goals++] = (struct steer_goal){e, time};
    if (e->op == IR_LOAD && !p->fault && steer_evaluate(p, e->a, time, &v) &&
        !note_access(p, e->a, e->type, v.integer, time)) {
        p->fault = e->a;
        p->fault_time = time;
    }
}

/* False: the path ends here, at a fault, an undefined value or the end of the record. */
static bool write_line(struct steer_path *p, const struct steer_line *line)
{
    struct steer_value value, address;
    /* behind the last one when the record is full, and not touched then */
    struct steer_write *w = &p->writes[p->n_writes];
    if (p->n_writes == STEER_WRITES || !steer_evaluate(p, line->value, p->n_writes, &value))
        return false;
    *w = (struct steer_write){.line = line, .size = (uint32_t)stored_size(line->type)};
    if (line->code == IR_ASSIGN) {
        w->at = p->layout->offsets[line->operand];
    } else {
        if (!steer_evaluate(p, line->address, p->n_writes, &address))
            return false;
        if (!steer_place(p, address.integer, w->size, &w->at)) {
            p->fault = line->address;
            p->fault_time = p->n_writes;
            return false;
        }
        note_access(p, line->address, line->type, address.integer, p->n_writes);
    }
    steer_store(line->type, value, w->bytes);
    p->n_writes++;
    return true;
}

/* STEER_STEPS bounds loops: of these the first rounds are solved for. */
void steer_trace(struct steer_path *p)
{
    struct steer_value value;
    p->n_writes = p->n_goals = p->n_accesses = 0;
    p->fault = NULL;
    int at = 0;
    for (int steps = 0; steps < STEER_STEPS && at >= 0 && at < p->program->n; steps++) {
        const struct steer_line *line = &p->program->lines[at++];
        /* before the line's own write: that is when it is evaluated */
        note_goals(p, line->address, p->n_writes);
        note_goals(p, line->value, p->n_writes);
        if (line->code == IR_ASSIGN || line->code == IR_STORE) {
            if (!write_line(p, line))
                return;
        } else if (line->code == IR_JUMP) {
            at = line->label;
        } else if (line->code == IR_BRANCH) {
            if (!steer_evaluate(p, line->value, p->n_writes, &value))
                return;
            at = value.integer ? line->label : at;
        }
        /* later comparisons could not be noted any more */
        if (p->n_goals == STEER_GOALS)
            return;
    }
}
