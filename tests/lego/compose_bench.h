/*
 * compose_bench.h: for tests of the composer and the x86-64 target without any fragment: functions
 * made of the skeleton alone (parameters, calls, returns, switches, va_start), linked with C that
 * the host compiler has compiled on the other side of every call. TEST_CC is that compiler.
 */
#ifndef TESTS_LEGO_COMPOSE_BENCH_H
#define TESTS_LEGO_COMPOSE_BENCH_H

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
#include "lego/type.h"

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

static inline void bench_init(struct bench *b, uint64_t seed)
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

static inline void bench_fini(struct bench *b)
{
    heap_fini(&b->unit.heap);
    buf_fini(&b->c);
    buf_fini(&b->calls);
}

static inline uint32_t below(struct bench *b, uint32_t n)
{
    return rng_below(&b->rng, n);
}

static inline void write_file(const char *path, const struct buf *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text->data, 1, text->length, f), text->length);
    assert_int_equal(fclose(f), 0);
}

/* Composes, compiles the other side, links, runs; fails the test with what the program printed. */
static inline void bench_run(struct bench *b)
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
    {TYPE_LDOUBLE, 16, "long double"}, {TYPE_INT128, 16, "__int128"},
    {TYPE_COMPLEX, 4, "float _Complex"}, {TYPE_COMPLEX, 8, "double _Complex"},
    {TYPE_COMPLEX, 16, "long double _Complex"}, /* the size of a part */
};

static inline struct type *make_scalar(struct bench *b, int index)
{
    static struct type parts[] = {
        {.kind = TYPE_FLOAT}, {.kind = TYPE_DOUBLE}, {.kind = TYPE_LDOUBLE}};
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    t->kind = scalars[index].kind;
    if (t->kind == TYPE_COMPLEX) {
        struct type *part = &parts[scalars[index].size / 8];
        part->size = part->align = scalars[index].size;
        part->plain = part;
        t = type_complex_of(&b->unit.heap, part);
        t->name = scalars[index].name;
        return t;
    }
    t->size = t->align = scalars[index].size;
    t->name = scalars[index].name;
    return t;
}

static inline struct type *any_scalar(struct bench *b)
{
    return make_scalar(b, (int)below(b, sizeof scalars / sizeof *scalars));
}

static inline struct type *make_array(struct bench *b, struct type *base, int length)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    *t = (struct type){.kind = TYPE_ARRAY, .size = base->size * length, .align = base->align,
                       .base = base, .length = length};
    return t;
}

static inline struct type *any_record(struct bench *b, int depth);

static inline struct type *any_member(struct bench *b, int depth)
{
    uint32_t what = below(b, 10);
    if (what == 0 && depth)
        return any_record(b, depth - 1);
    struct type *t = any_scalar(b);
    return what == 1 ? make_array(b, t, 1 + (int)below(b, 3)) : t;
}

/* A bit-field behind the bits so far, as the System V ABI places it. */
static inline void place_bits(struct field *f, int64_t *bits)
{
    int64_t unit = f->type->size * 8;
    if (*bits / unit != (*bits + f->bit_width - 1) / unit)
        *bits = (*bits + unit - 1) / unit * unit;
    f->offset = *bits / unit * f->type->size;
    f->bit_offset = (int)(*bits % unit);
    *bits += f->bit_width;
}

static inline void place_field(struct type *t, struct field *f, bool packed, int64_t *bits)
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

static inline void declare(struct bench *b, const struct type *t, const char *name)
{
    if (t->kind == TYPE_ARRAY)
        buf_printf(&b->c, "%s %s[%d]", t->base->name, name, (int)t->length);
    else
        buf_printf(&b->c, "%s %s", t->name, name);
}

static inline struct type *any_record(struct bench *b, int depth)
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

static inline struct type *aggregate(struct type *t)
{
    return t->kind == TYPE_RECORD || type_is_pair(t) ? t : NULL;
}

/* gcc 12's va_arg faults on records of 16 bytes aligned to 16 that travel in general registers. */
static inline bool may_vary(struct type *t)
{
    return aggregate(t) ? t->align < 16 || t->size > 16 : t->size >= 4 && t->kind != TYPE_FLOAT;
}

static inline struct type *any_type(struct bench *b)
{
    return below(b, 3) == 0 ? any_record(b, 2) : any_scalar(b);
}

/* A value that every implementation holds exactly, as C text. */
static inline const char *any_value(struct bench *b, const struct type *t, int bits)
{
    struct heap *h = &b->unit.heap;
    uint64_t r = rng_u64(&b->rng);
    switch (t->kind) {
    case TYPE_BOOL: return r & 1 ? "1" : "0";
    case TYPE_POINTER: return heap_printf(h, "(void *)0x%llxul", (unsigned long long)r);
    case TYPE_COMPLEX:
        return heap_printf(h, "(%s)(%d.5L + %d.25iL)", t->name, (int)(r % 200000) - 1000,
                           (int)(r >> 40) - 1000000);
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
static inline void fill(struct bench *b, const struct type *t, const char *path, int bits,
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

static inline struct decl *make_decl(struct bench *b, const char *name, struct type *type,
                              enum storage storage)
{
    struct decl *d = heap_take(&b->unit.heap, sizeof *d);
    *d = (struct decl){.name = name, .symbol = name, .type = type, .storage = storage};
    return d;
}

static inline struct type *make_function(struct bench *b, struct type *result, bool variadic)
{
    struct type *t = heap_take(&b->unit.heap, sizeof *t);
    *t = (struct type){
        .kind = TYPE_FUNCTION, .base = result, .variadic = variadic, .size = 1, .align = 1};
    return t;
}

static inline struct ir_function *open_function(struct bench *b, const char *name,
                                                struct type *type)
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

static inline struct ir_object *add_object(struct bench *b, struct ir_function *f, enum ir_place place,
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

static inline struct ir_object *add_param(struct bench *b, struct ir_function *f, struct type *t)
{
    struct ir_object *o = add_object(b, f, IR_PARAMETER, t);
    o->decl = make_decl(b, o->name, t, STORAGE_PARAMETER);
    f->decl->params[f->decl->n_params++] = o->decl;
    return o;
}

static inline struct ir_instr *add_code(struct ir_function *f, enum ir_code code)
{
    assert_true(f->n_code < MAX_CODE);
    struct ir_instr *i = &f->code[f->n_code++];
    i->code = code;
    return i;
}

static inline struct ir_expr *make_expr(struct bench *b, enum ir_op op, enum ir_type type,
                                 struct ir_object *o, int64_t value)
{
    struct ir_expr *e = heap_take(&b->unit.heap, sizeof *e);
    *e = (struct ir_expr){.op = op, .type = type, .object = o, .value = value};
    return e;
}

static inline struct ir_expr *value_of(struct bench *b, struct ir_object *o)
{
    return o->type == IR_BYTES ? make_expr(b, IR_ADDRESS, IR_PTR, o, 0)
                               : make_expr(b, IR_READ, o->type, o, 0);
}

static inline struct ir_expr *function_address(struct bench *b, const char *name)
{
    struct ir_object *o = heap_take(&b->unit.heap, sizeof *o);
    *o = (struct ir_object){.place = IR_FUNCTION, .type = IR_VOID, .name = name, .id = -1};
    o->decl = make_decl(b, name, make_function(b, NULL, false), STORAGE_EXTERN);
    return make_expr(b, IR_ADDRESS, IR_PTR, o, 0);
}

static inline struct ir_instr *add_call(struct bench *b, struct ir_function *f, const char *name,
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

static inline void add_arg(struct bench *b, struct ir_instr *call, struct ir_object *o,
                           struct type *t)
{
    call->args[call->n_args++] = (struct ir_argument){value_of(b, o), aggregate(t)};
}

static inline void spoil(struct bench *b, struct ir_function *f)
{
    static struct type nothing = {.kind = TYPE_VOID};
    add_call(b, f, "spoil", make_function(b, &nothing, false), NULL);
}

static inline void add_return(struct bench *b, struct ir_function *f, struct ir_object *o,
                              struct type *t)
{
    struct ir_instr *i = add_code(f, IR_RETURN);
    if (o) {
        i->value = value_of(b, o);
        i->aggregate = aggregate(t);
    }
}

/* Every instruction a piece of its own. */
static inline void close_function(struct bench *b, struct ir_function *f)
{
    struct cut *cut = &b->cuts[f - b->functions];
    cut->pieces = heap_take(&b->unit.heap, (size_t)f->n_code * sizeof *cut->pieces);
    for (int i = 0; i < f->n_code; i++)
        cut->pieces[i] = (struct piece){.kind = PIECE_SKELETON, .skeleton = &f->code[i]};
    cut->n = f->n_code;
}

#endif
