/*
 * state_solve.c: makes comparisons hold, for state_steer.h. An equation "expression = value" is
 * taken apart from the outside: every operator is inverted for one of its sides, the other
 * keeps the value that it has on this path. What is read was either written by a line before, whose
 * expression is then solved, or lies in the entry state, which is changed. Places that were
 * set for one comparison are not changed for another, so that several hold together.
 */
#include "lego/state_steer.h"

#include <math.h>
#include <string.h>

/* Bounds: a chain of writes is followed so deep, and so many comparisons of a path are tried; more
 * only costs time that further states use better. */
enum { DEPTH_MOST = 40, GOALS_MOST = 8 };

static bool chance(struct steer_path *p, uint32_t one_in)
{
    return rng_below(p->rng, one_in) == 0;
}

static struct steer_value integer_value(int64_t value)
{
    return (struct steer_value){.integer = value};
}

/* ---- memory ---- */

static bool overlap(uint32_t at, size_t size, uint32_t other, size_t other_size)
{
    return at < other + other_size && other < at + size;
}

/** May these bytes of the entry state be set? Not constants, nor what was set before. */
static bool is_free(const struct steer_path *p, uint32_t at, size_t size)
{
    if (p->n_pins == STEER_PINS)
        return false;
    for (int i = 0; i < p->n_pins; i++)
        if (overlap(at, size, p->pins[i].at, p->pins[i].size))
            return false;
    for (int i = 0; i < p->block->n_operands; i++)
        if (p->block->operands[i].kind == OPERAND_CONSTANT &&
            overlap(at, size, p->layout->offsets[i], (size_t)p->layout->sizes[i]))
            return false;
    size_t scratch = p->layout->rsp < 128 ? 0 : p->layout->rsp - 128;
    return !overlap(at, size, (uint32_t)scratch, 128);
}

/** Makes the bytes at `at` hold the value after `time` writes. */
static bool set_memory(struct steer_path *p, enum ir_type t, uint32_t at, struct steer_value wanted,
                       int time, int depth)
{
    unsigned char bytes[16] = {0};
    struct steer_value check;
    size_t size = t == IR_F80 ? 10 : (size_t)ir_type_size(t);
    for (int i = time; i-- > 0;) {
        const struct steer_write *w = &p->writes[i];
        if (!overlap(at, size, w->at, w->size))
            continue;
        return w->at == at && w->size == size && w->line->type == t &&
               steer_solve(p, w->line->value, wanted, i, depth + 1);
    }
    steer_store(t, wanted, bytes);
    steer_load(t, bytes, &check);
    bool same = ir_is_float(t) ? check.real == wanted.real : check.integer == wanted.integer;
    if (!same)
        return false;
    if (memcmp(p->image + at, bytes, size) != 0 && !is_free(p, at, size))
        return false;
    memcpy(p->image + at, bytes, size);
    if (p->n_pins < STEER_PINS) {
        p->pins[p->n_pins].at = at;
        p->pins[p->n_pins++].size = (uint32_t)size;
    }
    return true;
}

/* ---- operators ---- */

/* Floats first: what rounds has many sources, of which the nearest is taken. An integer type that
 * cannot hold the value gives no solution. */
static bool solve_convert(struct steer_path *p, const struct steer_expr *e,
                          struct steer_value wanted, int time, int depth)
{
    enum ir_type from = e->a->type;
    struct steer_value inner = {0};
    if (ir_is_float(from)) {
        inner.real = ir_is_float(e->type) ? wanted.real : (long double)wanted.integer;
        if (e->type == IR_U64)
            inner.real = (long double)(uint64_t)wanted.integer;
    } else if (ir_is_float(e->type)) {
        if (!(fabsl(wanted.real) < 9e18L) || floorl(wanted.real) != wanted.real)
            return false;
        inner.integer = steer_wrap(from, (int64_t)wanted.real);
        if ((long double)inner.integer != wanted.real)
            return false;
    } else {
        inner.integer = steer_wrap(from, wanted.integer);
        if (steer_wrap(e->type, inner.integer) != wanted.integer)
            return false;
        if (ir_type_size(from) > ir_type_size(e->type) && chance(p, 3)) /* bits that are cut off */
            inner.integer = steer_wrap(
                from, inner.integer ^ (int64_t)((rng_u64(p->rng) << 8 * ir_type_size(e->type))));
    }
    return steer_solve(p, e->a, inner, time, depth + 1);
}

/** e is unknown op known; false: no value of the unknown gives it. */
static bool invert_left(struct steer_path *p, const struct steer_expr *e, int64_t w, int64_t b,
                        int64_t old, int64_t *out)
{
    uint64_t x = (uint64_t)w, y = (uint64_t)b;
    switch (e->op) {
    case IR_ADD: *out = (int64_t)(x - y); return true;
    case IR_SUBTRACT: *out = (int64_t)(x + y); return true;
    case IR_XOR: *out = w ^ b; return true;
    case IR_AND:
        *out = w | (old & ~b);
        return (w & ~b) == 0;
    case IR_OR:
        *out = (w & ~b) | (old & b & (chance(p, 2) ? -1 : 0));
        return (w & b) == b;
    case IR_MULTIPLY:
        *out = b ? w / (b == -1 ? 1 : b) : 0;
        if (b == -1)
            *out = (int64_t)(0 - x);
        return b != 0 && (b == -1 || w % b == 0);
    case IR_DIVIDE:
        *out = (int64_t)(x * y);
        return b != 0;
    case IR_REMAINDER:
        *out = (int64_t)(x + y * rng_below(p->rng, 4));
        return b != 0;
    case IR_SHIFT_LEFT:
        if (b < 0 || b > 63)
            return false;
        *out = ir_is_signed(e->type) ? w >> b : (int64_t)(x >> y);
        return (int64_t)((uint64_t)*out << b) == w;
    case IR_SHIFT_RIGHT:
        if (b < 0 || b > 63)
            return false;
        *out = (int64_t)((x << y) | ((uint64_t)old & ((UINT64_C(1) << y) - 1)));
        return true;
    default: return false;
    }
}

/** e is known op unknown. */
static bool invert_right(struct steer_path *p, const struct steer_expr *e, int64_t w, int64_t a,
                         int64_t old, int64_t *out)
{
    switch (e->op) {
    case IR_SUBTRACT: *out = (int64_t)((uint64_t)a - (uint64_t)w); return true;
    case IR_ADD: case IR_MULTIPLY: case IR_AND: case IR_OR: case IR_XOR:
        return invert_left(p, e, w, a, old, out);
    default: return false;
    }
}

/*
 * Either side may be the one that can be set: in random order, so that both are, over the states.
 */
static bool solve_integer(struct steer_path *p, const struct steer_expr *e, int64_t wanted,
                          int time, int depth)
{
    struct steer_value a, b;
    int64_t inner;
    if (!steer_evaluate(p, e->a, time, &a) || !steer_evaluate(p, e->b, time, &b))
        return false;
    bool right_first = chance(p, 2);
    for (int i = 0; i < 2; i++) {
        bool right = right_first == (i == 0);
        const struct steer_expr *side = right ? e->b : e->a;
        bool found = right ? invert_right(p, e, wanted, a.integer, b.integer, &inner)
                           : invert_left(p, e, wanted, b.integer, a.integer, &inner);
        if (found && steer_solve(p, side, integer_value(steer_wrap(side->type, inner)), time,
                                 depth + 1))
            return true;
    }
    return false;
}

/* Rounding may leave the result beside what is wanted; the next states try others. */
static bool solve_real(struct steer_path *p, const struct steer_expr *e, long double w, int time,
                       int depth)
{
    struct steer_value a, b, inner = {0};
    if (!steer_evaluate(p, e->a, time, &a) || !steer_evaluate(p, e->b, time, &b))
        return false;
    bool right_first = chance(p, 2);
    for (int i = 0; i < 2; i++) {
        bool right = right_first == (i == 0);
        switch (e->op) {
        case IR_ADD: inner.real = w - (right ? a.real : b.real); break;
        case IR_SUBTRACT: inner.real = right ? a.real - w : w + b.real; break;
        case IR_MULTIPLY: inner.real = w / (right ? a.real : b.real); break;
        default: inner.real = right ? a.real / w : w * b.real;
        }
        if (isfinite(inner.real) && steer_solve(p, right ? e->b : e->a, inner, time, depth + 1))
            return true;
    }
    return false;
}

/** Other bits above the low 8, 16 or 32: what a comparison that is too narrow takes for equal. */
static int64_t change_high_bits(struct steer_path *p, enum ir_type t, int64_t value)
{
    int size = (int)ir_type_size(t), low = 1 << rng_below(p->rng, 3);
    if (low >= size)
        low = size / 2 ? size / 2 : 1;
    uint64_t bits = rng_u64(p->rng) << 8 * low;
    if (chance(p, 2))
        bits = UINT64_C(1) << (8 * low + (int)rng_below(p->rng, 8));
    return steer_wrap(t, (int64_t)((uint64_t)value ^ bits));
}

/** One side becomes the other plus delta (of floats: the next one in that direction; WIDER: equal
 * to it in the low bits only). */
enum { WIDER = 100 };
static bool solve_difference(struct steer_path *p, const struct steer_expr *e, int delta, int time,
                             int depth)
{
    struct steer_value a, b, wanted = {0};
    enum ir_type t = e->a->type;
    if (!steer_evaluate(p, e->a, time, &a) || !steer_evaluate(p, e->b, time, &b))
        return false;
    bool right_first = chance(p, 3);
    for (int i = 0; i < 2; i++) {
        bool right = right_first == (i == 0);
        const struct steer_value *other = right ? &a : &b;
        int d = right ? -delta : delta;
        if (ir_is_float(t)) {
            long double towards = d > 0 ? HUGE_VALL : -HUGE_VALL;
            wanted.real = other->real;
            if (d && t == IR_F32)
                wanted.real = (long double)nextafterf((float)other->real, (float)towards);
            else if (d)
                wanted.real = (long double)nextafter((double)other->real, (double)towards);
        } else {
            wanted.integer = steer_wrap(t, (int64_t)((uint64_t)other->integer + (uint64_t)d));
            if (delta == WIDER)
                wanted.integer = change_high_bits(p, t, other->integer);
        }
        if (steer_solve(p, right ? e->b : e->a, wanted, time, depth + 1))
            return true;
    }
    return false;
}

/** A comparison is to be true or false. */
static bool solve_truth(struct steer_path *p, const struct steer_expr *e, bool wanted, int time,
                        int depth)
{
    int other = chance(p, 2) ? 1 : -1;
    switch (e->op) {
    case IR_EQUAL: return solve_difference(p, e, wanted ? 0 : other, time, depth);
    case IR_UNEQUAL: return solve_difference(p, e, wanted ? other : 0, time, depth);
    case IR_LESS: return solve_difference(p, e, wanted ? -1 : chance(p, 2), time, depth);
    case IR_LESS_EQUAL: return solve_difference(p, e, wanted ? -(int)chance(p, 2) : 1, time, depth);
    case IR_GREATER: return solve_difference(p, e, wanted ? 1 : -(int)chance(p, 2), time, depth);
    default: return solve_difference(p, e, wanted ? chance(p, 2) : -1, time, depth);
    }
}

/* Where one side is enough the other one keeps whatever it has. */
static bool solve_logical(struct steer_path *p, const struct steer_expr *e, bool wanted, int time,
                          int depth)
{
    bool all = (e->op == IR_LOGICAL_AND) == wanted; /* both sides have to agree */
    const struct steer_expr *first = chance(p, 2) ? e->a : e->b;
    bool one = steer_solve(p, first, integer_value(wanted), time, depth + 1);
    if (one && !all)
        return true;
    return (one || !all) &&
           steer_solve(p, first == e->a ? e->b : e->a, integer_value(wanted), time, depth + 1);
}

bool steer_solve(struct steer_path *p, const struct steer_expr *e, struct steer_value wanted,
                 int time, int depth)
{
    struct steer_value v;
    uint32_t at;
    if (depth > DEPTH_MOST)
        return false;
    switch (e->op) {
    case IR_INT: case IR_ADDRESS:
        return steer_evaluate(p, e, time, &v) && v.integer == wanted.integer;
    case IR_READ:
        return set_memory(p, e->type, p->layout->offsets[e->operand], wanted, time, depth);
    case IR_LOAD:
        return steer_evaluate(p, e->a, time, &v) &&
               steer_place(p, v.integer, (size_t)ir_type_size(e->type), &at) &&
               set_memory(p, e->type, at, wanted, time, depth);
    case IR_CONVERT:
        return solve_convert(p, e, wanted, time, depth);
    case IR_NEGATE:
        wanted.integer = steer_wrap(e->type, (int64_t)(0 - (uint64_t)wanted.integer));
        wanted.real = -wanted.real;
        return steer_solve(p, e->a, wanted, time, depth + 1);
    case IR_COMPLEMENT:
        return steer_solve(p, e->a, integer_value(steer_wrap(e->type, ~wanted.integer)), time,
                           depth + 1);
    case IR_NOT:
        return steer_solve(p, e->a, integer_value(wanted.integer == 0), time, depth + 1);
    case IR_CONDITIONAL:
        return steer_evaluate(p, e->a, time, &v) &&
               steer_solve(p, v.integer ? e->b : e->c, wanted, time, depth + 1);
    case IR_LOGICAL_AND: case IR_LOGICAL_OR:
        return solve_logical(p, e, wanted.integer != 0, time, depth);
    default:
        break;
    }
    if (e->op >= IR_EQUAL)
        return (wanted.integer & ~INT64_C(1)) == 0 &&
               solve_truth(p, e, wanted.integer != 0, time, depth);
    return ir_is_float(e->type) ? solve_real(p, e, wanted.real, time, depth)
                                : solve_integer(p, e, wanted.integer, time, depth);
}

/* ---- an entry state ---- */

/** Beside equality the two sides of it; now and then what the comparison's truth asks for. */
static void solve_goal(struct steer_path *p, const struct steer_goal *g)
{
    static const int deltas[] = {0, 0, 0, 0, WIDER, 1, -1, 2};
    int delta = deltas[rng_below(p->rng, 8)];
    if (delta == 2) /* some rounds of a loop */
        delta = (int)rng_below(p->rng, 12) - 6;
    solve_difference(p, g->comparison, delta, g->time, 0);
}

/** A pointer that led out of the image gets an address of the arena. */
static bool mend_fault(struct steer_path *p)
{
    size_t zone = p->layout->arena_bytes / STATE_ZONES;
    uint64_t address = STATE_IMAGE_AT + p->layout->arena + zone * rng_below(p->rng, STATE_ZONES) +
                       16 * (uint64_t)rng_below(p->rng, 4);
    return steer_solve(p, p->fault, integer_value((int64_t)address), p->fault_time, 0);
}

void state_steer(const struct steer_program *program, const struct state_layout *l,
                 const struct block *block, unsigned char *image, struct rng *rng)
{
    struct steer_path p = {
        .program = program, .block = block, .layout = l, .image = image, .rng = rng};
    int next = 0;
    for (int i = 0; i < GOALS_MOST; i++) {
        steer_trace(&p);
        if (next >= p.n_goals) {
            if (!p.fault || !mend_fault(&p))
                return;
            continue;
        }
        while (next + 1 < p.n_goals && chance(&p, 4)) /* leave some as they are */
            next++;
        solve_goal(&p, &p.goals[next++]);
    }
}
