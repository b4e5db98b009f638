/*
 * test_teacher.c: the teacher's fragments are accepted by the verifier, and those with planted
 * mistakes are not. Blocks of every construct are written out here; the teacher is run as the
 * program that it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/os.h"
#include "lego/block_text.h"
#include "lego/json_line.h"
#include "lego/verify.h"

enum { MAX_BLOCKS = 128, VECTORS = 200 };

#define BLOCK(head, body) "block x86-64\n" head "begin\n" body "end\n"

/* Literals are 3 in these tests: a shift count, a divisor and an offset at once. */
static const char *const texts[] = {
    BLOCK("int v1\nint v2\nint v3\n", "v1 = v2 + v3;\n"),
    BLOCK("int v1\nint v2\nliteral int c1\n", "v1 = v2 * c1;\n"),
    BLOCK("int v1\nint v2\nliteral int c1\n", "v1 = v2 / c1;\n"),
    BLOCK("unsigned int v1\nunsigned int v2\nunsigned int v3\n", "v1 = v2 % v3;\n"),
    BLOCK("long v1\nlong v2\nlong v3\n", "v1 = v2 / v3;\n"),
    BLOCK("long v1\nint v2\nliteral long c1\n", "v1 = ((long)v2 - c1) ^ v1;\n"),
    BLOCK("int v1\nint v2\nliteral int c1\n", "v1 = v2 >> c1;\n"),
    BLOCK("unsigned long v1\nint v2\n", "v1 = v1 << v2;\n"),
    BLOCK("unsigned long v1\nliteral int c1\n", "v1 = v1 >> c1;\n"),
    BLOCK("signed char v1\nint v2\n", "v1 = (signed char)v2;\n"),
    BLOCK("int v1\nunsigned char v2\nshort v3\n", "v1 = (int)v2 - (int)v3;\n"),
    BLOCK("unsigned short v1\nliteral unsigned short c1\n", "v1 = c1;\n"),
    BLOCK("unsigned char v1\nliteral unsigned char c1\n", "v1 = c1;\n"),
    BLOCK("int v1\nint v2\n", "v1 = !v2;\n"),
    BLOCK("unsigned int v1\n", "v1 = ~v1;\n"),
    BLOCK("long v1\nlong v2\n", "v1 = -v2;\n"),
    BLOCK("long v1\n", "v1 = 5000000000L;\n"),
    BLOCK("double v1\ndouble v2\nconst double k1\n", "v1 = (v2 + k1) * v1;\n"),
    BLOCK("float v1\nfloat v2\n", "v1 = -v1 / v2;\n"),
    BLOCK("double v1\nfloat v2\n", "v1 = (double)v2;\n"),
    BLOCK("int v1\ndouble v2\n", "v1 = (int)v2;\n"),
    BLOCK("double v1\nunsigned long v2\n", "v1 = (double)v2;\n"),
    BLOCK("unsigned long v1\ndouble v2\n", "v1 = (unsigned long)v2;\n"),
    BLOCK("float v1\nunsigned int v2\n", "v1 = (float)v2;\n"),
    BLOCK("int v1\ndouble v2\ndouble v3\n", "v1 = v2 == v3;\n"),
    BLOCK("int v1\nfloat v2\nfloat v3\n", "v1 = v2 <= v3;\n"),
    BLOCK("long double v1\nlong double v2\ndouble v3\n", "v1 = v2 * (long double)v3;\n"),
    BLOCK("long double v1\n", "v1 = v1 + v1;\n"),
    BLOCK("int v1\nlong double v2\n", "v1 = (int)v2;\n"),
    BLOCK("unsigned long v1\nlong double v2\n", "v1 = (unsigned long)v2;\n"),
    BLOCK("long double v1\nliteral long c1\n", "v1 = (long double)c1;\n"),
    BLOCK("int v1\nchar* v2\n", "v1 = *(int *)(v2 + 8L);\n"),
    BLOCK("int v1\nchar* v2\nlong v3\nliteral long c1\n", "v1 = *(int *)(v2 + (v3 * c1));\n"),
    BLOCK("char* v1\nint v2\n", "*(short *)v1 = (short)v2;\n"),
    BLOCK("char* v1\nchar* v2\n", "v1 = *(char **)v2;\n"),
    BLOCK("bytes v1[24] align 8\ndouble v2\n", "*(double *)(v1 + 8) = v2;\n"),
    BLOCK("char* v1\nbytes v2[24] align 8\n", "v1 = v2 + 16;\n"),
    BLOCK("char* v1\nint v2\n", "v1 = (char *)&v2;\n"),
    BLOCK("int v1\nstatic bytes g1[40] align 4\n", "*(int *)(g1 + ((long)v1 * 4L)) = v1;\n"),
    BLOCK("static int g1\nliteral int c1\n", "g1 = g1 + c1;\n"),
    BLOCK("char* v1\nfunction f1\n", "v1 = (char *)f1;\n"),
    BLOCK("char* v1\nstatic bytes g1[0] align 1\n", "v1 = g1;\n"),
    BLOCK("int v1\nliteral int c1\nexit x1\n", "if (v1 < c1) goto x1;\n"),
    BLOCK("unsigned long v1\nunsigned long v2\nexit x1\n", "if (v1 >= v2) goto x1;\n"),
    BLOCK("double v1\ndouble v2\nexit x1\n", "if (v1 < v2) goto x1;\n"),
    BLOCK("double v1\ndouble v2\nexit x1\n", "if (v1 != v2) goto x1;\n"),
    BLOCK("int v1\nint v2\nchar* v3\nexit x1\n",
          "if (v1 == 0 && (v2 != 0 || v3 == (char *)0L)) goto x1;\n"),
    BLOCK("int v1\nint v2\nint v3\nliteral int c1\n", "v1 = (v2 > c1) ? v3 : -v3;\n"),
    BLOCK("double v1\nint v2\ndouble v3\n", "v1 = v2 ? v3 : (double)v2;\n"),
    BLOCK("int v1\nint v2\nliteral int c1\nliteral int c2\nliteral int c3\nexit x1\n",
          "if (v1 >= c1) goto L1;\nv2 = v2 + c2;\nif (v2 == v1) goto x1;\nL1:;\nv1 = v1 - c3;\n"),
    BLOCK("int v1\nint v2\nliteral int c1\nliteral int c2\nexit x1\n",
          "L1:;\nif (v1 >= c1) goto x1;\nv2 = v2 ^ v1;\nv1 = v1 + c2;\ngoto L1;\n"),
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

/** Everything one run of the teacher gave, ready for the verifier. */
struct class {
    struct block_text parsed[MAX_BLOCKS];
    struct block blocks[MAX_BLOCKS];
    struct block *pointers[MAX_BLOCKS];
    char *fragments[MAX_BLOCKS];
    int n;
};

static ashlar_status take_line(void *context, json_t *object, int line, ashlar_error *err)
{
    struct class *c = context;
    size_t length, used;
    const char *text = json_line_get(object, "block", &length);
    const char *fragment = json_line_get(object, "fragment", NULL);
    (void)line;
    assert_true(c->n < MAX_BLOCKS);
    assert_non_null(text);
    assert_non_null(fragment);
    struct block_text *parsed = &c->parsed[c->n];
    ashlar_status status = block_text_parse(strdup(text), length, parsed, &used, err);
    assert_int_equal(status, ASHLAR_OK);
    assert_string_equal(json_line_get(object, "key", NULL), parsed->key);
    block_text_block(parsed, &c->blocks[c->n]);
    for (int i = 0; i < parsed->n_operands; i++)
        if (parsed->operands[i].kind == OPERAND_LITERAL)
            parsed->operands[i].value = 3;
    c->pointers[c->n] = &c->blocks[c->n];
    c->fragments[c->n++] = strdup(fragment);
    return status;
}

static const char *teacher(void)
{
    static char path[4096];
    const char *build = getenv("ASHLAR_BUILD");
    snprintf(path, sizeof path, "%s/tools/teacher", build ? build : "build");
    if (access(path, X_OK) != 0 || system("cc --version > /dev/null 2>&1") != 0)
        skip(); /* not built, or no host compiler */
    return path;
}

/**
 * Whether any mistake in the block's code can be seen: floating conversions hold instructions that
 * matter in no state (the two ways to convert an unsigned number agree, say), and a shift count or
 * a narrowing looks at the low bits only. Several paths need states that few tests of equality
 * pass.
 */
static bool shows_mistakes(const char *text)
{
    static const char *const hiding[] = {"float", "double", "<<", ">>", "(short)", "(signed char)",
                                         "&&", "L1"};
    for (size_t i = 0; i < sizeof hiding / sizeof *hiding; i++)
        if (strstr(text, hiding[i]))
            return false;
    return true;
}

/** Runs the teacher with options on the texts, all or only the plain ones; how many it was asked
 * for. */
static int run_teacher(struct class *c, const char *options, bool plain)
{
    int asked = 0;
    char blocks[] = "/tmp/test_teacher.XXXXXX", command[5000];
    const char *program = teacher();
    int fd = mkstemp(blocks);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    for (int i = 0; i < N_TEXTS; i++) {
        if (plain && !shows_mistakes(texts[i]))
            continue;
        fputs(texts[i], f);
        asked++;
    }
    fclose(f);
    snprintf(command, sizeof command, "%s %s %s 2> /dev/null", program, options, blocks);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    struct buf out;
    buf_init(&out, 1 << 24);
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, pipe)) > 0;)
        buf_append(&out, piece, n);
    assert_int_equal(pclose(pipe), 0);
    unlink(blocks);
    ashlar_error error = {0};
    ashlar_status status = json_line_each("transcript", out.data, out.length, take_line, c, &error);
    assert_int_equal(status, ASHLAR_OK);
    buf_fini(&out);
    return asked;
}

static void class_free(struct class *c)
{
    for (int i = 0; i < c->n; i++) {
        free((void *)c->parsed[i].text);
        block_text_fini(&c->parsed[i]);
        free(c->fragments[i]);
    }
    free(c);
}

/** How many fragments the verifier accepts; complain about one that should have been, or should
 * not. */
static int count_accepted(struct class *c, bool should_be)
{
    struct verify_options options = {
        .level = VERIFY_TESTED, .vectors = VECTORS, .seed = 11, .cc = "cc"};
    struct verifier *verifier;
    ashlar_error error = {0};
    int accepted = 0;
    assert_int_equal(verifier_new(&options, &verifier, &error), ASHLAR_OK);
    if (verifier_prepare(verifier, c->pointers, c->n, &error) != ASHLAR_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < c->n; i++) {
        struct verdict verdict;
        ashlar_status status = verifier_check(verifier, &c->blocks[i], c->fragments[i],
                                              strlen(c->fragments[i]), &verdict, &error);
        assert_int_equal(status, ASHLAR_OK);
        accepted += verdict.accepted;
        if (verdict.accepted != should_be)
            print_message("%s\n%s%s", verdict.message, c->blocks[i].text, c->fragments[i]);
    }
    verifier_free(verifier);
    return accepted;
}

static void every_block_has_an_accepted_fragment(void **state)
{
    (void)state;
    teacher(); /* skips before anything is allocated */
    struct class *c = calloc(1, sizeof *c);
    run_teacher(c, "", false);
    assert_int_equal(c->n, N_TEXTS);
    assert_int_equal(count_accepted(c, true), N_TEXTS);
    class_free(c);
}

/** Mistakes of a kind, from three seeds: planted into at least `share` % of the blocks, none
 * accepted. */
static void plant(const char *kind, bool plain, int share)
{
    teacher();
    for (int seed = 1; seed <= 3; seed++) {
        char options[80];
        struct class *c = calloc(1, sizeof *c);
        snprintf(options, sizeof options, "--mistakes=%s --seed %d", kind, seed);
        int asked = run_teacher(c, options, plain);
        assert_true(c->n * 100 >= asked * share);
        assert_int_equal(count_accepted(c, false), 0);
        class_free(c);
    }
}

static void clobbered_registers_are_refused(void **state)
{
    (void)state;
    plant("clobber", false, 100);
}

static void syntax_errors_are_refused(void **state)
{
    (void)state;
    plant("syntax", false, 100);
}

static void wrong_conditions_are_refused(void **state)
{
    (void)state;
    plant("condition", true, 10);
}

static void missing_stores_are_refused(void **state)
{
    (void)state;
    plant("store", true, 50);
}

static void wrong_widths_are_refused(void **state)
{
    (void)state;
    plant("width", true, 50);
}

static void same_seed_plants_the_same(void **state)
{
    (void)state;
    struct class *c[2];
    for (int i = 0; i < 2; i++) {
        c[i] = calloc(1, sizeof *c[i]);
        run_teacher(c[i], "--mistakes=condition --seed 9", false);
    }
    assert_int_equal(c[0]->n, c[1]->n);
    for (int i = 0; i < c[0]->n; i++)
        assert_string_equal(c[0]->fragments[i], c[1]->fragments[i]);
    class_free(c[0]);
    class_free(c[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_has_an_accepted_fragment),
        cmocka_unit_test(clobbered_registers_are_refused),
        cmocka_unit_test(syntax_errors_are_refused),
        cmocka_unit_test(wrong_conditions_are_refused),
        cmocka_unit_test(missing_stores_are_refused),
        cmocka_unit_test(wrong_widths_are_refused),
        cmocka_unit_test(same_seed_plants_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
