/*
 * The composer and the x86-64 target without any fragment: functions made of the skeleton alone
 * (parameters, calls, returns, switches, va_start), linked with C that the host compiler has
 * compiled on the other side of every call. Each forwarding function spoils the registers between
 * its steps, so that nothing arrives by having been left where it was. `test_compose 50` tries 50
 * seeds more; TEST_CC is the other side's compiler.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "lego/block.h"
#include "lego/target.h"

enum { MAX_FUNCTIONS = 64, MAX_CODE = 64, MAX_OBJECTS = 40, MAX_ARGS = 14 };

/** A unit under construction and the C that stands on the other side. */
struct bench {
    struct unit unit;
    struct ir_unit ir;
    struct ir_function functions[MAX_FUNCTIONS];
    struct cut cuts[MAX_FUNCTIONS];
    struct buf c;     /* types and callees */
    struct buf calls; /* main's body */
    struct rng rng;
    int n_records;
    jmp_buf bail;
    ashlar_error error;
};

static void bench_init(struct bench *b, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    heap_init(&b->unit.heap);
    b->unit.source = "bench.c";
    b->unit.heap.error = &b->error;
    b->ir.unit = &b->unit;
    b->ir.functions = b->functions;
    buf_init(&b->c, 16 << 20);
    buf_init(&b->calls, 16 << 20);
    rng_seed(&b->rng, seed);
    buf_puts(
        &b->c,
        "#include <stdarg.h>\n#include <stddef.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        "#include <string.h>\nstatic int wrong;\n"
        "#define CHECK(f, what, ok) \\\n"
        "    do { if (!(ok)) { wrong++; printf(\"%s: %s\\n\", f, what); } } while (0)\n"
        "void spoil(void)\n{\n"
        "    long double a = 1, b = 2;\n"
        "    __asm__ volatile(\"mov $0x5a5a5a5a5a5a5a5a, %%rax; mov %%rax, %%rdi; mov %%rax, "
        "%%rsi;\"\n"
        "        \"mov %%rax, %%rdx; mov %%rax, %%rcx; mov %%rax, %%r8; mov %%rax, %%r9;\"\n"
        "        \"mov %%rax, %%r10; mov %%rax, %%r11; movq %%rax, %%xmm0; movq %%rax, %%xmm1;\"\n"
        "        \"movq %%rax, %%xmm2; movq %%rax, %%xmm3; movq %%rax, %%xmm4; movq %%rax, "
        "%%xmm5;\"\n"
        "        \"movq %%rax, %%xmm6; movq %%rax, %%xmm7\" ::: \"rax\", \"rdi\", \"rsi\", "
        "\"rdx\", \"rcx\",\n"
        "        \"r8\", \"r9\", \"r10\", \"r11\", \"xmm0\", \"xmm1\", \"xmm2\", \"xmm3\", "
        "\"xmm4\", \"xmm5\",\n"
        "        \"xmm6\", \"xmm7\", \"memory\");\n"
        "    volatile char junk[512]; memset((char *)junk, 0xa5, sizeof junk); (void)a; "
        "(void)b;\n}\n");
}

static void bench_fini(struct bench *b)
{
    heap_fini(&b->unit.heap);
    buf_fini(&b->c);
    buf_fini(&b->calls);
}

static uint32_t below(struct bench *b, uint32_t n)
{
    return rng_below(&b->rng, n);
}

static void write_file(const char *path, const struct buf *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text->data, 1, text->length, f), text->length);
    assert_int_equal(fclose(f), 0);
}

/* Composes, compiles the other side, links, runs; fails the test with what the program printed. */
static void bench_run(struct bench *b)
{
    char folder[] = "/tmp/test_compose.XXXXXX", path[128], command[800];
    struct buf text;
    assert_non_null(mkdtemp(folder));
    buf_init(&text, 64 << 20);
    ashlar_status status = compose_unit(&target_x86_64, &b->ir, b->cuts, true, &text, &b->error);
    if (status)
        fail_msg("%s", b->error.message);
    snprintf(path, sizeof path, "%s/a.s", folder);
    write_file(path, &text);
    buf_printf(&b->c, "int main(void)\n{\n%s    return wrong != 0;\n}\n", b->calls.data);
    snprintf(path, sizeof path, "%s/b.c", folder);
    write_file(path, &b->c);
    snprintf(command, sizeof command,
             "cd %s && ${TEST_CC:-cc} -w -Wno-psabi -O1 -fno-strict-aliasing -o p a.s b.c -lm && "
             "./p > log 2>&1 || { head -20 log; false; }",
             folder);
    int rc = system(command);
    if (rc)
        fail_msg("kept in %s", folder);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    buf_fini(&text);
}

/* ---- types and values ---------------------------------------------------------------------- */

static const struct {
    enum type_kind kind;
    int size;
    const char *name;
} scalars[] = {
    {TYPE_BOOL, 1, "_Bool"},          {TYPE_CHAR, 1, "char"},   {TYPE_UCHAR, 1, "unsigned char"},
    {TYPE_SHORT, 2, "short"},         {TYPE_USHORT, 2, "unsigned short"},
    {TYPE_INT, 4, "int"},             {TYPE_UINT, 4, "unsigned"}, {TYPE_LONG, 8, "long"},
    {TYPE_ULONG, 8, "unsigned long"}, {TYPE_POINTER, 8, "void *"}, {TYPE_FLOAT, 4, "float"},
    {TYPE_FLOAT, 4, "float"},         {TYPE_DOUBLE, 8, "double"}, {TYPE_DOUBLE, 8, "double"},
    {TYPE_LDOUBLE, 16, "long double"},
};

static struct type *make_scalar(struct bench *b, int index)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    t->kind = scalars[index].kind;
    t->size = t->align = scalars[index].size;
    t->name = scalars[index].name;
    return t;
}

static struct type *any_scalar(struct bench *b)
{
    return make_scalar(b, (int)below(b, sizeof scalars / sizeof *scalars));
}

static struct type *make_array(struct bench *b, struct type *base, int length)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    *t = (struct type){.kind = TYPE_ARRAY, .size = base->size * length, .align = base->align,
                       .base = base, .length = length};
    return t;
}

static struct type *any_record(struct bench *b, int depth);

static struct type *any_member(struct bench *b, int depth)
{
    uint32_t what = below(b, 10);
    if (what == 0 && depth)
        return any_record(b, depth - 1);
    struct type *t = any_scalar(b);
    return what == 1 ? make_array(b, t, 1 + (int)below(b, 3)) : t;
}

/* A bit-field behind the bits so far, as the System V ABI places it. */
static void place_bits(struct field *f, int64_t *bits)
{
    int64_t unit = f->type->size * 8;
    if (*bits / unit != (*bits + f->bit_width - 1) / unit)
        *bits = (*bits + unit - 1) / unit * unit;
    f->offset = *bits / unit * f->type->size;
    f->bit_offset = (int)(*bits % unit);
    *bits += f->bit_width;
}

static void place_field(struct type *t, struct field *f, bool packed, int64_t *bits)
{
    int64_t start = t->is_union ? 0 : *bits;
    int64_t align = packed ? 1 : f->type->align;
    if (f->bit_width > 0) {
        place_bits(f, &start);
    } else {
        f->offset = ((start + 7) / 8 + align - 1) / align * align;
        start = (f->offset + f->type->size) * 8;
    }
    if (start > *bits)
        *bits = start;
    if (align > t->align)
        t->align = align;
}

static void declare(struct bench *b, const struct type *t, const char *name)
{
    if (t->kind == TYPE_ARRAY)
        buf_printf(&b->c, "%s %s[%d]", t->base->name, name, (int)t->length);
    else
        buf_printf(&b->c, "%s %s", t->name, name);
}

static struct type *any_record(struct bench *b, int depth)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    /* gcc and clang disagree about some packed records; gcc's way is the one taken. */
    bool packed = below(b, 8) == 0 && !getenv("TEST_CC");
    int64_t bits = 0;
    *t = (struct type){.kind = TYPE_RECORD, .is_union = below(b, 6) == 0, .align = 1};
    t->n = 1 + (int)below(b, 4);
    t->fields = heap_take(&b->unit.heap, (size_t)t->n * sizeof *t->fields);
    for (int i = 0; i < t->n; i++) {
        struct field *f = &t->fields[i];
        f->name = heap_printf(&b->unit.heap, "m%d", i);
        f->type = any_member(b, depth);
        f->bit_width = -1;
        bool integer = f->type->kind == TYPE_INT || f->type->kind == TYPE_UINT;
        if (integer && !packed && below(b, 3) == 0)
            f->bit_width = 1 + (int)below(b, 31);
        place_field(t, f, packed, &bits);
    }
    t->size = ((bits + 7) / 8 + t->align - 1) / t->align * t->align;
    t->name =
        heap_printf(&b->unit.heap, "%s R%d", t->is_union ? "union" : "struct", b->n_records++);
    buf_printf(&b->c, "%s {", t->name);
    for (int i = 0; i < t->n; i++) {
        declare(b, t->fields[i].type, t->fields[i].name);
        if (t->fields[i].bit_width > 0)
            buf_printf(&b->c, " : %d", t->fields[i].bit_width);
        buf_puts(&b->c, "; ");
    }
    buf_printf(&b->c, "}%s;\n_Static_assert(sizeof(%s) == %d, \"\");\n",
               packed ? " __attribute__((packed))" : "", t->name, (int)t->size);
    return t;
}

static struct type *aggregate(struct type *t)
{
    return t->kind == TYPE_RECORD ? t : NULL;
}

/* gcc 12's va_arg faults on records of 16 bytes aligned to 16 that travel in general registers. */
static bool may_vary(struct type *t)
{
    return aggregate(t) ? t->align < 16 || t->size > 16 : t->size >= 4 && t->kind != TYPE_FLOAT;
}

static struct type *any_type(struct bench *b)
{
    return below(b, 3) == 0 ? any_record(b, 2) : any_scalar(b);
}

/* A value that every implementation holds exactly, as C text. */
static const char *any_value(struct bench *b, const struct type *t, int bits)
{
    struct heap *h = &b->unit.heap;
    uint64_t r = rng_u64(&b->rng);
    switch (t->kind) {
    case TYPE_BOOL: return r & 1 ? "1" : "0";
    case TYPE_POINTER: return heap_printf(h, "(void *)0x%llxul", (unsigned long long)r);
    case TYPE_FLOAT: case TYPE_DOUBLE: case TYPE_LDOUBLE:
        return heap_printf(h, "(%s)%d.25L", t->name, (int)(r % 2000000) - 1000000);
    default: break;
    }
    if (bits > 0) /* of a bit-field: the same for signed and unsigned */
        return heap_printf(h, "%d", (int)(r & ((1u << (bits - 1)) - 1)));
    return heap_printf(h, "(%s)0x%llxul", t->name, (unsigned long long)r);
}

/* Sets an lvalue's scalars in `set` and compares them in `check`; of a union its last member
 * counts. */
static void fill(struct bench *b, const struct type *t, const char *path, int bits,
                 const char *function, struct buf *set, struct buf *check)
{
    struct heap *h = &b->unit.heap;
    if (t->kind == TYPE_RECORD) {
        for (int i = t->is_union ? t->n - 1 : 0; i < t->n; i++)
            fill(b, t->fields[i].type, heap_printf(h, "%s.%s", path, t->fields[i].name),
                 t->fields[i].bit_width, function, set, check);
    } else if (t->kind == TYPE_ARRAY) {
        for (int i = 0; i < t->length; i++)
            fill(b, t->base, heap_printf(h, "%s[%d]", path, i), -1, function, set, check);
    } else {
        const char *value = any_value(b, t, bits);
        buf_printf(set, "    %s = %s;\n", path, value);
        buf_printf(check, "    CHECK(\"%s\", \"%s\", %s == %s);\n", function, path, path, value);
    }
}

/* ---- building functions ------------------------------------------------------------------------
 */

static struct decl *make_decl(struct bench *b, const char *name, struct type *type,
                              enum storage storage)
{
    struct decl *d = heap_take(&b->unit.heap, sizeof *d);
    *d = (struct decl){.name = name, .symbol = name, .type = type, .storage = storage};
    return d;
}

static struct type *make_function(struct bench *b, struct type *result, bool variadic)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    *t = (struct type){
        .kind = TYPE_FUNCTION, .base = result, .variadic = variadic, .size = 1, .align = 1};
    return t;
}

static struct ir_function *open_function(struct bench *b, const char *name, struct type *type)
{
    struct ir_function *f = &b->functions[b->ir.n_functions++];
    assert_true(b->ir.n_functions <= MAX_FUNCTIONS);
    f->decl = make_decl(b, name, type, STORAGE_STATIC);
    f->decl->is_defined = true;
    f->decl->params = heap_take(&b->unit.heap, MAX_ARGS * sizeof *f->decl->params);
    f->code = heap_take(&b->unit.heap, MAX_CODE * sizeof *f->code);
    f->objects = heap_take(&b->unit.heap, MAX_OBJECTS * sizeof *f->objects);
    return f;
}

static struct ir_object *add_object(struct bench *b, struct ir_function *f, enum ir_place place,
                                    struct type *t)
{
    struct ir_object *o = heap_take(&b->unit.heap, sizeof *o);
    *o = (struct ir_object){.place = place,
                            .type = ir_type_of(t),
                            .size = t->size,
                            .align = t->align,
                            .name = heap_printf(&b->unit.heap, "o%d", f->n_objects),
                            .id = f->n_objects};
    assert_true(f->n_objects < MAX_OBJECTS);
    f->objects[f->n_objects++] = o;
    return o;
}

static struct ir_object *add_param(struct bench *b, struct ir_function *f, struct type *t)
{
    struct ir_object *o = add_object(b, f, IR_PARAMETER, t);
    o->decl = make_decl(b, o->name, t, STORAGE_PARAMETER);
    f->decl->params[f->decl->n_params++] = o->decl;
    return o;
}

static struct ir_instr *add_code(struct ir_function *f, enum ir_code code)
{
    assert_true(f->n_code < MAX_CODE);
    struct ir_instr *i = &f->code[f->n_code++];
    i->code = code;
    return i;
}

static struct ir_expr *make_expr(struct bench *b, enum ir_op op, enum ir_type type,
                                 struct ir_object *o, int64_t value)
{
    struct ir_expr *e = heap_take(&b->unit.heap, sizeof *e);
    *e = (struct ir_expr){.op = op, .type = type, .object = o, .value = value};
    return e;
}

static struct ir_expr *value_of(struct bench *b, struct ir_object *o)
{
    return o->type == IR_BYTES ? make_expr(b, IR_ADDRESS, IR_PTR, o, 0)
                               : make_expr(b, IR_READ, o->type, o, 0);
}

static struct ir_expr *function_address(struct bench *b, const char *name)
{
    struct ir_object *o = heap_take(&b->unit.heap, sizeof *o);
    *o = (struct ir_object){.place = IR_FUNCTION, .type = IR_VOID, .name = name, .id = -1};
    o->decl = make_decl(b, name, make_function(b, NULL, false), STORAGE_EXTERN);
    return make_expr(b, IR_ADDRESS, IR_PTR, o, 0);
}

static struct ir_instr *add_call(struct bench *b, struct ir_function *f, const char *name,
                                 struct type *type, struct ir_object *result)
{
    struct ir_instr *i = add_code(f, IR_CALL);
    i->callee = function_address(b, name);
    i->callee_type = type;
    i->object = result;
    i->aggregate = aggregate(type->base);
    i->args = heap_take(&b->unit.heap, MAX_ARGS * sizeof *i->args);
    return i;
}

static void add_arg(struct bench *b, struct ir_instr *call, struct ir_object *o, struct type *t)
{
    call->args[call->n_args++] = (struct ir_argument){value_of(b, o), aggregate(t)};
}

static void spoil(struct bench *b, struct ir_function *f)
{
    static struct type nothing = {.kind = TYPE_VOID};
    add_call(b, f, "spoil", make_function(b, &nothing, false), NULL);
}

static void add_return(struct bench *b, struct ir_function *f, struct ir_object *o, struct type *t)
{
    struct ir_instr *i = add_code(f, IR_RETURN);
    if (o) {
        i->value = value_of(b, o);
        i->aggregate = aggregate(t);
    }
}

/* Every instruction a piece of its own. */
static void close_function(struct bench *b, struct ir_function *f)
{
    struct cut *cut = &b->cuts[f - b->functions];
    cut->pieces = heap_take(&b->unit.heap, (size_t)f->n_code * sizeof *cut->pieces);
    for (int i = 0; i < f->n_code; i++)
        cut->pieces[i] = (struct piece){.kind = PIECE_SKELETON, .skeleton = &f->code[i]};
    cut->n = f->n_code;
}

/* ---- forwarding ---------------------------------------------------------------------------- */

enum flavour { FIXED, INDIRECT, VARIADIC, OLD_STYLE };

/* T fN(args) passes its arguments on to T sN(args) of the other side and its result back. */
static void add_forwarder(struct bench *b, enum flavour flavour, int64_t wide_align)
{
    struct heap *h = &b->unit.heap;
    int n = 1 + (int)below(b, MAX_ARGS - 1), id = b->ir.n_functions;
    struct type *types[MAX_ARGS], *result = any_type(b);
    struct ir_object *params[MAX_ARGS];
    const char *name = heap_printf(h, "f%d", id), *sink = heap_printf(h, "s%d", id);
    struct buf set, check, list, names;
    struct buf *all[] = {&set, &check, &list, &names};
    for (int i = 0; i < 4; i++)
        buf_init(all[i], 1 << 20);
    struct ir_function *f = open_function(b, name, make_function(b, result, flavour == VARIADIC));
    for (int i = 0; i < n; i++) {
        bool promoted = i > 0 && flavour != FIXED && flavour != INDIRECT;
        do /* what no prototype converts arrives promoted: only such types are passed */
            types[i] = any_type(b);
        while (promoted && !may_vary(types[i]));
        params[i] = add_param(b, f, types[i]);
        const char *p = heap_printf(h, "a%d", i);
        buf_printf(&list, "%s%s %s", i ? ", " : "", types[i]->name, p);
        buf_printf(&names, "%s%s", i ? ", " : "", p);
        buf_printf(&b->calls, i ? "" : "    {\n");
        fill(b, types[i], p, -1, name, &set, &check);
    }
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, result);
    if (wide_align) {
        struct ir_object *wide = add_object(b, f, IR_LOCAL, make_scalar(b, 5));
        wide->align = wide_align;
    }
    spoil(b, f);
    struct type *callee = make_function(b, result, flavour == VARIADIC);
    callee->no_prototype = flavour == OLD_STYLE;
    struct ir_instr *call = add_call(b, f, sink, callee, value);
    for (int i = 0; i < n; i++)
        add_arg(b, call, params[i], types[i]);
    if (flavour == INDIRECT) {
        struct ir_object *pointer = add_param(b, f, make_scalar(b, 9));
        call->callee = value_of(b, pointer);
        buf_puts(&list, ", void *to");
        buf_printf(&names, ", (void *)%s", sink);
    }
    spoil(b, f);
    add_return(b, f, value, result);
    close_function(b, f);

    struct buf give, take;
    buf_init(&give, 1 << 20);
    buf_init(&take, 1 << 20);
    fill(b, result, "r", -1, name, &give, &take);
    if (flavour ==
        VARIADIC) { /* the forwarder has all of them by name, the sink takes them by va_arg */
        buf_printf(&b->c, "%s %s(%s a0, ...)\n{\n    va_list l; va_start(l, a0);\n", result->name,
                   sink, types[0]->name);
        for (int i = 1; i < n; i++)
            buf_printf(&b->c, "    %s a%d = va_arg(l, %s);\n", types[i]->name, i, types[i]->name);
    } else {
        buf_printf(&b->c, "%s %s(%s)\n{\n", result->name, sink, list.data);
    }
    buf_printf(&b->c, "    %s r;\n%s%s    return r;\n}\n", result->name, check.data, give.data);
    f->decl->type->variadic = false;
    buf_printf(&b->c, "%s %s(%s);\n", result->name, name, list.data);
    for (int i = 0; i < n; i++)
        buf_printf(&b->calls, "        %s a%d;\n", types[i]->name, i);
    buf_printf(&b->calls, "%s        %s r = %s(%s);\n%s    }\n", set.data, result->name, name,
               names.data, take.data);
    for (int i = 0; i < 4; i++)
        buf_fini(all[i]);
    buf_fini(&give);
    buf_fini(&take);
}

static void forward(enum flavour flavour, uint64_t seed, int64_t wide_align)
{
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    print_message("seed %llu\n", (unsigned long long)seed);
    bench_init(b, seed);
    for (int i = 0; i < MAX_FUNCTIONS; i++)
        add_forwarder(b, flavour, wide_align);
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void arguments_and_results_go_both_ways(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        forward(FIXED, seed, 0);
}

static void calls_through_pointers(void **state)
{
    (void)state;
    forward(INDIRECT, 21, 0);
}

static void variadic_callees_find_their_arguments(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed <= 32; seed++)
        forward(VARIADIC, seed, 0);
}

static void calls_without_prototype(void **state)
{
    (void)state;
    forward(OLD_STYLE, 41, 0);
}

static void frames_aligned_beyond_16(void **state)
{
    (void)state;
    forward(FIXED, 51, 64);
}

/* ---- variadic definitions ------------------------------------------------------------------- */

/* int fN(named..., ...) hands its list to the other side, which takes the rest with va_arg. */
static void add_collector(struct bench *b, int64_t wide_align)
{
    struct heap *h = &b->unit.heap;
    static struct type tag = {.kind = TYPE_VA_LIST_TAG, .size = 24, .align = 8};
    int n = 2 + (int)below(b, MAX_ARGS - 2), named = 1 + (int)below(b, (uint32_t)n - 1);
    int id = b->ir.n_functions;
    const char *name = heap_printf(h, "f%d", id), *sink = heap_printf(h, "s%d", id);
    struct type *integer = make_scalar(b, 5);
    struct ir_function *f = open_function(b, name, make_function(b, integer, true));
    struct buf set, check;
    buf_init(&set, 1 << 20);
    buf_init(&check, 1 << 20);
    buf_puts(&b->calls, "    {\n");
    struct buf callee, prototype;
    buf_init(&callee, 1 << 20);
    buf_init(&prototype, 1 << 20);
    for (int i = 0; i < n; i++) {
        struct type *t;
        do
            t = any_type(b);
        while (i >= named && !may_vary(t));
        const char *p = heap_printf(h, "a%d", i);
        if (i < named) {
            add_param(b, f, t);
            buf_printf(&prototype, "%s, ", t->name);
            struct buf ignored;
            buf_init(&ignored, 1 << 20);
            fill(b, t, p, -1, name, &set, &ignored);
            buf_fini(&ignored);
        } else {
            buf_printf(&callee, "    %s %s = va_arg(*l, %s);\n", t->name, p, t->name);
            fill(b, t, p, -1, name, &set, &check);
        }
        buf_printf(&b->calls, "        %s %s;\n", t->name, p);
    }
    struct ir_object *list = add_object(b, f, IR_LOCAL, &tag);
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, integer);
    if (wide_align)
        add_object(b, f, IR_LOCAL, integer)->align = wide_align;
    spoil(b, f);
    add_code(f, IR_VA_START)->address = make_expr(b, IR_ADDRESS, IR_PTR, list, 0);
    struct ir_instr *call = add_call(b, f, sink, make_function(b, integer, false), value);
    call->args[call->n_args++] =
        (struct ir_argument){make_expr(b, IR_ADDRESS, IR_PTR, list, 0), NULL};
    spoil(b, f);
    add_return(b, f, value, integer);
    close_function(b, f);
    buf_printf(&b->c, "int %s(%s...);\nint %s(va_list *l)\n{\n%s%s    return %d;\n}\n", name,
               prototype.data, sink, callee.data, check.data, id);
    buf_printf(&b->calls, "%s        CHECK(\"%s\", \"result\", %s(", set.data, name, name);
    for (int i = 0; i < n; i++)
        buf_printf(&b->calls, "%sa%d", i ? ", " : "", i);
    buf_printf(&b->calls, ") == %d);\n    }\n", id);
    struct buf *all[] = {&set, &check, &callee, &prototype};
    for (int i = 0; i < 4; i++)
        buf_fini(all[i]);
}

static void collect(uint64_t seed, int64_t wide_align)
{
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    print_message("seed %llu\n", (unsigned long long)seed);
    bench_init(b, seed);
    for (int i = 0; i < MAX_FUNCTIONS; i++)
        add_collector(b, wide_align);
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void variadic_definitions_keep_their_registers(void **state)
{
    (void)state;
    collect(61, 0);
    collect(62, 0);
}

static void variadic_definitions_in_aligned_frames(void **state)
{
    (void)state;
    collect(63, 32);
}

/* ---- results that nobody takes, alloca ----------------------------------------------------------
 */

static void discarded_results_leave_nothing_behind(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 71);
    struct type *real = make_scalar(b, 14), *integer = make_scalar(b, 5);
    struct type *record = any_record(b, 0);
    struct type *large = make_array(b, integer, 30);
    record->fields[0] = (struct field){"m0", large, 0, 0, -1};
    record->n = 1;
    record->size = 120;
    record->align = 4;
    record->name = "struct large";
    struct ir_function *f = open_function(b, "f", make_function(b, real, false));
    struct ir_object *value = add_object(b, f, IR_TEMPORARY, real);
    for (int i = 0; i < 12; i++) /* more than the x87 stack holds */
        add_call(b, f, "real", make_function(b, real, false), i < 11 ? NULL : value);
    add_call(b, f, "large", make_function(b, record, false), NULL);
    add_return(b, f, value, real);
    close_function(b, f);
    buf_puts(&b->c, "long double f(void);\nlong double real(void) { static int n; return ++n; }\n"
                    "struct large { int m[30]; };\nstruct large large(void)\n"
                    "{ struct large l; for (int i = 0; i < 30; i++) l.m[i] = i; return l; }\n");
    buf_puts(&b->calls, "    CHECK(\"f\", \"r\", f() == 12);\n");
    bench_run(b);
    bench_fini(b);
    free(b);
}

static void alloca_lies_between_frame_and_arguments(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 72);
    struct type *size = make_scalar(b, 8), *pointer = make_scalar(b, 9),
                *integer = make_scalar(b, 5);
    struct ir_function *f = open_function(b, "f", make_function(b, integer, false));
    struct ir_object *n = add_param(b, f, size);
    struct ir_object *p = add_object(b, f, IR_TEMPORARY, pointer),
                     *q = add_object(b, f, IR_TEMPORARY, pointer);
    struct ir_object *r = add_object(b, f, IR_TEMPORARY, integer);
    add_arg(b, add_call(b, f, "alloca", make_function(b, pointer, false), p), n, size);
    add_arg(b, add_call(b, f, "alloca", make_function(b, pointer, false), q), n, size);
    struct ir_instr *call = add_call(b, f, "use", make_function(b, integer, false), r);
    for (int i = 0; i < 9; i++)
        add_arg(b, call, i == 0 ? n : i == 8 ? q : p, i == 0 ? size : pointer);
    add_return(b, f, r, integer);
    close_function(b, f);
    buf_puts(&b->c, "int f(unsigned long);\nint use(unsigned long n, char *a, char *b, char *c, "
                    "char *d, char *e,"
                    " char *g, char *h, char *q)\n{\n    memset(a, 1, n); memset(q, 2, n);\n"
                    "    return a == h && a[0] == 1 && a[n - 1] == 1 && ((size_t)a | (size_t)q) % "
                    "16 == 0;\n}\n");
    buf_puts(&b->calls, "    for (int i = 1; i < 300; i++) CHECK(\"f\", \"r\", f(i) == 1);\n");
    bench_run(b);
    bench_fini(b);
    free(b);
}

/* ---- switches ------------------------------------------------------------------------------ */

static struct ir_expr *number(struct bench *b, int value)
{
    return make_expr(b, IR_INT, IR_I32, NULL, value);
}

/* int fN(T v): 1000 + the case's number, 7 by default; the other side tests the same ranges with
 * if. */
static void add_switch(struct bench *b, int scalar, const int64_t (*ranges)[2], int n)
{
    struct heap *h = &b->unit.heap;
    struct type *t = make_scalar(b, scalar), *integer = make_scalar(b, 5);
    int id = b->ir.n_functions;
    const char *name = heap_printf(h, "f%d", id);
    struct ir_function *f = open_function(b, name, make_function(b, integer, false));
    f->code = heap_take(h, (size_t)(2 * n + 4) * sizeof *f->code);
    struct ir_object *v = add_param(b, f, t);
    struct ir_instr *s = &f->code[f->n_code++];
    *s = (struct ir_instr){.code = IR_SWITCH, .value = value_of(b, v), .label = n, .n_cases = n};
    s->cases = heap_take(h, (size_t)n * sizeof *s->cases);
    buf_printf(&b->c, "int %s(%s);\nstatic int t%d(%s v)\n{\n", name, t->name, id, t->name);
    for (int i = 0; i < n; i++) {
        s->cases[i] = (struct ir_case){ranges[i][0], ranges[i][1], i};
        buf_printf(&b->c, "    if (v >= (%s)%lldl && v <= (%s)%lldl) return %d;\n", t->name,
                   (long long)ranges[i][0], t->name, (long long)ranges[i][1], 1000 + i);
    }
    buf_puts(&b->c, "    return 7;\n}\n");
    for (int i = 0; i <= n; i++) {
        f->code[f->n_code++] = (struct ir_instr){.code = IR_LABEL, .label = i};
        f->code[f->n_code++] =
            (struct ir_instr){.code = IR_RETURN, .value = number(b, i < n ? 1000 + i : 7)};
    }
    f->n_labels = n + 1;
    close_function(b, f);
    for (int i = 0; i < n; i++)
        for (int d = -2; d <= 2; d++)
            for (int end = 0; end < 2; end++)
                buf_printf(&b->calls,
                           "    CHECK(\"%s\", \"case\", %s((%s)(%lluul + %dl)) == t%d((%s)(%lluul "
                           "+ %dl)));\n",
                           name, name, t->name, (unsigned long long)ranges[i][end], d, id, t->name,
                           (unsigned long long)ranges[i][end], d);
}

static void switches_find_their_case(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 81);
    static const int64_t few[][2] = {{1, 1}, {0, 0}, {-1, -1}};
    static const int64_t many[][2] = {{-2147483647 - 1, -2147483647 - 1},
                                      {5, 5},
                                      {7, 90},
                                      {100, 100},
                                      {2147483647, 2147483647},
                                      {-5, -3},
                                      {-1, -1},
                                      {101, 101},
                                      {1000, 2000},
                                      {3000, 3000},
                                      {3002, 3002},
                                      {3004, 3004}};
    static const int64_t wide[][2] = {{INT64_MIN, INT64_MIN + 5}, {INT64_MAX - 5, INT64_MAX},
                                      {1l << 34, 1l << 34}, {(1l << 31) + 5, (1l << 33) - 1},
                                      {0, 0}, {(1l << 31) - 1, (1l << 31) - 1}, {-4, -4}};
    static const int64_t high[][2] = {
        {4294967295, 4294967295}, {0, 0}, {2147483648, 2147483649}, {5, 9}};
    add_switch(b, 5, few, 3);
    add_switch(b, 5, many, 12);
    add_switch(b, 7, many, 12);
    add_switch(b, 7, wide, 7);
    add_switch(b, 6, high, 4);
    add_switch(b, 5, few, 0);
    bench_run(b);
    bench_fini(b);
    free(b);
}

/* ---- frames -------------------------------------------------------------------------------- */

static void frames_are_laid_out_right(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 91);
    for (int round = 0; round < 200; round++) {
        struct heap h;
        heap_init(&h);
        struct frame f = {.outgoing = 16 * (int64_t)rng_below(&rng, 4)};
        int n = (int)rng_below(&rng, 40);
        for (int i = 0; i < n; i++)
            frame_add(&h, &f, "s", (int64_t)rng_below(&rng, 100), 1ll << rng_below(&rng, 7), NULL);
        frame_place(&f);
        assert_null(frame_check(&h, &f));
        heap_fini(&h);
    }
}

static void wrong_frames_are_found(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    struct ir_object object = {.name = "x", .size = 8, .align = 8};
    struct frame f = {0};
    for (int i = 0; i < 4; i++)
        frame_add(&h, &f, "s", 8, 8, NULL);
    frame_add(&h, &f, "x", 8, 8, &object);
    frame_place(&f);
    assert_null(frame_check(&h, &f));
    int64_t right = f.slots[0].offset;
    static const int64_t wrong[] = {-16, -7, 0, 8, -800, -44};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        f.slots[0].offset = wrong[i]; /* another's, unaligned, above, below */
        assert_non_null(frame_check(&h, &f));
    }
    f.slots[0].offset = right;
    object.offset -= 8; /* an object that is not where its slot is */
    assert_non_null(frame_check(&h, &f));
    object.offset += 8;
    f.outgoing = f.bytes; /* arguments over the slots */
    assert_non_null(frame_check(&h, &f));
    heap_fini(&h);
}

static void a_piece_without_fragment_is_named(void **state)
{
    (void)state;
    struct bench *b = malloc(sizeof *b);
    assert_non_null(b);
    bench_init(b, 1);
    struct ir_function *f = open_function(b, "lonely", make_function(b, make_scalar(b, 5), false));
    struct block block = {.function = "lonely"};
    struct piece piece = {.kind = PIECE_BLOCK, .block = &block};
    b->cuts[0] = (struct cut){&piece, 1};
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(compose_unit(&target_x86_64, &b->ir, b->cuts, false, &out, &b->error),
                     ASHLAR_FAILED);
    assert_non_null(strstr(b->error.message, "lonely"));
    add_return(b, f, NULL, NULL); /* an instruction that no piece holds */
    b->cuts[0].n = 0;
    assert_int_equal(compose_unit(&target_x86_64, &b->ir, b->cuts, false, &out, &b->error),
                     ASHLAR_FAILED);
    buf_fini(&out);
    bench_fini(b);
    free(b);
}

/* Seeds beyond the usual: as many rounds as the first argument says. */
static int rounds;

static void many_seeds(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1000 + (uint64_t)rounds; seed++) {
        forward((enum flavour)(seed % 4), seed, seed % 3 ? 0 : 32);
        collect(seed, seed % 3 ? 0 : 64);
    }
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? atoi(argv[1]) : 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_laid_out_right),
        cmocka_unit_test(wrong_frames_are_found),
        cmocka_unit_test(a_piece_without_fragment_is_named),
        cmocka_unit_test(switches_find_their_case),
        cmocka_unit_test(discarded_results_leave_nothing_behind),
        cmocka_unit_test(alloca_lies_between_frame_and_arguments),
        cmocka_unit_test(arguments_and_results_go_both_ways),
        cmocka_unit_test(calls_through_pointers),
        cmocka_unit_test(variadic_callees_find_their_arguments),
        cmocka_unit_test(calls_without_prototype),
        cmocka_unit_test(frames_aligned_beyond_16),
        cmocka_unit_test(variadic_definitions_keep_their_registers),
        cmocka_unit_test(variadic_definitions_in_aligned_frames),
        cmocka_unit_test(many_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
