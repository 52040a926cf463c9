/* Any bytes as the line of metrics that waits in a checkpoint. What is taken as one fits when it is
 * written again, and is the same from then on. */
#include <stdlib.h>
#include <string.h>
#include "trainer/observe/record.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    static struct record r, back;
    static char first[RECORD_TEXT], second[RECORD_TEXT];
    char *text = malloc(n + 1);
    if (!text) return 0;
    if (n > 0) memcpy(text, bytes, n);
    text[n] = 0;
    const bool taken = record_parse(&r, text);
    if (record_parse(NULL, text) != taken) abort();
    free(text);
    if (!taken) return 0;
    if (record_text(&r, first) > RECORD_TEXT / 2) return 0; /* may be too long to be taken again */
    if (!record_parse(&back, first)) abort();
    record_text(&back, second);
    if (strcmp(first, second) != 0) abort();
    return 0;
}
