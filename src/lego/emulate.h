/*
 * emulate.h: runs machine code of a fragment in Unicorn on one memory image. Nothing that an
 * untrusted fragment does leaves the emulator.
 */
#ifndef LEGO_EMULATE_H
#define LEGO_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct emulator;

/** Entry or exit: general registers by their number (rsp is 4, rbp 5), xmm, flags. */
struct emulate_registers {
    uint64_t gpr[16];
    uint64_t xmm[16][2];
    uint64_t flags;
    bool floats; /* at entry: set xmm and x87 too; false: no instruction of the code names them, so
                    that they are as the last run that set them left them */
};

enum emulate_outcome { EMULATE_LEFT, EMULATE_FAULT, EMULATE_ENDLESS };

struct emulate_result {
    enum emulate_outcome outcome;
    int exit;              /* LEFT: its number, 0: the end */
    struct emulate_registers registers;
    uint16_t x87_control, x87_tags; /* tags 0xffff: empty */
    uint32_t mxcsr;
    char fault[80];        /* FAULT: what */
};

/** Errors: FAILED (Unicorn's message), NO_RESOURCE. */
ashlar_status emulator_new(struct emulator **out, ashlar_error *err);
void emulator_free(struct emulator *e);

/** Text behind a fragment that leaves it by exit 0 .. n_exits; uses the symbols named below. */
bool emulate_exits(int n_exits, struct buf *out);
/** Addresses of emulate_exits' symbols; false: not one of them. */
bool emulate_symbol(const char *name, uint64_t *address);

/** Makes code (at STATE_CODE_AT) and an image of image_bytes (whole pages, at STATE_IMAGE_AT) ready
 * to run. */
ashlar_status emulator_load(struct emulator *e, const void *code, size_t code_bytes,
                            size_t image_bytes, ashlar_error *err);

/** The memory of the image; valid until the next load. Write the entry state before each run. */
unsigned char *emulator_image(struct emulator *e);

/**
 * Runs the code from its start. limit: most basic blocks, 0: none (code without loops). A failure
 * of the fragment is an outcome, not an error. Errors: FAILED: registers cannot be set.
 */
ashlar_status emulator_run(struct emulator *e, const struct emulate_registers *entry, size_t limit,
                           struct emulate_result *result, ashlar_error *err);

#endif
