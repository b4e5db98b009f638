/*
 * assemble.c: module inline assembly through LLVM's C API into an object in memory, then the
 * relocations of its .text. LLVM reports success after assembler errors too, so the diagnostics
 * decide.
 *
 * The object comes from LLVM, not from outside, but is read as if it could be anything: it is all
 * offsets.
 */
#include "lego/assemble.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

static const char triple[] = "x86_64-pc-linux-gnu";

struct assembler {
    LLVMTargetMachineRef machine;
};

ashlar_status assembler_new(struct assembler **out, ashlar_error *err)
{
    *out = NULL;
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmParser();
    LLVMInitializeX86AsmPrinter();
    LLVMTargetRef target;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &why)) {
        ashlar_status status = error_set(err, ASHLAR_FAILED, "LLVM: %s", why);
        LLVMDisposeMessage(why);
        return status;
    }
    struct assembler *a = calloc(1, sizeof *a);
    if (!a)
        return error_memory(err, sizeof *a, "the assembler");
    /* "x86-64": the baseline alone, so that no later extension assembles by accident. PIC and
     * small: every reference is a 32-bit difference, as relocate() expects. */
    a->machine = LLVMCreateTargetMachine(target, triple, "x86-64", "", LLVMCodeGenLevelNone,
                                         LLVMRelocPIC, LLVMCodeModelSmall);
    if (!a->machine) {
        free(a);
        return error_set(err, ASHLAR_FAILED, "LLVM has no target machine for %s", triple);
    }
    *out = a;
    return ASHLAR_OK;
}

void assembler_free(struct assembler *a)
{
    if (!a)
        return;
    LLVMDisposeTargetMachine(a->machine);
    free(a);
}

/* ---- diagnostics ---- */

struct diagnosis {
    int errors, line;
    char message[200];
};

/** "<inline asm>:3:7: invalid operand ...\n<source>\n  ^": the first is kept. */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *context)
{
    struct diagnosis *d = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError || d->errors++)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    const char *place = strchr(text, '>');
    int column, used = 0;
    if (place && sscanf(place, ">:%d:%d: %n", &d->line, &column, &used) == 2 && used > 0)
        place += used;
    else
        place = text;
    snprintf(d->message, sizeof d->message, "%.*s", (int)strcspn(place, "\n"), place);
    LLVMDisposeMessage(text);
}

/* ---- the object ---- */

struct object {
    const unsigned char *bytes;
    size_t size;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
};

/** Written so that neither sum nor difference can wrap. */
static bool inside(const struct object *o, uint64_t offset, uint64_t size)
{
    return offset <= o->size && size <= o->size - offset;
}

static bool open_object(struct object *o)
{
    /* headers are read where they lie, so they must be aligned */
    if (o->size < sizeof *o->header || (uintptr_t)o->bytes % 8)
        return false;
    o->header = (const void *)o->bytes;
    if (memcmp(o->header->e_ident, ELFMAG, SELFMAG) != 0 ||
        o->header->e_ident[EI_CLASS] != ELFCLASS64 ||
        o->header->e_shentsize != sizeof *o->sections || o->header->e_shoff % 8 ||
        !inside(o, o->header->e_shoff, (uint64_t)o->header->e_shnum * sizeof *o->sections))
        return false;
    o->sections = (const void *)(o->bytes + o->header->e_shoff);
    for (int i = 0; i < o->header->e_shnum; i++)
        if (o->sections[i].sh_type != SHT_NOBITS &&
            !inside(o, o->sections[i].sh_offset, o->sections[i].sh_size))
            return false;
    return true;
}

static const Elf64_Shdr *find_section(const struct object *o, uint32_t type, uint64_t flags)
{
    for (int i = 0; i < o->header->e_shnum; i++)
        if (o->sections[i].sh_type == type && (o->sections[i].sh_flags & flags) == flags)
            return &o->sections[i];
    return NULL;
}

/** Name of symbol i, NUL-terminated inside its table; NULL: none. */
static const char *symbol_name(const struct object *o, const Elf64_Shdr *table, uint64_t i)
{
    if (table->sh_link >= o->header->e_shnum || i >= table->sh_size / sizeof(Elf64_Sym))
        return NULL;
    const Elf64_Shdr *strings = &o->sections[table->sh_link];
    const Elf64_Sym *symbol = (const Elf64_Sym *)(const void *)(o->bytes + table->sh_offset) + i;
    const char *name = (const char *)o->bytes + strings->sh_offset + symbol->st_name;
    if (symbol->st_shndx != SHN_UNDEF || symbol->st_name >= strings->sh_size ||
        !memchr(name, '\0', strings->sh_size - symbol->st_name))
        return NULL;
    return name;
}

/** What a linker would do, for the two relocations that the instructions of the table need: field =
 * symbol + addend - place. */
static ashlar_status relocate(const struct object *o, unsigned char *code, size_t size,
                              uint64_t origin, assemble_symbol_fn symbol, void *context,
                              ashlar_error *err)
{
    const Elf64_Shdr *table = find_section(o, SHT_RELA, 0);
    const Elf64_Shdr *symbols = find_section(o, SHT_SYMTAB, 0);
    for (uint64_t i = 0; table && symbols && i < table->sh_size / sizeof(Elf64_Rela); i++) {
        const Elf64_Rela *r = (const Elf64_Rela *)(const void *)(o->bytes + table->sh_offset) + i;
        const char *name = symbol_name(o, symbols, ELF64_R_SYM(r->r_info));
        uint32_t type = ELF64_R_TYPE(r->r_info);
        uint64_t address;
        if ((type != R_X86_64_PC32 && type != R_X86_64_PLT32) || r->r_offset > size ||
            size - r->r_offset < 4)
            return error_set(err, ASHLAR_BAD_INPUT, "relocation of type %u against %s", type,
                             name ? name : "a section");
        if (!name || !symbol(context, name, &address))
            return error_set(err, ASHLAR_BAD_INPUT, "undefined symbol %s", name ? name : "?");
        int64_t delta = (int64_t)(address + (uint64_t)r->r_addend - (origin + r->r_offset));
        int32_t field = (int32_t)delta;
        if (field != delta)
            return error_set(err, ASHLAR_BAD_INPUT, "%s is out of reach", name);
        memcpy(code + r->r_offset, &field, 4);
    }
    return ASHLAR_OK;
}

static ashlar_status extract(const unsigned char *bytes, size_t size, uint64_t origin,
                             assemble_symbol_fn symbol, void *context, struct buf *code,
                             ashlar_error *err)
{
    struct object o = {.bytes = bytes, .size = size};
    const Elf64_Shdr *text = open_object(&o) ? find_section(&o, SHT_PROGBITS, SHF_EXECINSTR) : NULL;
    if (!text)
        return error_set(err, ASHLAR_FAILED, "LLVM made an object without code");
    size_t at = code->length;
    if (!buf_append(code, bytes + text->sh_offset, text->sh_size))
        return error_set(err, ASHLAR_BAD_INPUT, "more than %zu bytes of code", code->max);
    return relocate(&o, (unsigned char *)code->data + at, text->sh_size, origin, symbol, context,
                    err);
}

ashlar_status assemble(struct assembler *a, const char *text, uint64_t origin,
                       assemble_symbol_fn symbol, void *context, struct buf *code, int *line,
                       ashlar_error *err)
{
    struct diagnosis diagnosis = {0};
    /* a context for each fragment: diagnostics and symbols of one must not meet another's */
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(llvm, on_diagnostic, &diagnosis);
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("fragment", llvm);
    LLVMSetTarget(module, triple);
    LLVMSetModuleInlineAsm2(module, text, strlen(text));
    LLVMMemoryBufferRef object = NULL;
    char *why = NULL;
    LLVMBool failed =
        LLVMTargetMachineEmitToMemoryBuffer(a->machine, module, LLVMObjectFile, &why, &object);
    ashlar_status status;
    *line = diagnosis.line;
    if (diagnosis.errors)
        status = error_set(err, ASHLAR_BAD_INPUT, "%s", diagnosis.message);
    else if (failed)
        status = error_set(err, ASHLAR_FAILED, "LLVM: %s", why ? why : "no object");
    else
        status = extract((const unsigned char *)LLVMGetBufferStart(object),
                         LLVMGetBufferSize(object), origin, symbol, context, code, err);
    if (failed && why)
        LLVMDisposeMessage(why);
    if (object)
        LLVMDisposeMemoryBuffer(object);
    LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    return status;
}
