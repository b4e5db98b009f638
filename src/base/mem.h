/*
 * mem.h: memory. Small things come from malloc; what lives per engine comes from an arena or from
 * whole pages, sized before anything is opened.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/** a * b, or false when it wraps size_t. */
bool mem_mul(size_t a, size_t b, size_t *product);

/** calloc of n items; NULL when out of memory or the product wraps; unique when n == 0. */
void *mem_array(size_t n, size_t item_bytes);

/** Zeroed pages, 2 MiB aligned and advised huge where large enough; NULL when out of memory. */
void *mem_pages(size_t bytes);
void mem_pages_free(void *pages, size_t bytes);

/** A bump allocator over one block of pages; 64-byte aligned pieces; freed as a whole. */
struct arena {
    unsigned char *base;
    size_t used, size;
};

/** Reserve room for `bytes`; false when out of memory (arena is then empty and safe to fini). */
bool arena_init(struct arena *a, size_t bytes);
void arena_fini(struct arena *a);

/** A zeroed, 64-byte aligned piece; NULL when the arena is full (a bug in the estimate). */
void *arena_take(struct arena *a, size_t bytes);

/** Size that arena_take(bytes) uses up: bytes rounded up to 64. For estimates. */
size_t arena_piece(size_t bytes);

#endif
