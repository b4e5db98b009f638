/*
 * target_x86_64.c: frames, prologues and returns of x86-64 System V, and the moves that they and
 * calls are made of. AT&T syntax.
 *
 * Frame, from high to low:
 *     16(%rbp)...   arguments on the stack, which stay there when they can
 *     8, 0(%rbp)    return address, caller's rbp
 *     slots         objects, hidden result pointer, register save area
 *     0(%rsp)...    outgoing arguments
 *
 * When an object wants more than 16 bytes of alignment, rbp is aligned down; then the entry's stack
 * pointer (less 8: what rbp would have been) is kept in a slot, and arguments on the stack move to
 * slots as well.
 *
 * Invariants: rsp is 16-byte aligned at every call; nothing but rbp is callee-saved and written
 * here. All values are in their slots before and after each piece, so registers are free at every
 * point.
 */
#include "lego/target_x86_64.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void x86_emit(struct compose *c, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    if (n >= 0 && (size_t)n < sizeof line) {
        va_end(args);
        buf_printf(c->out, "\t%s\n", line);
        return;
    }
    va_end(args);
    va_start(args, format); /* a very long symbol */
    char *text = heap_take(c->heap, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    buf_printf(c->out, "\t%s\n", text);
}

void x86_internal(struct compose *c, const char *what)
{
    error_set(c->heap->error, ASHLAR_FAILED, "internal error: %s: %s", c->function->decl->name,
              what);
    heap_leave(c->heap, c->heap->error);
}

/* ---- operands ---- */

/* A register at a width of 1, 2, 4 or 8 bytes. In the order of enum x86_register, which begins with
 * the six that carry arguments. */
static const char *register_name(enum x86_register r, int bytes)
{
    static const char *const names[9][4] = {
        {"%dil", "%di", "%edi", "%rdi"},    {"%sil", "%si", "%esi", "%rsi"},
        {"%dl", "%dx", "%edx", "%rdx"},     {"%cl", "%cx", "%ecx", "%rcx"},
        {"%r8b", "%r8w", "%r8d", "%r8"},    {"%r9b", "%r9w", "%r9d", "%r9"},
        {"%al", "%ax", "%eax", "%rax"},     {"%r10b", "%r10w", "%r10d", "%r10"},
        {"%r11b", "%r11w", "%r11d", "%r11"},
    };
    return names[r][bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3];
}

const char *x86_text(struct compose *c, struct x86_memory m, int64_t add)
{
    long long offset = m.offset + add;
    if (!m.symbol)
        return heap_printf(c->heap, "%lld(%s)", offset, m.base);
    return offset ? heap_printf(c->heap, "%s%+lld(%s)", m.symbol, offset, m.base)
                  : heap_printf(c->heap, "%s(%s)", m.symbol, m.base);
}

static bool in_frame(const struct ir_object *o)
{
    return o->place == IR_LOCAL || o->place == IR_PARAMETER || o->place == IR_TEMPORARY;
}

static struct x86_memory frame_memory(int64_t offset)
{
    return (struct x86_memory){.offset = offset, .base = "%rbp"};
}

/* An object of another module is reached by its address in the global offset table, in r10. */
struct x86_memory x86_object(struct compose *c, const struct ir_object *o)
{
    if (in_frame(o))
        return (struct x86_memory){.symbol = compose_name(c, o), .base = "%rbp"};
    const char *symbol = compose_name(c, o);
    if (!bind_by_table(o, c->pic))
        return (struct x86_memory){.symbol = symbol, .base = "%rip"};
    x86_emit(c, "movq\t%s@GOTPCREL(%%rip), %%r10", symbol);
    return (struct x86_memory){.base = "%r10"};
}

struct x86_memory x86_pointed(struct compose *c, const struct ir_expr *address)
{
    if (address->op == IR_ADDRESS) {
        struct x86_memory m = x86_object(c, address->object);
        m.offset += address->value;
        return m;
    }
    x86_load(c, address, X86_R10);
    return (struct x86_memory){.base = "%r10"};
}

/* ---- moves ---- */

static void load_integer(struct compose *c, int64_t value, int bytes, enum x86_register r)
{
    /* a 32-bit move clears the upper half */
    if (bytes < 8 || (value >= 0 && value <= UINT32_MAX))
        x86_emit(c, "movl\t$%lld, %s", (long long)(bytes < 8 ? (int32_t)value : value),
                 register_name(r, 4));
    else if (value >= INT32_MIN && value < 0)
        x86_emit(c, "movq\t$%lld, %s", (long long)value, register_name(r, 8));
    else
        x86_emit(c, "movabsq\t$%lld, %s", (long long)value, register_name(r, 8));
}

static void load_scalar(struct compose *c, struct x86_memory m, enum ir_type type,
                        enum x86_register r)
{
    static const char *const moves[] = {
        [IR_I8] = "movsbl", [IR_U8] = "movzbl", [IR_I16] = "movswl", [IR_U16] = "movzwl",
        [IR_I32] = "movl",  [IR_U32] = "movl",  [IR_I64] = "movq",   [IR_U64] = "movq",
        [IR_PTR] = "movq",
    };
    if ((size_t)type >= sizeof moves / sizeof *moves || !moves[type])
        x86_internal(c, "a skeleton value is neither integer nor pointer");
    x86_emit(c, "%s\t%s, %s", moves[type], x86_text(c, m, 0),
             register_name(r, ir_type_size(type) == 8 ? 8 : 4));
}

static void load_address(struct compose *c, const struct ir_expr *e, enum x86_register r)
{
    const struct ir_object *o = e->object;
    if (!in_frame(o) && bind_by_table(o, c->pic)) {
        x86_emit(c, "movq\t%s@GOTPCREL(%%rip), %s", compose_name(c, o), register_name(r, 8));
        if (e->value)
            x86_emit(c, "addq\t$%lld, %s", (long long)e->value, register_name(r, 8));
        return;
    }
    x86_emit(c, "leaq\t%s, %s", x86_text(c, x86_object(c, o), e->value), register_name(r, 8));
}

void x86_load(struct compose *c, const struct ir_expr *value, enum x86_register r)
{
    switch (value->op) {
    case IR_INT: load_integer(c, value->value, (int)ir_type_size(value->type), r); return;
    case IR_READ: load_scalar(c, x86_object(c, value->object), value->object->type, r); return;
    case IR_ADDRESS: load_address(c, value, r); return;
    default: x86_internal(c, "a skeleton value is not simple");
    }
}

/* The power-of-two parts of a size, from the lowest address: 7 is 4 + 2 + 1. */
static int split_bytes(int bytes, int parts[3])
{
    int n = 0;
    for (int size = 8; size; size /= 2)
        if (bytes & size)
            parts[n++] = size;
    return n;
}

/* Not one byte beyond: it may lie on a page that is not there. Odd sizes are put together from the
 * top, by way of rax. */
void x86_load_bytes(struct compose *c, struct x86_memory m, int bytes, enum x86_register r)
{
    static const char *const moves[] = {[1] = "movzbl", [2] = "movzwl", [4] = "movl", [8] = "movq"};
    int parts[3], n = split_bytes(bytes, parts), at = bytes;
    for (int i = n - 1; i >= 0; i--) {
        enum x86_register to = i == n - 1 ? r : X86_RAX;
        at -= parts[i];
        if (i < n - 1)
            x86_emit(c, "shlq\t$%d, %s", 8 * parts[i], register_name(r, 8));
        x86_emit(c, "%s\t%s, %s", moves[parts[i]], x86_text(c, m, at),
                 register_name(to, parts[i] == 8 ? 8 : 4));
        if (i < n - 1)
            x86_emit(c, "orq\t%%rax, %s", register_name(r, 8));
    }
}

/* r is shifted down as its parts are stored: its value is lost where there are several. */
void x86_store_bytes(struct compose *c, enum x86_register r, struct x86_memory m, int bytes)
{
    static const char *const moves[] = {[1] = "movb", [2] = "movw", [4] = "movl", [8] = "movq"};
    int parts[3], n = split_bytes(bytes, parts), at = 0;
    for (int i = 0; i < n; i++) {
        if (i)
            x86_emit(c, "shrq\t$%d, %s", 8 * parts[i - 1], register_name(r, 8));
        x86_emit(c, "%s\t%s, %s", moves[parts[i]], register_name(r, parts[i]), x86_text(c, m, at));
        at += parts[i];
    }
}

void x86_load_sse(struct compose *c, struct x86_memory m, int bytes, int xmm)
{
    if (bytes == 4 || bytes == 8) {
        x86_emit(c, "%s\t%s, %%xmm%d", bytes == 4 ? "movss" : "movsd", x86_text(c, m, 0), xmm);
    } else { /* a packed record whose padding is cut off */
        x86_load_bytes(c, m, bytes, X86_R11);
        x86_emit(c, "movq\t%%r11, %%xmm%d", xmm);
    }
}

void x86_store_sse(struct compose *c, int xmm, struct x86_memory m, int bytes)
{
    if (bytes == 4 || bytes == 8) {
        x86_emit(c, "%s\t%%xmm%d, %s", bytes == 4 ? "movss" : "movsd", xmm, x86_text(c, m, 0));
    } else {
        x86_emit(c, "movq\t%%xmm%d, %%r11", xmm);
        x86_store_bytes(c, X86_R11, m, bytes);
    }
}

void x86_copy(struct compose *c, struct x86_memory to, struct x86_memory from, int64_t size)
{
    enum { UNROLLED = 64 };
    if (size > UNROLLED) {
        x86_emit(c, "leaq\t%s, %%rsi", x86_text(c, from, 0));
        x86_emit(c, "leaq\t%s, %%rdi", x86_text(c, to, 0));
        load_integer(c, size, 8, X86_RCX);
        /* the direction flag is clear at every point (3.2.1) */
        x86_emit(c, "rep movsb");
        return;
    }
    for (int64_t at = 0; at < size;) {
        int parts[3];
        split_bytes(size - at > 8 ? 8 : (int)(size - at), parts);
        struct x86_memory source = from, target = to;
        source.offset += at;
        target.offset += at;
        x86_load_bytes(c, source, parts[0], X86_RAX);
        x86_store_bytes(c, X86_RAX, target, parts[0]);
        at += parts[0];
    }
}

/* ---- frame ---- */

static struct ir_object *object_of(const struct ir_function *f, const struct decl *d)
{
    for (int i = 0; i < f->n_objects; i++)
        if (f->objects[i]->decl == d && f->objects[i]->place == IR_PARAMETER)
            return f->objects[i];
    return NULL;
}

static bool is_aggregate(const struct type *t)
{
    return ir_type_of(t) == IR_BYTES;
}

/* Classifies the parameters; those on the stack stay unless their bytes must change or move. */
static void find_params(struct compose *c, struct x86_state *s)
{
    const struct decl *d = c->function->decl;
    struct abi_walk walk = {0};
    const struct type *result = d->type->base;
    abi_result(is_aggregate(result) ? result : NULL, ir_type_of(result), &s->result);
    if (s->result.kind == ABI_STACK)
        walk.n_int = 1;
    s->n_params = d->n_params;
    s->params = heap_take(c->heap, (size_t)d->n_params * sizeof *s->params);
    for (int i = 0; i < d->n_params; i++) {
        const struct type *t = d->params[i]->type;
        struct x86_param *p = &s->params[i];
        p->passed = ir_type_of(t);
        if (d->type->no_prototype && p->passed == IR_F32)
            p->passed = IR_F64; /* a definition of the old form: promoted by the caller */
        if (t->align > 16 && is_aggregate(t))
            heap_fail(c->heap, d->params[i]->at,
                      "parameter '%s' by value with an alignment of %lld",
                      d->params[i]->name ? d->params[i]->name : "", (long long)t->align);
        abi_pass(&walk, is_aggregate(t) ? t : NULL, p->passed, &p->place);
        p->object = object_of(c->function, d->params[i]);
        p->at = d->params[i]->at;
        /* 16(%rbp) is aligned to 16, so every other eightbyte is; an object that wants more must
         * move */
        p->stays = p->place.kind == ABI_STACK && p->object && p->passed == ir_type_of(t) &&
                   p->object->align <= 8 + 8 * (p->place.stack % 16 == 0);
    }
    s->named = walk;
}

static void add_slots(struct compose *c, struct x86_state *s)
{
    const struct ir_function *f = c->function;
    for (int i = 0; i < f->n_objects; i++) {
        struct ir_object *o = f->objects[i];
        bool stays = false;
        for (int k = 0; k < s->n_params; k++)
            stays |= s->params[k].object == o && s->params[k].stays;
        if (!in_frame(o) || stays)
            continue;
        /* 3.1.2: arrays of 16 bytes and more are aligned to 16. */
        int64_t align = o->type == IR_BYTES && o->size >= 16 && o->align < 16 ? 16 : o->align;
        frame_add(c->heap, &c->frame, o->name, o->size, align, o);
    }
}

static int64_t frame_align(const struct ir_function *f)
{
    int64_t most = 16;
    for (int i = 0; i < f->n_objects; i++)
        if (in_frame(f->objects[i]) && f->objects[i]->align > most)
            most = f->objects[i]->align;
    return most;
}

/* What the calls need: the largest set of stack arguments, room for results by memory that nobody
 * takes. */
static int64_t scan_calls(struct compose *c)
{
    int64_t discarded = 0;
    for (int i = 0; i < c->function->n_code; i++) {
        const struct ir_instr *call = &c->function->code[i];
        if (call->code != IR_CALL)
            continue;
        int64_t stack = x86_call_stack(c, call);
        if (stack > c->frame.outgoing)
            c->frame.outgoing = stack;
        if (call->aggregate && !call->object && call->aggregate->size > discarded)
            discarded = call->aggregate->size;
    }
    return discarded;
}

static void layout(struct compose *c)
{
    struct x86_state *s = heap_take(c->heap, sizeof *s);
    c->state = s;
    /* -1: no such slot */
    s->result_pointer = s->save_area = s->discarded = s->entry = -1;
    find_params(c, s);
    /* rbp no longer tells where the caller's frame ends */
    if (frame_align(c->function) > 16) {
        s->entry = frame_add(c->heap, &c->frame, "(entry rsp)", 8, 8, NULL);
        for (int i = 0; i < s->n_params; i++)
            s->params[i].stays = false;
    }
    add_slots(c, s);
    if (s->result.kind == ABI_STACK)
        s->result_pointer = frame_add(c->heap, &c->frame, "(result pointer)", 8, 8, NULL);
    if (c->function->decl->type->variadic)
        s->save_area =
            frame_add(c->heap, &c->frame, "(register save area)", X86_SAVE_BYTES, 16, NULL);
    int64_t discarded = scan_calls(c);
    if (discarded)
        s->discarded = frame_add(c->heap, &c->frame, "(discarded result)", discarded, 16, NULL);
    frame_place(&c->frame);
    for (int i = 0; i < s->n_params; i++)
        if (s->params[i].stays)
            s->params[i].object->offset = 16 + s->params[i].place.stack;
    /* displacements have 32 bits */
    if (c->frame.bytes > INT32_MAX)
        heap_fail(c->heap, c->function->decl->at, "the frame of '%s' is larger than 2 GiB",
                  c->function->decl->name);
}

static struct x86_memory slot(const struct compose *c, int index)
{
    return frame_memory(c->frame.slots[index].offset);
}

/* ---- prologue ---- */

static void open_frame(struct compose *c, const struct x86_state *s)
{
    long long bytes = c->frame.bytes;
    x86_emit(c, "pushq\t%%rbp");
    x86_emit(c, ".cfi_def_cfa_offset 16");
    /* DWARF numbers: 6 is rbp, 7 rsp, 10 r10 */
    x86_emit(c, ".cfi_offset 6, -16");
    x86_emit(c, "movq\t%%rsp, %%rbp");
    x86_emit(c, ".cfi_def_cfa_register 6");
    if (s->entry >= 0) {
        x86_emit(c, "movq\t%%rbp, %%r10");
        x86_emit(c, ".cfi_def_cfa_register 10");
        x86_emit(c, "andq\t$-%lld, %%rbp", (long long)c->frame.align);
        x86_emit(c, "leaq\t-%lld(%%rbp), %%rsp", bytes);
        x86_emit(c, "movq\t%%r10, %s", x86_text(c, slot(c, s->entry), 0));
        /* The slot, -8(%rbp), holds what rbp would have been: the frame's address is 16 above it.
         */
        x86_emit(c, ".cfi_escape 0xf, 5, 0x76, 0x78, 0x6, 0x23, 16");
    } else if (bytes) {
        x86_emit(c, "subq\t$%lld, %%rsp", bytes);
    }
}

/* The registers that may hold unnamed arguments, where va_arg looks for them (3.5.7). */
static void save_registers(struct compose *c, const struct x86_state *s)
{
    struct x86_memory area = slot(c, s->save_area);
    for (int i = s->named.n_int; i < 6; i++)
        x86_emit(c, "movq\t%s, %s", register_name((enum x86_register)i, 8),
                 x86_text(c, area, 8 * i));
    if (s->named.n_sse >= 8)
        return;
    int skip = c->next_local++;
    /* al is 0 where no vector register carries anything: they need not be saved */
    x86_emit(c, "testb\t%%al, %%al");
    x86_emit(c, "je\t.L%d_s%d", c->serial, skip);
    for (int i = s->named.n_sse; i < 8; i++)
        x86_emit(c, "movaps\t%%xmm%d, %s", i, x86_text(c, area, X86_SAVE_GENERAL + 16 * i));
    buf_printf(c->out, ".L%d_s%d:\n", c->serial, skip);
}

static void take_from_registers(struct compose *c, const struct x86_param *p)
{
    struct x86_memory home = x86_object(c, p->object);
    for (int i = 0; i < p->place.n_parts; i++) {
        const struct abi_part *part = &p->place.parts[i];
        struct x86_memory to = home;
        to.offset += part->offset;
        if (part->class == ABI_INTEGER) {
            x86_store_bytes(c, (enum x86_register)part->reg, to, part->bytes);
        } else if (p->passed == IR_F64 && p->object->type == IR_F32) {
            x86_emit(c, "cvtsd2ss\t%%xmm%d, %%xmm%d", part->reg, part->reg);
            x86_store_sse(c, part->reg, to, 4);
        } else {
            x86_store_sse(c, part->reg, to, part->bytes);
        }
    }
}

/* An argument on the stack that does not stay there; rdi, rsi, rcx, rax and xmm are free by now. */
static void take_from_stack(struct compose *c, const struct x86_state *s, const struct x86_param *p)
{
    struct x86_memory home = x86_object(c, p->object);
    struct x86_memory from = {.offset = 16 + p->place.stack,
                              .base = s->entry >= 0 ? "%r10" : "%rbp"};
    if (p->passed == IR_F64 && p->object->type == IR_F32) {
        x86_emit(c, "cvtsd2ss\t%s, %%xmm0", x86_text(c, from, 0));
        x86_store_sse(c, 0, home, 4);
    } else {
        x86_copy(c, home, from, p->object->size);
    }
}

/* The order keeps what is still in registers: the result's pointer and the save area first, then
 * parameters in registers, then those on the stack, whose moves use registers. */
static void prologue(struct compose *c)
{
    const struct x86_state *s = c->state;
    open_frame(c, s);
    if (s->result_pointer >= 0)
        x86_emit(c, "movq\t%%rdi, %s", x86_text(c, slot(c, s->result_pointer), 0));
    if (s->save_area >= 0)
        save_registers(c, s);
    for (int i = 0; i < s->n_params; i++)
        if (s->params[i].object && s->params[i].place.kind == ABI_REGISTERS)
            take_from_registers(c, &s->params[i]);
    for (int i = 0; i < s->n_params; i++)
        if (s->params[i].object && s->params[i].place.kind == ABI_STACK && !s->params[i].stays)
            take_from_stack(c, s, &s->params[i]);
}

/* ---- returns ---- */

static void close_frame(struct compose *c)
{
    const struct x86_state *s = c->state;
    buf_printf(c->out, ".L%d_return:\n", c->serial);
    if (s->entry >= 0)
        x86_emit(c, "movq\t%s, %%rbp\n\t.cfi_def_cfa 6, 16", x86_text(c, slot(c, s->entry), 0));
    x86_emit(c, "leave");
    x86_emit(c, ".cfi_def_cfa 7, 8");
    x86_emit(c, "ret");
}

static void epilogue(struct compose *c)
{
    const struct ir_function *f = c->function;
    bool returned = f->n_code && f->code[f->n_code - 1].code == IR_RETURN;
    if (!returned && strcmp(f->decl->symbol, "main") == 0)
        x86_emit(c, "xorl\t%%eax, %%eax"); /* C11 5.1.2.2.3 */
    close_frame(c);
}

static void return_aggregate(struct compose *c, const struct ir_instr *i, const struct x86_state *s)
{
    struct x86_memory from = x86_pointed(c, i->value);
    /* rax returns the address that came in rdi (3.2.3) */
    if (s->result.kind == ABI_STACK) {
        x86_emit(c, "movq\t%s, %%r11", x86_text(c, slot(c, s->result_pointer), 0));
        x86_copy(c, (struct x86_memory){.base = "%r11"}, from, i->aggregate->size);
        x86_emit(c, "movq\t%%r11, %%rax");
        return;
    }
    /* The last part first: what is assembled from odd sizes goes by rax. */
    for (int k = s->result.n_parts - 1; k >= 0; k--) {
        const struct abi_part *part = &s->result.parts[k];
        struct x86_memory m = from;
        m.offset += part->offset;
        if (part->class == ABI_X87) {
            x86_emit(c, "fldt\t%s", x86_text(c, m, 0));
        } else if (part->class == ABI_SSE) {
            x86_load_sse(c, m, part->bytes, part->reg);
        } else if (part->reg == X86_RAX) {
            x86_load_bytes(c, m, part->bytes, X86_RCX);
            x86_emit(c, "movq\t%%rcx, %%rax");
        } else {
            x86_load_bytes(c, m, part->bytes, (enum x86_register)part->reg);
        }
    }
}

static void return_value(struct compose *c, const struct ir_instr *i)
{
    const struct x86_state *s = c->state;
    enum ir_type type = i->value->type;
    if (i->aggregate)
        return_aggregate(c, i, s);
    else if (type == IR_F80)
        x86_emit(c, "fldt\t%s", x86_text(c, x86_object(c, i->value->object), 0));
    else if (type == IR_F32 || type == IR_F64)
        x86_load_sse(c, x86_object(c, i->value->object), (int)ir_type_size(type), 0);
    else
        x86_load(c, i->value, X86_RAX);
}

static void emit_return(struct compose *c, const struct ir_instr *i)
{
    if (i->value)
        return_value(c, i);
    /* the last one falls into the epilogue */
    if (i != &c->function->code[c->function->n_code - 1])
        x86_emit(c, "jmp\t.L%d_return", c->serial);
}

/* ---- the other skeleton instructions ---- */

/* The four fields of va_list (3.5.7): bytes used of the general and of the vector part of the save
 * area, the next argument on the stack, the save area. */
static void start_list(struct compose *c, const struct ir_instr *i)
{
    const struct x86_state *s = c->state;
    if (s->save_area < 0)
        heap_fail(c->heap, i->at, "va_start in a function with fixed arguments");
    x86_load(c, i->address, X86_RAX);
    x86_emit(c, "movl\t$%d, (%%rax)", 8 * s->named.n_int);
    x86_emit(c, "movl\t$%d, 4(%%rax)", X86_SAVE_GENERAL + 16 * s->named.n_sse);
    if (s->entry >= 0)
        x86_emit(c, "movq\t%s, %%rcx", x86_text(c, slot(c, s->entry), 0));
    x86_emit(c, "leaq\t%lld(%s), %%rcx", (long long)(16 + s->named.stack),
             s->entry >= 0 ? "%rcx" : "%rbp");
    x86_emit(c, "movq\t%%rcx, 8(%%rax)");
    x86_emit(c, "leaq\t%s, %%rcx", x86_text(c, slot(c, s->save_area), 0));
    x86_emit(c, "movq\t%%rcx, 16(%%rax)");
}

static void branch(struct compose *c, const struct ir_instr *i)
{
    char label[32];
    compose_label(c, i->label, label);
    x86_load(c, i->value, X86_RAX);
    int bytes = ir_type_size(i->value->type) == 8 ? 8 : 4;
    x86_emit(c, "test%c\t%s, %s", bytes == 8 ? 'q' : 'l', register_name(X86_RAX, bytes),
             register_name(X86_RAX, bytes));
    x86_emit(c, "jne\t%s", label);
}

static void skeleton(struct compose *c, const struct ir_instr *i)
{
    char label[32];
    switch (i->code) {
    case IR_CALL: x86_call(c, i); return;
    case IR_RETURN: emit_return(c, i); return;
    case IR_SWITCH: x86_switch(c, i); return;
    case IR_VA_START: start_list(c, i); return;
    case IR_LABEL: buf_printf(c->out, "%s:\n", compose_label(c, i->label, label)); return;
    case IR_JUMP: x86_emit(c, "jmp\t%s", compose_label(c, i->label, label)); return;
    case IR_BRANCH: branch(c, i); return;
    case IR_ASSIGN: case IR_STORE: break;
    }
    x86_internal(c, "an assignment in the skeleton");
}

const struct target target_x86_64 = {"x86-64", layout, prologue, skeleton, epilogue};
