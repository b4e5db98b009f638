/* test_output.c: files appear whole or not at all, and what was there stays until then. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "base/output.h"

static char folder[64], path[96];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/ashlar-output-XXXXXX");
    snprintf(path, sizeof path, "%s/file", mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when a draft was left */
}

static ashlar_status write_text(const char *where, const char *text, ashlar_error *err)
{
    struct buf b;
    buf_init(&b, 1 << 10);
    buf_puts(&b, text);
    ashlar_status status = output_write_file(where, &b, err);
    buf_fini(&b);
    return status;
}

static void assert_holds(const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 10);
    assert_int_equal(os_read_file(path, &b, NULL), ASHLAR_OK);
    assert_int_equal(b.length, strlen(text));
    assert_memory_equal(b.data, text, b.length);
    buf_fini(&b);
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    assert_int_equal(write_text(path, "a first, longer text", NULL), ASHLAR_OK);
    assert_int_equal(chmod(path, 0400), 0); /* the folder's permission counts */
    assert_int_equal(write_text(path, "second", NULL), ASHLAR_OK);
    assert_holds("second");
}

static void what_was_there_outlives_a_failure(void **state)
{
    (void)state;
    struct buf b;
    ashlar_error err;
    assert_int_equal(write_text(path, "old", NULL), ASHLAR_OK);
    buf_init(&b, 4);
    assert_false(buf_puts(&b, "too long for its buffer"));
    assert_int_equal(output_write_file(path, &b, &err), ASHLAR_NO_RESOURCE);
    buf_fini(&b);
    assert_holds("old");
    assert_int_equal(write_text("/nonexistent/file", "x", &err), ASHLAR_FAILED);
    assert_string_equal(err.message, "cannot write /nonexistent/file: No such file or directory");
}

static void devices_are_written_to(void **state)
{
    (void)state;
    ashlar_error err;
    struct stat info;
    assert_int_equal(write_text("/dev/null", "text", NULL), ASHLAR_OK);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(write_text("/dev/full", "text", &err), ASHLAR_FAILED);
    assert_string_equal(err.message, "cannot write /dev/full: No space left on device");
}

static void a_pipe_that_is_full_is_waited_for(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    pid_t child = fork();
    if (child == 0) {
        static char seen[4096];
        size_t n = 0;
        close(ends[1]);
        for (ssize_t got; (got = read(ends[0], seen, sizeof seen)) > 0; n += (size_t)got)
            usleep(100);
        _exit(n == BYTES ? 0 : 1);
    }
    char *text = calloc(BYTES, 1);
    close(ends[0]);
    assert_int_equal(output_bytes(ends[1], text, BYTES, "the pipe", NULL), ASHLAR_OK);
    close(ends[1]);
    free(text);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void outputs_are_checked_before_they_are_written(void **state)
{
    (void)state;
    ashlar_error err;
    assert_int_equal(output_check(path, NULL), ASHLAR_OK);
    assert_int_equal(output_check("-", NULL), ASHLAR_OK);
    assert_int_equal(output_check("/dev/null", NULL), ASHLAR_OK);
    int here = open(".", O_RDONLY | O_DIRECTORY); /* maybe not for this user to write to */
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(output_check("relative", NULL), ASHLAR_OK);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(output_check(folder, &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, "Is a directory"));
    assert_int_equal(output_check("/nonexistent/file", &err), ASHLAR_FAILED);
    assert_non_null(strstr(err.message, "No such file"));
    assert_int_equal(access(path, F_OK), -1); /* nothing was made */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_replaced_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_there_outlives_a_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_are_written_to, set_up, tear_down),
        cmocka_unit_test(a_pipe_that_is_full_is_waited_for),
        cmocka_unit_test_setup_teardown(outputs_are_checked_before_they_are_written, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
