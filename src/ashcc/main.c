/*
 * main.c: ashcc, the C compiler whose translator is a language model.
 */
#include "lego/heap.h"

int main(void)
{
    return 2;
}
