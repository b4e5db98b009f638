/*
 * reader_clang_decl.c: variables and functions: one decl per entity, made when it is first named,
 * filled when its definition is met. Declarations of headers that nobody names leave no trace.
 */
#include <string.h>

#include "lego/ast_check.h"
#include "lego/reader_clang.h"

void reader_add_decl(struct reader *r, struct decl *d)
{
    struct unit *u = r->unit;
    heap_grow(r->heap, &u->decls, u->n, sizeof *u->decls);
    u->decls[u->n++] = d;
}

struct decl *reader_temporary(struct reader *r, struct type *type, const char *name,
                              struct location at)
{
    struct decl *d = heap_take(r->heap, sizeof *d);
    d->name = name;
    d->type = type;
    d->at = at;
    d->is_local = r->function != NULL;
    d->storage = r->function ? STORAGE_AUTO : STORAGE_STATIC;
    d->symbol = heap_printf(r->heap, "%s.%d", name, r->serial++);
    d->is_internal = d->is_defined = d->is_used = true;
    return d;
}

/* A function that the compiler itself calls (libgcc, memcpy): the program's own declaration where
 * it has one, so that there is one entity per symbol. */
struct decl *reader_library_function(struct reader *r, const char *symbol, struct type *type)
{
    for (int i = 0; i < r->unit->n; i++) {
        struct decl *d = r->unit->decls[i];
        if (d->type->kind == TYPE_FUNCTION && strcmp(d->symbol, symbol) == 0)
            return d;
    }
    struct decl *d = heap_take(r->heap, sizeof *d);
    d->name = d->symbol = symbol;
    d->type = type;
    d->storage = STORAGE_EXTERN;
    d->is_used = true;
    reader_add_decl(r, d);
    return d;
}

/* ---- entities ---- */

/* Who uses what, for reader_mark_used(); automatic objects are never emitted. */
static void note_reference(struct reader *r, struct decl *used)
{
    if (!r->user || used->storage == STORAGE_AUTO || used->storage == STORAGE_PARAMETER)
        return;
    heap_grow(r->heap, &r->references, r->n_references, sizeof *r->references);
    r->references[r->n_references++] = (struct reference){r->user, used};
}

/* What another name is given to is used by it. */
static void mark_aliased(struct reader *r)
{
    for (int i = 0; i < r->unit->n; i++) {
        const char *alias = r->unit->decls[i]->alias;
        for (int k = 0; alias && k < r->unit->n; k++)
            if (strcmp(r->unit->decls[k]->symbol, alias) == 0)
                r->unit->decls[k]->is_used = true;
    }
}

void reader_mark_used(struct reader *r)
{
    mark_aliased(r);
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < r->n_references; i++) {
            struct reference *e = &r->references[i];
            bool root = e->user->is_used || (e->user->is_defined && !e->user->is_internal);
            if (root && !e->used->is_used)
                e->used->is_used = changed = true;
        }
    }
}

/* Static functions and objects that nothing emitted refers to need no code: those of headers,
 * mostly. */
void reader_drop_unused(struct reader *r)
{
    struct unit *u = r->unit;
    struct decl **kept = NULL;
    int n = 0;
    for (int i = 0; i < u->n; i++) {
        struct decl *d = u->decls[i];
        if (d->is_internal && !d->is_used)
            continue;
        heap_grow(r->heap, &kept, n, sizeof *kept);
        kept[n++] = d;
    }
    u->decls = kept;
    u->n = n;
}

static bool is_static(CXCursor c)
{
    return clang_Cursor_getStorageClass(c) == CX_SC_Static;
}

static enum storage storage_of(CXCursor c)
{
    enum CXCursorKind kind = clang_getCursorKind(c);
    if (kind == CXCursor_ParmDecl)
        return STORAGE_PARAMETER;
    enum CXLinkageKind linkage = clang_getCursorLinkage(c);
    if (kind == CXCursor_VarDecl && linkage == CXLinkage_NoLinkage)
        return is_static(c) ? STORAGE_STATIC : STORAGE_AUTO;
    return linkage == CXLinkage_Internal ? STORAGE_STATIC : STORAGE_EXTERN;
}

/* The type of the declaration that says most: a complete array, a function with a prototype. */
static struct type *entity_type(struct reader *r, CXCursor c, const struct redeclarations *list)
{
    struct type *best = reader_type_of(r, c);
    for (int i = 0; list && i < list->n; i++) {
        struct type *t = reader_type_of(r, list->items[i]);
        bool completes = best->kind == TYPE_ARRAY && best->length < 0;
        bool prototypes = best->kind == TYPE_FUNCTION && best->no_prototype;
        if (completes || prototypes)
            best = t;
    }
    return best;
}

/* Is one of two words written in this declaration (before a body), behind `after` when that is
 * given? */
static bool says(struct reader *r, CXCursor c, const char *after, const char *word,
                 const char *other)
{
    size_t start, end;
    bool found = after == NULL;
    reader_extent(r, c, &start, &end);
    for (struct token t = reader_token(r, start); t.start < end; t = reader_token(r, t.end)) {
        if (reader_token_is(r, t, "{"))
            break;
        if (found && (reader_token_is(r, t, word) || reader_token_is(r, t, other)))
            return true;
        found |= !found && reader_token_is(r, t, after);
    }
    return false;
}

static void apply_attributes(struct reader *r, struct decl *d, CXCursor c)
{
    struct attributes a = {0};
    reader_attributes(r, c, &a);
    if (a.refused)
        reader_refuse(r, c, "__attribute__((%s))", a.refused);
    if (a.alias && d->type->kind != TYPE_FUNCTION) /* blocks take two names for two objects */
        reader_refuse(r, c, "__attribute__((alias)) of an object");
    /* libclang forgets it where a declaration follows the definition; gcc does not. */
    d->is_weak |= a.is_weak || says(r, c, "__attribute__", "weak", "__weak__");
    /* the startup code calls constructors: no reference in the file shows it */
    d->is_used |= a.is_used || a.before_main || a.after_main;
    if (a.alias)
        d->alias = a.alias;
    if (a.before_main)
        d->before_main = a.before_main;
    if (a.after_main)
        d->after_main = a.after_main;
    d->is_noreturn |= a.is_noreturn;
    if (a.section)
        d->section = a.section;
    if (a.label && d->is_local && d->storage == STORAGE_AUTO)
        reader_refuse(r, c, "a variable in a register of its own");
    if (a.label)
        d->symbol = a.label;
    int64_t align =
        d->type->kind == TYPE_FUNCTION ? 0 : clang_Type_getAlignOf(clang_getCursorType(c));
    align = a.align > align ? a.align : align;
    if (align > d->align && align > d->type->align)
        d->align = align;
}

/* libclang has no call for it, but spells the attribute in the type. */
static bool is_noreturn(CXCursor c)
{
    CXString text = clang_getTypeSpelling(clang_getCursorType(c));
    const char *s = clang_getCString(text);
    bool found = s && strstr(s, "noreturn") != NULL;
    clang_disposeString(text);
    return found;
}

/* Two block-scope declarations of one external name are one entity. */
static struct decl *same_symbol(struct reader *r, const struct decl *d)
{
    for (int i = 0; i < r->unit->n; i++) {
        struct decl *other = r->unit->decls[i];
        if (!other->is_internal && other->name && strcmp(other->name, d->name) == 0)
            return other;
    }
    return NULL;
}

static struct decl *make_decl(struct reader *r, CXCursor c, CXCursor key)
{
    const struct redeclarations *list = cursor_map_get(&r->redeclarations, key);
    struct decl *d = heap_take(r->heap, sizeof *d);
    d->name = d->symbol = reader_spelling(r, c);
    d->at = reader_location(r, c);
    d->type = entity_type(r, c, list);
    d->storage = storage_of(key);
    d->is_local = list == NULL && clang_getCursorKind(c) != CXCursor_FunctionDecl;
    d->is_internal = d->storage == STORAGE_STATIC;
    d->is_thread_local = clang_getCursorTLSKind(c) != CXTLS_None;
    if (clang_getCursorKind(c) == CXCursor_FunctionDecl)
        d->is_noreturn = is_noreturn(c);
    apply_attributes(r, d, c);
    for (int i = 0; list && i < list->n; i++)
        apply_attributes(r, d, list->items[i]);
    if (d->storage == STORAGE_STATIC && d->is_local)
        d->symbol = heap_printf(r->heap, "%s.%d", d->name, r->serial++);
    return d;
}

struct decl *reader_decl(struct reader *r, CXCursor c)
{
    CXCursor key = clang_getCanonicalCursor(c);
    struct decl *d = cursor_map_get(&r->decls, key);
    if (!d) {
        d = make_decl(r, c, key);
        struct decl *known = d->storage == STORAGE_EXTERN ? same_symbol(r, d) : NULL;
        if (!known && d->storage >= STORAGE_STATIC)
            reader_add_decl(r, d);
        d = known ? known : d;
        cursor_map_put(r->heap, &r->decls, key, d);
    }
    note_reference(r, d);
    return d;
}

/* ---- functions ---- */

/*
 * Is this definition for inlining only, the function itself being defined elsewhere (C11 6.7.4p7)?
 * *own: a copy of it for this file's calls is wanted nevertheless, as gcc would inline it always,
 * and perhaps nobody defines the function.
 */
static bool is_inline_only(struct reader *r, CXCursor c, bool *own)
{
    const struct redeclarations *list =
        cursor_map_get(&r->redeclarations, clang_getCanonicalCursor(c));
    struct attributes a = {0};
    *own = false;
    if (!clang_Cursor_isFunctionInlined(c) || clang_getCursorLinkage(c) == CXLinkage_Internal)
        return false;
    reader_attributes(r, c, &a);
    /* GNU's rule: `extern inline` is for inlining only */
    if (a.is_gnu_inline || r->gnu_inline)
        return clang_Cursor_getStorageClass(c) == CX_SC_Extern;
    for (int i = 0; list && i < list->n; i++) {
        CXCursor other = list->items[i];
        bool is_inline = says(r, other, NULL, "inline", "__inline") ||
                         says(r, other, NULL, "__inline__", "__inline__");
        if (!is_inline ||
            clang_Cursor_getStorageClass(other) == CX_SC_Extern)
            return false;
    }
    *own = a.is_always_inline;
    return true;
}

static struct stmt *declaration_of(struct reader *r, struct decl *d)
{
    struct stmt *s = heap_take(r->heap, sizeof *s);
    s->kind = STMT_DECL;
    s->at = d->at;
    s->decl = d;
    return s;
}

static void prepend(struct reader *r, struct stmt *block, struct stmt *first)
{
    heap_grow(r->heap, &block->items, block->n, sizeof *block->items);
    memmove(block->items + 1, block->items, (size_t)block->n * sizeof *block->items);
    block->items[0] = first;
    block->n++;
}

/*
 * A parameter of an old-style definition arrives promoted: it becomes a parameter of the promoted
 * type, and the name a local that is initialised with it.
 */
static struct decl *promoted_parameter(struct reader *r, struct decl *local, struct type *type,
                                       struct stmt *body)
{
    struct decl *d = heap_take(r->heap, sizeof *d);
    *d = *local;
    d->type = type;
    d->name = heap_printf(r->heap, "%s.promoted", local->name);
    local->storage = STORAGE_AUTO;
    struct initializer *init = heap_take(r->heap, sizeof *init);
    init->items = heap_take(r->heap, sizeof *init->items);
    init->n = 1;
    init->extent = local->type->size;
    init->items[0].type = local->type;
    init->items[0].value = reader_cast(r, reader_name(r, d, local->at), local->type);
    local->init = init;
    prepend(r, body, declaration_of(r, local));
    return d;
}

static struct type *promoted_type(struct reader *r, struct type *t)
{
    t = type_plain(t);
    if (t->kind == TYPE_FLOAT)
        return r->types.basic[TYPE_DOUBLE];
    bool small = type_is_integer(t) && type_rank(t) < type_rank(r->types.basic[TYPE_INT]);
    return small ? r->types.basic[TYPE_INT] : t;
}

/* An old-style definition: its type in the unit is the prototype that its callers follow. */
static void promote_parameters(struct reader *r, struct decl *d)
{
    struct type *t = heap_take(r->heap, sizeof *t);
    *t = *d->type;
    t->plain = t;
    t->no_prototype = t->variadic = false;
    t->n = d->n_params;
    t->params = heap_take(r->heap, (size_t)t->n * sizeof *t->params);
    /* from the last, as each puts its local in front of the body */
    for (int i = d->n_params - 1; i >= 0; i--) {
        struct decl *p = d->params[i];
        t->params[i] = promoted_type(r, p->type);
        if (!type_same(t->params[i], p->type))
            d->params[i] = promoted_parameter(r, p, t->params[i], d->body);
    }
    d->type = t;
}

/* A parameter's array may have a length in the definition that its type does not tell. */
static bool is_of_variable(const struct type *t)
{
    while (t->kind == TYPE_POINTER || (t->kind == TYPE_ARRAY && !t->is_variable))
        t = t->base;
    return t->is_variable;
}

static bool is_old_style(const struct decl *d)
{
    if (d->n_params > 0 && d->type->n != d->n_params)
        return true;
    for (int i = 0; i < d->n_params; i++) {
        if (!type_same(d->type->params[i], d->params[i]->type) &&
            !is_of_variable(d->params[i]->type))
            return true;
    }
    return false;
}

static void read_parameters(struct reader *r, struct decl *d, CXCursor c)
{
    int n = clang_Cursor_getNumArguments(c);
    d->n_params = n < 0 ? 0 : n;
    d->params = heap_take(r->heap, (size_t)d->n_params * sizeof *d->params);
    for (int i = 0; i < d->n_params; i++) {
        CXCursor parameter = clang_Cursor_getArgument(c, (unsigned)i);
        d->params[i] = reader_decl(r, parameter);
        reader_vla_parameter(r, parameter);
    }
}

/* Reaching the end of main returns 0 (C11 5.1.2.2.3). */
static void end_main(struct reader *r, struct decl *d)
{
    if (strcmp(d->symbol, "main") != 0 || d->type->base->kind != TYPE_INT)
        return;
    struct stmt *s = heap_take(r->heap, sizeof *s);
    s->kind = STMT_RETURN;
    s->at = d->at;
    s->expr = reader_int_node(r, d->type->base, 0, d->at);
    heap_grow(r->heap, &d->body->items, d->body->n, sizeof *d->body->items);
    d->body->items[d->body->n++] = s;
}

/* What breaks the normal form is a mistake of ours: refused, never passed on. */
static void check(struct reader *r, const struct decl *d, CXCursor c)
{
    struct location at;
    const char *breach = ast_check(d, &at);
    if (breach)
        reader_refuse(r, c, "this definition (at line %d, %s)", at.line, breach);
}

static void read_function(struct reader *r, CXCursor c)
{
    bool own;
    if (is_inline_only(r, c, &own) && !own)
        return;
    struct decl *d = reader_decl(r, c);
    d->is_internal |= own;
    struct children list = reader_children(r, c);
    CXCursor body = list.n ? list.items[list.n - 1] : clang_getNullCursor();
    if (clang_getCursorKind(body) != CXCursor_CompoundStmt)
        reader_refuse(r, c, "a function of unknown structure");
    d->is_defined = true;
    d->is_inline = clang_Cursor_isFunctionInlined(c);
    d->storage = STORAGE_STATIC;
    d->at = reader_location(r, c);
    r->user = r->function = d;
    /* the definition may have one where declarations before it had none */
    if (d->type->no_prototype)
        d->type = reader_type_of(r, c);
    /* statements that must run at entry: sizes of parameters' arrays (reader_clang_vla.c) */
    r->n_entry = 0;
    read_parameters(r, d, c);
    d->body = reader_body(r, body);
    for (int i = r->n_entry - 1; i >= 0; i--)
        prepend(r, d->body, r->entry[i]);
    if (is_old_style(d))
        promote_parameters(r, d);
    end_main(r, d);
    check(r, d, c);
}

/* ---- objects ---- */

static bool is_const(CXType t)
{
    t = clang_getCanonicalType(t);
    while (t.kind == CXType_ConstantArray || t.kind == CXType_IncompleteArray)
        t = clang_getArrayElementType(t);
    return clang_isConstQualifiedType(t);
}

static void read_variable(struct reader *r, CXCursor c)
{
    CXCursor init = clang_Cursor_getVarDeclInitializer(c);
    bool has_init = !clang_Cursor_isNull(init);
    if (!has_init && clang_Cursor_getStorageClass(c) == CX_SC_Extern)
        return;
    struct decl *d = reader_decl(r, c);
    d->storage = STORAGE_STATIC;
    d->is_defined = true;
    d->is_const |= is_const(clang_getCursorType(c));
    if (d->type->kind == TYPE_ARRAY && d->type->length < 0) /* C11 6.9.2p5 */
        d->type = type_array_of(r->heap, d->type->base, 1);
    if (!has_init) {
        /* C11 6.9.2p2: another declaration of the file may initialise it */
        d->is_tentative = d->init == NULL;
        return;
    }
    d->is_tentative = false;
    d->at = reader_location(r, c);
    r->user = d;
    d->init = reader_initializer(r, d->type, init);
    check(r, d, c);
}

struct stmt *reader_local(struct reader *r, CXCursor c)
{
    switch (clang_getCursorKind(c)) {
    case CXCursor_VarDecl:
        break;
    case CXCursor_TypedefDecl:
        return reader_is_variable(clang_getTypedefDeclUnderlyingType(c)) ? reader_vla_sizes(r, c)
                                                                         : NULL;
    case CXCursor_StructDecl:
    case CXCursor_UnionDecl:
    case CXCursor_EnumDecl:
    case CXCursor_FunctionDecl:
    case CXCursor_StaticAssert:
        return NULL;
    default:
        reader_refuse(r, c, "a declaration of unknown kind");
    }
    /* names what is defined elsewhere: nothing to declare here */
    if (clang_Cursor_getStorageClass(c) == CX_SC_Extern)
        return NULL;
    bool is_variable = reader_is_variable(clang_getCursorType(c));
    struct stmt *sizes = is_variable ? reader_vla_sizes(r, c) : NULL;
    if (reader_is_vla(c))
        return sizes;
    struct decl *d = reader_decl(r, c);
    d->is_defined = true;
    d->is_const = is_const(clang_getCursorType(c));
    CXCursor init = clang_Cursor_getVarDeclInitializer(c);
    if (!clang_Cursor_isNull(init))
        d->init = reader_initializer(r, d->type, init);
    if (!sizes)
        return declaration_of(r, d);
    heap_grow(r->heap, &sizes->items, sizes->n, sizeof *sizes->items);
    sizes->items[sizes->n++] = declaration_of(r, d);
    return sizes;
}

/* ---- file scope ---- */

/* asm("...") at file scope; a lone semicolon is the other declaration that libclang does not name.
 */
static void read_unexposed(struct reader *r, CXCursor c)
{
    struct token t = reader_first_token(r, c);
    bool is_asm = reader_token_is(r, t, "asm") || reader_token_is(r, t, "__asm__") ||
                  reader_token_is(r, t, "__asm");
    if (!is_asm)
        return;
    struct token open = reader_token(r, t.end);
    size_t at = open.end;
    int64_t n;
    struct unit *u = r->unit;
    const char *text = reader_string_tokens(r, c, &at, 1, &n);
    heap_grow(r->heap, &u->asms, u->n_asms, sizeof *u->asms);
    u->asms[u->n_asms++] = text;
}

void reader_top_level(struct reader *r, CXCursor c)
{
    r->user = r->function = NULL;
    r->switch_type = NULL;
    /* a refusal may have left it at any value */
    r->depth = 0;
    switch (clang_getCursorKind(c)) {
    case CXCursor_FunctionDecl:
        if (clang_isCursorDefinition(c))
            read_function(r, c);
        break;
    case CXCursor_VarDecl:
        read_variable(r, c);
        break;
    case CXCursor_UnexposedDecl:
        read_unexposed(r, c);
        break;
    default:
        break; /* types, enumerations, static assertions: read where they are used */
    }
}

/* The entity stays, without a body, so that its users know that it is defined, and by whom. */
void reader_refused_definition(struct reader *r, CXCursor c, const char *message)
{
    enum CXCursorKind kind = clang_getCursorKind(c);
    CXCursor key = clang_getCanonicalCursor(c);
    struct decl *d = cursor_map_get(&r->decls, key);
    r->user = r->function = NULL;
    if (!d) {
        d = heap_take(r->heap, sizeof *d);
        d->name = d->symbol = reader_spelling(r, c);
        d->type = r->types.basic[TYPE_INT];
        if (kind == CXCursor_FunctionDecl) {
            struct type *t = heap_take(r->heap, sizeof *t);
            *t = (struct type){.kind = TYPE_FUNCTION, .size = -1, .align = 1, .plain = t,
                               .base = r->types.basic[TYPE_VOID], .no_prototype = true};
            d->type = t;
        }
        d->is_internal = clang_getCursorLinkage(c) == CXLinkage_Internal;
        cursor_map_put(r->heap, &r->decls, key, d);
        reader_add_decl(r, d);
    }
    d->storage = STORAGE_STATIC;
    d->is_defined = true;
    d->at = reader_location(r, c);
    d->body = NULL;
    d->init = NULL;
    d->params = NULL;
    d->n_params = 0;
    d->refused = message;
}
