/* The tables for processors with AMX. */
#ifndef DUET_MODEL_CPU_AMX_TABLE_H
#define DUET_MODEL_CPU_AMX_TABLE_H

#include "model/ops.h"

extern const struct ops ops_amx_fp32, ops_amx_bf16;

/* Asks the system for the tiles, for all threads of this process. False: it does not give them. */
bool amx_asked(void);

#endif
