/* The table of settings for people to read: `duet help settings`. */
#include "trainer/config/table.h"

#include <stdio.h>

static void help_default(const struct setting *k, char *out, size_t size)
{
    switch (k->type) {
    case SETTING_INT:
    case SETTING_REAL: snprintf(out, size, "%.10g", k->initial); break;
    case SETTING_BOOL: snprintf(out, size, "%s", k->initial != 0 ? "true" : "false"); break;
    case SETTING_STR: snprintf(out, size, "\"%s\"", k->text); break;
    case SETTING_ENUM: snprintf(out, size, "%s", choice_of(k, (int)k->initial)->name); break;
    }
}

/* "whole number, 16 to 16777216 tokens" */
static void help_range(const struct setting *k, char *out, size_t size)
{
    const char *type = k->type == SETTING_INT ? "whole number" : "number";
    switch (k->type) {
    case SETTING_INT:
    case SETTING_REAL:
        snprintf(out, size, "%s, %.10g to %.10g%s%s", type, k->low, k->high, *k->unit ? " " : "",
                 k->unit);
        break;
    case SETTING_BOOL: snprintf(out, size, "true or false"); break;
    case SETTING_STR: snprintf(out, size, "text"); break;
    case SETTING_ENUM: choices_text(k, out, size); break;
    }
}

static void help_setting(const struct setting *k, bool of_phase)
{
    char initial[64], range[CHOICES_TEXT], left[96], kinds[CHOICES_TEXT] = "";
    help_default(k, initial, sizeof initial);
    help_range(k, range, sizeof range);
    snprintf(left, sizeof left, "%s: %s", k->name, initial);
    if (of_phase) phase_kinds_text(k->kinds, kinds, sizeof kinds);
    printf("  %-28s %s%s%s\n      %s\n", left, range, of_phase ? "; " : "", kinds, k->help);
}

void book_help(const struct book *book)
{
    for (int id = 0; id < book->n; id++) {
        const struct section *section = &book->sections[id];
        printf("\n%s%s(%s)\n", section->name, *section->name ? ": " : "", section->help);
        for (int i = 0; i < section->n_settings; i++)
            help_setting(&section->settings[i], id == book->list);
    }
}

void settings_help(void)
{
    puts("Settings of a recipe, as `name: value (default); type, range and unit`, of phases also "
         "the\nkinds of phase that use it. Any of them can be overridden by --set name=value,\n"
         "--set section.name=value or --set phases.NAME.name=value.");
    book_help(&recipe_book);
}
