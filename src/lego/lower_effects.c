/*
 * lower_effects.c: whether evaluating an expression does anything besides giving its value. Answers
 * true when in doubt: the cost is a temporary.
 */
#include "lego/lower.h"
#include "lego/type.h"

static bool is_volatile_access(const struct expr *e)
{
    bool lvalue = e->kind == EXPR_NAME || e->kind == EXPR_MEMBER || e->kind == EXPR_DEREF;
    bool object = e->type->kind != TYPE_ARRAY && e->type->kind != TYPE_FUNCTION;
    return lvalue && object && e->type->is_volatile;
}

/* Computing a pair writes temporaries and may call libgcc: no part of a tree. */
static bool computes_pair(const struct expr *e)
{
    bool lvalue = e->kind == EXPR_NAME || e->kind == EXPR_MEMBER || e->kind == EXPR_DEREF;
    return !lvalue && (type_is_pair(e->type) || (e->kind == EXPR_CAST && type_is_pair(e->a->type)));
}

bool has_effects(const struct expr *e)
{
    if (!e)
        return false;
    switch (e->kind) {
    case EXPR_ASSIGN: case EXPR_ASSIGN_OP:
    case EXPR_PRE_INCREMENT: case EXPR_PRE_DECREMENT:
    case EXPR_POST_INCREMENT: case EXPR_POST_DECREMENT:
    case EXPR_CALL: case EXPR_COMPOUND: case EXPR_STATEMENT:
    case EXPR_VA_START: case EXPR_VA_ARG: case EXPR_VA_END: case EXPR_VA_COPY:
        return true;
    case EXPR_INT: case EXPR_FLOAT: case EXPR_STRING:
        return false;
    default:
        return computes_pair(e) || is_volatile_access(e) || has_effects(e->a) ||
               has_effects(e->b) || has_effects(e->c);
    }
}
