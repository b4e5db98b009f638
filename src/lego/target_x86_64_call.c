/*
 * target_x86_64_call.c: calls and switches of x86-64 System V. A call's arguments are moved in an
 * order in which nothing is overwritten that is still needed: those on the stack first (they may
 * use every register), then the registers of the convention, which only read memory, rax, r10 and
 * r11.
 */
#include "lego/target_x86_64.h"

#include <stdlib.h>
#include <string.h>

/* ---- switches ---- */

struct search {
    struct compose *c;
    const struct ir_case *cases; /* sorted */
    bool wide, is_signed;
    int otherwise;
};

/* Ranges of cases do not overlap (C11 6.8.4.2p3): their lower bounds are an order. */
static int by_signed(const void *a, const void *b)
{
    const struct ir_case *x = a, *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

static int by_unsigned(const void *a, const void *b)
{
    const struct ir_case *x = a, *y = b;
    return ((uint64_t)x->low > (uint64_t)y->low) - ((uint64_t)x->low < (uint64_t)y->low);
}

/* With eax or rax. An immediate has 32 bits, extended by its sign: larger bounds go by way
 * of rcx. */
static void compare(const struct search *s, int64_t value)
{
    if (!s->wide) {
        x86_emit(s->c, "cmpl\t$%d, %%eax", (int)(int32_t)value);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        x86_emit(s->c, "cmpq\t$%lld, %%rax", (long long)value);
    } else {
        x86_emit(s->c, "movabsq\t$%lld, %%rcx", (long long)value);
        x86_emit(s->c, "cmpq\t%%rcx, %%rax");
    }
}

static void jump_to(const struct search *s, const char *jump, int label)
{
    char text[32];
    x86_emit(s->c, "%s\t%s", jump, compose_label(s->c, label, text));
}

static void test_case(const struct search *s, const struct ir_case *k)
{
    compare(s, k->low);
    if (k->low == k->high) {
        jump_to(s, "je", k->label);
        return;
    }
    int skip = s->c->next_local++;
    x86_emit(s->c, "%s\t.L%d_s%d", s->is_signed ? "jl" : "jb", s->c->serial, skip);
    compare(s, k->high);
    jump_to(s, s->is_signed ? "jle" : "jbe", k->label);
    buf_printf(s->c->out, ".L%d_s%d:\n", s->c->serial, skip);
}

/* Cases [first, last): halves until a few are left. Falls through only to the default's jump. */
static void search_cases(const struct search *s, int first, int last)
{
    /* so few are tested one after the other: halving would save one comparison and cost a jump */
    enum { CHAIN = 4 };
    if (last - first <= CHAIN) {
        for (int i = first; i < last; i++)
            test_case(s, &s->cases[i]);
        jump_to(s, "jmp", s->otherwise);
        return;
    }
    int middle = (first + last) / 2, upper = s->c->next_local++;
    compare(s, s->cases[middle].low);
    x86_emit(s->c, "%s\t.L%d_s%d", s->is_signed ? "jge" : "jae", s->c->serial, upper);
    search_cases(s, first, middle);
    buf_printf(s->c->out, ".L%d_s%d:\n", s->c->serial, upper);
    search_cases(s, middle, last);
}

/* A case's bound as a number of the switch's type, extended as its comparison wants it. */
static int64_t bound(enum ir_type type, int64_t value)
{
    switch (type) {
    case IR_I32: return (int32_t)value;
    case IR_U32: return (uint32_t)value;
    default: return value;
    }
}

void x86_switch(struct compose *c, const struct ir_instr *i)
{
    enum ir_type type = i->value->type;
    if (type != IR_I32 && type != IR_U32 && type != IR_I64 && type != IR_U64)
        x86_internal(c, "a switch on a type that is not promoted");
    struct ir_case *cases = heap_take(c->heap, (size_t)i->n_cases * sizeof *cases);
    for (int k = 0; k < i->n_cases; k++)
        cases[k] = (struct ir_case){bound(type, i->cases[k].low), bound(type, i->cases[k].high),
                                    i->cases[k].label};
    struct search s = {.c = c, .cases = cases, .otherwise = i->label};
    s.wide = ir_type_size(type) == 8;
    s.is_signed = ir_is_signed(type);
    if (i->n_cases)
        qsort(cases, (size_t)i->n_cases, sizeof *cases, s.is_signed ? by_signed : by_unsigned);
    x86_load(c, i->value, X86_RAX);
    search_cases(&s, 0, i->n_cases);
}

/* ---- arguments ---- */

struct outgoing {
    struct abi_place *places; /* parallel to the call's arguments */
    struct abi_place result;
    struct abi_walk walk;
};

/* Where each argument goes, and the result (System V ABI 3.2.3). */
static void plan(struct compose *c, const struct ir_instr *i, struct outgoing *out)
{
    *out = (struct outgoing){0};
    out->places = heap_take(c->heap, (size_t)i->n_args * sizeof *out->places);
    const struct type *result = i->callee_type->base;
    abi_result(i->aggregate, i->aggregate ? IR_BYTES : ir_type_of(result), &out->result);
    if (out->result.kind == ABI_STACK)
        out->walk.n_int = 1; /* rdi carries the address of the result */
    for (int k = 0; k < i->n_args; k++) {
        const struct ir_argument *a = &i->args[k];
        /* the outgoing area is aligned to 16, as rsp is at a call (3.2.2) */
        if (a->aggregate && a->aggregate->align > 16)
            heap_fail(c->heap, i->at, "argument %d by value with an alignment of %lld", k + 1,
                      (long long)a->aggregate->align);
        abi_pass(&out->walk, a->aggregate, a->value->type, &out->places[k]);
    }
}

/* Bytes of stack arguments, whole words of 16 so that rsp stays aligned at the call. */
int64_t x86_call_stack(struct compose *c, const struct ir_instr *i)
{
    struct outgoing out;
    plan(c, i, &out);
    return (out.walk.stack + 15) / 16 * 16;
}

static void pass_on_stack(struct compose *c, const struct ir_argument *a, const struct abi_place *p)
{
    struct x86_memory to = {.offset = p->stack, .base = "%rsp"};
    enum ir_type type = a->value->type;
    if (a->aggregate) {
        x86_copy(c, to, x86_pointed(c, a->value), a->aggregate->size);
    } else if (type == IR_F80) {
        x86_emit(c, "fldt\t%s", x86_text(c, x86_object(c, a->value->object), 0));
        x86_emit(c, "fstpt\t%s", x86_text(c, to, 0));
    } else if (ir_is_float(type)) {
        x86_copy(c, to, x86_object(c, a->value->object), ir_type_size(type));
    } else {
        x86_load(c, a->value, X86_RAX);
        /* each argument takes eightbytes; what is above a narrow one is undefined */
        x86_store_bytes(c, X86_RAX, to, 8);
    }
}

static void pass_in_registers(struct compose *c, const struct ir_argument *a,
                              const struct abi_place *p)
{
    enum ir_type type = a->value->type;
    if (!a->aggregate && !ir_is_float(type)) {
        x86_load(c, a->value, (enum x86_register)p->parts[0].reg);
        return;
    }
    struct x86_memory from =
        a->aggregate ? x86_pointed(c, a->value) : x86_object(c, a->value->object);
    for (int k = 0; k < p->n_parts; k++) {
        struct x86_memory m = from;
        m.offset += p->parts[k].offset;
        if (p->parts[k].class == ABI_SSE)
            x86_load_sse(c, m, p->parts[k].bytes, p->parts[k].reg);
        else
            x86_load_bytes(c, m, p->parts[k].bytes, (enum x86_register)p->parts[k].reg);
    }
}

/* ---- results ---- */

/* A narrow result has garbage above its own bits; an object that is wider gets it extended. */
static void take_integer(struct compose *c, enum ir_type result, const struct ir_object *o)
{
    static const char *const extend[] = {
        [IR_I8] = "movsbq\t%al, %rax",
        [IR_U8] = "movzbl\t%al, %eax",
        [IR_I16] = "movswq\t%ax, %rax",
        [IR_U16] = "movzwl\t%ax, %eax",
        [IR_I32] = "cltq",
        [IR_U32] = "movl\t%eax, %eax",
    };
    if (ir_type_size(o->type) > ir_type_size(result))
        x86_emit(c, "%s", extend[result]);
    x86_store_bytes(c, X86_RAX, x86_object(c, o), (int)ir_type_size(o->type));
}

/* Parts of a record or a complex number from rax, rdx, xmm0, xmm1 or the x87 stack, where st(0) is
 * the first. */
static void take_aggregate(struct compose *c, const struct ir_instr *i,
                           const struct abi_place *place)
{
    struct x86_memory home = x86_object(c, i->object);
    for (int k = 0; k < place->n_parts; k++) {
        const struct abi_part *part = &place->parts[k];
        struct x86_memory to = home;
        to.offset += part->offset;
        if (part->class == ABI_X87)
            x86_emit(c, "fstpt\t%s", x86_text(c, to, 0));
        else if (part->class == ABI_SSE)
            x86_store_sse(c, part->reg, to, part->bytes);
        else
            x86_store_bytes(c, (enum x86_register)part->reg, to, part->bytes);
    }
}

static void take_result(struct compose *c, const struct ir_instr *i, const struct abi_place *place)
{
    enum ir_type result = i->aggregate ? IR_BYTES : ir_type_of(i->callee_type->base);
    bool x87 = place->kind == ABI_REGISTERS && place->parts[0].class == ABI_X87;
    /* nobody takes the result, but the x87 stack must be empty again */
    if (!i->object) {
        for (int k = 0; x87 && k < place->n_parts; k++)
            x86_emit(c, "fstp\t%%st(0)");
        return;
    }
    /* by memory: the callee has written it where it belongs */
    if (place->kind != ABI_REGISTERS)
        return;
    if (i->aggregate)
        take_aggregate(c, i, place);
    else if (x87)
        x86_emit(c, "fstpt\t%s", x86_text(c, x86_object(c, i->object), 0));
    else if (ir_is_float(result))
        x86_store_sse(c, 0, x86_object(c, i->object), (int)ir_type_size(result));
    else
        take_integer(c, result, i->object);
}

/* ---- calls ---- */

/* The hidden pointer to where a result in memory goes. */
static void pass_result_pointer(struct compose *c, const struct ir_instr *i)
{
    const struct x86_state *s = c->state;
    struct x86_memory to =
        i->object
            ? x86_object(c, i->object)
            : (struct x86_memory){.offset = c->frame.slots[s->discarded].offset, .base = "%rbp"};
    x86_emit(c, "leaq\t%s, %%rdi", x86_text(c, to, 0));
}

static bool is_alloca(const struct ir_instr *i)
{
    if (i->callee->op != IR_ADDRESS || i->n_args != 1)
        return false;
    const struct decl *d = i->callee->object->decl;
    if ((d && d->body) || (i->object && i->object->type != IR_PTR))
        return false; /* the program's own */
    const char *name = i->callee->object->name;
    return strcmp(name, "alloca") == 0 || strcmp(name, "__builtin_alloca") == 0;
}

/* Stack memory until the function returns: above the outgoing arguments, which move down. */
static void call_alloca(struct compose *c, const struct ir_instr *i)
{
    x86_load(c, i->args[0].value, X86_RAX);
    x86_emit(c, "addq\t$15, %%rax");
    x86_emit(c, "andq\t$-16, %%rax");
    x86_emit(c, "subq\t%%rax, %%rsp");
    x86_emit(c, "leaq\t%lld(%%rsp), %%rax", (long long)c->frame.outgoing);
    if (i->object)
        x86_store_bytes(c, X86_RAX, x86_object(c, i->object), 8);
}

/* Code of a shared object asks at run time (general dynamic); else the linker knows the place in
   the thread's block (initial exec), or makes it known when the program starts. */
static void find_thread_object(struct compose *c, const struct ir_instr *i)
{
    const char *symbol = compose_name(c, i->args[0].value->object);
    if (c->pic) {
        x86_emit(c, "data16 leaq\t%s@tlsgd(%%rip), %%rdi", symbol); /* as linkers want it */
        x86_emit(c, ".value\t0x6666");
        x86_emit(c, "rex64 call\t__tls_get_addr@PLT");
    } else {
        /* the thread pointer lies at its own address (variant II of the ELF TLS ABI) */
        x86_emit(c, "movq\t%%fs:0, %%rax");
        x86_emit(c, "addq\t%s@gottpoff(%%rip), %%rax", symbol);
    }
    x86_store_bytes(c, X86_RAX, x86_object(c, i->object), 8);
}

static void jump_to_callee(struct compose *c, const struct ir_instr *i)
{
    const struct ir_expr *callee = i->callee;
    /* through a pointer, which was loaded behind the arguments: r11 carries none */
    if (callee->op != IR_ADDRESS || callee->object->place != IR_FUNCTION) {
        x86_emit(c, "call\t*%%r11");
        return;
    }
    const struct decl *d = callee->object->decl;
    x86_emit(c, "call\t%s%s", compose_name(c, callee->object), d && d->is_internal ? "" : "@PLT");
}

void x86_call(struct compose *c, const struct ir_instr *i)
{
    if (is_alloca(i)) {
        call_alloca(c, i);
        return;
    }
    if (ir_is_thread_address(i)) {
        find_thread_object(c, i);
        return;
    }
    struct outgoing out;
    plan(c, i, &out);
    for (int k = 0; k < i->n_args; k++)
        if (out.places[k].kind == ABI_STACK)
            pass_on_stack(c, &i->args[k], &out.places[k]);
    if (out.result.kind == ABI_STACK)
        pass_result_pointer(c, i);
    for (int k = 0; k < i->n_args; k++)
        if (out.places[k].kind == ABI_REGISTERS)
            pass_in_registers(c, &i->args[k], &out.places[k]);
    if (i->callee->op != IR_ADDRESS || i->callee->object->place != IR_FUNCTION)
        x86_load(c, i->callee, X86_R11);
    /* al: an upper bound of the vector registers used, for the callee's prologue (3.2.3) */
    if (i->callee_type->variadic || i->callee_type->no_prototype)
        x86_emit(c, "movl\t$%d, %%eax", out.walk.n_sse);
    jump_to_callee(c, i);
    take_result(c, i, &out.result);
}
