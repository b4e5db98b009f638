/* maintain.h: --cache-stats, --cache-export, --cache-import. */
#ifndef ASHCC_MAINTAIN_H
#define ASHCC_MAINTAIN_H

/** Does what the settings ask of the cache, import before export; returns the exit code. */
int maintain_cache(void);

#endif
