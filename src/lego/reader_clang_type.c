/*
 * reader_clang_type.c: libclang's types as ours: canonical, laid out as libclang says, each
 * converted once. A record is entered into the map before its fields are read, so that it may point
 * at itself.
 */
#include <string.h>

#include "lego/reader_clang.h"

struct type_slot {
    void *key; /* the canonical type with its qualifiers, as libclang identifies it */
    struct type *value;
};

/* Open addressing, at most half full, so that the search ends at a free slot. Keys are pointers,
 * whose low bits are alike: the multiplication brings the others up. */
static struct type_slot *find(struct type_slot *slots, unsigned capacity, void *key)
{
    uint64_t hash = (uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u;
    unsigned i = (unsigned)(hash >> 40) & (capacity - 1);
    while (slots[i].value && slots[i].key != key)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

/* The table may have grown, and the type may have been entered, while its parts were read: the
 * slot is looked for anew. */
static void remember(struct reader *r, void *key, struct type *value)
{
    if (r->type_used * 2 >= r->type_capacity) {
        unsigned capacity = r->type_capacity ? r->type_capacity * 2 : 256;
        struct type_slot *slots = heap_take(r->heap, capacity * sizeof *slots);
        for (unsigned i = 0; i < r->type_capacity; i++) {
            if (r->type_slots[i].value)
                *find(slots, capacity, r->type_slots[i].key) = r->type_slots[i];
        }
        r->type_slots = slots;
        r->type_capacity = capacity;
    }
    struct type_slot *slot = find(r->type_slots, r->type_capacity, key);
    r->type_used += slot->value == NULL;
    *slot = (struct type_slot){key, value};
}

/* libclang gives negative codes for what has no size (incomplete, flexible); -1 is ours. */
static void lay_out(struct type *t, CXType from)
{
    long long size = clang_Type_getSizeOf(from), align = clang_Type_getAlignOf(from);
    t->size = size < 0 ? -1 : size;
    t->align = align < 1 ? 1 : align;
}

/* ---- records ---- */

struct field_list {
    CXCursor *items; /* (capacity) NULL: only counting */
    int n;
};

/* Called from inside libclang: no heap here, which may longjmp across its frames. */
static enum CXVisitorResult collect_field(CXCursor c, CXClientData data)
{
    struct field_list *list = data;
    if (list->items)
        list->items[list->n] = c;
    list->n++;
    return CXVisit_Continue;
}

/* libclang counts bits from the record's start. A bit-field is kept as its storage unit and the
 * bits within it, as C's accesses see it (ast.h). */
static void place_field(struct reader *r, CXCursor c, struct field *f)
{
    long long bit = clang_Cursor_getOffsetOfField(c);
    if (bit < 0)
        reader_refuse(r, c, "a field whose place is unknown");
    f->bit_width = -1;
    f->offset = bit / 8;
    if (clang_Cursor_isBitField(c)) {
        if (type_is_pair(f->type))
            reader_refuse(r, c, "a bit-field of __int128");
        int64_t unit = f->type->size * 8;
        f->bit_width = clang_getFieldDeclBitWidth(c);
        f->offset = bit / unit * f->type->size;
        f->bit_offset = (int)(bit - f->offset * 8);
    }
}

/* Unnamed bit-fields are padding: what is listed can be initialised. */
static void read_fields(struct reader *r, struct type *t, CXType from)
{
    /* twice: the first visit counts, as the heap cannot take memory within it */
    struct field_list list = {0};
    clang_Type_visitFields(from, collect_field, &list);
    list.items = heap_take(r->heap, (size_t)list.n * sizeof *list.items);
    list.n = 0;
    clang_Type_visitFields(from, collect_field, &list);
    struct field *fields = heap_take(r->heap, (size_t)list.n * sizeof *fields);
    int n = 0;
    for (int i = 0; i < list.n; i++) {
        CXCursor c = list.items[i];
        const char *name = reader_spelling(r, c);
        if (!*name && clang_Cursor_isBitField(c))
            continue;
        struct field *f = &fields[n++];
        f->name = *name ? name : NULL;
        f->type = reader_type(r, clang_getCursorType(c), c);
        place_field(r, c, f);
        cursor_map_put(r->heap, &r->fields, c, f);
    }
    t->fields = fields;
    t->n = n;
}

/* libclang spells a record without a tag by its place, "(unnamed struct at ...)"; a path in the
 * name of a type would make messages depend on the machine. */
static const char *record_name(struct reader *r, CXCursor definition)
{
    const char *name = reader_spelling(r, definition);
    if (clang_Cursor_isAnonymous(definition) || !*name || strchr(name, '('))
        return NULL;
    return name;
}

/* The builtin record has no place in the source; a program's own struct of that name has one. */
static bool is_va_list_tag(struct reader *r, CXCursor declaration)
{
    return strcmp(reader_spelling(r, declaration), "__va_list_tag") == 0 &&
           reader_location(r, declaration).line == 0;
}

/* A record with a field of an unsupported type is refused now and at every later use. */
static void read_fields_or_spoil(struct reader *r, struct type *t, CXType from, CXCursor key)
{
    jmp_buf here, *outer = r->refusal;
    int depth = r->depth;
    if (setjmp(here) == 0) {
        r->refusal = &here;
        read_fields(r, t, from);
        r->refusal = outer;
        return;
    }
    r->refusal = outer;
    /* the jump has passed over the reader_leave() calls */
    r->depth = depth;
    cursor_map_put(r->heap, &r->spoiled, key, (void *)(uintptr_t)r->refused);
    reader_refuse_again(r, r->refused);
}

static struct type *record_type(struct reader *r, CXType from)
{
    CXCursor declaration = clang_getTypeDeclaration(from);
    CXCursor definition = clang_getCursorDefinition(declaration);
    bool is_complete = !clang_Cursor_isNull(definition);
    CXCursor key = clang_getCanonicalCursor(declaration);
    struct type *t = cursor_map_get(&r->records, key);
    const char *why = cursor_map_get(&r->spoiled, key);
    if (why)
        reader_refuse_again(r, why);
    if (t)
        return t;
    t = heap_take(r->heap, sizeof *t);
    t->plain = t;
    t->kind = is_va_list_tag(r, declaration) ? TYPE_VA_LIST_TAG : TYPE_RECORD;
    t->is_union = clang_getCursorKind(declaration) == CXCursor_UnionDecl;
    t->name = record_name(r, declaration);
    lay_out(t, from);
    /* before the fields: a list's record points at itself */
    cursor_map_put(r->heap, &r->records, key, t);
    if (is_complete && t->kind == TYPE_RECORD)
        read_fields_or_spoil(r, t, from, key);
    return t;
}

/* ---- the rest ---- */

/* A function is no object: size -1, as of what is incomplete. () says nothing of parameters (C11
 * 6.7.6.3p14): calls promote their arguments instead. */
static struct type *function_type(struct reader *r, CXType from, CXCursor at)
{
    struct type *t = heap_take(r->heap, sizeof *t);
    t->kind = TYPE_FUNCTION;
    t->plain = t;
    t->size = -1;
    t->align = 1;
    t->no_prototype = from.kind == CXType_FunctionNoProto;
    t->variadic = !t->no_prototype && clang_isFunctionTypeVariadic(from);
    int n = t->no_prototype ? 0 : clang_getNumArgTypes(from);
    t->n = n < 0 ? 0 : n;
    t->params = heap_take(r->heap, (size_t)t->n * sizeof *t->params);
    t->base = reader_type(r, clang_getResultType(from), at);
    for (int i = 0; i < t->n; i++)
        t->params[i] = reader_type(r, clang_getArgType(from, (unsigned)i), at);
    return t;
}

/* Length and size are libclang's: a flexible array, or one whose initialiser is still to come, has
 * neither. */
static struct type *array_type(struct reader *r, CXType from, CXCursor at)
{
    struct type *element = reader_type(r, clang_getArrayElementType(from), at);
    long long length = from.kind == CXType_IncompleteArray ? -1 : clang_getArraySize(from);
    struct type *t = type_array_of(r->heap, element, length < 0 ? -1 : length);
    lay_out(t, from);
    return t;
}

/* By kind: long and long long, char and signed char stay different types though blocks do not tell
 * them apart (_Generic and type_same do). */
static int basic_kind(enum CXTypeKind kind)
{
    switch (kind) {
    case CXType_Void: return TYPE_VOID;
    case CXType_Bool: return TYPE_BOOL;
    case CXType_Char_S:
    case CXType_Char_U: return TYPE_CHAR;
    case CXType_SChar: return TYPE_SCHAR;
    case CXType_UChar: return TYPE_UCHAR;
    case CXType_Short: return TYPE_SHORT;
    case CXType_UShort: return TYPE_USHORT;
    case CXType_Int: return TYPE_INT;
    case CXType_UInt: return TYPE_UINT;
    case CXType_Long: return TYPE_LONG;
    case CXType_ULong: return TYPE_ULONG;
    case CXType_LongLong: return TYPE_LLONG;
    case CXType_ULongLong: return TYPE_ULLONG;
    case CXType_Int128: return TYPE_INT128;
    case CXType_UInt128: return TYPE_UINT128;
    case CXType_Float: return TYPE_FLOAT;
    case CXType_Double: return TYPE_DOUBLE;
    case CXType_LongDouble: return TYPE_LDOUBLE;
    default: return -1;
    }
}

static const char *unsupported_name(CXType t)
{
    switch (t.kind) {
    case CXType_Float128: return "_Float128";
    case CXType_Half:
    case CXType_Float16: return "_Float16";
    case CXType_Atomic: return "_Atomic";
    case CXType_Vector:
    case CXType_ExtVector: return "a vector type";
    default: return "a type unknown to the reader";
    }
}

/* The type without its qualifiers: reader_type() adds volatile, and const matters for declarations
 * only. */
static struct type *convert(struct reader *r, CXType t, CXCursor at)
{
    switch (t.kind) {
    case CXType_Enum:
        return reader_type(r, clang_getEnumDeclIntegerType(clang_getTypeDeclaration(t)), at);
    case CXType_Pointer:
        return type_pointer_to(r->heap, reader_type(r, clang_getPointeeType(t), at));
    case CXType_Complex:
        return type_complex_of(r->heap, reader_type(r, clang_getElementType(t), at));
    case CXType_ConstantArray:
    case CXType_IncompleteArray:
        return array_type(r, t, at);
    case CXType_VariableArray:
        return reader_vla_type(r, t, at);
    case CXType_Record:
        return record_type(r, t);
    case CXType_FunctionProto:
    case CXType_FunctionNoProto:
        return function_type(r, t, at);
    default:
        break;
    }
    int kind = basic_kind(t.kind);
    if (kind < 0)
        reader_refuse(r, at, "%s", unsupported_name(t));
    return r->types.basic[kind];
}

/* The fields of a volatile record are given to the copy at the end: they may still be being read.
 */
static struct type *volatile_type(struct reader *r, struct type *t)
{
    t = type_with_volatile(r->heap, t);
    if (t->kind == TYPE_RECORD) {
        heap_grow(r->heap, &r->volatile_records, r->n_volatile_records,
                  sizeof *r->volatile_records);
        r->volatile_records[r->n_volatile_records++] = t;
    }
    return t;
}

struct type *reader_type(struct reader *r, CXType from, CXCursor at)
{
    CXType canonical = clang_getCanonicalType(from);
    struct type_slot *slot =
        r->type_capacity ? find(r->type_slots, r->type_capacity, canonical.data[0]) : NULL;
    if (slot && slot->value)
        return slot->value;
    /* types nest without a bound in the source: int ********... */
    reader_enter(r, at);
    struct type *t = convert(r, canonical, at);
    if (clang_isVolatileQualifiedType(canonical) && t->kind != TYPE_FUNCTION)
        t = volatile_type(r, t);
    reader_leave(r);
    remember(r, canonical.data[0], t);
    return t;
}

/* What an lvalue of this type becomes when its value is used: arrays and functions decay,
 * qualifiers go (C11 6.3.2.1p2 to p4). */
struct type *reader_value_type(struct reader *r, CXCursor c)
{
    CXType t = clang_getCanonicalType(clang_getCursorType(c));
    switch (t.kind) {
    case CXType_ConstantArray:
    case CXType_IncompleteArray:
    case CXType_VariableArray:
        return type_pointer_to(r->heap, reader_type(r, clang_getArrayElementType(t), c));
    case CXType_FunctionProto:
    case CXType_FunctionNoProto:
        return type_pointer_to(r->heap, reader_type(r, t, c));
    default:
        return type_plain(reader_type(r, t, c));
    }
}

/* Parameters of array and function type are pointers (C11 6.7.6.3p7, p8); volatile of the
 * parameter itself stays, since it is an object of the function. */
struct type *reader_type_of(struct reader *r, CXCursor c)
{
    CXType t = clang_getCursorType(c);
    struct type *type;
    if (clang_getCursorKind(c) != CXCursor_ParmDecl)
        return reader_type(r, t, c);
    type = reader_value_type(r, c);
    return clang_isVolatileQualifiedType(t) ? type_with_volatile(r->heap, type) : type;
}

/* Members of anonymous records count as the record's own (C11 6.7.2.1p13): the path leads through
 * those. */
static int search(const struct type *record, const struct field *wanted, struct field **path,
                  int depth)
{
    for (int i = 0; i < record->n && depth < MAX_FIELD_PATH; i++) {
        struct field *f = &record->fields[i];
        path[depth] = f;
        if (f == wanted)
            return depth + 1;
        if (!f->name && f->type->kind == TYPE_RECORD) {
            int n = search(f->type->plain, wanted, path, depth + 1);
            if (n)
                return n;
        }
    }
    return 0;
}

int reader_field_path(struct reader *r, struct type *record, CXCursor field,
                      struct field *path[MAX_FIELD_PATH])
{
    struct field *wanted = cursor_map_get(&r->fields, field);
    int n = wanted ? search(record->plain, wanted, path, 0) : 0;
    if (n == 0)
        reader_refuse(r, field, "a field that its record does not list");
    return n;
}
