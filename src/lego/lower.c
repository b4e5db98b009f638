/*
 * lower.c: the unit: which functions and data are lowered, the homes of variables, and the emission
 * of instructions. A function that cannot be lowered is kept with its reason; bad data end the
 * pass.
 */
#include "lego/lower.h"

#include <ctype.h>
#include <string.h>

void lower_refuse(struct lower *l, struct location at, const char *what)
{
    heap_fail(l->heap, at.file ? at : l->at, "%s", what);
}

/* Whether this unit has the function's body or the object's bytes. */
static bool is_defined(const struct decl *d)
{
    if (d->type->kind == TYPE_FUNCTION)
        return d->body != NULL || d->refused != NULL;
    return d->is_defined || d->is_tentative || d->init ||
           (d->storage == STORAGE_STATIC && d->is_local);
}

static void set_shape(struct ir_object *o, const struct decl *d)
{
    const struct type *t = d->type;
    o->type = ir_type_of(t);
    o->size = t->size > 0 ? t->size : 0;
    /* _Alignas may only make it stricter (C11 6.7.5p4) */
    o->align = t->align > d->align ? t->align : d->align;
    if (o->align < 1)
        o->align = 1;
    o->is_volatile = t->is_volatile;
    o->decl = (struct decl *)d;
}

/* First use of a function or static object; definitions are queued: what is used is lowered. */
static struct ir_object *global_object(struct lower *l, struct decl *d)
{
    bool function = d->type->kind == TYPE_FUNCTION;
    struct ir_object *o = ir_new_object(l->heap, NULL, function ? IR_FUNCTION : IR_STATIC);
    set_shape(o, d);
    /* __builtin_memcpy is memcpy */
    const char *library = d->body ? NULL : builtin_library_name(d->name);
    o->name = library ? library : d->symbol ? d->symbol : d->name;
    d->lowered = o;
    if (is_defined(d)) {
        heap_grow(l->heap, &l->queue, l->n_queue, sizeof *l->queue);
        l->queue[l->n_queue++] = d;
    }
    return o;
}

/* t7 is a temporary's name: a variable that is called so gets a point behind it. */
static bool looks_temporary(const char *name)
{
    return name[0] == 't' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1);
}

static const char *unique_name(struct lower *l, const char *name)
{
    int same = looks_temporary(name);
    for (int i = 0; i < l->f->n_objects; i++) {
        const struct ir_object *o = l->f->objects[i];
        same += o->decl && strcmp(o->decl->name ? o->decl->name : "", name) == 0;
    }
    return same ? heap_printf(l->heap, "%s.%d", name, same + 1) : name;
}

static struct ir_object *local_object(struct lower *l, struct decl *d)
{
    bool parameter = d->storage == STORAGE_PARAMETER;
    if (!l->f)
        lower_refuse(l, d->at, "initializer is not constant: it names an automatic variable");
    if (d->type->size < 0)
        lower_refuse(l, d->at, "variable of incomplete type");
    const char *name = d->name && d->name[0] ? unique_name(l, d->name)
                                             : heap_printf(l->heap, "unnamed.%d", l->f->n_objects);
    struct ir_object *o = ir_new_object(l->heap, l->f, parameter ? IR_PARAMETER : IR_LOCAL);
    set_shape(o, d);
    o->name = name;
    d->lowered = o;
    return o;
}

struct ir_object *lower_object(struct lower *l, struct decl *d)
{
    /* one home per entity, also from different functions for statics */
    if (d->lowered)
        return d->lowered;
    bool automatic = d->storage == STORAGE_AUTO || d->storage == STORAGE_PARAMETER;
    return automatic && d->type->kind != TYPE_FUNCTION ? local_object(l, d) : global_object(l, d);
}

struct ir_expr *lower_thread_address(struct lower *l, struct decl *d)
{
    if (!l->f)
        lower_refuse(l, l->at, "initializer is not constant: it names a thread-local variable");
    for (int i = 0; i < l->n_threads; i++)
        if (l->threads[i].decl == d)
            return ir_read(&l->build, l->threads[i].pointer);
    lower_object(l, d);
    heap_grow(l->heap, &l->threads, l->n_threads, sizeof *l->threads);
    struct lower_thread *t = &l->threads[l->n_threads++];
    *t = (struct lower_thread){d, ir_temporary(l->heap, l->f, IR_PTR)};
    return ir_read(&l->build, t->pointer);
}

/*
 *     t7 = __tls_get_addr(&x);
 *
 * before everything else, for each thread-local x: a thread's x does not move while it runs. What
 * the call really is, the target decides.
 */
static void insert_thread_addresses(struct lower *l)
{
    struct ir_function *f = l->f;
    int n = f->n_code, added;
    l->unreachable = false;
    l->at = f->decl->at;
    l->statement = 0;
    for (int i = 0; i < l->n_threads; i++) {
        struct ir_expr *x = ir_address(&l->build, l->threads[i].decl->lowered, 0);
        lower_library(l, "__tls_get_addr", &x, 1, l->threads[i].pointer);
    }
    added = f->n_code - n;
    struct ir_instr *moved = heap_take(l->heap, (size_t)added * sizeof *moved);
    memcpy(moved, f->code + n, (size_t)added * sizeof *moved);
    /* n_code has room for both: they were emitted at the end first */
    memmove(f->code + added, f->code, (size_t)n * sizeof *moved);
    memcpy(f->code, moved, (size_t)added * sizeof *moved);
    for (int i = 0; i < f->n_regions; i++) {
        f->regions[i].first += i ? added : 0; /* the body's own begins with them */
        f->regions[i].last += added;
    }
}

struct ir_object *lower_bytes(struct lower *l, const char *name, int64_t size, int64_t align)
{
    struct ir_object *o = ir_new_object(l->heap, l->f, IR_TEMPORARY);
    o->type = IR_BYTES;
    o->size = size;
    o->align = align > 0 ? align : 1;
    o->name = heap_printf(l->heap, "%s.%d", name, o->id);
    return o;
}

struct ir_object *lower_function(struct lower *l, const char *symbol)
{
    for (int i = 0; i < l->unit->n; i++) /* as the program declares it */
        if (l->unit->decls[i]->type->kind == TYPE_FUNCTION &&
            strcmp(l->unit->decls[i]->symbol ? l->unit->decls[i]->symbol : "", symbol) == 0)
            return lower_object(l, l->unit->decls[i]);
    struct ir_object *o = ir_new_object(l->heap, NULL, IR_FUNCTION);
    o->type = IR_VOID;
    o->align = 1;
    o->name = symbol;
    return o;
}

/* Code behind a jump is dropped until the next label: no block should be asked for that nobody
 * reaches. */
struct ir_instr *lower_emit(struct lower *l, enum ir_code code)
{
    if (!l->f)
        lower_refuse(l, l->at, "initializer is not constant");
    if (code == IR_LABEL)
        l->unreachable = false;
    if (l->unreachable)
        return heap_take(l->heap, sizeof(struct ir_instr)); /* dropped */
    heap_grow(l->heap, &l->f->code, l->f->n_code, sizeof *l->f->code);
    struct ir_instr *i = &l->f->code[l->f->n_code++];
    *i = (struct ir_instr){.code = code, .at = l->at, .statement = l->statement};
    l->unreachable = code == IR_JUMP || code == IR_RETURN || code == IR_SWITCH;
    return i;
}

void lower_assign(struct lower *l, struct ir_object *object, struct ir_expr *value)
{
    struct ir_instr *i = lower_emit(l, IR_ASSIGN);
    i->object = object;
    i->value = value;
}

void lower_jump(struct lower *l, int label)
{
    lower_emit(l, IR_JUMP)->label = label;
}

void lower_label(struct lower *l, int label)
{
    lower_emit(l, IR_LABEL)->label = label;
}

struct ir_expr *lower_temporary(struct lower *l, struct ir_expr *value)
{
    if (!l->f)
        lower_refuse(l, l->at, "initializer is not constant");
    struct ir_object *t = ir_temporary(l->heap, l->f, value->type);
    lower_assign(l, t, value);
    return ir_read(&l->build, t);
}

struct ir_expr *lower_simple(struct lower *l, struct ir_expr *value)
{
    return ir_is_simple(value) ? value : lower_temporary(l, value);
}

/* Trees over temporaries and constants read nothing that an effect could change. */
static bool is_stable(const struct ir_expr *e)
{
    if (e->op == IR_INT || e->op == IR_ADDRESS)
        return true;
    if (e->op == IR_READ)
        return e->object->place == IR_CONSTANT ||
               (e->object->place == IR_TEMPORARY && e->object->type != IR_BYTES);
    return e->op != IR_LOAD && is_stable(e->a) && (!e->b || is_stable(e->b)) &&
           (!e->c || is_stable(e->c));
}

struct ir_expr *lower_stable(struct lower *l, struct ir_expr *value)
{
    return is_stable(value) ? value : lower_temporary(l, value);
}

/* The parameters' homes, first of the function's objects and in order. */
static void lower_parameters(struct lower *l, struct decl *d)
{
    for (int i = 0; i < d->n_params; i++) {
        d->params[i]->storage = STORAGE_PARAMETER;
        lower_object(l, d->params[i]);
    }
}

static void start_function(struct lower *l, struct ir_function *f)
{
    l->f = f;
    l->at = f->decl->at;
    l->statement = 0;
    l->region = -1;
    l->unreachable = false;
    l->break_label = l->continue_label = -1;
    l->in_switch = NULL;
    l->labels = NULL;
    l->n_labels = 0;
    l->threads = NULL;
    l->n_threads = 0;
}

static void lower_definition(struct lower *l, struct ir_function *f)
{
    struct decl *d = f->decl;
    start_function(l, f);
    if (d->refused) {
        f->refused = d->refused;
        return;
    }
    lower_parameters(l, d);
    lower_body(l, d->body);
    if (l->n_threads)
        insert_thread_addresses(l);
    ir_tidy(&l->build, f);
    /* a mistake of ours costs this function, not a wrong program */
    const char *wrong = ir_check(l->heap, f);
    if (wrong)
        heap_fail(l->heap, d->at, "internal error: %s: %s", d->name, wrong);
}

static struct ir_function *add_function(struct lower *l, struct decl *d)
{
    heap_grow(l->heap, &l->out->functions, l->out->n_functions, sizeof *l->out->functions);
    struct ir_function *f = &l->out->functions[l->out->n_functions++];
    *f = (struct ir_function){.decl = d};
    return f;
}

struct definition {
    struct lower *l;
    struct decl *decl;
    struct ir_function *function; /* NULL: a datum */
};

static void lower_one(void *context)
{
    const struct definition *d = context;
    if (d->function)
        lower_definition(d->l, d->function);
    else
        lower_datum(d->l, d->decl);
}

/* What a definition holds that is not supported ends that definition only. NULL, or the message. */
static const char *try(struct lower *l, struct decl *d, struct ir_function *f)
{
    struct definition definition = {l, d, f};
    ashlar_error error;
    ashlar_status status = heap_run(l->heap, lower_one, &definition, &error);
    if (status == ASHLAR_BAD_INPUT)
        return heap_copy(l->heap, error.message, strlen(error.message));
    /* no memory: for everybody */
    if (status != ASHLAR_OK)
        heap_leave(l->heap, &error);
    return NULL;
}

static void refuse_function(struct ir_function *f, const char *why)
{
    f->refused = why;
    f->code = NULL;
    f->n_code = f->n_regions = 0;
}

static void try_function(struct lower *l, struct decl *d)
{
    struct ir_function *f = heap_take(l->heap, sizeof *f);
    f->decl = d;
    const char *why = try(l, d, f);
    if (why)
        refuse_function(f, why);
    *add_function(l, d) = *f;
}

static bool names(const struct ir_expr *e, const struct ir_object *o)
{
    return e && (e->object == o || names(e->a, o) || names(e->b, o) || names(e->c, o));
}

static bool uses(const struct ir_function *f, const struct ir_object *o)
{
    for (int i = 0; i < f->n_code; i++) {
        const struct ir_instr *n = &f->code[i];
        if (n->object == o || names(n->address, o) || names(n->value, o))
            return true;
        for (int k = 0; k < n->n_args; k++)
            if (names(n->args[k].value, o))
                return true;
    }
    return false;
}

/*
 * A datum that is refused stands among the functions that are: the host compiler may define it. One
 * that is local to a function goes with the function, as each compiler names those in its own way.
 */
static void try_datum(struct lower *l, struct decl *d)
{
    const char *why = try(l, d, NULL);
    bool used = false;
    if (!why)
        return;
    for (int i = 0; d->is_local && i < l->out->n_functions; i++)
        if (uses(&l->out->functions[i], d->lowered)) {
            refuse_function(&l->out->functions[i], why);
            used = true;
        }
    if (d->is_local && !used) /* an address in other data */
        heap_fail(l->heap, (struct location){0}, "%s", why);
    if (!d->is_local)
        refuse_function(add_function(l, d), why);
}

/* What others may use, or the reader knows to be used, is lowered in any case. */
static bool is_root(const struct decl *d)
{
    return is_defined(d) && (d->is_used || (!d->is_internal && !d->is_inline && !d->is_local));
}

static void lower_all(struct lower *l)
{
    /* the field is ours; it may stem from another lowering of this unit */
    for (int i = 0; i < l->unit->n; i++)
        l->unit->decls[i]->lowered = NULL;
    for (int i = 0; i < l->unit->n; i++)
        if (is_root(l->unit->decls[i]) && !l->unit->decls[i]->lowered)
            global_object(l, l->unit->decls[i]);
    for (int i = 0; i < l->n_queue; i++) { /* grows as it is worked off */
        struct decl *d = l->queue[i];
        l->at = d->at;
        l->f = NULL;
        if (d->type->kind == TYPE_FUNCTION)
            try_function(l, d);
        else
            try_datum(l, d);
    }
    l->out->constants = l->build.constants;
    l->out->n_constants = l->build.n_constants;
}

struct lowering {
    struct unit *unit;
    struct ir_unit *out; /* NULL: not whole */
};

static void lower_whole(void *context)
{
    struct lowering *whole = context;
    struct heap *h = &whole->unit->heap;
    struct lower *l = heap_take(h, sizeof *l);
    l->heap = h;
    l->unit = whole->unit;
    l->out = heap_take(h, sizeof *l->out);
    l->out->unit = whole->unit;
    ir_builder_init(&l->build, h);
    l->build.wraps = whole->unit->wraps;
    lower_all(l);
    whole->out = l->out;
}

ashlar_status lower_unit(struct unit *unit, struct ir_unit **out, ashlar_error *err)
{
    struct lowering whole = {.unit = unit};
    ashlar_status status = heap_run(&unit->heap, lower_whole, &whole, err);
    *out = whole.out;
    return status;
}
