/*
 * data.c: objects of static storage as assembler text: their sections, symbols, bytes and
 * addresses.
 */
#include <string.h>

#include "lego/target.h"

struct place {
    const char *section; /* with flags, as .section takes it */
    bool zero;           /* holds no bytes in the file */
};

static struct place choose_section(struct heap *h, const struct ir_data *d)
{
    const struct decl *decl = d->decl;
    bool writable = !d->read_only;
    /* the program's own section: with bytes in the file even if all are zero */
    if (decl && decl->section)
        return (struct place){heap_printf(h, "%s,\"%s\",@progbits", decl->section,
                                          decl->is_thread_local ? "awT" : writable ? "aw" : "a"),
                              false};
    if (decl && decl->is_thread_local)
        return d->bytes || d->n_relocations ? (struct place){".tdata,\"awT\",@progbits", false}
                                            : (struct place){".tbss,\"awT\",@nobits", true};
    /* addresses are filled in when the program is loaded; only then it becomes read-only */
    if (d->read_only && d->n_relocations)
        return (struct place){".data.rel.ro.local,\"aw\",@progbits", false};
    if (d->read_only)
        return (struct place){".rodata,\"a\",@progbits", false};
    if (d->bytes || d->n_relocations)
        return (struct place){".data,\"aw\",@progbits", false};
    return (struct place){".bss,\"aw\",@nobits", true};
}

/* Zero bytes count as text (memchr sees the terminator too): strings end in them. Up to three
 * bytes are shorter as numbers. */
static bool is_text(const unsigned char *bytes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if ((bytes[i] < 32 || bytes[i] > 126) && !memchr("\n\t", bytes[i], 3))
            return false;
    return n > 3;
}

static void emit_text(const unsigned char *bytes, int64_t n, struct buf *out)
{
    buf_puts(out, "\t.ascii \"");
    for (int64_t i = 0; i < n; i++) {
        unsigned char ch = bytes[i];
        if (ch == '"' || ch == '\\')
            buf_printf(out, "\\%c", ch);
        else if (ch < 32 || ch > 126) /* three digits always: the next character may be a digit */
            buf_printf(out, "\\%03o", ch);
        else
            buf_printf(out, "%c", ch);
    }
    buf_puts(out, "\"\n");
}

static int64_t zeros_at(const unsigned char *bytes, int64_t n)
{
    int64_t i = 0;
    while (i < n && bytes[i] == 0)
        i++;
    return i;
}

/* Lines of up to 64 bytes of text or 16 of numbers; long runs of zero in one. */
static void emit_bytes(const unsigned char *bytes, int64_t n, struct buf *out)
{
    enum { ZERO_RUN = 16, TEXT_LINE = 64, NUMBER_LINE = 16 };
    while (n > 0) {
        int64_t zeros = zeros_at(bytes, n), take;
        if (zeros >= ZERO_RUN || zeros == n) {
            take = zeros;
            buf_printf(out, "\t.zero %lld\n", (long long)take);
        } else if (is_text(bytes, n < TEXT_LINE ? n : TEXT_LINE)) {
            take = n < TEXT_LINE ? n : TEXT_LINE;
            emit_text(bytes, take, out);
        } else {
            take = n < NUMBER_LINE ? n : NUMBER_LINE;
            for (int64_t i = 0; i < take; i++)
                buf_printf(out, "%s%d", i ? "," : "\t.byte ", bytes[i]);
            buf_puts(out, "\n");
        }
        bytes += take;
        n -= take;
    }
}

/* Items stand in the order of the initialisers, which designators may turn round. */
static const struct ir_relocation *next_relocation(const struct ir_data *d, int64_t from)
{
    const struct ir_relocation *next = NULL;
    for (int i = 0; i < d->n_relocations; i++)
        if (d->relocations[i].offset >= from && (!next || d->relocations[i].offset < next->offset))
            next = &d->relocations[i];
    return next;
}

static void emit_range(const struct ir_data *d, int64_t from, int64_t to, struct buf *out)
{
    if (d->bytes)
        emit_bytes(d->bytes + from, to - from, out);
    else if (to > from)
        buf_printf(out, "\t.zero %lld\n", (long long)(to - from));
}

static void emit_contents(struct heap *h, const struct ir_data *d, int64_t size, struct buf *out)
{
    struct location at = d->decl ? d->decl->at : (struct location){0};
    int64_t done = 0;
    /* an address is 8 bytes; what stands in its place in `bytes` is not looked at */
    for (const struct ir_relocation *r; (r = next_relocation(d, done)); done = r->offset + 8) {
        emit_range(d, done, r->offset, out);
        buf_printf(out, "\t.quad %s", compose_symbol(h, r->symbol, at));
        buf_printf(out, r->addend ? "%+lld\n" : "\n", (long long)r->addend);
    }
    emit_range(d, done, size, out);
}

static int64_t alignment(const struct ir_data *d)
{
    int64_t align = d->object->align > 0 ? d->object->align : 1;
    bool array = d->object->type == IR_BYTES && d->object->size >= 16 && d->decl;
    return array && align < 16 ? 16 : align; /* 3.1.2, as for locals */
}

static void emit_datum(struct heap *h, const struct ir_data *d, struct buf *out)
{
    const struct decl *decl = d->decl;
    const char *symbol = compose_symbol(h, d->object->name, decl ? decl->at : (struct location){0});
    struct place place = choose_section(h, d);
    int64_t size = d->object->size;
    buf_printf(out, "\t.section %s\n", place.section);
    if (decl && !decl->is_internal && !decl->is_local)
        buf_printf(out, "\t%s %s\n", decl->is_weak ? ".weak" : ".globl", symbol);
    buf_printf(out, "\t.balign %lld\n", (long long)alignment(d));
    /* size and type matter to the linker: an executable that uses a shared library's data copies
     * it */
    if (decl)
        buf_printf(out, "\t.type %s, @%s\n\t.size %s, %lld\n", symbol,
                   decl->is_thread_local ? "tls_object" : "object", symbol, (long long)size);
    buf_printf(out, "%s:\n", symbol);
    if (place.zero)
        buf_printf(out, "\t.zero %lld\n", (long long)size);
    else
        emit_contents(h, d, size, out);
}

/* Those of initialisers stand in the data, others in functions that are left out. */
static void emit_constants(const struct ir_unit *unit, const bool *named, struct buf *out)
{
    bool any = false;
    for (int i = 0; i < unit->n_constants; i++) {
        if (!named[i])
            continue;
        if (!any)
            buf_puts(out, "\t.section .rodata,\"a\",@progbits\n");
        any = true;
        const struct ir_object *o = unit->constants[i];
        buf_printf(out, "\t.balign %lld\n.Lk%d:\n", (long long)(o->align > 0 ? o->align : 1), i);
        emit_bytes(o->bytes, o->size, out);
    }
}

void data_emit(const struct ir_unit *unit, const bool *constants_named, struct buf *out)
{
    if (unit->n_data)
        buf_puts(out, "\n");
    for (int i = 0; i < unit->n_data; i++)
        emit_datum(&unit->unit->heap, &unit->data[i], out);
    emit_constants(unit, constants_named, out);
}
