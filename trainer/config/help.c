/* The table of settings for people to read: `duet help settings`, and docs/SETTINGS.md, which holds
 * what `duet help settings --markdown` prints. */
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

void schema_help(const struct schema *schema)
{
    for (int id = 0; id < schema->n; id++) {
        const struct section *section = &schema->sections[id];
        printf("\n%s%s(%s)\n", section->name, *section->name ? ": " : "", section->help);
        for (int i = 0; i < section->n_settings; i++)
            help_setting(&section->settings[i], id == schema->list);
    }
}

void settings_help(void)
{
    puts("Settings of a recipe, as `name: default` with type, range and unit; settings of phases "
         "also\nwith the kinds of phase that use them. Any of them can be overridden by --set "
         "name=value,\n--set section.name=value or --set phases.NAME.name=value.");
    schema_help(&recipe_schema);
}

/* --- Markdown --- */

/* What Markdown would read as a tag or as the end of a cell. */
static void markdown_text(const char *text)
{
    for (; *text; text++)
        if (*text == '<')
            fputs("&lt;", stdout);
        else if (*text == '|')
            fputs("\\|", stdout);
        else
            putchar(*text);
}

/* For the column "values" of docs/SETTINGS.md. */
static void markdown_range(const struct setting *k)
{
    const struct choice *c = k->choices;
    switch (k->type) {
    case SETTING_INT: printf("whole, %.10g to %.10g", k->low, k->high); break;
    case SETTING_REAL: printf("%.10g to %.10g", k->low, k->high); break;
    case SETTING_BOOL: fputs("`true`, `false`", stdout); break;
    case SETTING_STR: fputs("text", stdout); break;
    case SETTING_ENUM:
        for (; c->name; c++) printf("%s`%s`", c == k->choices ? "" : ", ", c->name);
        break;
    }
}

/* resumed[] are the words that the page explains in its first table. */
static void markdown_row(enum section_id id, const struct setting *k)
{
    static const char *const resumed[] = {
        [CHANGE_NOTHING] = "any",           [CHANGE_CHOICE] = "applies from there on",
        [CHANGE_BITS] = "last bits differ", [CHANGE_ROUNDING] = "rounding differs",
        [CHANGE_FILE] = "same content",     [CHANGE_POSITION] = "not within a phase",
        [CHANGE_WEIGHTS] = "refused"};
    char initial[64], kinds[CHOICES_TEXT];
    help_default(k, initial, sizeof initial);
    printf("| `%s` | `%s` | ", k->name, initial);
    markdown_range(k);
    printf(" | %s | ", k->unit);
    if (id == SECTION_PHASE) printf("%s | ", phase_kinds_text(k->kinds, kinds, sizeof kinds));
    markdown_text(k->help);
    printf(" | %s |\n", resumed[setting_change(id, k)]);
}

/* docs/SETTINGS.md is held equal to this by tests/faults/test_settings.sh. */
void settings_markdown(void)
{
    for (int id = 0; id < SECTIONS; id++) {
        const struct section *section = &sections[id];
        const bool phase = id == SECTION_PHASE;
        printf("%s### %s%s%s\n\n", id ? "\n" : "", *section->name ? section->name : "top level",
               *section->name ? ": " : "", *section->name ? section->help : "");
        printf("| name | default | values | unit | %swhat | on resume |\n",
               phase ? "kinds | " : "");
        printf("|---|---|---|---|%s---|---|\n", phase ? "---|" : "");
        for (int i = 0; i < section->n_settings; i++)
            markdown_row((enum section_id)id, &section->settings[i]);
    }
}
