/*
 * test_aio.c: every implementation of the I/O seam moves the same bytes and reports the same
 * failures: io_uring (skipped where the kernel refuses it), threads, and both behind the rate
 * limiter and the fault injector.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "base/rng.h"
#include "kvswap/aio.h"

enum { SEED = 20251123, DEPTH = 8 };

static const char *const kinds[] = {"io_uring", "threads"};

/* NULL where the machine has no io_uring. */
static struct aio *open_kind(const char *kind, int depth)
{
    struct aio *aio = NULL;
    ashlar_error err = {0};
    if (aio_open(kind, depth, &aio, &err) != ASHLAR_OK && strcmp(kind, "io_uring") != 0)
        fail_msg("%s", err.message);
    if (aio)
        assert_string_equal(aio->ops->name, kind);
    return aio;
}

static void any_open(void **state)
{
    (void)state;
    struct aio *aio;
    ashlar_error err;
    assert_int_equal(aio_open(NULL, DEPTH, &aio, &err), ASHLAR_OK);
    aio_close(aio);
    assert_int_equal(aio_open("floppy", DEPTH, &aio, &err), ASHLAR_USAGE);
    assert_null(aio);
    assert_non_null(strstr(err.message, "floppy"));
    aio_close(NULL);
}

/* An empty file that is already unlinked. */
static int scratch_file(void)
{
    char path[4096];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/ashlar-test-XXXXXX", folder && *folder ? folder : "/var/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static unsigned char *random_pages(size_t pages, struct rng *rng)
{
    unsigned char *data = aligned_alloc(AIO_ALIGN, pages * AIO_ALIGN);
    for (size_t i = 0; i < pages * AIO_ALIGN; i++)
        data[i] = (unsigned char)rng_below(rng, 256);
    return data;
}

/* Requests of one to four pages that cover `pages` pages, in a shuffled order; returns how many. */
static int cut(struct aio_request *r, int fd, bool write, unsigned char *data, int pages,
               struct rng *rng)
{
    int n = 0;
    for (int at = 0, take; at < pages; at += take) {
        take = 1 + (int)rng_below(rng, 4);
        take = take < pages - at ? take : pages - at;
        r[n++] = (struct aio_request){.fd = fd,
                                      .write = write,
                                      .data = data + (size_t)at * AIO_ALIGN,
                                      .bytes = (size_t)take * AIO_ALIGN,
                                      .offset = (uint64_t)at * AIO_ALIGN};
    }
    for (int i = n - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint32_t)i + 1);
        struct aio_request t = r[i];
        r[i] = r[j];
        r[j] = t;
    }
    return n;
}

static void wait_all(struct aio *aio, struct aio_request *r, int n)
{
    for (int i = n - 1; i >= 0; i--) { /* not the order of submission */
        aio_wait(aio, &r[i]);
        assert_int_equal(r[i].error, 0);
        assert_int_equal(r[i].done, r[i].bytes);
        assert_true(aio_finished(aio, &r[i]));
    }
}

/* Write and read back `pages` pages in pieces submitted `at_once` at a time. */
static void round_trip(struct aio *aio, int pages, int at_once, uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    int fd = scratch_file();
    unsigned char *out = random_pages((size_t)pages, &rng), *in = random_pages((size_t)pages, &rng);
    struct aio_request *r = calloc((size_t)pages, sizeof *r);
    for (int write = 1; write >= 0; write--) {
        int n = cut(r, fd, write, write ? out : in, pages, &rng);
        for (int i = 0; i < n; i += at_once)
            aio_submit(aio, r + i, n - i < at_once ? n - i : at_once);
        wait_all(aio, r, n);
    }
    assert_memory_equal(in, out, (size_t)pages * AIO_ALIGN);
    close(fd);
    free(in);
    free(out);
    free(r);
}

static void bytes_come_back_as_written(void **state)
{
    (void)state;
    static const int pages[] = {1, DEPTH - 1, DEPTH * 5 + 3, 700};
    for (int k = 0; k < 2; k++)
        for (int p = 0; p < 4; p++)
            for (int at_once = 1; at_once <= 1000; at_once *= 10) {
                struct aio *aio = open_kind(kinds[k], DEPTH);
                if (!aio)
                    continue;
                round_trip(aio, pages[p], at_once, SEED + (uint64_t)p);
                aio_close(aio);
            }
}

/* The rings of waiting requests grow, and wrap: more than 4,096 in flight at once, twice. */
static void thousands_may_wait(void **state)
{
    (void)state;
    enum { N = 6000 };
    for (int k = 0; k < 2; k++) {
        struct aio *aio = open_kind(kinds[k], DEPTH);
        if (!aio)
            continue;
        int fd = scratch_file();
        unsigned char *data = aligned_alloc(AIO_ALIGN, AIO_ALIGN);
        memset(data, 5, AIO_ALIGN);
        struct aio_request *r = calloc(N, sizeof *r);
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < N; i++)
                r[i] = (struct aio_request){.fd = fd,
                                            .write = true, /* many from one buffer */
                                            .data = data,
                                            .bytes = AIO_ALIGN,
                                            .offset = (uint64_t)(i % 16) * AIO_ALIGN};
            aio_submit(aio, r, 1000);
            aio_wait(aio, &r[500]);
            aio_submit(aio, r + 1000, N - 1000);
            wait_all(aio, r, N);
        }
        aio_close(aio);
        close(fd);
        free(data);
        free(r);
    }
}

enum { PIECES = 40 };

/* One request over page-sized pieces of memory in a shuffled order. */
static struct aio_request scattered(int fd, bool write, unsigned char *data, struct iovec *iov,
                                    struct rng *rng)
{
    int order[PIECES];
    for (int i = 0; i < PIECES; i++)
        order[i] = i;
    for (int i = PIECES - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint32_t)i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (int i = 0; i < PIECES; i++)
        iov[i] = (struct iovec){data + (size_t)order[i] * AIO_ALIGN, AIO_ALIGN};
    return (struct aio_request){.fd = fd,
                                .write = write,
                                .data = iov[0].iov_base,
                                .iov = iov,
                                .n_iov = PIECES,
                                .bytes = PIECES * AIO_ALIGN,
                                .offset = AIO_ALIGN};
}

static void pieces_are_gathered_and_scattered(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct aio *aio = open_kind(kinds[k], DEPTH);
        struct rng rng;
        struct iovec iov[PIECES], used[PIECES];
        if (!aio)
            continue;
        rng_seed(&rng, SEED);
        int fd = scratch_file();
        unsigned char *out = random_pages(PIECES, &rng), *in = random_pages(PIECES, &rng);
        struct aio_request r = scattered(fd, true, out, iov, &rng);
        memcpy(used, iov, sizeof used); /* the transfer uses up its own */
        aio_submit(aio, &r, 1);
        wait_all(aio, &r, 1);
        r = scattered(fd, false, in, iov, &rng);
        struct iovec back[PIECES];
        memcpy(back, iov, sizeof back);
        aio_submit(aio, &r, 1);
        wait_all(aio, &r, 1);
        for (int i = 0; i < PIECES; i++)
            assert_memory_equal(back[i].iov_base, used[i].iov_base, AIO_ALIGN);
        assert_int_equal(ftruncate(fd, 6 * AIO_ALIGN), 0);
        r = scattered(fd, false, in, iov, &rng);
        aio_submit(aio, &r, 1);
        aio_wait(aio, &r);
        assert_int_equal(r.error, AIO_SHORT);
        assert_int_equal(r.done, 5 * AIO_ALIGN);
        aio_close(aio);
        close(fd);
        free(in);
        free(out);
    }
}

/* However a transfer is cut, what is left begins where it stopped. */
static void short_transfers_are_continued_at_their_place(void **state)
{
    (void)state;
    struct rng rng;
    static unsigned char data[4 * 1000];
    rng_seed(&rng, SEED + 9);
    for (int round = 0; round < 200; round++) {
        struct iovec iov[4];
        for (int i = 0; i < 4; i++)
            iov[i] = (struct iovec){data + (3 - i) * 1000, 1000};
        struct aio_request r = {
            .data = iov[0].iov_base, .iov = iov, .n_iov = 4, .bytes = sizeof data};
        for (size_t at = 0, n; at < sizeof data; at += n) {
            assert_ptr_equal(r.iov->iov_base, data + (3 - at / 1000) * 1000 + at % 1000);
            assert_int_equal(r.iov->iov_len, 1000 - at % 1000);
            n = 1 + rng_below(&rng, (uint32_t)(sizeof data - at < 2500 ? sizeof data - at : 2500));
            assert_int_equal(aio_advance(&r, n), at + n == sizeof data);
            assert_int_equal(r.done, at + n);
        }
        assert_int_equal(r.n_iov, 0);
    }
}

/* A read that meets the end of the file, at a page boundary or inside a page, is AIO_SHORT. */
static void reads_past_the_end_are_short(void **state)
{
    (void)state;
    static const int sizes[] = {0, 100, AIO_ALIGN, AIO_ALIGN + 512, 2 * AIO_ALIGN - 1};
    for (int direct = 0; direct < 2; direct++)
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 5; i++) {
                struct aio *aio = open_kind(kinds[k], DEPTH);
                if (!aio)
                    continue;
                int fd = scratch_file();
                assert_int_equal(ftruncate(fd, sizes[i]), 0);
                if (direct && fcntl(fd, F_SETFL, O_DIRECT) != 0)
                    print_message("no O_DIRECT here\n");
                unsigned char *data = aligned_alloc(AIO_ALIGN, 2 * AIO_ALIGN);
                struct aio_request r = {.fd = fd, .data = data, .bytes = 2 * AIO_ALIGN};
                ashlar_error err;
                aio_submit(aio, &r, 1);
                aio_wait(aio, &r);
                assert_int_equal(r.error, AIO_SHORT);
                assert_int_equal(r.done, sizes[i]);
                assert_int_equal(aio_error(&r, "file", &err), ASHLAR_FAILED);
                assert_non_null(strstr(err.message, "file: read of 8192 bytes at 0"));
                aio_close(aio);
                close(fd);
                free(data);
            }
}

static void expect_error(struct aio *aio, struct aio_request r, int error, ashlar_status status)
{
    ashlar_error err;
    aio_submit(aio, &r, 1);
    aio_wait(aio, &r);
    assert_int_equal(r.error, error);
    assert_int_equal(aio_error(&r, "file", &err), status);
}

static void failures_end_up_in_the_request(void **state)
{
    (void)state;
    static unsigned char page[AIO_ALIGN] __attribute__((aligned(AIO_ALIGN)));
    for (int k = 0; k < 2; k++) {
        struct aio *aio = open_kind(kinds[k], DEPTH);
        if (!aio)
            continue;
        int closed = scratch_file();
        close(closed);
        expect_error(aio, (struct aio_request){.fd = closed, .data = page, .bytes = AIO_ALIGN},
                     EBADF, ASHLAR_FAILED);
        int folder = open("/", O_RDONLY | O_DIRECTORY);
        expect_error(aio, (struct aio_request){.fd = folder, .data = page, .bytes = AIO_ALIGN},
                     EISDIR, ASHLAR_FAILED);
        close(folder);
        int full = open("/dev/full", O_RDWR);
        if (full >= 0) {
            expect_error(
                aio,
                (struct aio_request){.fd = full, .write = true, .data = page, .bytes = AIO_ALIGN},
                ENOSPC, ASHLAR_NO_RESOURCE);
            close(full);
        }
        round_trip(aio, 20, 20, SEED); /* and it still works */
        aio_close(aio);
    }
}

/* Write `data` page by page, read it back and compare. */
static void same_pages(struct aio *aio, int fd, unsigned char *data, unsigned char *in, int n)
{
    struct aio_request *r = calloc((size_t)n, sizeof *r);
    for (int write = 1; write >= 0; write--) {
        for (int i = 0; i < n; i++)
            r[i] = (struct aio_request){.fd = fd,
                                        .write = write,
                                        .data = (write ? data : in) + (size_t)i * AIO_ALIGN,
                                        .bytes = AIO_ALIGN,
                                        .offset = (uint64_t)i * AIO_ALIGN};
        aio_submit(aio, r, n);
        wait_all(aio, r, n);
    }
    assert_memory_equal(data, in, (size_t)n * AIO_ALIGN);
    free(r);
}

/* Announced memory and files, beside others, and a file number that comes again. */
/* Nothing is mapped at the first page, so that reading one's own memory there fails like a disk. */
static void a_device_that_fails_is_asked_again(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct aio *aio = open_kind(kinds[k], DEPTH);
        if (!aio)
            continue;
        unsigned char byte;
        int fd = open("/proc/self/mem", O_RDONLY);
        struct aio_request r = {.fd = fd, .data = &byte, .bytes = 1};
        aio_submit(aio, &r, 1);
        aio_wait(aio, &r);
        assert_int_equal(r.error, EIO);
        assert_int_equal(r.failures, 3); /* the first, and two more tries */
        aio_close(aio);
        close(fd);
    }
    struct aio_request r = {.bytes = 100};
    for (int i = 0; i < 10; i++) { /* a success in between counts anew */
        assert_true(aio_retry(&r, EIO));
        assert_true(aio_retry(&r, EIO));
        assert_true(aio_retry(&r, EINTR));
        aio_advance(&r, 1);
    }
    assert_false(aio_retry(&r, ENOSPC));
}

static void announced_memory_and_files_change_no_byte(void **state)
{
    (void)state;
    enum { PAGES = 24 };
    for (int k = 0; k < 2; k++)
        for (int rated = 0; rated < 2; rated++) {
            struct aio *aio = open_kind(kinds[k], DEPTH);
            struct rng rng;
            if (!aio)
                continue;
            if (rated)
                assert_int_equal(aio_rate_open(aio, 0, 0.0, &aio, NULL), ASHLAR_OK);
            rng_seed(&rng, SEED + 20);
            unsigned char *known = random_pages(2 * PAGES, &rng);
            unsigned char *other = random_pages(PAGES, &rng);
            int fd = scratch_file(), plain = scratch_file();
            aio_use_memory(aio, known, 2 * PAGES * AIO_ALIGN);
            aio_use_memory(aio, other, PAGES * AIO_ALIGN); /* one block is enough */
            aio_use_file(aio, fd, true);
            same_pages(aio, fd, known, known + PAGES * AIO_ALIGN, PAGES);
            same_pages(aio, plain, known, known + PAGES * AIO_ALIGN, PAGES);
            same_pages(aio, fd, known + AIO_ALIGN, other, PAGES);
            round_trip(aio, 30, 30, SEED);
            aio_use_file(aio, fd, false);
            close(fd);
            int again = scratch_file();
            assert_int_equal(again, fd);
            for (int i = 0; i < 100; i++) /* more than there is room for; the same twice */
                aio_use_file(aio, plain, true);
            same_pages(aio, again, known, other, PAGES);
            same_pages(aio, plain, other, known, PAGES);
            aio_close(aio);
            close(again);
            close(plain);
            free(known);
            free(other);
        }
}

/* What the kernel will not pin is used all the same. */
static void memory_that_cannot_be_pinned_is_used_plainly(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct aio *aio = open_kind(kinds[k], DEPTH);
        if (!aio)
            continue;
        unsigned char *page = mmap(NULL, AIO_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(page != MAP_FAILED);
        aio_use_memory(aio, page, AIO_ALIGN);
        assert_int_equal(mprotect(page, AIO_ALIGN, PROT_READ | PROT_WRITE), 0);
        int fd = scratch_file();
        memset(page, 7, AIO_ALIGN);
        struct aio_request r = {.fd = fd, .write = true, .data = page, .bytes = AIO_ALIGN};
        aio_submit(aio, &r, 1);
        wait_all(aio, &r, 1);
        close(fd);
        aio_close(aio);
        munmap(page, AIO_ALIGN);
    }
}

/* ---- rate limiter -------------------------------------------------------------------------- */

static double seconds_for(struct aio *aio, int fd, int n)
{
    unsigned char *data = aligned_alloc(AIO_ALIGN, (size_t)n * AIO_ALIGN);
    struct aio_request *r = calloc((size_t)n, sizeof *r);
    for (int i = 0; i < n; i++)
        r[i] = (struct aio_request){.fd = fd,
                                    .data = data + (size_t)i * AIO_ALIGN,
                                    .bytes = AIO_ALIGN,
                                    .offset = (uint64_t)i * AIO_ALIGN};
    double start = os_time_seconds();
    aio_submit(aio, r, n);
    wait_all(aio, r, n);
    double seconds = os_time_seconds() - start;
    free(data);
    free(r);
    return seconds;
}

static struct aio *open_rate(uint64_t rate, double latency)
{
    struct aio *aio;
    assert_int_equal(aio_rate_open(open_kind("threads", DEPTH), rate, latency, &aio, NULL),
                     ASHLAR_OK);
    return aio;
}

static void a_rate_and_a_latency_are_kept(void **state)
{
    (void)state;
    int fd = scratch_file();
    assert_int_equal(ftruncate(fd, 64 * AIO_ALIGN), 0);
    struct aio *slow = open_rate(64 * AIO_ALIGN * 20, 0.0), *late = open_rate(0, 0.03);
    double channel = seconds_for(slow, fd, 64), together = seconds_for(late, fd, 64);
    assert_true(channel >= 0.05);                          /* 1/20 s of transfers */
    assert_true(together >= 0.03 && together < 64 * 0.03); /* latencies overlap */
    struct aio_request r = {
        .fd = fd, .data = aligned_alloc(AIO_ALIGN, AIO_ALIGN), .bytes = AIO_ALIGN};
    double start = os_time_seconds();
    aio_submit(late, &r, 1);
    bool finished = aio_finished(late, &r);
    if (os_time_seconds() - start < 0.03) /* else something stopped us */
        assert_false(finished);
    aio_wait(late, &r);
    assert_true(aio_finished(late, &r));
    free(r.data);
    aio_close(slow);
    aio_close(late);
    close(fd);
}

static void a_limited_device_moves_the_same_bytes(void **state)
{
    (void)state;
    struct aio *aio = open_rate(UINT64_C(1) << 30, 1e-4);
    round_trip(aio, 50, 7, SEED);
    aio_close(aio);
}

/* ---- fault injector ------------------------------------------------------------------------ */

struct faulty {
    struct aio_fault_plan plan;
    struct aio *aio;
    int fd;
    unsigned char *data;
};

enum { N_REQUESTS = 5 };

static void faulty_open(struct faulty *f, struct aio_fault_plan plan)
{
    f->plan = plan;
    assert_int_equal(aio_fault_open(open_kind("threads", DEPTH), &f->plan, &f->aio, NULL),
                     ASHLAR_OK);
    f->fd = scratch_file();
    f->data = aligned_alloc(AIO_ALIGN, N_REQUESTS * AIO_ALIGN);
}

static void faulty_close(struct faulty *f)
{
    aio_close(f->aio);
    close(f->fd);
    free(f->data);
}

/* Transfer the pages; errors[i] is what became of page i. */
static void transfer_pages(struct faulty *f, bool write, int *errors)
{
    struct aio_request r[N_REQUESTS];
    for (int i = 0; i < N_REQUESTS; i++)
        r[i] = (struct aio_request){.fd = f->fd,
                                    .write = write,
                                    .data = f->data + i * AIO_ALIGN,
                                    .bytes = AIO_ALIGN,
                                    .offset = (uint64_t)i * AIO_ALIGN};
    aio_submit(f->aio, r, N_REQUESTS);
    for (int i = 0; i < N_REQUESTS; i++) {
        aio_wait(f->aio, &r[i]);
        errors[i] = r[i].error;
    }
}

static void chosen_requests_fail_and_no_others(void **state)
{
    (void)state;
    static const struct {
        enum aio_fault fault;
        int error;
    } faults[] = {{AIO_FAULT_EIO, EIO},
                  {AIO_FAULT_ENOSPC, ENOSPC},
                  {AIO_FAULT_SHORT, AIO_SHORT},
                  {AIO_FAULT_LATE, 0}};
    for (int i = 0; i < 4; i++)
        for (int writes = 0; writes < 2; writes++) {
            struct faulty f;
            int errors[N_REQUESTS];
            faulty_open(&f,
                        (struct aio_fault_plan){
                            .fault = faults[i].fault, .writes = writes, .first = 2, .count = 2});
            memset(f.data, 7, N_REQUESTS * AIO_ALIGN);
            for (int write = 1; write >= 0; write--) {
                transfer_pages(&f, write, errors);
                for (int r = 0; r < N_REQUESTS; r++)
                    assert_int_equal(errors[r],
                                     write == writes && (r == 2 || r == 3) ? faults[i].error : 0);
            }
            assert_int_equal(f.plan.n_reads, N_REQUESTS);
            assert_int_equal(f.plan.n_writes, N_REQUESTS);
            faulty_close(&f);
        }
}

static void corruption_is_silent(void **state)
{
    (void)state;
    for (int writes = 0; writes < 2; writes++) {
        struct faulty f;
        int errors[N_REQUESTS];
        faulty_open(&f, (struct aio_fault_plan){
                            .fault = AIO_FAULT_CORRUPT, .writes = writes, .first = 1, .count = 1});
        memset(f.data, 7, N_REQUESTS * AIO_ALIGN);
        transfer_pages(&f, true, errors);
        memset(f.data, 0, N_REQUESTS * AIO_ALIGN);
        transfer_pages(&f, false, errors);
        for (int r = 0; r < N_REQUESTS; r++) {
            int changed = 0;
            for (int i = 0; i < AIO_ALIGN; i++)
                changed += f.data[r * AIO_ALIGN + i] != 7;
            assert_int_equal(errors[r], 0);
            assert_int_equal(changed, r == 1);
        }
        faulty_close(&f);
    }
}

int main(void)
{
    printf("seed %d\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_open),
        cmocka_unit_test(bytes_come_back_as_written),
        cmocka_unit_test(thousands_may_wait),
        cmocka_unit_test(pieces_are_gathered_and_scattered),
        cmocka_unit_test(short_transfers_are_continued_at_their_place),
        cmocka_unit_test(reads_past_the_end_are_short),
        cmocka_unit_test(failures_end_up_in_the_request),
        cmocka_unit_test(a_device_that_fails_is_asked_again),
        cmocka_unit_test(announced_memory_and_files_change_no_byte),
        cmocka_unit_test(memory_that_cannot_be_pinned_is_used_plainly),
        cmocka_unit_test(a_rate_and_a_latency_are_kept),
        cmocka_unit_test(a_limited_device_moves_the_same_bytes),
        cmocka_unit_test(chosen_requests_fail_and_no_others),
        cmocka_unit_test(corruption_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
