/*
 * emulate.c: Unicorn with the code pages, a private word that tells the exit, and the image mapped
 * over our own memory, so that setting a state up is a copy. A run starts at the code's first byte
 * and ends at the hlt behind an exit's label; whatever else happens is a fault.
 *
 * There are two engines over the same memory, one that always counts the basic blocks it runs and
 * one that never does: counting takes time, and translated code has it or has it not. (Unicorn's
 * own limit counts instructions.)
 */
#include "lego/emulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unicorn/unicorn.h>

#include "lego/state.h"

enum { CODE_BYTES = 256 << 10 };

/* Translated code of past fragments is freed only with its engine: some KB each. */
enum { LOADS_PER_ENGINE = 8192 };

/* Two pages of their own, far from code and image. */
#define EXIT_BYTE_AT (STATE_CODE_AT + 0x1000000u)

/* A run ends by hlt: at an address given to Unicorn it would translate code anew in each run. */
enum { NOWHERE = 0 };

/* Exceptions masked, round to nearest, 64-bit mantissas: what the ABI promises at entry. */
enum { X87_CONTROL = 0x37f, MXCSR = 0x1f80, X87_EMPTY = 0xffff };

enum { PLAIN, COUNTING, N_ENGINES };

struct emulator {
    uc_engine *engines[N_ENGINES];
    unsigned char *code, *exit_byte, *image;
    size_t image_bytes;
    int loads;
    size_t left; /* of the counting engine's run: basic blocks that it may still enter */
};

/** In the order of emulate_registers.gpr, which is the processor's; rflags last. */
static const int register_ids[] = {
    UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8, UC_X86_REG_R9, UC_X86_REG_R10, UC_X86_REG_R11,
    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15, UC_X86_REG_EFLAGS,
};

enum { N_REGISTERS = sizeof register_ids / sizeof register_ids[0] };

static unsigned char *pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static ashlar_status unicorn_error(ashlar_error *err, const char *what, uc_err e)
{
    return error_set(err, ASHLAR_FAILED, "Unicorn: %s: %s", what, uc_strerror(e));
}

static uc_err open_engine(const struct emulator *e, uc_engine **out)
{
    uc_err uc = uc_open(UC_ARCH_X86, UC_MODE_64, out);
    if (uc == UC_ERR_OK)
        uc = uc_mem_map_ptr(*out, STATE_CODE_AT, CODE_BYTES, UC_PROT_READ | UC_PROT_EXEC, e->code);
    if (uc == UC_ERR_OK)
        uc = uc_mem_map_ptr(*out, EXIT_BYTE_AT, STATE_PAGE, UC_PROT_WRITE, e->exit_byte);
    return uc;
}

static void close_engines(struct emulator *e)
{
    for (int i = 0; i < N_ENGINES; i++)
        if (e->engines[i])
            uc_close(e->engines[i]);
    memset(e->engines, 0, sizeof e->engines);
}

static void count_block(uc_engine *engine, uint64_t address, uint32_t size, void *user)
{
    struct emulator *e = user;
    (void)address;
    (void)size;
    if (e->left == 0)
        uc_emu_stop(engine);
    else
        e->left--;
}

static uc_err open_engines(struct emulator *e)
{
    uc_err uc = UC_ERR_OK;
    uc_hook hook;
    for (int i = 0; i < N_ENGINES && uc == UC_ERR_OK; i++)
        uc = open_engine(e, &e->engines[i]);
    void *callback;
    void (*counter)(uc_engine *, uint64_t, uint32_t, void *) = count_block;
    memcpy(&callback, &counter, sizeof callback); /* ISO C has no such conversion */
    if (uc == UC_ERR_OK) /* begin > end: everywhere */
        uc = uc_hook_add(e->engines[COUNTING], &hook, UC_HOOK_BLOCK, callback, e, 1, 0);
    return uc;
}

ashlar_status emulator_new(struct emulator **out, ashlar_error *err)
{
    *out = NULL;
    struct emulator *e = calloc(1, sizeof *e);
    if (!e)
        return error_memory(err, sizeof *e, "the emulator");
    e->code = pages(CODE_BYTES);
    e->exit_byte = pages(STATE_PAGE);
    uc_err uc = e->code && e->exit_byte ? UC_ERR_OK : UC_ERR_NOMEM;
    if (uc == UC_ERR_OK)
        uc = open_engines(e);
    if (uc != UC_ERR_OK) {
        emulator_free(e);
        return unicorn_error(err, "cannot start", uc);
    }
    *out = e;
    return ASHLAR_OK;
}

void emulator_free(struct emulator *e)
{
    if (!e)
        return;
    close_engines(e);
    if (e->code)
        munmap(e->code, CODE_BYTES);
    if (e->exit_byte)
        munmap(e->exit_byte, STATE_PAGE);
    if (e->image)
        munmap(e->image, e->image_bytes);
    free(e);
}

/** Behind the fragment: its end (exit 0), then a label for each exit. Each writes its number, by a
 * mov, which changes no flag, and halts. */
bool emulate_exits(int n_exits, struct buf *out)
{
    for (int i = 0; i <= n_exits; i++) {
        if (i)
            buf_printf(out, "x%d:\n", i);
        buf_printf(out, "\tmovl\t$%d, exit_byte(%%rip)\n\thlt\n", i);
    }
    return !out->failed;
}

bool emulate_symbol(const char *name, uint64_t *address)
{
    *address = EXIT_BYTE_AT;
    return strcmp(name, "exit_byte") == 0;
}

/** Fresh engines, without an image. */
static uc_err renew_engines(struct emulator *e)
{
    close_engines(e);
    if (e->image)
        munmap(e->image, e->image_bytes);
    e->image = NULL;
    e->image_bytes = 0;
    uc_err uc = open_engines(e);
    if (uc == UC_ERR_OK)
        e->loads = 1;
    else
        close_engines(e);
    return uc;
}

static ashlar_status map_image(struct emulator *e, size_t bytes, ashlar_error *err)
{
    /* mostly: blocks of one file have images of a few sizes */
    if (e->image_bytes == bytes)
        return ASHLAR_OK;
    for (int i = 0; i < N_ENGINES && e->image; i++)
        uc_mem_unmap(e->engines[i], STATE_IMAGE_AT, e->image_bytes);
    if (e->image)
        munmap(e->image, e->image_bytes);
    e->image_bytes = 0;
    e->image = pages(bytes);
    if (!e->image)
        return error_memory(err, bytes, "the emulator's image");
    uc_err uc = UC_ERR_OK;
    for (int i = 0; i < N_ENGINES && uc == UC_ERR_OK; i++)
        uc = uc_mem_map_ptr(e->engines[i], STATE_IMAGE_AT, bytes, UC_PROT_READ | UC_PROT_WRITE,
                            e->image);
    if (uc == UC_ERR_OK) {
        e->image_bytes = bytes;
        return ASHLAR_OK;
    }
    for (int i = 0; i < N_ENGINES; i++)
        uc_mem_unmap(e->engines[i], STATE_IMAGE_AT, bytes); /* of those that have it */
    munmap(e->image, bytes);
    e->image = NULL;
    return unicorn_error(err, "cannot map the image", uc);
}

ashlar_status emulator_load(struct emulator *e, const void *code, size_t code_bytes,
                            size_t image_bytes, ashlar_error *err)
{
    if (code_bytes > CODE_BYTES - 64)
        return error_set(err, ASHLAR_BAD_INPUT, "%zu bytes of code", code_bytes);
    memset(e->code, 0xf4, CODE_BYTES); /* hlt: left without an exit */
    memcpy(e->code, code, code_bytes);
    uc_err uc = e->loads++ < LOADS_PER_ENGINE ? UC_ERR_OK : renew_engines(e);
    for (int i = 0; i < N_ENGINES && uc == UC_ERR_OK; i++)
        uc = uc_ctl_remove_cache(e->engines[i], STATE_CODE_AT, STATE_CODE_AT + CODE_BYTES);
    if (uc != UC_ERR_OK)
        return unicorn_error(err, "cannot drop translated code", uc);
    return map_image(e, image_bytes, err);
}

unsigned char *emulator_image(struct emulator *e)
{
    return e->image;
}

static uc_err set_registers(uc_engine *engine, const struct emulate_registers *entry)
{
    uint64_t values[N_REGISTERS];
    void *pointers[N_REGISTERS];
    int ids[N_REGISTERS];
    memcpy(values, entry->gpr, sizeof entry->gpr);
    values[16] = entry->flags;
    memcpy(ids, register_ids, sizeof ids);
    for (int i = 0; i < N_REGISTERS; i++)
        pointers[i] = &values[i];
    uc_err uc = uc_reg_write_batch(engine, ids, pointers, N_REGISTERS);
    if (!entry->floats)
        return uc;
    for (int i = 0; i < 16 && uc == UC_ERR_OK; i++)
        uc = uc_reg_write(engine, UC_X86_REG_XMM0 + i, entry->xmm[i]);
    uint16_t control = X87_CONTROL, tags = X87_EMPTY, status = 0;
    uint32_t mxcsr = MXCSR;
    if (uc == UC_ERR_OK)
        uc = uc_reg_write(engine, UC_X86_REG_FPSW, &status);
    if (uc == UC_ERR_OK)
        uc = uc_reg_write(engine, UC_X86_REG_FPCW, &control);
    if (uc == UC_ERR_OK)
        uc = uc_reg_write(engine, UC_X86_REG_FPTAG, &tags);
    if (uc == UC_ERR_OK)
        uc = uc_reg_write(engine, UC_X86_REG_MXCSR, &mxcsr);
    return uc;
}

static uc_err get_registers(uc_engine *engine, struct emulate_result *result)
{
    uint64_t values[N_REGISTERS];
    void *pointers[N_REGISTERS];
    int ids[N_REGISTERS];
    memcpy(ids, register_ids, sizeof ids);
    for (int i = 0; i < N_REGISTERS; i++)
        pointers[i] = &values[i];
    uc_err uc = uc_reg_read_batch(engine, ids, pointers, N_REGISTERS);
    memcpy(result->registers.gpr, values, sizeof result->registers.gpr);
    result->registers.flags = values[16];
    if (uc == UC_ERR_OK)
        uc = uc_reg_read(engine, UC_X86_REG_FPCW, &result->x87_control);
    if (uc == UC_ERR_OK)
        uc = uc_reg_read(engine, UC_X86_REG_FPTAG, &result->x87_tags);
    if (uc == UC_ERR_OK)
        uc = uc_reg_read(engine, UC_X86_REG_MXCSR, &result->mxcsr);
    return uc;
}

ashlar_status emulator_run(struct emulator *e, const struct emulate_registers *entry, size_t limit,
                           struct emulate_result *result, ashlar_error *err)
{
    uc_engine *engine = e->engines[limit ? COUNTING : PLAIN];
    memset(result, 0, sizeof *result);
    uc_err uc = set_registers(engine, entry);
    if (uc != UC_ERR_OK)
        return unicorn_error(err, "cannot set registers", uc);
    /* no exit writes it */
    int32_t exit = -1;
    memcpy(e->exit_byte, &exit, sizeof exit);
    e->left = limit;
    uc = uc_emu_start(engine, STATE_CODE_AT, NOWHERE, 0, 0);
    if (uc != UC_ERR_OK) {
        result->outcome = EMULATE_FAULT;
        snprintf(result->fault, sizeof result->fault, "%s", uc_strerror(uc));
        return ASHLAR_OK;
    }
    memcpy(&exit, e->exit_byte, sizeof exit);
    result->exit = exit;
    /* also a hlt behind the code, which no linted fragment reaches */
    result->outcome = exit < 0 ? EMULATE_ENDLESS : EMULATE_LEFT;
    uc = get_registers(engine, result);
    return uc == UC_ERR_OK ? ASHLAR_OK : unicorn_error(err, "cannot read registers", uc);
}
