/*
 * test_store.c: the KV file: its header, its permissions, and that nothing is read from it which is
 * not what was written.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/rng.h"
#include "kvswap/store.h"

enum { SEED = 20251126, LAYERS = 3, GROUPS = 10 };
enum { STRIDE = 4096, LAYER_BYTES = GROUPS * STRIDE };

/* 2 heads x 40 values x 2 bytes x K and V x 8 tokens = 2,560 bytes, five sectors. */
static const struct store_shape shape = {LAYERS, 2, 40, TENSOR_F16, 8, GROUPS};

struct fixture {
    char folder[4096];
    struct aio *aio;
    struct store store;
    unsigned char *data; /* (GROUPS) group bytes */
    struct iovec pieces[2 * GROUPS];
};

static ashlar_status open_store(struct fixture *f, uint64_t quota, ashlar_error *err)
{
    struct store_options o = {f->folder, UINT64_C(0x0123456789abcdef), quota, true};
    return store_open(&f->store, &shape, &o, f->aio, err);
}

static void start_in(struct fixture *f, const char *parent)
{
    snprintf(f->folder, sizeof f->folder, "%s/ashlar-test-XXXXXX", parent);
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(aio_open(NULL, 8, &f->aio, NULL), ASHLAR_OK);
    f->store.fd = -1;
    f->data = aligned_alloc(AIO_ALIGN, LAYER_BYTES);
    memset(f->data, 0, LAYER_BYTES);
}

static void start(struct fixture *f)
{
    const char *parent = getenv("TMPDIR");
    ashlar_error err = {0};
    start_in(f, parent && *parent ? parent : "/var/tmp");
    if (open_store(f, 0, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
}

static int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* Everything is gone afterwards. */
static void stop(struct fixture *f)
{
    store_close(&f->store);
    aio_close(f->aio);
    free(f->data);
    assert_int_equal(count_files(f->folder), 0);
    rmdir(f->folder);
}

/* Group bytes that say whose they are. */
static void fill(struct fixture *f, int layer, int group, int n)
{
    memset(f->data, 0, (size_t)n * f->store.group_bytes);
    for (int i = 0; i < n; i++)
        memset(f->data + (size_t)i * f->store.group_bytes, 16 * layer + group + i + 1,
               f->store.payload_bytes);
}

static ashlar_status write_groups(struct fixture *f, int layer, int group, int n, ashlar_error *err)
{
    struct aio_request r;
    ashlar_status status = store_write(&f->store, layer, group, n, f->data, f->pieces, &r, err);
    if (status != ASHLAR_OK)
        return status;
    aio_submit(f->aio, &r, 1);
    aio_wait(f->aio, &r);
    return r.error ? aio_error(&r, f->store.path, err) : ASHLAR_OK;
}

static ashlar_status read_groups(struct fixture *f, int layer, int group, int n, ashlar_error *err)
{
    struct aio_request r;
    memset(f->data, 0xee, (size_t)n * f->store.group_bytes);
    store_read(&f->store, layer, group, n, f->data, f->pieces, &r);
    aio_submit(f->aio, &r, 1);
    aio_wait(f->aio, &r);
    return store_check(&f->store, layer, group, n, f->data, &r, err);
}

static void write_all(struct fixture *f)
{
    for (int l = 0; l < LAYERS; l++) {
        fill(f, l, 0, GROUPS);
        assert_int_equal(write_groups(f, l, 0, GROUPS, NULL), ASHLAR_OK);
    }
}

static uint64_t little_endian(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static void the_header_is_as_documented(void **state)
{
    (void)state;
    struct fixture f;
    unsigned char h[4096];
    start(&f);
    int fd = open(f.store.path, O_RDONLY);
    assert_int_equal(pread(fd, h, sizeof h, 0), sizeof h);
    close(fd);
    assert_memory_equal(h, "ASHLARKV", 8);
    assert_int_equal(little_endian(h + 8, 4), 2);  /* version */
    assert_int_equal(little_endian(h + 12, 4), 1); /* open: not to be trusted */
    assert_int_equal(little_endian(h + 16, 8), UINT64_C(0x0123456789abcdef));
    static const uint64_t numbers[] = {LAYERS, 2, 40, TENSOR_F16, 8, GROUPS};
    for (int i = 0; i < 6; i++)
        assert_int_equal(little_endian(h + 24 + 4 * i, 4), numbers[i]);
    assert_int_equal(little_endian(h + 48, 8), STRIDE);
    assert_int_equal(little_endian(h + 56, 8), XXH3_64bits(h, 56));
    for (int i = 64; i < 4096; i++)
        assert_int_equal(h[i], 0);
    stop(&f);
}

static void the_file_is_private_new_and_removed(void **state)
{
    (void)state;
    struct fixture f;
    struct stat st;
    struct store second;
    struct store_options o;
    start(&f);
    assert_int_equal(stat(f.store.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fcntl(f.store.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    o = (struct store_options){.folder = f.folder};
    assert_int_equal(store_open(&second, &shape, &o, f.aio, NULL), ASHLAR_OK);
    assert_string_not_equal(second.path, f.store.path);
    assert_int_equal(count_files(f.folder), 2);
    store_close(&second);
    assert_int_equal(count_files(f.folder), 1);
    store_close(&second); /* twice is allowed */
    stop(&f);
}

static void groups_are_whole_sectors_in_memory_and_whole_pages_on_disk(void **state)
{
    (void)state;
    struct store_shape s = {2, 8, 128, TENSOR_F16, 4, 100};
    assert_int_equal(store_token_bytes(&s), 4096);
    assert_int_equal(store_group_bytes(&s), 16384);
    assert_int_equal(store_file_bytes(&s), 4096 + 2 * 100 * 16384);
    assert_int_equal(store_group_bytes(&shape), 2560);
    assert_int_equal(store_file_bytes(&shape), 4096 + LAYERS * LAYER_BYTES);
    s = (struct store_shape){2, 8, 64, TENSOR_Q8_0, 8, 3};
    assert_int_equal(store_group_bytes(&s), 8704);
    assert_int_equal(store_file_bytes(&s), 4096 + 2 * 3 * 12288);
    s = (struct store_shape){128,        8,  128,
                             TENSOR_F16, 64, 1 << 16}; /* 2 TiB: offsets have 64 bits */
    assert_true(store_file_bytes(&s) == 4096 + (UINT64_C(1) << 41));
}

static void groups_come_back_as_written(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng;
    start(&f);
    write_all(&f);
    rng_seed(&rng, SEED);
    unsigned char *want = malloc(f.store.payload_bytes);
    for (int i = 0; i < 200; i++) {
        int layer = (int)rng_below(&rng, LAYERS), group = (int)rng_below(&rng, GROUPS);
        int n = 1 + (int)rng_below(&rng, (uint32_t)(GROUPS - group));
        ashlar_error err = {0};
        if (read_groups(&f, layer, group, n, &err) != ASHLAR_OK)
            fail_msg("%s", err.message);
        for (int g = 0; g < n; g++) {
            memset(want, 16 * layer + group + g + 1, f.store.payload_bytes);
            assert_memory_equal(f.data + (size_t)g * f.store.group_bytes, want,
                                f.store.payload_bytes);
        }
    }
    free(want);
    stop(&f);
}

/* What of the file is no group's is zeros, whatever was read in between. */
static void assert_padding_is_zeros(const struct fixture *f)
{
    unsigned char page[STRIDE];
    int fd = open(f->store.path, O_RDONLY);
    for (int i = 0; i < LAYERS * GROUPS; i++) {
        ssize_t n = pread(fd, page, sizeof page, 4096 + (off_t)i * STRIDE);
        assert_true(n >= (ssize_t)f->store.group_bytes);
        for (ssize_t at = (ssize_t)f->store.payload_bytes; at < n; at++)
            assert_int_equal(page[at], 0);
    }
    close(fd);
}

static void neighbours_come_into_places_of_their_own(void **state)
{
    (void)state;
    struct fixture f;
    struct aio_request r;
    unsigned char *places[GROUPS];
    start(&f);
    write_all(&f);
    for (int n = 1; n <= GROUPS; n++) {
        memset(f.data, 0xee, LAYER_BYTES);
        for (int i = 0; i < n; i++) /* backwards */
            places[i] = f.data + (size_t)(GROUPS - 1 - i) * f.store.group_bytes;
        store_read_apart(&f.store, 1, GROUPS - n, n, places, f.pieces, &r);
        assert_int_equal(store_groups_in(&f.store, &r), n);
        assert_int_equal(r.offset % AIO_ALIGN, 0);
        aio_submit(f.aio, &r, 1);
        aio_wait(f.aio, &r);
        for (int i = 0; i < n; i++)
            assert_int_equal(store_check(&f.store, 1, GROUPS - n + i, 1, places[i], &r, NULL),
                             ASHLAR_OK);
        if (n < GROUPS)
            assert_int_equal(f.data[0], 0xee);
    }
    assert_padding_is_zeros(&f);
    stop(&f);
}

/* 1,500 groups are 2,999 pieces of one request; with threads and io_uring. */
static void more_neighbours_than_the_kernel_takes_at_once(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    const struct store_shape long_shape = {1, 2, 40, TENSOR_F16, 8, MANY};
    static const char *const kinds[] = {"threads", NULL};
    for (int k = 0; k < 2; k++) {
        struct fixture f;
        struct aio_request r;
        start(&f);
        struct store_options o = {f.folder, 1, 0, true};
        size_t bytes = MANY * store_group_bytes(&long_shape);
        unsigned char *data = aligned_alloc(AIO_ALIGN, (bytes + 4095) / 4096 * 4096);
        struct iovec *pieces = calloc(store_pieces(&long_shape, MANY, false), sizeof *pieces);
        store_close(&f.store);
        aio_close(f.aio);
        assert_int_equal(aio_open(kinds[k], 8, &f.aio, NULL), ASHLAR_OK);
        assert_int_equal(store_open(&f.store, &long_shape, &o, f.aio, NULL), ASHLAR_OK);
        for (size_t i = 0; i < bytes; i++)
            data[i] = i % f.store.group_bytes < f.store.payload_bytes ? (unsigned char)(i >> 7) : 0;
        assert_int_equal(store_write(&f.store, 0, 0, MANY, data, pieces, &r, NULL), ASHLAR_OK);
        aio_submit(f.aio, &r, 1);
        aio_wait(f.aio, &r);
        assert_int_equal(r.error, 0);
        memset(data, 0xee, bytes);
        store_read(&f.store, 0, 0, MANY, data, pieces, &r);
        aio_submit(f.aio, &r, 1);
        aio_wait(f.aio, &r);
        assert_int_equal(store_check(&f.store, 0, 0, MANY, data, &r, NULL), ASHLAR_OK);
        free(pieces);
        free(data);
        stop(&f);
    }
}

static void a_group_that_was_not_written_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err;
    start(&f);
    fill(&f, 1, 2, 1);
    assert_int_equal(write_groups(&f, 1, 2, 1, NULL), ASHLAR_OK);
    assert_int_equal(read_groups(&f, 1, 1, 1, &err), ASHLAR_FAILED); /* a hole: zeros */
    assert_int_equal(read_groups(&f, 1, 2, 2, &err),
                     ASHLAR_FAILED); /* beyond the end of the file */
    assert_int_equal(read_groups(&f, 1, 2, 1, &err), ASHLAR_OK);
    stop(&f);
}

static void a_byte_changed_on_disk_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    struct rng rng;
    start(&f);
    write_all(&f);
    rng_seed(&rng, SEED + 1);
    int fd = open(f.store.path, O_RDWR);
    for (int i = 0; i < 50; i++) {
        int layer = (int)rng_below(&rng, LAYERS), group = (int)rng_below(&rng, GROUPS);
        uint64_t at = 4096 + (uint64_t)layer * LAYER_BYTES + (uint64_t)group * STRIDE;
        off_t place = (off_t)(at + rng_below(&rng, (uint32_t)f.store.payload_bytes));
        unsigned char byte, changed;
        char offset[64];
        ashlar_error err;
        assert_int_equal(pread(fd, &byte, 1, place), 1);
        changed = byte ^ (unsigned char)(1 << rng_below(&rng, 8));
        assert_int_equal(pwrite(fd, &changed, 1, place), 1);
        assert_int_equal(read_groups(&f, layer, 0, GROUPS, &err), ASHLAR_FAILED);
        snprintf(offset, sizeof offset, "offset %llu", (unsigned long long)at);
        assert_non_null(strstr(err.message, f.store.path));
        assert_non_null(strstr(err.message, offset));
        assert_non_null(strstr(err.message, "checksum mismatch"));
        assert_int_equal(pwrite(fd, &byte, 1, place), 1);
        assert_int_equal(read_groups(&f, layer, 0, GROUPS, &err), ASHLAR_OK);
    }
    close(fd);
    stop(&f);
}

static void a_file_cut_short_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err;
    start(&f);
    write_all(&f);
    assert_int_equal(truncate(f.store.path, 4096 + STRIDE + 512), 0);
    assert_int_equal(read_groups(&f, 0, 0, 1, &err), ASHLAR_OK);
    assert_int_equal(read_groups(&f, 0, 0, 2, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, f.store.path));
    assert_non_null(strstr(err.message, "at 4096"));
    stop(&f);
}

static void two_groups_exchanged_are_noticed(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err;
    start(&f);
    write_all(&f);
    int fd = open(f.store.path, O_RDWR);
    unsigned char *other = f.data;
    assert_int_equal(pread(fd, other, f.store.group_bytes, 4096 + STRIDE), f.store.group_bytes);
    assert_int_equal(pwrite(fd, other, f.store.group_bytes, 4096), f.store.group_bytes);
    close(fd);
    assert_int_equal(read_groups(&f, 0, 0, 1, &err), ASHLAR_FAILED);
    stop(&f);
}

static void the_quota_bounds_the_file(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err = {0};
    start(&f);
    store_close(&f.store);
    uint64_t quota = 4096 + 5 * STRIDE; /* the header and five groups */
    assert_int_equal(open_store(&f, quota, &err), ASHLAR_OK);
    fill(&f, 0, 0, 6);
    assert_int_equal(write_groups(&f, 0, 0, 4, &err), ASHLAR_OK);
    assert_int_equal(write_groups(&f, 0, 0, 4, &err), ASHLAR_OK); /* again: takes no more */
    assert_int_equal(write_groups(&f, 1, 0, 2, &err), ASHLAR_NO_RESOURCE);
    assert_non_null(strstr(err.message, f.store.path));
    assert_non_null(strstr(err.message, "quota"));
    assert_non_null(strstr(err.hint, "--kv-quota"));
    assert_int_equal(read_groups(&f, 1, 0, 1, &err), ASHLAR_FAILED); /* was not written */
    fill(&f, 1, 0, 1);
    assert_int_equal(write_groups(&f, 1, 0, 1, &err), ASHLAR_OK);
    struct stat st;
    assert_int_equal(stat(f.store.path, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 <=
                quota + 4096); /* and what the file system itself needs */
    assert_true(f.store.used_bytes <= quota);
    store_truncate(&f.store, 3); /* frees one group of the first layer */
    assert_int_equal(write_groups(&f, 2, 0, 1, &err), ASHLAR_OK);
    assert_int_equal(write_groups(&f, 2, 1, 1, &err), ASHLAR_NO_RESOURCE);
    stop(&f);
}

static void truncated_groups_are_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    write_all(&f);
    uint64_t full = f.store.used_bytes;
    store_truncate(&f.store, 4);
    assert_int_equal(full - f.store.used_bytes, LAYERS * (GROUPS - 4) * STRIDE);
    for (int l = 0; l < LAYERS; l++) {
        assert_int_equal(read_groups(&f, l, 0, 4, NULL), ASHLAR_OK);
        for (int g = 4; g < GROUPS; g++)
            assert_int_equal(read_groups(&f, l, g, 1, NULL), ASHLAR_FAILED);
    }
    fill(&f, 2, 4, 1);
    assert_int_equal(write_groups(&f, 2, 4, 1, NULL), ASHLAR_OK);
    assert_int_equal(read_groups(&f, 2, 4, 1, NULL), ASHLAR_OK);
    stop(&f);
}

/* A folder that is gone, no folder, one that may not be written, a name that is too long. */
static void a_file_that_cannot_be_made_is_reported(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err;
    char name[600];
    start(&f);
    store_close(&f.store);
    static const char *const folders[] = {"/nonexistent/folder", "/dev/null", "/proc"};
    struct store_options o = {.direct = true};
    for (int i = 0; i < 3; i++) {
        o.folder = folders[i];
        assert_int_equal(store_open(&f.store, &shape, &o, f.aio, &err), ASHLAR_FAILED);
        assert_non_null(strstr(err.message, folders[i]));
        assert_non_null(strstr(err.hint, "--kv-dir"));
    }
    memset(name, 'x', sizeof name - 1);
    memcpy(name, "/var/tmp/", 9);
    name[sizeof name - 1] = '\0';
    o.folder = name;
    assert_int_equal(store_open(&f.store, &shape, &o, f.aio, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, "too long"));
    f.store.fd = -1;
    stop(&f);
}

/* A folder of any length that fits a path, even if its message does not fit an error. */
static void a_folder_may_be_deep(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    store_close(&f.store);
    char top[4096];
    snprintf(top, sizeof top, "%s", f.folder);
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(f.folder);
        snprintf(f.folder + n, sizeof f.folder - n, "/%0120d", i);
        assert_int_equal(mkdir(f.folder, 0700), 0);
    }
    assert_int_equal(open_store(&f, 0, NULL), ASHLAR_OK);
    write_all(&f);
    assert_int_equal(read_groups(&f, 0, 0, GROUPS, NULL), ASHLAR_OK);
    stop(&f);
    for (int i = 0; i < 3; i++) {
        *strrchr(f.folder, '/') = '\0';
        assert_int_equal(rmdir(f.folder), 0);
    }
    assert_string_equal(f.folder, top);
}

/* What is open stays usable when its name is gone; a new file is refused. */
static void a_removed_folder_does_not_hurt_open_files(void **state)
{
    (void)state;
    struct fixture f;
    struct store second;
    ashlar_error err;
    start(&f);
    write_all(&f);
    assert_int_equal(unlink(f.store.path), 0);
    assert_int_equal(rmdir(f.folder), 0);
    assert_int_equal(read_groups(&f, 1, 0, GROUPS, &err), ASHLAR_OK);
    struct store_options o = {.folder = f.folder};
    assert_int_equal(store_open(&second, &shape, &o, f.aio, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, f.folder));
    stop(&f);
}

static void memory_backed_folders_work(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err = {0};
    if (access("/dev/shm", W_OK) != 0)
        skip();
    start_in(&f, "/dev/shm");
    if (open_store(&f, 0, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    write_all(&f);
    assert_int_equal(read_groups(&f, 2, 0, GROUPS, &err), ASHLAR_OK);
    stop(&f);
}

static void a_header_that_cannot_be_written_fails_the_open(void **state)
{
    (void)state;
    struct fixture f;
    ashlar_error err;
    struct aio_fault_plan plan = {.fault = AIO_FAULT_ENOSPC, .writes = true, .count = 1};
    start(&f);
    store_close(&f.store);
    assert_int_equal(aio_fault_open(f.aio, &plan, &f.aio, NULL), ASHLAR_OK);
    assert_int_equal(open_store(&f, 0, &err), ASHLAR_NO_RESOURCE);
    assert_non_null(strstr(err.message, f.folder));
    assert_int_equal(count_files(f.folder), 0);
    assert_int_equal(open_store(&f, 0, &err), ASHLAR_OK);
    stop(&f);
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_as_documented),
        cmocka_unit_test(the_file_is_private_new_and_removed),
        cmocka_unit_test(groups_are_whole_sectors_in_memory_and_whole_pages_on_disk),
        cmocka_unit_test(groups_come_back_as_written),
        cmocka_unit_test(neighbours_come_into_places_of_their_own),
        cmocka_unit_test(more_neighbours_than_the_kernel_takes_at_once),
        cmocka_unit_test(a_group_that_was_not_written_is_refused),
        cmocka_unit_test(a_byte_changed_on_disk_is_noticed),
        cmocka_unit_test(a_file_cut_short_is_noticed),
        cmocka_unit_test(two_groups_exchanged_are_noticed),
        cmocka_unit_test(the_quota_bounds_the_file),
        cmocka_unit_test(truncated_groups_are_forgotten),
        cmocka_unit_test(a_file_that_cannot_be_made_is_reported),
        cmocka_unit_test(a_folder_may_be_deep),
        cmocka_unit_test(a_removed_folder_does_not_hurt_open_files),
        cmocka_unit_test(memory_backed_folders_work),
        cmocka_unit_test(a_header_that_cannot_be_written_fails_the_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
