/*
 * ir_print_data.c: the types and the data of a unit printed as C: records whose layout is forced
 * field by field (the host compiler's own layout of them is checked by a static assertion), data as
 * file-scope asm.
 */
#include <inttypes.h>
#include <string.h>

#include "lego/ir_print_unit.h"
#include "lego/type.h"

/* ---- records ---- */

/* Text before and behind a field's name. */
struct declarator {
    const char *type, *suffix;
};

/* A field's type as C that cc lays out to the same size; what it means does not matter, as records
 * are passed and copied whole only. */
static struct declarator field_text(struct unit_printer *p, const struct type *t)
{
    if (t->kind == TYPE_RECORD || type_is_pair(t))
        return (struct declarator){print_record(p, t), ""};
    if (t->kind == TYPE_VA_LIST_TAG)
        return (struct declarator){"__typeof__(*(__builtin_va_list){0})", ""};
    if (t->kind == TYPE_ARRAY) {
        struct declarator element = field_text(p, t->base);
        int64_t n = t->length > 0 ? t->length : 0;
        return (struct declarator){element.type,
                                   heap_printf(p->heap, "[%" PRId64 "]%s", n, element.suffix)};
    }
    enum ir_type scalar = ir_type_of(t);
    return (struct declarator){scalar == IR_PTR ? "char *" : ir_type_name(scalar), ""};
}

/* The alignment that moves a packed record's next byte from `end` to `offset`; 0: none does. */
static int64_t alignment_for(int64_t end, int64_t offset)
{
    /* a page is the largest alignment that headers ask for; pad_bits() fills what none explains */
    for (int64_t a = 1; a <= 4096; a *= 2)
        if ((end + a - 1) / a * a == offset)
            return a;
    return 0;
}

/* Unnamed bit-fields are padding in C, and of any number of bits. */
static void pad_bits(struct buf *out, int64_t bits)
{
    for (; bits > 0; bits -= 64)
        buf_printf(out, " unsigned long : %d;", bits < 64 ? (int)bits : 64);
}

/* One field of a packed record whose first free bit is `end`; returns the new end. */
static int64_t print_field(struct unit_printer *p, struct buf *out, const struct field *f,
                           int number, int64_t end)
{
    struct declarator d = field_text(p, f->type);
    if (f->bit_width >= 0) {
        int64_t first = f->offset * 8 + f->bit_offset;
        if (f->bit_width == 0)
            return end;
        pad_bits(out, first - end);
        if (f->name)
            buf_printf(out, " %s f%d : %d;", d.type, number, f->bit_width);
        else
            pad_bits(out, f->bit_width);
        return first + f->bit_width;
    }
    int64_t byte = (end + 7) / 8, align = alignment_for(byte, f->offset);
    if (!align)
        pad_bits(out, f->offset * 8 - end);
    buf_printf(out, " %s f%d%s", d.type, number, d.suffix);
    if (align > 1)
        buf_printf(out, " __attribute__((aligned(%" PRId64 ")))", align);
    buf_puts(out, ";");
    return (f->offset + (f->type->size > 0 ? f->type->size : 0)) * 8;
}

const char *print_record(struct unit_printer *p, const struct type *t)
{
    t = t->plain ? t->plain : t;
    if (t->kind != TYPE_RECORD)
        return type_text(p->heap, t);
    for (int i = 0; i < p->n_records; i++)
        if (p->records[i] == t)
            return heap_printf(p->heap, "%s r%d", t->is_union ? "union" : "struct", i);
    struct buf body; /* types of fields are printed before it */
    buf_init(&body, (size_t)1 << 24);
    int64_t end = 0;
    for (int i = 0; i < t->n; i++) {
        end = print_field(p, &body, &t->fields[i], i, t->is_union ? t->fields[i].offset * 8 : end);
    }
    int number = p->n_records;
    heap_grow(p->heap, &p->records, number, sizeof(struct type *));
    p->records[p->n_records++] = t;
    char *name = heap_printf(p->heap, "%s r%d", t->is_union ? "union" : "struct", number);
    buf_printf(p->out, "%s {%s } __attribute__((packed, aligned(%" PRId64 ")));\n", name,
               body.data ? body.data : "", t->align > 0 ? t->align : 1);
    buf_printf(p->out, "_Static_assert(sizeof(%s) == %" PRId64 ", \"layout\");\n", name, t->size);
    buf_fini(&body);
    return name;
}

/* ---- data ---- */

static int64_t same_run(const unsigned char *bytes, int64_t n)
{
    int64_t run = 1;
    while (run < n && bytes[run] == bytes[0])
        run++;
    return run;
}

static void print_bytes(struct buf *out, const unsigned char *bytes, int64_t n)
{
    enum { RUN = 16 };
    for (int64_t i = 0; i < n;) {
        int64_t run = same_run(bytes + i, n - i);
        if (run >= RUN || bytes[i] == 0) {
            buf_printf(out, "    \".fill %" PRId64 ", 1, %d\\n\"\n", run, bytes[i]);
            i += run;
        } else {
            buf_printf(out, "    \".byte %d\\n\"\n", bytes[i++]);
        }
    }
}

static const struct ir_relocation *relocation_from(const struct ir_data *d, int64_t offset)
{
    const struct ir_relocation *next = NULL;
    for (int i = 0; i < d->n_relocations; i++)
        if (d->relocations[i].offset >= offset &&
            (!next || d->relocations[i].offset < next->offset))
            next = &d->relocations[i];
    return next;
}

static void print_span(struct buf *out, const struct ir_data *d, int64_t from, int64_t to)
{
    if (d->bytes)
        print_bytes(out, d->bytes + from, to - from);
    else if (to > from)
        buf_printf(out, "    \".zero %" PRId64 "\\n\"\n", to - from);
}

/* As assembly at file scope, which cc passes on unread: no initialiser of C could say such
 * mixtures of bytes and addresses. */
static void print_datum(struct buf *out, const struct ir_data *d)
{
    const struct ir_object *o = d->object;
    const char *section = d->decl && d->decl->is_thread_local ? ".tdata,\\\"awT\\\",@progbits"
                          : d->decl && d->decl->section ? d->decl->section
                          : d->read_only && !d->n_relocations ? ".rodata" : ".data";
    buf_printf(out, "__asm__(\".section %s\\n.balign %" PRId64 "\\n\"\n", section, o->align);
    if (d->decl && !d->decl->is_internal && !d->decl->is_local)
        buf_printf(out, "    \"%s %s\\n\"\n", d->decl->is_weak ? ".weak" : ".globl", o->name);
    buf_printf(out, "    \"%s:\\n\"\n", o->name);
    int64_t done = 0;
    for (const struct ir_relocation *r; (r = relocation_from(d, done)); done = r->offset + 8) {
        print_span(out, d, done, r->offset);
        buf_printf(out, "    \".quad %s + %" PRId64 "\\n\"\n", r->symbol, r->addend);
    }
    print_span(out, d, done, o->size);
    buf_puts(out, "    \".text\\n\");\n");
}

static void print_asm(struct buf *out, const char *text)
{
    buf_puts(out, "__asm__(\"");
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(out, "\\n");
        else if (*text == '"' || *text == '\\')
            buf_printf(out, "\\%c", *text);
        else
            buf_append(out, text, 1);
    }
    buf_puts(out, "\");\n");
}

void print_data(struct unit_printer *p)
{
    for (int i = 0; i < p->unit->n_data; i++)
        print_datum(p->out, &p->unit->data[i]);
    for (int i = 0; i < p->unit->n_constants; i++) {
        struct ir_data d = {.object = p->unit->constants[i], .bytes = p->unit->constants[i]->bytes,
                            .read_only = true};
        print_datum(p->out, &d);
    }
    for (int i = 0; i < p->unit->unit->n_asms; i++)
        print_asm(p->out, p->unit->unit->asms[i]);
}
