/*
 * The lint: each composability condition broken once, and what must stay allowed; the instruction
 * table against two assemblers.
 */
#include "hand_block.h"

#include <unistd.h>

#include <time.h>

#include "base/os.h"
#include "lego/assemble.h"
#include "lego/fragment.h"
#include "lego/lint_x86_64.h"

static struct hand_block hand;
static struct block *block;

static int setup(void **state)
{
    (void)state;
    static const int64_t values[] = {5, -1, 4000000000};
    block =
        hand_make(&hand,
                  "block x86-64\nint v1\nlong v2\nbytes v3[24] align 8\nlong double v4\ndouble v5\n"
                  "static int g1\nconst double k1\nfunction f1\nliteral int c1\nliteral long c2\n"
                  "literal unsigned int c3\nexit x1\nbegin\nif (v1) goto x1;\nend\n",
                  values, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hand_free(&hand);
    return 0;
}

static ashlar_status lint(const char *text, ashlar_error *err)
{
    struct fragment f;
    *err = (ashlar_error){0};
    ashlar_status status = fragment_parse(text, strlen(text), &f, err);
    if (status != ASHLAR_OK)
        return status;
    status = fragment_lint(&f, block, err);
    fragment_fini(&f);
    return status;
}

static void allows(const char *text)
{
    ashlar_error err;
    if (lint(text, &err) != ASHLAR_OK)
        fail_msg("%s in:\n%s", err.message, text);
}

static void refuses(const char *text, const char *message)
{
    ashlar_error err;
    if (lint(text, &err) == ASHLAR_OK)
        fail_msg("allowed:\n%s", text);
    if (!strstr(err.message, message))
        fail_msg("'%s' not in '%s'", message, err.message);
}

static void test_rule_a_operands_of_the_block_inside_their_bounds(void **state)
{
    (void)state;
    allows("movl v1(%rbp), %eax\nmovq %rax, v3+16(%rbp)\nmovl %eax, v3+20(%rbp)\n");
    refuses("movl v9(%rbp), %eax", "rule a: the block has no operand v9");
    refuses("movq v1(%rbp), %rax", "8-byte access at v1+0, which has 4 bytes");
    refuses("movq $0, v3+20(%rbp)", "rule a");
    refuses("movl v3-4(%rbp), %eax", "rule a");
    refuses("movl v1(%rip), %eax", "slot v1 is v1(%rbp)");
    refuses("movl g1(%rbp), %eax", "g1(%rip)");
    refuses("movl -8(%rbp), %eax", "rule a");
    refuses("movl g1, %eax", "bare name");
    refuses("movl (,%rax,4), %eax", "absolute");
    refuses("movq $v1, %rax", "not a literal");
    refuses("movq f1(%rip), %rax", "function f1");
    allows("leaq f1(%rip), %rax\nmovq %rax, v2(%rbp)\n");
}

static void test_rule_b_registers_at_entry(void **state)
{
    (void)state;
    refuses("movl %eax, v1(%rbp)", "rule b: %eax is read before");
    refuses("addl v1(%rbp), %ecx", "rule b");
    refuses("movl (%rdx), %eax", "rule b: %rdx");
    refuses("movl v3(%rbp,%rdx,4), %eax", "rule b: %rdx");
    refuses("movl v1(%rbp), %eax\nidivl v1(%rbp)\n", "rule b: %rdx");
    refuses("movb v3(%rbp), %al\nmovl %eax, v1(%rbp)\n", "whole");
    refuses("movl v1(%rbp), %eax\nshll %cl, %eax\n", "rule b: %cl");
    refuses("addsd %xmm0, %xmm0", "rule b: %xmm0");
    refuses("cvtss2sd v1(%rbp), %xmm1\naddsd %xmm0, %xmm1\n", "rule b: %xmm0");
    allows("xorl %eax, %eax\nmovl %eax, v1(%rbp)\n");
    allows("pxor %xmm0, %xmm0\nmovsd %xmm0, v5(%rbp)\n");
    allows("movb v3(%rbp), %al\nmovb %al, v3(%rbp)\n");
}

static void test_rule_b_flags_at_entry(void **state)
{
    (void)state;
    refuses("je x1", "rule b: je reads flags");
    refuses("setb %al\nmovb %al, v3(%rbp)\n", "rule b: setb");
    refuses("movl v1(%rbp), %eax\nadcl $0, %eax\n", "rule b: adcl");
    refuses("movl v1(%rbp), %eax\nimull $3, %eax, %eax\nje x1\n", "rule b: je");
    refuses("movl v1(%rbp), %ecx\nmovl %ecx, %eax\nshll %cl, %eax\nje x1\n", "rule b: je");
    refuses("movl v1(%rbp), %eax\ncltd\nidivl v1(%rbp)\njc x1\n", "rule b: jc");
    allows("movl v1(%rbp), %eax\nandl $3, %eax\nje x1\n");
    allows("cmpl $0, v1(%rbp)\nmovl $1, %eax\nje x1\n");
}

static void test_rule_b_holds_on_every_path(void **state)
{
    (void)state;
    refuses("cmpl $0, v1(%rbp)\nje .L1\nmovl $1, %eax\n.L1: movl %eax, v1(%rbp)\n",
            "line 4: rule b");
    allows("cmpl $0, v1(%rbp)\nmovl $2, %eax\nje .L1\nmovl $1, %eax\n.L1: movl %eax, v1(%rbp)\n");
    allows("movl $3, %ecx\n.L1: subl $1, %ecx\njne .L1\nmovl %ecx, v1(%rbp)\n");
}

static void test_rule_c_stack_and_frame_pointer(void **state)
{
    (void)state;
    refuses("pushq %rax", "not an instruction that a fragment may use");
    refuses("subq $8, %rsp", "rule c");
    refuses("movq v2(%rbp), %rbp", "rule c");
    refuses("movq %rsp, v2(%rbp)", "rule c");
    refuses("leaq -8(%rsp), %rax", "rule c");
    refuses("movl 8(%rsp), %eax", "rule c");
    refuses("movl $1, -2(%rsp)", "rule c");
    refuses("movl $1, -132(%rsp)", "rule c");
    refuses("call f1", "not an instruction");
    refuses("ret", "not an instruction");
    allows("movl $1, -128(%rsp)\nmovl -128(%rsp), %eax\nmovl %eax, v1(%rbp)\n");
    refuses("movl -8(%rsp), %eax", "scratch -8(%rsp) is read before");
}

static void test_rule_d_callee_saved_and_control(void **state)
{
    (void)state;
    refuses("movl $1, %ebx", "rule d: %ebx is callee-saved");
    refuses("movb $1, %bh", "rule d");
    refuses("movq %r12, v2(%rbp)", "rule d");
    refuses("movl v1(%rbp,%r15,2), %eax", "rule d");
    refuses("std", "not an instruction");
    refuses("ldmxcsr v1(%rbp)", "not an instruction");
    refuses("emms", "not an instruction");
}

static void test_rule_d_the_x87_stack(void **state)
{
    (void)state;
    allows("fldt v4(%rbp)\nfld %st(0)\nfaddp %st, %st(1)\nfstpt v4(%rbp)\n");
    refuses("fldt v4(%rbp)", "left with 1 value on the x87 stack");
    refuses("fstpt v4(%rbp)", "with 0 values");
    refuses("fldt v4(%rbp)\nfaddp %st, %st(1)\nfstpt v4(%rbp)\n", "with 1 value on");
    refuses("fldt v4(%rbp)\ncmpl $0, v1(%rbp)\njne x1\nfstpt v4(%rbp)\n", "line 3: rule d");
    refuses("cmpl $0, v1(%rbp)\nje .L1\nfldz\n.L1: nop\n", "paths meet");
    refuses("fldz\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\nfldz\n", "with 8 values");
    refuses(".L1: fldz\njmp .L1\n", "rule d");
}

static void test_rule_d_the_x87_control_word(void **state)
{
    (void)state;
    allows("fnstcw -2(%rsp)\nmovw $0xfff, -4(%rsp)\nfldcw -4(%rsp)\nfldcw -2(%rsp)\n");
    refuses("fnstcw -2(%rsp)\nmovw $0xfff, -4(%rsp)\nfldcw -4(%rsp)\n",
            "control word is not restored");
    refuses("fnstcw -2(%rsp)\nmovb $1, -2(%rsp)\nfldcw -2(%rsp)\n", "control word is not restored");
    refuses("fldcw v1(%rbp)", "works on scratch");
    refuses("fldcw -2(%rsp)", "rule b");
}

static void test_rule_e_exits(void **state)
{
    (void)state;
    allows("jmp x1");
    refuses("jmp x2", "rule e: x2");
    refuses("jmp main", "rule e");
    refuses("jmp x1+4", "rule e");
    refuses("jmp -8(%rsp)", "rule e");
    refuses("jmp x01", "rule e");
}

static void test_rule_f_labels(void **state)
{
    (void)state;
    refuses(".L1: nop\n.L1: nop\n", "line 2: rule f: label .L1 is defined twice");
    refuses("jmp .L9", "rule f: .L9");
    refuses("x1: nop", "labels of a fragment are called .L");
}

static void test_rule_g_no_data(void **state)
{
    (void)state;
    refuses(".quad 5", "rule g");
    refuses("pxor %xmm0, %xmm0\nmovsd %xmm0, k1(%rip)\n", "rule g: constant k1 is read-only");
    allows("movsd k1(%rip), %xmm0\nmovsd %xmm0, v5(%rbp)\n");
}

static void test_operand_shapes(void **state)
{
    (void)state;
    refuses("mov v1(%rbp), g1(%rip)", "width suffix");
    refuses("movl v1(%rbp), g1(%rip)", "two memory operands");
    refuses("movl $1, $2", "not an immediate");
    refuses("xorl %eax, %eax\nmovq %eax, v2(%rbp)\n", "%eax has 4");
    refuses("movzx v1(%rbp), %eax", "not an instruction");
    refuses("xorps k1(%rip), %xmm0", "aligned memory");
    refuses("movaps v3(%rbp), %xmm0", "aligned memory");
    refuses("vaddsd %xmm0, %xmm1, %xmm2", "not an instruction");
    refuses("cvtsi2sd v1(%rbp), %xmm0", "suffix");
    refuses("cmpl v1(%rbp), $5", "not an immediate");
    refuses("lock", "not an instruction");
    refuses("popcntl v1(%rbp), %eax", "not an instruction");
}

static void test_immediates_that_would_be_cut(void **state)
{
    (void)state;
    refuses("addb $300, v3(%rbp)", "does not fit");
    refuses("movl $5000000000, v1(%rbp)", "does not fit");
    refuses("movq $4000000000, v2(%rbp)", "does not fit");
    refuses("movq $c3, v2(%rbp)", "does not fit");
    refuses("addb $c3, v3(%rbp)", "does not fit");
    allows("movl $c3, v1(%rbp)\nmovabsq $5000000000, %rax\nmovq %rax, v2(%rbp)\naddb $255, "
           "v3(%rbp)\n");
    allows("movq $c2, v2(%rbp)\ncmpl $c1, v1(%rbp)\nje x1\n");
}

/** Lines with every instruction of the table, prepared so that the lint allows each. */
static const char *const table_lines[] = {
    "movl v1(%rbp), %eax",
    "movb $1, v3(%rbp)",
    "movw $1, %cx",
    "movabsq $81985529216486895, %rdx",
    "addl %eax, %eax",
    "subq $8, v2(%rbp)",
    "adcl $1, %eax",
    "sbbl $1, %eax",
    "andb $15, %al",
    "orw $3, %cx",
    "xorl v1(%rbp), %eax",
    "cmpq v2(%rbp), %rdx",
    "testl %eax, %eax",
    "incl %eax",
    "decq v2(%rbp)",
    "negl %eax",
    "notq %rdx",
    "movzbl %al, %esi",
    "movzbw v3(%rbp), %cx",
    "movzbq %al, %rdi",
    "movzwl %cx, %r8d",
    "movzwq v3(%rbp), %r9",
    "movsbl %al, %esi",
    "movsbw %al, %si",
    "movsbq v3(%rbp), %rdi",
    "movswl %cx, %r8d",
    "movswq %cx, %r9",
    "movslq %eax, %r10",
    "leaq v3+4(%rbp,%rdi,8), %r11",
    "leal (%rax,%rax,4), %ecx",
    "imull v1(%rbp), %eax",
    "imulq $10, %rdx, %rdi",
    "imulw $3, %cx",
    "imull %ecx",
    "mull %ecx",
    "xorl %edx, %edx",
    "divl %ecx",
    "cltd",
    "idivl v1(%rbp)",
    "shll $3, %eax",
    "sarl %cl, %eax",
    "shrq %rdi",
    "salq $2, v2(%rbp)",
    "roll $5, %eax",
    "rorl %cl, %eax",
    "cbtw",
    "cwtl",
    "cltq",
    "cwtd",
    "cqto",
    "testl %eax, %eax",
    "seta %al",
    "setnp v3(%rbp)",
    "cmovel %ecx, %eax",
    "cmovge v2(%rbp), %rdi",
    "xchgl %eax, %ecx",
    "bswapq %rdi",
    "bswap %eax",
    "nop",
    "cmpl %eax, %ecx",
    "jg .Lend",
    "jno .Lend",
    "movsd v5(%rbp), %xmm0",
    "movss v1(%rbp), %xmm1",
    "movsd %xmm0, %xmm2",
    "movaps %xmm0, %xmm3",
    "movapd %xmm0, %xmm3",
    "movdqa %xmm0, %xmm3",
    "movups v3(%rbp), %xmm4",
    "movupd %xmm4, v3(%rbp)",
    "movdqu v3+8(%rbp), %xmm4",
    "addss %xmm1, %xmm1",
    "subss v1(%rbp), %xmm1",
    "mulss %xmm1, %xmm1",
    "divss %xmm1, %xmm1",
    "minss %xmm1, %xmm1",
    "maxss %xmm1, %xmm1",
    "addsd k1(%rip), %xmm0",
    "subsd %xmm2, %xmm0",
    "mulsd %xmm2, %xmm0",
    "divsd %xmm2, %xmm0",
    "minsd %xmm2, %xmm0",
    "maxsd %xmm2, %xmm0",
    "sqrtss %xmm1, %xmm5",
    "sqrtsd v5(%rbp), %xmm6",
    "cvtss2sd %xmm1, %xmm7",
    "cvtsd2ss %xmm0, %xmm1",
    "ucomiss v1(%rbp), %xmm1",
    "jp .Lend",
    "ucomisd %xmm2, %xmm0",
    "comiss %xmm1, %xmm1",
    "comisd %xmm2, %xmm0",
    "xorps %xmm3, %xmm3",
    "xorpd %xmm3, %xmm0",
    "pxor %xmm8, %xmm8",
    "andps %xmm3, %xmm3",
    "andpd %xmm3, %xmm3",
    "pand %xmm3, %xmm3",
    "andnps %xmm3, %xmm3",
    "andnpd %xmm3, %xmm3",
    "pandn %xmm3, %xmm3",
    "orps %xmm3, %xmm3",
    "orpd %xmm3, %xmm3",
    "por %xmm3, %xmm3",
    "cvtsi2ssl v1(%rbp), %xmm9",
    "cvtsi2sdq %rdi, %xmm10",
    "cvtsi2sd %eax, %xmm10",
    "cvttss2si %xmm1, %eax",
    "cvttsd2siq v5(%rbp), %rax",
    "movd %eax, %xmm11",
    "movd %xmm11, v1(%rbp)",
    "movq %rdi, %xmm12",
    "movq %xmm12, %rdi",
    "movq %xmm12, v2(%rbp)",
    "movq v2(%rbp), %xmm13",
    "movq %xmm13, %xmm12",
    "cmpeqsd %xmm2, %xmm0",
    "cmpltss v1(%rbp), %xmm1",
    "flds v1(%rbp)",
    "fldl v5(%rbp)",
    "fldt v4(%rbp)",
    "fstps v1(%rbp)",
    "fstpl v5(%rbp)",
    "fstpt v4(%rbp)",
    "filds v3(%rbp)",
    "fildl v1(%rbp)",
    "fildll v2(%rbp)",
    "fsts v1(%rbp)",
    "fstl v5(%rbp)",
    "fists v3(%rbp)",
    "fistl v1(%rbp)",
    "fistps v3(%rbp)",
    "fistpl v1(%rbp)",
    "fistpll v2(%rbp)",
    "fildq v2(%rbp)",
    "fistpq v2(%rbp)",
    "fld1",
    "fldz",
    "fadds v1(%rbp)",
    "faddl v5(%rbp)",
    "fsubs v1(%rbp)",
    "fsubl v5(%rbp)",
    "fsubrs v1(%rbp)",
    "fsubrl v5(%rbp)",
    "fmuls v1(%rbp)",
    "fmull v5(%rbp)",
    "fdivs v1(%rbp)",
    "fdivl v5(%rbp)",
    "fdivrs v1(%rbp)",
    "fdivrl v5(%rbp)",
    "fchs",
    "fabs",
    "fsqrt",
    "fld %st(1)",
    "fxch %st(1)",
    "fxch",
    "faddp %st, %st(1)",
    "fld %st(1)",
    "fsubp %st, %st(1)",
    "fld %st(1)",
    "fsubrp %st, %st(1)",
    "fld %st(1)",
    "fmulp",
    "fld %st(1)",
    "fdivp %st, %st(2)",
    "fld %st(0)",
    "fdivrp %st, %st(1)",
    "fucomi %st(1), %st",
    "fcomi %st(1), %st",
    "fld %st(0)",
    "fucomip %st(1), %st",
    "fld %st(0)",
    "fcomip %st(1), %st",
    "fstp %st(1)",
    "fstp %st(0)",
    "fnstcw -2(%rsp)",
    "fldcw -2(%rsp)",
    "jmp .Lend",
};

enum { N_LINES = sizeof table_lines / sizeof table_lines[0] };

static void table_text(struct buf *out)
{
    static const char prefix[] =
        "movl $1, %eax\nmovl $1, %ecx\nmovq $1, %rdx\nmovq $1, %rdi\ncmpl $0, %eax\n"
        "pxor %xmm9, %xmm9\npxor %xmm10, %xmm10\n";
    buf_puts(out, prefix);
    for (int i = 0; i < N_LINES; i++)
        buf_printf(out, "%s\n", table_lines[i]);
    buf_puts(out, ".Lend:\n");
}

/** The jumps among the lines leave the x87 stack empty: they stand before its lines. */
static void test_every_instruction_passes(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 16);
    table_text(&text);
    allows(text.data);
    for (int i = 0; x86_instruction_name(i); i++) {
        bool used = false;
        for (int k = 0; k < N_LINES; k++) {
            size_t n = strlen(x86_instruction_name(i));
            used |= strncmp(table_lines[k], x86_instruction_name(i), n) == 0;
        }
        if (!used)
            fail_msg("no line with %s", x86_instruction_name(i));
    }
    buf_fini(&text);
}

static const char *place(void *context, const char *name)
{
    (void)context;
    static const char *const places[] = {"-4", "-16", "-40", "-64", "-72"};
    if (name[0] == 'v')
        return places[name[1] - '1'];
    return name[0] == 'c' ? "5" : "0";
}

static bool no_symbol(void *context, const char *name, uint64_t *address)
{
    (void)context;
    (void)name;
    *address = 0x1000;
    return true;
}

/** .text of what the system's assembler makes of text. */
static bool system_assembles(const char *text, struct buf *code)
{
    char source[] = "/tmp/lint-XXXXXX", command[300], object[64];
    int fd = mkstemp(source);
    if (fd < 0)
        return false;
    FILE *file = fdopen(fd, "w");
    fputs(text, file);
    fclose(file);
    snprintf(object, sizeof object, "%s.bin", source);
    snprintf(command, sizeof command, "as -o %s.o %s && objcopy -O binary -j .text %s.o %s", source,
             source, source, object);
    ashlar_error err;
    bool ok = system(command) == 0 && os_read_file(object, code, &err) == ASHLAR_OK;
    unlink(object);
    snprintf(object, sizeof object, "%s.o", source);
    unlink(object);
    unlink(source);
    return ok;
}

/** A program is assembled by as, but verified as LLVM assembles it: each line must be the same
 * bytes. */
static void test_both_assemblers_agree(void **state)
{
    (void)state;
    if (system("as --version > /dev/null 2>&1 && objcopy --version > /dev/null 2>&1") != 0)
        skip();
    struct assembler *a;
    ashlar_error err = {0};
    assert_int_equal(assembler_new(&a, &err), ASHLAR_OK);
    struct buf text, llvm, gnu, lines;
    buf_init(&text, 1 << 16);
    buf_init(&lines, 1 << 16);
    buf_init(&llvm, 1 << 16);
    buf_init(&gnu, 1 << 16);
    table_text(&text);
    struct fragment f;
    assert_int_equal(fragment_parse(text.data, text.length, &f, &err), ASHLAR_OK);
    assert_true(fragment_instantiate(&f, place, NULL, 1, &lines));
    int line;
    if (assemble(a, lines.data, 0x1000, no_symbol, NULL, &llvm, &line, &err) != ASHLAR_OK)
        fail_msg("line %d: %s", line, err.message);
    assert_true(system_assembles(lines.data, &gnu));
    assert_int_equal(llvm.length, gnu.length);
    assert_memory_equal(llvm.data, gnu.data, gnu.length);
    fragment_fini(&f);
    buf_fini(&text);
    buf_fini(&lines);
    buf_fini(&llvm);
    buf_fini(&gnu);
    assembler_free(a);
}

static void test_many_backward_jumps_are_done_quickly(void **state)
{
    (void)state;
    struct buf text;
    ashlar_error err;
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 1900; i++)
        buf_printf(&text, ".L%d:jmp .L%d\n", i, i ? i - 1 : 1899);
    clock_t start = clock(); /* processor time: others may have the machine */
    lint(text.data, &err);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    buf_fini(&text);
    assert_true(seconds < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_a_operands_of_the_block_inside_their_bounds),
        cmocka_unit_test(test_rule_b_registers_at_entry),
        cmocka_unit_test(test_rule_b_flags_at_entry),
        cmocka_unit_test(test_rule_b_holds_on_every_path),
        cmocka_unit_test(test_rule_c_stack_and_frame_pointer),
        cmocka_unit_test(test_rule_d_callee_saved_and_control),
        cmocka_unit_test(test_rule_d_the_x87_stack),
        cmocka_unit_test(test_rule_d_the_x87_control_word),
        cmocka_unit_test(test_rule_e_exits),
        cmocka_unit_test(test_rule_f_labels),
        cmocka_unit_test(test_rule_g_no_data),
        cmocka_unit_test(test_operand_shapes),
        cmocka_unit_test(test_immediates_that_would_be_cut),
        cmocka_unit_test(test_every_instruction_passes),
        cmocka_unit_test(test_both_assemblers_agree),
        cmocka_unit_test(test_many_backward_jumps_are_done_quickly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
