/* Files, memory figures, cores and terminals. */
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

/* folder/name; the buffer is used again at the fourth next call. */
static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *write_file(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/ashlar-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void file_is_mapped_and_unmapped(void **state)
{
    (void)state;
    ashlar_error err;
    struct os_map map;
    assert_int_equal(os_map_open(&map, write_file("map", "GGUF!"), &err), ASHLAR_OK);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "GGUF!", 5);
    os_map_close(&map);
    assert_null(map.data);
    assert_int_equal(map.fd, -1);
    os_map_close(&map);
}

/* The refusal of what is no model file: its status, and the message without the path. */
static void check_refused(const char *path, ashlar_status expected, const char *message)
{
    ashlar_error err;
    struct os_map map;
    assert_int_equal(os_map_open(&map, path, &err), expected);
    assert_memory_equal(err.message, path, strlen(path));
    assert_string_equal(err.message + strlen(path), message);
    assert_null(map.data);
    assert_int_equal(map.fd, -1);
}

static void unmappable_paths_are_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    check_refused(in_folder("absent"), ASHLAR_FAILED, ": No such file or directory");
    check_refused(write_file("empty", ""), ASHLAR_BAD_INPUT, ": the file is empty");
    check_refused(folder, ASHLAR_BAD_INPUT, ": is a folder");
    check_refused("/dev/null", ASHLAR_BAD_INPUT, ": is not a regular file");
    check_refused(in_folder("fifo"), ASHLAR_BAD_INPUT, ": is not a regular file");
}

static void pread_reads_exactly(void **state)
{
    (void)state;
    ashlar_error err;
    int fd = open(write_file("pread", "0123456789"), O_RDONLY);
    char out[5] = "";
    assert_int_equal(os_pread_full(fd, out, 4, 3, "pread", &err), ASHLAR_OK);
    assert_string_equal(out, "3456");
    close(fd);
}

static void pread_beyond_the_end_names_the_offset(void **state)
{
    (void)state;
    ashlar_error err;
    int fd = open(write_file("pread", "0123456789"), O_RDONLY);
    char out[8];
    assert_int_equal(os_pread_full(fd, out, 8, 6, "file", &err), ASHLAR_FAILED);
    assert_string_equal(err.message, "file: ends at offset 10, 4 bytes short");
    assert_int_equal(os_pread_full(fd, out, 8, UINT64_MAX, "file", &err), ASHLAR_FAILED);
    close(fd);
    assert_int_equal(os_pread_full(-1, out, 8, 0, "file", &err), ASHLAR_FAILED);
    assert_string_equal(err.message, "file: reading at offset 0: Bad file descriptor");
}

static void whole_file_is_read(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    char text[50001];
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = (char)('a' + i % 26);
    text[sizeof text - 1] = '\0';
    assert_int_equal(os_read_file(write_file("long", text), &b, NULL), ASHLAR_OK);
    assert_int_equal(b.length, sizeof text - 1);
    assert_string_equal(b.data, text);
    buf_fini(&b);
}

static void empty_file_is_an_empty_string(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(os_read_file(write_file("empty", ""), &b, NULL), ASHLAR_OK);
    assert_string_equal(b.data, "");
    buf_fini(&b);
}

static void file_beyond_the_maximum_is_refused(void **state)
{
    (void)state;
    ashlar_error err;
    struct buf b;
    buf_init(&b, 9);
    assert_int_equal(os_read_file(write_file("ten", "0123456789"), &b, &err), ASHLAR_NO_RESOURCE);
    assert_non_null(strstr(err.message, "more than 9 bytes"));
    assert_int_equal(os_read_file("/dev/zero", &b, &err), ASHLAR_NO_RESOURCE);
    assert_int_equal(os_read_file(folder, &b, &err), ASHLAR_FAILED);
    assert_int_equal(os_read_file(in_folder("absent"), &b, &err), ASHLAR_FAILED);
    buf_fini(&b);
}

static void dash_reads_standard_input(void **state)
{
    (void)state;
    int saved = dup(STDIN_FILENO);
    int fd = open(write_file("stdin", "from stdin"), O_RDONLY);
    dup2(fd, STDIN_FILENO);
    struct buf b;
    buf_init(&b, 100);
    ashlar_status status = os_read_file("-", &b, NULL);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(fd);
    assert_int_equal(status, ASHLAR_OK);
    assert_string_equal(b.data, "from stdin");
    buf_fini(&b);
}

static void time_goes_forward(void **state)
{
    (void)state;
    double before = os_time_seconds();
    usleep(2000);
    double passed = os_time_seconds() - before;
    assert_true(passed >= 0.002 && passed < 10);
}

static void resident_memory_follows_use(void **state)
{
    (void)state;
    const size_t bytes = 64 << 20;
    uint64_t before = os_rss_bytes();
    char *p = malloc(bytes);
    assert_non_null(p);
    memset(p, 1, bytes);
    assert_true(os_rss_bytes() >= before + bytes / 2);
    assert_true(os_peak_rss_bytes() >= before + bytes / 2);
    assert_true(p[bytes - 1] == 1);
    free(p);
    assert_true(os_peak_rss_bytes() >= before + bytes / 2);
}

static void available_memory_is_plausible(void **state)
{
    (void)state;
    uint64_t available = os_available_bytes();
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_in_range(available, 1, physical);
}

static void cores_follow_the_affinity_mask(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_in_range(os_cores(), 1, CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(os_cores(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* A made-up cgroup tree: folder/tree with the given files in nested groups. */
static void make_group(const char *path, const char *limit_name, const char *limit,
                       const char *usage_name, const char *usage, const char *stat)
{
    char name[200], command[400];
    snprintf(command, sizeof command, "mkdir -p '%s/tree%s'", folder, path);
    assert_int_equal(system(command), 0);
    snprintf(name, sizeof name, "tree%s/%s", path, limit_name);
    write_file(name, limit);
    snprintf(name, sizeof name, "tree%s/%s", path, usage_name);
    write_file(name, usage);
    snprintf(name, sizeof name, "tree%s/memory.stat", path);
    write_file(name, stat);
}

static uint64_t room(const char *membership)
{
    return os_cgroup_room(write_file("membership", membership), in_folder("tree"));
}

static void cgroup_v2_limit_minus_usage(void **state)
{
    (void)state;
    make_group("/a/b", "memory.max", "1000\n", "memory.current", "700\n", "inactive_file 0\n");
    assert_int_equal(room("0::/a/b\n"), 300);
    make_group("/a/b", "memory.max", "1000\n", "memory.current", "1100\n", "inactive_file 0\n");
    assert_int_equal(room("0::/a/b\n"), 0);
}

static void cgroup_cache_counts_as_available(void **state)
{
    (void)state;
    make_group("/c", "memory.max", "1000\n", "memory.current", "900\n",
               "anon 500\ninactive_anon 77\ninactive_file 350\nactive_file 50\n");
    assert_int_equal(room("0::/c\n"), 450);
}

static void cgroup_parents_limit_too(void **state)
{
    (void)state;
    make_group("/p", "memory.max", "5000\n", "memory.current", "4900\n", "");
    make_group("/p/q", "memory.max", "max\n", "memory.current", "10\n", "");
    make_group("/p/q/r", "memory.max", "3000\n", "memory.current", "10\n", "");
    assert_int_equal(room("0::/p/q/r\n"), 100);
    assert_int_equal(room("0::/p/q/r/not-visible-here\n"), 100);
}

static void cgroup_v1_is_read(void **state)
{
    (void)state;
    make_group("/memory/x", "memory.limit_in_bytes", "2000\n", "memory.usage_in_bytes", "1500\n",
               "inactive_file 9\ntotal_inactive_file 100\n");
    assert_int_equal(room("11:cpuset:/\n4:cpu,memory:/x\n1:name=systemd:/y\n"), 600);
    assert_true(room("11:cpuset:/x\n4:memory_other:/x\n") == UINT64_MAX);
}

static uint64_t cores(const char *membership)
{
    return os_cgroup_cores(write_file("membership", membership), in_folder("tree"));
}

static void cgroup_processor_quota_is_rounded_up(void **state)
{
    (void)state;
    make_group("/cpu/d", "cpu.cfs_quota_us", "250000\n", "cpu.cfs_period_us", "100000\n", "");
    make_group("/e", "cpu.max", "100000 100000\n", "cpu.weight", "100\n", "");
    make_group("/e/f", "cpu.max", "max 100000\n", "cpu.weight", "100\n", "");
    make_group("/cpu/g", "cpu.cfs_quota_us", "-1\n", "cpu.cfs_period_us", "100000\n", "");
    assert_int_equal(cores("3:cpu,cpuacct:/d\n"), 3);
    assert_int_equal(cores("0::/e\n"), 1);
    assert_int_equal(cores("0::/e/f\n"), 1);
    assert_int_equal(cores("3:cpu:/d\n0::/e\n"), 1);
    assert_true(cores("3:cpu:/g\n") == UINT64_MAX);
    assert_true(cores("3:cpuset:/d\n") == UINT64_MAX);
}

static void no_cgroup_is_no_limit(void **state)
{
    (void)state;
    assert_true(cores("0::/absent\n") == UINT64_MAX);
    assert_true(room("0::/absent\n") == UINT64_MAX);
    assert_true(room("nonsense\n::\n:\n") == UINT64_MAX);
    assert_true(os_cgroup_room(in_folder("absent"), "/") == UINT64_MAX);
}

static void terminal_is_told_from_file_and_measured(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        skip(); /* no pseudo-terminals here */
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(os_is_terminal(slave));
    struct winsize size = {.ws_row = 24, .ws_col = 57};
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
    assert_int_equal(os_terminal_columns(slave), 57);
    close(slave);
    close(master);
    int fd = open("/dev/null", O_WRONLY);
    assert_false(os_is_terminal(fd));
    assert_int_equal(os_terminal_columns(fd), 80);
    close(fd);
    assert_false(os_is_terminal(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_mapped_and_unmapped),
        cmocka_unit_test(unmappable_paths_are_refused),
        cmocka_unit_test(pread_reads_exactly),
        cmocka_unit_test(pread_beyond_the_end_names_the_offset),
        cmocka_unit_test(whole_file_is_read),
        cmocka_unit_test(empty_file_is_an_empty_string),
        cmocka_unit_test(file_beyond_the_maximum_is_refused),
        cmocka_unit_test(dash_reads_standard_input),
        cmocka_unit_test(time_goes_forward),
        cmocka_unit_test(resident_memory_follows_use),
        cmocka_unit_test(available_memory_is_plausible),
        cmocka_unit_test(cores_follow_the_affinity_mask),
        cmocka_unit_test(cgroup_v2_limit_minus_usage),
        cmocka_unit_test(cgroup_cache_counts_as_available),
        cmocka_unit_test(cgroup_parents_limit_too),
        cmocka_unit_test(cgroup_v1_is_read),
        cmocka_unit_test(cgroup_processor_quota_is_rounded_up),
        cmocka_unit_test(no_cgroup_is_no_limit),
        cmocka_unit_test(terminal_is_told_from_file_and_measured),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
