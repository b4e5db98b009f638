/*
 * assemble.h: x86-64 assembly text to bytes at an address, by LLVM in this process.
 */
#ifndef LEGO_ASSEMBLE_H
#define LEGO_ASSEMBLE_H

#include "base/buf.h"
#include "base/error.h"

#include <stdint.h>

struct assembler;

/** Errors: FAILED: LLVM has no x86-64; NO_RESOURCE. Free with assembler_free. Not for threads. */
ashlar_status assembler_new(struct assembler **out, ashlar_error *err);
void assembler_free(struct assembler *a);

/** Address of a symbol that the text uses and does not define; false: there is none of that name.
 */
typedef bool (*assemble_symbol_fn)(void *context, const char *name, uint64_t *address);

/**
 * Appends the bytes of the .text of `text` to code, as they are at address `origin`. The text must
 * hold instructions and labels only: callers pass what went through fragment_lint. Errors:
 * BAD_INPUT: the assembler's first message, *line its line of the text (0: unknown).
 */
ashlar_status assemble(struct assembler *a, const char *text, uint64_t origin,
                       assemble_symbol_fn symbol, void *context, struct buf *code, int *line,
                       ashlar_error *err);

#endif
