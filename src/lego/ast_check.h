/* ast_check.h: does a tree keep the normal form that ast.h promises? */
#ifndef LEGO_AST_CHECK_H
#define LEGO_AST_CHECK_H

#include "lego/ast.h"

/**
 * The first breach in d's body or initialiser, as a constant text, and its place in *at; NULL:
 * none. A reader runs it on everything it made: what lowering is given has operands of the types
 * that C asks for.
 */
const char *ast_check(const struct decl *d, struct location *at);

#endif
