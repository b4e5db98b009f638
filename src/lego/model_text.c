/*
 * model_text.c: questions from IR, answers from and to AT&T text.
 *
 * Numbers that stand in the block (offsets, 64-bit constants) are its own numbers ~a, ~b, ... in
 * order of appearance, so that the model copies a word rather than digits. Other numbers of a
 * fragment are spelled.
 */
#include "lego/model_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_OPERANDS = 40, /* of a kind: words beyond are too rare to learn */
    MAX_NUMBERS = 26,
    MAX_WORD = 24,
    MAX_OPERAND_TEXT = 64
};

/** The block's own numbers, each once. `full`: there are more than the language can name. */
struct numbers {
    int64_t values[MAX_NUMBERS];
    int n;
    bool full;
};

struct question {
    const struct block *block;
    struct numbers numbers;
    struct buf *out;
    int n_literals;    /* met so far: literals are named by occurrence */
    int labels[MAX_OPERANDS];
    int n_labels;
    bool failed;
};

/* ---- words ---- */

/** 1 -> "a", 26 -> "z", 27 -> "aa". */
static const char *ordinal_letters(int n, char out[8])
{
    char *p = out + 7;
    *p = 0;
    for (; n > 0; n = (n - 1) / 26)
        *--p = (char)('a' + (n - 1) % 26);
    return p;
}

/** 0: no ordinal of the language. */
static int letters_ordinal(const char *letters)
{
    int n = 0;
    for (; *letters; letters++) {
        n = n * 26 + *letters - 'a' + 1;
        if (!islower((unsigned char)*letters) || n > MAX_OPERANDS)
            return 0;
    }
    return n;
}

static bool put_ordinal(struct buf *out, char sign, int n)
{
    char letters[8];
    return n >= 1 && n <= MAX_OPERANDS &&
           buf_printf(out, "%c%s", sign, ordinal_letters(n, letters));
}

/** Sixteen letters, a to p, as hexadecimal digits; the sign is in the word's first character. */
static void put_number(struct buf *out, char positive, char negative, int64_t value)
{
    char digits[20], *p = digits + sizeof digits - 1;
    /* the least number has no positive counterpart */
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    *p = 0;
    do
        *--p = (char)('a' + rest % 16);
    while (rest /= 16);
    buf_printf(out, "%c%s", value < 0 ? negative : positive, p);
}

/* ---- the question ---- */

static int number_of(struct numbers *numbers, int64_t value)
{
    for (int i = 0; i < numbers->n; i++)
        if (numbers->values[i] == value)
            return i + 1;
    if (numbers->n == MAX_NUMBERS) {
        numbers->full = true;
        return MAX_NUMBERS;
    }
    numbers->values[numbers->n++] = value;
    return numbers->n;
}

static void word(struct question *q, const char *text)
{
    buf_printf(q->out, " %s", text);
}

static void type_word(struct question *q, enum ir_type type)
{
    static const char *const words[] = {"schar", "uchar", "short", "ushort", "int",
                                        "uint",  "long",  "ulong", "float",  "double",
                                        "ldouble", "ptr", "bytes", "void"};
    word(q, words[type]);
}

/** Operand names are a letter and a number (block.h); words a sign and letters. */
static void operand_word(struct question *q, const char *name)
{
    static const char kinds[] = "vgkfc", signs[] = "@&#!$";
    const char *kind = strchr(kinds, name[0]);
    if (!kind || !put_ordinal(q->out, signs[kind - kinds], atoi(name + 1)))
        q->failed = true;
}

static const char *object_name(const struct block *b, const struct ir_object *object)
{
    for (int i = 0; i < b->n_operands; i++)
        if (b->operands[i].object == object)
            return b->operands[i].name;
    return "";
}

/** The n-th literal operand of the block, in order of occurrence. */
static const struct block_operand *next_literal(struct question *q)
{
    int wanted = q->n_literals++;
    for (int i = 0; i < q->block->n_operands; i++)
        if (q->block->operands[i].kind == OPERAND_LITERAL && wanted-- == 0)
            return &q->block->operands[i];
    return NULL;
}

static void literal_words(struct question *q, const struct ir_expr *e)
{
    type_word(q, e->type);
    /* what block.c names as a literal; others stand as digits in the block */
    bool immediate = ir_type_size(e->type) < 8 || e->value == (int32_t)e->value;
    const struct block_operand *o = immediate ? next_literal(q) : NULL;
    if (o)
        operand_word(q, o->name);
    else if (!immediate)
        put_ordinal(q->out, '~', number_of(&q->numbers, e->value));
    else
        q->failed = true;
}

/** Capitals, so that no operator is a type or a mnemonic. */
static const char *const op_words[] = {
    [IR_LOAD] = "Load",         [IR_CONVERT] = "To",        [IR_NEGATE] = "Neg",
    [IR_COMPLEMENT] = "Com",    [IR_NOT] = "Not",           [IR_ADD] = "Add",
    [IR_SUBTRACT] = "Sub",      [IR_MULTIPLY] = "Mul",      [IR_DIVIDE] = "Div",
    [IR_REMAINDER] = "Rem",     [IR_SHIFT_LEFT] = "Shl",    [IR_SHIFT_RIGHT] = "Shr",
    [IR_AND] = "And",           [IR_XOR] = "Xor",           [IR_OR] = "Or",
    [IR_EQUAL] = "Eq",          [IR_UNEQUAL] = "Ne",        [IR_LESS] = "Lt",
    [IR_LESS_EQUAL] = "Le",     [IR_GREATER] = "Gt",        [IR_GREATER_EQUAL] = "Ge",
    [IR_LOGICAL_AND] = "Also",  [IR_LOGICAL_OR] = "Else",   [IR_CONDITIONAL] = "Choose",
};

static void expr_words(struct question *q, const struct ir_expr *e)
{
    switch (e->op) {
    case IR_INT:
        literal_words(q, e);
        return;
    case IR_READ:
        type_word(q, e->type);
        operand_word(q, object_name(q->block, e->object));
        return;
    case IR_ADDRESS:
        word(q, "Addr");
        operand_word(q, object_name(q->block, e->object));
        if (e->value)
            put_ordinal(q->out, '`', number_of(&q->numbers, e->value));
        return;
    default:
        break;
    }
    word(q, op_words[e->op]);
    if (e->op == IR_LOAD || e->op == IR_CONVERT)
        type_word(q, e->type);
    expr_words(q, e->a);
    if (e->b)
        expr_words(q, e->b);
    if (e->c)
        expr_words(q, e->c);
}

static void target_word(struct question *q, int label)
{
    for (int i = 0; i < q->block->n_exits; i++) {
        if (q->block->exits[i] == label) {
            if (!put_ordinal(q->out, '>', i + 1))
                q->failed = true;
            return;
        }
    }
    int i = 0;
    while (i < q->n_labels && q->labels[i] != label)
        i++;
    if (i == MAX_OPERANDS) {
        q->failed = true;
        return;
    }
    q->labels[i] = label;
    if (i == q->n_labels)
        q->n_labels++;
    put_ordinal(q->out, '^', i + 1);
}

static void instr_words(struct question *q, const struct ir_instr *i)
{
    switch (i->code) {
    case IR_ASSIGN:
        word(q, "Set");
        type_word(q, i->object->type);
        operand_word(q, object_name(q->block, i->object));
        expr_words(q, i->value);
        break;
    case IR_STORE:
        word(q, "Store");
        type_word(q, i->value->type);
        expr_words(q, i->address);
        expr_words(q, i->value);
        break;
    case IR_BRANCH:
        word(q, "If");
        expr_words(q, i->value);
        target_word(q, i->label);
        break;
    case IR_JUMP:
        word(q, "Jump");
        target_word(q, i->label);
        break;
    case IR_LABEL:
        target_word(q, i->label);
        break;
    default:
        q->failed = true;
    }
    buf_puts(q->out, "\n");
}

/** Also finds the block's numbers: question, answer and fragment must count them alike. */
static bool ask(const struct block *block, struct question *q, struct buf *out)
{
    *q = (struct question){.block = block, .out = out};
    for (int i = 0; i < block->n_code; i++)
        instr_words(q, &block->code[i]);
    buf_puts(out, " Asm\n");
    return !q->failed && !q->numbers.full && !out->failed;
}

bool model_text_question(const struct block *block, struct buf *out)
{
    struct question q;
    return ask(block, &q, out);
}

/** The block's own numbers, which its answers may use. */
static bool block_numbers(const struct block *block, struct numbers *numbers)
{
    struct buf scratch;
    struct question q;
    buf_init(&scratch, 1 << 20);
    bool ok = ask(block, &q, &scratch);
    buf_fini(&scratch);
    *numbers = q.numbers;
    return ok;
}

/* ---- a fragment as an answer ---- */

struct writer {
    const struct numbers *numbers;
    struct buf *out;
    const char *labels[MAX_OPERANDS]; /* local labels' text, by order of appearance */
    size_t label_lengths[MAX_OPERANDS];
    int n_labels;
};

/**
 * Registers with digits get letters: r8d -> "%rid", xmm11 -> "%xl", st(1) -> "%stb"; others stay.
 */
static bool register_word(struct buf *out, const char *name, size_t length)
{
    int number = 0;
    char suffix[4] = "";
    char text[16];
    if (length >= sizeof text)
        return false;
    memcpy(text, name, length);
    text[length] = 0;
    if (sscanf(text, "xmm%d", &number) == 1)
        return buf_printf(out, "%%x%c", 'a' + number);
    if (sscanf(text, "r%d%3[a-z]", &number, suffix) >= 1)
        return buf_printf(out, "%%r%c%s", 'a' + number, suffix);
    if (sscanf(text, "st(%d)", &number) == 1)
        return buf_printf(out, "%%st%c", 'a' + number);
    for (size_t i = 0; i < length; i++)
        if (!islower((unsigned char)text[i]))
            return false;
    return buf_printf(out, "%%%s", text);
}

/** A number: the block's own where it fits (sign `own`), else spelled. */
static void number_word(struct writer *w, int64_t value, char own, char positive, char negative,
                        bool prefer_own)
{
    for (int i = 0; prefer_own && i < w->numbers->n; i++) {
        if (w->numbers->values[i] == value) {
            put_ordinal(w->out, own, i + 1);
            return;
        }
    }
    put_number(w->out, positive, negative, value);
}

static bool is_operand(const char *text, size_t length, const char *kinds)
{
    if (length < 2 || !strchr(kinds, text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!isdigit((unsigned char)text[i]))
            return false;
    return true;
}

static bool operand_sign(struct writer *w, const char *text)
{
    static const char kinds[] = "vgkfcx", signs[] = "@&#!$>";
    return put_ordinal(w->out, signs[strchr(kinds, text[0]) - kinds], atoi(text + 1));
}

/** "v1", "v1+8", "-4", "": the symbol's word, then the offset's. */
static bool displacement_words(struct writer *w, const char *text, size_t length)
{
    size_t symbol = strcspn(text, "+-(");
    if (symbol > length)
        symbol = length;
    const char *number = text;
    if (is_operand(text, symbol, "vgkf")) {
        if (!operand_sign(w, text))
            return false;
        number = text + symbol;
    }
    if (number == text + length)
        return true;
    char *end;
    int64_t value = strtoll(number, &end, 0);
    if (end != text + length)
        return false;
    number_word(w, value, '`', ':', ';', true);
    return true;
}

/** disp(base), disp(base,index,scale); v(%rbp) and g(%rip) alone are just the operand. */
static bool memory_words(struct writer *w, const char *text, size_t length)
{
    const char *open = memchr(text, '(', length);
    size_t before = (size_t)(open - text);
    char inside[MAX_OPERAND_TEXT], base[8] = "", index[8] = "";
    int scale = 1;
    snprintf(inside, sizeof inside, "%.*s", (int)(length - before), open);
    int n = sscanf(inside, "(%%%7[a-z0-9],%%%7[a-z0-9],%d)", base, index, &scale);
    if (n < 1 || inside[strlen(inside) - 1] != ')')
        return false;
    /* an operand's base follows from its kind, so it needs no word */
    bool home = before && is_operand(text, strcspn(text, "+-("), "vgkf");
    if (n == 1 && home)
        return displacement_words(w, text, before);
    buf_puts(w->out, n == 1 ? " mem" : " idx");
    if (!home && !register_word(w->out, base, strlen(base)))
        return false;
    if (n == 1)
        return displacement_words(w, text, before);
    if (home && !displacement_words(w, text, before))
        return false;
    if (!register_word(w->out, index, strlen(index)))
        return false;
    put_number(w->out, '+', '-', scale);
    return home || displacement_words(w, text, before);
}

static bool label_word(struct writer *w, const char *text, size_t length)
{
    int i = 0;
    while (i < w->n_labels &&
           (w->label_lengths[i] != length || memcmp(w->labels[i], text, length) != 0))
        i++;
    if (i == MAX_OPERANDS)
        return false;
    w->labels[i] = text;
    w->label_lengths[i] = length;
    if (i == w->n_labels)
        w->n_labels++;
    return put_ordinal(w->out, '^', i + 1);
}

static bool answer_operand(struct writer *w, const char *text, size_t length)
{
    if (text[0] == '%')
        return register_word(w->out, text + 1, length - 1);
    if (text[0] == '$' && is_operand(text + 1, length - 1, "c"))
        return operand_sign(w, text + 1);
    if (text[0] == '$') {
        char *end;
        int64_t value = text[1] == '-' ? strtoll(text + 1, &end, 0)
                                       : (int64_t)strtoull(text + 1, &end, 0);
        if (end != text + length || length < 2)
            return false;
        /* small ones are mostly the fragment's own (shift counts), not copies of the block's */
        number_word(w, value, '~', '+', '-', value > 64 || value < -64);
        return true;
    }
    if (memchr(text, '(', length))
        return memory_words(w, text, length);
    if (is_operand(text, length, "x"))
        return operand_sign(w, text);
    return text[0] == '.' && label_word(w, text, length);
}

static bool answer_line(struct writer *w, const char *line, size_t length)
{
    if (length && line[length - 1] == ':') {
        if (!label_word(w, line, length - 1))
            return false;
        return buf_puts(w->out, "\n");
    }
    size_t at = 0;
    while (at < length && !isspace((unsigned char)line[at]))
        at++;
    for (size_t i = 0; i < at; i++)
        if (!islower((unsigned char)line[i]) && !isdigit((unsigned char)line[i]))
            return false;
    buf_puts(w->out, " ");
    for (size_t i = 0; i < at; i++) /* digits end mnemonics like cvtsi2sdl: letters A to J */
        buf_printf(w->out, "%c", isdigit((unsigned char)line[i]) ? line[i] - '0' + 'A' : line[i]);
    while (at < length) {
        while (at < length && (isspace((unsigned char)line[at]) || line[at] == ','))
            at++;
        size_t start = at;
        for (int depth = 0; at < length && (depth || line[at] != ','); at++)
            depth += (line[at] == '(') - (line[at] == ')');
        if (at > start && !answer_operand(w, line + start, at - start))
            return false;
    }
    return buf_puts(w->out, "\n");
}

bool model_text_answer(const struct block *block, const char *fragment, struct buf *out)
{
    struct numbers numbers;
    if (!block_numbers(block, &numbers))
        return false;
    struct writer w = {.numbers = &numbers, .out = out};
    while (*fragment) {
        fragment += strspn(fragment, " \t\n");
        size_t length = strcspn(fragment, "\n");
        if (length && !answer_line(&w, fragment, length))
            return false;
        fragment += length;
    }
    return !out->failed;
}

/* ---- an answer as a fragment ---- */

struct reader {
    const struct numbers *numbers;
    const char *at, *end;
    struct buf *out;
};

/**
 * The next word of the line: its sign and letters; false at the line's end or at what is no word.
 */
static bool next_word(struct reader *r, char *sign, char letters[MAX_WORD])
{
    if (r->at == r->end || *r->at == '\n')
        return false;
    *sign = *r->at++;
    size_t n = 0;
    while (r->at < r->end && isalpha((unsigned char)*r->at) && n + 1 < MAX_WORD)
        letters[n++] = *r->at++;
    letters[n] = 0;
    return n > 0 && !isalpha((unsigned char)*sign) && *sign > ' ' - 1;
}

static char peek_sign(const struct reader *r)
{
    return r->at < r->end ? *r->at : 0;
}

static bool spelled_number(const char *letters, int64_t *value)
{
    uint64_t sum = 0;
    size_t n = strlen(letters);
    for (size_t i = 0; i < n; i++) {
        if (letters[i] < 'a' || letters[i] > 'p' || n > 16)
            return false;
        sum = sum * 16 + (uint64_t)(letters[i] - 'a');
    }
    *value = (int64_t)sum;
    return true;
}

/** An own number by its letters. */
static bool own_number(const struct reader *r, const char *letters, int64_t *value)
{
    int n = letters_ordinal(letters);
    if (n < 1 || n > r->numbers->n)
        return false;
    *value = r->numbers->values[n - 1];
    return true;
}

static bool read_register(struct reader *r, const char *letters)
{
    if (letters[0] == 'x' && strlen(letters) == 2 && letters[1] >= 'a' && letters[1] <= 'p')
        return buf_printf(r->out, "%%xmm%d", letters[1] - 'a');
    if (strncmp(letters, "st", 2) == 0 && letters[2] >= 'a' && letters[2] <= 'h' && !letters[3])
        return buf_printf(r->out, "%%st(%d)", letters[2] - 'a');
    bool numbered = letters[0] == 'r' && letters[1] >= 'i' && letters[1] <= 'p' &&
                    (letters[2] == 0 || (letters[3] == 0 && strchr("bwd", letters[2])));
    if (numbered) /* not rip: p is no width */
        return buf_printf(r->out, "%%r%d%s", letters[1] - 'a', letters + 2);
    return buf_printf(r->out, "%%%s", letters);
}

/**
 * The offset that may follow a base: `a :i ;i. Appends it with its sign; true when there is none.
 */
static bool read_offset(struct reader *r, bool after_symbol)
{
    char sign = peek_sign(r), letters[MAX_WORD];
    int64_t value;
    if (!sign || !strchr("`:;", sign))
        return true;
    if (!next_word(r, &sign, letters))
        return false;
    if (!(sign == '`' ? own_number(r, letters, &value) : spelled_number(letters, &value)))
        return false;
    if (sign == ';')
        value = (int64_t)(0 - (uint64_t)value);
    return buf_printf(r->out, after_symbol && value >= 0 ? "+%lld" : "%lld", (long long)value);
}

/** Letters that are no ordinal give v0, which the lint refuses. */
static bool read_home(struct reader *r, char sign, const char *letters)
{
    static const char signs[] = "@&#!", kinds[] = "vgkf";
    return buf_printf(r->out, "%c%d", kinds[strchr(signs, sign) - signs],
                      letters_ordinal(letters)) &&
           read_offset(r, true);
}

static const char *home_base(char sign)
{
    return sign == '@' ? "%rbp" : "%rip";
}

/** " mem" base offset; " idx" base index scale offset, the base a register or an operand. */
static bool read_memory(struct reader *r, bool indexed)
{
    char sign, letters[MAX_WORD], index[MAX_WORD], scale[MAX_WORD], index_sign, scale_sign;
    if (!next_word(r, &sign, letters))
        return false;
    bool home = strchr("@&", sign) != NULL;
    if (!home && sign != '%')
        return false;
    if (home && !read_home(r, sign, letters))
        return false;
    int64_t by = 1;
    if (indexed && (!next_word(r, &index_sign, index) || index_sign != '%' ||
                    !next_word(r, &scale_sign, scale) || scale_sign != '+' ||
                    !spelled_number(scale, &by)))
        return false;
    if (!home && !read_offset(r, false))
        return false;
    buf_puts(r->out, "(");
    if (home)
        buf_puts(r->out, home_base(sign));
    else
        read_register(r, letters);
    if (indexed) {
        buf_puts(r->out, ",");
        read_register(r, index);
        buf_printf(r->out, ",%lld", (long long)by);
    }
    return buf_puts(r->out, ")");
}

static bool read_operand(struct reader *r)
{
    char sign, letters[MAX_WORD];
    int64_t value;
    if (!next_word(r, &sign, letters))
        return false;
    switch (sign) {
    case '%':
        return read_register(r, letters);
    case '$':
        return buf_printf(r->out, "$c%d", letters_ordinal(letters));
    case '~':
        return own_number(r, letters, &value) && buf_printf(r->out, "$%lld", (long long)value);
    case '+':
        return spelled_number(letters, &value) && buf_printf(r->out, "$%lld", (long long)value);
    case '-':
        /* In unsigned arithmetic: the least number has no positive counterpart. */
        return spelled_number(letters, &value) &&
               buf_printf(r->out, "$%lld", (long long)(0 - (uint64_t)value));
    case '>':
        return buf_printf(r->out, "x%d", letters_ordinal(letters));
    case '^':
        return buf_printf(r->out, ".L%d", letters_ordinal(letters));
    case '@':
    case '&':
    case '#':
    case '!':
        return read_home(r, sign, letters) && buf_printf(r->out, "(%s)", home_base(sign));
    case ' ':
        return (strcmp(letters, "mem") == 0 || strcmp(letters, "idx") == 0) &&
               read_memory(r, letters[0] == 'i');
    default:
        return false;
    }
}

static bool read_line(struct reader *r)
{
    char sign, letters[MAX_WORD];
    if (!next_word(r, &sign, letters))
        return false;
    if (sign == '^')
        return buf_printf(r->out, ".L%d:\n", letters_ordinal(letters));
    if (sign != ' ')
        return false;
    for (char *p = letters; *p; p++)
        if (*p >= 'A' && *p <= 'J')
            *p = (char)(*p - 'A' + '0');
    buf_printf(r->out, "\t%s", letters);
    for (int n = 0; r->at < r->end && *r->at != '\n'; n++) {
        buf_puts(r->out, n ? ", " : "\t");
        if (!read_operand(r))
            return false;
    }
    return buf_puts(r->out, "\n");
}

/** What is not a word of the language fails here; what the words say is checked like any
 * fragment. */
bool model_text_fragment(const struct block *block, const char *answer, size_t length,
                         struct buf *out)
{
    struct numbers numbers;
    if (!block_numbers(block, &numbers))
        return false;
    struct reader r = {.numbers = &numbers, .at = answer, .end = answer + length, .out = out};
    while (r.at < r.end) {
        if (*r.at == '\n')
            r.at++;
        else if (!read_line(&r))
            return false;
    }
    return !out->failed;
}
