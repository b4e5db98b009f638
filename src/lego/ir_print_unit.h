/*
 * ir_print_unit.h: what the files that print a lowered unit as C share.
 */
#ifndef LEGO_IR_PRINT_UNIT_H
#define LEGO_IR_PRINT_UNIT_H

#include "base/buf.h"
#include "lego/ir.h"

struct unit_printer {
    const struct ir_unit *unit;
    struct heap *heap;
    struct buf *out;
    const struct type **records;      /* printed as struct r0, r1, ... (n_records) */
    int n_records;
    const struct ir_object **globals; /* declared (n_globals) */
    int n_globals;
};

/** The C name of a record type, printed (with those it is made of) when it is new. */
const char *print_record(struct unit_printer *p, const struct type *t);

/** Data and constants as assembler text, with the file-scope asms. */
void print_data(struct unit_printer *p);

#endif
