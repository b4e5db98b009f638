/*
 * cache.c: the fragment cache; see cache.h for the table. Several compilers share it (make -j):
 * SQLite's locks and a busy timeout keep them apart, and a lost race costs one translation, nothing
 * more.
 */
#include "lego/cache.h"

#include "lego/block_text.h"
#include "lego/json_line.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Longer than any round's transaction takes on a slow disk: whoever holds it still is stuck. */
enum { BUSY_MS = 20000, PATH_MOST = 4096 };

enum statement { GET, PUT, ADD, COUNT, EXPORT, STATEMENTS };

/* The verifier's version is part of the key: what another version accepted is not found, and not
 * lost either. */
static const char *const sql[STATEMENTS] = {
    [GET] = ("SELECT block, fragment, provenance FROM fragments WHERE key=?1 AND target=?2 AND "
             "version=?3"),
    [PUT] = "INSERT OR REPLACE INTO fragments VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    /* what is imported does not replace what was accepted here */
    [ADD] = "INSERT OR IGNORE INTO fragments VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
    [COUNT] =
        "SELECT count(*), coalesce(sum(version=?1),0), coalesce(sum(level>=?2),0) FROM fragments",
    [EXPORT] = "SELECT * FROM fragments ORDER BY key, target, version",
};

static const char schema[] = "CREATE TABLE IF NOT EXISTS fragments("
                             " key TEXT NOT NULL, target TEXT NOT NULL, version INTEGER NOT NULL,"
                             " block TEXT NOT NULL, fragment TEXT NOT NULL, level INTEGER NOT "
                             "NULL, vectors INTEGER NOT NULL,"
                             " provenance TEXT NOT NULL, made INTEGER NOT NULL,"
                             " PRIMARY KEY(key, target, version)) WITHOUT ROWID;";

struct cache {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    char path[PATH_MOST];
};

/* SQLite's last error as ours: damage is the input's fault and says what to do about it. */
static ashlar_status fail(struct cache *c, const char *doing, ashlar_error *err)
{
    int code = sqlite3_errcode(c->db) & 0xff;
    if (code == SQLITE_NOMEM)
        return error_set(err, ASHLAR_NO_RESOURCE, "out of memory (%s cache %s)", doing, c->path);
    if (code == SQLITE_FULL)
        return error_set(err, ASHLAR_NO_RESOURCE, "%s cache %s: the disk is full", doing, c->path);
    /* the system's trouble (a lock, I/O, permissions); ERROR and MISMATCH come of a schema that is
     * not ours */
    if (code != SQLITE_CORRUPT && code != SQLITE_NOTADB && code != SQLITE_ERROR &&
        code != SQLITE_MISMATCH) {
        return error_set(err, ASHLAR_FAILED, "%s cache %s: %s", doing, c->path,
                         sqlite3_errmsg(c->db));
    }
    error_set(err, ASHLAR_BAD_INPUT, "%s cache %s: it is damaged (%s)", doing, c->path,
              sqlite3_errmsg(c->db));
    error_hint(err, "delete the file, or compile with --cache=off");
    return ASHLAR_BAD_INPUT;
}

/* Fixed texts only: values go through statements, so that no fragment is ever part of SQL. */
static ashlar_status run(struct cache *c, const char *text, ashlar_error *err)
{
    return sqlite3_exec(c->db, text, NULL, NULL, NULL) == SQLITE_OK ? ASHLAR_OK
                                                                    : fail(c, "using", err);
}

/* mkdir -p of everything before the last slash. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return false;
    }
    return true;
}

/* The user's folder, or the one of the XDG base directory specification, by which a relative path
 * is to be ignored. */
static ashlar_status find_path(struct cache *c, const char *folder, ashlar_error *err)
{
    const char *home = getenv("HOME"), *base = getenv("XDG_CACHE_HOME");
    int n;
    if (folder)
        n = snprintf(c->path, sizeof c->path, "%s/fragments.db", folder);
    else if (base && base[0] == '/')
        n = snprintf(c->path, sizeof c->path, "%s/ashlar/fragments.db", base);
    else if (home && home[0])
        n = snprintf(c->path, sizeof c->path, "%s/.cache/ashlar/fragments.db", home);
    else
        return error_set(err, ASHLAR_USAGE,
                         "no place for the cache: neither XDG_CACHE_HOME nor HOME is set");
    if (n >= (int)sizeof c->path)
        return error_set(err, ASHLAR_USAGE, "the path of the cache is too long");
    if (!make_folders(c->path))
        return error_errno(err, ASHLAR_FAILED, errno, "cannot make the folder of cache %s",
                           c->path);
    return ASHLAR_OK;
}

static ashlar_status pragma(struct cache *c, const char *name, int64_t *value, ashlar_error *err)
{
    char text[64];
    sqlite3_stmt *s;
    snprintf(text, sizeof text, "PRAGMA %s", name);
    if (sqlite3_prepare_v2(c->db, text, -1, &s, NULL) != SQLITE_OK)
        return fail(c, "opening", err);
    *value = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    return sqlite3_finalize(s) == SQLITE_OK ? ASHLAR_OK : fail(c, "opening", err);
}

/* A new file is given its identity; an old one must have it. IMMEDIATE: of two compilers that start
 * with an empty folder the second one waits and finds the tables made. */
static ashlar_status identify(struct cache *c, ashlar_error *err)
{
    int64_t application = 0, format = 0, tables = 0;
    char set[128];
    ashlar_status status = run(c, "BEGIN IMMEDIATE", err);
    if (status == ASHLAR_OK)
        status = pragma(c, "application_id", &application, err);
    if (status == ASHLAR_OK)
        status = pragma(c, "user_version", &format, err);
    if (status == ASHLAR_OK)
        status = pragma(c, "schema_version", &tables, err);
    if (status == ASHLAR_OK && application == 0 && format == 0 && tables == 0) {
        snprintf(set, sizeof set, "PRAGMA application_id=%d; PRAGMA user_version=%d;",
                 CACHE_APPLICATION, CACHE_FORMAT);
        status = run(c, set, err);
        if (status == ASHLAR_OK)
            status = run(c, schema, err);
    } else if (status == ASHLAR_OK &&
               (application != CACHE_APPLICATION || format != CACHE_FORMAT)) {
        status = error_set(err, ASHLAR_BAD_INPUT, "%s: %s", c->path,
                           application == CACHE_APPLICATION ? "a cache of another version"
                                                            : "not a fragment cache");
        error_hint(err, "name another folder with --cache, or delete the file");
    }
    if (status != ASHLAR_OK) {
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    return run(c, "COMMIT", err);
}

static ashlar_status open_database(struct cache *c, ashlar_error *err)
{
    /* NOMUTEX: one thread uses a connection */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(c->path, &c->db, flags, NULL) != SQLITE_OK) {
        int why = c->db ? sqlite3_system_errno(c->db) : ENOMEM;
        return error_set(err, ASHLAR_FAILED, "cannot open cache %s: %s", c->path,
                         why ? strerror(why) : sqlite3_errmsg(c->db));
    }
    sqlite3_extended_result_codes(c->db, 0);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    /* A file from elsewhere may hold triggers and views: they get no power, and lengths have a
     * bound. */
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, 4 << 20);
    ashlar_status status = identify(c, err);
    for (int i = 0; status == ASHLAR_OK && i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(c->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->statements[i],
                               NULL) != SQLITE_OK) {
            status = fail(c, "opening", err);
        }
    }
    return status == ASHLAR_OK ? run(c, "PRAGMA synchronous=NORMAL", err) : status;
}

ashlar_status cache_open(const char *folder, struct cache **out, ashlar_error *err)
{
    *out = NULL;
    struct cache *c = calloc(1, sizeof *c);
    if (!c)
        return error_memory(err, sizeof *c, "the cache");
    ashlar_status status = find_path(c, folder, err);
    if (status == ASHLAR_OK)
        status = open_database(c, err);
    if (status != ASHLAR_OK) {
        cache_close(c);
        return status;
    }
    *out = c;
    return ASHLAR_OK;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(c->statements[i]);
    sqlite3_close(c->db);
    free(c);
}

/* Texts are borrowed (STATIC): they outlive the statement's run, at whose end settle() lets go of
 * them. */
static void bind_key(sqlite3_stmt *s, const char *key, const char *target, int version)
{
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, target, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 3, version);
}

/* Ends a statement's run; its code says whether it went well. */
static ashlar_status settle(struct cache *c, sqlite3_stmt *s, const char *doing, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK; /* reset repeats the error of the last step */
    if (sqlite3_reset(s) != SQLITE_OK)
        status = fail(c, doing, err);
    sqlite3_clear_bindings(s);
    return status;
}

/* A text column, which in a damaged or foreign file may be anything; NULL when it is no text. */
static const char *column(sqlite3_stmt *s, int i)
{
    return sqlite3_column_type(s, i) == SQLITE_TEXT ? (const char *)sqlite3_column_text(s, i)
                                                    : NULL;
}

ashlar_status cache_get(struct cache *c, const char *key, const char *block, const char *target,
                        int version, struct buf *fragment, struct buf *provenance, bool *found,
                        ashlar_error *err)
{
    sqlite3_stmt *s = c->statements[GET];
    *found = false;
    bind_key(s, key, target, version);
    if (sqlite3_step(s) == SQLITE_ROW) {
        const char *text = column(s, 0), *code = column(s, 1), *by = column(s, 2);
        /* A key is a hash: the text decides, also against who makes two blocks collide. */
        if (text && code && by && strcmp(text, block) == 0)
            *found = buf_puts(fragment, code) && buf_puts(provenance, by);
    }
    return settle(c, s, "reading", err);
}

static ashlar_status store(struct cache *c, enum statement which, const struct cache_entry *e,
                           ashlar_error *err)
{
    sqlite3_stmt *s = c->statements[which];
    if (strlen(e->fragment) > CACHE_FRAGMENT_MAX)
        return error_set(err, ASHLAR_USAGE, "a fragment of more than %d bytes", CACHE_FRAGMENT_MAX);
    bind_key(s, e->key, e->target, e->version);
    sqlite3_bind_text(s, 4, e->block, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, e->fragment, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 6, e->level);
    sqlite3_bind_int(s, 7, e->vectors);
    sqlite3_bind_text(s, 8, e->provenance, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 9, e->made ? e->made : (int64_t)time(NULL));
    /* its result is repeated by the reset in settle() */
    sqlite3_step(s);
    return settle(c, s, "writing", err);
}

ashlar_status cache_put(struct cache *c, const struct cache_entry *entry, ashlar_error *err)
{
    return store(c, PUT, entry, err);
}

ashlar_status cache_clear(struct cache *c, ashlar_error *err)
{
    return run(c, "DELETE FROM fragments", err);
}

/* IMMEDIATE takes the lock for writing now: a read that turned into a write later could fail with
 * BUSY at once, whatever the timeout. */
ashlar_status cache_begin(struct cache *c, ashlar_error *err)
{
    return run(c, "BEGIN IMMEDIATE", err);
}

ashlar_status cache_commit(struct cache *c, ashlar_error *err)
{
    ashlar_status status = run(c, "COMMIT", err);
    if (status != ASHLAR_OK)
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

ashlar_status cache_count(struct cache *c, int version, int level, struct cache_stats *out,
                          ashlar_error *err)
{
    sqlite3_stmt *s = c->statements[COUNT];
    struct stat info;
    *out = (struct cache_stats){.path = c->path};
    sqlite3_bind_int(s, 1, version);
    sqlite3_bind_int(s, 2, level);
    if (sqlite3_step(s) == SQLITE_ROW) {
        out->entries = (uint64_t)sqlite3_column_int64(s, 0);
        out->current = (uint64_t)sqlite3_column_int64(s, 1);
        out->tested = (uint64_t)sqlite3_column_int64(s, 2);
    }
    if (stat(c->path, &info) == 0)
        out->bytes = (uint64_t)info.st_size;
    return settle(c, s, "reading", err);
}

ashlar_status cache_export(struct cache *c, struct buf *out, ashlar_error *err)
{
    sqlite3_stmt *s = c->statements[EXPORT];
    while (sqlite3_step(s) == SQLITE_ROW && !out->failed) {
        json_t *row = json_object();
        for (int i = 0; row && i < sqlite3_column_count(s); i++) {
            const char *text = column(s, i);
            json_line_set(out, row, sqlite3_column_name(s, i),
                          text ? json_line_text(text, (size_t)sqlite3_column_bytes(s, i))
                               : json_integer(sqlite3_column_int64(s, i)));
        }
        json_line_append(out, row);
    }
    ashlar_status status = settle(c, s, "reading", err);
    return status == ASHLAR_OK && out->failed ? error_memory(err, out->length, "the export")
                                              : status;
}

struct import {
    struct cache *cache;
    const char *name;
    uint64_t *n;
};

static ashlar_status refuse(const struct import *in, int line, const char *what, ashlar_error *err)
{
    return error_set(err, ASHLAR_BAD_INPUT, "%s:%d: %s", in->name, line, what);
}

static bool get_int(const json_t *row, const char *key, int64_t most, int64_t *value)
{
    const json_t *number = json_object_get(row, key);
    *value = json_integer_value(number);
    return json_is_integer(number) && *value >= 0 && *value <= most;
}

static ashlar_status import_row(void *context, json_t *row, int line, ashlar_error *err)
{
    struct import *in = context;
    static const char *const names[] = {"key", "target", "block", "fragment", "provenance"};
    const char *texts[5];
    size_t lengths[5];
    int64_t version, level, vectors, made;
    for (int i = 0; i < 5; i++) {
        texts[i] = json_line_get(row, names[i], &lengths[i]);
        if (!texts[i] || strlen(texts[i]) != lengths[i])
            return error_set(err, ASHLAR_BAD_INPUT, "%s:%d: no text under \"%s\"", in->name, line,
                             names[i]);
    }
    if (!get_int(row, "version", INT32_MAX, &version) || !get_int(row, "level", 100, &level) ||
        !get_int(row, "vectors", INT32_MAX, &vectors) || !get_int(row, "made", INT64_MAX, &made)) {
        return refuse(in, line,
                      "a number is missing or out of range (version, level, vectors, made)", err);
    }
    char key[33]; /* computed, not believed: a wrong one would stand in another's place */
    block_text_key(texts[2], lengths[2], key);
    if (strcmp(key, texts[0]) != 0)
        return refuse(in, line, "the key is not that of the block", err);
    if (lengths[3] > CACHE_FRAGMENT_MAX)
        return refuse(in, line, "the fragment is too long", err);
    struct cache_entry entry = {.key = key,
                                .target = texts[1],
                                .block = texts[2],
                                .fragment = texts[3],
                                .version = (int)version,
                                .level = (int)level,
                                .vectors = (int)vectors,
                                .provenance = texts[4],
                                .made = made};
    ashlar_status status = store(in->cache, ADD, &entry, err);
    if (status == ASHLAR_OK)
        *in->n += (uint64_t)sqlite3_changes(in->cache->db);
    return status;
}

ashlar_status cache_import(struct cache *c, const char *name, const char *text, size_t length,
                           uint64_t *n, ashlar_error *err)
{
    struct import in = {.cache = c, .name = name, .n = n};
    *n = 0;
    ashlar_status status = cache_begin(c, err);
    if (status != ASHLAR_OK)
        return status;
    status = json_line_each(name, text, length, import_row, &in, err);
    if (status == ASHLAR_OK)
        return cache_commit(c, err);
    sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL); /* all of a file, or nothing */
    *n = 0;
    return status;
}
