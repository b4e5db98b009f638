/*
 * cache.h: accepted fragments kept from one compilation to the next, in one SQLite file. What comes
 * out of it is a proposal like any translator's: the caller verifies it again. So a cache may be
 * copied, shipped with a project, or forged, without making wrong code.
 *
 * Table fragments, one row per (key, target, version):
 *
 *   key TEXT         block's key (block.h), 32 hexadecimal digits
 *   target TEXT      "x86-64"
 *   version INTEGER  VERIFY_VERSION that accepted it
 *   block TEXT       normalised text: what the key stands for
 *   fragment TEXT    canonical assembly
 *   level INTEGER    enum verify_level it reached
 *   vectors INTEGER  states compared
 *   provenance TEXT  who wrote it
 *   made INTEGER     seconds since 1970
 *
 * The file says who it is by PRAGMA application_id (CACHE_APPLICATION) and user_version
 * (CACHE_FORMAT).
 */
#ifndef LEGO_CACHE_H
#define LEGO_CACHE_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { CACHE_APPLICATION = 0x41736863, CACHE_FORMAT = 1, CACHE_FRAGMENT_MAX = 64 << 10 };

struct cache;

struct cache_entry {
    const char *key, *target;
    const char *block, *fragment; /* text */
    int version, level, vectors;
    const char *provenance;
    int64_t made;                 /* 0 when put: now */
};

struct cache_stats {
    const char *path;
    uint64_t entries, current;    /* of all versions; of the version asked for */
    uint64_t bytes;               /* of the file */
    uint64_t tested;              /* entries at or above a level (the caller's VERIFY_TESTED) */
};

/**
 * Opens folder/fragments.db, made with its folders when absent (NULL: $XDG_CACHE_HOME/ashlar or
 * ~/.cache/ashlar). Errors: BAD_INPUT (not a fragment cache, another format, damaged: the hint says
 * what to do), FAILED (cannot be opened), NO_RESOURCE.
 */
ashlar_status cache_open(const char *folder, struct cache **out, ashlar_error *err);
void cache_close(struct cache *c);

/**
 * Looks for (key, target, version) and appends its fragment and provenance; *found says whether
 * there is one. An entry whose block text differs from `block` is not one. Errors: BAD_INPUT
 * (damaged), FAILED.
 */
ashlar_status cache_get(struct cache *c, const char *key, const char *block, const char *target,
                        int version, struct buf *fragment, struct buf *provenance, bool *found,
                        ashlar_error *err);

/** Adds or replaces. Errors: FAILED, BAD_INPUT (damaged), USAGE (too long). */
ashlar_status cache_put(struct cache *c, const struct cache_entry *entry, ashlar_error *err);

/** Forgets everything. */
ashlar_status cache_clear(struct cache *c, ashlar_error *err);

/** One transaction around many puts: a compilation's. */
ashlar_status cache_begin(struct cache *c, ashlar_error *err);
ashlar_status cache_commit(struct cache *c, ashlar_error *err);

ashlar_status cache_count(struct cache *c, int version, int level, struct cache_stats *out,
                          ashlar_error *err);

/** All entries as JSON lines with the columns' names as keys, ordered by key. */
ashlar_status cache_export(struct cache *c, struct buf *out, ashlar_error *err);

/**
 * Adds the entries of an export; existing ones stay. All or none. *n counts the new ones. Errors:
 * BAD_INPUT "NAME:LINE: ..." (not an export; a key that is not its block's).
 */
ashlar_status cache_import(struct cache *c, const char *name, const char *text, size_t length,
                           uint64_t *n, ashlar_error *err);

#endif
