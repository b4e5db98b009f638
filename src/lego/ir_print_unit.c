/*
 * ir_print_unit.c: a lowered unit as one C program over its objects: scalars as variables,
 * aggregates as aligned bytes, calls through pointers of exactly the types that are passed, symbols
 * by asm labels so that the program's names never meet the compiler's.
 */
#include "lego/ir_print_unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/*
 * An object's name as a C identifier: a letter for its place, so that functions, statics and locals
 * cannot meet each other or the C library; asm labels say the real names. What C does not take in a
 * name becomes $.
 */
static const char *c_name(void *context, const struct ir_object *o)
{
    struct unit_printer *p = context;
    const char *prefix = o->place == IR_FUNCTION ? "f_" : o->place == IR_STATIC ? "g_"
                         : o->place == IR_CONSTANT ? "k_" : "v_";
    char *name = heap_printf(p->heap, "%s%s", prefix, o->name);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            *at = '$';
    return name;
}

static const char *label_of(void *context, int label)
{
    struct unit_printer *p = context;
    return heap_printf(p->heap, "L%d", label);
}

static const char *scalar_text(enum ir_type t)
{
    return t == IR_PTR ? "char *" : ir_type_name(t);
}

/* A type as it is passed or returned. */
static const char *passed_text(struct unit_printer *p, const struct type *t)
{
    return ir_type_of(t) == IR_BYTES ? print_record(p, t) : scalar_text(ir_type_of(t));
}

/* ---- declarations ---- */

static const char *parameter_text(struct unit_printer *p, const struct decl *function, int i)
{
    const struct type *t = function->params[i]->type;
    /* an old-style definition gets its floats as doubles (C11 6.5.2.2p6) */
    bool promoted = function->type->no_prototype && t->kind == TYPE_FLOAT;
    return promoted ? "double" : passed_text(p, t);
}

static void print_signature(struct unit_printer *p, const struct decl *d, const struct ir_object *o)
{
    const char *result = passed_text(p, d->type->base);
    struct buf params;
    buf_init(&params, 1 << 20);
    for (int i = 0; i < d->n_params; i++)
        buf_printf(&params, "%s%s p%d", i ? ", " : "", parameter_text(p, d, i), i);
    if (d->n_params == 0)
        buf_puts(&params, "void");
    else if (d->type->variadic)
        buf_puts(&params, ", ...");
    buf_printf(p->out, "%s%s %s(%s)", d->is_internal ? "static " : "", result, c_name(p, o),
               params.data);
    buf_fini(&params);
}

/* A function that is here: its definition was lowered. */
static const struct ir_function *definition(struct unit_printer *p, const struct ir_object *o)
{
    for (int i = 0; o->decl && i < p->unit->n_functions; i++)
        if (p->unit->functions[i].decl == o->decl && !p->unit->functions[i].refused)
            return &p->unit->functions[i];
    return NULL;
}

/* A function of elsewhere is declared without its type: calls give theirs. */
static void declare_function(struct unit_printer *p, const struct ir_object *o)
{
    bool weak = o->decl && (o->decl->is_weak || (o->decl->is_inline && !o->decl->is_internal));
    if (definition(p, o))
        print_signature(p, o->decl, o);
    else
        buf_printf(p->out, "extern void %s(void)", c_name(p, o));
    buf_printf(p->out, " __asm__(\"%s\")%s%s;\n", o->name,
               definition(p, o) ? " __attribute__((used, noinline))" : "",
               weak ? " __attribute__((weak))" : "");
}

static void declare_static(struct unit_printer *p, const struct ir_object *o)
{
    bool weak = o->decl && o->decl->is_weak;
    buf_printf(p->out, "extern %s%s%s%s %s%s __asm__(\"%s\")%s;\n",
               o->decl && o->decl->is_thread_local ? "_Thread_local " : "",
               o->is_volatile ? "volatile " : "",
               o->place == IR_CONSTANT ? "const " : "",
               o->type == IR_BYTES ? "char" : scalar_text(o->type), c_name(p, o),
               o->type == IR_BYTES ? "[]" : "", o->name, weak ? " __attribute__((weak))" : "");
}

static void declare_global(struct unit_printer *p, const struct ir_object *o)
{
    /* of a function: print_local() declares it */
    if (o->id >= 0)
        return;
    /* also by name: a library function may be declared by the program and again by lowering */
    for (int i = p->n_globals - 1; i >= 0; i--)
        if (p->globals[i] == o || (strcmp(p->globals[i]->name, o->name) == 0 &&
                                   p->globals[i]->place == o->place))
            return;
    heap_grow(p->heap, &p->globals, p->n_globals, sizeof(struct ir_object *));
    p->globals[p->n_globals++] = o;
    if (o->place == IR_FUNCTION)
        declare_function(p, o);
    else
        declare_static(p, o);
}

static void declare_used(struct unit_printer *p, const struct ir_expr *e)
{
    if (!e)
        return;
    if (e->object)
        declare_global(p, e->object);
    declare_used(p, e->a);
    declare_used(p, e->b);
    declare_used(p, e->c);
}

static void declare_of_instr(struct unit_printer *p, const struct ir_instr *i)
{
    if (i->object)
        declare_global(p, i->object);
    declare_used(p, i->address);
    declare_used(p, i->value);
    declare_used(p, i->callee);
    for (int k = 0; k < i->n_args; k++) {
        declare_used(p, i->args[k].value);
        if (i->args[k].aggregate)
            print_record(p, i->args[k].aggregate);
    }
    if (i->aggregate)
        print_record(p, i->aggregate);
}

/* ---- bodies ---- */

static void print_local(struct unit_printer *p, const struct ir_object *o)
{
    const char *is_volatile = o->is_volatile ? "volatile " : "";
    if (o->type == IR_BYTES)
        buf_printf(p->out, "    %schar %s[%" PRId64 "] __attribute__((aligned(%" PRId64 ")));\n",
                   is_volatile, c_name(p, o), o->size > 0 ? o->size : 1, o->align);
    else
        buf_printf(p->out, "    %s%s %s __attribute__((aligned(%" PRId64 ")));\n", is_volatile,
                   scalar_text(o->type), c_name(p, o), o->align);
}

/* Parameters are copied to their homes first, as the target's prologue does. */
static void print_parameters(struct unit_printer *p, const struct decl *d)
{
    for (int i = 0; i < d->n_params; i++) {
        const struct ir_object *o = d->params[i]->lowered;
        if (o->type == IR_BYTES)
            buf_printf(p->out, "    __builtin_memcpy((void *)%s, &p%d, %" PRId64 ");\n",
                       c_name(p, o), i, o->size);
        else
            buf_printf(p->out, "    %s = p%d;\n", c_name(p, o), i);
    }
}

static void print_argument_types(struct unit_printer *p, const struct ir_instr *i)
{
    const struct type *t = i->callee_type;
    /* the types of the arguments decide then, which are promoted already */
    if (t->no_prototype) {
        buf_puts(p->out, "()");
        return;
    }
    buf_puts(p->out, "(");
    for (int k = 0; k < i->n_args; k++) {
        if (t->variadic && k >= t->n)
            break;
        const struct ir_argument *a = &i->args[k];
        buf_printf(p->out, "%s%s", k ? ", " : "",
                   a->aggregate ? passed_text(p, a->aggregate) : scalar_text(a->value->type));
    }
    buf_puts(p->out, t->variadic ? ", ...)" : i->n_args ? ")" : "void)");
}

/*
 *     { int (*fp)(char *, ...) = (void *)f_printf; t = fp((char *)(v), (int)(x)); }
 *
 * By way of a pointer: cc turns a direct call with another type than the declared one into a trap.
 */
static void print_call(const struct ir_printer *printer, const struct ir_instr *i)
{
    struct unit_printer *p = printer->context;
    if (i->callee->op == IR_ADDRESS && strcmp(i->callee->object->name, "alloca") == 0) {
        if (i->object)
            buf_printf(p->out, "%s = ", c_name(p, i->object));
        buf_puts(p->out, "__builtin_alloca(");
        ir_print_expr(printer, i->args[0].value);
        buf_puts(p->out, ");\n"); /* no function: memory of the caller's frame */
        return;
    }
    /* cc finds the place of a _Thread_local itself */
    if (ir_is_thread_address(i)) {
        buf_printf(p->out, "%s = ", c_name(p, i->object));
        ir_print_expr(printer, i->args[0].value);
        buf_puts(p->out, ";\n");
        return;
    }
    const char *result = passed_text(p, i->callee_type->base);
    buf_printf(p->out, "{ %s (*fp)", result);
    print_argument_types(p, i);
    buf_puts(p->out, " = (void *)");
    ir_print_expr(printer, i->callee);
    buf_puts(p->out, "; ");
    if (i->object && i->aggregate)
        buf_printf(p->out, "*(%s *)%s = ", result, c_name(p, i->object));
    else if (i->object)
        buf_printf(p->out, "%s = ", c_name(p, i->object));
    buf_puts(p->out, "fp(");
    for (int k = 0; k < i->n_args; k++) {
        const struct ir_argument *a = &i->args[k];
        buf_puts(p->out, k ? ", " : "");
        if (a->aggregate)
            buf_printf(p->out, "*(%s *)(", passed_text(p, a->aggregate));
        else
            buf_printf(p->out, "(%s)(", scalar_text(a->value->type));
        ir_print_expr(printer, a->value);
        buf_puts(p->out, ")");
    }
    buf_puts(p->out, "); }\n");
}

/* Cases as ranges (GNU), which also says single values. */
static void print_switch(const struct ir_printer *printer, const struct ir_instr *i)
{
    struct unit_printer *p = printer->context;
    buf_puts(p->out, "switch (");
    ir_print_expr(printer, i->value);
    buf_puts(p->out, ") {\n");
    for (int k = 0; k < i->n_cases; k++) {
        /* not by name: a case must be a constant */
        struct ir_expr low = {.op = IR_INT, .type = i->value->type, .value = i->cases[k].low};
        struct ir_expr high = {.op = IR_INT, .type = i->value->type, .value = i->cases[k].high};
        buf_puts(p->out, "    case ");
        ir_print_expr(printer, &low);
        buf_puts(p->out, " ... ");
        ir_print_expr(printer, &high);
        buf_printf(p->out, ": goto L%d;\n", i->cases[k].label);
    }
    buf_printf(p->out, "    default: goto L%d;\n    }\n", i->label);
}

static void print_return(const struct ir_printer *printer, const struct ir_instr *i)
{
    struct unit_printer *p = printer->context;
    buf_puts(p->out, "return");
    if (i->aggregate)
        buf_printf(p->out, " *(%s *)(", passed_text(p, i->aggregate));
    else if (i->value)
        buf_puts(p->out, " (");
    if (i->value) {
        ir_print_expr(printer, i->value);
        buf_puts(p->out, ")");
    }
    buf_puts(p->out, ";\n");
}

static void print_instr(const struct ir_printer *printer, const struct ir_function *f,
                        const struct ir_instr *i)
{
    struct unit_printer *p = printer->context;
    buf_puts(p->out, i->code == IR_LABEL ? "" : "    ");
    switch (i->code) {
    case IR_CALL: print_call(printer, i); break;
    case IR_SWITCH: print_switch(printer, i); break;
    case IR_RETURN: print_return(printer, i); break;
    case IR_VA_START:
        buf_puts(p->out, "__builtin_va_start(*(__builtin_va_list *)(");
        ir_print_expr(printer, i->address);
        buf_printf(p->out, "), p%d);\n", f->decl->n_params - 1);
        break;
    default: ir_print_instr(printer, i);
    }
}

static void print_function(struct unit_printer *p, const struct ir_function *f)
{
    struct ir_printer printer = {.name = c_name, .label = label_of, .context = p, .out = p->out};
    print_signature(p, f->decl, f->decl->lowered);
    buf_puts(p->out, "\n{\n");
    for (int i = 0; i < f->n_objects; i++)
        print_local(p, f->objects[i]);
    print_parameters(p, f->decl);
    for (int i = 0; i < f->n_code; i++)
        print_instr(&printer, f, &f->code[i]);
    buf_puts(p->out, "}\n\n");
}

static void declare_all(struct unit_printer *p)
{
    for (int k = 0; k < p->unit->n_functions; k++) {
        const struct ir_function *f = &p->unit->functions[k];
        if (f->refused)
            continue;
        declare_global(p, f->decl->lowered);
        for (int i = 0; i < f->n_code; i++)
            declare_of_instr(p, &f->code[i]);
    }
}

/* Why a function is left out names files, whose names may hold anything: also what ends a comment.
 */
static void print_refusal(struct unit_printer *p, const struct ir_function *f)
{
    char *text = heap_printf(p->heap, "%s: %s", f->decl->name, f->refused);
    for (char *at = text; *at; at++)
        if (at[0] == '*' && at[1] == '/')
            at[1] = '|';
    buf_printf(p->out, "/* %s */\n", text);
}

static void print_unit(void *context)
{
    struct unit_printer *p = context;
    declare_all(p);
    buf_puts(p->out, "\n");
    for (int k = 0; k < p->unit->n_functions; k++) {
        const struct ir_function *f = &p->unit->functions[k];
        if (f->refused)
            print_refusal(p, f);
        else
            print_function(p, f);
    }
    print_data(p);
}

void ir_print_unit(const struct ir_unit *unit, struct buf *out)
{
    struct unit_printer p = {.unit = unit, .heap = &unit->unit->heap, .out = out};
    if (heap_run(p.heap, print_unit, &p, NULL) != ASHLAR_OK)
        out->failed = true; /* no memory */
}
