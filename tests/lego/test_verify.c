/*
 * Fragments against blocks made by hand: right ones of every kind of value are accepted, wrong ones
 * are rejected with a message that shows the values.
 */
#include "hand_block.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "lego/verify.h"

static struct verifier *verifier;

static int setup(void **state)
{
    (void)state;
    ashlar_error err = {0};
    struct verify_options options = {
        .level = VERIFY_TESTED, .vectors = 1000, .seed = 20261122, .cc = "cc"};
    if (verifier_new(&options, &verifier, &err) != ASHLAR_OK)
        fprintf(stderr, "%s\n", err.message);
    return verifier ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    verifier_free(verifier);
    return 0;
}

static void check(const char *text, const int64_t *values, int n, const char *fragment,
                  struct verdict *verdict)
{
    struct hand_block h;
    ashlar_error err = {0};
    struct block *block = hand_make(&h, text, values, n);
    if (verifier_prepare(verifier, &block, 1, &err) != ASHLAR_OK ||
        verifier_check(verifier, block, fragment, strlen(fragment), verdict, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    hand_free(&h);
}

/* Skips where a wild pointer of the reference met a sanitizer's shadow memory and did not fault. */
static void skip_if_hidden(const struct verdict *verdict)
{
#ifdef __SANITIZE_ADDRESS__
    if (strstr(verdict->message, "UNMAPPED")) {
        printf("# AddressSanitizer's shadow memory hides a fault: %s\n", verdict->message);
        skip();
    }
#endif
    (void)verdict;
}

static void accept(const char *text, const char *fragment)
{
    struct verdict verdict;
    int64_t values[] = {5, 7, 3};
    check(text, values, 3, fragment, &verdict);
    skip_if_hidden(&verdict);
    if (!verdict.accepted)
        fail_msg("rejected (%s): %s\n%s%s", verify_level_name(verdict.level), verdict.message, text,
                 fragment);
    assert_int_equal(verdict.level, VERIFY_TESTED);
    assert_true(verdict.vectors >= 1000);
}

static void reject(const char *text, const char *fragment, const char *message)
{
    struct verdict verdict;
    int64_t values[] = {5, 7, 3};
    check(text, values, 3, fragment, &verdict);
    if (verdict.accepted)
        fail_msg("accepted:\n%s%s", text, fragment);
    if (!strstr(verdict.message, message))
        fail_msg("'%s' not in message '%s'", message, verdict.message);
}

static const char add[] = "block x86-64\nint v1\nint v2\nint v3\nbegin\nv3 = v1 + v2;\nend\n";

static void test_add(void **state)
{
    (void)state;
    accept(add, "movl v1(%rbp), %eax\naddl v2(%rbp), %eax\nmovl %eax, v3(%rbp)\n");
}

static void test_wrong_operator_shows_values(void **state)
{
    (void)state;
    reject(add, "movl v1(%rbp), %eax\nsubl v2(%rbp), %eax\nmovl %eax, v3(%rbp)\n", "expected v3=");
}


static void test_wrong_width_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nchar* v1\nint v2\nbegin\nv2 = *(int *)v1;\nend\n";
    accept(text, "movq v1(%rbp), %rax\nmovl (%rax), %eax\nmovl %eax, v2(%rbp)\n");
    reject(text, "movq v1(%rbp), %rax\nmovzwl (%rax), %eax\nmovl %eax, v2(%rbp)\n", "expected v2=");
    reject(text, "movl v1(%rbp), %eax\nmovl (%rax), %eax\nmovl %eax, v2(%rbp)\n", "faults");
}

/** What an optimiser would leave out: states on which it faults are not defined ones. */
static void test_accesses_without_an_effect_count(void **state)
{
    (void)state;
    accept("block x86-64\nchar* v1\nbegin\n*(char **)v1 = *(char **)v1;\nend\n",
           "movq v1(%rbp), %rax\nmovq (%rax), %rcx\nmovq %rcx, (%rax)\n");
    accept("block x86-64\nchar* v1\nint v2\nbegin\nv2 = *(int *)v1;\nv2 = 1;\nend\n",
           "movq v1(%rbp), %rax\nmovl (%rax), %eax\nmovl %eax, v2(%rbp)\nmovl $1, v2(%rbp)\n");
}

/** A place far inside an object, and one that a number chosen at random must lead to. */
static void test_places_inside_large_objects(void **state)
{
    (void)state;
    const char *text = "block x86-64\nbytes v1[4000] align 8\nint v2\nbegin\n"
                       "v2 = (int)(*(int *)(v1 + 3000) < *(int *)(v1 + 3400));\nend\n";
    const char *right = "movl v1+3000(%rbp), %eax\ncmpl v1+3400(%rbp), %eax\nsetl %al\n"
                        "movzbl %al, %eax\nmovl %eax, v2(%rbp)\n";
    const char *wrong = "movl v1+3000(%rbp), %eax\ncmpl v1+3400(%rbp), %eax\nsetle %al\n"
                        "movzbl %al, %eax\nmovl %eax, v2(%rbp)\n";
    accept(text, right);
    reject(text, wrong, "expected v2=0, got v2=1");
}

static void test_stores_through_pointers(void **state)
{
    (void)state;
    const char *text = "block x86-64\nchar* v1\nint v2\nliteral int c1\nbegin\n"
                       "*(short *)(v1 + 6L) = (short)(v2 + c1);\nend\n";
    accept(text, "movl v2(%rbp), %eax\naddl $c1, %eax\nmovq v1(%rbp), %rcx\nmovw %ax, 6(%rcx)\n");
    reject(text, "movl v2(%rbp), %eax\naddl $c1, %eax\nmovq v1(%rbp), %rcx\nmovl %eax, 6(%rcx)\n",
           "arena");
    reject(text, "movl v2(%rbp), %eax\naddl $c1, %eax\nmovq v1(%rbp), %rcx\nmovw %ax, 4(%rcx)\n",
           "arena");
}

static void test_over_wide_load_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nfloat v1\nchar* v2\nbegin\nv1 = *(float *)v2 + v1;\nend\n";
    accept(text, "movq v2(%rbp), %rax\nmovss (%rax), %xmm0\naddss v1(%rbp), %xmm0\n"
                 "movss %xmm0, v1(%rbp)\n");
    reject(text,
           "movq v2(%rbp), %rax\nmovsd (%rax), %xmm0\naddss v1(%rbp), %xmm0\n"
           "movss %xmm0, v1(%rbp)\n",
           "faults");
}

/* Its further bytes are used by nobody: only where they are not there does it show. */
static void test_over_wide_indexed_load_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nfloat v1\nchar* v2\nint v3\nliteral long c1\nbegin\n"
                       "v1 = *(float *)(v2 + ((long)v3 * c1)) + v1;\nend\n";
    const char *right = "movslq v3(%rbp), %rcx\nmovq $c1, %rax\nimulq %rcx, %rax\n"
                        "addq v2(%rbp), %rax\nmovss (%rax), %xmm0\naddss v1(%rbp), %xmm0\n"
                        "movss %xmm0, v1(%rbp)\n";
    const char *wrong = "movslq v3(%rbp), %rcx\nmovq $c1, %rax\nimulq %rcx, %rax\n"
                        "addq v2(%rbp), %rax\nmovsd (%rax), %xmm0\naddss v1(%rbp), %xmm0\n"
                        "movss %xmm0, v1(%rbp)\n";
    accept(text, right);
    reject(text, wrong, "faults");
}

static void test_over_wide_load_through_a_loaded_pointer_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nint v1\nchar* v2\nlong v3\nexit x1\nbegin\n"
                       "if (v1 < 3) goto x1;\n"
                       "v1 = (int)*(short *)(*(char **)(v2 + 16) + (v3 * 6L));\nend\n";
#define HEAD "cmpl $3, v1(%rbp)\njl x1\nmovq v2(%rbp), %rax\nmovq 16(%rax), %rcx\n" \
             "imulq $6, v3(%rbp), %rdx\n"
    accept(text, HEAD "movswl (%rcx,%rdx), %eax\nmovl %eax, v1(%rbp)\n");
    reject(text, HEAD "movl (%rcx,%rdx), %eax\nmovswl %ax, %eax\nmovl %eax, v1(%rbp)\n",
           "faults");
    reject(text, HEAD "movl -2(%rcx,%rdx), %eax\nsarl $16, %eax\nmovl %eax, v1(%rbp)\n",
           "faults");
#undef HEAD
}

/* The counter starts at 5 here, and no loop of a test makes 65,536 rounds: other literals tell. */
static void test_half_a_counter_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nint v1\nint v2\nint v3\nchar* v4\nliteral int c1\n"
                       "literal long c2\nliteral int c3\nexit x1\nbegin\nv1 = c1;\nL1:;\n"
                       "if (v1 >= v2) goto x1;\n"
                       "v3 = v3 ^ *(int *)(v4 + ((long)v1 * c2));\nv1 = v1 + c3;\ngoto L1;\nend\n";
#define TAIL "cmpl v2(%rbp), %eax\njge x1\nmovslq v1(%rbp), %rax\nimulq $c2, %rax\n" \
             "addq v4(%rbp), %rax\nmovl (%rax), %eax\nxorl %eax, v3(%rbp)\naddl $c3, v1(%rbp)\n" \
             "jmp .L1\n"
    accept(text, "movl $c1, v1(%rbp)\n.L1:\nmovl v1(%rbp), %eax\n" TAIL);
    reject(text, "movl $c1, v1(%rbp)\n.L1:\nmovzwl v1(%rbp), %eax\n" TAIL, "with c");
#undef TAIL
}

/* Objects of real programs lie across a multiple of 4 GiB, if seldom. */
static void test_a_pointer_that_moves_by_its_lower_half_is_found(void **state)
{
    (void)state;
    const char *text = "block x86-64\nchar* v1\nliteral long c1\nexit x1\nbegin\nL1:;\n"
                       "if ((int)*(signed char *)v1 == 0) goto x1;\nv1 = v1 + c1;\ngoto L1;\nend\n";
    const char *head = ".L1:\nmovq v1(%rbp), %rax\ncmpb $0, (%rax)\nje x1\naddq $c1, %rax\n";
    char fragment[256];
    snprintf(fragment, sizeof fragment, "%smovq %%rax, v1(%%rbp)\njmp .L1\n", head);
    accept(text, fragment);
    snprintf(fragment, sizeof fragment, "%smovl %%eax, v1(%%rbp)\njmp .L1\n", head);
    reject(text, fragment, "state");
}

static void test_over_wide_store_to_an_indexed_slot_is_found(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* terabytes of shadow memory: a wild index of the reference does not always fault */
#endif
    const char *text = "block x86-64\nbytes v1[12] align 4\nint v2\nlong v3\nbegin\n"
                       "*(int *)(v1 + v3 * 4L) = v2;\nend\n";
    accept(text, "movq v3(%rbp), %rax\nmovl v2(%rbp), %ecx\nmovl %ecx, v1(%rbp,%rax,4)\n");
    reject(text, "movq v3(%rbp), %rax\nmovslq v2(%rbp), %rcx\nmovq %rcx, v1(%rbp,%rax,4)\n",
           "expected");
}

static void test_branches_and_exits(void **state)
{
    (void)state;
    const char *text = "block x86-64\nint v1\nliteral int c1\nexit x1\nexit x2\nbegin\n"
                       "if (v1 < c1) goto x1;\nif (v1 == 77) goto x2;\nv1 = -v1;\nend\n";
    accept(text, "cmpl $c1, v1(%rbp)\njl x1\ncmpl $77, v1(%rbp)\nje x2\nnegl v1(%rbp)\n");
    reject(text, "cmpl $c1, v1(%rbp)\njle x1\ncmpl $77, v1(%rbp)\nje x2\nnegl v1(%rbp)\n", "x1");
    reject(text, "cmpl $c1, v1(%rbp)\njb x1\ncmpl $77, v1(%rbp)\nje x2\nnegl v1(%rbp)\n", "x1");
    reject(text, "cmpl $c1, v1(%rbp)\njl x1\ncmpl $77, v1(%rbp)\nje x1\nnegl v1(%rbp)\n", "x2");
}

static void test_a_block_without_a_fall_through(void **state)
{
    (void)state;
    const char *text =
        "block x86-64\nint v1\nexit x1\nexit x2\nbegin\nif (v1) goto x1;\ngoto x2;\nend\n";
    accept(text, "cmpl $0, v1(%rbp)\njne x1\njmp x2\n");
    reject(text, "cmpl $0, v1(%rbp)\njne x1\n", "rule e");
}

static const char loop[] = "block x86-64\nlong v1\nint v2\nchar* v3\nint v4\nbegin\n"
                           "v1 = 0L;\nv2 = 0;\nL1:;\nif (v1 >= (long)v4) goto L2;\n"
                           "v2 = (int)((unsigned int)v2 + (unsigned int)*(int *)(v3 + v1 * 4L));\n"
                           "v1 = v1 + 1L;\ngoto L1;\nL2:;\nend\n";

static void test_loops(void **state)
{
    (void)state;
    accept(
        loop,
        "movq $0, v1(%rbp)\nmovl $0, v2(%rbp)\n.L1:\nmovslq v4(%rbp), %rax\ncmpq %rax, "
        "v1(%rbp)\njge .L2\n"
        "movq v3(%rbp), %rcx\nmovq v1(%rbp), %rdx\nmovl (%rcx,%rdx,4), %eax\naddl %eax, v2(%rbp)\n"
        "addq $1, v1(%rbp)\njmp .L1\n.L2:\n");
}

static void test_a_loop_that_does_not_end_is_found(void **state)
{
    (void)state;
    reject(loop,
           "movq $0, v1(%rbp)\nmovl $0, v2(%rbp)\n.L1:\nmovslq v4(%rbp), %rax\ncmpq %rax, "
           "v1(%rbp)\njge .L2\n"
           "jmp .L1\n.L2:\n",
           "does not end");
}

static void test_integer_conversions(void **state)
{
    (void)state;
    accept("block x86-64\nsigned char v1\nunsigned short v2\nunsigned int v3\nunsigned long "
           "v4\nlong v5\nbegin\n"
           "v4 = (unsigned long)v1;\nv5 = (long)v3;\nv2 = (unsigned short)v1;\nend\n",
           "movsbq v1(%rbp), %rax\nmovq %rax, v4(%rbp)\nmovl v3(%rbp), %eax\nmovq %rax, v5(%rbp)\n"
           "movsbl v1(%rbp), %eax\nmovw %ax, v2(%rbp)\n");
    reject("block x86-64\nsigned char v1\nunsigned long v2\nbegin\nv2 = (unsigned long)v1;\nend\n",
           "movzbl v1(%rbp), %eax\nmovq %rax, v2(%rbp)\n", "expected v2=");
    reject("block x86-64\nunsigned int v1\nlong v2\nbegin\nv2 = (long)v1;\nend\n",
           "movslq v1(%rbp), %rax\nmovq %rax, v2(%rbp)\n", "expected v2=");
}

static void test_division_and_shifts(void **state)
{
    (void)state;
    const char *division = "block x86-64\nint v1\nint v2\nint v3\nbegin\nv1 = v2 / v3;\nend\n";
    accept(division, "movl v2(%rbp), %eax\ncltd\nidivl v3(%rbp)\nmovl %eax, v1(%rbp)\n");
    reject(division, "movl v2(%rbp), %eax\nmovl $0, %edx\nidivl v3(%rbp)\nmovl %eax, v1(%rbp)\n",
           "state");
    const char *shift = "block x86-64\nlong v1\nint v2\nbegin\nv1 = v1 >> v2;\nend\n";
    accept(shift, "movl v2(%rbp), %ecx\nsarq %cl, v1(%rbp)\n");
    reject(shift, "movl v2(%rbp), %ecx\nshrq %cl, v1(%rbp)\n", "expected v1=");
}

static void test_floats(void **state)
{
    (void)state;
    const char *text = "block x86-64\ndouble v1\nfloat v2\nint v3\nconst double k1\nbegin\n"
                       "v1 = (double)v2 * k1 + (double)v3;\nend\n";
    accept(text, "pxor %xmm0, %xmm0\ncvtss2sd v2(%rbp), %xmm0\nmulsd k1(%rip), %xmm0\n"
                 "pxor %xmm1, %xmm1\ncvtsi2sdl v3(%rbp), %xmm1\naddsd %xmm1, %xmm0\nmovsd %xmm0, "
                 "v1(%rbp)\n");
    reject(
        text,
        "pxor %xmm0, %xmm0\ncvtss2sd v2(%rbp), %xmm0\nmulsd k1(%rip), %xmm0\n"
        "pxor %xmm1, %xmm1\ncvtsi2sdl v3(%rbp), %xmm1\nsubsd %xmm1, %xmm0\nmovsd %xmm0, v1(%rbp)\n",
        "expected v1=");
}

static void test_float_comparison_with_nan(void **state)
{
    (void)state;
    const char *text = "block x86-64\ndouble v1\ndouble v2\nint v3\nbegin\nv3 = v1 == v2;\nend\n";
    accept(text,
           "movsd v1(%rbp), %xmm0\nucomisd v2(%rbp), %xmm0\nsetnp %al\nmovl $0, %edx\n"
           "ucomisd v2(%rbp), %xmm0\nmovzbl %al, %eax\ncmovne %edx, %eax\nmovl %eax, v3(%rbp)\n");
    reject(text, "movsd v1(%rbp), %xmm0\nucomisd v2(%rbp), %xmm0\nsete %al\nmovzbl %al, %eax\n"
                 "movl %eax, v3(%rbp)\n", "nan");
}

/* C does not say which NaN: also at the border of memory, where the arena is not. */
static void test_nans_behind_pointers_may_differ(void **state)
{
    (void)state;
    const char *text = "block x86-64\nchar* v1\nlong v2\nfloat v3\nbegin\n"
                       "*(float *)(v1 + (v2 * 4L)) = -((v3 - v3) / (v3 - v3));\nend\n";
    accept(text, "movss v3(%rbp), %xmm0\nsubss %xmm0, %xmm0\ndivss %xmm0, %xmm0\n"
                 "movq v1(%rbp), %rax\nmovq v2(%rbp), %rcx\nmovss %xmm0, (%rax,%rcx,4)\n");
}

static void test_float_to_integer(void **state)
{
    (void)state;
    const char *text = "block x86-64\ndouble v1\nint v2\nbegin\nv2 = (int)v1;\nend\n";
    accept(text, "cvttsd2si v1(%rbp), %eax\nmovl %eax, v2(%rbp)\n");
    reject(text,
           "movsd v1(%rbp), %xmm0\ncvtsd2ss %xmm0, %xmm0\ncvttss2si %xmm0, %eax\nmovl %eax, "
           "v2(%rbp)\n",
           "expected v2=");
}

static void test_long_double(void **state)
{
    (void)state;
    const char *sum = "block x86-64\nlong double v1\nlong double v2\ndouble v3\nbegin\n"
                      "v1 = v2 + (long double)v3;\nend\n";
    accept(sum, "fldt v2(%rbp)\nfldl v3(%rbp)\nfaddp %st, %st(1)\nfstpt v1(%rbp)\n");
    reject(sum, "fldt v2(%rbp)\nfldl v3(%rbp)\nfaddp %st, %st(1)\nfstpl v1(%rbp)\n",
           "expected v1=");
    const char *minus = "block x86-64\nlong double v1\nlong double v2\nbegin\nv1 = v1 - v2;\nend\n";
    accept(minus, "fldt v1(%rbp)\nfldt v2(%rbp)\nfsubrp %st, %st(1)\nfstpt v1(%rbp)\n");
    reject(minus, "fldt v1(%rbp)\nfldt v2(%rbp)\nfsubp %st, %st(1)\nfstpt v1(%rbp)\n",
           "expected v1=");
}

static void test_long_double_to_integer_restores_the_control_word(void **state)
{
    (void)state;
    const char *text = "block x86-64\nlong double v1\nint v2\nbegin\nv2 = (int)v1;\nend\n";
    accept(
        text,
        "fldt v1(%rbp)\nfnstcw -2(%rsp)\nmovzwl -2(%rsp), %eax\norb $12, %ah\nmovw %ax, -4(%rsp)\n"
        "fldcw -4(%rsp)\nfistpl -8(%rsp)\nfldcw -2(%rsp)\nmovl -8(%rsp), %eax\nmovl %eax, "
        "v2(%rbp)\n");
    reject(
        text,
        "fldt v1(%rbp)\nfnstcw -2(%rsp)\nmovzwl -2(%rsp), %eax\norb $12, %ah\nmovw %ax, -4(%rsp)\n"
        "fldcw -4(%rsp)\nfistpl -8(%rsp)\nmovl -8(%rsp), %eax\nmovl %eax, v2(%rbp)\n",
        "control word");
    reject(text, "fldt v1(%rbp)\nfistpl -8(%rsp)\nmovl -8(%rsp), %eax\nmovl %eax, v2(%rbp)\n",
           "expected v2=");
}

static void test_statics_functions_and_addresses(void **state)
{
    (void)state;
    const char *text =
        "block x86-64\nchar* v1\nint v2\nstatic int g1\nstatic bytes g2[40] align 8\nfunction f1\n"
        "begin\nv1 = (char *)f1;\ng1 = g1 + v2;\n*(char **)(g2 + 8) = (char *)&v2;\nend\n";
    accept(text,
           "leaq f1(%rip), %rax\nmovq %rax, v1(%rbp)\nmovl v2(%rbp), %eax\naddl %eax, g1(%rip)\n"
           "leaq v2(%rbp), %rax\nmovq %rax, g2+8(%rip)\n");
    reject(text,
           "leaq f1(%rip), %rax\nmovq %rax, v1(%rbp)\nmovl v2(%rbp), %eax\naddl %eax, g1(%rip)\n"
           "leaq v2(%rbp), %rax\nmovq %rax, g2+16(%rip)\n",
           "expected bytes at g2+");
}

static void test_lists(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* as above: a wild pointer of the reference may read shadow memory */
#endif
    const char *text =
        "block x86-64\nchar* v1\nint v2\nbegin\nv2 = 0;\nL1:;\nif (v1 == (char *)0L) goto L2;\n"
        "v2 = v2 + 1;\nv1 = *(char **)(v1 + 8L);\ngoto L1;\nL2:;\nend\n";
    accept(text, "movl $0, v2(%rbp)\n.L1: cmpq $0, v1(%rbp)\nje .L2\naddl $1, v2(%rbp)\n"
                 "movq v1(%rbp), %rax\nmovq 8(%rax), %rax\nmovq %rax, v1(%rbp)\njmp .L1\n.L2:\n");
    reject(text,
           "movl $0, v2(%rbp)\n.L1: cmpq $0, v1(%rbp)\nje .L2\naddl $1, v2(%rbp)\n"
           "movq v1(%rbp), %rax\nmovq (%rax), %rax\nmovq %rax, v1(%rbp)\njmp .L1\n.L2:\n",
           "state");
}

static void test_rare_constants_are_tried(void **state)
{
    (void)state;
    const char *text = "block x86-64\nlong v1\nint v2\nexit x1\nbegin\n"
                       "if (v1 == 81985529216486895L) goto x1;\nv2 = 1;\nend\n";
    accept(text,
           "movabsq $81985529216486895, %rax\ncmpq %rax, v1(%rbp)\nje x1\nmovl $1, v2(%rbp)\n");
    reject(text, "movl $1, v2(%rbp)\n", "x1");
}

static void test_no_defined_state_is_not_accepted(void **state)
{
    (void)state;
    reject("block x86-64\nint v1\nbegin\nv1 = v1 / 0;\nend\n", "movl $0, v1(%rbp)\n",
           "no defined entry state found");
}

static void test_a_missing_store_is_found(void **state)
{
    (void)state;
    reject(add, "movl v1(%rbp), %eax\naddl v2(%rbp), %eax\n", "expected v3=");
}

static void test_assembler_messages_name_the_line(void **state)
{
    (void)state;
    reject(add, "# a comment\nmovl v1(%rbp), %eax\nmovb %ah, v1(%rbp,%r8)\n", "line 3");
}

/** The children of this process, from the kernel's list; 0: it keeps none. */
static int list_children(pid_t *out, int room)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    while (file && n < room && fscanf(file, "%d", &out[n]) == 1)
        n++;
    if (file)
        fclose(file);
    return n;
}

static void test_a_dead_child_is_replaced(void **state)
{
    (void)state;
    pid_t children[4];
    test_add(state);
    int n = list_children(children, 4);
    if (n == 0)
        skip();
    assert_int_equal(n, 1);
    kill(children[0], SIGKILL);
    int64_t value = 12345;
    struct verdict verdict;
    struct hand_block h; /* prepared before: no new library, so the dead child is asked */
    struct block *block = hand_make(&h, loop, &value, 1);
    ashlar_error err = {0};
    const char *wrong = "movq $0, v1(%rbp)\n";
    assert_int_equal(verifier_check(verifier, block, wrong, strlen(wrong), &verdict, &err),
                     ASHLAR_OK);
    assert_false(verdict.accepted);
    assert_non_null(strstr(verdict.message, "state"));
    hand_free(&h);
}

static void test_branch_outcomes_are_counted(void **state)
{
    (void)state;
    struct verdict verdict;
    int64_t value = 1234567;
    const char *text = "block x86-64\nint v1\nint v2\nliteral int c1\nexit x1\nbegin\n"
                       "if (v1 != c1) goto x1;\nif (v2 == v1 - 1) goto x1;\nv1 = 0;\nend\n";
    check(text, &value, 1,
          "cmpl $c1, v1(%rbp)\njne x1\nmovl v2(%rbp), %eax\nsubl $1, v1(%rbp)\n"
          "cmpl v1(%rbp), %eax\nje x1\nmovl $0, v1(%rbp)\n",
          &verdict);
    assert_false(verdict.accepted); /* wrong behind two rare conditions only */
    assert_int_equal(verdict.outcomes, 4);
    assert_true(verdict.outcomes_seen >= 3);
}

static void test_an_unprepared_block_is_an_error(void **state)
{
    (void)state;
    struct hand_block h;
    struct verdict verdict;
    ashlar_error err = {0};
    struct block *block = hand_make(&h, "block x86-64\nlong v1\nbegin\nv1 = 3L;\nend\n", NULL, 0);
    assert_int_equal(verifier_check(verifier, block, "nop\n", 4, &verdict, &err), ASHLAR_FAILED);
    hand_free(&h);
}

static void test_large_objects(void **state)
{
    (void)state;
    struct verdict verdict;
    check(
        "block x86-64\nint v1\nlong v2\nstatic bytes g1[400000] align 32\nbegin\n"
        "v1 = *(int *)(g1 + v2 * 4L);\nend\n",
        NULL, 0,
        "leaq g1(%rip), %rcx\nmovq v2(%rbp), %rax\nmovl (%rcx,%rax,4), %eax\nmovl %eax, v1(%rbp)\n",
        &verdict);
    assert_true(verdict.accepted);
    assert_true(verdict.vectors >= 100);
}

/** A member behind more than the arena: pointers are solved for it. */
static void test_members_far_behind_a_pointer(void **state)
{
    (void)state;
    static const char text[] = "block x86-64\nchar* v1\nliteral long c1\nliteral int c2\nbegin\n"
                               "*(int *)(v1 + c1) = c2;\nend\n";
    static const int64_t values[] = {64036, 15};
    struct verdict verdict;
    check(text, values, 2, "movq v1(%rbp), %rax\naddq $c1, %rax\nmovl $c2, (%rax)\n", &verdict);
    skip_if_hidden(&verdict);
    assert_true(verdict.accepted);
    assert_in_range(verdict.vectors, 200, 5000);
    check(text, values, 2, "movq v1(%rbp), %rax\naddq $c1, %rax\nmovw $c2, (%rax)\n", &verdict);
    assert_false(verdict.accepted);
}

static void test_a_thousand_vectors_are_fast(void **state)
{
    (void)state;
    struct verdict verdict;
    clock_t start = clock(); /* not wall time: machines may be busy */
    enum { N = 20 };
    for (int i = 0; i < N; i++) {
        int64_t value = i; /* other literals: other states */
        check("block x86-64\nint v1\nint v2\nliteral int c1\nbegin\nv1 = v2 + c1;\nend\n", &value,
              1, "movl v2(%rbp), %eax\naddl $c1, %eax\nmovl %eax, v1(%rbp)\n", &verdict);
        assert_true(verdict.accepted);
    }
    double each = (double)(clock() - start) / CLOCKS_PER_SEC / N;
    printf("# 1000 vectors of a block: %.1f ms of processor time\n", each * 1e3);
    assert_true(each < 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_wrong_operator_shows_values),
        cmocka_unit_test(test_wrong_width_is_found),
        cmocka_unit_test(test_accesses_without_an_effect_count),
        cmocka_unit_test(test_places_inside_large_objects),
        cmocka_unit_test(test_stores_through_pointers),
        cmocka_unit_test(test_over_wide_load_is_found),
        cmocka_unit_test(test_over_wide_indexed_load_is_found),
        cmocka_unit_test(test_over_wide_load_through_a_loaded_pointer_is_found),
        cmocka_unit_test(test_half_a_counter_is_found),
        cmocka_unit_test(test_a_pointer_that_moves_by_its_lower_half_is_found),
        cmocka_unit_test(test_over_wide_store_to_an_indexed_slot_is_found),
        cmocka_unit_test(test_branches_and_exits),
        cmocka_unit_test(test_a_block_without_a_fall_through),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_a_loop_that_does_not_end_is_found),
        cmocka_unit_test(test_integer_conversions),
        cmocka_unit_test(test_division_and_shifts),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_float_comparison_with_nan),
        cmocka_unit_test(test_nans_behind_pointers_may_differ),
        cmocka_unit_test(test_float_to_integer),
        cmocka_unit_test(test_long_double),
        cmocka_unit_test(test_long_double_to_integer_restores_the_control_word),
        cmocka_unit_test(test_statics_functions_and_addresses),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_rare_constants_are_tried),
        cmocka_unit_test(test_no_defined_state_is_not_accepted),
        cmocka_unit_test(test_a_missing_store_is_found),
        cmocka_unit_test(test_assembler_messages_name_the_line),
        cmocka_unit_test(test_a_dead_child_is_replaced),
        cmocka_unit_test(test_branch_outcomes_are_counted),
        cmocka_unit_test(test_an_unprepared_block_is_an_error),
        cmocka_unit_test(test_large_objects),
        cmocka_unit_test(test_members_far_behind_a_pointer),
        cmocka_unit_test(test_a_thousand_vectors_are_fast),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
