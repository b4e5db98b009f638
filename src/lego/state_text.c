/*
 * state_text.c: a block's text as lines of expression trees, for state_steer.h. The text's grammar
 * (docs/blocks.md) is simple: whatever is not a single term stands in parentheses, so there is no
 * precedence. What is not understood ends the parse without harm.
 */
#include "lego/state_steer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/** Block texts come from files too (teacher, transcripts): recursion has a bound. Those that ashcc
 * cuts nest far less. */
enum { DEPTH_MOST = 200 };

struct parser {
    struct steer_program *program;
    const struct block *block;
    const char *at;
    int depth;
    bool failed;
};

/* The room was taken for all of the text beforehand, so that pointers between expressions stay
 * valid. After a failure everybody gets the same scrap node, and nobody has to check. */
static struct steer_expr *new_expr(struct parser *p, enum ir_op op, enum ir_type type)
{
    static struct steer_expr nothing;
    if (p->program->n_exprs == p->program->room) {
        p->failed = true;
        return &nothing;
    }
    struct steer_expr *e = &p->program->exprs[p->program->n_exprs++];
    *e = (struct steer_expr){.op = op, .type = type, .operand = -1};
    return e;
}

static bool take(struct parser *p, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(p->at, text, n) != 0)
        return false;
    p->at += n;
    return true;
}

static void need(struct parser *p, const char *text)
{
    p->failed |= !take(p, text);
}

/** "(int)" with close ")", "(int *)" with close " *)". */
static bool take_type(struct parser *p, bool pointer, enum ir_type *type)
{
    const char *start = p->at;
    /* what is read or written does not depend on it */
    take(p, "volatile ");
    for (int t = IR_I8; t <= IR_PTR; t++) {
        const char *here = p->at;
        bool named = t == IR_PTR ? take(p, "char *") : take(p, ir_type_name((enum ir_type)t));
        if (named && take(p, !pointer ? ")" : t == IR_PTR ? "*)" : " *)")) {
            *type = (enum ir_type)t;
            return true;
        }
        /* "long" begins like "long double" */
        p->at = here;
    }
    p->at = start;
    return false;
}

/* Whole names: "v1" is no beginning of "v12". */
static int take_operand(struct parser *p)
{
    size_t n = 0;
    while (isalnum((unsigned char)p->at[n]))
        n++;
    for (int i = 0; n && i < p->block->n_operands; i++) {
        const char *name = p->block->operands[i].name;
        if (strlen(name) == n && strncmp(name, p->at, n) == 0) {
            p->at += n;
            return i;
        }
    }
    p->failed = true;
    return 0;
}

static struct steer_expr *parse_expr(struct parser *p);

static struct steer_expr *parse_address(struct parser *p)
{
    struct steer_expr *e = new_expr(p, IR_ADDRESS, IR_PTR);
    take(p, "&");
    e->operand = take_operand(p);
    return e;
}

/* The suffixes are those that ir_print writes: they alone tell the type. */
static struct steer_expr *parse_number(struct parser *p)
{
    char *end;
    /* unsigned: U64 digits go up to 2^64 - 1; a sign stands apart as an operator */
    uint64_t value = strtoull(p->at, &end, 10);
    p->failed |= end == p->at;
    p->at = end;
    bool is_unsigned = take(p, "U"), is_long = take(p, "L");
    struct steer_expr *e = new_expr(p, IR_INT,
                                    is_unsigned ? is_long ? IR_U64 : IR_U32
                                    : is_long   ? IR_I64
                                                : IR_I32);
    e->value = (int64_t)value;
    return e;
}

/* A literal is its value in this use of the block; an array or function is its address. */
static struct steer_expr *parse_name(struct parser *p)
{
    int i = take_operand(p);
    const struct block_operand *o = &p->block->operands[i];
    if (p->failed)
        return new_expr(p, IR_INT, IR_I32);
    enum ir_op op = o->kind == OPERAND_LITERAL ? IR_INT
                    : o->kind == OPERAND_FUNCTION || o->type == IR_BYTES ? IR_ADDRESS
                                                                         : IR_READ;
    struct steer_expr *e = new_expr(p, op, op == IR_ADDRESS ? IR_PTR : o->type);
    e->operand = i;
    e->value = o->value;
    return e;
}

static struct steer_expr *parse_term(struct parser *p);

static struct steer_expr *parse_unary(struct parser *p, enum ir_op op)
{
    const struct steer_expr *a = parse_term(p);
    struct steer_expr *e = new_expr(p, op, op == IR_NOT ? IR_I32 : a->type);
    e->a = a;
    return e;
}

/* "(char *)&v1" is one address, not a conversion of one. */
static struct steer_expr *parse_cast(struct parser *p, enum ir_type type)
{
    if (*p->at == '&')
        return parse_address(p);
    const struct steer_expr *a = parse_term(p);
    struct steer_expr *e = new_expr(p, IR_CONVERT, type);
    e->a = a;
    return e;
}

/** One term; depth counts the terms that are open: recursion has no other bound. */
static struct steer_expr *parse_term(struct parser *p)
{
    enum ir_type type;
    struct steer_expr *e = NULL;
    if (p->failed || ++p->depth > DEPTH_MOST) {
        p->failed = true;
        return new_expr(p, IR_INT, IR_I32);
    }
    if (take(p, "*(")) {
        p->failed |= !take_type(p, true, &type);
        const struct steer_expr *a = *p->at == '&' ? parse_address(p) : parse_term(p);
        e = new_expr(p, IR_LOAD, p->failed ? IR_I32 : type);
        e->a = a;
    } else if (take(p, "(")) {
        if (take_type(p, false, &type)) {
            e = parse_cast(p, type);
        } else {
            e = parse_expr(p);
            need(p, ")");
        }
    } else if (take(p, "-")) {
        e = parse_unary(p, IR_NEGATE);
    } else if (take(p, "~")) {
        e = parse_unary(p, IR_COMPLEMENT);
    } else if (take(p, "!")) {
        e = parse_unary(p, IR_NOT);
    } else {
        e = isdigit((unsigned char)*p->at) ? parse_number(p) : parse_name(p);
    }
    p->depth--;
    return e;
}

static bool is_comparison(enum ir_op op)
{
    return op >= IR_EQUAL && op <= IR_GREATER_EQUAL;
}

static struct steer_expr *parse_binary(struct parser *p, const struct steer_expr *a)
{
    static const struct {
        const char *text;
        enum ir_op op;
    } operators[] = {
        {" + ", IR_ADD}, {" - ", IR_SUBTRACT}, {" * ", IR_MULTIPLY}, {" / ", IR_DIVIDE},
        {" % ", IR_REMAINDER}, {" << ", IR_SHIFT_LEFT}, {" >> ", IR_SHIFT_RIGHT}, {" & ", IR_AND},
        {" ^ ", IR_XOR}, {" | ", IR_OR}, {" == ", IR_EQUAL}, {" != ", IR_UNEQUAL},
        {" < ", IR_LESS}, {" <= ", IR_LESS_EQUAL}, {" > ", IR_GREATER},
        {" >= ", IR_GREATER_EQUAL}, {" && ", IR_LOGICAL_AND}, {" || ", IR_LOGICAL_OR},
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (!take(p, operators[i].text))
            continue;
        /* comparisons and && || follow all other operators in enum ir_op */
        bool truth = operators[i].op >= IR_EQUAL;
        const struct steer_expr *b = parse_term(p);
        struct steer_expr *e = new_expr(p, operators[i].op, truth ? IR_I32 : a->type);
        e->a = a;
        e->b = b;
        p->program->n_comparisons += is_comparison(e->op);
        return e;
    }
    return NULL;
}

static struct steer_expr *parse_expr(struct parser *p)
{
    struct steer_expr *a = parse_term(p), *e;
    if (p->failed)
        return a;
    if (take(p, " ? ")) {
        const struct steer_expr *b = parse_term(p);
        need(p, " : ");
        const struct steer_expr *c = parse_term(p);
        e = new_expr(p, IR_CONDITIONAL, b->type);
        *e = (struct steer_expr){
            .op = IR_CONDITIONAL, .type = b->type, .a = a, .b = b, .c = c, .operand = -1};
        return e;
    }
    e = parse_binary(p, a);
    return e ? e : a;
}

/* ---- lines ---- */

/** "L3" -> 3, "x3" -> -1. */
static int take_label(struct parser *p)
{
    char *end;
    bool outside = *p->at == 'x';
    p->failed |= *p->at != 'L' && !outside;
    if (p->failed)
        return -1;
    long n = strtol(p->at + 1, &end, 10);
    p->at = end;
    return outside ? -1 : (int)n;
}

static void parse_write(struct parser *p, struct steer_line *line)
{
    line->code = IR_STORE;
    if (take(p, "*(")) {
        p->failed |= !take_type(p, true, &line->type);
        line->address = *p->at == '&' ? parse_address(p) : parse_term(p);
    } else {
        line->code = IR_ASSIGN;
        line->operand = take_operand(p);
        /* of operand 0 after a failure: there is one (steer_program_init) */
        line->type = p->block->operands[line->operand].type;
    }
    need(p, " = ");
    line->value = parse_expr(p);
}

/* An unknown line is taken for a write and fails there. */
static void parse_line(struct parser *p)
{
    struct steer_line *line = &p->program->lines[p->program->n++];
    *line = (struct steer_line){.code = IR_JUMP, .operand = -1, .label = -1};
    /* no operand's name begins with a capital */
    if (*p->at == 'L') {
        line->code = IR_LABEL;
        line->label = take_label(p);
        need(p, ":");
    } else if (take(p, "goto ")) {
        line->label = take_label(p);
    } else if (take(p, "if (")) {
        line->code = IR_BRANCH;
        line->value = parse_expr(p);
        need(p, ") goto ");
        line->label = take_label(p);
    } else {
        parse_write(p, line);
    }
    need(p, ";\n");
}

/** Jumps' label numbers become lines. */
static void bind_labels(struct steer_program *p)
{
    for (int i = 0; i < p->n; i++) {
        struct steer_line *line = &p->lines[i];
        if ((line->code != IR_JUMP && line->code != IR_BRANCH) || line->label < 0)
            continue;
        int target = -1;
        for (int k = 0; k < p->n; k++)
            if (p->lines[k].code == IR_LABEL && p->lines[k].label == line->label)
                target = k;
        line->label = target;
    }
}

bool steer_program_init(struct steer_program *p, const struct block *block)
{
    *p = (struct steer_program){0};
    const char *body = block->text ? strstr(block->text, "\nbegin\n") : NULL;
    const char *end = body ? strstr(body, "\nend\n") : NULL;
    if (!end || block->n_operands == 0)
        return false;
    size_t lines = 1;
    for (const char *c = body + 7; c < end; c++)
        lines += *c == '\n';
    p->room = (int)(end - body) + 16; /* no expression has less than a character */
    p->lines = calloc(lines + 1, sizeof *p->lines);
    p->exprs = calloc((size_t)p->room, sizeof *p->exprs);
    struct parser parser = {.program = p, .block = block, .at = body + 7};
    parser.failed = !p->lines || !p->exprs;
    /* `end` is the newline before "end": the last line's own newline, which need() takes */
    while (!parser.failed && parser.at <= end && p->n < (int)lines) {
        parser.depth = 0;
        parser.at += strspn(parser.at, " ");
        parse_line(&parser);
    }
    if (parser.failed) {
        steer_program_fini(p);
        return false;
    }
    bind_labels(p);
    return true;
}

void steer_program_fini(struct steer_program *p)
{
    free(p->lines);
    free(p->exprs);
    *p = (struct steer_program){0};
}
