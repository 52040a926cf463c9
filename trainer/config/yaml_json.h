/* A node of YAML as JSON, for settings whose text is that (STR_JSON). */
#ifndef DUET_TRAINER_CONFIG_YAML_JSON_H
#define DUET_TRAINER_CONFIG_YAML_JSON_H

#include <stdbool.h>
#include <yaml.h>

/* Writes it with a 0 behind; *n: its length. Plain numbers, true, false and null stay what they
 * are, other scalars are strings. false: it does not fit into size. Local. */
bool yaml_json(yaml_document_t *doc, const yaml_node_t *node, char *out, size_t size, size_t *n);

#endif
