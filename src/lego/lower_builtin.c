/*
 * lower_builtin.c: the compiler's builtin functions: as expressions, as calls of libgcc, or as
 * calls of the library function they name. What is neither is refused by name.
 */
#include <math.h>
#include <string.h>

#include "lego/lower.h"
#include "lego/type.h"

/* Functions of the C library that "__builtin_" may stand before. */
static const char *const library[] = {
    "alloca", /* the target's own, but called like the others */
    "abort",           "abs",           "calloc",        "exit",
    "_exit",           "ffs",           "ffsl",          "ffsll",
    "fprintf",         "fputc",         "fputs",         "free",
    "fscanf",          "fwrite",        "index",         "isalnum",
    "isalpha",         "iscntrl",       "isdigit",       "isgraph",
    "islower",         "isprint",       "ispunct",       "isspace",
    "isupper",         "isxdigit",      "labs",          "llabs",
    "malloc",          "memchr",        "memcmp",        "memcpy",
    "memmove",         "mempcpy",       "memset",        "printf",
    "putchar",         "puts",          "realloc",       "rindex",
    "scanf",           "snprintf",      "sprintf",       "sscanf",
    "stpcpy",          "stpncpy",       "strcasecmp",    "strcat",
    "strchr",          "strcmp",        "strcpy",        "strcspn",
    "strdup",          "strlen",        "strncasecmp",   "strncat",
    "strncmp",         "strncpy",       "strndup",       "strpbrk",
    "strrchr",         "strspn",        "strstr",        "tolower",
    "toupper",         "vfprintf",      "vfscanf",       "vprintf",
    "vscanf",          "vsnprintf",     "vsprintf",      "vsscanf",
    "__memcpy_chk",    "__memmove_chk", "__memset_chk",  "__strcpy_chk",
    "__strncpy_chk",   "__strcat_chk",  "__strncat_chk", "__sprintf_chk",
    "__snprintf_chk",  "__printf_chk",  "__fprintf_chk", "__vsprintf_chk",
    "__vsnprintf_chk", "__vprintf_chk", "__vfprintf_chk"};

/* Of the mathematical library; with f and l behind them too. */
static const char *const mathematics[] = {
    "acos",      "acosh",     "asin",  "asinh",     "atan",   "atan2",  "atanh",   "cbrt",
    "cabs",      "carg",      "ccos",  "cexp",      "clog",   "cpow",   "cproj",   "csin",
    "csqrt",     "ctan",
    "ceil",      "copysign",  "cos",   "cosh",      "erf",    "erfc",   "exp",     "exp2",
    "expm1",     "fabs",      "fdim",  "floor",     "fma",    "fmax",   "fmin",    "fmod",
    "frexp",     "hypot",     "ilogb", "ldexp",     "lgamma", "llrint", "llround", "log",
    "log10",     "log1p",     "log2",  "logb",      "lrint",  "lround", "modf",    "nan",
    "nearbyint", "nextafter", "pow",   "remainder", "rint",   "round",  "scalbn",  "sin",
    "sinh",      "sqrt",      "tan",   "tanh",      "tgamma", "trunc"};

enum {
    N_LIBRARY = sizeof library / sizeof *library,
    N_MATH = sizeof mathematics / sizeof *mathematics
};

/* The call is then an ordinary one of that function: it may be slower than gcc's, it means the
 * same. */
const char *builtin_library_name(const char *name)
{
    if (!name || strncmp(name, "__builtin_", 10) != 0)
        return NULL;
    name += 10;
    for (int i = 0; i < N_LIBRARY; i++)
        if (strcmp(name, library[i]) == 0)
            return name;
    size_t n = strlen(name);
    for (int i = 0; i < N_MATH; i++) {
        size_t base = strlen(mathematics[i]);
        bool suffix = n == base + 1 && (name[base] == 'f' || name[base] == 'l');
        if (strncmp(name, mathematics[i], base) == 0 && (n == base || suffix))
            return name;
    }
    return NULL;
}

/* A builtin's call as it is worked on. */
struct builtin {
    struct lower *l;
    struct expr *call;
    const char *name; /* without its prefix */
    struct ir_expr *x, *y; /* the first arguments' values, to be used more than once */
};

static struct ir_expr *op(struct builtin *b, enum ir_op code, struct ir_expr *x, struct ir_expr *y)
{
    return ir_binary(&b->l->build, code, x, y);
}

static struct ir_expr *integer(struct builtin *b, enum ir_type t, int64_t value)
{
    return ir_int(&b->l->build, t, value);
}

static struct ir_expr *real(struct builtin *b, enum ir_type t, long double value)
{
    return ir_float(&b->l->build, t, value);
}

/* Arguments are used more than once in what replaces the call, but evaluated once. */
static struct ir_expr *value_of(struct builtin *b, int i)
{
    if (i >= b->call->n_args)
        lower_refuse(b->l, b->call->at, "builtin with too few arguments");
    struct ir_expr *v = lower_value(b->l, b->call->args[i]);
    if (!v)
        lower_refuse(b->l, b->call->at, "argument without a value");
    return ir_is_simple(v) ? lower_stable(b->l, v) : lower_temporary(b->l, v);
}

/* ---- floating point ---- */

static struct ir_expr *is_infinite(struct builtin *b, long double sign)
{
    return op(b, IR_EQUAL, b->x, real(b, b->x->type, sign * INFINITY));
}

/* By comparisons, which are false for NaN. Operands are finite above the least normal number. */
static struct ir_expr *is_normal(struct builtin *b)
{
    enum ir_type t = b->x->type;
    long double least = t == IR_F32 ? 0x1p-126L : t == IR_F64 ? 0x1p-1022L : 0x1p-16382L;
    struct ir_expr *above = op(b, IR_GREATER_EQUAL, b->x, real(b, t, least));
    struct ir_expr *finite = op(b, IR_LESS, b->x, real(b, t, INFINITY));
    struct ir_expr *below = op(b, IR_LESS_EQUAL, b->x, real(b, t, -least));
    struct ir_expr *minus_finite = op(b, IR_GREATER, b->x, real(b, t, -INFINITY));
    return op(b, IR_LOGICAL_OR, op(b, IR_LOGICAL_AND, above, finite),
              op(b, IR_LOGICAL_AND, below, minus_finite));
}

/* From memory, as no comparison tells -0.0 from 0.0, nor the sign of a NaN. */
static struct ir_expr *sign_bit(struct builtin *b)
{
    struct ir_object *t = ir_temporary(b->l->heap, b->l->f, b->x->type);
    lower_assign(b->l, t, b->x);
    /* the sign is the highest bit: of an x87 number in its bytes 8 and 9 */
    enum ir_type as = t->type == IR_F32 ? IR_I32 : t->type == IR_F64 ? IR_I64 : IR_I16;
    struct ir_expr *at = ir_address(&b->l->build, t, t->type == IR_F80 ? 8 : 0);
    struct ir_expr *bits = ir_load(&b->l->build, as, at, false);
    enum ir_type wide = as == IR_I64 ? IR_I64 : IR_I32;
    return op(b, IR_LESS, ir_convert(&b->l->build, wide, bits), integer(b, wide, 0));
}

static bool classify(struct builtin *b, struct ir_expr **out)
{
    static const char *const names[] = {"isnan",    "isinf",  "isinf_sign", "isfinite", "finite",
                                        "isnormal", "signbit", "signbitf",  "signbitl"};
    int which = 0, n = sizeof names / sizeof *names;
    while (which < n && strcmp(b->name, names[which]) != 0)
        which++;
    /* sign_bit() needs memory, which a static initialiser has not */
    if (which == n || (which >= 6 && !b->l->f))
        return false;
    b->x = value_of(b, 0);
    if (!ir_is_float(b->x->type))
        b->x = ir_convert(&b->l->build, IR_F64, b->x);
    switch (which) {
    /* only a NaN differs from itself */
    case 0: *out = op(b, IR_UNEQUAL, b->x, b->x); break;
    case 1: *out = op(b, IR_LOGICAL_OR, is_infinite(b, 1), is_infinite(b, -1)); break;
    case 2: *out = op(b, IR_SUBTRACT, is_infinite(b, 1), is_infinite(b, -1)); break;
    case 3: case 4:
        *out =
            op(b, IR_LOGICAL_AND, op(b, IR_EQUAL, b->x, b->x),
               ir_not(&b->l->build, op(b, IR_LOGICAL_OR, is_infinite(b, 1), is_infinite(b, -1))));
        break;
    case 5: *out = is_normal(b); break;
    default: *out = sign_bit(b);
    }
    return true;
}

static bool compare(struct builtin *b, struct ir_expr **out)
{
    static const struct {
        const char *name;
        enum ir_op op;
    } table[] = {{"isgreater", IR_GREATER},
                 {"isgreaterequal", IR_GREATER_EQUAL},
                 {"isless", IR_LESS},
                 {"islessequal", IR_LESS_EQUAL},
                 {"islessgreater", IR_LOGICAL_OR},
                 {"isunordered", IR_LOGICAL_AND}};
    for (int i = 0; i < 6; i++) {
        if (strcmp(b->name, table[i].name) != 0)
            continue;
        b->x = value_of(b, 0);
        b->y = value_of(b, 1);
        enum ir_type t = b->x->type > b->y->type ? b->x->type : b->y->type;
        b->x = ir_convert(&b->l->build, t, b->x);
        b->y = ir_convert(&b->l->build, t, b->y);
        if (table[i].op == IR_LOGICAL_OR)
            *out = op(b, IR_LOGICAL_OR, op(b, IR_LESS, b->x, b->y), op(b, IR_GREATER, b->x, b->y));
        else if (table[i].op == IR_LOGICAL_AND)
            *out =
                op(b, IR_LOGICAL_OR, op(b, IR_UNEQUAL, b->x, b->x), op(b, IR_UNEQUAL, b->y, b->y));
        else
            *out = op(b, table[i].op, b->x, b->y);
        return true;
    }
    return false;
}

/* They stand in static initialisers, where nothing can be called. */
static bool float_constant(struct builtin *b, struct ir_expr **out)
{
    static const char *const infinite[] = {"huge_val", "huge_valf", "huge_vall",
                                           "inf",      "inff",      "infl"};
    enum ir_type t = ir_type_of(b->call->type);
    for (int i = 0; i < 6; i++)
        if (strcmp(b->name, infinite[i]) == 0) {
            *out = real(b, t, INFINITY);
            return true;
        }
    bool nan_name = strcmp(b->name, "nan") == 0 || strcmp(b->name, "nanf") == 0 ||
                    strcmp(b->name, "nanl") == 0;
    if (!nan_name || b->call->n_args != 1)
        return false;
    const struct expr *text = b->call->args[0];
    while (text->kind == EXPR_CAST)
        text = text->a;
    if (text->kind != EXPR_STRING || text->n_bytes != 1)
        return false; /* a payload: the library's */
    *out = real(b, t, NAN);
    return true;
}

/* ---- bits ---- */

/* Bytes reversed: each moved to its mirror place. */
static struct ir_expr *swapped(struct builtin *b, int bytes)
{
    enum ir_type t = bytes == 8 ? IR_U64 : IR_U32;
    struct ir_expr *x = ir_convert(&b->l->build, t, value_of(b, 0)), *sum = NULL;
    for (int i = 0; i < bytes; i++) {
        struct ir_expr *byte = op(b, IR_SHIFT_RIGHT, x, integer(b, IR_I32, i * 8));
        /* the topmost byte has only zeros above it; a short has been promoted */
        if (i < bytes - 1 || bytes == 2)
            byte = op(b, IR_AND, byte, integer(b, t, 255));
        byte = op(b, IR_SHIFT_LEFT, byte, integer(b, IR_I32, (bytes - 1 - i) * 8));
        sum = sum ? op(b, IR_OR, sum, byte) : byte;
    }
    return bytes == 2 ? ir_convert(&b->l->build, IR_U16, sum) : sum;
}

/* By libgcc's 64-bit helper; what it counts too many for a 32-bit operand is subtracted. */
static struct ir_expr *counted(struct builtin *b, const char *helper, int too_many)
{
    struct ir_expr *x = value_of(b, 0);
    enum ir_type wide = ir_is_signed(x->type) ? IR_I64 : IR_U64; /* clrsb has a signed operand */
    int excess = ir_type_size(x->type) < 8 ? too_many : 0;
    x = ir_convert(&b->l->build, IR_U64, ir_convert(&b->l->build, wide, x));
    struct ir_object *t = ir_temporary(b->l->heap, b->l->f, IR_I32);
    lower_library(b->l, helper, &x, 1, t);
    return op(b, IR_SUBTRACT, ir_read(&b->l->build, t), integer(b, IR_I32, excess));
}

static bool bit_counts(struct builtin *b, struct ir_expr **out)
{
    static const struct {
        const char *name, *helper;
        int too_many;
    } table[] = {{"clz", "__clzdi2", 32}, {"ctz", "__ctzdi2", 0}, {"popcount", "__popcountdi2", 0},
                 {"parity", "__paritydi2", 0}, {"clrsb", "__clrsbdi2", 32}};
    for (int i = 0; i < 5; i++) {
        size_t n = strlen(table[i].name);
        const char *rest = b->name + n;
        if (strncmp(b->name, table[i].name, n) == 0 &&
            (!*rest || strcmp(rest, "l") == 0 || strcmp(rest, "ll") == 0)) {
            if (!b->l->f)
                lower_refuse(b->l, b->call->at, "initializer is not constant: it calls a builtin");
            *out = counted(b, table[i].helper, table[i].too_many);
            return true;
        }
    }
    int bytes = strcmp(b->name, "bswap16") == 0 ? 2 : strcmp(b->name, "bswap32") == 0 ? 4 :
                strcmp(b->name, "bswap64") == 0 ? 8 : 0;
    if (bytes)
        *out = swapped(b, bytes);
    return bytes != 0;
}

/* ---- arithmetic that tells of overflow ---- */

/* x op y of 64-bit type t wrapped, and whether it wrapped. */
static struct ir_expr *wrapped(struct builtin *b, enum ir_op code, enum ir_type t,
                               struct ir_expr **overflow)
{
    struct ir_builder *build = &b->l->build;
    struct ir_expr *x = b->x, *y = b->y;
    struct ir_expr *r = op(b, code, ir_convert(build, IR_U64, x), ir_convert(build, IR_U64, y));
    r = lower_stable(b->l, ir_convert(build, t, r));
    struct ir_expr *none = integer(b, t, 0);
    if (code == IR_MULTIPLY) {
        struct ir_expr *differs = op(b, IR_UNEQUAL, op(b, IR_DIVIDE, r, x), y);
        *overflow = op(b, IR_LOGICAL_AND, op(b, IR_UNEQUAL, x, none), differs);
        if (t == IR_I64) /* r / -1 may trap */
            *overflow = ir_conditional(build, op(b, IR_EQUAL, x, integer(b, t, -1)),
                                       op(b, IR_EQUAL, y, integer(b, t, INT64_MIN)), *overflow);
    } else if (t == IR_U64) {
        *overflow = code == IR_ADD ? op(b, IR_LESS, r, x) : op(b, IR_LESS, x, y);
    } else {
        struct ir_expr *other = code == IR_ADD ? op(b, IR_XOR, y, r) : op(b, IR_XOR, x, y);
        /* a sum's sign differs from both operands', or a difference's from x's where the signs of
         * x and y differ */
        *overflow = op(b, IR_LESS, op(b, IR_AND, op(b, IR_XOR, x, r), other), none);
    }
    return r;
}

/* Exact in 64 bits, then compared with what is left of it in the result's type. */
static struct ir_expr *narrowed(struct builtin *b, enum ir_op code, enum ir_type t,
                                struct ir_expr **overflow)
{
    struct ir_builder *build = &b->l->build;
    bool both_unsigned = !ir_is_signed(b->x->type) && !ir_is_signed(b->y->type);
    enum ir_type wide = code == IR_MULTIPLY && both_unsigned ? IR_U64 : IR_I64;
    struct ir_expr *exact =
        op(b, code, ir_convert(build, wide, b->x), ir_convert(build, wide, b->y));
    exact = lower_stable(b->l, exact);
    struct ir_expr *r = lower_stable(b->l, ir_convert(build, t, exact));
    *overflow = op(b, IR_UNEQUAL, ir_convert(build, wide, r), exact);
    if (ir_type_size(t) == 8 && t != wide) /* the same bits: wrong when the sign bit is set */
        *overflow = op(b, IR_LESS, ir_convert(build, IR_I64, r), integer(b, IR_I64, 0));
    else if (ir_is_signed(t) && wide == IR_U64)
        *overflow = op(b, IR_LOGICAL_OR, *overflow,
                       op(b, IR_LESS, ir_convert(build, IR_I64, r), integer(b, IR_I64, 0)));
    return r;
}

/* Whether t, of 64 bits, holds every value of e. A literal below 0 in the other signedness is -1 as
 * an unsigned one, or one above INT64_MAX as a signed one. */
static bool fits(enum ir_type t, const struct ir_expr *e)
{
    if (e->op == IR_INT && ir_is_signed(e->type) != ir_is_signed(t) && e->value < 0)
        return false;
    return e->op == IR_INT || ir_is_signed(e->type) == ir_is_signed(t) ||
           (ir_is_signed(t) && ir_type_size(e->type) < 8);
}

static bool overflow_arithmetic(struct builtin *b, struct ir_expr **out)
{
    const char *n = b->name;
    bool is_signed = n[0] == 's' && strncmp(n, "sub", 3) != 0;
    if (is_signed || n[0] == 'u')
        n++; /* saddl_overflow: the operands have been converted */
    enum ir_op code = strncmp(n, "add", 3) == 0   ? IR_ADD
                      : strncmp(n, "sub", 3) == 0 ? IR_SUBTRACT
                                                  : IR_MULTIPLY;
    if ((code == IR_MULTIPLY && strncmp(n, "mul", 3) != 0) || !strstr(n, "_overflow") ||
        b->call->n_args != 3 || b->call->args[2]->type->kind != TYPE_POINTER || !b->l->f)
        return false;
    const struct type *to = b->call->args[2]->type->base;
    enum ir_type t = ir_type_of(to);
    if (type_is_pair(to) || type_is_pair(b->call->args[0]->type) ||
        type_is_pair(b->call->args[1]->type))
        lower_refuse(b->l, b->call->at, "overflow builtin on __int128");
    b->x = value_of(b, 0);
    b->y = value_of(b, 1);
    struct ir_expr *at = value_of(b, 2), *overflow, *r;
    if (ir_type_size(b->x->type) < 8 && ir_type_size(b->y->type) < 8) {
        r = narrowed(b, code, t, &overflow);
    } else if (ir_type_size(t) == 8 && fits(t, b->x) && fits(t, b->y)) {
        b->x = lower_stable(b->l, ir_convert(&b->l->build, t, b->x));
        b->y = lower_stable(b->l, ir_convert(&b->l->build, t, b->y));
        r = wrapped(b, code, t, &overflow);
    } else {
        lower_refuse(b->l, b->call->at, "overflow builtin on operands of mixed 64-bit types");
    }
    /* the store may change what it is computed from */
    overflow = lower_stable(b->l, overflow);
    place_write(b->l, place_at(at), to, r);
    *out = ir_convert(&b->l->build, IR_U8, overflow);
    return true;
}

/* ---- all ---- */

static void rest_for_effects(struct builtin *b, int from)
{
    for (int i = from; i < b->call->n_args; i++)
        lower_effects(b->l, b->call->args[i]);
}

/* What tells an optimiser something; here its value is what counts, and its operands' effects. */
static bool hints(struct builtin *b, struct ir_expr **out)
{
    const char *n = b->name;
    *out = NULL;
    if (strcmp(n, "expect") == 0 || strcmp(n, "expect_with_probability") == 0 ||
        strcmp(n, "assume_aligned") == 0) {
        *out = ir_convert(&b->l->build, ir_type_of(b->call->type), value_of(b, 0));
        rest_for_effects(b, 1);
    } else if (strcmp(n, "prefetch") == 0) {
        rest_for_effects(b, 0);
    } else if (strcmp(n, "trap") == 0) {
        /* ends by another signal than gcc's ud2, but ends */
        lower_library(b->l, "abort", NULL, 0, NULL);
    } else if (strcmp(n, "object_size") == 0 && b->call->n_args == 2) {
        struct ir_expr *kind = lower_value(b->l, b->call->args[1]);
        if (kind->op != IR_INT)
            return false;
        /* as gcc answers when it cannot tell: kinds 2 and 3 ask for the least size, 0 and 1 for
         * the largest */
        *out = integer(b, IR_U64, kind->value & 2 ? 0 : -1); /* not known */
    } else {
        return strcmp(n, "unreachable") == 0;
    }
    return true;
}

static const struct decl *called(const struct expr *e)
{
    while (e->kind == EXPR_CAST || e->kind == EXPR_ADDRESS || e->kind == EXPR_DEREF)
        e = e->a;
    return e->kind == EXPR_NAME && e->type->kind == TYPE_FUNCTION ? e->decl : NULL;
}

/* abs, labs, llabs: names that the library keeps for itself, so a program's own do not count. */
static bool absolute(struct lower *l, const struct decl *d, struct expr *call, struct ir_expr **out)
{
    static const struct {
        const char *name;
        int64_t size;
    } table[] = {{"abs", 4}, {"labs", 8}, {"llabs", 8}};
    const char *name = strncmp(d->name, "__builtin_", 10) == 0 ? d->name + 10 : d->name;
    enum ir_type t = ir_type_of(call->type);
    if (d->is_internal || call->n_args != 1 || !l->f || t > IR_U64 || !ir_is_signed(t) ||
        ir_type_of(call->args[0]->type) != t)
        return false;
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, table[i].name) != 0 || ir_type_size(t) != table[i].size)
            continue;
        struct builtin b = {.l = l, .call = call, .name = name};
        b.x = value_of(&b, 0);
        *out = ir_conditional(&l->build, op(&b, IR_LESS, b.x, integer(&b, t, 0)),
                              ir_unary(&l->build, IR_NEGATE, b.x), b.x);
        return true;
    }
    return false;
}

void builtin_must_be_known(struct lower *l, const struct expr *call)
{
    const struct decl *d = called(call->a);
    if (d && d->name && !d->body && strncmp(d->name, "__builtin_", 10) == 0 &&
        !builtin_library_name(d->name))
        heap_fail(l->heap, call->at, "builtin %s", d->name);
}

bool lower_builtin(struct lower *l, struct expr *call, struct ir_expr **out)
{
    const struct decl *d = called(call->a);
    if (!d || !d->name)
        return false;
    if (absolute(l, d, call, out))
        return true;
    if (d->body)
        return false;
    if (strncmp(d->name, "__builtin_", 10) != 0)
        return false;
    struct builtin b = {.l = l, .call = call, .name = d->name + 10};
    if (float_constant(&b, out))
        return true;
    if (builtin_library_name(d->name))
        return false; /* an ordinary call, of the library's */
    if (hints(&b, out) || classify(&b, out) || compare(&b, out) || bit_counts(&b, out) ||
        overflow_arithmetic(&b, out))
        return true;
    heap_fail(l->heap, call->at, "builtin %s", d->name);
}
