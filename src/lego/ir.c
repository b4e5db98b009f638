/*
 * ir.c: facts about the IR's types, and what makes new temporaries and labels.
 */
#include "lego/ir.h"

#include <string.h>

int64_t ir_type_size(enum ir_type t)
{
    switch (t) {
    case IR_I8: case IR_U8: return 1;
    case IR_I16: case IR_U16: return 2;
    case IR_I32: case IR_U32: case IR_F32: return 4;
    case IR_I64: case IR_U64: case IR_F64: case IR_PTR: return 8;
    /* 10 bytes of value, 6 of padding (System V ABI 3.1.2) */
    case IR_F80: return 16;
    case IR_BYTES: case IR_VOID: break;
    }
    return 0;
}

/* Names as blocks write them (docs/blocks.md), which is part of a block's key: renaming one makes
 * every cache useless. */
const char *ir_type_name(enum ir_type t)
{
    switch (t) {
    case IR_I8: return "signed char";
    case IR_U8: return "unsigned char";
    case IR_I16: return "short";
    case IR_U16: return "unsigned short";
    case IR_I32: return "int";
    case IR_U32: return "unsigned int";
    case IR_I64: return "long";
    case IR_U64: return "unsigned long";
    case IR_F32: return "float";
    case IR_F64: return "double";
    case IR_F80: return "long double";
    case IR_PTR: return "char*";
    case IR_BYTES: return "bytes";
    case IR_VOID: break;
    }
    return "void";
}

bool ir_is_float(enum ir_type t)
{
    return t == IR_F32 || t == IR_F64 || t == IR_F80;
}

bool ir_is_signed(enum ir_type t)
{
    return t == IR_I8 || t == IR_I16 || t == IR_I32 || t == IR_I64;
}

enum ir_type ir_type_of(const struct type *t)
{
    switch (t->kind) {
    /* a _Bool in memory is 0 or 1: conversions to it compare with 0 (lower_expr.c) */
    case TYPE_BOOL: case TYPE_UCHAR: return IR_U8;
    case TYPE_CHAR: case TYPE_SCHAR: return IR_I8; /* plain char is signed on x86-64 */
    case TYPE_SHORT: return IR_I16;
    case TYPE_USHORT: return IR_U16;
    case TYPE_INT: return IR_I32;
    case TYPE_UINT: return IR_U32;
    case TYPE_LONG: case TYPE_LLONG: return IR_I64;
    case TYPE_ULONG: case TYPE_ULLONG: return IR_U64;
    case TYPE_FLOAT: return IR_F32;
    case TYPE_DOUBLE: return IR_F64;
    case TYPE_LDOUBLE: return IR_F80;
    case TYPE_POINTER: return IR_PTR;
    case TYPE_ARRAY: case TYPE_RECORD: case TYPE_VA_LIST_TAG:
    case TYPE_COMPLEX: case TYPE_INT128: case TYPE_UINT128: /* two words */
        return IR_BYTES;
    case TYPE_VOID: case TYPE_FUNCTION: break;
    }
    return IR_VOID;
}

/* The call that stands for the address of a thread-local object (lower.c); what it really becomes,
 * the target decides. */
bool ir_is_thread_address(const struct ir_instr *i)
{
    if (i->code != IR_CALL || i->n_args != 1 || i->args[0].value->op != IR_ADDRESS || !i->object)
        return false;
    const struct decl *d = i->args[0].value->object->decl;
    return d && d->is_thread_local && i->callee->op == IR_ADDRESS &&
           strcmp(i->callee->object->name, "__tls_get_addr") == 0;
}

struct ir_object *ir_new_object(struct heap *h, struct ir_function *f, enum ir_place place)
{
    struct ir_object *o = heap_take(h, sizeof *o);
    o->place = place;
    o->id = -1;
    if (f) {
        heap_grow(h, &f->objects, f->n_objects, sizeof *f->objects);
        o->id = f->n_objects;
        f->objects[f->n_objects++] = o;
    }
    return o;
}

struct ir_object *ir_temporary(struct heap *h, struct ir_function *f, enum ir_type type)
{
    struct ir_object *o = ir_new_object(h, f, IR_TEMPORARY);
    o->type = type;
    o->size = o->align = ir_type_size(type);
    o->name = heap_printf(h, "t%d", o->id);
    return o;
}

int ir_label(struct ir_function *f)
{
    return f->n_labels++;
}
