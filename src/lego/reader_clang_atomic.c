/*
 * reader_clang_atomic.c: __sync_ and __atomic_ builtins as calls of libatomic, which does what they
 * say on every machine: "__atomic_fetch_add_4" for objects of 1, 2, 4 and 8 bytes, "__atomic_load"
 * with a size for what is given by address. Objects of type _Atomic are refused elsewhere.
 *
 * libclang gives the older ones as calls whose names end in the object's size, most of the newer
 * ones as nameless expressions with their operands in an order of its own: the text has the name
 * and the order.
 */
#include <stdlib.h>
#include <string.h>

#include "lego/reader_clang.h"

enum { ACQUIRE = 2, RELEASE = 3, SEQUENTIAL = 5, MAX_OPERANDS = 8 };

/* A builtin's use as it is worked on. */
struct atomic {
    struct reader *r;
    CXCursor at;
    struct location where;
    const char *name;               /* without "__sync_" or "__atomic_", and without a size */
    CXCursor operands[MAX_OPERANDS]; /* as written (n) */
    int n;
    struct type *object;            /* what the first operand points to; NULL: it is no pointer */
};

static struct type *basic(struct atomic *a, enum type_kind kind)
{
    return a->r->types.basic[kind];
}

static struct expr *number(struct atomic *a, enum type_kind kind, uint64_t value)
{
    return reader_int_node(a->r, basic(a, kind), value, a->where);
}

static struct expr *operand(struct atomic *a, int i, struct type *type)
{
    return reader_cast(a->r, reader_rvalue(a->r, a->operands[i]), type);
}

static struct expr *pointer(struct atomic *a, int i)
{
    return operand(a, i, type_pointer_to(a->r->heap, basic(a, TYPE_VOID)));
}

static struct expr *order(struct atomic *a, int i)
{
    return operand(a, i, basic(a, TYPE_INT));
}

static struct expr *call(struct atomic *a, const char *symbol, struct type *result,
                         struct expr *const *args, int n)
{
    struct reader *r = a->r;
    struct type *type = heap_take(r->heap, sizeof *type);
    *type = (struct type){
        .kind = TYPE_FUNCTION, .size = -1, .align = 1, .n = n, .plain = type, .base = result};
    type->params = heap_take(r->heap, (size_t)n * sizeof *type->params);
    struct expr *e = reader_node(r, EXPR_CALL, result, a->where);
    e->args = heap_take(r->heap, (size_t)n * sizeof *e->args);
    e->n_args = n;
    for (int i = 0; i < n; i++) {
        e->args[i] = args[i];
        type->params[i] = type_plain(args[i]->type);
    }
    struct decl *d = reader_library_function(r, symbol, type);
    e->a = reader_value(r, reader_name(r, d, a->where));
    return e;
}

/* ---- objects of a machine's size ---- */

/* The unsigned type that stands for the object in libatomic's functions. */
static struct type *word(struct atomic *a)
{
    switch (a->object ? a->object->size : 0) {
    case 1: return basic(a, TYPE_UCHAR);
    case 2: return basic(a, TYPE_USHORT);
    case 4: return basic(a, TYPE_UINT);
    case 8: return basic(a, TYPE_ULONG);
    default: reader_refuse(a->r, a->at, "an atomic operation on an object of this size");
    }
}

/* __atomic_OPERATION_4(p, operands...): a result of the object's type. */
static struct expr *sized(struct atomic *a, const char *operation, struct expr *const *operands,
                          int n, struct type *result)
{
    struct expr *args[MAX_OPERANDS] = {pointer(a, 0)};
    const char *symbol =
        heap_printf(a->r->heap, "__atomic_%s_%d", operation, (int)word(a)->size);
    for (int i = 0; i < n; i++)
        args[i + 1] = operands[i];
    return call(a, symbol, result, args, n + 1);
}

static bool is_scalar(const struct atomic *a)
{
    return a->object && type_is_scalar(a->object) && !type_is_float(a->object);
}

static struct expr *as_object(struct atomic *a, struct expr *e)
{
    return reader_cast(a->r, e, a->object);
}

static bool is(const struct atomic *a, const char *name)
{
    return strcmp(a->name, name) == 0;
}

static void want(struct atomic *a, int n, bool scalar)
{
    if (a->n < n || (scalar && !is_scalar(a)))
        reader_refuse(a->r, a->at, "the atomic operation %s of this form", a->name);
}

/* "fetch_add", "add_fetch" of the operators that there are; NULL: another name. */
static const char *operation_of(struct atomic *a, const char *fetch_first, const char *fetch_last)
{
    static const char *const operators[] = {"add", "sub", "or", "and", "xor", "nand"};
    for (int i = 0; i < 6; i++) {
        if (is(a, heap_printf(a->r->heap, "%s%s", fetch_first, operators[i])))
            return heap_printf(a->r->heap, "fetch_%s", operators[i]);
        if (is(a, heap_printf(a->r->heap, "%s%s", operators[i], fetch_last)))
            return heap_printf(a->r->heap, "%s_fetch", operators[i]);
    }
    return NULL;
}

/* (t = old, __atomic_compare_exchange_4(p, &t, new, 5, 5)); the value is that, or t. */
static struct expr *compare_and_swap(struct atomic *a, bool wants_old)
{
    struct reader *r = a->r;
    struct decl *t = reader_temporary(r, word(a), "expected", a->where);
    struct expr *set = reader_node(r, EXPR_ASSIGN, t->type, a->where);
    struct expr *both = reader_node(r, EXPR_COMMA, basic(a, TYPE_BOOL), a->where);
    set->a = reader_name(r, t, a->where);
    set->b = operand(a, 1, t->type);
    struct expr *address = reader_address(r, reader_name(r, t, a->where), a->where);
    address = reader_cast(r, address, type_pointer_to(r->heap, basic(a, TYPE_VOID)));
    struct expr *args[] = {address, operand(a, 2, t->type), number(a, TYPE_INT, SEQUENTIAL),
                           number(a, TYPE_INT, SEQUENTIAL)};
    both->a = set;
    both->b = sized(a, "compare_exchange", args, 4, basic(a, TYPE_BOOL));
    if (!wants_old)
        return both;
    struct expr *old = reader_node(r, EXPR_COMMA, t->type, a->where);
    old->a = both;
    old->b = reader_name(r, t, a->where);
    return as_object(a, old);
}

static struct expr *fence(struct atomic *a, struct expr *which)
{
    return call(a, "atomic_thread_fence", basic(a, TYPE_VOID), &which, 1);
}

/* ---- __sync_ ---- */

static struct expr *sync_form(struct atomic *a)
{
    const char *operation = operation_of(a, "fetch_and_", "_and_fetch");
    if (is(a, "synchronize"))
        return fence(a, number(a, TYPE_INT, SEQUENTIAL));
    bool swaps = is(a, "val_compare_and_swap");
    want(a, operation || is(a, "lock_test_and_set") ? 2 : is(a, "lock_release") ? 1 : 3, true);
    if (swaps || is(a, "bool_compare_and_swap"))
        return compare_and_swap(a, swaps);
    bool sets = is(a, "lock_test_and_set"), releases = is(a, "lock_release");
    if (!operation && !sets && !releases)
        reader_refuse(a->r, a->at, "the atomic operation __sync_%s", a->name);
    struct expr *value = releases ? number(a, TYPE_INT, 0) : reader_rvalue(a->r, a->operands[1]);
    struct expr *args[] = {reader_cast(a->r, value, word(a)),
                           number(a, TYPE_INT, sets       ? ACQUIRE
                                               : releases ? RELEASE
                                                          : SEQUENTIAL)};
    if (releases)
        return sized(a, "store", args, 2, basic(a, TYPE_VOID));
    return as_object(a, sized(a, sets ? "exchange" : operation, args, 2, word(a)));
}

/* ---- __atomic_ ---- */

/* __atomic_NAME(size, addresses..., orders...): of objects of any type. */
static struct expr *generic(struct atomic *a, int addresses, struct type *result)
{
    struct expr *args[MAX_OPERANDS];
    int n = 0, skip = is(a, "compare_exchange"); /* weak or not: libatomic's are strong */
    want(a, addresses + skip + 1, false);
    if (!a->object || a->object->size < 1)
        reader_refuse(a->r, a->at, "the atomic operation %s on an object of no size", a->name);
    args[n++] = number(a, TYPE_ULONG, (uint64_t)a->object->size);
    for (int i = 0; i < addresses; i++)
        args[n++] = pointer(a, i);
    for (int i = addresses + skip; i < a->n; i++)
        args[n++] = order(a, i);
    return call(a, heap_printf(a->r->heap, "__atomic_%s", a->name), result, args, n);
}

static struct expr *atomic_form(struct atomic *a)
{
    struct type *nothing = basic(a, TYPE_VOID), *truth = basic(a, TYPE_BOOL);
    const char *operation = operation_of(a, "fetch_", "_fetch");
    if (is(a, "load"))
        return generic(a, 2, nothing);
    if (is(a, "store"))
        return generic(a, 2, nothing);
    if (is(a, "exchange"))
        return generic(a, 3, nothing);
    if (is(a, "compare_exchange"))
        return generic(a, 3, truth);
    if (is(a, "load_n")) {
        want(a, 2, true);
        struct expr *args[] = {order(a, 1)};
        return as_object(a, sized(a, "load", args, 1, word(a)));
    }
    if (is(a, "compare_exchange_n")) {
        want(a, 6, true);
        struct expr *args[] = {pointer(a, 1), operand(a, 2, word(a)), order(a, 4), order(a, 5)};
        return sized(a, "compare_exchange", args, 4, truth);
    }
    bool stores = is(a, "store_n");
    if (!operation && !stores && !is(a, "exchange_n"))
        reader_refuse(a->r, a->at, "the atomic operation __atomic_%s", a->name);
    want(a, 3, true);
    struct expr *args[] = {operand(a, 1, word(a)), order(a, 2)};
    if (stores)
        return sized(a, "store", args, 2, nothing);
    return as_object(a, sized(a, operation ? operation : "exchange", args, 2, word(a)));
}

/* Those that libclang has as calls. */
static struct expr *atomic_call(struct atomic *a)
{
    int64_t value;
    if (reader_evaluate(a->at, &value)) /* __atomic_always_lock_free */
        return reader_int_node(a->r, reader_type_of(a->r, a->at), (uint64_t)value, a->where);
    if (is(a, "thread_fence") && a->n == 1)
        return fence(a, order(a, 0));
    if (is(a, "signal_fence") && a->n == 1)
        return reader_cast(a->r, order(a, 0), basic(a, TYPE_VOID));
    bool clears = is(a, "clear");
    if ((!clears && !is(a, "test_and_set")) || a->n != 2)
        reader_refuse(a->r, a->at, "the atomic operation __atomic_%s", a->name);
    a->object = basic(a, TYPE_UCHAR);
    struct expr *args[] = {number(a, TYPE_UCHAR, !clears), order(a, 1)};
    if (clears)
        return sized(a, "store", args, 2, basic(a, TYPE_VOID));
    return reader_cast(a->r, sized(a, "exchange", args, 2, basic(a, TYPE_UCHAR)),
                       basic(a, TYPE_BOOL));
}

/* ---- entry ---- */

static struct atomic open(struct reader *r, CXCursor at, const char *name, struct children list)
{
    struct atomic a = {.r = r, .at = at, .where = reader_location(r, at), .name = name};
    if (list.n > MAX_OPERANDS - 1)
        reader_refuse(r, at, "an atomic operation with so many operands");
    for (int i = 0; i < list.n; i++) { /* by their places */
        int k = a.n++;
        size_t start = reader_first_token(r, list.items[i]).start;
        for (; k > 0 && reader_first_token(r, a.operands[k - 1]).start > start; k--)
            a.operands[k] = a.operands[k - 1];
        a.operands[k] = list.items[i];
    }
    CXType t = {0};
    if (a.n > 0)
        t = clang_getCanonicalType(clang_getCursorType(a.operands[0]));
    if (a.n > 0 && t.kind == CXType_Pointer &&
        clang_getCanonicalType(clang_getPointeeType(t)).kind != CXType_Void)
        a.object = type_plain(reader_type(r, clang_getPointeeType(t), at));
    return a;
}

struct expr *reader_atomic_call(struct reader *r, CXCursor at, const char *name,
                                struct children args)
{
    bool old = strncmp(name, "__sync_", 7) == 0;
    size_t n = strlen(name);
    const char *rest = name + (old ? 7 : 9);
    if (old && n > 9 && name[n - 2] == '_' && strchr("1248", name[n - 1]))
        rest = heap_copy(r->heap, rest, strlen(rest) - 2);
    struct atomic a = open(r, at, rest, args);
    return old ? sync_form(&a) : atomic_call(&a);
}

struct expr *reader_atomic_form(struct reader *r, CXCursor at, struct children list)
{
    struct token t = reader_first_token(r, at);
    size_t prefix = strlen("__atomic_");
    if (t.kind != TOKEN_NAME || t.end - t.start <= prefix ||
        memcmp(r->text + t.start, "__atomic_", prefix) != 0)
        return NULL;
    const char *name =
        heap_copy(r->heap, r->text + t.start + prefix, t.end - t.start - prefix);
    struct atomic a = open(r, at, name, list);
    return atomic_form(&a);
}
