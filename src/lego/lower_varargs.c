/*
 * lower_varargs.c: va_arg and its kin by the x86-64 System V algorithm (ABI 3.5.7) on the list's
 * tag:
 *
 *     0  unsigned gp_offset          next general register in the save area; 48: none left
 *     4  unsigned fp_offset          next vector register; 176: none left
 *     8  char *overflow_arg_area     next argument on the stack
 *     16 char *reg_save_area
 */
#include "lego/lower.h"
#include "lego/type.h"

enum {
    GP_OFFSET = 0,
    FP_OFFSET = 4,
    OVERFLOW_AREA = 8,
    SAVE_AREA = 16,
    GP_END = 48,
    FP_END = 176,
    TAG_BYTES = 24
};

/** How a type travels: its eightbytes in general and vector registers; none: on the stack. */
struct travel {
    bool vector[2]; /* of each eightbyte */
    int n, n_general, n_vector;
};

/* Marks eightbytes that hold no float or double only; false: the type goes by memory. */
static bool mark(const struct type *t, int64_t offset, bool general[2], bool used[2])
{
    if (t->kind == TYPE_RECORD) {
        for (int i = 0; i < t->n; i++) {
            const struct field *f = &t->fields[i];
            if (f->bit_width >= 0) {
                int64_t first = (offset + f->offset) * 8 + f->bit_offset;
                int64_t last = (first + f->bit_width - 1) / 64;
                for (int64_t e = first / 64; f->bit_width > 0 && f->name && e <= last && e < 2; e++)
                    general[e] = used[e] = true;
            } else if (!mark(f->type, offset + f->offset, general, used)) {
                return false;
            }
        }
        return true;
    }
    if (t->kind == TYPE_ARRAY) {
        for (int64_t i = 0; t->base->size > 0 && i < t->length; i++)
            if (!mark(t->base, offset + i * t->base->size, general, used))
                return false;
        return true;
    }
    if (t->kind == TYPE_COMPLEX)
        return mark(t->base, offset, general, used) &&
               mark(t->base, offset + t->base->size, general, used);
    if (type_is_pair(t)) {
        used[0] = used[1] = general[0] = general[1] = true;
        return offset == 0;
    }
    /* x87 values and what is misaligned (packed) go by memory (3.2.3) */
    if (t->kind == TYPE_LDOUBLE || t->kind == TYPE_VA_LIST_TAG || t->size < 1 || offset % t->size ||
        offset >= 16)
        return false;
    used[offset / 8] = true;
    general[offset / 8] |= t->kind != TYPE_FLOAT && t->kind != TYPE_DOUBLE;
    return true;
}

static struct travel travel_of(struct lower *l, const struct type *t, struct location at)
{
    struct travel way = {0};
    bool general[2] = {false}, used[2] = {false};
    if (t->size > 16 || t->size < 1 || !mark(t, 0, general, used))
        return way;
    way.n = (int)((t->size + 7) / 8);
    for (int i = 0; i < way.n; i++) {
        /* of class NO_CLASS, which compilers treat in ways of their own */
        if (!used[i])
            lower_refuse(l, at, "va_arg of a record with an eightbyte of padding");
        way.vector[i] = !general[i];
        *(general[i] ? &way.n_general : &way.n_vector) += 1;
    }
    return way;
}

/* The list being read. */
struct list {
    struct lower *l;
    struct place tag;
};

static struct list open_list(struct lower *l, struct expr *pointer)
{
    struct list list = {l, place_at(lower_stable(l, lower_value(l, pointer)))};
    if (!l->f)
        lower_refuse(l, pointer->at, "initializer is not constant");
    return list;
}

static struct ir_expr *number(struct list *x, enum ir_type t, int64_t value)
{
    return ir_int(&x->l->build, t, value);
}

static struct ir_expr *add(struct list *x, struct ir_expr *a, int64_t n)
{
    return ir_binary(&x->l->build, IR_ADD, a, number(x, a->type == IR_PTR ? IR_I64 : a->type, n));
}

/* Jumps to `stack` when fewer than n registers of a kind are left. */
static void check_left(struct list *x, int field, int64_t end, int n, int bytes, int stack)
{
    if (n == 0)
        return;
    struct ir_expr *offset = memory_read(x->l, x->tag, field, IR_U32);
    struct ir_instr *i = lower_emit(x->l, IR_BRANCH);
    /* all of a record's eightbytes go by registers, or none (3.2.3) */
    i->value = ir_binary(&x->l->build, IR_GREATER, offset, number(x, IR_U32, end - n * bytes));
    i->label = stack;
}

/* The address of the next register of a kind, which is taken. */
static struct ir_expr *take_register(struct list *x, int field, int bytes)
{
    struct ir_expr *offset = lower_temporary(x->l, memory_read(x->l, x->tag, field, IR_U32));
    struct ir_expr *area = memory_read(x->l, x->tag, SAVE_AREA, IR_PTR);
    struct ir_expr *at = lower_temporary(
        x->l, ir_binary(&x->l->build, IR_ADD, area, ir_convert(&x->l->build, IR_I64, offset)));
    memory_write(x->l, x->tag, field, IR_U32, add(x, offset, bytes));
    return at;
}

/* The address of the next argument on the stack, which is taken. */
static struct ir_expr *take_stack(struct list *x, const struct type *t)
{
    struct ir_expr *at = memory_read(x->l, x->tag, OVERFLOW_AREA, IR_PTR);
    /* step 7 of 3.5.7: up to the next multiple of 16 */
    if (t->align > 8) {
        struct ir_expr *up = ir_convert(&x->l->build, IR_U64, add(x, at, t->align - 1));
        up = ir_binary(&x->l->build, IR_AND, up, number(x, IR_U64, -t->align));
        at = ir_convert(&x->l->build, IR_PTR, up);
    }
    at = lower_temporary(x->l, at);
    memory_write(x->l, x->tag, OVERFLOW_AREA, IR_PTR, add(x, at, (t->size + 7) / 8 * 8));
    return at;
}

static struct ir_expr *take_eightbyte(struct list *x, bool vector)
{
    return vector ? take_register(x, FP_OFFSET, 16) : take_register(x, GP_OFFSET, 8);
}

struct ir_expr *lower_va_arg(struct lower *l, struct expr *e)
{
    struct list x = open_list(l, e->a);
    struct travel way = travel_of(l, e->type, e->at);
    enum ir_type t = ir_type_of(e->type);
    if (way.n == 0)
        return lower_temporary(l, ir_load(&l->build, t, take_stack(&x, e->type), false));
    int stack = ir_label(l->f), end = ir_label(l->f);
    struct ir_object *value = ir_temporary(l->heap, l->f, t);
    check_left(&x, GP_OFFSET, GP_END, way.n_general, 8, stack);
    check_left(&x, FP_OFFSET, FP_END, way.n_vector, 16, stack);
    lower_assign(l, value, ir_load(&l->build, t, take_eightbyte(&x, way.vector[0]), false));
    lower_jump(l, end);
    lower_label(l, stack);
    lower_assign(l, value, ir_load(&l->build, t, take_stack(&x, e->type), false));
    lower_label(l, end);
    return ir_read(&l->build, value);
}

struct place lower_va_arg_record(struct lower *l, struct expr *e)
{
    struct list x = open_list(l, e->a);
    struct travel way = travel_of(l, e->type, e->at);
    /* whole eightbytes: registers are stored as such, also behind the record's end */
    int64_t align = e->type->align > 8 ? e->type->align : 8;
    struct ir_object *copy = lower_bytes(l, "va", (e->type->size + 7) / 8 * 8, align);
    struct place to = place_of_object(copy);
    int stack = ir_label(l->f), end = ir_label(l->f);
    if (way.n) {
        check_left(&x, GP_OFFSET, GP_END, way.n_general, 8, stack);
        check_left(&x, FP_OFFSET, FP_END, way.n_vector, 16, stack);
        for (int i = 0; i < way.n; i++) {
            struct ir_expr *at = take_eightbyte(&x, way.vector[i]);
            memory_write(l, to, i * 8, IR_U64, ir_load(&l->build, IR_U64, at, false));
        }
        lower_jump(l, end);
    }
    lower_label(l, stack);
    if (e->type->size > 0)
        memory_copy(l, to, place_at(take_stack(&x, e->type)), e->type->size);
    lower_label(l, end);
    return to;
}

void lower_va_other(struct lower *l, struct expr *e)
{
    if (e->kind == EXPR_VA_START) {
        struct ir_expr *tag = lower_simple(l, lower_value(l, e->a));
        lower_emit(l, IR_VA_START)->address = tag;
    } else if (e->kind == EXPR_VA_COPY) {
        struct ir_expr *to = lower_value(l, e->a);
        if (has_effects(e->b))
            to = lower_stable(l, to);
        struct ir_expr *from = lower_value(l, e->b);
        memory_copy(l, place_at(to), place_at(from), TAG_BYTES);
    } else {
        lower_effects(l, e->a);
    }
}
