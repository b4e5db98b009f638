/*
 * The fragment parser and printers: what is a fragment, what is refused with its line, canonical
 * text, and instantiation in a function.
 */
#include "hand_block.h"

#include "lego/fragment.h"
#include "lego/lint_x86_64.h"

static void parses_to(const char *text, const char *canonical)
{
    struct fragment f;
    ashlar_error err = {0};
    struct buf out;
    if (fragment_parse(text, strlen(text), &f, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    buf_init(&out, 1 << 16);
    assert_true(fragment_print(&f, &out));
    assert_string_equal(out.data ? out.data : "", canonical);
    buf_fini(&out);
    fragment_fini(&f);
}

static void refuses(const char *text, const char *message)
{
    struct fragment f;
    ashlar_error err = {0};
    assert_int_equal(fragment_parse(text, strlen(text), &f, &err), ASHLAR_BAD_INPUT);
    if (!strstr(err.message, message))
        fail_msg("'%s' not in '%s'", message, err.message);
    assert_null(f.lines);
}

static void test_canonical_text(void **state)
{
    (void)state;
    parses_to("  MOVL v1( %rbp ) ,%eax # load\n\n\t# nothing\n.L1:addl $0x10,%eax\r\n.L2:\n",
              "\tmovl\tv1(%rbp), %eax\n.L1:\n\taddl\t$16, %eax\n.L2:\n");
}

static void test_an_empty_fragment(void **state)
{
    (void)state;
    parses_to("", "");
    parses_to("# only a comment", "");
}

static void test_addresses(void **state)
{
    (void)state;
    parses_to("leaq v2+8-4(%rbp,%rax,8), %rcx", "\tleaq\tv2+4(%rbp,%rax,8), %rcx\n");
    parses_to("movl -16(,%rdx,4), %eax", "\tmovl\t-16(,%rdx,4), %eax\n");
    parses_to("movl (%r8,%r9), %r10d", "\tmovl\t(%r8,%r9,1), %r10d\n");
    parses_to("fxch %st( 3 )\nfaddp %st, %st(1)", "\tfxch\t%st(3)\n\tfaddp\t%st, %st(1)\n");
}

static void test_numbers(void **state)
{
    (void)state;
    parses_to("movabsq $0xffffffffffffffff, %rax", "\tmovabsq\t$-1, %rax\n");
    parses_to("movabsq $-9223372036854775808, %rax", "\tmovabsq\t$-9223372036854775808, %rax\n");
    refuses("movl $017, %eax", "octal");
    refuses("movl $99999999999999999999, %eax", "number");
    refuses("movl $1x, %eax", "number");
}

static void test_what_is_no_fragment(void **state)
{
    (void)state;
    refuses("movl $1, %eax; ret", "line 1");
    refuses("nop\nmain: nop", "line 2: labels");
    refuses("nop\n\n.globl main", "line 3: rule g");
    refuses(".long 5", "rule g");
    refuses("jmp *%rax", "line 1");
    refuses("movl g1@GOTPCREL(%rip), %eax", "line 1");
    refuses("movl %eaz, %eax", "no register %eaz");
    refuses("movl v1(%rbp,%rax,3), %eax", "scale");
    refuses("movl v1-v2(%rbp), %eax", "one name");
    refuses("addl $1, %eax,", "end of the instruction");
    refuses("imull $1, %eax, %ecx, %edx", "three operands");
    refuses("\"text\"", "line 1");
    refuses("averyveryverylongmnemonic %eax", "line 1");
}

static void test_sizes_are_bounded(void **state)
{
    (void)state;
    char *text = malloc(FRAGMENT_MAX_BYTES + 2);
    assert_non_null(text);
    memset(text, '\n', FRAGMENT_MAX_BYTES + 1);
    text[FRAGMENT_MAX_BYTES + 1] = '\0';
    refuses(text, "longer than");
    for (int i = 0; i <= FRAGMENT_MAX_LINES; i++)
        memcpy(text + i * 4, "nop\n", 4);
    text[(FRAGMENT_MAX_LINES + 1) * 4] = '\0';
    refuses(text, "more than 4000 lines");
    free(text);
}

static const char *place(void *context, const char *operand)
{
    (void)context;
    if (strcmp(operand, "v1") == 0)
        return "-36";
    if (strcmp(operand, "g1") == 0)
        return "table";
    if (strcmp(operand, "c1") == 0)
        return "-5";
    return strcmp(operand, "x1") == 0 ? ".L4" : "?";
}

static void test_instantiation(void **state)
{
    (void)state;
    const char *text =
        "movl v1+4(%rbp), %eax\naddl g1+8(%rip), %eax\naddl $c1+2, %eax\nje x1\n.L1: jmp .L1\n";
    struct fragment f;
    struct buf out;
    buf_init(&out, 1 << 16);
    assert_int_equal(fragment_parse(text, strlen(text), &f, NULL), ASHLAR_OK);
    assert_true(fragment_instantiate(&f, place, NULL, 12, &out));
    assert_string_equal(
        out.data, "\tmovl\t-36+4(%rbp), %eax\n\taddl\ttable+8(%rip), %eax\n\taddl\t$-5+2, %eax\n"
                  "\tje\t.L4\n.LB12_1:\n\tjmp\t.LB12_1\n");
    buf_fini(&out);
    fragment_fini(&f);
}

static void test_register_names(void **state)
{
    (void)state;
    static const char *const names[] = {"al",  "ah",  "spl",  "r8b",   "ax", "r15w",  "ebx", "r9d",
                                        "rsp", "r10", "xmm0", "xmm15", "st", "st(7)", "rip"};
    static const int numbers[] = {X86_REG(X86_R8, 0),   X86_REG(X86_R8H, 0), X86_REG(X86_R8, 4),
                                  X86_REG(X86_R8, 8),   X86_REG(X86_R16, 0), X86_REG(X86_R16, 15),
                                  X86_REG(X86_R32, 3),  X86_REG(X86_R32, 9), X86_REG(X86_R64, 4),
                                  X86_REG(X86_R64, 10), X86_REG(X86_XMM, 0), X86_REG(X86_XMM, 15),
                                  X86_REG(X86_ST, 0),   X86_REG(X86_ST, 7),  X86_REG(X86_RIP, 0)};
    char out[8];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_string_equal(x86_register_name(numbers[i], out), names[i]);
        if (!strchr(names[i], '('))
            assert_int_equal(x86_register(names[i]), numbers[i]);
    }
    static const char *const none[] = {"r16", "r7", "r08", "xmm16", "xmm01", "xmm",
                                       "eip", "cs", "cr0", "",      "r9x"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(x86_register(none[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_text),
        cmocka_unit_test(test_an_empty_fragment),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_what_is_no_fragment),
        cmocka_unit_test(test_sizes_are_bounded),
        cmocka_unit_test(test_instantiation),
        cmocka_unit_test(test_register_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
