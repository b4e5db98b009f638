/* Sizes for people; the progress bar on a pseudo-terminal and off it. */
#include "base/text.h"

#include "base/os.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static void bytes_for_people(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {16384, "16.0 KiB"},
                 {1048575, "1.0 MiB"},
                 {UINT64_C(1288490189), "1.2 GiB"},
                 {UINT64_C(5) << 40, "5.0 TiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    char out[16];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(text_bytes(cases[i].bytes, out), cases[i].text);
}

struct terminal {
    int master, slave;
    char said[8192];
};

static int open_terminal(void **state)
{
    static struct terminal terminal;
    terminal = (struct terminal){.master = posix_openpt(O_RDWR | O_NOCTTY), .slave = -1};
    if (terminal.master >= 0 && grantpt(terminal.master) == 0 && unlockpt(terminal.master) == 0) {
        terminal.slave = open(ptsname(terminal.master), O_RDWR | O_NOCTTY);
        struct termios mode;
        tcgetattr(terminal.slave, &mode);
        cfmakeraw(&mode); /* what is written is what is read */
        tcsetattr(terminal.slave, TCSANOW, &mode);
        fcntl(terminal.master, F_SETFL, O_NONBLOCK);
        ioctl(terminal.slave, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = 80});
    }
    setenv("TERM", "xterm", 1);
    *state = &terminal;
    return 0;
}

static int close_terminal(void **state)
{
    struct terminal *t = *state;
    close(t->slave);
    close(t->master);
    return 0;
}

/* Everything written to the terminal since the last call. */
static const char *said(struct terminal *t)
{
    ssize_t n = read(t->master, t->said, sizeof t->said - 1);
    t->said[n > 0 ? n : 0] = '\0';
    return t->said;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    while ((text = strstr(text, word))) {
        n++;
        text += strlen(word);
    }
    return n;
}

static void bar_shows_share_and_rate(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0) {
        skip(); /* no pseudo-terminals here */
    }
    struct progress_bar bar;
    progress_init(&bar, t->slave);
    progress_update(&bar, "prefill", 512, 2048);
    assert_string_equal(said(t), "\r\x1b[Kprefill [==========                              ] "
                                 "512/2048");
    usleep(300000);
    progress_update(&bar, "prefill", 1024, 2048);
    assert_non_null(strstr(said(t), "] 1024/2048  "));
    assert_non_null(strstr(t->said, " tok/s"));
    progress_clear(&bar);
    assert_string_equal(said(t), "\r\x1b[K");
    progress_clear(&bar);
    assert_string_equal(said(t), "");
}

static void redraws_are_limited(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0)
        skip();
    struct progress_bar bar;
    progress_init(&bar, t->slave);
    double start = os_time_seconds();
    for (uint64_t i = 0; os_time_seconds() - start < 0.35; i++)
        progress_update(&bar, "load", i, 1000000);
    assert_in_range(count(said(t), "load"), 2, 4);
}

static void new_step_is_drawn_at_once(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0)
        skip();
    struct progress_bar bar;
    progress_init(&bar, t->slave);
    progress_update(&bar, "load", 1, 2);
    progress_update(&bar, "prefill", 1, 2);
    said(t);
    assert_int_equal(count(t->said, "load"), 1);
    assert_int_equal(count(t->said, "prefill"), 1);
}

static void large_totals_are_bytes(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0)
        skip();
    struct progress_bar bar;
    progress_init(&bar, t->slave);
    progress_update(&bar, "load", UINT64_C(512) << 20, UINT64_C(2) << 30);
    assert_non_null(strstr(said(t), "] 512.0 MiB/2.0 GiB"));
}

static void bar_never_wraps(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0)
        skip();
    for (unsigned short columns = 1; columns < 100; columns++) {
        ioctl(t->slave, TIOCSWINSZ, &(struct winsize){.ws_row = 24, .ws_col = columns});
        struct progress_bar bar;
        progress_init(&bar, t->slave);
        progress_update(&bar, "a rather long name of a step", 3000000, 2000000);
        size_t printed = strlen(said(t)) - strlen("\r\x1b[K");
        assert_in_range(printed, 1, columns > 1 ? columns - 1 : 1);
    }
}

static void hidden_off_a_terminal_and_on_a_dumb_one(void **state)
{
    struct terminal *t = *state;
    struct progress_bar bar;
    char path[] = "/tmp/ashlar-test-XXXXXX";
    int fd = mkstemp(path);
    progress_init(&bar, fd);
    progress_update(&bar, "load", 1, 2);
    progress_clear(&bar);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    unlink(path);
    if (t->slave < 0)
        return;
    setenv("TERM", "dumb", 1);
    progress_init(&bar, t->slave);
    progress_update(&bar, "load", 1, 2);
    unsetenv("TERM");
    progress_init(&bar, t->slave);
    progress_update(&bar, "load", 1, 2);
    progress_clear(&bar);
    assert_string_equal(said(t), "");
}

static void no_colour_is_ever_used(void **state)
{
    struct terminal *t = *state;
    if (t->slave < 0)
        skip();
    struct progress_bar bar;
    progress_init(&bar, t->slave);
    progress_update(&bar, "load", 1, 0);
    assert_int_equal(count(said(t), "\x1b["), 1); /* the erase alone */
    assert_int_equal(count(t->said, "\x1b[K"), 1);
}

#define TERMINAL_TEST(f) cmocka_unit_test_setup_teardown(f, open_terminal, close_terminal)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_for_people),
        TERMINAL_TEST(bar_shows_share_and_rate),
        TERMINAL_TEST(redraws_are_limited),
        TERMINAL_TEST(new_step_is_drawn_at_once),
        TERMINAL_TEST(large_totals_are_bytes),
        TERMINAL_TEST(bar_never_wraps),
        TERMINAL_TEST(hidden_off_a_terminal_and_on_a_dumb_one),
        TERMINAL_TEST(no_colour_is_ever_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
