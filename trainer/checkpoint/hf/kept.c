#include "trainer/checkpoint/hf/kept.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/coll.h"
#include "trainer/checkpoint/hf/side_files.h"
#include "trainer/checkpoint/open.h"
#include "trainer/checkpoint/spread.h"
#include "trainer/checkpoint/where.h"
#include "trainer/config/table.h"

/* As text: attachments end in a 0. */
static char *text_of(const struct checkpoint *c, const char *name)
{
    const struct attachment *a = attachments_find(&c->files, name);
    return memory_copy_text(a ? a->bytes : NULL, "a file of the model");
}

struct model_files hf_kept_files(const struct checkpoint *c)
{
    return (struct model_files){
        .from = memory_copy_text(c->folder, "a file of the model"),
        .chat_template = text_of(c, HF_SIDE_PREFIX CHAT_TEMPLATE_FILE),
        .tokenizer_config = text_of(c, HF_SIDE_PREFIX TOKENIZER_CONFIG_FILE),
        .generation_config = text_of(c, HF_SIDE_PREFIX GENERATION_CONFIG_FILE)};
}

/* A setting that is open in `s` and written down in `then`. */
static void take(struct settings *s, const struct settings *then, enum section_id id,
                 const struct setting *k)
{
    struct place to = settings_place(s, id, 0), from = settings_place(then, id, 0);
    if (*setting_line(&to, k) == 0 && *setting_line(&from, k) != 0) setting_copy(&to, &from, k);
}

static void take_settings(struct settings *s, const struct settings *then)
{
    const struct section *model = &sections[SECTION_MODEL];
    for (int i = 0; i < model->n_settings; i++)
        if (strcmp(model->settings[i].name, "from") != 0)
            take(s, then, SECTION_MODEL, &model->settings[i]);
    take(s, then, SECTION_DATA, setting_find(&sections[SECTION_DATA], "template"));
}

/* One whose recipe can be read: its tokenizer is that of the weights, unless the recipe names one.
 */
static bool take_one(struct settings *s, const struct checkpoint *c)
{
    struct settings then;
    struct problems ignored = {0};
    if (!attachments_find(&c->files, HF_SIDE_PREFIX "config.json") || !c->recipe) return false;
    settings_defaults(&then);
    bool ok = settings_parse_stored(&then, c->recipe, &ignored);
    if (ok) {
        take_settings(s, &then);
        model_files_free(&s->files);
        s->files = hf_kept_files(c);
        if (s->lines.model.tokenizer == 0)
            s->files.tokenizer = memory_copy_text(c->tokenizer, "a file of the model");
    }
    settings_free(&then);
    problems_free(&ignored);
    return ok;
}

/* The newest that is whole. Damage is named by who opens it. */
static bool load_newest(struct checkpoint *c, const char *path)
{
    struct where at = {0};
    struct problems ignored = {0};
    bool whole = false;
    const bool found = where_find(&at, path, &ignored);
    for (int i = 0; found && !whole && i < (at.one ? 1 : at.list.n); i++) {
        char folder[PATH_BYTES];
        if (at.one)
            path_make(folder, "%s", at.root);
        else
            store_path(folder, at.root, at.list.entry[i]);
        whole = checkpoint_load(c, folder, &ignored);
        if (!whole) checkpoint_close(c);
    }
    where_free(&at);
    problems_free(&ignored);
    return whole;
}

bool hf_kept_apply(struct settings *s, const char *path, const struct world *w)
{
    struct checkpoint c = {0};
    int whole = (!w || w->rank == 0) && load_newest(&c, path);
    if (w) coll_bcast(&whole, sizeof whole, 0, w->comm);
    if (whole && w) spread_checkpoint(&c, w);
    const bool taken = whole && take_one(s, &c);
    checkpoint_close(&c);
    return taken;
}
