/*
 * Fuzz target: the reader. The input steers a small generator of C functions, so that most inputs
 * are programs that libclang accepts and the walk over its cursors is what is exercised; with an
 * even first byte the rest is the source as it is. What the reader makes keeps the normal form (it
 * checks that itself and would refuse with "this definition"), and its types agree with libclang's
 * ("that libclang gives").
 *
 * Sources: src/lego/reader_clang.c src/lego/reader_clang_alignment.c src/lego/reader_clang_asm.c
 * Sources: src/lego/reader_clang_atomic.c src/lego/reader_clang_attribute.c
 * Sources: src/lego/reader_clang_error.c
 * Sources: src/lego/reader_clang_builtin.c src/lego/reader_clang_call.c
 * Sources: src/lego/reader_clang_convert.c src/lego/reader_clang_cursor.c
 * Sources: src/lego/reader_clang_decl.c src/lego/reader_clang_expr.c
 * Sources: src/lego/reader_clang_generic.c src/lego/reader_clang_init.c
 * Sources: src/lego/reader_clang_literal.c src/lego/reader_clang_stmt.c
 * Sources: src/lego/reader_clang_type.c src/lego/reader_clang_vla.c src/lego/ast_check.c
 * Sources: src/lego/ast_print.c
 * Sources: src/lego/constant.c src/lego/heap.c src/lego/type.c
 * Libraries: -isystem @llvm@/include -L@llvm@/lib -lclang -Wl,-rpath,@llvm@/lib
 */
#include "base/buf.h"
#include "lego/ast.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct generator {
    const uint8_t *data;
    size_t left;
    struct buf out;
};

static const char declarations[] =
    "typedef struct S { int a; unsigned b : 5; short c[3]; struct { char d; union { float e; long "
    "f; }; }; } S;\n"
    "extern int printf(const char *, ...); int call(int, double); S make(void); static S "
    "table[4];\n"
    "int global; volatile short wild; int (*pointer)(int, double) = call;\n"
    "double _Complex c; __int128 wide; static _Thread_local _Alignas(S) int own;\n";

/* Any of these stands where a value is wanted; % is another value, @ an object. */
static const char *const values[] = {"1",
                                     "0x7fL",
                                     "'q'",
                                     "2.5f",
                                     "3.5",
                                     "10u",
                                     "sizeof(S)",
                                     "*\"ab\"",
                                     "@",
                                     "@",
                                     "@",
                                     "@",
                                     "(%) + (%)",
                                     "(%) - (%)",
                                     "(%) * (%)",
                                     "(%) < (%)",
                                     "(%) == (%)",
                                     "(%) && (%)",
                                     "(%) || (%)",
                                     "!(%)",
                                     "-(%)",
                                     "(%), (%)",
                                     "(%) ? (%) : (%)",
                                     "(%) ?: (%)",
                                     "(char)(%)",
                                     "(unsigned)(%)",
                                     "(double)(%)",
                                     "(_Bool)(%)",
                                     "~(int)(%)",
                                     "(int)(%) << 3",
                                     "(long)(%) >> 1",
                                     "(int)(%) & (short)(%)",
                                     "(unsigned)(%) % 7u",
                                     "@ = (%)",
                                     "@ += (%)",
                                     "@ *= (%)",
                                     "@++",
                                     "--@",
                                     "call((%), (%))",
                                     "pointer((%), (%))",
                                     "(*pointer)(1, (%))",
                                     "make().a",
                                     "make().c[1]",
                                     "({ int t = (%); t; })",
                                     "(S){.a = (%), .d = 2}.b",
                                     "(int[]){(%), 2}[1]",
                                     "*(&@)",
                                     "s.c[(int)(%) & 1]",
                                     "(long)&table[1]",
                                     "table == &table[(char)(%)]",
                                     "_Generic(@, int: 1, default: (%))",
                                     "__builtin_expect(!!(%), 1)",
                                     "*(p + (char)(%))",
                                     "p - s.c",
                                     "__builtin_constant_p((%))",
                                     "__real__(c * (%))",
                                     "(int)(c + (%))",
                                     "(c == (%)) + !c",
                                     "__imag__ ~c + __real__ 1.5i",
                                     "(double)(c /= (%))",
                                     "(long)(wide + (%))",
                                     "(wide < (%))",
                                     "(int)((__int128)(int)(%) >> 3)",
                                     "(unsigned char)(wide *= (int)(%))",
                                     "v[(%) && 1][(char)(%)]",
                                     "(long)sizeof v + (long)sizeof v[0]",
                                     "(*(v + (short)(%)))[1]",
                                     "__sync_fetch_and_add(&y, (int)(%))",
                                     "__atomic_load_n(&w, 5)",
                                     "__sync_bool_compare_and_swap(p, (int)(%), 3)",
                                     "printf(\"%%d\", @)"};

static const char *const objects[] = {"x",    "y",   "z",     "w",   "global", "wild",
                                      "s.a",  "s.b", "s.d",   "s.e", "s.f",    "table[1].a",
                                      "p[1]", "*p",  "(*&y)", "(x)", "own"};

/* Statements; $ is another statement. */
static const char *const statements[] = {
    "%;",
    "%;",
    "%;",
    "if (%) { $ }",
    "if (%) $ else $",
    "while (%) $",
    "do $ while (%);",
    "for (;;) { $ break; }",
    "for (int i = 0; %;) $",
    "for (; %; %) $",
    "{ $ $ }",
    "switch ((int)(%)) { case 1: $ case 2 ... 4: default: $ }",
    "{ S t = {(%), 1, {1, 2}}; int a[2][2] = {1, {(%)}}; s = t; x = a[1][0]; }",
    "s = make();",
    "return (int)(%);",
    "{ static int n = 3; char b[] = \"abc\"; n += b[1]; }",
    "c = (%); c++;",
    "wide = (%); wide = wide ? -wide : ~wide;",
    "{ short v[(y & 3) + 1][y | 1]; typeof(v) *q = &v; v[0][0] = (%); w = sizeof *q; $ }",
    "{ typedef int T[y + 1]; T t; int (*q)[y + 1] = &t; (*q)[0] = (%); q++; }",
    "__atomic_store_n(&w, (long)(%), 5);",
    "asm(\"\" : \"+r\"(x) : : \"memory\");",
    ";"};

static unsigned take(struct generator *g, unsigned n)
{
    if (g->left == 0)
        return 0;
    g->left--;
    return *g->data++ % n;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void expand(struct generator *g, const char *pattern, int depth)
{
    for (const char *c = pattern; *c; c++) {
        if (*c == '%' && c[1] == '%') {
            buf_append(&g->out, c++, 1);
        } else if (*c == '%' && c[1] != ' ') {
            bool simple = depth <= 0 || g->left == 0;
            expand(g, simple ? "x" : values[take(g, COUNT(values))], depth - 1);
        } else if (*c == '@') {
            buf_puts(&g->out, objects[take(g, COUNT(objects))]);
        } else if (*c == '$') {
            bool simple = depth <= 0 || g->left == 0;
            expand(g, simple ? ";" : statements[take(g, COUNT(statements))], depth - 1);
        } else {
            buf_append(&g->out, c, 1);
        }
    }
}

static void generate(struct generator *g)
{
    buf_puts(&g->out, declarations);
    buf_puts(&g->out, "int f(char x, unsigned y, double z, long w, short *p) { S s = {0}; int v[x & 3][y];\n");
    for (int i = 0; g->left > 0 && i < 40; i++) {
        expand(g, "$", 6);
        buf_puts(&g->out, "\n");
    }
    buf_puts(&g->out, "return 0; }\n");
}

static void check(const struct unit *u, const char *source)
{
    for (int i = 0; i < u->n; i++) {
        const char *why = u->decls[i]->refused;
        if (why && (strstr(why, "this definition") || strstr(why, "that libclang gives"))) {
            fprintf(stderr, "%s\n%s\n", why, source);
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct generator g = {.data = data, .left = size};
    struct unit *u = NULL;
    struct buf tree;
    ashlar_error err;
    buf_init(&g.out, 1 << 20);
    buf_init(&tree, 1 << 26);
    if (size > 0 && data[0] % 2 == 0)
        buf_append(&g.out, data + 1, size - 1);
    else
        generate(&g);
    if (!g.out.failed && g.out.data &&
        reader_read("fuzz.c", g.out.data, g.out.length, NULL, 0, &u, &err) == ASHLAR_OK) {
        check(u, g.out.data);
        ast_print(u, &tree);
        unit_free(u);
    }
    buf_fini(&tree);
    buf_fini(&g.out);
    return 0;
}
