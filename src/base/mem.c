/*
 * mem.c: sized arrays, whole pages and arenas.
 *
 * Pages come straight from mmap: they are zero, they go back to the system when freed, and from
 * 2 MiB on they are aligned so that the kernel can back them with huge pages (worth about a fifth
 * of the speed of a memory-bound decode).
 */
#include "base/mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES ((size_t)4096)
#define HUGE_BYTES ((size_t)2 << 20)
#define PIECE_BYTES ((size_t)64) /* a cache line, the widest vector register */

bool mem_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

void *mem_array(size_t n, size_t item_bytes)
{
    size_t bytes;
    if (!mem_mul(n, item_bytes, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

/* Bytes rounded up to a multiple of unit; 0 when that wraps. */
static size_t round_up(size_t bytes, size_t unit)
{
    return bytes > SIZE_MAX - (unit - 1) ? 0 : (bytes + unit - 1) / unit * unit;
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* mmap with 2 MiB alignment: map one huge page too much and give both ends back. */
static void *map_huge(size_t bytes)
{
    if (bytes > SIZE_MAX - HUGE_BYTES)
        return NULL;
    char *raw = map(bytes + HUGE_BYTES);
    if (!raw)
        return NULL;
    size_t before = (HUGE_BYTES - (uintptr_t)raw % HUGE_BYTES) % HUGE_BYTES;
    if (before)
        munmap(raw, before);
    munmap(raw + before + bytes, HUGE_BYTES - before);
    /* Advice only: a kernel without transparent huge pages refuses it and all still works. */
    (void)madvise(raw + before, bytes, MADV_HUGEPAGE);
    return raw + before;
}

void *mem_pages(size_t bytes)
{
    size_t rounded = round_up(bytes ? bytes : 1, PAGE_BYTES);
    if (rounded == 0)
        return NULL;
    return rounded < HUGE_BYTES ? map(rounded) : map_huge(rounded);
}

void mem_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, round_up(bytes ? bytes : 1, PAGE_BYTES));
}

bool arena_init(struct arena *a, size_t bytes)
{
    *a = (struct arena){0};
    a->base = mem_pages(bytes);
    a->size = a->base ? bytes : 0;
    return a->base != NULL;
}

void arena_fini(struct arena *a)
{
    mem_pages_free(a->base, a->size);
    *a = (struct arena){0};
}

void *arena_take(struct arena *a, size_t bytes)
{
    size_t piece = arena_piece(bytes);
    if (piece < bytes || piece > a->size - a->used || !a->base)
        return NULL;
    void *p = a->base + a->used;
    a->used += piece;
    return p;
}

size_t arena_piece(size_t bytes)
{
    /* A size that wraps stays as it is: too large for any arena, so arena_take refuses it. */
    size_t piece = round_up(bytes, PIECE_BYTES);
    return piece < bytes ? bytes : piece;
}
