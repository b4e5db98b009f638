/*
 * test_model_text.c: the block model's language: the question for a block, a fragment there and
 * back, and answers that are none.
 */
#include "lowered.h"

#include "base/rng.h"
#include "lego/block.h"
#include "lego/model_text.h"

enum { TEXT_MAX = 1 << 16 };

static const char source[] =
    "struct s { int pad; long m; }; extern long table[4]; double d;\n"
    "int f(int a, struct s *p, unsigned char *q, int i) {\n"
    "    if (a >= 7) p->m = 0x123456789abcdef0L + table[2];\n"
    "    q[i] = (unsigned char)(q[i] + 3); d = d * 2.5 - a;\n"
    "    return a;\n"
    "}\n";

/* What a translator may answer to any block: every operand shape of the language. */
static const char fragment[] = "\tmovl\t$c1, %eax\n"
                               "\tcmpl\t%eax, v1(%rbp)\n"
                               "\tjge\t.L1\n"
                               "\tmovabsq\t$1311768467463790320, %r11\n"
                               "\tmovabsq\t$-9223372036854775808, %rax\n"
                               "\tmovq\t8(%rcx), %r8\n"
                               "\tmovq\t-8(%rcx,%rdx,4), %rax\n"
                               "\tleaq\tg1+16(%rip), %rdx\n"
                               "\tmovsd\tk1(%rip), %xmm11\n"
                               "\tcvtsi2sdl\t%eax, %xmm0\n"
                               "\taddb\t$-3, v2+4(%rbp)\n"
                               ".L1:\n"
                               "\tfaddp\t%st, %st(1)\n"
                               "\tjmp\tx1\n";

struct fixture {
    char *text;
    struct ir_unit *ir;
    struct block *block;
    jmp_buf bail;
    ashlar_error error;
    struct buf question, answer, back;
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct cut cut;
    assert_non_null(f);
    f->text = lowered_preprocess(source, "");
    f->ir = lowered_unit(f->text);
    struct heap *h = &f->ir->unit->heap;
    h->bail = &f->bail;
    h->error = &f->error;
    if (setjmp(f->bail))
        return 1;
    block_cut(h, &f->ir->functions[0], GRANULARITY_FUNCTION, &cut);
    for (int i = 0; i < cut.n && !f->block; i++) {
        if (cut.pieces[i].kind == PIECE_BLOCK)
            f->block = cut.pieces[i].block;
    }
    buf_init(&f->question, TEXT_MAX);
    buf_init(&f->answer, TEXT_MAX);
    buf_init(&f->back, TEXT_MAX);
    *state = f;
    return f->block ? 0 : 1;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    buf_fini(&f->question);
    buf_fini(&f->answer);
    buf_fini(&f->back);
    unit_free(f->ir->unit);
    free(f->text);
    free(f);
    return 0;
}

/* A question has types before its operands, and numbers of the block by name. */
static void test_question(void **state)
{
    struct fixture *f = *state;
    assert_true(model_text_question(f->block, &f->question));
    assert_non_null(strstr(f->question.data, "int@a int$a"));
    assert_non_null(strstr(f->question.data, "long~a"));
    assert_non_null(strstr(f->question.data, "Load long Addr&a`b"));
    assert_string_equal(f->question.data + f->question.length - 5, " Asm\n");
    for (size_t i = 0; i < f->question.length; i++) /* a sign, then letters: digits would be several tokens */
        assert_false(f->question.data[i] >= '0' && f->question.data[i] <= '9');
}

static void test_there_and_back(void **state)
{
    struct fixture *f = *state;
    assert_true(model_text_answer(f->block, fragment, &f->answer));
    assert_true(model_text_fragment(f->block, f->answer.data, f->answer.length, &f->back));
    assert_string_equal(f->back.data, fragment);
}

static void test_what_is_no_answer(void **state)
{
    static const char *const texts[] = {"movl", " movl 5", " movl@", " movl%eax,", "\x80", " movl~z",
                                        " mov%eax\n&a\n", " movl idx%rax%rcx", " movl+zz", " movl mem+a"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        buf_clear(&f->back);
        if (model_text_fragment(f->block, texts[i], strlen(texts[i]), &f->back))
            fail_msg("taken: %s -> %s", texts[i], f->back.data);
    }
}

/* Any bytes: an answer or none, and no access out of range (the sanitizers look). */
static void test_any_bytes(void **state)
{
    static const char letters[] = " %@&#!$~`>^+-:;abcdefghijklmnop\nmovladdqmemidx";
    struct fixture *f = *state;
    struct rng rng;
    char text[64];
    rng_seed(&rng, 5);
    for (int i = 0; i < 20000; i++) {
        size_t n = rng_below(&rng, sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = rng_below(&rng, 20) ? letters[rng_below(&rng, sizeof letters - 1)]
                                          : (char)rng_below(&rng, 256);
        buf_clear(&f->back);
        model_text_fragment(f->block, text, n, &f->back);
        assert_false(f->back.failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_question, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_there_and_back, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_what_is_no_answer, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_any_bytes, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
