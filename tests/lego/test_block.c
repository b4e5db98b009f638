/*
 * test_block.c: cutting functions into blocks, and their normalised text, over hand-made IR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "lego/block.h"
#include "lego/block_text.h"

/** A function being made, with the heap it lives in. */
struct world {
    struct heap heap;
    jmp_buf bail;
    ashlar_error error;
    struct ir_function f;
    struct decl decl;
    int statement;
};

static int world_open(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    heap_init(&w->heap);
    w->heap.bail = &w->bail;
    w->heap.error = &w->error;
    w->decl.name = "f";
    w->f.decl = &w->decl;
    *state = w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    heap_fini(&w->heap);
    free(w);
    return 0;
}

static struct ir_object *object(struct world *w, enum ir_place place, enum ir_type type,
                                const char *name)
{
    struct ir_object *o = heap_take(&w->heap, sizeof *o);
    *o = (struct ir_object){.place = place, .type = type, .name = name};
    o->size = o->align = ir_type_size(type);
    return o;
}

static struct ir_expr *expr(struct world *w, enum ir_op op, enum ir_type type, struct ir_expr *a,
                            struct ir_expr *b)
{
    struct ir_expr *e = heap_take(&w->heap, sizeof *e);
    *e = (struct ir_expr){.op = op, .type = type, .a = a, .b = b};
    return e;
}

static struct ir_expr *read_of(struct world *w, struct ir_object *o)
{
    struct ir_expr *e = expr(w, IR_READ, o->type, NULL, NULL);
    e->object = o;
    return e;
}

static struct ir_expr *integer(struct world *w, enum ir_type type, int64_t value)
{
    struct ir_expr *e = expr(w, IR_INT, type, NULL, NULL);
    e->value = value;
    return e;
}

static struct ir_instr *add(struct world *w, enum ir_code code)
{
    heap_grow(&w->heap, &w->f.code, w->f.n_code, sizeof *w->f.code);
    struct ir_instr *i = &w->f.code[w->f.n_code++];
    *i = (struct ir_instr){.code = code, .statement = w->statement};
    return i;
}

static void assign(struct world *w, struct ir_object *o, struct ir_expr *value)
{
    struct ir_instr *i = add(w, IR_ASSIGN);
    i->object = o;
    i->value = value;
    w->statement++;
}

/** o = o + value */
static void bump(struct world *w, struct ir_object *o, int64_t value)
{
    assign(w, o, expr(w, IR_ADD, o->type, read_of(w, o), integer(w, o->type, value)));
}

static void label(struct world *w, int number)
{
    add(w, IR_LABEL)->label = number;
    if (w->f.n_labels <= number)
        w->f.n_labels = number + 1;
}

static void jump(struct world *w, int to)
{
    add(w, IR_JUMP)->label = to;
    w->statement++;
}

/** if (o < value) goto to */
static void branch_below(struct world *w, struct ir_object *o, int64_t value, int to)
{
    struct ir_instr *i = add(w, IR_BRANCH);
    i->value = expr(w, IR_LESS, IR_I32, read_of(w, o), integer(w, o->type, value));
    i->label = to;
    w->statement++;
}

static struct block *make_all(struct world *w)
{
    return block_make(&w->heap, &w->f, w->f.code, w->f.n_code, GRANULARITY_STATEMENT);
}

static struct cut cut_at(struct world *w, enum granularity g)
{
    struct cut cut;
    block_cut(&w->heap, &w->f, g, &cut);
    return cut;
}

static int blocks_of(const struct cut *cut)
{
    int n = 0;
    for (int i = 0; i < cut->n; i++)
        n += cut->pieces[i].kind == PIECE_BLOCK;
    return n;
}

/* ------------------------------------------------------------------ text */

static void text_lists_operands_by_kind_and_use(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x"), *s = object(w, IR_LOCAL, IR_BYTES, "s");
    struct ir_object *g = object(w, IR_STATIC, IR_F64, "table"),
                     *k = object(w, IR_CONSTANT, IR_F64, "");
    struct ir_object *p = object(w, IR_FUNCTION, IR_VOID, "puts"),
                     *q = object(w, IR_TEMPORARY, IR_PTR, "t1");
    s->size = 24;
    s->align = 8;
    assign(
        w, g,
        expr(w, IR_ADD, IR_F64, read_of(w, k), expr(w, IR_CONVERT, IR_F64, read_of(w, x), NULL)));
    struct ir_expr *address = expr(w, IR_ADDRESS, IR_PTR, NULL, NULL),
                   *code = expr(w, IR_ADDRESS, IR_PTR, NULL, NULL);
    address->object = s;
    address->value = 8;
    code->object = p;
    struct ir_instr *store = add(w, IR_STORE);
    store->address = address;
    store->value = code;
    assign(w, q, address);
    branch_below(w, x, 9, 3);
    struct block *b = make_all(w);
    assert_string_equal(b->text, "block x86-64\n"
                                 "int v1\n"
                                 "bytes v2[24] align 8\n"
                                 "char* v3\n"
                                 "static double g1\n"
                                 "const double k1\n"
                                 "function f1\n"
                                 "literal int c1\n"
                                 "exit x1\n"
                                 "begin\n"
                                 "g1 = k1 + (double)v1;\n"
                                 "*(char **)(v2 + 8) = (char *)f1;\n"
                                 "v3 = v2 + 8;\n"
                                 "if (v1 < c1) goto x1;\n"
                                 "end\n");
    assert_int_equal(b->n_exits, 1);
    assert_int_equal(b->exits[0], 3);
    assert_true(b->falls_through);
    assert_ptr_equal(b->operands[0].object, x);
    assert_true(b->operands[0].is_read && !b->operands[0].is_written &&
                !b->operands[0].is_addressed);
    assert_true(b->operands[1].is_addressed);
    assert_true(b->operands[3].is_written && !b->operands[3].is_read);
    assert_int_equal(b->operands[6].value, 9);
}

static void equal_blocks_of_two_functions_have_one_key(void **state)
{
    struct world *w = *state;
    struct ir_object *a = object(w, IR_LOCAL, IR_I32, "a"),
                     *b = object(w, IR_PARAMETER, IR_I32, "b");
    bump(w, a, 1);
    bump(w, b, 1);
    bump(w, b, 700);
    bump(w, a, -3);
    struct block *first = block_make(&w->heap, &w->f, w->f.code, 2, GRANULARITY_STATEMENT);
    struct block *second = block_make(&w->heap, &w->f, w->f.code + 2, 2, GRANULARITY_BLOCK);
    assert_string_equal(first->text, second->text);
    assert_string_equal(first->key, second->key);
    assert_int_equal(strlen(first->key), 32);
}

static void types_are_part_of_the_key(void **state)
{
    struct world *w = *state;
    bump(w, object(w, IR_LOCAL, IR_I32, "a"), 1);
    bump(w, object(w, IR_LOCAL, IR_U32, "a"), 1);
    struct block *a = block_make(&w->heap, &w->f, w->f.code, 1, GRANULARITY_STATEMENT);
    struct block *b = block_make(&w->heap, &w->f, w->f.code + 1, 1, GRANULARITY_STATEMENT);
    assert_string_not_equal(a->key, b->key);
}

static void wide_constants_stand_as_digits(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I64, "x");
    assign(w, x, integer(w, IR_I64, INT64_C(5000000000)));
    assign(w, x, integer(w, IR_I64, INT32_MIN));
    assign(w, x, integer(w, IR_I64, INT64_MIN));
    struct block *b = make_all(w);
    assert_non_null(
        strstr(b->text, "v1 = 5000000000L;\nv1 = c1;\nv1 = (-9223372036854775807L - 1);\n"));
    assert_non_null(strstr(b->text, "literal long c1\n"));
}

static void length_of_a_string_that_is_pointed_at_does_not_matter(void **state)
{
    struct world *w = *state;
    struct ir_object *p = object(w, IR_LOCAL, IR_PTR, "p");
    for (int i = 0; i < 2; i++) {
        struct ir_object *text = object(w, IR_STATIC, IR_BYTES, ".Lstring");
        text->size = 5 + i;
        text->align = 1;
        struct ir_expr *address = expr(w, IR_ADDRESS, IR_PTR, NULL, NULL);
        address->object = text;
        assign(w, p, address);
        assign(w, p, expr(w, IR_ADD, IR_PTR, address, integer(w, IR_I64, 1)));
    }
    const struct ir_instr *code = w->f.code;
    struct block *a = block_make(&w->heap, &w->f, code, 1, GRANULARITY_STATEMENT);
    struct block *b = block_make(&w->heap, &w->f, code + 2, 1, GRANULARITY_STATEMENT);
    struct block *c = block_make(&w->heap, &w->f, code + 1, 1, GRANULARITY_STATEMENT);
    assert_string_equal(a->text, b->text);
    assert_non_null(strstr(a->text, "static bytes g1[0] align 1\n"));
    assert_non_null(strstr(c->text, "static bytes g1[5] align 1\n"));
}

static void labels_inside_and_exits_are_numbered(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    branch_below(w, x, 1, 7);
    bump(w, x, 1);
    jump(w, 9);
    label(w, 7);
    label(w, 8); /* nobody jumps to it: not in the text */
    branch_below(w, x, 2, 4);
    bump(w, x, 2);
    branch_below(w, x, 2, 9);
    bump(w, x, 2);
    jump(w, 7);
    struct block *b = make_all(w);
    const char *body = strstr(b->text, "begin\n");
    assert_string_equal(body, "begin\n"
                              "if (v1 < c1) goto L1;\nv1 = v1 + c2;\ngoto x1;\nL1:;\n"
                              "if (v1 < c3) goto x2;\nv1 = v1 + c4;\nif (v1 < c5) goto x1;\n"
                              "v1 = v1 + c6;\ngoto L1;\nend\n");
    assert_int_equal(b->n_exits, 2);
    assert_int_equal(b->exits[0], 9);
    assert_int_equal(b->exits[1], 4);
    assert_false(b->falls_through);
}

/* ------------------------------------------------------------------ cutting */

static void call_separates_blocks(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    bump(w, x, 1);
    bump(w, x, 2);
    add(w, IR_CALL);
    bump(w, x, 3);
    add(w, IR_RETURN);
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(cut.n, 4);
    assert_int_equal(cut.pieces[0].kind, PIECE_BLOCK);
    assert_int_equal(cut.pieces[0].block->n_code, 2);
    assert_int_equal(cut.pieces[1].kind, PIECE_SKELETON);
    assert_ptr_equal(cut.pieces[1].skeleton, &w->f.code[2]);
    assert_int_equal(cut.pieces[2].block->n_code, 1);
    struct cut fine = cut_at(w, GRANULARITY_STATEMENT);
    assert_int_equal(blocks_of(&fine), 3);
}

/** for (x = 0; x < 9; x++) y += x; with its region. */
static void add_loop(struct world *w, struct ir_object *x, struct ir_object *y, int first_label)
{
    int first = w->f.n_code;
    assign(w, x, integer(w, IR_I32, 0));
    jump(w, first_label + 1);
    label(w, first_label);
    bump(w, y, 5);
    bump(w, x, 1);
    label(w, first_label + 1);
    branch_below(w, x, 9, first_label);
    label(w, first_label + 2);
    heap_grow(&w->heap, &w->f.regions, w->f.n_regions, sizeof *w->f.regions);
    w->f.regions[w->f.n_regions++] = (struct ir_region){first, w->f.n_code, 0};
}

static void loop_is_one_block_at_block_granularity(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x"), *y = object(w, IR_LOCAL, IR_I32, "y");
    heap_grow(&w->heap, &w->f.regions, 0, sizeof *w->f.regions);
    w->f.regions[w->f.n_regions++] = (struct ir_region){0, 0, -1};
    bump(w, y, 1);
    bump(w, y, 2);
    add_loop(w, x, y, 0);
    bump(w, y, 3);
    w->f.regions[0].last = w->f.n_code;
    struct cut whole = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(whole.n, 1);
    struct cut cut = cut_at(w, GRANULARITY_BLOCK);
    assert_int_equal(blocks_of(&cut), 3);
    assert_int_equal(cut.pieces[1].block->n_code, 7);
    assert_int_equal(cut.pieces[1].block->n_exits, 0);
    struct cut fine = cut_at(w, GRANULARITY_STATEMENT);
    for (int i = 0; i < fine.n; i++)
        assert_true(fine.pieces[i].kind == PIECE_SKELETON || fine.pieces[i].block->n_code == 1);
}

static void label_entered_from_outside_begins_a_block(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    struct ir_instr *sw = add(w, IR_SWITCH);
    sw->cases = heap_take(&w->heap, sizeof *sw->cases);
    sw->n_cases = 1;
    sw->cases[0].label = 1;
    sw->label = 2;
    label(w, 1);
    bump(w, x, 1);
    label(w, 2);
    bump(w, x, 2);
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(cut.n, 5);
    assert_int_equal(blocks_of(&cut), 2);
}

static void long_run_is_cut_between_statements(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    for (int i = 0; i < 450; i++) {
        bump(w, x, i);
        if (i % 3)
            w->statement--; /* three instructions a statement */
    }
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_true(cut.n >= 3);
    int at = 0;
    for (int i = 0; i < cut.n; i++) {
        const struct block *b = cut.pieces[i].block;
        assert_true(b->n_code <= 200);
        assert_ptr_equal(b->code, w->f.code + at);
        at += b->n_code;
        assert_true(at == 450 || w->f.code[at].statement != w->f.code[at - 1].statement);
    }
    assert_int_equal(at, 450);
}

static void operations_leave_plain_branches_to_the_skeleton(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x"), *y = object(w, IR_LOCAL, IR_I32, "y");
    assign(w, x,
           expr(w, IR_MULTIPLY, IR_I32, expr(w, IR_ADD, IR_I32, read_of(w, x), read_of(w, y)),
                read_of(w, y)));
    branch_below(w, x, 4, 1);
    struct ir_instr *plain = add(w, IR_BRANCH);
    plain->value = read_of(w, x);
    plain->label = 1;
    bump(w, x, 1);
    label(w, 1);
    struct cut cut = cut_at(w, GRANULARITY_OPERATION);
    int branches = 0;
    for (int i = 0; i < cut.n; i++) {
        if (cut.pieces[i].kind == PIECE_BLOCK) {
            assert_int_equal(cut.pieces[i].block->n_code, 1);
            assert_int_equal(cut.pieces[i].block->granularity, GRANULARITY_OPERATION);
        } else {
            branches += cut.pieces[i].skeleton->code == IR_BRANCH;
        }
    }
    assert_int_equal(branches, 1);
    assert_true(blocks_of(&cut) >= 4);
}

static void volatile_access_is_alone(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x"),
                     *port = object(w, IR_STATIC, IR_I32, "port");
    port->is_volatile = true;
    bump(w, x, 1);
    assign(w, port, read_of(w, x));
    assign(w, port, read_of(w, x));
    bump(w, x, 1);
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(cut.n, 4);
}

static void unreachable_code_is_in_no_piece(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    bump(w, x, 1);
    add(w, IR_RETURN);
    bump(w, x, 2);
    label(w, 0);
    bump(w, x, 3);
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(cut.n, 4);
    assert_ptr_equal(cut.pieces[3].block->code, &w->f.code[4]);
}

static void split_goes_down_to_operations(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x"), *y = object(w, IR_LOCAL, IR_I32, "y");
    assign(w, x,
           expr(w, IR_MULTIPLY, IR_I32, expr(w, IR_ADD, IR_I32, read_of(w, x), read_of(w, y)),
                read_of(w, y)));
    bump(w, x, 1);
    struct cut cut = cut_at(w, GRANULARITY_FUNCTION);
    assert_int_equal(cut.n, 1);
    assert_true(block_split(&w->heap, &w->f, &cut.pieces[0]));
    assert_int_equal(cut.pieces[0].n_finer, 2);
    struct piece *product = &cut.pieces[0].finer[0];
    assert_int_equal(product->block->granularity, GRANULARITY_STATEMENT);
    assert_true(block_split(&w->heap, &w->f, product));
    assert_int_equal(product->n_finer, 2);
    assert_false(block_split(&w->heap, &w->f, &product->finer[0]));
    struct piece *sum =
        &cut.pieces[0].finer[1]; /* one operation already: the same text again is no split */
    assert_false(block_split(&w->heap, &w->f, sum));
}

/** Random code: every reachable instruction in one piece, blocks entered at the top only. */
static void random_code(struct world *w, struct rng *rng)
{
    struct ir_object *x = object(w, IR_LOCAL, IR_I32, "x");
    int n = 20 + (int)rng_below(rng, 60), placed = 0;
    for (int i = 0; i < n; i++) {
        uint32_t kind = rng_below(rng, 10);
        w->statement = i / (1 + (int)rng_below(rng, 3));
        if (kind < 2 && placed < 12)
            label(w, placed++);
        else if (kind == 2)
            branch_below(w, x, i, (int)rng_below(rng, 12));
        else if (kind == 3)
            jump(w, (int)rng_below(rng, 12));
        else if (kind == 4)
            add(w, IR_CALL);
        else
            bump(w, x, i);
    }
    while (placed < 12)
        label(w, placed++);
}

static void check_entries(struct world *w, const struct block *b)
{
    ptrdiff_t first = b->code - w->f.code, end = first + b->n_code;
    for (int i = 0; i < w->f.n_code; i++) {
        const struct ir_instr *from = &w->f.code[i];
        if (from->code != IR_JUMP && from->code != IR_BRANCH)
            continue;
        for (ptrdiff_t at = first; at < end; at++)
            if (w->f.code[at].code == IR_LABEL && w->f.code[at].label == from->label)
                assert_true(i >= first && i < end);
    }
}

static void random_code_is_cut_soundly(void **state)
{
    (void)state;
    uint64_t seed = 20240607;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_seed(&rng, seed);
    for (int round = 0; round < 300; round++) {
        void *made = NULL;
        world_open(&made);
        struct world *w = made;
        random_code(w, &rng);
        for (int g = GRANULARITY_STATEMENT; g <= GRANULARITY_FUNCTION; g++) {
            struct cut cut = cut_at(w, (enum granularity)g);
            const struct ir_instr *at = w->f.code;
            for (int i = 0; i < cut.n; i++) {
                const struct piece *p = &cut.pieces[i];
                const struct ir_instr *start =
                    p->kind == PIECE_BLOCK ? p->block->code : p->skeleton;
                if (start != at) /* a gap: behind something that never falls through */
                    assert_true(at[-1].code == IR_JUMP && start->code == IR_LABEL);
                at = start + (p->kind == PIECE_BLOCK ? p->block->n_code : 1);
                if (p->kind == PIECE_BLOCK)
                    check_entries(w, p->block);
            }
            assert_true(at == w->f.code + w->f.n_code || at[-1].code == IR_JUMP);
        }
        world_close(&made);
    }
}

/* ------------------------------------------------------------------ reading text */

static void text_is_read_back(void **state)
{
    struct world *w = *state;
    struct ir_object *x = object(w, IR_LOCAL, IR_U8, "x"),
                     *g = object(w, IR_STATIC, IR_BYTES, "table");
    g->size = -1; /* extern, of unknown length */
    g->align = 4;
    struct ir_expr *address = expr(w, IR_ADDRESS, IR_PTR, NULL, NULL);
    address->object = g;
    struct ir_instr *store = add(w, IR_STORE);
    store->address = address;
    store->value = read_of(w, x);
    branch_below(w, x, 3, 1);
    struct block *b = make_all(w);
    struct buf two;
    buf_init(&two, 1 << 16);
    buf_printf(&two, "\n%s\n%s", b->text, b->text);
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        struct block_text t;
        size_t used;
        assert_int_equal(block_text_parse(two.data + at, two.length - at, &t, &used, NULL),
                         ASHLAR_OK);
        at += used;
        assert_int_equal(t.n_operands, b->n_operands);
        assert_int_equal(t.n_exits, 1);
        assert_string_equal(t.key, b->key);
        assert_int_equal(t.operands[1].kind, OPERAND_STATIC);
        assert_int_equal(t.operands[1].type, IR_BYTES);
        assert_int_equal(t.operands[1].size, 0);
        assert_int_equal(t.operands[2].type, IR_U8);
        block_text_fini(&t);
    }
    assert_int_equal(at, two.length);
    buf_fini(&two);
}

static void malformed_text_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"blob\n", "line 1: expected 'block x86-64'"},
        {"block x86-64\nint v2\nbegin\nend\n", "line 2: not an operand"},
        {"block x86-64\nint v1\nint v1\nbegin\nend\n", "line 3: not an operand"},
        {"block x86-64\nquad v1\nbegin\nend\n", "line 2: not an operand"},
        {"block x86-64\nbytes v1[8] align 3\nbegin\nend\n", "line 2: not an operand"},
        {"block x86-64\nbytes v1[99999999999999999999] align 8\nbegin\nend\n",
         "line 2: not an operand"},
        {"block x86-64\nliteral int c1\nint v1\nbegin\nend\n",
         "line 3: operands stand in the order"},
        {"block x86-64\nexit x2\nbegin\nend\n", "line 2: exits are numbered"},
        {"block x86-64\nint v1\n", "line 2: the text ends before 'begin'"},
        {"block x86-64\nint v1\nbegin\nv1 = 1;\n", "line 4: the text ends before 'end'"},
        {"block x86-64\nint v1\nbegin\nv1 = v2;\nend\n", "line 4: not declared: 'v2'"},
        {"block x86-64\nint v1\nbegin\nv1 = system();\nend\n", "line 4: not declared: 'system'"},
        {"block x86-64\nint v1\nbegin\ngoto x1;\nend\n", "line 4: not declared: 'x1'"},
        {"block x86-64\nbegin\n#include <a>\nend\n", "line 3: not a character of a block: '#'"},
        {"block x86-64\nbegin\n;}{\nend\n", "line 3: not a character of a block: '}'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct block_text t;
        size_t used;
        ashlar_error error = {0};
        assert_int_equal(block_text_parse(bad[i].text, strlen(bad[i].text), &t, &used, &error),
                         ASHLAR_BAD_INPUT);
        if (!strstr(error.message, bad[i].message))
            fail_msg("case %zu: '%s' lacks '%s'", i, error.message, bad[i].message);
        assert_null(t.operands);
    }
}

static void end_of_blocks_is_no_error(void **state)
{
    (void)state;
    struct block_text t;
    size_t used;
    assert_int_equal(block_text_parse("\n\n", 2, &t, &used, NULL), ASHLAR_OK);
    assert_null(t.text);
    assert_int_equal(used, 2);
}

#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(text_lists_operands_by_kind_and_use),
        WITH_WORLD(equal_blocks_of_two_functions_have_one_key),
        WITH_WORLD(types_are_part_of_the_key),
        WITH_WORLD(wide_constants_stand_as_digits),
        WITH_WORLD(length_of_a_string_that_is_pointed_at_does_not_matter),
        WITH_WORLD(labels_inside_and_exits_are_numbered),
        WITH_WORLD(call_separates_blocks),
        WITH_WORLD(loop_is_one_block_at_block_granularity),
        WITH_WORLD(label_entered_from_outside_begins_a_block),
        WITH_WORLD(long_run_is_cut_between_statements),
        WITH_WORLD(operations_leave_plain_branches_to_the_skeleton),
        WITH_WORLD(volatile_access_is_alone),
        WITH_WORLD(unreachable_code_is_in_no_piece),
        WITH_WORLD(split_goes_down_to_operations),
        cmocka_unit_test(random_code_is_cut_soundly),
        WITH_WORLD(text_is_read_back),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(end_of_blocks_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
