/* A loop in the manner of Dhrystone: records, pointers, enums, strings, small procedures, integer arithmetic. */
#include <stdio.h>
#include <string.h>

enum kind { SCREW, NUT, BOLT, KINDS };

struct part {
    struct part *next;
    enum kind kind;
    int count, size;
    char label[24];
};

static struct part shelf[2], *first = &shelf[0], *second = &shelf[1];
static int counts[50], grid[10][10];
static char mark;
static int ready;

static enum kind following(enum kind kind)
{
    switch (kind) {
    case SCREW:
        return ready ? NUT : BOLT;
    case NUT:
        return BOLT;
    default:
        return SCREW;
    }
}

static void add_seven(int a, int b, int *sum)
{
    *sum = a + 7 + b;
}

static void restock(struct part *part)
{
    struct part *next = part->next;
    *next = *part;
    part->count = 5;
    next->count = part->count;
    next->next = part->next;
    if (next->kind == BOLT) {
        next->count = 6;
        next->kind = following(part->kind);
        add_seven(next->count, 10, &next->size);
    } else {
        *part = *next;
    }
}

static void fill(int row[50], int table[10][10], int place, int value)
{
    int at = place + 5;
    row[at] = value;
    row[at + 1] = row[at];
    row[at + 20] = at;
    for (int i = at; i <= at + 1; i++)
        table[at % 10][i % 10] = at;
    table[at % 10][(at + 9) % 10] += 1;
}

static int is_later(const char *a, const char *b)
{
    int i = 2;
    while (i <= 2) {
        if (a[i] == b[i + 1])
            mark = 'A';
        i++;
    }
    if (mark >= 'W' && mark < 'Z')
        i = 7;
    return strcmp(a, b) > 0 ? i + 7 > 10 : 0;
}

int main(void)
{
    int one = 0, two = 0, three = 0, runs = 20000;
    first->next = second;
    first->kind = BOLT;
    strcpy(first->label, "hexagonal, third drawer");
    for (int run = 1; run <= runs; run++) {
        ready = mark != 'A';
        mark = (char)('A' + run % 26);
        one = 2;
        two = 3;
        ready = !is_later(first->label, "hexagonal, second row");
        while (one < two) {
            three = 5 * one - two;
            add_seven(one, two, &three);
            one++;
        }
        fill(counts, grid, one % 7, three);
        restock(first);
        for (char c = 'A'; c <= mark; c++) {
            if (c == 'C')
                first->kind = following(first->kind);
        }
        two = two * one;
        one = two / (three - 6);
        two = 7 * (two - three) - one;
    }
    printf("one %d, two %d, three %d, mark %c, ready %d\n", one, two, three, mark, ready);
    printf("counts %d %d %d, grid %d %d\n", counts[7], counts[8], counts[28], grid[8][8], grid[8][7]);
    printf("first %d %d %d, second %d %d %d, %s\n", first->kind, first->count, first->size, second->kind,
           second->count, second->size, second->label);
    return 0;
}
