/* cc's functions among ours: what is taken from cc's assembler text and under which names. */
#include "lego/fallback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char ours[] =
    "\t.data\n\t.globl\ttotal\ntotal:\n\t.long\t0\n\t.text\n\t.globl\tgood\ngood:\n\tret\n"
    "\t.local\tcount.0\n\t.comm\tcount.0,4,4\n";

static const char cc[] =
    "\t.file\t\"a.c\"\n"
    "\t.text\n"
    "\t.globl\ttotal\n\t.bss\n\t.align 4\n\t.type\ttotal, @object\n\t.size\ttotal, 4\n"
    "total:\n\t.zero\t4\n"
    "\t.section\t.rodata\n"
    ".LC0:\n\t.string\t\".L2 good count.0\"\n"
    "\t.text\n\t.globl\tgood\n\t.type\tgood, @function\n"
    "good:\n.LFB0:\n\tnop\n\tret\n\t.size\tgood, .-good\n"
    "\t.globl\tbad\n\t.type\tbad, @function\n"
    "bad:\n.LFB1:\n\tincl\tcount.0(%rip)\n\tleaq\t.LC0(%rip), %rax\n\tjmp\t*.L4(,%rax,8)\n"
    "\t.section\t.rodata\n\t.align 8\n.L4:\n\t.quad\t.L2\n\t.text\n"
    ".L2:\n\tcall\thelper\n\tret\n.LFE1:\n\t.size\tbad, .-bad\n"
    "\t.section\t.init_array,\"aw\"\n\t.align 8\n\t.quad\tbad\n"
    "\t.text\n\t.type\thelper, @function\n"
    "helper:\n\tret\n\t.size\thelper, .-helper\n"
    "\t.local\tcount.0\n\t.comm\tcount.0,4,4\n"
    "\t.section\t.note.GNU-stack,\"\",@progbits\n";

static struct buf joined;

static int join(void **state)
{
    (void)state;
    static const char *const functions[] = {"bad"};
    buf_init(&joined, 1 << 20);
    return fallback_join(ours, strlen(ours), cc, strlen(cc), functions, 1, &joined, NULL) ==
                   ASHLAR_OK
               ? 0
               : -1;
}

static int drop(void **state)
{
    (void)state;
    buf_fini(&joined);
    return 0;
}

static int count(const char *text)
{
    int n = 0;
    for (const char *hit = joined.data; (hit = strstr(hit, text)); hit++)
        n++;
    return n;
}

static void ours_comes_first_and_whole(void **state)
{
    (void)state;
    assert_memory_equal(joined.data, ours, strlen(ours));
}

static void the_function_is_taken_with_its_attributes(void **state)
{
    (void)state;
    assert_int_equal(count("\nbad:\n"), 1);
    assert_int_equal(count(".globl\tbad\n"), 1);
    assert_int_equal(count(".size\tbad, .-bad\n"), 1);
    assert_int_equal(count("\t.section\t.init_array,\"aw\"\n"), 1);
}

static void what_we_define_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(count("\ntotal:\n"), 1);
    assert_int_equal(count("\ngood:\n"), 1);
}

/* A static function that we left out, since only the refused one calls it. */
static void what_we_lack_is_taken(void **state)
{
    (void)state;
    assert_int_equal(count("\nhelper:\n"), 1);
}

static void private_names_are_renamed_but_not_in_strings(void **state)
{
    (void)state;
    assert_int_equal(count("incl\tcount.0.cc(%rip)"), 1);
    assert_int_equal(count(".comm\tcount.0.cc,4,4"), 1);
    assert_int_equal(count("leaq\t.LccC0(%rip), %rax"), 1);
    assert_int_equal(count("\n.LccC0:\n"), 1);
    assert_int_equal(count("\t.quad\t.Lcc2\n"), 1);
    assert_int_equal(count("\".L2 good count.0\""), 1);
}

static void a_function_that_cc_lacks_is_an_error(void **state)
{
    (void)state;
    static const char *const functions[] = {"missing"};
    struct buf out;
    ashlar_error err;
    buf_init(&out, 1 << 20);
    assert_int_equal(fallback_join(ours, strlen(ours), cc, strlen(cc), functions, 1, &out, &err),
                     ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.message, "missing"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_comes_first_and_whole),
        cmocka_unit_test(the_function_is_taken_with_its_attributes),
        cmocka_unit_test(what_we_define_is_not_taken),
        cmocka_unit_test(what_we_lack_is_taken),
        cmocka_unit_test(private_names_are_renamed_but_not_in_strings),
        cmocka_unit_test(a_function_that_cc_lacks_is_an_error),
    };
    return cmocka_run_group_tests(tests, join, drop);
}
