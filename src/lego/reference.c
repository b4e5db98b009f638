/*
 * reference.c: the parent's side of the references: which blocks are known, the compiler runs that
 * add more, and the child that runs them. Libraries are loaded here, not run, and their files
 * unlinked, so nothing is left behind however the program ends; the child inherits them and so has
 * nothing to allocate. It lives until blocks are added or it dies; the next run starts another.
 *
 * Invariant: at most one child; `socket` >= 0 exactly while it is believed to live.
 */
#include "lego/reference.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "lego/reference_child.h"
#include "lego/reference_text.h"

enum {
    MAX_SOURCE = 256 << 20,
    PARALLEL_FROM = 48, /* fewer blocks are one compiler run */
    HANG_MS = 60000 /* above the processor time of any request: fuel ends loops */
};

/** Inputs and outputs of all states of a block, shared with the child; pages are taken when
 * touched. */
static const size_t MEMORY_BYTES = (size_t)256 << 20;

struct entry {
    char key[33];
    int number;
};

struct references {
    char *cc;
    bool keep;
    struct entry *entries; /* (room) open addressing by key; room a power of two */
    int n, room;
    reference_function *functions; /* (n) by number */
    void **libraries;              /* (n_libraries) of dlopen() */
    int n_libraries;
    struct reference_exchange *exchange;
    unsigned char *memory; /* (MEMORY_BYTES) shared */
    pid_t child;
    int socket;
};

/* ---- known blocks ---- */

/** The entry of key, or the free one where it would be. */
static struct entry *find(const struct references *r, const char *key)
{
    unsigned i = (unsigned)XXH3_64bits(key, strlen(key)) & (unsigned)(r->room - 1);
    while (r->entries[i].key[0] && strcmp(r->entries[i].key, key) != 0)
        i = (i + 1) & (unsigned)(r->room - 1);
    return &r->entries[i];
}

static bool reserve(struct references *r, int more)
{
    int room = r->room ? r->room : 256;
    /* at most half full, so that find() ends */
    while (room < (r->n + more) * 2)
        room *= 2;
    if (room == r->room)
        return true;
    struct references bigger = {.entries = calloc((size_t)room, sizeof *bigger.entries),
                                .room = room};
    if (!bigger.entries)
        return false;
    for (int i = 0; i < r->room; i++)
        if (r->entries[i].key[0])
            *find(&bigger, r->entries[i].key) = r->entries[i];
    free(r->entries);
    r->entries = bigger.entries;
    r->room = room;
    return true;
}

static bool reserve_functions(struct references *r, int more)
{
    void *functions = realloc(r->functions, (size_t)(r->n + more + 1) * sizeof *r->functions);
    if (functions)
        r->functions = functions;
    return functions != NULL;
}

bool references_has(const struct references *r, const char *key)
{
    return r->room && find(r, key)->key[0];
}

/* ---- life ---- */

static void stop_child(struct references *r)
{
    if (r->socket < 0)
        return;
    close(r->socket);
    r->socket = -1;
    /* it may be stuck in a state, and catches what can be caught */
    kill(r->child, SIGKILL);
    waitpid(r->child, NULL, 0);
}

ashlar_status references_new(const char *cc, bool keep, struct references **out, ashlar_error *err)
{
    *out = NULL;
    struct references *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, sizeof *r, "the references");
    r->socket = -1;
    r->keep = keep;
    r->cc = strdup(cc);
    int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
    r->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    r->exchange = mmap(NULL, sizeof *r->exchange, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (r->memory == MAP_FAILED)
        r->memory = NULL;
    if (r->exchange == MAP_FAILED)
        r->exchange = NULL;
    if (!r->cc || !r->memory || !r->exchange || !reserve(r, 1)) {
        references_free(r);
        return error_memory(err, MEMORY_BYTES, "the references");
    }
    *out = r;
    return ASHLAR_OK;
}

void references_free(struct references *r)
{
    if (!r)
        return;
    stop_child(r);
    for (int i = 0; i < r->n_libraries; i++)
        dlclose(r->libraries[i]);
    if (r->memory)
        munmap(r->memory, MEMORY_BYTES);
    if (r->exchange)
        munmap(r->exchange, sizeof *r->exchange);
    free(r->libraries);
    free(r->functions);
    free(r->entries);
    free(r->cc);
    free(r);
}

unsigned char *references_memory(struct references *r)
{
    return r->memory;
}

size_t references_room(void)
{
    return MEMORY_BYTES;
}

/* ---- compiling ---- */

/** One compiler run: files F.c, F.so and F.log in a temporary folder. */
struct build {
    char source[256], library[256], log[256];
    int first, n;
    pid_t pid;
};

static ashlar_status write_source(const struct build *b, const struct buf *text, ashlar_error *err)
{
    FILE *file = fopen(b->source, "we");
    if (!file)
        return error_errno(err, ASHLAR_FAILED, errno, "%s", b->source);
    bool ok = fwrite(text->data, 1, text->length, file) == text->length;
    ok = fclose(file) == 0 && ok;
    return ok ? ASHLAR_OK : error_errno(err, ASHLAR_FAILED, errno, "%s", b->source);
}

/**
 * -O0: an optimiser leaves out loads whose value does not matter and stores of what is there
 * already, so that states on which they fault would count as defined; and it takes twice as long.
 * -fno-strict-aliasing and no alignment or null checks: the IR's memory is bytes. shift-exponent
 * alone: a shifted negative value or sign bit is defined by every compiler that ashcc has to agree
 * with.
 */
static ashlar_status start_compiler(const struct references *r, struct build *b, ashlar_error *err)
{
    char *arguments[] = {
        r->cc,
        (char *)"-std=gnu11",
        (char *)"-w",
        (char *)"-O0",
        (char *)"-shared",
        (char *)"-fPIC",
        (char *)"-nostdlib",
        (char *)"-fno-builtin",
        (char *)"-fno-strict-aliasing",
        (char *)"-ffp-contract=off",
        (char *)"-fno-delete-null-pointer-checks",
        (char *)"-fsanitize=signed-integer-overflow,integer-divide-by-zero,shift-exponent,"
                "float-cast-overflow",
        (char *)"-fsanitize-undefined-trap-on-error",
        (char *)"-o",
        b->library,
        b->source,
        NULL,
    };
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, b->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    int failed = posix_spawnp(&b->pid, r->cc, &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed)
        b->pid = 0;
    return failed ? error_errno(err, ASHLAR_FAILED, failed, "%s", r->cc) : ASHLAR_OK;
}

static void first_error(const struct build *b, char *out, size_t room)
{
    char line[300];
    snprintf(out, room, "it failed");
    FILE *log = fopen(b->log, "re");
    while (log && fgets(line, sizeof line, log))
        if (strstr(line, "error")) {
            snprintf(out, room, "%.*s", (int)strcspn(line, "\n"), line);
            break;
        }
    if (log)
        fclose(log);
}

/** The functions ref_<first> to ref_<first + n - 1> of the library. */
static ashlar_status load(struct references *r, const struct build *b, ashlar_error *err)
{
    void **more = realloc(r->libraries, (size_t)(r->n_libraries + 1) * sizeof *more);
    if (!more)
        return error_memory(err, sizeof *more, "the references");
    r->libraries = more;
    void *handle = dlopen(b->library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return error_set(err, ASHLAR_FAILED, "cannot load the blocks' C: %s", dlerror());
    r->libraries[r->n_libraries++] = handle;
    for (int i = b->first; i < b->first + b->n; i++) {
        char name[32];
        snprintf(name, sizeof name, "ref_%d", i);
        void *symbol = dlsym(handle, name);
        if (!symbol)
            return error_set(err, ASHLAR_FAILED, "cannot load the blocks' C: %s", dlerror());
        memcpy(&r->functions[i], &symbol, sizeof symbol);
    }
    return ASHLAR_OK;
}

static ashlar_status finish_compiler(struct references *r, struct build *b, ashlar_error *err)
{
    int status = -1;
    while (waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
        ;
    b->pid = 0;
    /* a warning does not count (-w): what fails is a text that is no C */
    if (status != 0) {
        char why[300];
        first_error(b, why, sizeof why);
        return error_set(err, ASHLAR_FAILED, "%s does not take the blocks' C: %s", r->cc, why);
    }
    return load(r, b, err);
}

static void name_files(struct build *b, const char *folder, int i)
{
    snprintf(b->source, sizeof b->source, "%s/blocks%d.c", folder, i);
    snprintf(b->library, sizeof b->library, "%s/blocks%d.so", folder, i);
    snprintf(b->log, sizeof b->log, "%s/blocks%d.log", folder, i);
}

static void remove_files(const struct references *r, const struct build *builds, int n,
                         const char *folder)
{
    if (r->keep)
        return;
    for (int i = 0; i < n; i++) {
        unlink(builds[i].source);
        unlink(builds[i].library);
        unlink(builds[i].log);
    }
    rmdir(folder);
}

/** All compilers are started before one is waited for; those that run are waited for also after a
 * failure. */
static ashlar_status run_builds(struct references *r, struct build *builds, int n,
                                struct block *const *blocks, ashlar_error *err)
{
    ashlar_status status = ASHLAR_OK;
    struct buf text;
    buf_init(&text, MAX_SOURCE);
    for (int i = 0; i < n && status == ASHLAR_OK; i++) {
        buf_clear(&text);
        for (int k = 0; k < builds[i].n; k++)
            if (!reference_print(blocks[builds[i].first - builds[0].first + k], builds[i].first + k,
                                 &text))
                status = error_set(err, ASHLAR_FAILED, "a block's text has no body");
        if (status == ASHLAR_OK)
            status = write_source(&builds[i], &text, err);
        if (status == ASHLAR_OK)
            status = start_compiler(r, &builds[i], err);
    }
    buf_fini(&text);
    for (int i = 0; i < n; i++) {
        if (builds[i].pid <= 0)
            continue;
        ashlar_status finished = finish_compiler(r, &builds[i], status == ASHLAR_OK ? err : NULL);
        if (status == ASHLAR_OK)
            status = finished;
    }
    return status;
}

/** Compiles new blocks, numbered from `first` on, in one or two compiler runs. */
static ashlar_status compile(struct references *r, struct block *const *blocks, int n, int first,
                             ashlar_error *err)
{
    const char *root = getenv("TMPDIR");
    char folder[200];
    struct build builds[2] = {0};
    int n_builds = n >= PARALLEL_FROM ? 2 : 1;
    snprintf(folder, sizeof folder, "%s/ashcc-XXXXXX", root && strlen(root) < 150 ? root : "/tmp");
    if (!mkdtemp(folder))
        return error_errno(err, ASHLAR_FAILED, errno, "%s", folder);
    int n_libraries = r->n_libraries;
    for (int i = 0; i < n_builds; i++) {
        builds[i].first = first + (i ? n / 2 : 0);
        builds[i].n = n_builds == 1 ? n : i ? n - n / 2 : n / 2;
        name_files(&builds[i], folder, i);
    }
    ashlar_status status = run_builds(r, builds, n_builds, blocks, err);
    remove_files(r, builds, n_builds, folder);
    while (status != ASHLAR_OK && r->n_libraries > n_libraries)
        dlclose(r->libraries[--r->n_libraries]);
    return status;
}

ashlar_status references_add(struct references *r, struct block *const *blocks, int n,
                             ashlar_error *err)
{
    struct block **fresh = calloc((size_t)n + 1, sizeof *fresh);
    if (!fresh || !reserve(r, n) || !reserve_functions(r, n)) {
        free(fresh);
        return error_memory(err, (size_t)n * sizeof *fresh, "the references");
    }
    int n_fresh = 0, first = r->n;
    for (int i = 0; i < n; i++) {
        struct entry *entry = find(r, blocks[i]->key);
        if (entry->key[0])
            continue;
        memcpy(entry->key, blocks[i]->key, sizeof entry->key);
        entry->number = first + n_fresh;
        fresh[n_fresh++] = blocks[i];
    }
    r->n += n_fresh;
    ashlar_status status = ASHLAR_OK;
    if (n_fresh) {
        stop_child(r); /* the next one inherits the new library too */
        status = compile(r, fresh, n_fresh, first, err);
    }
    if (status != ASHLAR_OK) {
        for (int i = 0; i < r->room; i++) /* without tombstones: all later entries are these */
            if (r->entries[i].key[0] && r->entries[i].number >= first)
                memset(&r->entries[i], 0, sizeof r->entries[i]);
        r->n = first;
    }
    free(fresh);
    return status;
}

/* ---- running ---- */

static bool child_answers(const struct references *r)
{
    char byte;
    struct pollfd p = {.fd = r->socket, .events = POLLIN};
    int ready;
    while ((ready = poll(&p, 1, HANG_MS)) < 0 && errno == EINTR)
        ;
    return ready == 1 && read(r->socket, &byte, 1) == 1 && byte;
}

static ashlar_status start_child(struct references *r, ashlar_error *err)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return error_errno(err, ASHLAR_FAILED, errno, "a socket for the references");
    /* no exec: the child works on mappings shared with us. A model's threads may hold any lock, but
     * the child takes none. */
    pid_t child = fork();
    if (child == 0) {
        close(sockets[0]);
        reference_child_main(sockets[1], r->exchange);
    }
    close(sockets[1]);
    if (child < 0) {
        close(sockets[0]);
        return error_errno(err, ASHLAR_FAILED, errno, "a process for the references");
    }
    r->child = child;
    r->socket = sockets[0];
    if (child_answers(r))
        return ASHLAR_OK;
    stop_child(r);
    return error_set(err, ASHLAR_FAILED, "the references' process cannot start");
}

static void set_request(struct references *r, const struct block *block,
                        const struct state_layout *layout, int n, const unsigned char *inputs,
                        unsigned char *outputs)
{
    struct reference_exchange *x = r->exchange;
    x->function = r->functions[find(r, block->key)->number];
    x->first = x->done = 0;
    x->n = n;
    x->image_bytes = layout->size;
    x->inputs = inputs;
    x->outputs = outputs;
    for (int i = 0; i < block->n_operands; i++) {
        /* a literal is read through a pointer: one compiled block serves all its values */
        bool is_literal = block->operands[i].kind == OPERAND_LITERAL;
        x->literals[i] = block->operands[i].value;
        x->at[i] = is_literal ? (char *)&x->literals[i] : (char *)layout->addresses[i];
    }
}

ashlar_status references_run(struct references *r, const struct block *block,
                             const struct state_layout *layout, int n, const unsigned char *inputs,
                             unsigned char *outputs, struct reference_result *results,
                             ashlar_error *err)
{
    struct reference_exchange *x = r->exchange;
    set_request(r, block, layout, n, inputs, outputs);
    while (x->first < n) {
        if (r->socket < 0) {
            ashlar_status status = start_child(r, err);
            if (status != ASHLAR_OK)
                return status;
        }
        char byte = 1;
        bool sent = send(r->socket, &byte, 1, MSG_NOSIGNAL) == 1;
        if (sent && child_answers(r))
            break;
        stop_child(r);
        int died = x->done; /* a state that kills the child is one that is not compared */
        /* not by a state: it would die again for ever */
        if (died < x->first || died >= n)
            return error_set(err, ASHLAR_FAILED, "the references' process failed");
        x->results[died] = (struct reference_result){.outcome = REFERENCE_CRASHED, .exit = -1};
        x->first = x->done = died + 1;
    }
    memcpy(results, x->results, (size_t)n * sizeof *results);
    return ASHLAR_OK;
}
