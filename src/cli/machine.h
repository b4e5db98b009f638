/* machine.h: what a table of measurements must say about where it was made. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include "ashlar.h"

struct machine {
    char cpu[128];         /* "AMD EPYC 9B45"; "unknown" where the system does not say */
    int cores;             /* that this process may use */
    uint64_t memory_bytes; /* 0 when unknown */
};

void machine_describe(struct machine *m);

/** "gcc 12.2.0, optimised": how this program was built. */
const char *machine_build(void);

/** XXH3 (64 bits) of a whole file, read once without mapping it. Errors: FAILED. */
ashlar_status machine_hash_file(const char *path, uint64_t *hash, ashlar_error *err);

#endif
