/* Tables of settings (X-macros as in settings_table.h) as rows of arrays: for a file that defines a
 * schema of them. A section called `model` has its values in struct model_settings and where they
 * came from in struct model_lines. */
#ifndef DUET_TRAINER_CONFIG_ROWS_H
#define DUET_TRAINER_CONFIG_ROWS_H

#include <stddef.h>
#include "trainer/config/table.h"

#define WHERE(section, name)                             \
    .offset = offsetof(struct section##_settings, name), \
    .line_offset = offsetof(struct section##_lines, name)
/* The help, and behind it what a change of the setting means (table.h), which may be left out. */
#define SETTING_HELP(help, ...)           help
#define SETTING_CHANGE(help, change, ...) change
#define TAIL(...)                         \
    .help = SETTING_HELP(__VA_ARGS__, 0), \
    .change = SETTING_CHANGE(__VA_ARGS__, CHANGE_BY_SECTION, 0)

/* What default, low and high are for each type. */
#define CHOICE_ROW(enumerator, called) {called, enumerator},
#define VALUE_INT(def, lo, hi)         .initial = def, .low = lo, .high = hi
#define VALUE_REAL(def, lo, hi)        .initial = def, .low = lo, .high = hi
#define VALUE_BOOL(def, lo, hi)        .initial = def
#define VALUE_STR(def, lo, hi)         .text = def, .low = lo
#define VALUE_ENUM(def, list, hi)                      \
    .initial = def, .choices = (const struct choice[]) \
    {                                                  \
        list(CHOICE_ROW)                               \
        {                                              \
            NULL, 0                                    \
        }                                              \
    }

#define ROW_OF_KINDS(section, kind, setting, def, lo, hi, counts, used, ...) \
    {.name = #setting,                                                       \
     .type = SETTING_##kind,                                                 \
     WHERE(section, setting),                                                \
     VALUE_##kind(def, lo, hi),                                              \
     .unit = counts,                                                         \
     .kinds = used,                                                          \
     TAIL(__VA_ARGS__)},
#define ROW(section, kind, setting, def, lo, hi, counts, ...) \
    ROW_OF_KINDS(section, kind, setting, def, lo, hi, counts, ~0u, __VA_ARGS__)

/* A section whose values are member `member` of struct root, and their lines lines.member. */
#define SECTION_ROW(root, key, called, about, rows, member)                                       \
    {                                                                                             \
        .name = key, .noun = called, .help = about, .settings = rows,                             \
        .n_settings = (int)(sizeof rows / sizeof *rows), .offset = offsetof(struct root, member), \
        .line_offset = offsetof(struct root, lines.member)                                        \
    }

#endif
