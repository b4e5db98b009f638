/*
 * flow.c: the instructions of one function between its markers, with the control flow made plain:
 * exits become jumps to x1, x2..., jumps to jumps go straight to where they end, what no path
 * reaches is left out, labels are numbered in order.
 */
#include "teach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char at_end[] = ".END"; /* pseudo-label of the fragment's end */

static struct item *add_item(struct items *items, enum item_kind kind)
{
    heap_grow(items->heap, &items->at, items->n, sizeof *items->at);
    struct item *item = &items->at[items->n++];
    *item = (struct item){.kind = kind};
    return item;
}

static void add_jump(struct items *items, const char *target)
{
    struct item *jump = add_item(items, ITEM_INSTRUCTION);
    strcpy(jump->mnemonic, "jmp");
    jump->is_jump = true;
    snprintf(jump->label, sizeof jump->label, "%.20s", target);
}

/** "8+v5(%rip)" is "v5+8(%rip)". */
static const char *copy_operand(struct items *items, struct span s)
{
    char *symbol, *copy = heap_copy(items->heap, s.at, s.n);
    long offset = strtol(copy, &symbol, 10);
    char *place = strstr(copy, "(%rip)");
    if (symbol == copy || *symbol != '+' || !place)
        return copy;
    *place = '\0';
    return heap_printf(items->heap, "%s%+ld(%%rip)", symbol + 1, offset);
}

/** Splits at commas outside parentheses. */
static void read_operands(struct items *items, struct item *item, struct span s)
{
    size_t start = 0;
    int depth = 0;
    for (size_t i = 0; i <= s.n; i++) {
        if (i < s.n && s.at[i] == '(')
            depth++;
        else if (i < s.n && s.at[i] == ')')
            depth--;
        else if ((i == s.n || (s.at[i] == ',' && depth == 0)) && i > start) {
            struct span operand = span_trim((struct span){s.at + start, i - start});
            if (item->n_operands < 3)
                item->operands[item->n_operands++] = copy_operand(items, operand);
            else
                items->problem = "an instruction with four operands";
            start = i + 1;
        }
    }
}

static void read_instruction(struct items *items, struct span line)
{
    struct item *item = add_item(items, ITEM_INSTRUCTION);
    size_t n = 0;
    while (n < line.n && line.at[n] != ' ' && line.at[n] != '\t')
        n++;
    snprintf(item->mnemonic, sizeof item->mnemonic, "%.*s", (int)n, line.at);
    read_operands(items, item, span_trim((struct span){line.at + n, line.n - n}));
    if (item->mnemonic[0] != 'j')
        return;
    item->is_jump = true;
    item->is_conditional = strcmp(item->mnemonic, "jmp") != 0;
    if (item->n_operands == 1 && item->operands[0][0] == '.')
        snprintf(item->label, sizeof item->label, "%s", item->operands[0]);
    else
        items->problem = "an indirect jump";
    item->n_operands = 0;
}

/** Markers, labels, directives, instructions; false before #START. */
static void read_line(struct items *items, struct span line, bool *started)
{
    char exit_name[16] = "";
    if (span_is(line, "#START"))
        *started = true;
    if (!*started || line.n == 0)
        return;
    if (span_is(line, "#END")) {
        add_jump(items, at_end);
    } else if (span_starts(line, "#EXIT ")) {
        snprintf(exit_name, sizeof exit_name, "%.*s", (int)line.n - 6, line.at + 6);
        add_jump(items, exit_name);
    } else if (line.at[line.n - 1] == ':') {
        struct item *label = add_item(items, ITEM_LABEL);
        snprintf(label->label, sizeof label->label, "%.*s", (int)line.n - 1, line.at);
    } else if (line.at[0] != '.' && line.at[0] != '#' && !span_is(line, "nop")) {
        read_instruction(items, line);
    }
}

static int find_label(const struct items *items, const char *name)
{
    for (int i = 0; i < items->n; i++)
        if (items->at[i].kind == ITEM_LABEL && strcmp(items->at[i].label, name) == 0)
            return i;
    return -1;
}

/** The first thing at or after i that does something; n at the end. */
static int next_real(const struct items *items, int i)
{
    while (i < items->n && (items->at[i].is_gone || items->at[i].kind == ITEM_LABEL))
        i++;
    return i;
}

/** Sends a jump to where the jumps at its target lead. */
static void thread_jump(struct items *items, struct item *jump)
{
    for (int hops = 0; hops < 50 && jump->label[0] == '.' && strcmp(jump->label, at_end) != 0;
         hops++) {
        int target = find_label(items, jump->label);
        if (target < 0) {
            items->problem = "a jump out of the function";
            return;
        }
        int real = next_real(items, target);
        const struct item *there = real < items->n ? &items->at[real] : NULL;
        if (!there || !there->is_jump || there->is_conditional || there == jump)
            return;
        memcpy(jump->label, there->label, sizeof jump->label);
    }
}

static void visit(struct items *items, bool *seen, int *stack, int *n_stack, int i)
{
    if (i >= 0 && i < items->n && !seen[i]) {
        seen[i] = true;
        stack[(*n_stack)++] = i;
    }
}

static void drop_unreachable(struct items *items)
{
    bool *seen = heap_take(items->heap, (size_t)items->n + 1);
    int *stack = heap_take(items->heap, (size_t)(items->n + 1) * sizeof *stack), n = 0;
    visit(items, seen, stack, &n, 0);
    while (n) {
        int i = stack[--n];
        const struct item *item = &items->at[i];
        if (item->is_jump && !item->is_gone && item->label[0] == '.')
            visit(items, seen, stack, &n, find_label(items, item->label));
        if (!item->is_jump || item->is_conditional || item->is_gone)
            visit(items, seen, stack, &n, i + 1);
    }
    for (int i = 0; i < items->n; i++)
        items->at[i].is_gone |= !seen[i];
}

/** Removes jumps to what follows anyway. */
static bool drop_idle_jumps(struct items *items)
{
    bool changed = false;
    for (int i = 0; i < items->n; i++) {
        struct item *jump = &items->at[i];
        if (jump->is_gone || !jump->is_jump || jump->label[0] != '.')
            continue;
        int next = next_real(items, i + 1);
        int target = strcmp(jump->label, at_end) == 0 ? items->n : find_label(items, jump->label);
        if (target > i && next_real(items, target) == next) {
            jump->is_gone = true;
            changed = true;
        }
    }
    return changed;
}

static bool is_used(const struct items *items, const char *label)
{
    for (int i = 0; i < items->n; i++)
        if (!items->at[i].is_gone && items->at[i].is_jump && strcmp(items->at[i].label, label) == 0)
            return true;
    return false;
}

static void invert(struct item *jump)
{
    static const char *const pairs[][2] = {{"e", "ne"}, {"l", "ge"}, {"g", "le"}, {"b", "nb"},
                                           {"a", "be"}, {"s", "ns"}, {"p", "np"}, {"c", "nc"},
                                           {"o", "no"}, {"z", "nz"}, {"b", "ae"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int k = 0; k < 2; k++)
            if (strcmp(jump->mnemonic + 1, pairs[i][k]) == 0) {
                snprintf(jump->mnemonic, sizeof jump->mnemonic, "j%s", pairs[i][1 - k]);
                return;
            }
}

/** "jl A; jmp B; A:" is "jge B; A:". */
static void invert_detours(struct items *items)
{
    for (int i = 0; i + 1 < items->n; i++) {
        struct item *over = &items->at[i];
        if (over->is_gone || !over->is_conditional || over->label[0] != '.')
            continue;
        int jump = next_real(items, i + 1);
        int target = strcmp(over->label, at_end) == 0 ? items->n : find_label(items, over->label);
        if (jump >= items->n || target < jump ||
            next_real(items, jump + 1) != next_real(items, target))
            continue;
        struct item *taken = &items->at[jump];
        bool entered = false; /* somebody else comes to the jump */
        for (int k = i + 1; k < jump; k++)
            entered |= items->at[k].kind == ITEM_LABEL && !items->at[k].is_gone &&
                       is_used(items, items->at[k].label);
        if (!taken->is_jump || taken->is_conditional || entered)
            continue;
        memcpy(over->label, taken->label, sizeof over->label);
        invert(over);
        taken->is_gone = true;
    }
}

static void rename_label(struct items *items, const char *from, const char *to)
{
    for (int i = 0; i < items->n; i++)
        if (strcmp(items->at[i].label, from) == 0)
            snprintf(items->at[i].label, sizeof items->at[i].label, "%s", to);
}

/** Labels in use become .L1, .L2, ... (through names that cannot clash); the end gets one if
 * needed. */
static void number_labels(struct items *items)
{
    if (is_used(items, at_end))
        strcpy(add_item(items, ITEM_LABEL)->label, at_end);
    char from[24], to[24];
    int n = 0;
    for (int i = 0; i < items->n; i++) {
        if (items->at[i].kind != ITEM_LABEL || items->at[i].is_gone)
            continue;
        snprintf(from, sizeof from, "%s", items->at[i].label);
        snprintf(to, sizeof to, "=%d", ++n);
        if (is_used(items, from))
            rename_label(items, from, to);
        else
            items->at[i].is_gone = true, n--;
    }
    for (int i = 0; i < items->n; i++) {
        char *label = items->at[i].label;
        if (label[0] == '=') {
            snprintf(to, sizeof to, ".L%.10s", label + 1);
            strcpy(label, to);
        }
    }
}

void flow_read(const struct function *f, struct items *items)
{
    bool started = false;
    for (int i = 0; i < f->n; i++)
        read_line(items, f->lines[i], &started);
    if (!started)
        items->problem = "the compiler left the body out";
    for (int i = 0; i < items->n && !items->problem; i++)
        if (items->at[i].is_jump)
            thread_jump(items, &items->at[i]);
    if (items->problem)
        return;
    drop_unreachable(items);
    invert_detours(items);
    drop_unreachable(items);
    while (drop_idle_jumps(items))
        drop_unreachable(items);
    number_labels(items);
}

void flow_print(const struct items *items, struct buf *out)
{
    for (int i = 0; i < items->n; i++) {
        const struct item *item = &items->at[i];
        if (item->is_gone)
            continue;
        if (item->kind == ITEM_LABEL) {
            buf_printf(out, "%s:\n", item->label);
            continue;
        }
        buf_printf(out, "\t%s", item->mnemonic);
        if (item->is_jump)
            buf_printf(out, "\t%s", item->label);
        for (int k = 0; k < item->n_operands; k++)
            buf_printf(out, "%s%s", k ? ", " : "\t", item->operands[k]);
        buf_puts(out, "\n");
    }
}
