#include "trainer/checkpoint/hf/side_files.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

const char *const hf_side_names[] = {"config.json",
                                     "generation_config.json",
                                     "tokenizer_config.json",
                                     "chat_template.jinja",
                                     "special_tokens_map.json",
                                     "added_tokens.json",
                                     "vocab.json",
                                     "merges.txt",
                                     "LICENSE",
                                     "README.md",
                                     NULL};

/* The type that most tensors have. */
static enum st_dtype usual_type(const struct hf_folder *f)
{
    size_t count[ST_KINDS] = {0};
    int most = 0;
    for (int k = 0; k < f->n; k++)
        for (size_t i = 0; i < f->file[k].st.n; i++) count[f->file[k].st.t[i].dtype]++;
    for (int d = 1; d < ST_KINDS; d++)
        if (count[d] > count[most]) most = d;
    return (enum st_dtype)most;
}

/* Kept for an export in the types of the source. Only tensors that differ from most are listed. */
static void add_types(struct attachments *a, const struct hf_folder *f)
{
    enum st_dtype usual = usual_type(f);
    json_t *others = json_object();
    for (int k = 0; k < f->n; k++)
        for (size_t i = 0; i < f->file[k].st.n; i++) {
            const struct safetensor *t = &f->file[k].st.t[i];
            if (t->dtype != usual)
                json_object_set_new(others, t->name, json_string(st_name(t->dtype)));
        }
    json_t *o = json_pack("{s:s, s:o}", "default", st_name(usual), "others", others);
    char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_INDENT(1)) : NULL;
    SYS_OK(text, "free memory", "no memory for the types of tensors");
    json_decref(o);
    attachments_add(a, HF_SIDE_DTYPES, text, strlen(text));
}

/* What the folder that a GGUF file stands for would have. */
static bool gguf_side_read(struct attachments *a, const struct hf_folder *f, struct problems *p)
{
    const struct gguf *g = f->gguf.file.g;
    char *config = gguf_config_text(g, f->path, p), *tokens = gguf_tokenizer_config_text(g);
    if (config) attachments_add(a, HF_SIDE_PREFIX "config.json", config, strlen(config));
    attachments_add(a, HF_SIDE_PREFIX "tokenizer_config.json", tokens, strlen(tokens));
    return config != NULL;
}

/* A file that is not there is no problem; one that cannot be read is, since the export would lack
 * it. */
bool hf_side_read(struct attachments *a, const struct hf_folder *f, struct problems *p)
{
    int before = p->n;
    if (f->gguf.file.g) return gguf_side_read(a, f, p);
    for (int i = 0; hf_side_names[i]; i++) {
        char path[PATH_BYTES], name[ATTACHMENT_NAME], why[FILE_WHY];
        size_t n;
        path_make(path, "%s/%s", f->path, hf_side_names[i]);
        if (access(path, F_OK) != 0) continue;
        char *bytes = file_read(path, FILE_REGULAR, MOST_BYTES, &n, why);
        if (!bytes) {
            problems_add(p, path, 0, "cannot be read: %s", why);
            continue;
        }
        strcpy(name, HF_SIDE_PREFIX);
        strncat(name, hf_side_names[i], sizeof name - sizeof HF_SIDE_PREFIX);
        attachments_add(a, name, bytes, n);
    }
    add_types(a, f);
    return p->n == before;
}
