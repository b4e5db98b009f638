/*
 * ir_print.c: expressions and instructions as C text that means exactly what the IR does: operands
 * keep their types, conversions are casts, whatever is not a single term stands in parentheses.
 */
#include <inttypes.h>

#include "base/buf.h"
#include "lego/ir.h"

static const char *const operators[] = {[IR_ADD] = "+",          [IR_SUBTRACT] = "-",
                                        [IR_MULTIPLY] = "*",     [IR_DIVIDE] = "/",
                                        [IR_REMAINDER] = "%",    [IR_SHIFT_LEFT] = "<<",
                                        [IR_SHIFT_RIGHT] = ">>", [IR_AND] = "&",
                                        [IR_XOR] = "^",          [IR_OR] = "|",
                                        [IR_EQUAL] = "==",       [IR_UNEQUAL] = "!=",
                                        [IR_LESS] = "<",         [IR_LESS_EQUAL] = "<=",
                                        [IR_GREATER] = ">",      [IR_GREATER_EQUAL] = ">=",
                                        [IR_LOGICAL_AND] = "&&", [IR_LOGICAL_OR] = "||"};

static const char *cast_text(enum ir_type t)
{
    return t == IR_PTR ? "char *" : ir_type_name(t);
}

static const char *pointer_text(enum ir_type t)
{
    return t == IR_PTR ? "char **" : ir_type_name(t);
}

/* The literal has e's type by its suffix and value. The least numbers have no literal in C: their
 * digits would be one too large before the minus (C11 6.4.4.1p5). */
static void print_digits(const struct ir_printer *p, const struct ir_expr *e)
{
    const char *suffix = e->type == IR_U32   ? "U"
                         : e->type == IR_U64 ? "UL"
                         : e->type == IR_I64 ? "L"
                                             : "";
    if (e->type == IR_PTR)
        buf_printf(p->out, "(char *)%" PRId64 "L", e->value);
    else if (e->type == IR_I64 && e->value == INT64_MIN)
        buf_puts(p->out, "(-9223372036854775807L - 1)");
    else if (e->type == IR_I32 && e->value == INT32_MIN)
        buf_puts(p->out, "(-2147483647 - 1)");
    else if (e->type == IR_U64)
        buf_printf(p->out, "%" PRIu64 "UL", (uint64_t)e->value);
    else
        buf_printf(p->out, "%" PRId64 "%s", e->value, suffix);
}

/* A literal's name stands bare whatever its value: equal blocks have equal text. */
static void print_int(const struct ir_printer *p, const struct ir_expr *e, bool as_term)
{
    const char *literal = p->literal ? p->literal(p->context, e) : NULL;
    bool parens = !literal && as_term && e->value < 0 && e->type != IR_U64;
    buf_puts(p->out, parens ? "(" : "");
    if (literal)
        buf_puts(p->out, literal);
    else
        print_digits(p, e);
    buf_puts(p->out, parens ? ")" : "");
}

/* Offsets count bytes: the object is bytes, or its address has been cast to char *. */
static void print_address(const struct ir_printer *p, const struct ir_expr *e)
{
    const struct ir_object *o = e->object;
    const char *name = p->name(p->context, o);
    if (o->place == IR_FUNCTION)
        buf_printf(p->out, "(char *)%s", name);
    else
        buf_printf(p->out, "%s%s", o->type == IR_BYTES ? "" : "(char *)&", name);
    if (e->value)
        buf_printf(p->out, " %c %" PRIu64, e->value < 0 ? '-' : '+',
                   e->value < 0 ? -(uint64_t)e->value : (uint64_t)e->value);
}

/* Whether e's text binds as tightly as a cast or tighter. */
static bool is_term(const struct ir_expr *e)
{
    switch (e->op) {
    case IR_READ: case IR_LOAD: case IR_CONVERT: return true;
    case IR_NEGATE: case IR_COMPLEMENT: case IR_NOT: return true;
    case IR_ADDRESS: return e->value == 0;
    default: return false;
    }
}

static void print_term(const struct ir_printer *p, const struct ir_expr *e)
{
    if (e->op == IR_INT) {
        print_int(p, e, true);
        return;
    }
    bool parens = !is_term(e);
    buf_puts(p->out, parens ? "(" : "");
    ir_print_expr(p, e);
    buf_puts(p->out, parens ? ")" : "");
}

/* -, ! or ~ and its operand; "--5" and "--x" would be another operator. */
static void print_unary(const struct ir_printer *p, const struct ir_expr *e)
{
    bool parens = e->a->op == IR_INT || e->a->op == IR_NEGATE;
    buf_puts(p->out, e->op == IR_NEGATE ? "-" : e->op == IR_NOT ? "!" : "~");
    buf_puts(p->out, parens ? "(" : "");
    print_term(p, e->a);
    buf_puts(p->out, parens ? ")" : "");
}

/* *(TYPE *)ADDRESS */
static void print_memory(const struct ir_printer *p, enum ir_type type, bool is_volatile,
                         const struct ir_expr *address)
{
    const char *space = type == IR_PTR ? "" : " *";
    buf_printf(p->out, "*(%s%s%s)", is_volatile ? "volatile " : "", pointer_text(type), space);
    if (address->op == IR_ADDRESS && address->value == 0 && address->object->type != IR_BYTES &&
        address->object->place != IR_FUNCTION)
        buf_printf(p->out, "&%s", p->name(p->context, address->object));
    else
        print_term(p, address);
}

void ir_print_expr(const struct ir_printer *p, const struct ir_expr *e)
{
    switch (e->op) {
    case IR_INT: print_int(p, e, false); break;
    case IR_READ: buf_puts(p->out, p->name(p->context, e->object)); break;
    case IR_ADDRESS: print_address(p, e); break;
    case IR_LOAD: print_memory(p, e->type, e->is_volatile, e->a); break;
    case IR_CONVERT:
        buf_printf(p->out, "(%s)", cast_text(e->type));
        print_term(p, e->a);
        break;
    case IR_NEGATE: case IR_COMPLEMENT: case IR_NOT: print_unary(p, e); break;
    case IR_CONDITIONAL:
        print_term(p, e->a);
        buf_puts(p->out, " ? ");
        print_term(p, e->b);
        buf_puts(p->out, " : ");
        print_term(p, e->c);
        break;
    default:
        print_term(p, e->a);
        buf_printf(p->out, " %s ", operators[e->op]);
        print_term(p, e->b);
    }
}

void ir_print_instr(const struct ir_printer *p, const struct ir_instr *i)
{
    switch (i->code) {
    case IR_ASSIGN:
        buf_printf(p->out, "%s = ", p->name(p->context, i->object));
        ir_print_expr(p, i->value);
        buf_puts(p->out, ";");
        break;
    case IR_STORE:
        print_memory(p, i->value->type, false, i->address);
        buf_puts(p->out, " = ");
        ir_print_expr(p, i->value);
        buf_puts(p->out, ";");
        break;
    case IR_LABEL: buf_printf(p->out, "%s:;", p->label(p->context, i->label)); break;
    case IR_JUMP: buf_printf(p->out, "goto %s;", p->label(p->context, i->label)); break;
    case IR_BRANCH:
        buf_puts(p->out, "if (");
        ir_print_expr(p, i->value);
        buf_printf(p->out, ") goto %s;", p->label(p->context, i->label));
        break;
    default: return; /* the skeleton's: never in a block */
    }
    buf_puts(p->out, "\n");
}
