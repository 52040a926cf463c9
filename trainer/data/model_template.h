/* What a model's folder says of conversations: its template (chat_template.jinja, else the member
 * chat_template of tokenizer_config.json), the texts of its first and last token, and the tokens
 * that end an answer (eos_token_id of generation_config.json, a number or a list). A GGUF file says
 * the first two in itself. */
#ifndef DUET_TRAINER_DATA_MODEL_TEMPLATE_H
#define DUET_TRAINER_DATA_MODEL_TEMPLATE_H

#include "trainer/config/settings.h"
#include "trainer/data/ends.h"

struct model_template {
    char *text, *bos, *eos; /* NULL: none */
    char *path;             /* of the file that text is of, for messages */
    struct ends ends;
};
/* Does data.template name a template in Jinja: "model", or a file whose name ends in .jinja? */
bool model_template_wanted(const struct settings *s);
/* From the model's own files (settings.files); where these have none, from those that lie beside
 * model.tokenizer or, if that is a GGUF file, in it; or the file that is named, with what lies
 * beside it. false and problems. Local. */
bool model_template_read(struct model_template *t, const struct settings *s, struct problems *p);
void model_template_free(struct model_template *t);

#endif
