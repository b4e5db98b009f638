/*
 * test_reader_limits.c: what the reader refuses and survives: unsupported constructs, errors, deep
 * nesting, any bytes; and whole programs that it reads.
 */
#include "read.h"

#include <jansson.h>

/* ---- refusals ---- */

static void unsupported_constructs_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *source, *name, *expected;
    } cases[] = {
        {"int ok(void) { return 1; }\nvoid f(int n) {\n  _Float128 a;\n}", "f",
         "t.c:3:13: _Float128"},
        {"_Float128 f(void) { return 1; }", "f", "_Float128"},
        {"_Atomic int x; ", "x", "_Atomic"},
        {"void f(void) { __asm__(\"nop\"); }", "f", "inline assembly"},
        {"typedef int v __attribute__((vector_size(16))); v f(v a) { return a; }", "f",
         "a vector type"},
        {"struct s { int a[4]; }; void f(__int128 *p) { __atomic_store_n(p, 1, 0); }", "f",
         "an atomic operation on an object of this size"},
        {"int a; static int f(void) __attribute__((weakref(\"g\"))); int g(void) { return f(); }",
         "g", "weakref"},
        {"int a; extern int b __attribute__((alias(\"a\"))); int g(void) { return b; }", "g",
         "alias)) of an object"},
        {"void f(void) { register int x __asm__(\"rbx\") = 1; (void)x; }", "f", "register"},
        {"int n(void); int x[] = {[0 ... 3] = 1}; void f(void) { int y[] = {[0 ... 3] = n()}; }",
         "f", "side effects"},
        {"int f(void) { int g(void) { return 1; } return g(); }\nint ok(void) { return 1; }", "f",
         "t.c:1:27: a nested function"},
        {"void ok(int (*p)(void));\nvoid f(void) { int g(void) { return 1; } ok(g); ok(&g); }", "f",
         "t.c:2:28: a nested function"},
        {"int ok(void);\nint f(int n) { struct { int a[n]; } s; return sizeof s; }", "f",
         "t.c:2:29: an array of variable length in a record"},
        {"struct S { _Float128 a; } ; int f(struct S *s) { return s->a != 0; }", "f",
         "_Float128"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_refused(cases[i].source, cases[i].name, cases[i].expected);
    }
}

static void errors_of_the_language_end_the_file(void **state)
{
    (void)state;
    struct unit *u = NULL;
    ashlar_error err = {0};
    const char *source = "# 7 \"dir/x.c\"\nint f(void) { return y; }\nint g(void) { return z; }\n";
    assert_int_equal(reader_read("t.i", source, strlen(source), NULL, 0, &u, &err),
                     ASHLAR_BAD_INPUT);
    assert_null(u);
    assert_string_equal(err.message, "dir/x.c:7:22: use of undeclared identifier 'y'");
    assert_non_null(strstr(err.hint, "2 errors"));
}

/* `open`, n times `piece`, `close`. */
static char *deep(const char *open, const char *piece, int n, const char *close)
{
    size_t length = strlen(piece), total = strlen(open) + length * (size_t)n + strlen(close) + 1;
    char *text = malloc(total);
    assert_non_null(text);
    char *at = stpcpy(text, open);
    for (int i = 0; i < n; i++)
        at = stpcpy(at, piece);
    strcpy(at, close);
    return text;
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *open, *piece, *close;
    } shapes[] = {{"int f(int a) { return ", "- ", "a; }"},
                  {"int f(int a) { return a", "+a", "; }"},
                  {"int f(int a) { ", "if (a) ; else ", "; return a; }"},
                  {"void f(int a) { int *", "*", "p; }"},
                  {"int f(int a) { return ", "a ? a : ", "a; }"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char *text = deep(shapes[i].open, shapes[i].piece, 3000, shapes[i].close);
        assert_refused(text, "f", "nesting deeper");
        free(text);
        text = deep(shapes[i].open, shapes[i].piece, 300, shapes[i].close);
        struct unit *u = read_source(text);
        assert_null(must_find(u, "f")->refused);
        unit_free(u);
        free(text);
    }
}

static void any_bytes_are_survived(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "",  "\"",     "'",  "/*",           "__attribute__((", "int x = '\\",   "#",  "# 1 \"",
        "{", "int f(", "\\", "int a[] = {[", "_Generic(",       "asm(\"\" : \"", ";;;"};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        struct unit *u = NULL;
        ashlar_error err;
        if (reader_read("t.c", sources[i], strlen(sources[i]), NULL, 0, &u, &err) == ASHLAR_OK)
            unit_free(u);
        else
            assert_null(u);
    }
}

/* ---- whole programs ---- */

/* The source through the preprocessor of cc; freed by the caller. */
static char *preprocess(const char *source, const char *flags)
{
    char name[] = "/tmp/ashlar-reader-XXXXXX", command[400];
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(source, file);
    fclose(file);
    snprintf(command, sizeof command, "cc -w %s -x c -E %s", flags, name);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    struct buf text;
    buf_init(&text, 1 << 26);
    char block[1 << 14];
    for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;)
        assert_true(buf_append(&text, block, n));
    assert_int_equal(pclose(pipe), 0);
    unlink(name);
    return text.data;
}

static int count_refused(const struct unit *u, const char *allowed)
{
    int n = 0;
    for (int i = 0; i < u->n; i++) {
        const char *why = u->decls[i]->refused;
        if (why && !(allowed && strstr(why, allowed))) {
            print_message("%s: %s\n", u->decls[i]->name, why);
            n++;
        }
    }
    return n;
}

static void system_headers_are_read(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "stdio.h",    "stdlib.h",     "string.h",     "math.h",   "ctype.h",    "stdint.h",
        "errno.h",    "time.h",       "unistd.h",     "signal.h", "setjmp.h",   "pthread.h",
        "sys/stat.h", "sys/socket.h", "netinet/in.h", "wchar.h",  "inttypes.h", "float.h",
        "stddef.h",   "assert.h",     "locale.h",     "dirent.h", "fcntl.h"};
    for (int flags = 0; flags < 2; flags++) {
        char source[2000] = "";
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
            sprintf(source + strlen(source), "#include <%s>\n", headers[i]);
        strcat(source, "int main(void) { struct stat s; errno = 0; return stat(\"\", &s) + "
                       "isalpha('a') + (int)floor(1.5); }");
        char *text = preprocess(source, flags ? "-D_GNU_SOURCE -O2" : "");
        struct unit *u = read_source(text);
        assert_int_equal(count_refused(u, NULL), 0);
        unit_free(u);
        free(text);
    }
}

/* The only construct in the set that is not supported is one program's variable-length array. */
static void humaneval_is_read_whole(void **state)
{
    (void)state;
    static char line[1 << 20];
    FILE *file = fopen("../shared/data/humaneval-c.jsonl", "r");
    if (!file)
        skip();
    while (fgets(line, sizeof line, file)) {
        json_t *record = json_loads(line, 0, NULL);
        const char *c = json_string_value(json_object_get(record, "c"));
        const char *test = json_string_value(json_object_get(record, "test"));
        assert_true(c && test);
        char *source = malloc(strlen(c) + strlen(test) + 3);
        assert_non_null(source);
        sprintf(source, "%s\n%s\n", c, test);
        char *text = preprocess(source, "");
        struct unit *u = read_source(text);
        assert_int_equal(count_refused(u, "variable-length array"), 0);
        unit_free(u);
        free(text);
        free(source);
        json_decref(record);
    }
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsupported_constructs_are_named),
        cmocka_unit_test(errors_of_the_language_end_the_file),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(system_headers_are_read),
        cmocka_unit_test(humaneval_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
