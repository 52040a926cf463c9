/* Settings as text: the resolved recipe, YAML that reads back to the same values. */
#include "trainer/config/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/utf8.h"

/* The shortest of the forms that read back to the same number. */
static void print_real(FILE *out, double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    fputs(text, out);
}

/* Double-quoted; what YAML would refuse or take for a line break is escaped (YAML 1.1,
 * section 5.1). */
static void print_quoted(FILE *out, const char *text)
{
    size_t left = strlen(text), n;
    fputc('"', out);
    for (const char *s = text; left > 0; s += n, left -= n) {
        n = utf8_character(s, left);
        INVARIANT(n > 0, "a setting that is no UTF-8");
        unsigned c = utf8_point(s, n);
        bool odd = (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
                   c == 0xfffe || c == 0xffff;
        if (odd)
            fprintf(out, "\\u%04X", c);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (char)c);
        else
            fwrite(s, 1, n, out);
    }
    fputc('"', out);
}

/* As --get prints it: text without quotes, for scripts. */
void setting_print(FILE *out, const struct place *at, const struct setting *k)
{
    const void *value = setting_value(at, k);
    const struct choice *choice;
    switch (k->type) {
    case SETTING_INT: fprintf(out, "%d", *(const int *)value); break;
    case SETTING_REAL: print_real(out, *(const double *)value); break;
    case SETTING_BOOL: fputs(*(const bool *)value ? "true" : "false", out); break;
    case SETTING_STR: fputs(*(char *const *)value, out); break;
    case SETTING_ENUM:
        choice = choice_of(k, *(const int *)value);
        INVARIANT(choice, "%s %d", k->name, *(const int *)value);
        fputs(choice->name, out);
        break;
    }
}

static void print_value(FILE *out, const struct place *at, const struct setting *k)
{
    if (k->type == SETTING_STR)
        print_quoted(out, *(char *const *)setting_value(at, k));
    else
        setting_print(out, at, k);
}

void setting_text(const struct place *at, const struct setting *k, char *out, size_t size)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    SYS_OK(f, "free memory on this machine", "no memory for the text of %s", k->name);
    print_value(f, at, k);
    SYS_OK(fclose(f) == 0, "free memory on this machine", "no memory for the text of %s", k->name);
    snprintf(out, size, "%s", text);
    free(text);
}

/* Every setting, the phase's kind before what depends on it; `first` leads the first line, `rest`
 * the others. */
static void print_place(FILE *out, const struct place *at, const char *first, const char *rest,
                        unsigned kinds)
{
    const char *lead = first;
    for (int i = 0; i < at->section->n_settings; i++) {
        const struct setting *k = &at->section->settings[i];
        if (!(k->kinds & kinds)) continue;
        fprintf(out, "%s%s: ", lead, k->name);
        print_value(out, at, k);
        fputc('\n', out);
        lead = rest;
    }
}

/* The resolved recipe, defaults included; parsed again it gives the same settings. */
char *settings_yaml(const struct settings *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    SYS_OK(out, "free memory on this machine", "no memory for the recipe's text");
    for (int id = 0; id < SECTION_PHASE; id++) {
        struct place at = settings_place(s, (enum section_id)id, 0);
        if (id != SECTION_RUN) fprintf(out, "\n%s:\n", at.section->name);
        print_place(out, &at, id == SECTION_RUN ? "" : "  ", id == SECTION_RUN ? "" : "  ", ~0u);
    }
    fputs(s->n_phases ? "\nphases:\n" : "", out);
    for (int i = 0; i < s->n_phases; i++) {
        struct place at = settings_place(s, SECTION_PHASE, i);
        print_place(out, &at, "  - ", "    ", 1u << s->phases[i].kind);
    }
    SYS_OK(fclose(out) == 0, "free memory on this machine", "no memory for the recipe's text");
    return text;
}
