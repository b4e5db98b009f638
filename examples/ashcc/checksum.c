/* CRC-32, bit-fields, unions and varargs: the odd corners. */
#include <stdarg.h>
#include <stdio.h>

static unsigned table[256];

static void fill_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
}

static unsigned crc(const unsigned char *p, long n)
{
    unsigned c = 0xffffffffu;
    while (n-- > 0)
        c = table[(c ^ *p++) & 255] ^ (c >> 8);
    return ~c;
}

struct date {
    unsigned day : 5, month : 4;
    int year : 12;
};

static long sum(int n, ...)
{
    va_list list;
    long total = 0;
    va_start(list, n);
    while (n-- > 0)
        total += va_arg(list, int);
    va_end(list);
    return total;
}

int main(void)
{
    struct date d = {22, 11, 2026 - 1000};
    union {
        float f;
        unsigned u;
    } bits = {1.5f};
    fill_table();
    d.day += 12;
    printf("crc %08x, date %u.%u.%d, bits %08x, sum %ld\n", crc((const unsigned char *)"123456789", 9), d.day,
           d.month, d.year + 1000, bits.u, sum(4, 10, -3, 30, 5));
    return 0;
}
